"""Nodes to elements: what was read is written again, in the order of the declarations."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lxml import etree

from engine.conf.nodes.node import Attr, Body, Child, Children, Definition, Flag, Node, Open, Text
from engine.conf.nodes.plan import Field, plan_of
from engine.conf.nodes.values import HIDDEN

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["element_of", "write_document"]

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


def write_document(definition: Definition) -> str:
    """The document as text, indented by two spaces, without an XML declaration."""
    root = etree.Element(definition.kind, nsmap=_prefixes(definition))
    _fill(root, definition)
    _indent(root, 0)
    return etree.tostring(root, encoding="unicode") + "\n"


def _prefixes(definition: Definition) -> dict[str, str]:
    """For the namespaces of the root's children; what is kept as text brings its own."""
    fields = plan_of(type(definition)).fields
    used = (f.tag[1:].partition("}")[0] for f in fields if f.tag.startswith("{") and getattr(definition, f.name))
    return {PREFIXES.get(uri, f"ns{number}"): uri for number, uri in enumerate(used)}


def element_of(tag: str, node: Node, *, hide: bool = False) -> Element:
    """The node as an element of that name; ``hide``: for people's eyes, without its secrets."""
    element = etree.Element(tag)
    _fill(element, node, hide)
    return element


def _fill(element: Element, node: Node, hide: bool = False) -> None:
    for field in plan_of(type(node)).fields:
        value = getattr(node, field.name)
        if value is None or value is False or value == ():
            if value is False and field.place is not Flag:
                _put(element, field, value, hide)
            continue
        for each in value if field.many else (value,):
            _put(element, field, HIDDEN if hide and field.value is not None and field.value.secret else each, hide)
    if node.other is not None:
        for name, text in node.other.attributes:
            element.set(name, text)
        for child in node.other.children:
            element.append(etree.fromstring(child))


def _put(element: Element, field: Field, value: Any, hide: bool) -> None:
    place = field.place
    if place is Attr:
        element.set(field.tag, field.value.write(value))  # type: ignore[union-attr]
    elif place is Child:
        _fill(etree.SubElement(element, field.tag), value, hide)
    elif place is Body:
        element.text = field.value.write(value)  # type: ignore[union-attr]
    elif place is Text:
        etree.SubElement(element, field.tag).text = field.value.write(value)  # type: ignore[union-attr]
    elif place is Flag:
        etree.SubElement(element, field.tag)
    elif place is Children:
        tag = next(tag for tag, nodes in field.tags if isinstance(value, nodes))
        _fill(etree.SubElement(element, tag), value, hide)
    else:
        assert place is Open
        element.append(etree.fromstring(value))


def _indent(element: Element, depth: int) -> None:
    """As ``etree.indent``, but where there is text it stays as it is."""
    texts = (element.text, *(child.tail for child in element))
    if not len(element) or any(text is not None and text.strip() for text in texts):
        return
    element.text = "\n" + "  " * (depth + 1)
    for child in element:
        _indent(child, depth + 1)
        child.tail = "\n" + "  " * (depth + (1 if child.getnext() is not None else 0))
