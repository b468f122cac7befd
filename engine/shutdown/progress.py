"""How far an ``up``, ``down`` or ``drill`` is, from the events that everybody sees. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, TypeAlias

import msgspec

from engine.events import types
from engine.events.words import describe
from engine.shutdown.report import DONE, Entry, Report

__all__ = ["WATCHED", "DomainProgress", "Follower", "Progress", "Step"]

Step: TypeAlias = Literal["waiting", "under way", "done", "failed"]

#: The events that it takes to follow a plan, and no others.
WATCHED: tuple[type[types.Event], ...] = (
    types.LifecycleEvent,
    types.DomainReady,
    types.DomainNotReady,
    types.DomainStopTried,
    types.DomainStopFailed,
    types.CommandFailed,
    types.PlanStarted,
    types.PlanFinished,
)
_FAILURES = (types.DomainStopFailed, types.CommandFailed, types.DomainNotReady)


class DomainProgress(msgspec.Struct, kw_only=True):
    """One domain of a plan.

    Attributes:
        connection: "" until something was heard of it. what: what happened to it last, in words.
        began, ended: seconds since 1970.
    """

    name: str
    connection: str = ""
    step: Step = "waiting"
    what: str = "waiting"
    began: float | None = None
    ended: float | None = None


class Progress(msgspec.Struct, kw_only=True):
    """How far it is.

    Attributes:
        direction: ``up``, ``down`` or ``drill``; resumed: it goes on with one that was interrupted.
        done, failed: how many of the ``total`` got where they should, and did not.
        domains: in the order of the plan; none: it has not begun.
    """

    direction: str = ""
    resumed: bool = False
    done: int = 0
    failed: int = 0
    total: int = 0
    domains: list[DomainProgress] = []

    def begin(self, direction: str, names: Iterable[str], *, resumed: bool = False) -> None:
        self.direction, self.resumed = direction, resumed
        self.domains = [DomainProgress(name=name) for name in names]
        self.done, self.failed, self.total = 0, 0, len(self.domains)

    def move(self, domain: DomainProgress, step: Step, what: str, time: float) -> None:
        """A domain is at a step; what failed may still get where it should."""
        ended = step in ("done", "failed")
        domain.began = domain.began or time
        domain.ended = time if ended else None
        if domain.step != step:
            self.done += (step == "done") - (domain.step == "done")
            self.failed += (step == "failed") - (domain.step == "failed")
        domain.step, domain.what = step, what

    def settle(self, report: Report) -> None:
        """It ended so."""
        self.begin(report.direction, (entry.name for entry in report.entries), resumed=self.resumed)
        for domain, entry in zip(self.domains, report.entries, strict=True):
            self.move(domain, "done" if entry.outcome in DONE else "failed", _words(entry), report.began)
            domain.connection = entry.connection
            if entry.began is not None:
                domain.began = report.began + entry.began
                domain.ended = domain.began + entry.seconds

    def interrupt(self, time: float) -> None:
        """It was cancelled."""
        for domain in self.domains:
            if domain.step in ("waiting", "under way"):
                self.move(domain, "failed", "interrupted", time)


def _words(entry: Entry) -> str:
    return f"{entry.outcome}: {entry.reason}" if entry.reason else entry.outcome


class Follower:
    """Takes in events and knows how far a plan is.

    Args:
        cause: follow the plan whose events carry it (``Engine.up``); None: whichever began last.
    """

    def __init__(self, cause: str | None = None) -> None:
        self.progress = Progress()
        self.running = False
        self._cause = cause
        # plans name domains only by their names, which several connections may have: the first event takes a row
        self._free: dict[str, list[DomainProgress]] = {}
        self._taken: dict[tuple[str, str], DomainProgress] = {}

    def take(self, event: types.Event) -> bool:
        """Take in what happened. Returns whether it is news of this plan."""
        match event:
            case types.PlanStarted() if self._is_mine(event):
                self._begin(event)
            case types.PlanFinished() if self._is_mine(event) and self.running:
                self._end(event)
            case types.DomainEvent() if (domain := self._row(event)) is not None:
                self.progress.move(domain, self._step(event), describe(event), event.time)
            case _:
                return False
        return True

    def _is_mine(self, event: types.Event) -> bool:
        return self._cause in (None, event.cause)

    def _begin(self, event: types.PlanStarted) -> None:
        self.running = True
        self.progress.begin(event.direction, event.domains, resumed=event.resumed)
        self._free, self._taken = {}, {}
        for domain in reversed(self.progress.domains):
            self._free.setdefault(domain.name, []).append(domain)

    def _end(self, event: types.PlanFinished) -> None:
        """Whatever no event told of: what ran already, and what was not begun."""
        self.running = False
        done = set(event.done)
        for domain in self.progress.domains:
            if domain.step in ("waiting", "under way"):
                good = domain.name in done
                self.progress.move(
                    domain, "done" if good else "failed", "already" if good else "interrupted", event.time
                )

    def _row(self, event: types.DomainEvent) -> DomainProgress | None:
        if not self.running:
            return None
        key = (event.connection, event.uuid)
        if key not in self._taken and (free := self._free.get(event.domain)):
            self._taken[key] = free.pop()
            self._taken[key].connection = event.connection
        return self._taken.get(key)

    def _step(self, event: types.DomainEvent) -> Step:
        if isinstance(event, _FAILURES):
            return "failed"
        done = types.DomainStopped if self.progress.direction == "down" else types.DomainReady
        return "done" if isinstance(event, done) else "under way"
