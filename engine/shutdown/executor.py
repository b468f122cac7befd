"""``up`` and ``down``: a domain begins the moment the last one it waits for is done. No polling, no waves.

The executor sees the world through ``Controls`` alone. Domains that start while a ``down`` runs are not part of it: the
plan is of the moment it was made.
"""

from __future__ import annotations

import heapq
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Iterable
from math import inf
from typing import ClassVar

import anyio
from anyio.abc import TaskGroup

from engine.errors import DependencyFailed, EngineError, InvalidState
from engine.events.types import CommandFailed, DomainStopFailed, PlanFinished, PlanStarted
from engine.shutdown.controls import Controls
from engine.shutdown.graph import Direction
from engine.shutdown.ladder import Climb, ending
from engine.shutdown.plan import Plan, PlanStep
from engine.shutdown.report import DONE, Entry, Record, RecordEntry, Report
from engine.shutdown.words import duration, listed

__all__ = ["Down", "Up"]

log = logging.getLogger("engine.order")


class _Run(ABC):
    """One run of one plan. Use it once."""

    direction: ClassVar[Direction]

    def __init__(
        self, plan: Plan, controls: Controls, *, deadline: float | None = None, problems: Iterable[str] = ()
    ) -> None:
        if plan.direction != self.direction:
            raise ValueError(f"a plan for '{plan.direction}' can't be run as '{self.direction}'")
        self.plan = plan
        self._controls = controls
        self._deadline = deadline
        self._entries = {
            step.key: Entry(key=step.key, name=step.name, connection=step.connection) for step in plan.steps
        }
        self._followers: dict[str, list[PlanStep]] = {}
        self._missing = {step.key: len(step.waits_for) for step in plan.steps}
        for step in plan.steps:
            for wait in step.waits_for:
                self._followers.setdefault(wait.key, []).append(step)
        self._place = {step.key: index for index, step in enumerate(plan.steps)}
        self._ready: list[tuple[float, int, PlanStep]] = []
        self._under_way = 0
        self._tasks: TaskGroup
        self._began_at = 0.0  # seconds since 1970
        self._began: float | None = None  # in the clock of the event loop
        self._seconds: float | None = None
        self._interrupted = False
        self._late = False
        self._problems = [*problems]

    # ------------------------------------------------------------------ what the two differ in

    @abstractmethod
    async def _do(self, step: PlanStep, entry: Entry) -> None:
        """Take one domain where it should be, and set the outcome."""

    @abstractmethod
    def _held(self, step: PlanStep, entry: Entry) -> bool:
        """Whether another's failure keeps this one from beginning; if so the outcome is set."""

    @abstractmethod
    async def _note(self, *, final: bool = False) -> None:
        """Persist how far it is."""

    # ------------------------------------------------------------------ the run

    @property
    def report(self) -> Report:
        """How it went; while it runs or when it was cancelled, how far it is."""
        seconds = self._seconds
        if seconds is None:
            seconds = self._elapsed()
        return Report(
            direction=self.plan.direction,
            began=self._began_at,
            seconds=seconds,
            planned=self.plan.seconds,
            budget=self.plan.budget,
            entries=tuple(self._entries.values()),
            interrupted=self._interrupted,
            late=self._late,
            problems=tuple(self._problems),
        )

    def _elapsed(self) -> float:
        return 0.0 if self._began is None else anyio.current_time() - self._began

    async def run(self) -> Report:
        """Do it. Every domain has an outcome in ``report`` afterwards, also when this was cancelled."""
        self._began_at, self._began = time.time(), anyio.current_time()
        names = tuple(step.name for step in self.plan.steps)
        self._controls.publish(None, PlanStarted, direction=self.direction, domains=names, resumed=self._resumed)
        ended = False
        try:
            deadline = self._deadline if self._deadline is not None else float("inf")
            with anyio.CancelScope(deadline=deadline) as limit:
                await self._note()
                await self._run_steps()
            self._late = limit.cancelled_caught
            ended = True
        finally:
            self._interrupted = not ended
            self._seconds = self._elapsed()
            self._account_for_all()
            with anyio.CancelScope(shield=True):
                await self._note(final=ended)
            report = self.report
            self._controls.publish(
                None,
                PlanFinished,
                direction=self.direction,
                done=report.done,
                failed=report.failed,
                seconds=report.seconds,
            )
        return report

    @property
    def _resumed(self) -> bool:
        return False

    async def _run_steps(self) -> None:
        async with anyio.create_task_group() as self._tasks:
            for step in self.plan.steps:
                if not self._missing[step.key]:
                    self._push(step)
            self._begin_some()

    def _push(self, step: PlanStep) -> None:
        # of those that may begin, the one with the longest way after it goes first
        share = self.plan.shares[step.key]
        heapq.heappush(self._ready, (-(share.full + share.full_after), self._place[step.key], step))

    def _begin_some(self) -> None:
        limit = self.plan.parallel
        while self._ready and (limit is None or self._under_way < limit):
            step = heapq.heappop(self._ready)[2]
            entry = self._entries[step.key]
            if self._held(step, entry):
                self._done(step)
                continue
            entry.outcome = "under way"
            entry.began = self._elapsed()
            self._under_way += 1
            self._tasks.start_soon(self._task, step, entry, name=f"{self.direction} {step.name}")

    async def _task(self, step: PlanStep, entry: Entry) -> None:
        began = anyio.current_time()
        try:
            await self._do(step, entry)
        except EngineError as exc:
            _fail(entry, exc)
        except Exception as exc:  # one driver's bug must not keep the others from being stopped
            log.exception("%s of domain %s failed", self.direction, step.name)
            _fail(entry, exc)
        finally:
            entry.seconds = anyio.current_time() - began
        self._under_way -= 1
        self._done(step)
        self._begin_some()

    def _done(self, step: PlanStep) -> None:
        """An outcome was set: those that waited for no more than this may begin."""
        for follower in self._followers.get(step.key, ()):
            self._missing[follower.key] -= 1
            if not self._missing[follower.key]:
                self._push(follower)

    def _account_for_all(self) -> None:
        """Those that were not seen to their end get an outcome, too."""
        why = f"the deadline passed after {duration(self._seconds or 0.0)}" if self._late else "it was interrupted"
        for entry in self._entries.values():
            if entry.outcome in ("waiting", "under way"):
                begun = entry.outcome == "under way"
                entry.outcome = "failed" if self._late else "interrupted"
                entry.reason = why if begun else f"{why}, and its turn had not come"


