#!/usr/bin/env python3
"""Writes ``schemas/*.xsd`` from the declarations in ``engine/conf/kinds``; ``--check`` only says which are stale.

Types of values that several kinds have are in ``schemas/common.xsd``, which theirs include.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

from lxml import etree

from engine.conf.kinds.registry import KINDS, definition_classes
from engine.conf.nodes.xsd import schema_of

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"
XS = "{http://www.w3.org/2001/XMLSchema}"
COMMON = "common.xsd"


def schemas() -> dict[str, str]:
    """The schemas by the names of their files."""
    roots = {kind: etree.fromstring(schema_of(kind, definition_classes(kind)).encode()) for kind in KINDS}
    number = Counter(shown for root in roots.values() for shown in map(_shown, _values(root)))
    shared = sorted(shown for shown, kinds in number.items() if kinds > 1)
    texts = {COMMON: _text(etree.fromstring(_schema("".join(shared))), "engine/conf/kinds/values.py, and of its like")}
    for kind, root in roots.items():
        for value in _values(root):
            if number[_shown(value)] > 1:
                root.remove(value)
        root.insert(0, etree.Element(f"{XS}include", schemaLocation=COMMON))
        texts[f"{kind}.xsd"] = _text(root, KINDS[kind][0].replace(".", "/"))
    return texts


def _values(root: etree._Element) -> list[etree._Element]:
    """Types of values with names of their own; ``words1`` is just a number."""
    return [each for each in root.findall(f"{XS}simpleType") if not re.match(r"words\d", each.get("name", ""))]


def _shown(element: etree._Element) -> str:
    return etree.tostring(element, encoding="unicode", with_tail=False)


def _schema(inside: str) -> str:
    return f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{inside}</xs:schema>'


def _text(root: etree._Element, origin: str) -> str:
    etree.indent(root, "  ")
    head = f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- Made by scripts/schemas.py from {origin}. -->\n'
    return f"{head}{etree.tostring(root, encoding='unicode')}\n"


def main(*, check: bool) -> int:
    stale = []
    for name, text in schemas().items():
        file = SCHEMAS / name
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                file.write_text(text, encoding="utf-8")
    if stale:
        sys.stdout.write(f"{'stale' if check else 'written'}: {', '.join(stale)}\n")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
