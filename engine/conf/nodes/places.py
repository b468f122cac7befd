"""Where nodes stand in their document."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterator

from engine.conf.nodes.node import Node
from engine.conf.nodes.plan import plan_of

__all__ = ["xpaths"]


def xpaths(root: Node, wanted: Container[int], tag: str = "") -> dict[int, str]:
    """The XPaths of those nodes in ``root`` whose ``id`` is wanted: ``/domain/devices/disk[2]``."""
    found: dict[int, str] = {}
    todo: list[tuple[Node, str]] = [(root, f"/{tag or getattr(root, 'kind', '')}")]
    while todo:
        node, path = todo.pop()
        if id(node) in wanted:
            found[id(node)] = path
        children = list(_children(node))
        of_tag, seen = Counter(tag for tag, _ in children), Counter[str]()
        for name, child in children:
            seen[name] += 1
            todo.append((child, f"{path}/{name}[{seen[name]}]" if of_tag[name] > 1 else f"{path}/{name}"))
    return found


def _children(node: Node) -> Iterator[tuple[str, Node]]:
    for field in plan_of(type(node)).fields:
        if not field.nodes and not field.tags:
            continue
        value = getattr(node, field.name)
        for each in value if isinstance(value, tuple) else (value,):
            if each is not None:
                tag = next((tag for tag, nodes in field.tags if isinstance(each, nodes)), field.tag)
                yield tag.rpartition("}")[2], each
