"""What a conversion gives: the result, and what of the original is not in it."""

from __future__ import annotations

import msgspec

from engine.conf.kinds.domain.document import DomainDocument
from engine.errors import Problem

__all__ = ["Conversion", "VmxText"]


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """A .vmx as a domain.

    Attributes:
        definition: the domain.
        warnings: what could not be carried over, by line; ``xpath`` is the key, or the device. At the end, without a
            line, is what makes the domain one that can't be written as a document: names that none may have.
    """

    definition: DomainDocument
    warnings: tuple[Problem, ...] = ()


class VmxText(msgspec.Struct, frozen=True, kw_only=True):
    """A domain as a .vmx.

    Attributes:
        text: to be stored in UTF-8, as its ``.encoding`` says.
        warnings: what could not be carried over; ``xpath`` is the element or attribute.
    """

    text: str
    warnings: tuple[Problem, ...] = ()
