"""Documents of every kind: text to definitions, back to text, and what is wrong with them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from lxml import etree

from engine.conf.document import LIMITS, Limits, line_of, parse_document, suggest
from engine.conf.domain import parse_domain
from engine.conf.explaining import explain as why_refused
from engine.conf.kinds.registry import ALIASES, KINDS, definition_classes
from engine.conf.nodes.differences import Difference, differences
from engine.conf.nodes.node import Definition
from engine.conf.nodes.places import xpaths
from engine.conf.nodes.reading import MOST_PROBLEMS, Found, read_node, told
from engine.conf.nodes.straight import read_straight
from engine.conf.nodes.writing import write_document
from engine.conf.schemas import is_valid, schema_file
from engine.errors import ConfigError, InvalidDocument, Problem

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["Difference", "check_document", "diff", "format", "parse", "validate"]


def parse(
    text: str | bytes, *, source: str | None = None, validate: bool = True, limits: Limits = LIMITS
) -> Definition:
    """A document as a definition; its kind follows from its root.

    Args:
        source: the file it came from, for messages.
        validate: refuse what is not declared; else it is kept, and only what can't be understood is refused.
        limits: how much of a document is taken.

    Raises:
        ConfigError: it is no XML, or of no known kind.
        InvalidDocument: it breaks the rules of its kind; ``problems`` has all of them.
    """
    definition, problems = _examine(parse_document(text, source=source, limits=limits), source, strict=validate)
    if definition is None or (validate and any(problem.severity == "error" for problem in problems)):
        raise InvalidDocument(problems, source=source)
    return definition if source is None else msgspec.structs.replace(definition, source=source)


def validate(
    text: str | bytes, *, references: bool = False, source: str | None = None, limits: Limits = LIMITS
) -> list[Problem]:
    """All that is wrong with a document, by line; empty: nothing.

    Args:
        references: warn also of what libvirt's schema takes and ``Engine.define`` refuses: names that are there twice,
            or of what is not there, or that none may have, and an order that makes no sense.

    Raises:
        ConfigError: it is no XML, or of no known kind.
    """
    root = parse_document(text, source=source, limits=limits)
    definition, problems = _examine(root, source, strict=True)
    if not references or definition is None or problems:
        return problems
    unsound = _unsound(definition, "error", "warning")
    if definition.kind == "domain":
        try:
            parse_domain(text, source=source)
        except ConfigError as exc:
            unsound.append(Problem(line=exc.line or 1, xpath="/domain", reason=exc.reason))
    return [msgspec.structs.replace(problem, severity="warning") for problem in unsound]


def check_document(root: Element, *, source: str | None = None, explain: bool = True) -> None:
    """Raises InvalidDocument for a parsed document that can't be defined.

    Args:
        explain: tell of all that is wrong with it, for which ``xmlschema`` may be loaded, which takes a second.
    """
    definition, problems = _read(root, source)
    if problems and explain:
        definition, problems = _examine(root, source, strict=True)
    if definition is not None and not problems:
        problems = _unsound(definition, "error")
    if any(problem.severity == "error" for problem in problems):
        raise InvalidDocument(problems, source=source)


def format(definition: Definition) -> str:
    """The definition as a document, indented by two spaces."""
    return write_document(definition)


def diff(before: Definition, after: Definition) -> list[Difference]:
    """What differs between two definitions of a kind, in the order of the declarations.

    Raises:
        ConfigError: they are of two kinds.
    """
    if before.kind != after.kind:
        raise ConfigError(f"<{before.kind}> and <{after.kind}> have nothing in common", source=after.source)
    return differences(before, after, f"/{before.kind}")


def _unsound(definition: Definition, *severities: str) -> list[Problem]:
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


def _examine(root: Element, source: str | None, *, strict: bool) -> tuple[Definition | None, list[Problem]]:
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
