"""Small domains, completed, and what is then written at a place of theirs."""

from __future__ import annotations

from typing import Any

from lxml import etree

from engine.conf.defaults.complete import complete
from engine.conf.documents import format, parse
from engine.conf.kinds.domain.document import DomainDocument

UUID = "c7a5fdbd-edaf-4455-926a-d65c16db1809"


def domain(
    devices: str = "", body: str = "", *, arch: str = "x86_64", machine: str = "pc", type_: str = "qemu"
) -> DomainDocument:
    """A domain with these children of <devices>, and of <domain>."""
    text = (
        f"<domain type='{type_}'><name>web</name><uuid>{UUID}</uuid><memory>1048576</memory>"
        f"<os><type arch='{arch}' machine='{machine}'>hvm</type></os>{body}<devices>{devices}</devices></domain>"
    )
    definition = parse(text)
    assert isinstance(definition, DomainDocument)
    return definition


def completed(devices: str = "", body: str = "", *, capabilities: Any = None, live: bool = False, **where: Any) -> Any:
    """The root of what is written of a domain that was completed, without addresses."""
    done = complete(domain(devices, body, **where), capabilities, seed=7, live=live, addresses=False)
    return etree.fromstring(format(done))


def shown(root: Any, path: str) -> list[str]:
    """The elements at a path, each as ``canonical`` text."""
    return [canonical(etree.tostring(element, encoding="unicode", with_tail=False)) for element in root.findall(path)]


def canonical(text: str) -> str:
    """An element with attributes, and children of several names, in order, and without spaces between tags."""
    root = etree.fromstring(text, etree.XMLParser(remove_blank_text=True))
    for element in root.iter():
        element[:] = sorted(element, key=lambda child: str(child.tag))
    return etree.tostring(root, method="c14n").decode()
