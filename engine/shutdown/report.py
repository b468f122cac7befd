"""What became of whom: the report of an ``up`` or ``down``, and the record that outlives an interrupted one. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self, TypeAlias

import msgspec

from engine.shutdown.graph import Direction

__all__ = ["DONE", "Entry", "Outcome", "Record", "RecordEntry", "Report", "Try"]

Outcome: TypeAlias = Literal[
    "waiting",  # not begun
    "under way",
    "stopped",  # down: it powered off
    "saved",
    "destroyed",
    "crashed",  # down: it is gone, but it neither powered off nor was it saved or destroyed
    "ready",  # up: it runs and passed its gates
    "started",  # up: it runs; its gate did not let it through, and its order says to go on
    "already",  # it was where it should be
    "failed",
    "held",  # not begun, because of another that failed
    "interrupted",
]

#: Outcomes of those that are where they should be, however they got there.
DONE: frozenset[Outcome] = frozenset({"stopped", "saved", "destroyed", "crashed", "ready", "started", "already"})


class Try(msgspec.Struct, kw_only=True):
    """One step of the ladder as it went.

    Attributes:
        method: of the step; seconds: how long it took; result: a clause, e.g. ``it did not stop within 30 s``.
    """

    method: str
    seconds: float = 0.0
    result: str = ""


class Entry(msgspec.Struct, kw_only=True):
    """One domain in a report.

    Attributes:
        outcome: see ``Outcome``.
        method: (down) what it stopped by; "" by itself, or by something else.
        began: seconds after the beginning at which it began, None: it did not.
        seconds: how long it took.
        tries: (down) the steps of its ladder as they went.
        error: name of the error's type; reason: its sentence, or why it was held.
    """

    key: str
    name: str
    connection: str
    outcome: Outcome = "waiting"
    method: str = ""
    began: float | None = None
    seconds: float = 0.0
    tries: list[Try] = []
    error: str = ""
    reason: str = ""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """How an ``up`` or ``down`` went. Every domain of the plan is in it, whatever happened.

    Attributes:
        began: seconds since 1970; seconds: how long it took; planned: how long it could have.
        budget: seconds the host gave, None: not known.
        entries: one a domain, in the order of the plan.
        interrupted: it was cancelled; late: its deadline passed.
        problems: sentences about what went wrong beside the domains.
    """

    direction: Direction
    began: float
    seconds: float
    planned: float = 0.0
    budget: float | None = None
    entries: tuple[Entry, ...] = ()
    interrupted: bool = False
    late: bool = False
    problems: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Every domain got where it should."""
        return all(entry.outcome in DONE for entry in self.entries)

    @property
    def done(self) -> tuple[str, ...]:
        """Names of those that got where they should."""
        return tuple(entry.name for entry in self.entries if entry.outcome in DONE)

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of those that did not."""
        return tuple(entry.name for entry in self.entries if entry.outcome not in DONE)

    def __getitem__(self, name: str) -> Entry:
        """The entry of a domain, by name or key. Raises KeyError."""
        for entry in self.entries:
            if name in (entry.name, entry.key):
                return entry
        raise KeyError(name)

    def __str__(self) -> str:
        from engine.shutdown.render import report_text

        return report_text(self)

    def to_json(self) -> str:
        """All of it, indented; ``ok`` as well."""
        data = msgspec.structs.asdict(self) | {"ok": self.ok}
        return msgspec.json.format(msgspec.json.encode(data), indent=2).decode()


class RecordEntry(msgspec.Struct, kw_only=True):
    """One domain that a ``down`` was to stop.

    Attributes:
        started: when the run began that it was to stop, seconds since 1970: a later run is another matter.
        missed: an ``up`` was to bring it back, and could not.
    """

    key: str
    name: str
    connection: str
    outcome: Outcome = "waiting"
    started: float = 0.0
    missed: bool = False


class Record(msgspec.Struct, kw_only=True):
    """What a ``down`` has stopped and what is left; kept on disk while it goes on, and until ``up`` brought all back.

    Attributes:
        began: seconds since 1970; finished: it came to its end; failed: not all were stopped then.
        domains: all that ran when it began.
    """

    version: int = 1
    began: float = 0.0
    finished: bool = False
    failed: bool = False
    domains: list[RecordEntry] = []

    @classmethod
    def load(cls, data: Any) -> Self | None:
        """What ``dump`` gave, or None when it is no such record (an older engine's, damaged, none at all)."""
        try:
            record = msgspec.convert(data, cls)
        except msgspec.ValidationError:
            return None
        return record if record.version == 1 else None

    def dump(self) -> Any:
        """Plain JSON data."""
        return msgspec.to_builtins(self)

    @property
    def keys(self) -> tuple[str, ...]:
        """All that ran when the ``down`` began: what ``up --resume`` brings back (those that still run are left be)."""
        return tuple(entry.key for entry in self.domains)

    @property
    def left(self) -> tuple[str, ...]:
        """Those an interrupted ``down`` did not come to the end with."""
        return tuple(entry.key for entry in self.domains if entry.outcome in ("waiting", "under way", "interrupted"))

    def update(self, outcomes: Mapping[str, Outcome]) -> None:
        """Write down how far it is."""
        for entry in self.domains:
            entry.outcome = outcomes.get(entry.key, entry.outcome)

    def miss(self, keys: Iterable[str]) -> bool:
        """Note those that could not be brought back. Returns whether that is news."""
        missed = set(keys)
        news = [entry for entry in self.domains if entry.key in missed and not entry.missed]
        for entry in news:
            entry.missed = True
        return bool(news)

    def take_over(self, earlier: Record) -> None:
        """Go on from an earlier ``down``: what was to be brought back since and was not is not forgotten over this one,
        nor what was stopped when not all could be, since this one is the next try."""
        known = set(self.keys)
        for entry in earlier.domains:
            if entry.key not in known and (entry.missed or earlier.failed):
                entry.missed = True
                self.domains.append(entry)

    def strike(self, keys: Iterable[str]) -> bool:
        """Take out those that are back. Returns whether there were any."""
        back = set(keys)
        before = len(self.domains)
        self.domains = [entry for entry in self.domains if entry.key not in back]
        return len(self.domains) < before

    def strike_anew(self, runs: Mapping[str, float]) -> bool:
        """Take out those that run, but not the run that was to be stopped. Returns whether there were any.

        Args:
            runs: when what runs was started, by key.
        """
        return self.strike(entry.key for entry in self.domains if runs.get(entry.key, entry.started) != entry.started)
