"""The declarations as an XML Schema of the 1.0 subset that libxml2 runs.

What 1.0 can't say the reader checks: that a child may be there only once (libvirt's documents have no order among
children, which is a repeated choice here), and which shape an element has (all shapes are one type here, whose
attributes and children are those of any).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

import msgspec

from engine.conf.nodes.node import Attr, Body, Children, Definition, Flag, Node, Open, Text
from engine.conf.nodes.plan import Field, Nodes, describe, plan_of
from engine.conf.nodes.values import ANY, Choice, OneOf, ValueType, Words

__all__ = ["schema_of"]


def schema_of(kind: str, nodes: Nodes) -> str:
    """The schema of documents whose root is ``<kind>``, of these shapes, as text."""
    return _Schema(kind, nodes).text()


class _Type(msgspec.Struct, kw_only=True):
    """``bare``: it may also be a text without attributes."""

    name: str
    nodes: Nodes
    bare: bool


class _Schema:
    def __init__(self, kind: str, nodes: Nodes) -> None:
        self._kind, self._nodes = kind, nodes
        self._types: dict[tuple[Nodes, bool], _Type] = {}
        self._names: set[str] = set()
        self._values: dict[str, str] = {}
        self._todo: list[_Type] = []

    def text(self) -> str:
        root = self._type(self._nodes)
        inside: list[str] = []
        while self._todo:
            inside.append(self._complex(self._todo.pop(0)))
        empty = f'<xs:complexType name="empty">{self._nothing("")}</xs:complexType>'
        values = [f'<xs:simpleType name="{name}">{xsd}</xs:simpleType>' for name, xsd in sorted(self._values.items())]
        body = "\n".join((f'<xs:element name="{self._kind}" type="{root}"/>', *inside, empty, *values))
        text = f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">\n{body}\n</xs:schema>'
        return f'<?xml version="1.0" encoding="UTF-8"?>\n{_indented(text)}'

    def _type(self, nodes: Nodes, *, bare: bool = False) -> str:
        """The name of the type that an element of these shapes has."""
        found = self._types.get((nodes, bare))
        if found is None:
            name = _common_name(nodes)
            number = 1
            while (unique := name if number == 1 else f"{name}{number}") in self._names:
                number += 1
            self._names.add(unique)
            found = self._types[nodes, bare] = _Type(name=unique, nodes=nodes, bare=bare)
            self._todo.append(found)
        return found.name

    def _complex(self, type_: _Type) -> str:
        plans = [plan_of(node) for node in type_.nodes]
        notes = [describe(node) for node in type_.nodes]
        said = {name: text for _, fields in reversed(notes) for name, text in fields.items()}
        head = f'<xs:complexType name="{type_.name}"'
        about = _note(notes[0][0] if len(notes) == 1 else _about_of_all(type_.nodes))
        shapes = len(plans) + type_.bare
        attributes = "".join(
            self._attribute(name, [p.attributes[name] for p in plans if name in p.attributes], shapes, said)
            for name in dict.fromkeys(name for plan in plans for name in plan.attributes)
        )
        bodies = [plan.body for plan in plans if plan.body is not None]
        children = self._content([plan.fields for plan in plans], said)
        if bodies and not children and not type_.bare:
            optional = len(bodies) < len(plans) or not all(body.required for body in bodies)
            base = self._simple([body.value for body in bodies if body.value is not None], or_empty=optional)
            content = f'<xs:simpleContent><xs:extension base="{base}">{attributes}</xs:extension></xs:simpleContent>'
            return f"{head}>{about}{content}</xs:complexType>"
        if not (bodies or children or type_.bare):
            return f"{head}>{about}{self._nothing(attributes)}</xs:complexType>"
        mixed = ' mixed="true"' if bodies or type_.bare else ""
        return f"{head}{mixed}>{about}{children}{attributes}</xs:complexType>"

    def _nothing(self, attributes: str) -> str:
        """White space at most: what is empty in XML Schema's own sense may not even be closed in the next line."""
        self._values["nothing"] = '<xs:restriction base="xs:token"><xs:enumeration value=""/></xs:restriction>'
        return f'<xs:simpleContent><xs:extension base="nothing">{attributes}</xs:extension></xs:simpleContent>'

    def _content(self, fields: Sequence[Sequence[Field]], said: dict[str, str]) -> str:
        by_tag: dict[str, list[Field]] = {}
        opens: list[str] = []
        for field in (field for each in fields for field in each):
            if field.place is Open:
                opens.append(field.namespace)
            elif field.place is Children:
                for tag, nodes in field.tags:
                    by_tag.setdefault(tag, []).append(msgspec.structs.replace(field, nodes=nodes))
            elif field.place not in (Attr, Body):
                by_tag.setdefault(field.tag, []).append(field)
        parts: list[str] = []
        foreign: list[str] = []
        for tag, same in by_tag.items():
            if tag.startswith("{"):
                foreign.append(tag[1:].partition("}")[0])
            else:
                parts.append(self._element(tag, same, said))
        namespaces = dict.fromkeys((*foreign, *opens))
        if "##any" in namespaces:
            # beside these, no element may be named; one ##any alone would let text in (xmlschema)
            parts = [f'<xs:any namespace="{each}" processContents="skip"/>' for each in ("##local", "##other")]
        elif "##other" in namespaces:
            # in a schema without a namespace, ##other is every namespace
            parts.append('<xs:any namespace="##other" processContents="skip"/>')
        elif namespaces:
            parts.append(f'<xs:any namespace="{" ".join(namespaces)}" processContents="skip"/>')
        return f'<xs:choice minOccurs="0" maxOccurs="unbounded">{"".join(parts)}</xs:choice>' if parts else ""

    def _element(self, tag: str, fields: Sequence[Field], said: dict[str, str]) -> str:
        note = _note(next((said[field.name] for field in fields if field.name in said), ""))
        if all(field.place is Flag for field in fields):
            type_ = "empty"
        elif all(field.place is Text for field in fields):
            type_ = self._simple([field.value for field in fields if field.value is not None])
        else:
            nodes = tuple(dict.fromkeys(node for field in fields for node in field.nodes))
            type_ = self._type(nodes, bare=not all(field.nodes for field in fields))
        head = f'<xs:element name="{tag}" type="{type_}"'
        return f"{head}>{note}</xs:element>" if note else f"{head}/>"

    def _attribute(self, name: str, fields: Sequence[Field], shapes: int, said: dict[str, str]) -> str:
        if name.startswith("{"):
            return ""
        required = len(fields) == shapes and all(field.required for field in fields)
        use = ' use="required"' if required else ""
        note = _note(said.get(fields[0].name, ""))
        values = [field.value for field in fields if field.value is not None]
        merged = _merged(values)
        if merged.name:
            head = f'<xs:attribute name="{name}" type="{self._named(merged)}"{use}'
            return f"{head}>{note}</xs:attribute>" if note else f"{head}/>"
        inside = f"<xs:simpleType>{merged.xsd()}</xs:simpleType>"
        return f'<xs:attribute name="{name}"{use}>{note}{inside}</xs:attribute>'

    def _simple(self, values: Sequence[ValueType], *, or_empty: bool = False) -> str:
        merged = _merged(values)
        name = merged.name or f"words{len(self._values) + 1}"
        if merged.name:
            name = self._named(merged)
        else:
            known = next((n for n, xsd in self._values.items() if xsd == merged.xsd()), None)
            name = known or name
            self._values[name] = merged.xsd()
        if not or_empty or merged is ANY:
            return name
        blank = (
            '<xs:simpleType><xs:restriction base="xs:token"><xs:enumeration value=""/></xs:restriction></xs:simpleType>'
        )
        self._values[f"{name}OrNothing"] = f'<xs:union memberTypes="{name}">{blank}</xs:union>'
        return f"{name}OrNothing"

    def _named(self, value: ValueType) -> str:
        known = self._values.setdefault(value.name, value.xsd())
        assert known == value.xsd(), f"two value types are called {value.name}"
        return value.name


