"""From the annotations of a node to its plan, which reader, writer and schema work from. Made once a class."""

from __future__ import annotations

import inspect
import re
import sys
import types
import typing
from collections.abc import Container
from functools import cache
from typing import Any, Literal, TypeAlias, get_args, get_origin

import msgspec

from engine.conf.nodes.node import Attr, Body, Child, Children, Definition, Flag, Node, Open, Place, Text
from engine.conf.nodes.values import ANY, Choice, OneOf, ValueType, collapsed

__all__ = ["Field", "Nodes", "Plan", "Shapes", "describe", "nodes_of", "plan_of", "shapes_of"]

# of the combinations of words whose shapes are kept in mind
_MOST_FITTING, _LONGEST_WORD = 1000, 64

#: The nodes that an element may be.
Nodes: TypeAlias = "tuple[type[Node], ...]"


class Field(msgspec.Struct, frozen=True, kw_only=True):
    """One field: where it stands, and what it holds.

    Attributes:
        name: in the struct; tag: in the document. value: of text; nodes: of a child. tags: of ``Children``.
        many: a tuple; required: it must be there. namespace: of an open place.
    """

    name: str
    place: type[Place]
    tag: str
    required: bool
    many: bool = False
    value: ValueType | None = None
    nodes: Nodes = ()
    tags: tuple[tuple[str, Nodes], ...] = ()
    namespace: str = ""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All fields of a node, by where they stand."""

    cls: type[Node]
    fields: tuple[Field, ...]
    attributes: dict[str, Field]
    children: dict[str, Field]
    body: Field | None
    open: Field | None
    required: tuple[Field, ...]
    checks: bool
    lists: tuple[str, ...]
    by_name: dict[str, Field]


class Shapes:
    """The shapes that one element may have, told apart by attributes, and children it must have, with literal values.

    Attributes:
        told_by: the names of these; a child's begins with ``./``.
    """

    def __init__(self, nodes: Nodes) -> None:
        self.nodes = nodes
        words = [_literals(plan_of(node)) for node in nodes]
        names = {name for each in words for name in each}
        self.told_by = tuple(sorted(name for name in names if len({each.get(name) for each in words}) > 1))
        self._by_children = any(name.startswith("./") for name in self.told_by)
        self._words = words
        self._fitting: dict[tuple[str | None, ...], Nodes] = {}

    def values(self, element: Any) -> tuple[str | None, ...]:
        """What ``told_by`` are in an element."""
        if not self._by_children:
            return tuple(map(element.get, self.told_by))
        return tuple(_text(element, name) if name.startswith("./") else element.get(name) for name in self.told_by)

    def fitting(self, values: tuple[str | None, ...]) -> Nodes:
        """Those whose literals fit ``values`` (of ``told_by``); none may."""
        found = self._fitting.get(values)
        if found is None:
            found = tuple(node for node in self.nodes if self._fits(node, values))
            # who makes values up does not fill the memory
            if len(self._fitting) < _MOST_FITTING and all(len(value or "") < _LONGEST_WORD for value in values):
                self._fitting[values] = found
        return found

    def nearest(self, values: tuple[str | None, ...], but: Container[str] = ()) -> Nodes:
        """Those whose own literals fit, whatever there is that they don't have; else those that lack some; else all.

        Args:
            but: the names of ``told_by`` that don't count.
        """
        for lacking in (False, True):
            found = tuple(n for n in self.nodes if self._fits(n, values, others=True, lacking=lacking, but=but))
            if found:
                return found
        return self.nodes

    def _fits(
        self,
        node: type[Node],
        values: tuple[str | None, ...],
        *,
        others: bool = False,
        lacking: bool = False,
        but: Container[str] = (),
    ) -> bool:
        plan, literals = plan_of(node), self._words[self.nodes.index(node)]
        for name, value in zip(self.told_by, values, strict=True):
            allowed, required = literals.get(name, (None, False))
            if name in but:
                continue
            if value is None:
                if required and not lacking:
                    return False
            elif allowed is not None:
                if collapsed(value) not in allowed:
                    return False
            elif not others and name not in plan.attributes and name.removeprefix("./") not in plan.children:
                return False
        return True

    def known(self, name: str, nodes: Nodes | None = None) -> tuple[str, ...]:
        """All words that an attribute or child may be, in any shape, or in these."""
        words = (each for node, each in zip(self.nodes, self._words, strict=True) if nodes is None or node in nodes)
        return tuple(dict.fromkeys(word for each in words for word in each.get(name, ((), False))[0]))


def _text(element: Any, name: str) -> str | None:
    child = next(element.iterchildren(name[2:]), None)
    return None if child is None else (child.text or "") + "".join(each.tail or "" for each in child)  # of comments


def _literals(plan: Plan) -> dict[str, tuple[tuple[str, ...], bool]]:
    """The words of each attribute with literal values, and whether it is required; of children those that are."""
    found = {n: (tuple(f.value.words), f.required) for n, f in plan.attributes.items() if isinstance(f.value, Choice)}
    for tag, field in plan.children.items():
        body = plan_of(field.nodes[0]).body if field.place is Child and len(field.nodes) == 1 else None
        value = body.value if body is not None else field.value
        if field.required and not field.many and isinstance(value, Choice):
            found[f"./{tag}"] = (tuple(value.words), True)
    return found


@cache
def shapes_of(nodes: Nodes) -> Shapes:
    return Shapes(nodes)


@cache
def plan_of(cls: type[Node]) -> Plan:
    hints = _hints(cls)
    own = {"line", "other"} | ({"source"} if issubclass(cls, Definition) else set())  # of nodes, not of the document
    last = {name for base in cls.__mro__ if base.__dict__.get("comes_last") for name in base.__annotations__}
    required = _required(cls)
    # a device's type first, and last what all devices have, as libvirt writes them
    fields = sorted(
        (_field(name, hints[name], name in required) for name in cls.__struct_fields__ if name not in own),
        key=lambda field: 2 if field.name in last else 0 if last and (field.tag, field.place) == ("type", Attr) else 1,
    )
    first = {name: number for number, name in enumerate(cls.comes_first)}
    fields.sort(key=lambda field: first.get(field.name, len(first)))
    children: dict[str, Field] = {}
    for field in fields:
        if field.place in (Text, Flag, Child):
            assert field.tag not in children, f"{cls.__name__}: two fields are <{field.tag}>"
            children[field.tag] = field
        for tag, _ in field.tags:
            children[tag] = field
    return Plan(
        cls=cls,
        fields=tuple(fields),
        attributes={field.tag: field for field in fields if field.place is Attr},
        children=children,
        body=next((field for field in fields if field.place is Body), None),
        open=next((field for field in fields if field.place is Open), None),
        required=tuple(field for field in fields if field.required),
        checks=cls.check is not Node.check,
        lists=tuple(field.name for field in fields if field.many or field.place is Open),
        by_name={field.name: field for field in fields},
    )


def _required(cls: type[Node]) -> set[str]:
    names, defaults = cls.__struct_fields__, cls.__struct_defaults__  # of the last of the names
    there = zip(names[len(names) - len(defaults) :], defaults, strict=True)
    return set(names) - {name for name, default in there if default is not msgspec.NODEFAULT}


def _hints(cls: type[Node]) -> dict[str, Any]:
    """As ``typing.get_type_hints``, in a quarter of the time: the first document waits for it."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, Node):
            names = set(base.__struct_fields__)
            own = {name: text for name, text in inspect.get_annotations(base).items() if name in names}
            hints |= {name: _evaluated(base.__module__, text) for name, text in own.items()}
    return hints


