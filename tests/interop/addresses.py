#!/usr/bin/env python3
"""Do devices get the addresses that libvirt gives them?

Over the domains of which the corpus has what libvirt makes of them: the result, without the addresses and PCI
controllers that the document does not have, must become the result again. What libvirt's tests say the hypervisor
can do is not in the corpus, so each domain is tried as of a hypervisor of today, then as of older ones. Prints for each
kind of machine the share that comes back equal, which hypervisor that took, and the first differences of the others.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from itertools import product
from pathlib import Path
from typing import Any

import msgspec
from interop.corpus import corpus
from lxml import etree

from engine.conf.defaults.addresses import Abilities, assign_addresses
from engine.conf.defaults.addresses.machines import machine_of
from engine.conf.documents import diff, format, parse
from engine.conf.kinds.domain.document import DomainDocument
from engine.errors import ConfigError

_PARTS = ("domain", "bus", "slot", "function", "multifunction")


def hypervisors() -> list[Abilities]:
    """Of today first, then with less and less."""
    names = Abilities.__struct_fields__
    choices = sorted(product((True, False), repeat=len(names)), key=lambda each: -sum(each))
    return [Abilities(**dict(zip(names, each, strict=True))) for each in choices]


def pairs() -> list[tuple[Path, Path]]:
    """Each document with what becomes of it; where that is kept of a running and of a stopped domain, both."""
    tests = corpus() / "tests"
    found = []
    for after in sorted((tests / "qemuxml2xmloutdata").glob("*.xml")):
        name = after.name.partition(".")[0]
        before = tests / "qemuxml2argvdata" / f"{name}.xml"
        if not before.exists():
            name = name.removesuffix("-active").removesuffix("-inactive").removesuffix("-abi-update")
            before = tests / "qemuxml2argvdata" / f"{name}.xml"
        if before.exists():
            found.append((before, after))
    return found


def strip(before: Path, after: Path) -> bytes:
    """The result without the addresses, settings and PCI controllers that the document does not have."""
    source = etree.parse(str(before)).find("devices")
    root = etree.parse(str(after), etree.XMLParser(remove_comments=True)).getroot()
    devices = root.find("devices")
    if source is None or devices is None:
        return etree.tostring(root)
    given = defaultdict(list)
    for element in source.iterchildren("*"):
        given[_loose(element)].append(element)
    for element in list(devices.iterchildren("*")):
        queue = given[_loose(element)]
        fitting = [each for each in queue if _agrees(each, element)]
        match = fitting[0] if fitting else None
        if match is not None:
            queue.remove(match)
        _strip_one(devices, element, match)
    return etree.tostring(root)


def _loose(element: etree._Element) -> tuple[str, str, str]:
    target = element.find("target")
    name = target.get("dev", "") if target is not None and element.tag == "disk" else ""
    return str(element.tag), str(element.get("type", "")) if element.tag in ("controller", "hostdev") else "", name


def _agrees(source: etree._Element, result: etree._Element) -> bool:
    """Whether one can have become the other: what both say is the same."""
    if source.tag == "controller":
        given = {str(name): str(value) for name, value in source.attrib.items() if name in ("index", "model")}
        if any(value != result.get(name) for name, value in given.items()):
            return False
    for path in ("model", "source/address"):
        ours, theirs = source.find(path), result.find(path)
        if ours is not None and theirs is not None and ours.get("type") not in (None, theirs.get("type")):
            return False
    ours, theirs = source.find("address"), result.find("address")
    if ours is not None and theirs is not None and ours.get("type") == theirs.get("type"):
        for name, value in ours.attrib.items():
            if name in _PARTS and value and theirs.get(str(name)) and not _same(str(value), theirs.get(str(name), "")):
                return not _number(ours, "slot") and not _number(ours, "bus")
    return True


def _number(address: etree._Element, name: str) -> int:
    return int(str(address.get(name, "0")), 0)


def _same(ours: str, theirs: str) -> bool:
    try:
        return int(ours, 0) == int(theirs, 0)
    except ValueError:
        return ours == theirs


def _strip_one(devices: etree._Element, element: etree._Element, match: etree._Element | None) -> None:
    pci = element.tag == "controller" and element.get("type") == "pci"
    if match is None and pci:
        devices.remove(element)
        return
    for tag in ("address", "model", "target") if pci else ("address",):
        ours, theirs = match.find(tag) if match is not None else None, element.find(tag)
        if theirs is not None:
            element.remove(theirs)
        if ours is not None:
            element.append(etree.fromstring(etree.tostring(ours, with_tail=False)))
    if match is None and element.tag == "controller":
        element.set("made-up", "yes")


def load(text: bytes) -> DomainDocument:
    """The definition; controllers that were added by the script's mark have no line, as those that are made."""
    root = etree.fromstring(text)
    devices = root.find("devices")
    made = [] if devices is None else [each.get("made-up") == "yes" for each in devices.iterchildren("controller")]
    etree.strip_attributes(root, "made-up")
    found: Any = parse(etree.tostring(root), validate=False)
    assert isinstance(found, DomainDocument)
    if found.devices is None:
        return found
    controllers = tuple(
        msgspec.structs.replace(each, line=0) if mark else each
        for each, mark in zip(found.devices.controllers, made, strict=True)
    )
    return msgspec.structs.replace(found, devices=msgspec.structs.replace(found.devices, controllers=controllers))


