#!/usr/bin/env python3
"""Are conversions from .vmx to domains, and back, what libvirt's are?

Over the corpus' ``vmx2xmldata`` and ``xml2vmxdata``. What a conversion is told beside the document, libvirt's own tests
have from their programs; here it is: the .vmx is in ``[datastore] directory``; the datastore called ``missing`` is not
there; the version of the virtual hardware, and the path of the datacenter, are those of the expected output. Prints the
share of equal results, and the first differences of the others; ``--warnings``: what is told of each as well.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from interop.corpus import corpus
from lxml import etree

from engine.conf.documents import format, parse
from engine.conf.kinds.domain.document import DomainDocument
from engine.errors import ConfigError, Problem
from engine.vmx import FileNames, read_vmx, write_vmx
from engine.vmx.document import parse_vmx

FILES = FileNames(datastore="datastore", directory="directory", datastores={"missing": None})
_DATACENTER = "{http://libvirt.org/schemas/domain/vmware/1.0}datacenterpath"


def same(ours: etree._Element, theirs: etree._Element, at: str) -> Iterator[str]:
    """What differs: attributes as sets, children of one tag in order, white space and comments apart."""
    at = f"{at}/{ours.tag}"
    if sorted(ours.items()) != sorted(theirs.items()):
        yield f"{at}: {ours.items()} is not {theirs.items()}"
    if (ours.text or "").strip() != (theirs.text or "").strip():
        yield f"{at}: {ours.text!r} is not {theirs.text!r}"
    for tag in sorted({str(each.tag) for each in (*ours, *theirs) if isinstance(each.tag, str)}):
        mine, other = ours.findall(tag), theirs.findall(tag)
        if len(mine) != len(other):
            yield f"{at}: {len(mine)} <{tag}> are not {len(other)}"
        for one, another in zip(mine, other, strict=False):
            yield from same(one, another, at)


def from_vmx(file: Path) -> tuple[list[str], tuple[Problem, ...]]:
    expected = etree.parse(file.with_suffix(".xml"), etree.XMLParser(remove_comments=True)).getroot()
    try:
        result = read_vmx(file.read_bytes(), files=FILES, datacenter_path=expected.findtext(_DATACENTER))
    except ConfigError as exc:
        return [str(exc)], ()
    return list(same(etree.fromstring(format(result.definition)), expected, "")), result.warnings


def to_vmx(file: Path) -> tuple[list[str], tuple[Problem, ...]]:
    expected = file.with_suffix(".vmx").read_text()
    version = parse_vmx(expected).get("virtualHW.version")
    try:
        definition = parse(file.read_bytes(), validate=False)
        assert isinstance(definition, DomainDocument) and version is not None
        result = write_vmx(definition, hardware_version=int(version.value))
    except ConfigError as exc:
        return [str(exc)], ()
    ours, theirs = result.text.splitlines(), expected.splitlines()
    lacking = [f"- {line}" for line in theirs if line not in ours] + [
        f"+ {line}" for line in ours if line not in theirs
    ]
    return lacking or ([] if ours == theirs else ["the same lines in another order"]), result.warnings


def compare(show: int, warnings: bool) -> None:
    for folder, ending, convert in (("vmx2xmldata", ".vmx", from_vmx), ("xml2vmxdata", ".xml", to_vmx)):
        equal, total = 0, 0
        other = {".vmx": ".xml", ".xml": ".vmx"}[ending]
        for file in sorted((corpus() / "tests" / folder).glob(f"*{ending}")):
            if not file.with_suffix(other).exists():
                continue
            found, told = convert(file)
            total += 1
            equal += not found
            for line in found[:show]:
                sys.stdout.write(f"{folder}/{file.name}: {line}\n")
            for problem in told if warnings else ():
                sys.stdout.write(f"  {file.name}:{problem.line}: {problem}\n")
        sys.stdout.write(f"{folder}: {equal} of {total} are equal\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--show", type=int, default=3, help="differences of each")
    parser.add_argument("--warnings", action="store_true")
    chosen = parser.parse_args()
    compare(chosen.show, chosen.warnings)