@cache
def _evaluated(module: str, text: str) -> Any:
    return eval(text, vars(sys.modules[module]))  # noqa: S307  an annotation of our own


def _field(name: str, hint: Any, required: bool) -> Field:
    place, value, hint = _strip(hint)
    many = get_origin(hint) is tuple
    if many:
        hint = get_args(hint)[0]
        inner, value, hint = _strip(hint)
        place = place or inner
    parts = [part for part in _parts(hint) if part is not type(None)]
    nodes = tuple(part for part in parts if isinstance(part, type) and issubclass(part, Node))
    tags: tuple[tuple[str, Nodes], ...] = ()
    if isinstance(place, Children):
        tags = tuple((tag, nodes_of(of)) for tag, of in place.tags.items())
    kind = type(place) if place is not None else (Child if nodes else Attr)
    if not nodes and kind not in (Open, Children, Flag):
        if value is None:
            values = [_value(part) for part in parts]
            value = values[0] if len(values) == 1 else OneOf(values)
    else:
        value = None
    return Field(
        name=name,
        place=kind,
        tag=(place.name if place is not None else "") or name.removesuffix("_"),
        required=required,
        many=many,
        value=value,
        nodes=nodes,
        tags=tags,
        namespace=place.namespace if isinstance(place, Open) else "",
    )


def nodes_of(hint: Any) -> Nodes:
    """The nodes of a union, or a node by itself."""
    return tuple(part for part in _parts(hint) if isinstance(part, type) and issubclass(part, Node))


def _strip(hint: Any) -> tuple[Place | None, ValueType | None, Any]:
    """The marks of an annotation, and what is left of it."""
    place: Place | None = None
    value: ValueType | None = None
    if get_origin(hint) is typing.Annotated:
        hint, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, type) and issubclass(mark, Place):
                place = mark()
            elif isinstance(mark, Place):
                place = mark
            else:
                value = mark
    return place, value, hint


def _parts(hint: Any) -> list[Any]:
    if get_origin(hint) in (types.UnionType, typing.Union):
        return [inner for part in get_args(hint) for inner in _parts(part)]
    return [hint]


def _value(hint: Any) -> ValueType:
    _, value, bare = _strip(hint)
    if value is not None:
        return value
    if get_origin(bare) is Literal:
        return Choice(get_args(bare))
    if bare is str:
        return ANY
    raise TypeError(f"no value type for {hint!r}")


@cache
def describe(cls: type[Node]) -> tuple[str, dict[str, str]]:
    """A class's docstring before its ``Attributes``, and what these say of each field, those it inherits too."""
    fields: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        doc = base.__dict__.get("__doc__")
        if issubclass(base, Node) and isinstance(doc, str):
            fields |= _attributes(doc, set(cls.__struct_fields__))
    text = (cls.__dict__.get("__doc__") or "").partition("\n\n    Attributes:")[0]
    return " ".join(text.split()), fields


def _attributes(doc: str, known: set[str]) -> dict[str, str]:
    """``name: text`` a line, or several in one: ``name, other: text; third: text``."""
    found: dict[str, str] = {}
    _, _, section = doc.partition("Attributes:\n")
    for match in re.finditer(r"^ {8}(\w+(?:, \w+)*: .*(?:\n {9,}.*)*)", section, re.MULTILINE):
        last: list[str] = []
        for part in re.split(r"[;.] (?=\w+(?:, \w+)*: )", " ".join(match[1].split())):
            head, _, text = part.partition(": ")
            if set(names := head.split(", ")) <= known:
                found |= dict.fromkeys(names, text)
                last = names
            else:  # only a sentence with a colon in it, or of a field that other shapes have
                found |= {name: f"{found[name]}; {part}" for name in last}
    return found