def written_differently(expected: etree._Element, result: etree._Element) -> list[str]:
    """Of the devices: whose attributes are other texts, though they mean the same."""
    found = []
    ours, theirs = result.find("devices"), expected.find("devices")
    for tag in sorted({str(each.tag) for each in (ours if ours is not None else ()) if each.tag != "controller"}):
        for mine, other in zip(result.iterfind(f"devices/{tag}"), expected.iterfind(f"devices/{tag}"), strict=True):
            found += _of_addresses(mine, other, "address")
    for mine, other in zip(result.iterfind("devices/controller"), expected.iterfind("devices/controller"), strict=True):
        for path in ("address", "target", "model"):
            found += _of_addresses(mine, other, path)
    assert theirs is not None or ours is None
    return found


def _of_addresses(mine: etree._Element, other: etree._Element, path: str) -> list[str]:
    one, two = mine.find(path), other.find(path)
    before = {} if two is None else {**two.attrib, **{k: v for each in two for k, v in each.attrib.items()}}
    after = {} if one is None else {**one.attrib, **{k: v for each in one for k, v in each.attrib.items()}}
    return [] if before == after else [f"{mine.tag}: {before} became {after}"]


def try_one(before: Path, after: Path) -> tuple[str, str, list[str]]:
    """The machine, the hypervisor that it took ("" if none does), and the differences as of today's."""
    expected: Any = parse(after.read_bytes(), validate=False)
    stripped = load(strip(before, after))
    board = machine_of(expected, Abilities()).board.value
    new = after.name.partition(".")[0].endswith("-abi-update")
    shown: list[str] = []
    for abilities in hypervisors():
        try:
            result = assign_addresses(stripped, abilities=abilities, new=new)
        except ConfigError as exc:
            found = [str(exc)]
        else:
            found = [str(each) for each in diff(expected, result)]
            found = found or written_differently(etree.parse(str(after)).getroot(), etree.fromstring(format(result)))
        if not found:
            lacking = [name for name in abilities.__struct_fields__ if not getattr(abilities, name)]
            return board, "today's" if not lacking else f"without {', '.join(lacking)}", []
        shown = shown if shown and len(shown) <= len(found) else found
    return board, "", shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names; all if there are none")
    parser.add_argument("--show", type=int, default=3, help="differences of each document")
    chosen = parser.parse_args()
    equal, total, took = Counter[str](), Counter[str](), Counter[str]()
    for before, after in pairs():
        if chosen.names and not any(name in after.name for name in chosen.names):
            continue
        board, hypervisor, differences = try_one(before, after)
        total[board] += 1
        equal[board] += bool(hypervisor)
        took[hypervisor] += bool(hypervisor)
        if differences:
            lines = "".join(f"    {each}\n" for each in differences[: chosen.show])
            sys.stdout.write(f"{after.name}: {len(differences)} differences\n{lines}")
    for board in sorted(total):
        sys.stdout.write(f"{board}: {equal[board]} of {total[board]} come back equal\n")
    sys.stdout.write(f"all: {sum(equal.values())} of {sum(total.values())}\n")
    for hypervisor, count in took.most_common():
        if count:
            sys.stdout.write(f"  {count} as of a hypervisor {hypervisor}\n")


if __name__ == "__main__":
    main()
