"""Which declarations belong to which root element; a kind's are imported when a document of it comes."""

from __future__ import annotations

from functools import cache
from importlib import import_module

from engine.conf.nodes.node import Definition

__all__ = ["KINDS", "definition_class"]

#: Module and class, by the root's tag.
KINDS = {
    "secret": ("engine.conf.kinds.secret", "SecretDocument"),
}


@cache
def definition_class(kind: str) -> type[Definition] | None:
    """None: there is no such kind."""
    if kind not in KINDS:
        return None
    module, name = KINDS[kind]
    cls: type[Definition] = getattr(import_module(module), name)
    return cls
