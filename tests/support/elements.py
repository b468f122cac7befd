"""Single elements of documents, read and written by themselves."""

from __future__ import annotations

from typing import Any

from lxml import etree

from engine.conf.nodes.node import Node, walk
from engine.conf.nodes.plan import Nodes, nodes_of
from engine.conf.nodes.reading import Found, read_node, told
from engine.conf.nodes.straight import read_straight
from engine.conf.nodes.writing import text_of

__all__ = ["problems_of", "read", "read_both", "rewritten"]


def read_both(nodes: Nodes, element: Any, found: list[Found]) -> Node | None:
    """As ``read_node``; and reading straight comes to the same, or doubts."""
    before = len(found)
    node = read_node(nodes, element, found)
    straight = read_straight(nodes, element)
    if straight is not None:
        assert len(found) == before, [str(problem) for problem in told(found[before:])]
        assert straight == node
        assert text_of("it", straight) == text_of("it", node)
        assert [each.line for each in walk(straight)] == [each.line for each in walk(node)]
    return node


def read(of: Any, text: str) -> Any:
    """The element as one of the shapes ``of``: a node, or a union of nodes. Nothing may be wrong with it."""
    found: list[Found] = []
    node = read_both(nodes_of(of), etree.fromstring(text), found)
    assert not found, [str(problem) for problem in told(found)]
    return node


def problems_of(of: Any, text: str) -> list[str]:
    """What is wrong with the element."""
    found: list[Found] = []
    read_both(nodes_of(of), etree.fromstring(text), found)
    return [str(problem) for problem in told(found)]


def rewritten(of: Any, text: str) -> bool:
    """Whether what is written of it is what was read: but for white space, and the order of different things."""
    element = etree.fromstring(text)
    node = read(of, text)
    assert isinstance(node, Node)
    again = etree.fromstring(text_of(str(element.tag), node))
    return bool(_shape(again) == _shape(element) and read_both(nodes_of(of), again, []) == node)


def _shape(element: Any) -> Any:
    children: dict[str, list[Any]] = {}
    for child in element:
        children.setdefault(str(child.tag), []).append(_shape(child))
    return dict(element.attrib), (element.text or "").strip(), children
