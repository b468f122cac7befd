"""One reader's bounded queue of events: filled without waiting, read in batches, honest about what it lost.

A subscription is in one of these conditions:

- *live*: the bus puts each matching event into the queue.
- *behind*: the bus puts nothing in; once the queue is empty the reader fetches what follows ``cursor`` from the
  journal, until it has caught up and is live again. A reader that asked for ``since=`` begins here, and a ``block``
  reader whose queue is full gets here.
- *folded* (``coalesce`` only): the queue was full; see ``_Folded``.
- *ended*: by the reader, the bus, its predicate or its policy. What was delivered before is still read.

Between two awaits nothing else runs, so each change of condition is atomic with the stream of events.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Literal, Protocol, Self, TypeAlias, get_args

import anyio
from anyio.lowlevel import checkpoint

from engine.errors import Busy, ConfigError, EngineClosed, EventError, SubscriptionLagged
from engine.events.filters import EventFilter
from engine.events.journal import Journal, Since, now
from engine.events.types import DomainSnapshot, Event, Gap, SnapshotComplete

__all__ = ["Feed", "Policy", "Subscription"]

#: What happens when a reader's queue is full:
#:
#: - ``block``: nothing more is queued and nothing is lost; the reader gets the rest from the journal. Only what the
#:   journal no longer keeps by then is missed. Publishers and other readers are not slowed.
#: - ``drop_oldest``: the oldest queued event makes room.
#: - ``coalesce``: from then until the reader has emptied the queue, it holds only the newest event of each (domain,
#:   event type), in the order of these newest; when they are too many, the oldest makes room.
#: - ``disconnect``: the reader gets what is queued and then SubscriptionLagged.
# events a reader is given without ever having to wait, before others have their turn
_STREAK = 256

Policy: TypeAlias = Literal["block", "drop_oldest", "coalesce", "disconnect"]


class Feed(Protocol):
    """What a subscription needs of its bus."""

    @property
    def journal(self) -> Journal: ...
    @property
    def closed(self) -> bool: ...
    def attach(self, subscription: Subscription) -> None: ...
    def detach(self, subscription: Subscription) -> None: ...
    def delivered(self, durable: bool) -> int:
        """The newest number that all live (or all live durable) readers were given."""

    def snapshot(self) -> Iterable[Mapping[str, Any]]:
        """The facts of a ``DomainSnapshot`` for each domain, as it is now."""

    def lost(self, missed: int) -> None:
        """A reader is told that it missed so many."""


class Subscription:
    """Events for one reader, from ``async with`` on. Made by ``Bus.subscribe``; read by one task at a time.

    ::

        async with bus.subscribe(DomainEvent) as events:
            async for event in events: ...
            # or
            async for batch in events.batches(): ...

    Where events were lost a ``Gap`` tells how many matching events are missing there (events that were lost before this
    reader's filter saw them, because a journal on disk could not keep them, all count). Iteration ends when the bus is
    closed. A read that is cancelled takes nothing. An error of the reader's own predicate ends the subscription and is
    raised to the reader, unchanged, after the events before it.

    Raises, from ``async with``: ResyncRequired (``since`` is not kept), ConfigError (``since`` is no number or id),
    EngineClosed; from a read: SubscriptionLagged (policy ``disconnect``), StoreError (the journal on disk can't be
    read: reading may be tried again), Busy (another task is reading).
    """

    __slots__ = (
        "_cursor",
        "_dropped",
        "_dropped_last",
        "_durable",
        "_ended",
        "_error",
        "_feed",
        "_filter",
        "_folded",
        "_lost",
        "_lost_last",
        "_matches",
        "_opened",
        "_policy",
        "_queue",
        "_reading",
        "_refused",
        "_room",
        "_since",
        "_snapshot",
        "_snapshot_wanted",
        "_streak",
        "_waiter",
        "bound",
    )

    def __init__(
        self,
        feed: Feed,
        event_filter: EventFilter,
        *,
        bound: int = 1024,
        policy: Policy = "drop_oldest",
        since: Since | None = None,
        snapshot: bool = False,
        durable: bool = False,
    ) -> None:
        if bound < 1:
            raise ConfigError("a subscription's bound is at least 1")
        if policy not in get_args(Policy):
            raise ConfigError(f"'{policy}' is not an overflow policy ({', '.join(get_args(Policy))})")
        if since is not None and snapshot:
            raise ConfigError("a subscription begins with a snapshot or since a number, not both")
        self.bound = bound
        self._feed = feed
        self._filter = event_filter
        self._matches = event_filter.matches
        self._policy = policy
        self._since = since
        self._snapshot_wanted = snapshot
        self._durable = durable and feed.journal.durable
        self._queue: deque[Event] = deque()
        self._room = 0  # the queue takes events while it is shorter than this; 0: whatever comes takes the slow way
        self._waiter: anyio.Event | None = None  # there while the reader sleeps
        self._snapshot: deque[Event] = deque()  # read before the queue; as long as there are domains
        self._folded: _Folded | None = None
        self._cursor: int | None = None  # behind: the last number that was read or lost
        self._dropped = self._dropped_last = 0  # lost before the first in the queue, and the last of these
        self._lost = self._lost_last = 0  # lost between the last in the queue and the cursor, and the last of these
        self._refused = 0  # disconnected: how many came since
        self._opened = self._ended = self._reading = False
        self._streak = 0  # reads since it last gave way
        self._error: BaseException | None = None

    # ------------------------------------------------------------------------ the reader's side

    async def __aenter__(self) -> Self:
        if self._feed.closed:
            raise EngineClosed()
        if self._opened:
            raise EventError("a subscription can be opened once only")
        journal = self._feed.journal
        start = journal.newest
        if self._since is not None:
            start = journal.resolve(self._since)
        elif self._snapshot_wanted:
            self._take_snapshot(start)
        self._opened = True
        if start == self._feed.delivered(self._durable):
            self._room = self.bound
        else:
            self._fall_behind(start)
        if self._durable:
            journal.laggards.add(self)  # what never gets to the disk is lost to a durable reader, live or not
        self._feed.attach(self)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Stop receiving and forget what is queued."""
        self._queue.clear()
        self._snapshot.clear()
        self._error = self._folded = self._cursor = None
        self._dropped = self._lost = self._refused = 0
        self.end()

    @property
    def position(self) -> str | None:
        """The id of the newest event if all that match up to it were read: one can go on after it. None: not so now."""
        waits = (
            self._queue or self._snapshot or self._folded is not None or self._dropped or self._lost or self._refused
        )
        if waits or self._cursor is not None or not self._opened or self._ended:
            return None
        return f"{self._feed.journal.epoch}/{self._feed.delivered(self._durable)}"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        # the way most events go, short: nothing is to be told before what is first in the queue
        if self._queue and not self._dropped and not self._snapshot and self._streak < _STREAK:
            self._streak += 1
            return self._queue.popleft()
        batch = await self._take(1)
        if not batch:
            raise StopAsyncIteration
        return batch[0]

    def batches(self, max: int | None = None) -> Batches:
        """The events in lists of at least one and at most ``max`` (None: the bound), as they are there.

        Raises:
            ConfigError: ``max`` is less than 1.
        """
        if max is not None and max < 1:
            raise ConfigError("a batch has room for at least one event")
        return Batches(self, max or self.bound)

    async def _take(self, limit: int) -> list[Event]:
        """At least one event, none only at the end. Nothing is awaited after events were taken."""
        if not self._opened:
            raise EventError("the subscription is not open: read it inside `async with`")
        if self._reading:
            raise Busy("another task is reading this subscription")
        self._reading = True
        try:
            if self._streak >= _STREAK:  # it has long had no need to wait: others have their turn, and cancellation its
                self._streak = 0
                await checkpoint()
            self._streak += 1
            while True:
                if batch := self._drain(limit):
                    return batch
                if self._cursor is not None and await self._catch_up():
                    continue
                if self._refused:
                    self._disconnect()
                if self._ended:
                    error, self._error = self._error, None
                    if error is not None:
                        raise error
                    return []
                await self._sleep()
        finally:
            self._reading = False

    def _drain(self, limit: int) -> list[Event]:
        if self._snapshot:
            return _pop(self._snapshot, limit)
        if self._folded is not None:
            batch = self._folded.take(limit, self._gap)
            if self._folded.empty:
                self._folded = None
                self._room = 0 if self._ended else self.bound
            return batch
        if self._dropped:
            gap = self._gap(self._dropped, self._dropped_last)
            self._dropped = 0
            return [gap, *_pop(self._queue, limit - 1)]
        return _pop(self._queue, limit)

    async def _sleep(self) -> None:
        self._streak = 0
        self._waiter = waiter = anyio.Event()
        try:
            await waiter.wait()
        finally:
            self._waiter = None

    async def _catch_up(self) -> bool:
        """Move what follows the cursor from the journal to the empty queue; False: there is nothing yet."""
        await checkpoint()
        if self._cursor is None:  # closed meanwhile
            return False
        target = self._feed.delivered(self._durable)
        if self._cursor >= target:
            self._tell_loss()
            if self._cursor == target or self._ended:
                self._go_live()
            return bool(self._queue)
        for event in await self._feed.journal.read(self._cursor, self.bound):
            # told as lost while it was being read, or closed
            if self._cursor is None or event.sequence <= self._cursor:
                continue
            if event.sequence > target:
                break
            if hole := event.sequence - self._cursor - 1:
                self._lost += hole
                self._lost_last = event.sequence - 1
            self._cursor = event.sequence
            try:
                matches = self._filter(event)
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is the reader's own
                self.fail(exc)
                break
            if matches:
                self._tell_loss()
                self._queue.append(event)
        return True

    # ------------------------------------------------------------------------ the bus's side

    def overflow(self, event: Event) -> None:
        """A matching event came for which the queue has no room."""
        if self._ended or self._cursor is not None:
            return
        queue = self._queue  # no gap in it: one is put there only while behind, and read before that ends
        if self._policy == "drop_oldest":
            self._dropped += 1
            self._dropped_last = queue.popleft().sequence
            queue.append(event)
        elif self._policy == "block":
            self._fall_behind(event.sequence - 1)
        elif self._policy == "coalesce":
            if self._folded is None:
                self._folded = _Folded(self.bound, queue)
                queue.clear()
                self._room = 0
            self._folded.push(event)
        else:
            if not self._refused:
                self._lost_last = queue[-1].sequence
                self._room = 0
            self._refused += 1

    def wake(self) -> None:
        """There is something for a reader that sleeps."""
        if self._waiter is not None:
            self._waiter.set()
            self._waiter = None

    def fail(self, error: BaseException) -> None:
        """End it with an error for its reader."""
        self._tell_loss()
        self._error = error
        self._cursor = None
        self.end()

    def end(self) -> None:
        """End it; the reader still gets what was delivered."""
        self._ended = True
        self._room = 0
        self._feed.detach(self)
        if self._cursor is None:
            self._feed.journal.laggards.discard(self)
        self.wake()

    def needs(self, sequence: int) -> bool:
        """Whether it has not read the journal up to that number."""
        read = self._cursor if self._cursor is not None else self._feed.delivered(self._durable)
        return not (self._ended and self._cursor is None) and read < sequence

    def lose(self, events: Sequence[Event]) -> None:
        """The journal is about to keep these no longer."""
        if self._cursor is None:
            delivered = self._feed.delivered(self._durable)
            if self._ended or events[-1].sequence <= delivered:
                return
            self._fall_behind(delivered)
        for event in events:
            if self._cursor is None or event.sequence <= self._cursor:
                continue
            self._cursor = event.sequence
            try:
                matches = self._filter(event)
            except Exception as exc:  # noqa: BLE001 - whatever it is, it is the reader's own
                self.fail(exc)
                return
            if matches:
                self._lost += 1
                self._lost_last = event.sequence
                self.wake()

    def _fall_behind(self, cursor: int) -> None:
        self._cursor = cursor
        self._room = 0
        self._feed.journal.laggards.add(self)

    def _go_live(self) -> None:
        """Stop relying on the journal; where the subscription has ended nothing more will come."""
        self._cursor = None
        self._room = 0 if self._ended else self.bound
        if self._ended or not self._durable:
            self._feed.journal.laggards.discard(self)

    def _tell_loss(self) -> None:
        if self._lost:
            self._queue.append(self._gap(self._lost, self._lost_last))
            self._lost = 0

    def _disconnect(self) -> None:
        self._feed.lost(self._refused)
        self.fail(SubscriptionLagged(self._refused, self._lost_last))
        self._refused = 0

    def _take_snapshot(self, newest: int) -> None:
        journal = self._feed.journal
        stamp: dict[str, Any] = {"host": journal.host, "epoch": journal.epoch, "sequence": newest, "time": now()}
        for facts in self._feed.snapshot():
            domain = DomainSnapshot(**stamp, **facts)
            if self._filter.covers(domain):
                self._snapshot.append(domain)
        self._snapshot.append(SnapshotComplete(**stamp, count=len(self._snapshot)))

    def _gap(self, missed: int, last: int) -> Gap:
        self._feed.lost(missed)
        journal = self._feed.journal
        return Gap(host=journal.host, epoch=journal.epoch, sequence=last, time=now(), missed=missed)


class Batches:
    """The iterator that ``Subscription.batches`` gives."""

    __slots__ = ("_limit", "_subscription")

    def __init__(self, subscription: Subscription, limit: int) -> None:
        self._subscription = subscription
        self._limit = limit

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> list[Event]:
        batch = await self._subscription._take(self._limit)
        if not batch:
            raise StopAsyncIteration
        return batch


class _Folded:
    """A full ``coalesce`` queue: the newest event of each (domain, type), each with its place in the stream.

    The place is what makes gaps exact: whatever lies between two places was folded away or made room.
    """

    __slots__ = ("_before", "_bound", "_place", "_read", "_slots")

    def __init__(self, bound: int, events: Iterable[Event]) -> None:
        self._bound = bound
        self._slots: OrderedDict[object, tuple[int, int, Event]] = OrderedDict()
        self._place = self._read = 0  # of the newest event; of the last one read
        self._before = 0  # number of the newest event
        for event in events:
            self.push(event)

    @property
    def empty(self) -> bool:
        return not self._slots

    def push(self, event: Event) -> None:
        key = (type(event), getattr(event, "uuid", None) or getattr(event, "connection", None))
        if self._slots.pop(key, None) is None and len(self._slots) >= self._bound:
            self._slots.popitem(last=False)
        self._place += 1
        self._slots[key] = (self._place, self._before, event)
        self._before = event.sequence

    def take(self, limit: int, gap: Callable[[int, int], Gap]) -> list[Event]:
        batch: list[Event] = []
        while self._slots and len(batch) < limit:
            key = next(iter(self._slots))
            place, before, event = self._slots[key]
            if missed := place - self._read - 1:
                batch.append(gap(missed, before))
                self._read = place - 1
            else:
                batch.append(event)
                self._read = place
                del self._slots[key]
        return batch


def _pop(queue: deque[Event], limit: int) -> list[Event]:
    if len(queue) <= limit:
        batch = list(queue)
        queue.clear()
        return batch
    return [queue.popleft() for _ in range(limit)]
