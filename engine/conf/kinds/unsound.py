"""What a document says twice, or names and does not hold: valid in form, and refused when it is defined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from engine.conf.nodes.node import Node

__all__ = ["Unsound", "disks_twice", "twice"]

#: The node, the reason, the severity.
Unsound: TypeAlias = "tuple[Node, str, str]"


def twice(nodes: Sequence[Any], key: Callable[[Any], Any], reason: str, severity: str = "error") -> Iterable[Unsound]:
    """Those of which the key, if there is one, was another's before; ``reason`` may show it."""
    keys = [value for value in map(key, nodes) if value is not None] if len(nodes) > 1 else ()
    if len(set(keys)) == len(keys):  # as it mostly is
        return ()
    return _repeated(nodes, key, reason, severity)


def _repeated(nodes: Sequence[Any], key: Callable[[Any], Any], reason: str, severity: str) -> Iterator[Unsound]:
    seen: set[Any] = set()
    for node in nodes:
        value = key(node)
        if value is None:
            continue
        if value in seen:
            yield node, reason.format(value), severity
        seen.add(value)


def disks_twice(disks: Any) -> Iterable[Unsound]:
    """Of the ``<disks>`` of a snapshot, a checkpoint or a backup, or None."""
    return twice(disks.disks if disks is not None else (), lambda disk: disk.name, "the disk '{}' is there already")
