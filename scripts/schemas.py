#!/usr/bin/env python3
"""Writes ``schemas/*.xsd`` from the declarations in ``engine/conf/kinds``; ``--check`` only says which are stale."""

from __future__ import annotations

import sys
from pathlib import Path

from engine.conf.kinds.registry import KINDS, definition_classes
from engine.conf.nodes.xsd import schema_of

SCHEMAS = Path(__file__).resolve().parent.parent / "schemas"


def main(*, check: bool) -> int:
    stale = []
    for kind in KINDS:
        about = f" Made by scripts/schemas.py from {KINDS[kind][0].replace('.', '/')}. "
        file, text = SCHEMAS / f"{kind}.xsd", schema_of(kind, definition_classes(kind), about=about)
        if not file.exists() or file.read_text(encoding="utf-8") != text:
            stale.append(file.name)
            if not check:
                file.write_text(text, encoding="utf-8")
    if stale:
        sys.stdout.write(f"{'stale' if check else 'written'}: {', '.join(stale)}\n")
    return 1 if stale and check else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
