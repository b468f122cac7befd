"""Nodes to text: what was read is written again, in the order of the declarations.

Made of strings, since a tree of elements would take several times as long.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import msgspec

from engine.conf.document import keeps_its_space, local_name, parse_document, to_text
from engine.conf.nodes.node import Attr, Body, Definition, Flag, Node, Open
from engine.conf.nodes.plan import Field, plan_of
from engine.conf.nodes.values import BLANKS, HIDDEN
from engine.errors import ConfigError

__all__ = ["shown_name", "shown_raw", "shown_value", "text_of", "write_document"]

#: How namespaces are called in what libvirt writes.
PREFIXES = {
    "http://libvirt.org/schemas/domain/qemu/1.0": "qemu",
    "http://libvirt.org/schemas/domain/lxc/1.0": "lxc",
    "http://libvirt.org/schemas/domain/xen/1.0": "xen",
    "http://libvirt.org/schemas/domain/bhyve/1.0": "bhyve",
    "http://libvirt.org/schemas/domain/vmware/1.0": "vmware",
    "http://libvirt.org/schemas/network/dnsmasq/1.0": "dnsmasq",
    "http://libvirt.org/schemas/storagepool/fs/1.0": "fs",
    "http://libvirt.org/schemas/storagepool/rbd/1.0": "rbd",
    "urn:virengine:order:1": "order",
}

# there is only one empty tuple, and to compare nodes with it would take long
_NONE_OF_THEM: tuple[()] = ()
_IMPOSSIBLE = r"\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff"
_SPECIAL = re.compile(rf"[&<>\r{_IMPOSSIBLE}]")
_SPECIAL_IN_ATTRIBUTES = re.compile(rf'[&<>"\r\n\t{_IMPOSSIBLE}]')
_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#9;"}


#: Names that nobody is shown the values of, though nothing more is known of them.
_SECRETS = re.compile("passw|passphrase|secret|token|credential", re.IGNORECASE)
_XML = "http://www.w3.org/XML/1998/namespace"


def write_document(definition: Definition) -> str:
    """The document as text, indented by two spaces, without an XML declaration.

    Raises:
        ConfigError: a value holds a character that XML can't, or what is kept as XML is none.
    """
    return text_of(definition.kind, definition) + "\n"


def text_of(tag: str, node: Node, *, hide: bool = False) -> str:
    """The node as an element of that name; ``hide``: for people's eyes, without its secrets."""
    uris = dict.fromkeys([*_namespace_of(tag), *_namespaces(node)])
    prefixes = {uri: PREFIXES.get(uri, f"ns{number}") for number, uri in enumerate(uris)}
    declared = "".join(f' xmlns:{prefix}="{_attribute(uri)}"' for uri, prefix in prefixes.items())
    out: list[str] = []
    _Text(out, prefixes, hide).write(tag, node, "", declared)
    return "".join(out)


def shown_name(tag: str) -> str:
    """A name for people: with the usual prefix of its namespace."""
    if tag[:1] != "{":
        return tag
    uri, _, name = tag[1:].partition("}")
    return f"{PREFIXES[uri]}:{name}" if uri in PREFIXES else name


def shown_raw(raw: str) -> str:
    """XML that is kept as text, for people: without what its names say is a secret."""
    root = parse_document(raw)
    for element in root.iter("*"):
        inside = _SECRETS.search(local_name(element)) is not None
        for name in element.attrib:
            if inside or _SECRETS.search(str(name)):
                element.set(name, HIDDEN)
        if inside and element.text and element.text.strip(BLANKS):
            element.text = HIDDEN
    return to_text(root)


def shown_value(name: str, text: str) -> str:
    """The value of an attribute that is not declared, for people."""
    return HIDDEN if _SECRETS.search(name) else text


def _namespace_of(name: str) -> list[str]:
    return [name[1:].partition("}")[0]] if name[0] == "{" else []


def _namespaces(node: Node) -> list[str]:
    """Those of names in it; what is kept as text brings its own."""
    writer, values = _writer_of(type(node)), msgspec.structs.astuple(node)
    there = [each for each in writer.foreign if not _is_nothing(values[each.at])]
    found = [uri for each in there for uri in _namespace_of(each.field.tag)]
    if node.other is not None:
        found += [uri for name, _ in node.other.attributes for uri in _namespace_of(name) if uri != _XML]
    for child in writer.nodes:
        value = values[child.at]
        if value is not None and value is not _NONE_OF_THEM:
            for each in value if child.many else (value,):
                found += _namespaces(each)
    return found


def _is_nothing(value: Any) -> bool:
    return value is None or value is False or value is _NONE_OF_THEM


class _Child(NamedTuple):
    field: Field
    at: int
    many: bool


