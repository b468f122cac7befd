"""The journal: gives every event its number and keeps the events for readers that come late or fall behind.

Numbers count by one and never start again while a journal lives; ``epoch`` names one run of it. A stop that was not
clean begins a new epoch at the next number, because numbers beyond may have been told to somebody and then lost with
the process: so ``(host, epoch, sequence)`` never names two facts, and whoever holds an older number still finds the
place. (Rejected: reserving numbers ahead on disk, which leaves holes that no reader can tell from lost events.) Only a
journal that had to be begun anew, because the old one was unreadable, counts from 1 again.

A journal is not for several threads: all but its own writing happens on the event loop.
"""

from __future__ import annotations

import os
import platform
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from types import TracebackType
from typing import ClassVar, Protocol, Self, TypeAlias

from engine.errors import ConfigError, ResyncRequired, StoreError
from engine.events.types import Event, JournalBegun

__all__ = ["Journal", "Laggard", "MemoryJournal", "Since", "event_id", "host_name", "now", "parse_since"]

#: Where to go on: a number, the last event seen, or its id ``"epoch/sequence"`` (a CloudEvents id). The last two also
#: notice that the number belongs to a run of which it was lost.
Since: TypeAlias = "int | str | Event"


def host_name() -> str:
    """The ``host`` of every event that begins here."""
    return platform.node() or "localhost"


def new_epoch() -> str:
    """A name for a run of numbers, the same as no other."""
    return os.urandom(6).hex()


def now() -> float:
    """The time in whole microseconds, so that it survives every encoding unchanged."""
    return time.time_ns() // 1000 / 1_000_000


def event_id(event: Event) -> str:
    """What names the event on its host: ``"epoch/sequence"``."""
    return f"{event.epoch}/{event.sequence}"


class Laggard(Protocol):
    """A reader that relies on the journal to keep what it has not read yet."""

    def needs(self, sequence: int) -> bool:
        """Whether it would miss something if nothing up to that number were kept."""

    def lose(self, events: Sequence[Event]) -> None:
        """These events are about to be kept no longer. Must not fail."""


class Journal:
    """What every journal does; this much of it is memory: a ring with the newest events.

    Attributes:
        host, epoch: what new events carry.
        newest: the newest number given, 0 before the first.
        oldest: the oldest number that is kept.
        error: why events can't be made durable at the moment, or None.
        laggards: told of every event before it is kept no longer.
        on_stable: called on the event loop with events that have just become durable, in order.
    """

    #: Events outlive the process.
    durable: ClassVar[bool] = False

    def __init__(self, host: str | None = None, *, keep: int) -> None:
        self.host = host or host_name()
        self.epoch = new_epoch()
        self.newest = 0
        self.oldest = 1
        self.error: StoreError | None = None
        self.laggards: set[Laggard] = set()
        self.on_stable: Callable[[Sequence[Event]], None] | None = None
        self._keep = keep
        self._ring: deque[Event] = deque()
        self._epochs: list[tuple[str, int]] = []

    @property
    def stable(self) -> int:
        """The newest number that is as durable as this journal can make it."""
        return self.newest

    def append(self, event: Event) -> None:
        """Take in an event whose ``sequence`` is ``newest + 1``. Returns at once, never fails."""
        self._ring.append(event)
        self.newest = event.sequence
        if len(self._ring) > self._keep:
            self._shrink()

    def begin(self, reason: str) -> None:
        """Begin an epoch with its ``JournalBegun``."""
        self._epochs.append((self.epoch, self.newest + 1))
        self.append(JournalBegun(host=self.host, epoch=self.epoch, sequence=self.newest + 1, time=now(), reason=reason))

    def resolve(self, since: Since) -> int:
        """The number after which a reader that saw ``since`` goes on.

        Raises:
            ResyncRequired: what follows it is no longer kept, or no such event was ever kept.
            ConfigError: ``since`` is no such thing.
        """
        epoch, number = parse_since(since)
        newest = self.newest if epoch is None else self._last_of(epoch)
        if not self.oldest - 1 <= number <= newest:
            raise ResyncRequired(number, self.oldest, f"{self.epoch}/{self.newest}")
        return number

    async def read(self, since: int, limit: int) -> Sequence[Event]:
        """Up to ``limit`` kept events after number ``since``, in order; none: there is nothing newer.

        Raises:
            StoreError: what is on disk can't be read.
        """
        return self._recent(since, limit)

    async def flush(self) -> None:
        """Return once all that was appended is durable, or an attempt to make it so has failed."""

    async def aclose(self) -> None:
        """Make all durable and let go of the disk."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    def _recent(self, since: int, limit: int) -> list[Event]:
        ring = self._ring
        if not ring:
            return []
        # the ring has no holes: numbers count by one, and only its old end is ever cut
        start = max(0, since + 1 - ring[0].sequence)
        return list(islice(ring, start, start + limit))

    def _shrink(self) -> None:
        self._drop([self._ring.popleft()])
        self.oldest = self._ring[0].sequence

    def _drop(self, events: Sequence[Event]) -> None:
        for laggard in tuple(self.laggards):
            laggard.lose(events)

    def _last_of(self, epoch: str) -> int:
        """The last number of an epoch that is kept; -1 when it is not known. What is before it is one history."""
        for (name, _), (_, following) in zip(self._epochs, [*self._epochs[1:], ("", self.newest + 1)], strict=True):
            if name == epoch:
                return following - 1
        return -1


class MemoryJournal(Journal):
    """Keeps the newest events in memory and nothing beyond the process.

    Args:
        host: the name events carry; None: this host's.
        keep: how many events.
    """

    def __init__(self, host: str | None = None, *, keep: int = 10_000) -> None:
        if keep < 1:
            raise ConfigError("a journal keeps at least one event")
        super().__init__(host, keep=keep)
        self.begin("new")


def parse_since(since: Since) -> tuple[str | None, int]:
    """The epoch, if it is named, and the number.

    Raises:
        ConfigError: ``since`` is no such thing.
    """
    if isinstance(since, Event):
        return since.epoch, since.sequence
    if isinstance(since, int):
        return None, since
    # whoever was told something beside the journal (``epoch/number/snapshot/...``) is at that number
    match str(since).split("/"):
        case [number]:
            epoch = None
        case [epoch, number, *_] if epoch:
            pass
        case _:
            number = ""
    if not (number.isascii() and number.isdecimal()):
        raise ConfigError(f"'{since}' is not the number or the id (epoch/number) of an event")
    return epoch, int(number)
