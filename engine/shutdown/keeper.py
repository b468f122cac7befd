"""Keeps the record of the last ``down``: in memory as it is, on disk soon after it changed."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio

from engine.shutdown.report import Record

__all__ = ["Keeper"]


class Keeper:
    """The record, and where it is kept.

    Args:
        save: keeps plain JSON data, None removes it. Raises StoreError.

    Attributes:
        record: of the last ``down``, None when there is none or all of it is back. Runs of ``down`` and ``up`` change
            it as they go.
    """

    def __init__(self, save: Callable[[Any], Awaitable[None]]) -> None:
        self._save = save
        self._writing = anyio.Lock()
        self._anew: dict[str, float] = {}  # those that began to run since the record was looked at
        self.record: Record | None = None

    def begun(self, key: str, started: float) -> bool:
        """A domain has begun to run, at ``started``: it is back. Returns whether ``write`` has to be called.

        Costs the same however long the record is; those that begin until it is written are struck off it together.
        """
        if self.record is None:
            return False
        self._anew[key] = started
        return len(self._anew) == 1

    def current(self) -> Record | None:
        """The record, less those that are back."""
        if self.record is not None:
            self.record.strike_anew(self._anew)
            if not self.record.domains:
                self.record = None
        self._anew.clear()
        return self.record

    async def write(self) -> None:
        """Keep it on disk as it is now. Raises StoreError."""
        async with self._writing:  # an older one must not come after a newer
            record = self.current()
            await self._save(None if record is None else record.dump())
