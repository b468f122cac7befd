"""Small machines of VMware's for tests."""

from __future__ import annotations

from typing import cast

from lxml import etree

from engine.conf.documents import format, parse
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.native import Conversion, NativeText
from engine.vmx import FileNames, read_vmx, write_vmx

__all__ = ["holds", "machine", "told", "vmx_of", "written"]

FILES = FileNames(datastore="disks", directory="box", datastores={"4a-77": "tapes", "gone": None})


def machine(*lines: str, source: str | None = None) -> Conversion:
    """The domain of a .vmx with these lines, ``key = value``, beside those that every one has."""
    text = "\n".join(('config.version = "8"', 'virtualHW.version = "7"', 'displayName = "box"', *lines))
    return read_vmx(text, files=FILES, source=source)


def holds(result: Conversion, snippet: str) -> bool:
    """Whether the domain has such an element: with these attributes, and each of these children with theirs."""
    wanted = etree.fromstring(snippet)
    root = etree.fromstring(format(result.definition))
    return any(_fits(element, wanted) for element in root.iter(wanted.tag))


def _fits(element: etree._Element, wanted: etree._Element) -> bool:
    attributes = all(element.get(name) == value for name, value in wanted.attrib.items())
    return attributes and all(any(_fits(child, each) for child in element.findall(each.tag)) for each in wanted)


def vmx_of(inside: str, *, around: str = "", hardware: int = 4, adapters: dict[str, str] | None = None) -> NativeText:
    """The .vmx of a domain with these devices, and with this around them."""
    domain = (
        "<domain type='vmware'><name>box</name><uuid>00112233-4455-6677-8899-aabbccddeeff</uuid>"
        f"<memory unit='MiB'>64</memory><os><type>hvm</type></os>{around}<devices>{inside}</devices></domain>"
    )
    definition = cast(DomainDocument, parse(domain, validate=False))
    return write_vmx(definition, hardware_version=hardware, adapters=adapters)


def written(text: NativeText, prefix: str) -> list[str]:
    """The lines whose keys begin so, without that beginning."""
    return [line.removeprefix(prefix) for line in text.text.splitlines() if line.startswith(prefix)]


def told(result: Conversion | NativeText) -> list[str]:
    """The warnings, as ``line place: reason``."""
    return [f"{problem.line} {problem}" for problem in result.warnings]