class _Writer:
    """The fields of a class, by how they are written."""

    def __init__(self, cls: type[Node]) -> None:
        fields = plan_of(cls).fields
        at = {name: number for number, name in enumerate(cls.__struct_fields__)}
        own = [field for field in fields if field.place is Attr]
        self.attributes = [(at[f.name], f.tag, f.value.write, f.value.secret) for f in own if f.value is not None]
        self.body = next((field for field in fields if field.place is Body), None)
        inside = [field for field in fields if field.place not in (Attr, Body)]
        self.children = [_Child(field, at[field.name], field.many or field.place is Open) for field in inside]
        self.foreign = [child for child in self.children if child.field.tag.startswith("{")]
        self.nodes = [child for child in self.children if child.field.nodes or child.field.tags]


@cache
def _writer_of(cls: type[Node]) -> _Writer:
    return _Writer(cls)


class _Text:
    """One document as it is written."""

    def __init__(self, out: list[str], prefixes: dict[str, str], hide: bool) -> None:
        self._out, self._prefixes, self._hide = out, prefixes, hide

    def write(self, tag: str, node: Node, indent: str, declared: str = "") -> None:
        writer = _writer_of(type(node))
        name = self._name(tag)
        head = f"<{name}{declared}"
        values = msgspec.structs.astuple(node)
        for index, attribute, write, secret in writer.attributes:
            value = values[index]
            if value is not None:
                head += f' {attribute}="{HIDDEN if secret and self._hide else _attribute(write(value))}"'
        other = node.other
        if other is not None:
            for undeclared, text in other.attributes:
                shown = shown_value(undeclared, text) if self._hide else text
                head += f' {self._name(undeclared)}="{_attribute(shown)}"'
        out = self._out
        out.append(head)
        begin = len(out)
        body = self._body(writer, node)
        # beside text of its own nothing may be moved
        inner = "" if body else f"\n{indent}  " if indent else "\n  "
        for child in writer.children:
            value = values[child.at]
            if value is None or value is False or value is _NONE_OF_THEM:
                continue
            if child.many:
                for each in value:
                    self._child(child.field, each, inner)
            else:
                self._child(child.field, value, inner)
        if other is not None:
            for raw in other.children:
                self._raw(raw, inner)
        if len(out) > begin or body:
            out.insert(begin, f">{body}")
            out.append(f"</{name}>" if body else f"\n{indent}</{name}>" if indent else f"\n</{name}>")
        else:
            out.append("/>")

    def _body(self, writer: _Writer, node: Node) -> str:
        if writer.body is None or writer.body.value is None:
            return ""
        value = getattr(node, writer.body.name)
        return "" if value is None else _text(self._shown(writer.body, value))

    def _shown(self, field: Field, value: Any) -> str:
        assert field.value is not None
        return HIDDEN if self._hide and field.value.secret else field.value.write(value)

    def _child(self, field: Field, value: Any, inner: str) -> None:
        if field.place is Open:
            self._raw(value, inner)
            return
        self._out.append(inner)
        if field.tags:
            tag = next((tag for tag, nodes in field.tags if isinstance(value, nodes)), None)
            if tag is None:
                raise TypeError(f"'{field.name}' can't hold a {type(value).__name__}")
            self.write(tag, value, inner[1:])
        elif field.nodes:
            self.write(field.tag, value, inner[1:])
        else:
            name = self._name(field.tag)
            text = "" if field.place is Flag else _text(self._shown(field, value))
            self._out.append(f"<{name}>{text}</{name}>" if text else f"<{name}/>")

    def _raw(self, raw: str, inner: str) -> None:
        element = parse_document(shown_raw(raw) if self._hide else raw)
        if inner:
            _indent(element, inner)
        self._out.append(inner + to_text(element))

    def _name(self, name: str) -> str:
        if name[0] != "{":
            return name
        uri, _, local = name[1:].partition("}")
        return f"{'xml' if uri == _XML else self._prefixes[uri]}:{local}"


def _escape(match: re.Match[str]) -> str:
    if match[0] not in _ESCAPES:
        raise ConfigError(f"a value holds U+{ord(match[0]):04X}, which XML can't")
    return _ESCAPES[match[0]]


def _escaper(special: re.Pattern[str]) -> Callable[[str], str]:
    def escaped(text: str) -> str:
        return special.sub(_escape, text) if special.search(text) else text

    return escaped


_text = _escaper(_SPECIAL)
_attribute = _escaper(_SPECIAL_IN_ATTRIBUTES)


def _indent(element: Any, inner: str) -> None:
    """What stands in it, where there is no text; ``inner``: a line end and the element's own indentation."""
    if not len(element) or keeps_its_space(element) or element.text or any(child.tail for child in element):
        return
    element.text = f"{inner}  "
    for child in element:
        _indent(child, f"{inner}  ")
        child.tail = f"{inner}  " if child.getnext() is not None else inner
