"""Events as Server-Sent Events. Source: the HTML standard, "Server-sent events"; CloudEvents 1.0 are the data.

The id of each is ``EPOCH/SEQUENCE``; a client that comes back says it in ``Last-Event-ID`` and misses nothing, or is
told 410, with the number that it can begin at. What is told to one reader only (a snapshot, a gap) has no id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import anyio
import msgspec
from starlette.types import Receive, Scope, Send

from engine.errors import EngineError
from engine.events.encoding import to_cloudevent, types_by_name
from engine.events.journal import Journal
from engine.events.subscription import Policy, Subscription
from engine.events.types import DomainSnapshot, Event, Gap, SnapshotComplete
from engine.server.problems import Fault, problem_of
from engine.server.routes import Call, Route
from engine.server.tokens import in_scope

__all__ = ["ROUTES", "EventStream", "domains_asked", "types_named", "words_of"]

# seconds without an event, after which a comment shows that the connection stands
HEARTBEAT = 15.0


class EventsQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which events, and how.

    Attributes:
        type: class names or CloudEvents types, separated by commas. domain, connection: names, UUIDs or patterns.
        since: a number or an id: go on after that, as ``Last-Event-ID`` does.
        snapshot: how all domains are now comes first.
        policy: what becomes of events that the client is too slow for; bound: how many wait for it.
    """

    type: str = ""
    domain: str = ""
    connection: str = ""
    since: str | None = None
    snapshot: bool = False
    policy: Policy = "block"
    bound: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 1024


async def events(call: Call) -> EventStream:
    query: EventsQuery = call.query
    back = call.request.headers.get("last-event-id")
    since = back or query.since
    subscription = call.engine.subscribe(
        *types_named(query.type),
        domain=domains_asked(call),
        connection=words_of(query.connection),
        bound=query.bound,
        policy=query.policy,
        since=since,
        snapshot=query.snapshot and not back,  # a browser that comes back asks for the same as before
    )
    most = call.limits.subscriptions_each
    if call.streams[call.peer.name] >= most:
        raise Fault(429, "Too many requests", f"{call.peer.name} listens to {most} streams already")
    stream = EventStream(subscription, call.streams, call.peer.name)
    await stream.open()
    if since is None and not query.snapshot:
        stream.begins_at(call.engine.bus.journal)
    return stream


def domains_asked(call: Call) -> list[str] | None:
    """Those that are asked for, as far as the caller may know of them."""
    asked = words_of(call.query.domain)
    if not call.domains:
        return asked
    for word in asked or ():
        # a pattern may fit what fits a pattern, and be about more
        if word not in call.domains and (set(word) & set("*?[") or not in_scope(call.domains, word)):
            raise Fault(403, "Not allowed", f"{call.peer.name} may have nothing to do with '{word[:60]}'")
    return asked or list(call.domains)


def words_of(text: str) -> list[str] | None:
    return [word for word in text.split(",") if word] or None


def types_named(text: str) -> list[type[Event]]:
    known = types_by_name()
    words = words_of(text) or []
    for word in words:
        if word.lower() not in known:
            raise Fault(400, "Bad request", f"there is no event type '{word[:60]}'")
    return [known[word.lower()] for word in words]


class EventStream:
    """An ASGI application that tells the events of a subscription for as long as somebody listens."""

    def __init__(self, subscription: Subscription, streams: Counter[str], peer: str) -> None:
        self._subscription, self._streams, self._peer = subscription, streams, peer
        self._begin = ""

    def begins_at(self, journal: Journal) -> None:
        """Say in the beginning that all up to now is known."""
        self._begin = f"id: {journal.epoch}/{journal.newest}\n"

    async def open(self) -> None:
        """Raises ResyncRequired, ConfigError: before anything is answered."""
        await self._subscription.__aenter__()
        self._streams[self._peer] += 1

    async def _close(self) -> None:
        self._streams[self._peer] -= 1
        if not self._streams[self._peer]:
            del self._streams[self._peer]
        await self._subscription.__aexit__(None, None, None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            # with an id and nothing else: who is cut off before the first event knows all the same where to go on
            begin = f": here begins the stream\n{self._begin}\n".encode()
            await send({"type": "http.response.body", "body": begin, "more_body": True})
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell, send, tasks.cancel_scope)
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()
        finally:
            with anyio.CancelScope(shield=True):
                await self._close()

    async def _tell(self, send: Send, scope: anyio.CancelScope) -> None:
        batches = self._subscription.batches()
        try:
            while True:
                batch: Sequence[Event] | None = None
                with anyio.move_on_after(HEARTBEAT):
                    batch = await anext(batches, ())
                if batch is None:
                    await send({"type": "http.response.body", "body": b": still here\n\n", "more_body": True})
                elif not batch:
                    break
                else:
                    body = b"".join(map(as_sse, batch))
                    await send({"type": "http.response.body", "body": body, "more_body": True})
        except EngineError as exc:  # it lagged, or the journal can't be read: the client is told, and may come back
            body = b"event: problem\ndata: " + msgspec.json.encode(problem_of(exc)) + b"\n\n"
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        scope.cancel()


def as_sse(event: Event) -> bytes:
    facts = to_cloudevent(event)
    own = isinstance(event, DomainSnapshot | SnapshotComplete | Gap)
    # a gap's number is that of the event after which it is: whoever comes back there is not told of it twice
    number = b"" if own else f"id: {event.epoch}/{event.sequence}\n".encode()
    return b"".join((number, b"event: ", facts["type"].encode(), b"\ndata: ", msgspec.json.encode(facts), b"\n\n"))


ROUTES = (
    Route(
        method="GET",
        path="/v1/events",
        handler=events,
        role="viewer",
        summary="Events as they happen (Server-Sent Events, each a CloudEvent), from Last-Event-ID on.",
        query=EventsQuery,
        answers={200: "text/event-stream"},
        faults=(410, 429),
        scoped=True,
    ),
)
