"""Documents of every kind: text to definitions, back to text, and what is wrong with them."""

from __future__ import annotations

import msgspec

from engine.conf.document import LIMITS, Limits, parse_document
from engine.conf.domain import domain_problems
from engine.conf.examining import examine, unsound
from engine.conf.nodes.differences import Difference, differences
from engine.conf.nodes.node import Definition
from engine.conf.nodes.writing import write_document
from engine.errors import ConfigError, InvalidDocument, Problem

__all__ = ["Difference", "diff", "format", "parse", "validate"]


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
    definition, problems = examine(parse_document(text, source=source, limits=limits), source, strict=validate)
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
    definition, problems = examine(root, source, strict=True)
    if not references or definition is None or problems:
        return problems
    found = unsound(definition, "error", "warning")
    if definition.kind == "domain":
        found += domain_problems(root)
    return [msgspec.structs.replace(problem, severity="warning") for problem in sorted(found, key=_line)]


def _line(problem: Problem) -> int:
    return problem.line


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
