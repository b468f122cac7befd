#!/usr/bin/env python3
"""Writes the parts of docs/ that follow from the code: `docs.py [--check]`, behind `make docs`.

The state diagram comes from the lifecycle table, the events from their docstrings, the errors from the tree's
docstring, the formats from their declarations; nothing of it is written twice. ``--check`` writes nothing and fails
when a page is out of date.
"""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

import formats

from engine import errors, lifecycle
from engine.cli import schemas
from engine.events import types

DOCS = Path(__file__).resolve().parent.parent / "docs"
NOTE = "<!-- Written by `make docs` from the code: change it there. -->\n"


def pages() -> dict[str, str]:
    """Each generated page by its file name."""
    own = {"states.md": states(), "events.md": events(), "errors.md": error_tree(), "json.md": outputs()}
    return own | formats.pages()


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


def outputs() -> str:
    found, types = schemas.schemas("#{name}")
    rows = "\n".join(f"| `{command} --json` | {_prints(schema)} |" for command, schema in found.items())
    none = "\n".join(f"- `{command}` {why}." for command, why in schemas.NONE.items())
    table = f"| command | prints |\n| --- | --- |\n{rows}"
    parts = [f"# What `--json` prints\n{NOTE}{JSON}\n{table}\n\nWithout `--json`:\n\n{none}\n"]
    for name, schema in sorted(types.items()):
        fields = ",\n".join(
            f"  {json.dumps(field)}: {json.dumps(kind)}" for field, kind in schema["properties"].items()
        )
        required = json.dumps(schema["required"])
        text = f'{{"type": "object", "required": {required},\n "properties": {{\n{fields}}}}}'
        parts.append(f"## {name}\n\n{inspect.cleandoc(schema.get('description', ''))}\n\n```json\n{text}\n```\n")
    return "\n".join(parts)


JSON = """
A command with `--json` prints one document in UTF-8 and nothing else; `events` prints one a line. Errors and warnings
go to standard error, and the exit code is the same as without. What stands here stays: names keep their meaning and
their type. More may come to it, so a program leaves aside what it does not know. The types are JSON Schemas (2020-12).
"""


def _prints(schema: dict[str, object]) -> str:
    items = schema.get("items")
    name = str((items if isinstance(items, dict) else schema)["$ref"]).removeprefix("#")
    return f"{'a list of ' if items else ''}[{name}](#{name.lower()})"


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
