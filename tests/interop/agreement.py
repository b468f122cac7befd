#!/usr/bin/env python3
"""Do the schemas and definitions say of a document what libvirt's own schemas say of it?

Over the documents of the corpus, and over those that come of them by mutation: an element or attribute renamed, removed
or doubled, a value broken. Of mutations at the same place a few are tried, or with ``--every`` all. Prints the share
that agrees, and the places where it does not. A part of the domain document is looked at alone with
``--part disk=disk@engine.conf.kinds.domain.disk:Disk``: its tag, the name of libvirt's pattern of it, and where its
node, or union of nodes, is.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from interop.corpus import corpus
from lxml import etree
from support.elements import read_both

from engine.conf.documents import validate
from engine.conf.nodes.node import Node
from engine.conf.nodes.plan import nodes_of
from engine.conf.nodes.reading import Found, told
from engine.conf.nodes.xsd import schema_of
from engine.errors import ConfigError

#: libvirt's schema, by the root's tag.
ORACLES = {
    "domain": "domain",
    "domainsnapshot": "domainsnapshot",
    "domaincheckpoint": "domaincheckpoint",
    "domainbackup": "domainbackup",
    "capabilities": "capability",
    "domainCapabilities": "domaincaps",
    "cpu": "cpu",
    "network": "network",
    "networkport": "networkport",
    "pool": "storagepool",
    "volume": "storagevol",
    "storagepoolCapabilities": "storagepoolcaps",
    "interface": "interface",
    "device": "nodedev",
    "filter": "nwfilter",
    "filterbinding": "nwfilterbinding",
    "secret": "secret",
}
_A_FEW = 3


class Subject:
    """Documents of one kind: what libvirt says of one, and what we say."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._schemas = corpus() / "src" / "conf" / "schemas"
        self.oracle = self._oracle()

    def _oracle(self) -> etree.RelaxNG:
        return etree.RelaxNG(etree.parse(self._schemas / f"{ORACLES[self.name]}.rng"))

    def documents(self) -> Iterator[tuple[Path, bytes]]:
        for file in sorted((corpus() / "tests").rglob("*.xml")):
            try:
                if etree.parse(file).getroot().tag == self.name:
                    yield file, file.read_bytes()
            except etree.XMLSyntaxError:
                continue

    def ours(self, text: bytes) -> list[str]:
        """What we find wrong."""
        try:
            return [str(problem) for problem in validate(text) if problem.severity == "error"]
        except ConfigError as exc:
            return [str(exc)]

    def theirs(self, text: bytes) -> str:
        """What libvirt finds wrong, or ""."""
        if self.oracle.validate(etree.fromstring(text)):
            return ""
        return "; ".join(f"{error.line}: {error.message}" for error in list(self.oracle.error_log)[:2]) or "refused"


class Part(Subject):
    """One element of domain documents, wherever it stands in them."""

    def __init__(self, what: str) -> None:
        tag, _, rest = what.partition("=")
        self._define, _, where = rest.partition("@")
        module, _, name = where.partition(":")
        self.nodes: tuple[type[Node], ...] = nodes_of(getattr(import_module(module), name))
        self._schema = etree.XMLSchema(etree.fromstring(schema_of(tag, self.nodes).encode()))
        super().__init__(tag)

    def _oracle(self) -> etree.RelaxNG:
        href = (self._schemas / "domainoverrides.rng").as_uri()
        start = f'<include href="{href}"/><start><ref name="{self._define}"/></start>'
        text = f'<grammar xmlns="http://relaxng.org/ns/structure/1.0">{start}</grammar>'
        return etree.RelaxNG(etree.fromstring(text))

    def documents(self) -> Iterator[tuple[Path, bytes]]:
        seen: set[bytes] = set()
        for file in sorted((corpus() / "tests").rglob("*.xml")):
            try:
                root = etree.parse(file).getroot()
            except etree.XMLSyntaxError:
                continue
            for element in root.iter(self.name) if "domain" in str(root.tag) else ():
                text = etree.tostring(element, with_tail=False)
                if text not in seen and not self.theirs(text):
                    seen.add(text)
                    yield file, text

    def ours(self, text: bytes) -> list[str]:
        root = etree.fromstring(text)
        found: list[Found] = []
        read_both(self.nodes, root, found)
        problems = [str(problem) for problem in told(found)]
        if not self._schema.validate(root):
            problems.append(f"the schema: {self._schema.error_log[0].message}")
        return problems


