"""Single elements of documents, read and written by themselves."""

from __future__ import annotations

from typing import Any

from lxml import etree

from engine.conf.nodes.node import Node
from engine.conf.nodes.plan import nodes_of
from engine.conf.nodes.reading import Found, read_node, told
from engine.conf.nodes.writing import text_of

__all__ = ["problems_of", "read", "rewritten"]


def read(of: Any, text: str) -> Any:
    """The element as one of the shapes ``of``: a node, or a union of nodes. Nothing may be wrong with it."""
    found: list[Found] = []
    node = read_node(nodes_of(of), etree.fromstring(text), found)
    assert not found, [str(problem) for problem in told(found)]
    return node


def problems_of(of: Any, text: str) -> list[str]:
    """What is wrong with the element."""
    found: list[Found] = []
    read_node(nodes_of(of), etree.fromstring(text), found)
    return [str(problem) for problem in told(found)]


def rewritten(of: Any, text: str) -> bool:
    """Whether what is written of it is what was read: but for white space, and the order of different things."""
    element = etree.fromstring(text)
    node = read(of, text)
    assert isinstance(node, Node)
    again = etree.fromstring(text_of(str(element.tag), node))
    return bool(_shape(again) == _shape(element) and read_node(nodes_of(of), again, []) == node)


def _shape(element: Any) -> Any:
    children: dict[str, list[Any]] = {}
    for child in element:
        children.setdefault(str(child.tag), []).append(_shape(child))
    return dict(element.attrib), (element.text or "").strip(), children
