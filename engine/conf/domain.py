"""The domain document: what the engine itself needs of it, typed; the whole text is kept, so nothing is lost."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import UUID, uuid4

import msgspec
from lxml import etree

from engine.conf.document import child_text, line_of, parse_document, to_text
from engine.conf.order import ORDER_NAMESPACE, Order, order_problems, parse_order
from engine.conf.units import to_kib
from engine.errors import ConfigError, Problem

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["DomainDefinition", "domain_problems", "parse_domain"]

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_ORDER = Order()
#: libvirt names a file after the domain, so it takes no longer ones either.
_LONGEST_NAME = 250


class DomainDefinition(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One domain's configuration.

    Attributes:
        type: the hypervisor type (``qemu``, ``kvm``, ``test``, ...).
        name: unique within a connection.
        uuid: lower case with dashes; made up when the document had none.
        memory, current_memory: KiB.
        vcpus: the maximum number of virtual CPUs.
        partition: ``<resource><partition>``, e.g. ``/machine/production``, or "".
        order: what ``<metadata>`` declares in ``urn:virengine:order:1``.
        text: the whole document, as it was given (written anew where a UUID had to be put in, or it was bytes).
        source: the file it came from, or None.
    """

    type: str
    name: str
    uuid: str
    memory: int = 0
    current_memory: int = 0
    vcpus: int = 1
    title: str = ""
    partition: str = ""
    order: Order = _NO_ORDER
    text: str
    source: str | None = None

    def element(self) -> Element:
        """The parsed document's root, anew at each call: a tree is much larger than its text."""
        return parse_document(self.text, source=self.source)


def parse_domain(
    text: str | bytes, *, source: str | None = None, validate: bool = False, explain: bool = True
) -> DomainDefinition:
    """A domain document as a definition.

    Args:
        validate: hold it to all that libvirt's documents are held to, not only to what the engine itself needs.
        explain: tell of all that is wrong with it then, for which a library is loaded.

    Raises:
        ConfigError: with the line, when it is not well-formed or what the engine needs is missing or wrong.
        InvalidDocument: it breaks the rules of domain documents.
    """
    root = parse_document(text, source=source)
    if root.tag != "domain":
        raise ConfigError(f"expected <domain>, found <{root.tag}>", source=source, line=line_of(root))
    if validate:
        from engine.conf.examining import check_document  # which takes some time, the first time

        check_document(root, source=source, explain=explain)
    fields = {child.tag: child for child in reversed(root)}
    domain_type = root.get("type")
    if not domain_type:
        raise ConfigError("<domain> lacks its attribute 'type'", source=source, line=line_of(root))
    name = _name(root, fields.get("name"), source)
    uuid, added = _uuid(root, fields, source)
    if added or not isinstance(text, str) or text.startswith("<?xml"):
        text = to_text(root)
    memory = _memory(fields.get("memory"), source)
    current = _memory(fields.get("currentMemory"), source)
    metadata = fields.get("metadata")
    declared = metadata.find(f"{{{ORDER_NAMESPACE}}}order") if metadata is not None else None
    resource = fields.get("resource")
    title = fields.get("title")
    return DomainDefinition(
        type=domain_type,
        name=name,
        uuid=uuid,
        memory=memory,
        current_memory=current or memory,
        vcpus=_vcpus(fields.get("vcpu"), source),
        title=(title.text or "").strip() if title is not None else "",
        partition=(child_text(resource, "partition") or "") if resource is not None else "",
        order=parse_order(declared, source=source) if declared is not None else _NO_ORDER,
        text=text.strip(),
        source=source,
    )


def domain_problems(root: Element) -> list[Problem]:
    """What would keep a domain from being defined that is no fault of its form: names, and its order."""
    found: list[Problem] = []
    declared = root.find(f"metadata/{{{ORDER_NAMESPACE}}}order")
    name = root.find("name")
    if declared is not None:
        found += order_problems(declared, (name.text or "") if name is not None else "")
    try:
        _name(root, name, None)
    except ConfigError as exc:
        found.append(Problem(line=exc.line or 1, xpath="/domain/name", reason=exc.reason))
    return found


def _name(root: Element, element: Element | None, source: str | None) -> str:
    if element is None or not element.text or not element.text.strip():
        line = line_of(root) if element is None else line_of(element)
        raise ConfigError("the domain has no <name>", source=source, line=line)
    name: str = element.text
    # libvirt (virXMLCheckIllegalChars, virDomainDefPostParse) refuses line ends and slashes
    reason = "may not hold a slash" if "/" in name else "is not a name" if name in (".", "..") else ""
    if not name.isprintable():  # nor what would forge the lines of a list
        reason = "may not hold line ends or other unprintable characters"
    if len(name.encode()) > _LONGEST_NAME:
        reason = f"is longer than {_LONGEST_NAME} bytes"
    if reason:
        raise ConfigError(f"<name> {name[:80]!r} {reason}", source=source, line=line_of(element))
    return name


def _uuid(root: Element, fields: dict[str, Element], source: str | None) -> tuple[str, bool]:
    """The UUID, and whether it had to be put into the document."""
    element = fields.get("uuid")
    if element is None:
        uuid = str(uuid4())
        added = etree.Element("uuid")
        added.text, added.tail = uuid, fields["name"].tail
        fields["name"].addnext(added)
        return uuid, True
    text = (element.text or "").strip()
    if _UUID.fullmatch(text):
        return text, False
    try:
        return str(UUID(text)), False
    except ValueError:
        raise ConfigError(f"<uuid> '{text}' is not a UUID", source=source, line=line_of(element)) from None


def _memory(element: Element | None, source: str | None) -> int:
    if element is None:
        return 0
    try:
        return to_kib(element.text or "", element.get("unit"))
    except ValueError as exc:
        raise ConfigError(f"<{element.tag}>: {exc}", source=source, line=line_of(element)) from exc


def _vcpus(element: Element | None, source: str | None) -> int:
    if element is None:
        return 1
    text = (element.text or "").strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10) or not 0 < int(text) <= 65535:
        raise ConfigError(f"<vcpu> '{text[:40]}' is not a number of CPUs", source=source, line=line_of(element))
    return int(text)
