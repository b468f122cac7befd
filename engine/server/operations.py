"""What was begun and goes on: commands that somebody asked for and did not wait for."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, Literal
from uuid import uuid4

import anyio
import msgspec
from anyio.abc import TaskGroup

from engine.errors import Busy, NotFound
from engine.server.problems import ProblemDocument, problem_of

__all__ = ["NoSuchOperation", "Operation", "Operations"]


class NoSuchOperation(NotFound):
    """It never was, or ended so long ago that it was forgotten."""

    kind = "operation"


class Operation(msgspec.Struct, kw_only=True):
    """One thing that was begun.

    Attributes:
        what: the command: ``start``, ``down``, ...; domain: its name, if it is of one.
        by: who asked for it. begun, ended: seconds since 1970.
        result: what it came to, as the answer would have been; problem: why it failed.
    """

    id: str
    what: str
    by: str
    begun: float
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    domain: str | None = None
    ended: float | None = None
    result: Any = None
    problem: ProblemDocument | None = None


class Operations:
    """Runs operations, and remembers them for a while.

    Args:
        kept: so many of those that ended.
        running: no more than that at once.
    """

    def __init__(self, *, kept: int = 1000, running: int = 1000) -> None:
        self._kept, self._most = kept, running
        self._all: dict[str, Operation] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._tasks: TaskGroup | None = None

    def run_in(self, tasks: TaskGroup) -> None:
        """From now on they run in ``tasks``."""
        self._tasks = tasks

    def begin(self, what: str, work: Callable[[], Awaitable[Any]], *, by: str, domain: str | None = None) -> Operation:
        """Raises Busy: there are too many."""
        assert self._tasks is not None
        if len(self._scopes) >= self._most:
            raise Busy(f"{self._most} operations are running: wait until some have ended")
        operation = Operation(id=str(uuid4()), what=what, by=by, begun=time.time(), domain=domain)
        self._all[operation.id] = operation
        self._scopes[operation.id] = anyio.CancelScope()
        self._tasks.start_soon(self._work, operation, work, name=f"{what} {domain or ''}")
        return operation

    async def _work(self, operation: Operation, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            with self._scopes[operation.id] as scope:
                operation.result = await work()
                operation.state = "done"
            if scope.cancelled_caught:
                operation.state = "cancelled"
        except Exception as exc:  # noqa: BLE001 - it is told to whoever asks for the operation
            operation.state, operation.problem = "failed", problem_of(exc)
        finally:
            operation.ended = time.time()
            del self._scopes[operation.id]
            self._forget()

    def _forget(self) -> None:
        ended = [each.id for each in self._all.values() if each.id not in self._scopes]
        for number in ended[: max(0, len(ended) - self._kept)]:
            del self._all[number]

    def list(self) -> list[Operation]:
        """All that are remembered, the newest first."""
        return [*reversed(self._all.values())]

    def get(self, id: str) -> Operation:
        """Raises NoSuchOperation."""
        try:
            return self._all[id]
        except KeyError:
            raise NoSuchOperation(id) from None

    def cancel(self, id: str) -> Operation:
        """Asks it to end; it tells when it has. Raises NoSuchOperation."""
        operation = self.get(id)
        if id in self._scopes:
            self._scopes[id].cancel()
        return operation