def _fail(entry: Entry, error: BaseException) -> None:
    entry.outcome = "failed"
    entry.error = type(error).__name__
    entry.reason = str(error) if isinstance(error, EngineError) else f"internal error: {error!r}"


class Down(_Run):
    """Stops the domains of a plan in order.

    Args:
        deadline: when all must be done, in the clock of the event loop (``anyio.current_time()``); as it nears, ladders
            skip to their last step. None: ladders take what they may.
        record: of an earlier ``down`` that was interrupted: this one goes on with it.
        problems: sentences for the report about how the plan was made.
    """

    direction = "down"

    def __init__(
        self,
        plan: Plan,
        controls: Controls,
        *,
        deadline: float | None = None,
        record: Record | None = None,
        problems: Iterable[str] = (),
    ) -> None:
        super().__init__(plan, controls, deadline=deadline, problems=problems)
        self._previous = record
        self.record = record or Record(began=time.time())
        known = {entry.key: entry for entry in self.record.domains}
        for step in plan.steps:
            entry = known.get(step.key)
            if entry is None:
                entry = RecordEntry(key=step.key, name=step.name, connection=step.connection)
                self.record.domains.append(entry)
            entry.started = controls.started_at(step.key)
        self.record.finished = False
        # what has not begun yet: its whole ladders and its last steps, and until when those under way may take
        self._waiting_full = sum(share.full for share in plan.shares.values())
        self._waiting_last = sum(share.last for share in plan.shares.values())
        self._ends: dict[str, float] = {}
        self._unstopped: list[str] = []  # who failed, or was held back
        self._cut_short: dict[str, Climb] = {}  # those that have less than even their last step may take
        self._held_by: dict[str, list[str]] = {}  # who kept each from stopping when its turn came
        self._wake = anyio.Event()

    @property
    def _resumed(self) -> bool:
        return self._previous is not None

    async def _run_steps(self) -> None:
        async with anyio.create_task_group() as writing:
            writing.start_soon(self._keep_noting)
            await super()._run_steps()
            writing.cancel_scope.cancel()

    async def _keep_noting(self) -> None:
        """Write the record whenever it changed; changes that come while it is written make one further write."""
        while True:
            await self._wake.wait()
            self._wake = anyio.Event()
            await self._note()

    def _done(self, step: PlanStep) -> None:
        self._wake.set()
        if self._entries[step.key].outcome not in DONE:
            self._unstopped.append(step.key)
        super()._done(step)

    async def _note(self, *, final: bool = False) -> None:
        self.record.update({key: entry.outcome for key, entry in self._entries.items()})
        self.record.finished = final
        self.record.failed = any(entry.outcome not in DONE for entry in self._entries.values())
        try:
            await self._controls.remember(self.record.dump())
        except EngineError as exc:
            problem = f"what was stopped could not be written down: {exc}"
            if problem not in self._problems:
                self._problems.append(problem)  # stopping guests in order matters more

    def _account_for_all(self) -> None:
        super()._account_for_all()
        for entry in self._entries.values():
            # what went after its ladder had ended, or while a save of it hung, is gone all the same
            if entry.outcome not in DONE and not self._controls.is_active(entry.key):
                entry.outcome = ending(self._controls, entry.key) if entry.tries else "already"
                entry.error = entry.reason = ""

    def _held(self, step: PlanStep, entry: Entry) -> bool:
        holders = self._held_by[step.key] = self._holders(step)
        by = sorted(self.plan.by_key[key].name for key in holders)
        if not by or not self._controls.is_active(step.key):
            return False
        self._begins(step)
        entry.outcome = "held"
        entry.reason = f"{listed(by)} did not stop"
        self._controls.publish(step.key, DomainStopFailed, reason=f"held back: {entry.reason}")
        return True

    def _holders(self, step: PlanStep) -> list[str]:
        """Those that run and need ``step``: they failed to stop, or are held back themselves."""
        holders: dict[str, None] = {}
        todo = [wait.key for wait in step.waits_for]
        while todo:
            key = todo.pop()
            if self._holds(key):
                holders[key] = None
            elif not self._runs(key):
                todo += self._held_by.get(key, ())  # order passes through it
        return list(holders)

    def _runs(self, key: str) -> bool:
        """There is something in it that can be lost."""
        return self._controls.is_active(key) and not self._controls.is_lost(key)

    def _holds(self, key: str) -> bool:
        """It was not stopped, and keeps what it needs running."""
        outcome = self._entries[key].outcome
        going_on = outcome in DONE or (outcome != "held" and self.plan.by_key[key].on_stop_failure == "go-on")
        return not going_on and self._runs(key)

    async def _do(self, step: PlanStep, entry: Entry) -> None:
        now = anyio.current_time()
        seconds, keep = self._share(step, now)
        climb = Climb(self._controls, step.key, step.ladder, entry.tries)
        if self._deadline is not None and seconds < min(self._deadline - now, self.plan.shares[step.key].last):
            self._cut_short[step.key] = climb
            self._lengthen()
        try:
            entry.outcome = await climb.run(now + seconds, keep, inf if self._deadline is None else self._deadline)
        finally:
            entry.method = climb.method
            self._ends.pop(step.key, None)
            self._cut_short.pop(step.key, None)
        if entry.outcome == "failed":
            entry.reason = step.note or "the ladder is at its end and it still runs"
            if self._controls.is_lost(step.key):
                entry.reason += "; it has crashed, and nothing waits for it"
            self._controls.publish(step.key, DomainStopFailed, reason=entry.reason)
        elif entry.outcome == "crashed":
            entry.reason = "it ended without having powered off"

    def _begins(self, step: PlanStep) -> None:
        share = self.plan.shares[step.key]
        self._waiting_full -= share.full
        self._waiting_last -= share.last

    def _share(self, step: PlanStep, now: float) -> tuple[float, float]:
        """The seconds a domain may take, now that its turn has come, and how many of them its last step keeps."""
        self._begins(step)
        share, parallel = self.plan.shares[step.key], self.plan.parallel
        if self._deadline is None:
            return share.allot(float("inf"))
        left = self._deadline - now
        if parallel is not None and parallel < len(self.plan.steps):
            busy = sum(max(0.0, end - now) for end in self._ends.values())
            share = share.crowded(parallel, left, busy, self._waiting_full, self._waiting_last)
        seconds, keep = share.allot(left)
        self._ends[step.key] = now + min(seconds, share.full)
        return seconds, keep

    def _begin_some(self) -> None:
        super()._begin_some()
        self._lengthen()

    def _lengthen(self) -> None:
        """Time that nobody else has a use for any more goes to those that have too little."""
        for key, climb in [*self._cut_short.items()]:
            if self._deadline is not None and self._alone(self.plan.by_key[key]):
                del self._cut_short[key]
                climb.extend(self._deadline)

    def _alone(self, step: PlanStep) -> bool:
        """Nobody else has a use for the time it leaves if it fails: who waits for it, or for a place, is held back."""
        holding = [key for key in self._unstopped if self._holds(key)]
        held = self._behind([step.key, *holding] if step.on_stop_failure == "hold" else holding)
        others = self._behind([step.key]) if self.plan.parallel is None else self._entries
        return all(key in held or self._entries[key].outcome != "waiting" for key in others)

    def _behind(self, keys: Iterable[str]) -> set[str]:
        """Those that wait for one of ``keys``, near and far."""
        behind: set[str] = set()
        todo = list(keys)
        while todo:
            found = {follower.key for follower in self._followers.get(todo.pop(), ())} - behind
            behind |= found
            todo += found
        return behind


