"""Documents of every kind: text to definitions, back to text, and what is wrong with them."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from engine.conf.document import LIMITS, Limits, line_of, parse_document, suggest
from engine.conf.kinds.registry import KINDS, definition_classes
from engine.conf.nodes.differences import Difference, differences
from engine.conf.nodes.node import Definition, Node
from engine.conf.nodes.reading import Found, read_node, told
from engine.conf.nodes.writing import write_document
from engine.conf.schemas import schema_for
from engine.errors import ConfigError, InvalidDocument, Problem

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["Difference", "check_document", "diff", "format", "parse", "validate"]

# bytes; of a larger document, libxml2 takes the square of their number to gather its errors
_QUICK = 256 * 1024
# the element of each is looked for in the whole document
_MOST_UNSOUND = 100


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
    definition, problems = _examine(
        parse_document(text, source=source, limits=limits), len(text), source, strict=validate
    )
    if definition is None or (validate and any(problem.severity == "error" for problem in problems)):
        raise InvalidDocument(problems, source=source)
    return definition if source is None else msgspec.structs.replace(definition, source=source)


def validate(
    text: str | bytes, *, references: bool = False, source: str | None = None, limits: Limits = LIMITS
) -> list[Problem]:
    """All that is wrong with a document, by line; empty: nothing.

    Args:
        references: warn also of names that are taken twice, and of such of what is not there: libvirt's schema takes
            these, and ``Engine.define`` refuses them.

    Raises:
        ConfigError: it is no XML, or of no known kind.
    """
    root = parse_document(text, source=source, limits=limits)
    definition, problems = _examine(root, len(text), source, strict=True)
    if references and definition is not None and not problems:
        return [msgspec.structs.replace(problem, severity="warning") for problem in _unsound(root, definition)]
    return problems


def check_document(root: Element, size: int, *, source: str | None = None) -> None:
    """Raises InvalidDocument for a parsed document, of ``size`` bytes, that can't be defined."""
    definition, problems = _examine(root, size, source, strict=True)
    if definition is not None and not problems:
        problems = [problem for problem in _unsound(root, definition) if problem.severity == "error"]
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


def _unsound(root: Element, definition: Definition) -> list[Problem]:
    found = islice(definition.unsound(), _MOST_UNSOUND)
    return told([Found(element=_element_of(root, node), reason=reason, severity=word) for node, reason, word in found])


def _examine(root: Element, size: int, source: str | None, *, strict: bool) -> tuple[Definition | None, list[Problem]]:
    kind = str(root.tag)
    classes = definition_classes(kind)
    if not classes:
        reason = f"<{kind}> is no kind of document that is known{suggest(kind, tuple(KINDS))}"
        raise ConfigError(reason, source=source, line=line_of(root))
    accepted = strict and size <= _QUICK and schema_for(kind).validate(root)
    found: list[Found] = []
    definition = read_node(classes, root, found, trusting=accepted)
    assert definition is None or isinstance(definition, Definition)
    problems = told(found) if found else []
    if strict and not accepted and (problems or not schema_for(kind).validate(root)):
        problems = _explained(root, kind, problems)
    return definition, problems


def _element_of(root: Element, node: Node) -> Element:
    """The element that a node was read from: the first of its line that reads as it."""
    for element in root.iter():
        line: Any = element.sourceline
        if line == node.line and read_node((type(node),), element, []) == node:
            return element
    return root


def _explained(root: Element, kind: str, problems: list[Problem]) -> list[Problem]:
    """With what the schema refuses where the definitions told of nothing; of all the rest they say it better."""
    from engine.conf.explaining import explain

    told_at = {problem.xpath.partition("/@")[0] for problem in problems}
    told_at |= {xpath.rpartition("/")[0] for xpath in told_at}  # a child that is unknown is the parent's fault there
    more = [problem for problem in explain(root, kind) if problem.xpath not in told_at]
    if not problems and not more:
        log: Any = schema_for(kind).error_log
        more = [Problem(line=log[0].line, xpath=f"/{kind}", reason=log[0].message)]
    return sorted([*problems, *more], key=lambda problem: problem.line)
