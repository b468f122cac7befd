#!/usr/bin/env python3
"""Writes the parts of docs/ that follow from the code: `docs.py [--check]`, behind `make docs`.

The state diagram comes from the lifecycle table, the events from their docstrings, the errors from the tree's
docstring, the formats from their declarations; nothing of it is written twice. ``--check`` writes nothing and fails
when a page is out of date.
"""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import formats

from engine import errors, lifecycle
from engine.events import types

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Written by `make docs` from the code: change it there. -->\n"


def pages() -> dict[str, str]:
    """Each generated page by its file name."""
    return {"states.md": states(), "events.md": events(), "errors.md": error_tree()} | formats.pages()


def states() -> str:
    rows = "\n".join(
        f"| {state.value} | {', '.join(command.value for command in lifecycle.allowed(state)) or '-'} |"
        for state in lifecycle.State
    )
    return (
        f"# States\n{NOTE}\nArrows are what drivers report; in brackets the commands that ask for it.\n\n"
        f"```mermaid\n{lifecycle.diagram()}```\n\n| state | commands that are possible in it |\n| --- | --- |\n{rows}\n"
    )


def events() -> str:
    known = types.event_types()
    parts = [f"# Events\n{NOTE}\nEvery event carries the fields of those it is a kind of.\n"]
    for name in types.__all__:
        event_type: type[types.Event] | None = known.get(name)
        if event_type is None:
            continue
        kind = event_type.__bases__[0].__name__
        own = [field for field in event_type.__struct_fields__ if field in event_type.__annotations__]
        parts.append(f"## {name}\n")
        if kind != "Struct":
            parts.append(f"A kind of [{kind}](#{kind.lower()}).\n")
        parts.append(f"{inspect.getdoc(event_type)}\n")
        if own:
            parts.append("Fields: " + ", ".join(f"`{field}`" for field in own) + ".\n")
    return "\n".join(parts)


def error_tree() -> str:
    return f"# Errors\n{NOTE}\n{inspect.getdoc(errors)}\n".replace("::\n", "")


def main(arguments: list[str]) -> int:
    stale = [name for name, text in pages().items() if not same(DOCS / name, text)]
    if "--check" in arguments:
        for name in stale:
            sys.stderr.write(f"docs/{name} is out of date: run `make docs`\n")
        return 1 if stale else 0
    for name in stale:
        (DOCS / name).parent.mkdir(exist_ok=True)
        (DOCS / name).write_text(pages()[name])
        sys.stdout.write(f"wrote docs/{name}\n")
    return 0


def same(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
