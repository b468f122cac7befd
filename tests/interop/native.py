#!/usr/bin/env python3
"""Do conversions from and to configurations of Xen and LXC come out as libvirt's own?

Over the pairs of the corpus, both ways where there are two. A document is the same if its elements are, in any order of
attributes and of tags, those of the same tag in their order; a configuration is the same if its settings are, or in
other words if they are read as the same guest. Prints the share that is the same, and the first differences of the
others. A configuration of LXC without a document beside
it (of that name, or without ``-v3``) is one that libvirt refuses, or has its document in the other half.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interop.corpus import corpus
from lxml import etree

from engine.conf.documents import format as written
from engine.conf.documents import parse, validate
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.native import Host, from_native, to_native
from engine.conf.native.xl.text import Item, parse_text
from engine.errors import ConfigError

FOLDERS = {"xen-xl": "xlconfigdata", "xen-xm": "xmconfigdata", "lxc-tools": "lxcconf2xmldata"}


def same_tree(text: str | bytes) -> Any:
    """What is compared of a document."""
    return _tree(etree.fromstring(text, etree.XMLParser(remove_comments=True, remove_blank_text=True)))


def _tree(element: etree._Element) -> Any:
    children: dict[str, list[Any]] = {}
    for child in element:
        children.setdefault(str(child.tag), []).append(_tree(child))
    return (element.tag, (element.text or "").strip(), {str(k): str(v) for k, v in element.attrib.items()}, children)


def first_difference(expected: Any, found: Any, path: str = "") -> str:
    """Where two trees differ first."""
    tag, text, attributes, children = expected
    path = f"{path}/{tag}"
    if (text, attributes) != found[1:3]:
        return f"{path}: {text!r} {attributes} is {found[1]!r} {found[2]}"
    for name in dict.fromkeys((*children, *found[3])):
        ours, theirs = found[3].get(name, []), children.get(name, [])
        if len(ours) != len(theirs):
            return f"{path}/{name}: {len(theirs)} are expected, there are {len(ours)}"
        for one, other in zip(theirs, ours, strict=True):
            if one != other:
                return first_difference(one, other, path)
    return ""


def settings(text: str) -> dict[str, Any]:
    """What is compared of a configuration."""
    return {key: _value(item) for key, item in parse_text(text, None)[0].items()}


def _value(item: Item) -> Any:
    return [_value(each) for each in item.value] if isinstance(item.value, tuple) else item.value


def expected_document(file: Path) -> Path | None:
    for stem in (file.stem, file.stem.removesuffix("-v3")):
        if (document := file.with_name(f"{stem}.xml")).is_file():
            return document
    return None


def read_one(form: str, file: Path) -> tuple[str, list[str]]:
    """What is different, or "", and the warnings."""
    document = expected_document(file)
    try:
        uuid = etree.fromstring(document.read_bytes()).findtext("uuid") if document else None
        conversion = from_native(form, file.read_bytes(), source=file.name, host=Host(uuid=uuid))
    except ConfigError as exc:
        return (f"refused: {exc}" if document else ""), []
    text = written(conversion.definition)
    invalid = [str(problem) for problem in validate(text) if problem.severity == "error"]
    notes = [f"{each.line}: {each}" for each in conversion.warnings]
    if invalid:
        return f"invalid: {invalid[0]}", notes
    if document is None:
        return "", notes
    return first_difference(same_tree(document.read_bytes()), same_tree(text)), notes


def write_one(form: str, file: Path) -> tuple[str, list[str]]:
    """The same of the way back."""
    document = expected_document(file)
    assert document is not None
    try:
        definition = parse(document.read_bytes(), source=document.name)
        assert isinstance(definition, DomainDocument)
        native = to_native(form, definition)
    except ConfigError as exc:
        return f"refused: {exc}", []
    notes = [f"{each.line}: {each}" for each in native.warnings]
    if _reads_the_same(form, file.read_text(), native.text):
        return ("" if settings(file.read_text()) == settings(native.text) else "=other words"), notes
    expected, found = settings(file.read_text()), settings(native.text)
    for key in dict.fromkeys((*expected, *found)):
        if expected.get(key) != found.get(key):
            return f"{key}: {expected.get(key)!r} is {found.get(key)!r}", notes
    return "", notes


def _reads_the_same(form: str, one: str, other: str) -> bool:
    """Whether two configurations are of the same guest, whatever words they use."""
    first, second = (from_native(form, text).definition for text in (one, other))
    return first == second


def cases(form: str) -> Iterator[Path]:
    folder = corpus() / "tests" / FOLDERS[form]
    yield from sorted(file for file in folder.iterdir() if file.suffix in (".cfg", ".config"))


def _only_written(form: str, name: str) -> bool:
    """Whether the document is one that a configuration is made of, and not made of one: it lacks what libvirt adds."""
    file = corpus() / "tests" / FOLDERS[form] / name
    document = expected_document(file)
    if form == "lxc-tools" or document is None:
        return False
    return not write_one(form, file)[0] and etree.parse(document).find("devices/memballoon") is None


def compare(form: str, way: str, show: int, warnings: bool) -> None:
    convert = read_one if way == "from" else write_one
    results = {file.name: convert(form, file) for file in cases(form) if way == "from" or expected_document(file)}
    different = {name: why for name, (why, _) in results.items() if why and why != "=other words"}
    one_way = [name for name in different if way == "from" and _only_written(form, name)]
    for name in one_way:
        sys.stdout.write(f"{way} {form}: {name} is not counted: its document is written so, and is none that is read\n")
        del results[name], different[name]
    same = len(results) - len(different)
    words = sum(why == "=other words" for why, _ in results.values())
    share = f"{100 * same / max(len(results), 1):.2f} %"
    sys.stdout.write(f"{way} {form}: {same} of {len(results)}, {share}, {words} of these in other words\n")
    for name, why in [*different.items()][:show]:
        sys.stdout.write(f"  {name}: {why}\n")
    for name, (why, notes) in results.items() if warnings else ():
        for note in (*notes, *([why] if why.startswith("=") else [])):
            sys.stdout.write(f"    {name}: {note}\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("formats", nargs="*", default=[*FOLDERS])
    parser.add_argument("--show", type=int, default=20)
    parser.add_argument("--warnings", action="store_true", help="show what is told as not carried over")
    chosen = parser.parse_args()
    for each in chosen.formats:
        compare(each, "from", chosen.show, chosen.warnings)
        if each != "lxc-tools":
            compare(each, "to", chosen.show, chosen.warnings)
