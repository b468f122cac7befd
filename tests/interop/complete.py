#!/usr/bin/env python3
"""Are definitions completed as libvirt completes them?

Over the pairs of the corpus, what is defined (``qemuxml2argvdata``) and what libvirt then shows of it
(``qemuxml2xmloutdata``): prints the share that comes out equal, by architecture, and what differs in the others, by
place, the most frequent first. Equal is: the same attributes and texts, and children of each tag in the same order.
``--bare`` leaves out addresses and PCI controllers, on both sides.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
from interop.corpus import corpus
from lxml import etree

from engine.conf.defaults.capabilities import present_qemu
from engine.conf.defaults.complete import complete
from engine.conf.defaults.context import Folders
from engine.conf.documents import format, parse
from engine.conf.kinds.domain.document import DomainDocument
from engine.errors import ConfigError

#: The corpus' QEMU for i686 is that for x86_64.
_LATEST = msgspec.structs.replace(present_qemu(), cpus={**present_qemu().cpus, ("i686", ""): "qemu64"})
#: Where the corpus has what is made up.
_FOLDERS = Folders(channels="/tmp/channel", state="/tmp/lib")
_PARSER = etree.XMLParser(remove_comments=True, remove_pis=True)
_VERSIONED = re.compile(r"\.(?P<arch>\w+)-(latest|[0-9.]+)$")


def pairs() -> Iterator[tuple[str, Path, Path]]:
    """Of each case the name, what is defined and what is shown then."""
    tests = corpus() / "tests"
    for shown in sorted((tests / "qemuxml2xmloutdata").glob("*.xml")):
        name = re.sub("-(in)?active$", "", _VERSIONED.sub("", shown.stem))
        defined = tests / "qemuxml2argvdata" / f"{name}.xml"
        if defined.is_file():
            yield shown.stem, defined, shown


def differences(ours: etree._Element, theirs: etree._Element, path: str) -> Iterator[str]:
    """Where two elements differ: the place without numbers, and what each has."""
    for name in sorted({*ours.keys(), *theirs.keys()}):
        if ours.get(name) != theirs.get(name):
            yield f"{path}/@{name}: {ours.get(name)!r} should be {theirs.get(name)!r}"
    texts = [(each.text or "").strip() for each in (ours, theirs)]
    if texts[0] != texts[1]:
        yield f"{path}: {texts[0]!r} should be {texts[1]!r}"
    for tag in dict.fromkeys(str(child.tag) for each in (ours, theirs) for child in each):
        a, b = ours.findall(tag), theirs.findall(tag)
        yield from _of_children(a, b, f"{path}/{tag}")


def _of_children(ours: list[etree._Element], theirs: list[etree._Element], path: str) -> Iterator[str]:
    if len(ours) == len(theirs):
        for one, other in zip(ours, theirs, strict=True):
            yield from differences(one, other, path)
        return
    left, right = ([_shown(each) for each in side] for side in (ours, theirs))
    for text in left:
        if text not in right:
            yield f"{path}: surplus {text}"
    for text in right:
        if text not in left:
            yield f"{path}: lacks {text}"


def _shown(element: etree._Element) -> str:
    return re.sub(r"\s+", " ", etree.tostring(element, encoding="unicode", with_tail=False))[:300]


def _bare(root: etree._Element) -> None:
    for device in root.findall("devices/*"):
        if device.tag == "controller" and device.get("type") == "pci":
            root.find("devices").remove(device)
        for address in device.findall("address"):
            device.remove(address)


def case(defined: Path, shown: Path, *, bare: bool) -> tuple[str, list[str]]:
    """The architecture, and what differs."""
    expected = etree.parse(shown, _PARSER).getroot()
    arch = expected.find("os/type").get("arch", "none")
    try:
        text = defined.read_bytes()
        definition = parse(text, validate=False)
        assert isinstance(definition, DomainDocument)
        known = _LATEST if shown.stem.endswith("-latest") else None
        live = shown.stem.partition(".")[0].endswith("-active")
        completed = complete(definition, known, seed=1, live=live, new=False, folders=_FOLDERS, addresses=not bare)
        ours = etree.fromstring(format(completed), _PARSER)
    except ConfigError as exc:
        return arch, [f"refused: {exc}"]
    if bare:
        for each in (ours, expected):
            _bare(each)
    return arch, list(differences(ours, expected, ""))


def main(*, bare: bool, show: int, only: str) -> None:
    equal: Counter[str] = Counter()
    total: Counter[str] = Counter()
    places: dict[str, list[str]] = defaultdict(list)
    for name, defined, shown in pairs():
        if only and not re.search(only, name):
            continue
        arch, found = case(defined, shown, bare=bare)
        total[arch] += 1
        equal[arch] += not found
        for place, details in _by_place(found).items():
            places[place].append(f"{'ONLY ' if len(_by_place(found)) == 1 else ''}{name}: {'; '.join(details[:3])}")
    for arch in sorted(total, key=lambda arch: -total[arch]):
        sys.stdout.write(f"{arch}: {equal[arch]} of {total[arch]}, {100 * equal[arch] / total[arch]:.1f} %\n")
    for place, cases in sorted(places.items(), key=lambda item: -len(item[1])):
        sys.stdout.write(f"{len(cases):4} {place}\n")
        for line in cases[:show]:
            sys.stdout.write(f"       {line}\n")


def _by_place(found: list[str]) -> dict[str, list[str]]:
    places: dict[str, list[str]] = defaultdict(list)
    for difference in found:
        place, _, detail = difference.partition(": ")
        places[place].append(detail)
    return places


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--bare", action="store_true")
    arguments.add_argument("--show", type=int, default=3, help="cases a place")
    arguments.add_argument("--only", default="", help="cases whose name fits this regular expression")
    given = arguments.parse_args()
    main(bare=given.bare, show=given.show, only=given.only)