def place(element: etree._Element) -> str:
    """Where an element stands, with the words that tell its shape, and without numbers."""
    parts = []
    for each in (element, *element.iterancestors()):
        words = ("type", "mode", "device", "model", "bus")
        shape = "".join(f"[{name}={each.get(name)}]" for name in words if each.get(name))
        parts.append(f"{str(each.tag).rpartition('}')[2]}{shape if len(shape) < 60 else ''}")
    return "/".join(reversed(parts))


def mutations(root: etree._Element) -> Iterator[tuple[str, etree._Element]]:
    """Each with its place; the tree is put right again before the next."""
    for element in [each for each in root.iter() if isinstance(each.tag, str)]:
        if any(str(each.tag) == "metadata" for each in element.iterancestors()):
            continue
        yield from _of_element(root, element, place(element))
        for name, value in list(element.attrib.items()):
            yield from _of_attribute(root, element, f"{place(element)}/@{name}", str(name), str(value))
        if not len(element):
            yield from _of_text(root, element, place(element))


def _of_element(root: etree._Element, element: etree._Element, at: str) -> Iterator[tuple[str, etree._Element]]:
    parent, tag, tail = element.getparent(), element.tag, element.tail
    element.tag = f"{tag}x"
    yield f"renamed {at}", root
    element.tag = tag
    element.set("surplus", "1")
    yield f"surplus {at}", root
    del element.attrib["surplus"]
    if parent is not None:
        index = parent.index(element)
        parent.remove(element)
        yield f"removed {at}", root
        parent.insert(index, element)
        element.tail = tail
        twin = etree.fromstring(etree.tostring(element))
        element.addnext(twin)
        yield f"doubled {at}", root
        parent.remove(twin)
        element.tail = tail


def _of_attribute(
    root: etree._Element, element: etree._Element, at: str, name: str, value: str
) -> Iterator[tuple[str, etree._Element]]:
    del element.attrib[name]
    yield f"removed {at}", root
    element.set(f"{name}x", value)
    yield f"renamed {at}", root
    del element.attrib[f"{name}x"]
    for broken in ("", "-7", "bro ken", f"{value}x", value.upper(), "4294967296", "yes", "0x1f"):
        if broken != value:
            element.set(name, broken)
            yield f"value {at}={broken if broken != f'{value}x' else '...x'}", root
    element.set(name, value)


def _of_text(root: etree._Element, element: etree._Element, at: str) -> Iterator[tuple[str, etree._Element]]:
    text = element.text or ""
    for broken in ("", "-7", "bro ken", f"{text}x", "4294967296", "\n  ", f" {text}\n"):
        if broken != text:
            element.text = broken
            yield f"value {at}={broken if broken != f'{text}x' else '...x'}", root
    element.text = text


def compare(subject: Subject, *, every: bool, show: int, only: str) -> None:
    """Prints how many agree, of how many, and where they don't."""
    tried: Counter[str] = Counter()
    disagreed: dict[str, list[str]] = defaultdict(list)
    agreed, total = Counter[bool](), Counter[bool]()

    def judge(label: str, text: bytes, file: Path) -> None:
        theirs, problems = subject.theirs(text), subject.ours(text)
        as_it_is = label == "as it is"
        total[as_it_is] += 1
        if bool(theirs) is bool(problems):
            agreed[as_it_is] += 1
        else:
            why = f"libvirt: {theirs}" if theirs else f"libvirt takes it, we: {problems[0]}"
            disagreed[label].append(f"{file.name}: {why}")

    for file, text in subject.documents():
        if not only or only == "valid":
            judge("as it is", text, file)
        root = etree.fromstring(text, etree.XMLParser(remove_comments=True))
        if only == "valid" or not subject.oracle.validate(root):
            continue
        for label, mutant in mutations(root):
            if (not only or only in label) and (every or tried[label] < _A_FEW):
                tried[label] += 1
                judge(label, etree.tostring(mutant), file)
    count = total[False]
    share = f"{100 * agreed[False] / count:.2f} % of {count} mutations" if count else "no mutations"
    sys.stdout.write(f"{subject.name}: {agreed[True]} of {total[True]} documents agree, {share}\n")
    for label, cases in sorted(disagreed.items(), key=lambda item: -len(item[1]))[:show]:
        sys.stdout.write(f"  {len(cases):4} {label}\n         {cases[0]}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*")
    parser.add_argument("--part", action="append", default=[], help="TAG=DEFINE@MODULE:NAME")
    parser.add_argument("--every", action="store_true")
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("--only", default="", help="only mutations whose label holds this text; 'valid': none at all")
    chosen = parser.parse_args()
    subjects = [*map(Part, chosen.part), *map(Subject, chosen.kinds)] or [*map(Subject, ORACLES)]
    for each in subjects:
        compare(each, every=chosen.every, show=chosen.show, only=chosen.only)