class Up(_Run):
    """Starts the domains of a plan in order; those that run already only have to become ready.

    Args:
        record: what a ``down`` stopped: those that are back are struck off it.
        resumed: it is about those in the record.
    """

    direction = "up"

    def __init__(self, plan: Plan, controls: Controls, *, record: Record | None = None, resumed: bool = False) -> None:
        super().__init__(plan, controls)
        self.record = record
        self._recorded = frozenset(record.keys if record is not None else ())
        self._is_resumed = resumed

    @property
    def _resumed(self) -> bool:
        return self._is_resumed

    async def _note(self, *, final: bool = False) -> None:
        if self.record is None:
            return
        if self._seconds is None:
            # until they are back, whatever becomes of this: no later ``down`` is to forget them
            if self._is_resumed and self.record.miss(self.record.keys):
                await self._remember()
            return
        back = [entry.key for entry in self._entries.values() if entry.outcome in DONE]
        self.record.strike(back)
        # those that have begun to run were struck off already, but that need not be on disk yet
        if not self._recorded.isdisjoint(back):
            await self._remember()

    async def _remember(self) -> None:
        assert self.record is not None
        try:
            await self._controls.remember(self.record.dump() if self.record.domains else None)
        except EngineError as exc:
            problem = f"what is back could not be written down: {exc}"
            if problem not in self._problems:
                self._problems.append(problem)

    def _held(self, step: PlanStep, entry: Entry) -> bool:
        for wait in step.waits_for:
            other = self._entries[wait.key]
            if wait.kind == "requires" and other.outcome not in DONE and not self._controls.is_active(step.key):
                error = DependencyFailed(step.name, wait.name, other.reason)
                _fail(entry, error)
                self._controls.publish(step.key, CommandFailed, command="start", error=str(error))
                return True
        return False

    async def _do(self, step: PlanStep, entry: Entry) -> None:
        active = self._controls.is_active(step.key)
        if not active:
            try:
                await self._controls.start(step.key)
            except InvalidState:
                if not self._controls.is_active(step.key):
                    raise
                # someone else has just started it: as good
        ready = await self._controls.wait_ready(step.key)
        if ready and active and step.note:
            entry.outcome = "already"
        else:
            entry.outcome = "ready" if ready else "started"
            entry.reason = "" if ready else "it is not ready, and its order says to go on"
