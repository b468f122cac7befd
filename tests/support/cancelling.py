"""Cancels a command at one of the places where it waits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread

__all__ = ["Canceller"]


class Canceller:
    """Cancels a command at one of its calls, which are numbered from 1 in the order they begin.

    A call into a thread is one; what else is one ``call`` is wrapped round.

    Args:
        call: the number of the call; where: ``before`` it, ``while`` the other side is at work, or ``after`` it.
    """

    def __init__(self, call: int, where: str) -> None:
        self._call, self._where = call, where
        self._calls = 0
        self._cancel: Callable[[], object] = lambda: None
        self._run_sync = anyio.to_thread.run_sync
        #: It has cancelled it.
        self.came = False

    def begin(self) -> int:
        """A call begins; its number."""
        self._calls += 1
        self.now(self._calls, "before")
        return self._calls

    def now(self, call: int, where: str) -> None:
        """The call has come to ``where``."""
        if (call, where) == (self._call, self._where):
            self.came = True
            self._cancel()

    async def run_sync(self, function: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """To be put in the place of ``anyio.to_thread.run_sync``."""
        call = self.begin()

        def work() -> Any:
            if self._where == "while":
                anyio.from_thread.run_sync(self.now, call, "while")
            return function(*args)

        result = await self._run_sync(work, **options)
        self.now(call, "after")
        return result

    async def by_scope(self, command: Callable[[], Awaitable[object]]) -> None:
        with anyio.CancelScope() as scope:
            self._cancel = scope.cancel
            await command()

    async def by_task(self, command: Callable[[], Awaitable[object]]) -> None:
        """In asyncio's own way."""
        task: asyncio.Future[Any] = asyncio.ensure_future(command())
        self._cancel = task.cancel
        with contextlib.suppress(asyncio.CancelledError):
            await task
