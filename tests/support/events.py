"""What the tests of events share: events to publish, and what must hold of whatever a reader was given."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any
from uuid import NAMESPACE_DNS, uuid5

import anyio

from engine.events.bus import Bus
from engine.events.journal import Journal
from engine.events.subscription import Subscription
from engine.events.types import DomainStarted, Event, Gap
from engine.lifecycle import State


def facts(domain: str = "web", connection: str = "test:///default") -> dict[str, Any]:
    """The facts of a ``DomainStarted``."""
    return {
        "connection": connection,
        "domain": domain,
        "uuid": str(uuid5(NAMESPACE_DNS, domain)),
        "detail": "booted",
        "state": State.RUNNING,
        "reason": "booted",
    }


def start(bus: Bus, *domains: str) -> list[Event]:
    """Publish a ``DomainStarted`` for each."""
    return [bus.publish(DomainStarted, **facts(domain)) for domain in domains]


def numbers(events: Iterable[Event]) -> list[int]:
    """Their sequence numbers; a gap of n is -n."""
    return [-event.missed if isinstance(event, Gap) else event.sequence for event in events]


async def read_available(subscription: Subscription, batch: int | None = None) -> list[Event]:
    """All that can be read without waiting for something new."""
    events: list[Event] = []
    iterator = subscription.batches(batch)
    while True:
        with anyio.move_on_after(0.05) as scope:
            try:
                events += await anext(iterator)
            except StopAsyncIteration:
                return events
        if scope.cancelled_caught:
            return events


async def read_until(subscription: Subscription, sequence: int) -> list[Event]:
    """Everything up to the event with that number, or a gap that ends with it."""
    events: list[Event] = []
    with anyio.fail_after(30):
        async for event in subscription:
            events.append(event)
            if event.sequence >= sequence:
                break
    return events


def check_stream(
    published: Sequence[Event], wanted: Callable[[Event], bool], start: int, received: Sequence[Event], end: int
) -> None:
    """``received`` is what a reader that wants some events must get between the numbers ``start`` and ``end``.

    Every wanted event is there once, in order, or counted by a gap at its place; a gap names the last one missed. (Two
    gaps in a row are right where more was lost after the first had been read.)
    """
    expected = [event for event in published if start < event.sequence <= end and wanted(event)]
    place = 0
    owed = 0
    for event in received:
        if isinstance(event, Gap):
            owed += event.missed
            assert event.missed > 0
            assert event.sequence == expected[place + owed - 1].sequence, f"a gap too large: {numbers(received)}"
            continue
        assert event in expected[place:], f"{event} is a duplicate, out of order or not wanted: {numbers(received)}"
        position = expected.index(event, place)
        assert position - place == owed, f"{position - place} are missing, the gap says {owed}: {numbers(received)}"
        place, owed = position + 1, 0
    assert len(expected) - place == owed, f"{len(expected) - place} missing at the end, the gap says {owed}"


async def kept(journal: Journal, since: int = 0) -> list[Event]:
    """All the journal gives after a number."""
    events: list[Event] = []
    while chunk := await journal.read(since, 100):
        events += chunk
        since = events[-1].sequence
    return events
