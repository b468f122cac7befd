"""A parsed document held to the declarations of its kind, to its schema, and to sense."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from lxml import etree

from engine.conf.document import line_of, suggest
from engine.conf.explaining import explain as why_refused
from engine.conf.kinds.registry import ALIASES, KINDS, definition_classes
from engine.conf.nodes.node import Definition
from engine.conf.nodes.places import xpaths
from engine.conf.nodes.reading import MOST_PROBLEMS, Found, read_node, told
from engine.conf.nodes.straight import read_straight
from engine.conf.schemas import is_valid, schema_file
from engine.errors import ConfigError, InvalidDocument, Problem

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["check_document", "examine", "unsound"]


def check_document(root: Element, *, source: str | None = None, explain: bool = True) -> None:
    """Raises InvalidDocument for a parsed document that can't be defined.

    Args:
        explain: tell of all that is wrong with it, for which ``xmlschema`` may be loaded, which takes a second.
    """
    definition, problems = _read(root, source)
    if problems and explain:
        definition, problems = examine(root, source, strict=True)
    if definition is not None and not problems:
        problems = unsound(definition, "error")
    if any(problem.severity == "error" for problem in problems):
        raise InvalidDocument(problems, source=source)


def unsound(definition: Definition, *severities: str) -> list[Problem]:
    """What clashes in a document, or names what is not there, by line."""
    found = list(islice((each for each in definition.unsound() if each[2] in severities), MOST_PROBLEMS))
    places = xpaths(definition, {id(node) for node, _, _ in found}) if found else {}
    told = [
        Problem(line=node.line, xpath=places.get(id(node), f"/{definition.kind}"), reason=reason, severity=severity)
        for node, reason, severity in found
    ]
    return sorted(told, key=lambda problem: problem.line)


def _read(root: Element, source: str | None, *, strict: bool = True) -> tuple[Definition | None, list[Problem]]:
    """By the declarations alone: they refuse whatever the schema refuses, which is made of them."""
    kind = str(root.tag)
    classes = definition_classes(kind)
    if not classes:
        hint = f" (did you mean '{ALIASES[kind]}'?)" if kind in ALIASES else suggest(kind, tuple(KINDS))
        reason = f"<{kind}> is no kind of document that is known{hint}"
        raise ConfigError(reason, source=source, line=line_of(root))
    found: list[Found] = []
    definition = read_straight(classes, root) or read_node(classes, root, found)
    if not strict:
        found = [each for each in found if not each.held]
        definition = None if found else definition
    assert definition is None or isinstance(definition, Definition)
    return definition, told(found)


def examine(root: Element, source: str | None, *, strict: bool) -> tuple[Definition | None, list[Problem]]:
    """The definition, if there can be one, and all that is wrong; not ``strict``: only what no definition can hold.

    Raises:
        ConfigError: no such kind of document is known.
    """
    kind = str(root.tag)
    definition, problems = _read(root, source, strict=strict)
    # libxml2 comes last: for the errors of a large document it takes the square of their number
    if strict and (problems or not is_valid(kind, root)):
        problems = _explained(root, kind, problems)
    return definition, problems


def _explained(root: Element, kind: str, problems: list[Problem]) -> list[Problem]:
    """With what the schema refuses where the definitions told of nothing; of all the rest they say it better."""
    told_at = {problem.xpath.partition("/@")[0] for problem in problems}
    told_at |= {xpath.rpartition("/")[0] for xpath in told_at}  # a child that is unknown is the parent's fault there
    more = [problem for problem in why_refused(root, kind) if problem.xpath not in told_at]
    if not problems and not more:
        schema = etree.XMLSchema(etree.parse(schema_file(kind)))  # its own: errors are kept by schemas, not by threads
        schema.validate(root)
        log: Any = schema.error_log
        said = [(error.line, error.message) for error in log]
        line, reason = said[0] if said else (line_of(root) or 0, "the schema does not take it")
        more = [Problem(line=line, xpath=f"/{kind}", reason=reason)]
    return sorted([*problems, *more], key=lambda problem: problem.line)
