"""The reference of the formats, from the declarations and their docstrings; ``docs.py`` writes it."""

from __future__ import annotations

from collections.abc import Iterator

from engine.conf.kinds.registry import KINDS, definition_classes
from engine.conf.nodes.node import Attr, Body, Children, Flag, Node, Open
from engine.conf.nodes.plan import Field, describe, plan_of, shapes_of
from engine.conf.nodes.values import Choice, OneOf, ValueType, Words

NOTE = "<!-- Written by `make docs` from the declarations in engine/conf/kinds: change it there. -->\n"
#: The page of each root, which those of other kinds refer to.
PAGES = {cls: kind for kind in KINDS for cls in definition_classes(kind)}


def pages() -> dict[str, str]:
    """Each page by its file name."""
    index = "\n".join(f"- [`<{kind}>`]({kind}.md): {describe(definition_classes(kind)[0])[0]}" for kind in KINDS)
    about = (
        "What each kind of document may hold. Where an element has several shapes, each has a section; order among "
        "children of different names means nothing. `virengine schema KIND` prints the same as an XML Schema."
    )
    return {"formats/README.md": f"# Formats\n{NOTE}\n{about}\n\n{index}\n"} | {
        f"formats/{kind}.md": page(kind) for kind in KINDS
    }


def page(kind: str) -> str:
    sections: dict[type[Node], str] = {}
    todo: list[tuple[str, type[Node]]] = [(f"<{kind}>", cls) for cls in definition_classes(kind)]
    while todo:
        title, cls = todo.pop(0)
        if cls not in sections:
            sections[cls] = section(title, cls)
            todo += [(f"<{tag}>", node) for tag, nodes in _children(cls) for node in nodes if node not in PAGES]
    return f"# `<{kind}>`\n{NOTE}\n" + "\n".join(sections.values())


def _children(cls: type[Node]) -> Iterator[tuple[str, tuple[type[Node], ...]]]:
    for field in plan_of(cls).fields:
        yield from field.tags or (((field.tag, field.nodes),) if field.nodes else ())


def section(title: str, cls: type[Node]) -> str:
    about, said = describe(cls)
    lines = [f"## {cls.__name__}\n", f"`{title.replace('{', '').replace('}', ' ')}`: {about or 'see its parts.'}\n"]
    rows = [row for field in plan_of(cls).fields for row in _rows(field, said.get(field.name, ""))]
    if rows:
        lines += ["| | what it holds | |", "| --- | --- | --- |", *rows, ""]
    lines += [
        f"{_rule(rule.kind, [_shown(plan_of(cls).by_name[name]) for name in rule.fields])}\n" for rule in cls.rules
    ]
    return "\n".join(lines)


def _rows(field: Field, about: str) -> Iterator[str]:
    if field.place is Open:
        where = "" if field.namespace.startswith("##") else f" of `{field.namespace}`"
        yield f"| any element{where} | | {about} |"
    elif field.place is Children:
        for tag, nodes in field.tags:
            yield f"| `<{tag}>` (any number) | {_nodes(nodes)} | {about} |"
    else:
        holds = "nothing" if field.place is Flag else _nodes(field.nodes) if field.nodes else _allowed(field.value)
        number = " (any number)" if field.many else " (required)" if field.required else ""
        yield f"| {_shown(field)}{number} | {holds} | {about} |".replace("\n", " ")


def _shown(field: Field) -> str:
    tag = field.tag.rpartition("}")[2]
    return f"`{tag}`" if field.place is Attr else "its text" if field.place is Body else f"`<{tag}>`"


def _nodes(nodes: tuple[type[Node], ...]) -> str:
    told_by = shapes_of(nodes).told_by if len(nodes) > 1 else ()
    shapes = ", ".join(f"[{node.__name__}]({_page(node)}#{node.__name__.lower()})" for node in nodes)
    words = " and ".join(f"`{name.removeprefix('./')}`" for name in told_by)
    return f"{shapes} (told apart by {words})" if told_by else shapes


def _page(node: type[Node]) -> str:
    """The page to go to, where it is another; a root is no part of its own kind."""
    return f"{PAGES[node]}.md" if node in PAGES else ""


def _allowed(value: ValueType | None) -> str:
    types = value.types if isinstance(value, OneOf) else (value,)
    shown = [
        " ".join(f"`{word}`" for word in each.words) if isinstance(each, Choice | Words) else each.what if each else ""
        for each in types
    ]
    return " or ".join(shown).replace("|", "\\|")


def _rule(kind: str, fields: list[str]) -> str:
    match kind:
        case "needs":
            return f"{fields[0]} needs {' and '.join(fields[1:])}."
        case "together":
            return f"{' and '.join(fields)} go together."
    return f"{kind.capitalize()} of {', '.join(fields)}."