def _merged(values: Sequence[ValueType]) -> ValueType:
    """The type of what any of these allow."""
    if len(values) == 1:
        return values[0]
    different: dict[str, ValueType] = {}
    for value in values:
        for each in value.types if isinstance(value, OneOf) else (value,):
            different.setdefault(each.xsd(), each)
    if ANY.xsd() in different:
        return ANY
    words = [each for each in different.values() if isinstance(each, Choice | Words)]
    if len(words) > 1:  # one list of words is quicker to go through than a union of lists
        different = {xsd: each for xsd, each in different.items() if each not in words}
        one = Choice(tuple(dict.fromkeys(word for each in words for word in each.words)))
        different = {one.xsd(): one} | different
    if len(different) == 1:
        return next(iter(different.values()))
    return OneOf(tuple(different.values()))


def _common_name(nodes: Nodes) -> str:
    if len(nodes) == 1:
        return nodes[0].__name__
    for base in nodes[0].__mro__:
        if base in (Node, Definition):
            break
        if all(issubclass(node, base) for node in nodes):
            return base.__name__
    return "Or".join(node.__name__ for node in nodes[:2])


def _about_of_all(nodes: Iterable[type[Node]]) -> str:
    return " ".join(dict.fromkeys(text for node in nodes if (text := describe(node)[0])))


def _note(text: str) -> str:
    return (
        f"<xs:annotation><xs:documentation>{escape(text, quote=False)}</xs:documentation></xs:annotation>"
        if text
        else ""
    )


def _indented(text: str) -> str:
    from lxml import etree

    root = etree.fromstring(text, etree.XMLParser(remove_blank_text=True))
    etree.indent(root, "  ")
    return etree.tostring(root, encoding="unicode") + "\n"
