"""Elements to typed structs: the struct is the schema, and what it does not name is refused with its line.

A field of a ``Node`` says by its annotation where its value stands::

    type: Literal["file", "block"]            the attribute ``type``
    readonly: Annotated[bool, Present]        there is a child <readonly/>
    serial: Annotated[str, Text] = ""         the text of the child <serial>
    path: Annotated[str, Body] = ""           the element's own text
    memory: Annotated[int, Size]              the text of a child with a unit, in KiB
    driver: Driver | None = None              the child <driver>
    disks: Annotated[tuple[Disk, ...], "disk"] = ()    every child <disk>, in order

A name that differs from the field's is given as a string in ``Annotated``. Elements of other namespaces are skipped.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from enum import Enum
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar, get_args, get_origin

import msgspec

from engine.conf.document import line_of, suggest
from engine.conf.units import to_kib
from engine.errors import ConfigError, UnsupportedConfig

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["Body", "Node", "Present", "Size", "Text", "read"]


class _Place(Enum):
    ATTRIBUTE = "attribute"
    TEXT = "text"
    BODY = "body"
    PRESENT = "present"
    SIZE = "size"
    CHILD = "child"
    CHILDREN = "children"


Text = _Place.TEXT
Body = _Place.BODY
Present = _Place.PRESENT
Size = _Place.SIZE


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One element.

    Attributes:
        line: where it stands in its document; 0: it was not written there.
        skipped: names of children and attributes that mean nothing to a reader of this struct.
    """

    line: int = 0
    skipped: ClassVar[frozenset[str]] = frozenset()


N = TypeVar("N", bound=Node)
Convert = Callable[[str], Any]


class _Field(msgspec.Struct, frozen=True):
    place: _Place
    xml: str
    name: str
    required: bool
    convert: Convert
    node: type[Node] | None = None


def read(cls: type[N], element: Element, *, source: str | None = None) -> N:
    """``element`` as ``cls``.

    Raises:
        UnsupportedConfig: an element, attribute or value that ``cls`` does not name, by name and line.
        ConfigError: something required is missing, or a value makes no sense.
    """
    values: dict[str, Any] = {"line": line_of(element) or 0}
    attributes, children, rest = _plan(cls)
    for name, text in element.attrib.items():
        field = attributes.get(str(name))
        if field is not None:
            values[field.name] = _convert(field, element, str(text), source)
        elif name not in cls.skipped and not str(name).startswith("{"):
            # without its value: it may be a password, and errors end up in logs and events
            raise _unknown(f"<{element.tag} {name!s}>", str(name), attributes, element, source)
    for child in element:
        tag = child.tag
        if not isinstance(tag, str) or tag.startswith("{") or tag in cls.skipped:
            continue
        field = children.get(tag)
        if field is None:
            raise _unknown(_shown(child), tag, children, child, source)
        _take(field, child, values, source)
    for field in rest:
        if field.place is _Place.BODY and (text := (element.text or "").strip()):
            values[field.name] = _convert(field, element, text, source)
        elif field.required and field.name not in values:
            kind = "attribute " if field.place is _Place.ATTRIBUTE else ""
            what = f"'{field.xml}'" if kind else f"<{field.xml}>" if field.place is not _Place.BODY else "text"
            raise ConfigError(f"<{element.tag}> lacks its {kind}{what}", source=source, line=line_of(element))
    made: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return cls(**made)


def _take(field: _Field, child: Element, values: dict[str, Any], source: str | None) -> None:
    match field.place:
        case _Place.PRESENT:
            values[field.name] = True
        case _Place.TEXT:
            values[field.name] = _convert(field, child, (child.text or "").strip(), source)
        case _Place.SIZE:
            try:
                values[field.name] = to_kib(child.text or "", child.get("unit"))
            except ValueError as exc:
                raise ConfigError(f"<{child.tag}>: {exc}", source=source, line=line_of(child)) from exc
        case _Place.CHILDREN:
            assert field.node is not None
            values.setdefault(field.name, []).append(read(field.node, child, source=source))
        case _:
            assert field.node is not None
            if field.name in values:
                raise ConfigError(f"<{child.tag}> is there twice", source=source, line=line_of(child))
            values[field.name] = read(field.node, child, source=source)


