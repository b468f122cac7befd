"""What ``/metrics`` tells. No figure has a label that grows with the number of domains."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from time import perf_counter, time
from typing import TYPE_CHECKING, Any

import anyio
from anyio.abc import TaskStatus

from engine.core import Engine
from engine.errors import EngineError
from engine.events.bus import CallNext
from engine.events.commands import DomainCommand
from engine.events.encoding import type_name
from engine.events.types import Event, Gap, ScopeFailed
from engine.lifecycle import State
from engine.server.exposition import Family, Histogram, Sample

if TYPE_CHECKING:
    from engine.server.operations import Operations
    from engine.server.webhooks.hooks import Webhooks

__all__ = ["Metrics"]

_BOUND = 65_536

# seconds: of commands, which take as long as a guest's power-off; and until a reader has an event
_COMMANDS = (0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_LAGS = (0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0)


class Metrics:
    """Counts what goes on at an engine that is served.

    Attributes:
        requests: answers, by method, path of the route and status; connections: those that are open.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.requests: Counter[tuple[str, str, int]] = Counter()
        self.connections = 0
        self._commands: dict[tuple[str, str], Histogram] = {}
        self._failures: Counter[tuple[str, str, str]] = Counter()
        self._events: Counter[str] = Counter()
        self._lag = Histogram(_LAGS)

    @contextlib.contextmanager
    def connected(self) -> Iterator[None]:
        """A connection that is open."""
        self.connections += 1
        try:
            yield
        finally:
            self.connections -= 1

    async def measure(self, command: DomainCommand, call_next: CallNext) -> Any:
        """An interceptor (``Engine.add_interceptor``)."""
        began, key = perf_counter(), (command.connection, command.kind.value)
        try:
            return await call_next(command)
        except EngineError as exc:
            self._failures[(*key, type(exc).__name__)] += 1
            raise
        finally:
            self._commands.setdefault(key, Histogram(_COMMANDS)).observe(perf_counter() - began)

    async def follow(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Count the events from now on, until the engine is closed."""
        # nothing is read of the journal: what goes wrong with that must not end this
        async with self._engine.subscribe(bound=_BOUND) as events:
            task_status.started()
            async for batch in events.batches():
                now = time()
                for event in batch:
                    self._count(event, now)

    def _count(self, event: Event, now: float) -> None:
        if isinstance(event, Gap):
            return  # of this reader: ``bus.missed`` has it
        self._events[type_name(type(event))] += 1
        self._lag.observe(max(0.0, now - event.time))

    def families(self, *, streams: int, operations: Operations, webhooks: Webhooks) -> Iterator[Family]:
        """All figures as they are now; ``streams``: how many clients listen to events."""
        bus = self._engine.bus
        states = Counter((domain.connection, domain.state) for domain in self._engine.domains())
        yield Family(
            "domains",
            "gauge",
            "Domains by connection and state.",
            [
                Sample(states[uri, state], {"connection": uri, "state": state.value})
                for uri in self._engine.connections
                for state in State
            ],
        )
        yield from self._about_commands()
        yield Family(
            "events",
            "counter",
            "Events by type.",
            [Sample(count, {"type": name}) for name, count in sorted(self._events.items())],
        )
        yield Family(
            "event_lag_seconds",
            "histogram",
            "From when something happened until a reader of the events was told.",
            self._lag.samples({}),
        )
        yield _one("journal_newest", "gauge", "The number of the newest event.", bus.journal.newest)
        behind = bus.journal.newest - bus.journal.stable
        yield _one("journal_unwritten", "gauge", "Events that are not on disk yet.", behind)
        yield _one("event_gaps", "counter", "Times that a reader was told that it missed events.", bus.gaps)
        yield _one("events_dropped", "counter", "Events that readers missed.", bus.missed)
        scopes = self._events[type_name(ScopeFailed)]
        yield _one("scope_failures", "counter", "Domains that run without a scope of systemd's.", scopes)
        yield from self._about_clients(streams, operations)
        yield from _about_webhooks(webhooks)

    def _about_commands(self) -> Iterator[Family]:
        yield Family(
            "command_duration_seconds",
            "histogram",
            "How long commands took, those that failed as well.",
            [
                sample
                for (uri, name), histogram in sorted(self._commands.items())
                for sample in histogram.samples({"connection": uri, "command": name})
            ],
        )
        yield Family(
            "command_failures",
            "counter",
            "Commands that failed, by the error.",
            [
                Sample(count, {"connection": uri, "command": name, "error": error})
                for (uri, name, error), count in sorted(self._failures.items())
            ],
        )

    def _about_clients(self, streams: int, operations: Operations) -> Iterator[Family]:
        yield Family(
            "requests",
            "counter",
            "Answers, by route and status.",
            [
                Sample(count, {"method": method, "route": path, "status": str(status)})
                for (method, path, status), count in sorted(self.requests.items())
            ],
        )
        yield _one("connections_open", "gauge", "Connections of clients.", self.connections)
        yield _one("event_streams", "gauge", "Clients that listen to events.", streams)
        running = sum(operation.state == "running" for operation in operations.list())
        yield _one("operations_running", "gauge", "Operations that go on.", running)
        yield Family(
            "operations_ended",
            "counter",
            "Operations that ended, by how.",
            [Sample(count, {"state": state}) for state, count in sorted(operations.ended.items())],
        )


def _about_webhooks(webhooks: Webhooks) -> Iterator[Family]:
    states = webhooks.states()

    def each(name: str, kind: str, help_: str, field: str) -> Family:
        return Family(
            f"webhook_{name}",
            kind,
            help_,
            [Sample(getattr(state, field), {"webhook": state.name}) for state in states],
        )

    yield each("lag", "gauge", "Events that a receiver has not been told yet, at most.", "lag")
    yield each("lag_seconds", "gauge", "How old the oldest is that it has not been told.", "lag_seconds")
    yield each("deliveries", "counter", "Events that it has taken.", "delivered")
    yield each("failures", "counter", "Deliveries that failed.", "failures")
    yield each("missed", "counter", "Events that it can't be told any more.", "missed")
    yield each("dead_letters", "gauge", "Events that it was not told though it was tried.", "dead")


def _one(name: str, kind: str, help_: str, value: float) -> Family:
    return Family(name, kind, help_, [Sample(value)])
