"""Why a schema refuses a document, in words: by ``xmlschema``, slow and precise, which is imported only here."""

from __future__ import annotations

from contextlib import suppress
from copy import deepcopy
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING, Any

from lxml import etree

from engine.conf.document import line_of
from engine.conf.schemas import schema_file
from engine.errors import Problem

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["explain"]


#: It takes some 50 µs an element, and for each error as long as its element has attributes.
MOST_ELEMENTS = 5_000
MOST_ERRORS = 100


def explain(root: Element, kind: str) -> list[Problem]:
    """What the schema of ``kind`` refuses of a document, ``MOST_ERRORS`` at most; nothing of a very large one."""
    size: Any = root.xpath("count(descendant::*) + count(descendant-or-self::*/@*)")
    if size > MOST_ELEMENTS:
        return []
    from xmlschema import XMLSchemaException

    bare = deepcopy(root)  # comments are nobody's children, but for xmlschema
    etree.strip_tags(bare, etree.Comment, etree.ProcessingInstruction)
    found: list[Problem] = []
    # what it can't go on with at all (an xsi:type that there is not) the definitions have told of
    with suppress(XMLSchemaException):
        found += (_problem(bare, error) for error in islice(_schema(kind).iter_errors(bare), MOST_ERRORS))
    return found


@cache
def _schema(kind: str) -> Any:
    import xmlschema

    return xmlschema.XMLSchema(str(schema_file(kind)))


def _problem(root: Element, error: Any) -> Problem:
    element = error.elem if error.elem is not None else root
    return Problem(
        line=line_of(element) or 0,
        xpath=element.getroottree().getpath(element),
        reason=" ".join(str(error.reason or error.message).split()),
    )
