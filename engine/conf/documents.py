"""Documents of every kind: text to definitions, back to text, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine.conf.document import line_of, parse_document, suggest
from engine.conf.kinds.registry import KINDS, definition_classes
from engine.conf.nodes.node import Definition, Node
from engine.conf.nodes.reading import Found, read_node, told
from engine.conf.nodes.writing import write_document
from engine.conf.schemas import schema_for
from engine.errors import ConfigError, InvalidDocument, Problem

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["format", "parse", "validate"]


def parse(text: str | bytes, *, source: str | None = None, validate: bool = True) -> Definition:
    """A document as a definition; its kind follows from its root.

    Args:
        source: the file it came from, for messages.
        validate: refuse what is not declared; else it is kept, and only what can't be understood is refused.

    Raises:
        ConfigError: it is no XML, or of no known kind.
        InvalidDocument: it breaks the rules of its kind; ``problems`` has all of them.
    """
    definition, problems = _examine(parse_document(text, source=source), source, strict=validate)
    if definition is None or (validate and any(problem.severity == "error" for problem in problems)):
        raise InvalidDocument(problems, source=source)
    return definition if source is None else msgspec.structs.replace(definition, source=source)


def validate(text: str | bytes, *, source: str | None = None) -> list[Problem]:
    """All that is wrong with a document, by line; empty: nothing.

    Raises:
        ConfigError: it is no XML, or of no known kind.
    """
    return _examine(parse_document(text, source=source), source, strict=True)[1]


def format(definition: Definition) -> str:
    """The definition as a document, indented by two spaces."""
    return write_document(definition)


def _examine(root: Element, source: str | None, *, strict: bool) -> tuple[Definition | None, list[Problem]]:
    kind = str(root.tag)
    classes = definition_classes(kind)
    if not classes:
        reason = f"<{root.tag}> is no kind of document that is known{suggest(kind, tuple(KINDS))}"
        raise ConfigError(reason, source=source, line=line_of(root))
    found: list[Found] = []
    definition = read_node(classes, root, found)
    if definition is not None:
        assert isinstance(definition, Definition)
        for node, reason, severity in definition.problems():
            found.append(Found(element=_element_of(root, node), reason=reason, severity=severity))
    problems = told(found)
    if strict and not schema_for(kind).validate(root):
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
    """What the schema refuses, and the definitions did not tell of."""
    from engine.conf.explaining import explain

    told_at = {problem.xpath.split("/@")[0] for problem in problems}
    return sorted(
        [*problems, *(problem for problem in explain(root, kind) if problem.xpath.split("/@")[0] not in told_at)],
        key=lambda problem: problem.line,
    )