def _convert(field: _Field, element: Element, text: str, source: str | None) -> Any:
    try:
        return field.convert(text)
    except _NotBuilt as exc:
        shown = f"{element.tag} {field.xml}='{text}'" if field.place is _Place.ATTRIBUTE else f"{element.tag}>{text}"
        shown = f"<{shown}>" if field.place is _Place.ATTRIBUTE else f"<{shown}</{element.tag}>"
        raise UnsupportedConfig(shown, str(exc), source=source, line=line_of(element)) from exc
    except ValueError as exc:
        where = f"<{element.tag} {field.xml}>" if field.place is _Place.ATTRIBUTE else f"<{element.tag}>"
        raise ConfigError(f"{where}: {exc}", source=source, line=line_of(element)) from exc


def _shown(element: Element) -> str:
    """``<sound model='ich9'>``: the element with what tells it from its like."""
    for name in ("type", "model", "name", "mode"):
        if value := element.get(name):
            return f"<{element.tag} {name}='{value}'>"
    return f"<{element.tag}>"


def _unknown(
    shown: str, name: str, known: dict[str, _Field], element: Element, source: str | None
) -> UnsupportedConfig:
    return UnsupportedConfig(shown, f"not supported{suggest(name, tuple(known))}", source=source, line=line_of(element))


# ---------------------------------------------------------------------------- annotations to plans


class _NotBuilt(ValueError):
    """A value that exists, but is none of those the field has."""


@cache
def _plan(cls: type[Node]) -> tuple[dict[str, _Field], dict[str, _Field], tuple[_Field, ...]]:
    """Fields by attribute, fields by child, and all of them."""
    hints = typing.get_type_hints(cls, include_extras=True)
    fields = tuple(
        _field(info.name, hints[info.name], info.required)
        for info in msgspec.structs.fields(cls)
        if info.name != "line"
    )
    attributes = {field.xml: field for field in fields if field.place is _Place.ATTRIBUTE}
    children = {f.xml: f for f in fields if f.place not in (_Place.ATTRIBUTE, _Place.BODY)}
    return attributes, children, fields


def _field(name: str, hint: Any, required: bool) -> _Field:
    place, xml = _Place.ATTRIBUTE, name
    if get_origin(hint) is typing.Annotated:
        hint, *marks = get_args(hint)
        for mark in marks:
            if isinstance(mark, _Place):
                place = mark
            else:
                xml = mark
    if get_origin(hint) in (types.UnionType, typing.Union):
        hint = next(part for part in get_args(hint) if part is not type(None))
    node = None
    if get_origin(hint) is tuple:
        place, node = _Place.CHILDREN, get_args(hint)[0]
    elif isinstance(hint, type) and issubclass(hint, Node):
        place, node = _Place.CHILD, hint
    return _Field(place, xml, name, required, _converter(hint), node)


def _converter(hint: Any) -> Convert:
    if get_origin(hint) is Literal:
        known = get_args(hint)

        def choose(text: str) -> Any:
            if text not in known:
                raise _NotBuilt(f"not supported (there is {', '.join(known)}){suggest(text, known)}")
            return text

        return choose
    return {bool: _boolean, int: _number}.get(hint, str)


def _boolean(text: str) -> bool:
    try:
        return {"yes": True, "on": True, "no": False, "off": False}[text]
    except KeyError:
        raise ValueError(f"'{text}' is neither yes nor no") from None


def _number(text: str) -> int:
    """Decimal, or hexadecimal with 0x, as everywhere in libvirt's documents."""
    try:
        return int(text, 16 if text.lower().startswith("0x") else 10)
    except ValueError:
        raise ValueError(f"'{text}' is not a whole number") from None
