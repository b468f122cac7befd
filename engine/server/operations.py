"""What was begun and goes on: plans, and commands that somebody asked for and did not wait for."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, Literal, NamedTuple
from uuid import uuid4

import anyio
import msgspec
from anyio.abc import TaskGroup, TaskStatus

from engine.core import Engine
from engine.errors import Busy, NoSuchOperation
from engine.server.problems import Fault, ProblemDocument, problem_of
from engine.shutdown.progress import WATCHED, Follower, Progress

__all__ = ["Operation", "Operations", "Watch", "path_of"]

# events that a reader may be behind: one that had to read the journal could fail with that
_BOUND = 65_536
# plans that are remembered after they ended: each has all its domains, twice
_PLANS = 32


class Operation(msgspec.Struct, kw_only=True):
    """One thing that was begun.

    Attributes:
        what: the command: ``start``, ``down``, ...; domain: its name, if it is of one.
        by: who asked for it. begun, ended: seconds since 1970.
        progress: of ``up``, ``down`` and ``drill``: how far it is, domain by domain.
        result: what it came to, as the answer would have been; problem: why it failed.
    """

    id: str
    what: str
    by: str
    begun: float
    state: Literal["running", "done", "failed", "cancelled"] = "running"
    domain: str | None = None
    ended: float | None = None
    progress: Progress | None = None
    result: Any = None
    problem: ProblemDocument | None = None


def path_of(operation: Operation) -> str:
    """Where the API has it."""
    return f"/v1/operations/{operation.id}"


class Watch(NamedTuple):
    """Attributes: changed: something of an operation did; ended: it has ended."""

    changed: anyio.Event
    ended: anyio.Event


class _Run:
    """What of an operation is nobody else's business."""

    def __init__(self, follower: Follower | None) -> None:
        self.scope = anyio.CancelScope()
        self.follower = follower
        self.changed, self.ended = anyio.Event(), anyio.Event()
        self.error: Exception | None = None

    def wake(self) -> None:
        self.changed.set()
        self.changed = anyio.Event()


class Operations:
    """Runs operations, and remembers them for a while.

    Args:
        kept: so many of those that ended; of plans fewer.
        running: no more than that at once; plans come on top.
        told: awaited for each that ended, before anybody else hears of it; it must not raise.

    Attributes:
        ended: how many came to which end.
    """

    def __init__(self, told: Callable[[Operation], Awaitable[None]], *, kept: int = 1000, running: int = 1000) -> None:
        self._told = told
        self._kept, self._most = kept, running
        self._all: dict[str, Operation] = {}
        self._runs: dict[str, _Run] = {}
        self._tasks: TaskGroup | None = None
        self.ended: Counter[str] = Counter()

    def run_in(self, tasks: TaskGroup) -> None:
        """From now on they run in ``tasks``."""
        self._tasks = tasks

    async def follow(self, engine: Engine, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Note how far plans are, until the engine is closed."""
        async with engine.subscribe(*WATCHED, bound=_BOUND) as events:
            task_status.started()
            async for event in events:
                for run in self._runs.values():
                    if run.follower is not None and run.follower.take(event):
                        run.wake()

    def begin(self, what: str, work: Callable[[], Awaitable[Any]], *, by: str, domain: str | None = None) -> Operation:
        """Raises Busy: there are too many."""
        if len(self._runs) >= self._most:
            raise Busy(f"{self._most} operations are running: wait until some have ended")
        return self._begin(Operation(id=str(uuid4()), what=what, by=by, begun=time.time(), domain=domain), work, None)

    def begin_plan(self, what: str, work: Callable[[Operation], Awaitable[Any]], *, by: str) -> Operation:
        """The same for what goes through a plan whose events have the operation's id as their cause. Never refused:
        the host's guests are not to be killed because too much goes on."""
        id = str(uuid4())
        follower = Follower(cause=id)
        operation = Operation(id=id, what=what, by=by, begun=time.time(), progress=follower.progress)
        return self._begin(operation, lambda: work(operation), follower)

    def _begin(self, operation: Operation, work: Callable[[], Awaitable[Any]], follower: Follower | None) -> Operation:
        assert self._tasks is not None
        self._all[operation.id] = operation
        self._runs[operation.id] = run = _Run(follower)
        self._tasks.start_soon(self._work, operation, run, work, name=f"{operation.what} {operation.domain or ''}")
        return operation

    async def _work(self, operation: Operation, run: _Run, work: Callable[[], Awaitable[Any]]) -> None:
        try:
            with run.scope:
                operation.result = await work()
                operation.state = "done"
            if run.scope.cancelled_caught:
                operation.state = "cancelled"
                run.error = Fault(409, "Cancelled", f"the operation {operation.id} was cancelled")
        except Exception as exc:  # noqa: BLE001 - it is told to whoever asks for the operation
            operation.state, operation.problem, run.error = "failed", problem_of(exc), exc
        finally:
            if operation.state == "running":  # the service ends
                operation.state = "cancelled"
            operation.ended = time.time()
            if operation.progress is not None:
                operation.progress.interrupt(operation.ended)
            with anyio.CancelScope(shield=True):
                await self._told(operation)
            del self._runs[operation.id]
            self.ended[operation.state] += 1
            run.ended.set()
            run.wake()
            self._forget()

    def _forget(self) -> None:
        ended = [each for each in self._all.values() if each.id not in self._runs]
        plans = [each for each in ended if each.progress is not None]
        for each in (*plans[: max(0, len(plans) - _PLANS)], *ended[: max(0, len(ended) - self._kept)]):
            self._all.pop(each.id, None)

    def list(self) -> list[Operation]:
        """All that are remembered, the newest first; of plans not what became of each domain."""
        return [_short(operation) for operation in reversed(self._all.values())]

    def get(self, id: str) -> Operation:
        """Raises NoSuchOperation."""
        try:
            return self._all[id]
        except KeyError:
            raise NoSuchOperation(id) from None

    def cancel(self, id: str) -> Operation:
        """Asks it to end; it tells when it has. Raises NoSuchOperation."""
        operation = self.get(id)
        if id in self._runs:
            self._runs[id].scope.cancel()
        return operation

    def changed(self, operation: Operation) -> None:
        """Tell whoever watches it."""
        if (run := self._runs.get(operation.id)) is not None:
            run.wake()

    async def result(self, operation: Operation) -> Any:
        """What it comes to. Raises what it raised; Fault: it was cancelled."""
        if (run := self._runs.get(operation.id)) is not None:
            await run.ended.wait()
            if run.error is not None:
                raise run.error
        return operation.result

    async def settled(self) -> None:
        """Return once no command goes on; plans may."""
        while runs := [run for run in self._runs.values() if run.follower is None]:
            await runs[0].ended.wait()

    def watch(self, operation: Operation) -> Watch | None:
        """What happens to it next; None: it has ended."""
        run = self._runs.get(operation.id)
        return None if run is None else Watch(run.changed, run.ended)


def _short(operation: Operation) -> Operation:
    if operation.progress is None:
        return operation
    progress = msgspec.structs.replace(operation.progress, domains=[])
    return msgspec.structs.replace(operation, progress=progress, result=None)
