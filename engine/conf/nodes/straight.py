"""Elements in which nothing is wrong to nodes: at the first doubt it gives up, and ``reading`` tells what is wrong.

Most documents are in order, and with these most of the time would go into what is only there to tell of faults. Both
go by the same plan, and tests hold them to read the same.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.conf.nodes.node import Node
from engine.conf.nodes.plan import Field, Nodes, Plan, Shapes, plan_of, shapes_of
from engine.conf.nodes.reading import is_open, raw_text, text_of_element
from engine.conf.nodes.values import BLANKS, NoValue

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["read_straight"]


class _Doubt(Exception):
    """Something may be wrong; so it may after a NoValue, or a KeyError of what is not declared."""


_DOUBTS = (_Doubt, NoValue, KeyError)

_Read: TypeAlias = "Callable[[Element], Any]"


def read_straight(nodes: Nodes, element: Element) -> Node | None:
    """The element as one of ``nodes``; None: there is something to be told of it, or there may be."""
    try:
        node: Node = _reader_of(nodes)(element)
    except _DOUBTS:
        return None
    return node


@cache
def _reader_of(nodes: Nodes) -> _Read:
    return _NodeReader(nodes[0]).read if len(nodes) == 1 else _ShapesReader(nodes).read


class _ShapesReader:
    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._shapes: Shapes | None = None  # made with the first element: shapes may hold themselves
        self._readers = {node: _reader_of((node,)) for node in nodes}

    def read(self, element: Element) -> Any:
        shapes = self._shapes
        if shapes is None:
            shapes = self._shapes = shapes_of(self._nodes)
        fitting = shapes.fitting(shapes.values(element))
        if len(fitting) == 1:
            return self._readers[fitting[0]](element)
        for node in fitting:
            try:
                return self._readers[node](element)
            except _DOUBTS:
                continue
        raise _Doubt


class _NodeReader:
    def __init__(self, cls: type[Node]) -> None:
        self._cls = cls
        self._plan: Plan | None = None  # made with the first element: nodes may hold themselves

    def _prepare(self) -> None:
        plan = plan_of(self._cls)
        self._attributes = {tag: (f.name, f.value.quick) for tag, f in plan.attributes.items() if f.value is not None}
        self._children = {tag: (f.name, f.many, _child_reader(tag, f)) for tag, f in plan.children.items()}
        self._required = frozenset(field.name for field in plan.required)
        self._body, self._rules, self._checks = plan.body, plan.cls.rules, plan.checks
        self._plan = plan  # last: another thread may look

    def read(self, element: Element) -> Node:
        if self._plan is None:
            self._prepare()
        values: dict[str, Any] = {"line": element.sourceline or 0}
        attributes = self._attributes
        items: Any = element.items()  # the stubs allow bytes
        for tag, text in items:
            name, value = attributes[tag]
            values[name] = value(text)
        if len(element):
            self._read_children(element, values)
        if self._body is None:
            own: Any = element.text
            if own and own.strip(BLANKS):
                raise _Doubt
        else:
            _read_body(self._body, element, values)
        if self._required and not self._required.issubset(values):
            raise _Doubt
        for rule in self._rules:
            if rule.is_broken([name for name in rule.fields if name in values]):
                raise _Doubt
        node = self._cls(**values)
        if self._checks:
            for _ in node.check():
                raise _Doubt
        return node

    def _read_children(self, element: Element, values: dict[str, Any]) -> None:
        children = self._children
        groups: dict[str, list[Any]] = {}
        for child in element:
            tail: Any = child.tail
            if tail and tail.strip(BLANKS) and (self._body is None or isinstance(child.tag, str)):
                raise _Doubt
            found = children.get(child.tag)
            if found is None:
                self._keep(child, groups)
                continue
            name, many, read = found
            if many:
                if name in groups:
                    groups[name].append(read(child))
                else:
                    groups[name] = [read(child)]
            elif name in values:
                raise _Doubt
            else:
                values[name] = read(child)
        for name, group in groups.items():
            values[name] = tuple(group)

    def _keep(self, child: Element, groups: dict[str, list[Any]]) -> None:
        """A child that is not declared, where such may be, or a comment."""
        if not isinstance(child.tag, str):
            return
        place = self._plan.open if self._plan is not None else None
        if place is None or not is_open(place, child.tag):
            raise _Doubt
        groups.setdefault(place.name, []).append(raw_text(child))


def _child_reader(tag: str, field: Field) -> _Read:
    nodes = dict(field.tags).get(tag, field.nodes)
    if nodes:
        return _reader_of(nodes)
    if field.value is None:
        return _read_flag
    value = field.value.quick

    def read(child: Element) -> Any:
        if len(child) or child.keys():
            raise _Doubt
        return value(child.text or "")

    return read


def _read_flag(child: Element) -> bool:
    if len(child) or child.keys() or (child.text and child.text.strip(BLANKS)):
        raise _Doubt
    return True


def _read_body(field: Field, element: Element, values: dict[str, Any]) -> None:
    text = text_of_element(element)
    if field.value is not None and (field.required or (text and text.strip(BLANKS))):
        values[field.name] = field.value.quick(text)
