"""Why a schema refuses a document, in words: by ``xmlschema``, slow and precise, which is imported only here."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from engine.conf.document import line_of
from engine.conf.schemas import schema_file
from engine.errors import Problem

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["explain"]


def explain(root: Element, kind: str) -> list[Problem]:
    """All that the schema of ``kind`` refuses of a document."""
    return [_problem(root, error) for error in _schema(kind).iter_errors(root)]


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
