"""Routes a command to the one connection that owns it, and an event to every subscription that wants it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeAlias, TypeVar

import anyio

from engine.errors import ConfigError, EngineClosed, NoSuchConnection
from engine.events.commands import DomainCommand
from engine.events.filters import EventFilter, Patterns
from engine.events.journal import Journal, MemoryJournal, Since, now
from engine.events.subscription import Policy, Subscription
from engine.events.types import DomainEvent, Event
from engine.util.cancellation import cancel_by_scope

__all__ = ["Bus", "CallNext", "Handler", "Interceptor", "SnapshotSource"]

log = logging.getLogger("engine.events")

E = TypeVar("E", bound=Event)
Handler: TypeAlias = Callable[[DomainCommand], Awaitable[Any]]
CallNext: TypeAlias = Handler
#: Wraps every command: ``await call_next(command)`` carries it out (it may be another one), raising an EngineError
#: refuses it. What it returns is what the caller gets.
Interceptor: TypeAlias = Callable[[DomainCommand, CallNext], Awaitable[Any]]
#: The facts of a ``DomainSnapshot`` for each domain (all fields but those of ``Event``).
SnapshotSource: TypeAlias = Callable[[], Iterable[Mapping[str, Any]]]


class Bus:
    """Commands in, events out. Of one event loop: not for several threads.

    Args:
        journal: numbers and keeps the events; open, and open longer than the bus.
        snapshot_source: gives the domains as they are now, for ``snapshot=True``; must return at once.

    Attributes:
        gaps, missed: how often readers were told that they missed events, and how many these were.
    """

    def __init__(self, journal: Journal | None = None, *, snapshot_source: SnapshotSource | None = None) -> None:
        self.journal = journal if journal is not None else MemoryJournal()
        self.snapshot_source = snapshot_source
        self.gaps = self.missed = 0
        self._subscriptions: dict[Subscription, None] = {}
        self._routes: dict[tuple[type[Event], bool], _Route] = {}
        self._stable = self.journal.stable
        self._closed = False
        self._handlers: dict[str, Handler] = {}
        self._interceptors: list[Interceptor] = []
        self._chain: Handler = self._dispatch
        self.journal.on_stable = self._became_stable

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Publish no more; every subscription ends once its reader has read what was published.

        Durable readers still get what can be put on disk now.
        """
        self._closed = True
        with anyio.CancelScope(shield=True):
            await self.journal.flush()
        for subscription in tuple(self._subscriptions):
            subscription.end()

    # ------------------------------------------------------------------------ events

    def publish(self, event_type: type[E], *, cause: str | None = None, time: float | None = None, **facts: Any) -> E:
        """Make the event, give it the next number, put it in the journal and deliver it. Returns at once.

        Args:
            cause: id of the command that caused it.
            time: when it happened (seconds since 1970); None: now.
            facts: the event's own fields.

        On a closed bus the event has number 0 and nobody gets it.
        """
        journal = self.journal
        event = event_type(
            host=journal.host,
            epoch=journal.epoch,
            sequence=journal.newest + 1 if not self._closed else 0,
            time=now() if time is None else round(time, 6),  # as whole as now()'s: see there
            cause=cause,
            **facts,
        )
        if self._closed:
            log.debug("published after the bus was closed: %r", event)
            return event
        journal.append(event)
        self._deliver(event, False)
        return event

    def subscribe(
        self,
        *types: type[Event],
        domain: Patterns = None,
        connection: Patterns = None,
        predicate: Callable[[Any], object] | None = None,
        bound: int = 1024,
        policy: Policy = "drop_oldest",
        since: Since | None = None,
        snapshot: bool = False,
        durable: bool = False,
    ) -> Subscription:
        """A reader's view of the events; it receives from ``async with`` on.

        Args:
            types, domain, connection, predicate: which events; see ``EventFilter``.
            bound: how many events wait for the reader at most (a snapshot comes on top).
            policy: what happens when that many wait; see ``engine.events.subscription.Policy``.
            since: first replay what the journal has after this number (or event, or event id), then go on live, with no
                hole and no event twice.
            snapshot: first give a ``DomainSnapshot`` for each domain the filter covers (``types`` and ``predicate``
                don't count here), then ``SnapshotComplete``; what follows is exactly what happened since.
            durable: deliver an event only when it is on disk (a journal in memory delivers at once).

        Raises:
            ConfigError: an argument makes no sense.
        """
        event_filter = EventFilter(*types, domain=domain, connection=connection, predicate=predicate)
        return Subscription(
            self, event_filter, bound=bound, policy=policy, since=since, snapshot=snapshot, durable=durable
        )

    def _deliver(self, event: Event, durable: bool) -> None:
        """Put an event into every queue that wants it: the one place whose cost grows with the number of readers."""
        try:
            route = self._routes[type(event), durable]
        except KeyError:
            route = self._find_route(type(event), durable)
        _give(route.all, event)
        if route.some and isinstance(event, DomainEvent):
            named, numbered = route.some.get(event.domain, ()), route.some.get(event.uuid, ())
            # one may know the domain by both
            _give(dict.fromkeys((*named, *numbered)) if named and numbered else named or numbered, event)

    def _became_stable(self, events: Sequence[Event]) -> None:
        for event in events:
            self._stable = event.sequence
            self._deliver(event, True)

    def _find_route(self, event_type: type[Event], durable: bool) -> _Route:
        everyone: list[Subscription] = []
        some: dict[str, list[Subscription]] = {}
        for subscription in self._subscriptions:
            if subscription._durable is durable and subscription._filter.wants(event_type):
                domains = subscription._filter.domains
                if domains is None:
                    everyone.append(subscription)
                for domain in domains or ():
                    some.setdefault(domain, []).append(subscription)
        route = self._routes[event_type, durable] = _Route(tuple(everyone), some)
        return route

    # what a subscription needs (``engine.events.subscription.Feed``)

    @property
    def closed(self) -> bool:
        """``aclose`` was called."""
        return self._closed

    def attach(self, subscription: Subscription) -> None:
        """Deliver to it from now on."""
        self._subscriptions[subscription] = None
        self._routes.clear()

    def detach(self, subscription: Subscription) -> None:
        """Deliver to it no more."""
        if self._subscriptions.pop(subscription, self) is not self:
            self._routes.clear()

    def delivered(self, durable: bool) -> int:
        """The newest number that all live (or all live durable) readers were given."""
        return self._stable if durable else self.journal.newest

    def snapshot(self) -> Iterable[Mapping[str, Any]]:
        """The facts of a ``DomainSnapshot`` for each domain, as it is now."""
        return self.snapshot_source() if self.snapshot_source is not None else ()

    def lost(self, missed: int) -> None:
        """A reader is told that it missed so many."""
        self.gaps += 1
        self.missed += missed

    # ------------------------------------------------------------------------ commands

    def register(self, connection: str, handler: Handler) -> None:
        """Let ``handler`` carry out the commands for a connection.

        Raises:
            ConfigError: the connection has a handler already.
        """
        if connection in self._handlers:
            raise ConfigError(f"connection '{connection}' is open already")
        self._handlers[connection] = handler

    def unregister(self, connection: str) -> None:
        """Take no more commands for a connection; fine when it is not there."""
        self._handlers.pop(connection, None)

    def add_interceptor(self, interceptor: Interceptor) -> None:
        """Wrap every command from now on. The first one added is the outermost."""
        self._interceptors.append(interceptor)
        chain: Handler = self._dispatch
        for wrapper in reversed(self._interceptors):
            chain = _wrap(wrapper, chain)
        self._chain = chain

    async def execute(self, command: DomainCommand) -> Any:
        """Carry out a command and return what its handler returns.

        Raises:
            NoSuchConnection: nobody owns it.
            EngineError: what the handler or an interceptor raises.
        """
        return await cancel_by_scope(self._chain, command)

    def _dispatch(self, command: DomainCommand) -> Awaitable[Any]:
        try:
            handler = self._handlers[command.connection]
        except KeyError:
            if self._closed:
                raise EngineClosed from None
            raise NoSuchConnection(command.connection) from None
        return handler(command)


class _Route(NamedTuple):
    """Who wants events of one type: all of them, and those who want them of some domains only, by name and UUID.

    A service may have a thousand clients that each follow one domain: an event is not held against them all.
    """

    all: tuple[Subscription, ...]
    some: dict[str, list[Subscription]]


def _give(subscriptions: Iterable[Subscription], event: Event) -> None:
    """Put an event into every queue that wants it."""
    for subscription in subscriptions:
        if subscription._matches is not None:
            try:
                if not subscription._matches(event):
                    continue
            except Exception as exc:  # noqa: BLE001 - a reader's predicate may raise anything; it is told, nobody else
                subscription.fail(exc)
                continue
        queue = subscription._queue
        if len(queue) < subscription._room:
            queue.append(event)
        else:
            subscription.overflow(event)
        if subscription._waiter is not None:
            subscription.wake()


def _wrap(interceptor: Interceptor, call_next: CallNext) -> Handler:
    def call(command: DomainCommand) -> Awaitable[Any]:
        return interceptor(command, call_next)

    return call
