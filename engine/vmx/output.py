"""The entries of a .vmx as they are written, with an account of what of the domain they don't hold."""

from __future__ import annotations

from typing import NoReturn

from engine.conf.nodes.node import Node
from engine.errors import Problem, UnsupportedConfig
from engine.vmx.document import Entry, format_vmx

__all__ = ["Output"]


class Output:
    """A .vmx in the making."""

    def __init__(self, source: str | None = None) -> None:
        self._source = source
        self._entries: list[Entry] = []
        self._skipped: dict[tuple[int, str], str] = {}
        self._warnings: list[Problem] = []

    @property
    def text(self) -> str:
        return format_vmx(self._entries)

    @property
    def warnings(self) -> list[Problem]:
        """Of what is written without being in the domain."""
        return self._warnings

    def put(self, key: str, value: str | int) -> None:
        """One more entry; true and false are written as words."""
        if isinstance(value, bool):
            value = "true" if value else "false"
        self._entries.append(Entry(key, str(value)))

    def skip(self, node: Node, reason: str = "", *, field: str = "") -> None:
        """Nothing of the node, or of its field, is written; without a reason, because that loses nothing."""
        self._skipped[id(node), field] = reason

    def skipped(self, node: Node, field: str = "") -> str | None:
        """Why it is not written; None: nothing was said of it."""
        return self._skipped.get((id(node), field))

    def refuse(self, node: Node, what: str, reason: str) -> NoReturn:
        """Raises UnsupportedConfig of the node."""
        raise UnsupportedConfig(what, reason, source=self._source, line=node.line or None)

    def warn(self, node: Node, place: str, reason: str) -> None:
        self._warnings.append(Problem(line=node.line, xpath=place, reason=reason, severity="warning"))
