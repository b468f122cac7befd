"""Events as Server-Sent Events. Source: the HTML standard, "Server-sent events"; CloudEvents 1.0 are the data.

The id of each is ``EPOCH/SEQUENCE``; a client that comes back says it in ``Last-Event-ID`` and misses nothing, or is
told 410, with the number that it can begin at. What is told to one reader only (a snapshot, a gap) has no id.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from functools import partial
from typing import Annotated

import anyio
import msgspec
from starlette.websockets import WebSocket

from engine.errors import EngineError
from engine.events.encoding import to_cloudevent, types_by_name
from engine.events.subscription import Policy, Subscription
from engine.events.types import DomainSnapshot, Event, Gap, SnapshotComplete
from engine.server.access.tokens import in_scope
from engine.server.api.closing import DONE, FAILED, NOT_ALLOWED
from engine.server.api.routes import Call, Route, Talk
from engine.server.api.sockets import close
from engine.server.api.streams import HEARTBEAT, Pieces, as_problem, one_stream
from engine.server.problems import Fault, problem_of

__all__ = ["ROUTES", "domains_asked", "types_named", "words_of"]


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


async def events(call: Call) -> Pieces:
    stack = AsyncExitStack()
    async with stack:
        subscription = await stack.enter_async_context(_subscribed(call))
        return Pieces(
            _pieces(subscription),
            stack.pop_all(),
            allowed=call.allowed,
            still_here=partial(_comment, "still here", subscription),
        )
    raise AssertionError  # the stack swallows nothing


@asynccontextmanager
async def events_socket(call: Call) -> AsyncIterator[Talk]:
    async with _subscribed(call) as subscription:
        yield partial(_talk, call, subscription)


@asynccontextmanager
async def _subscribed(call: Call) -> AsyncIterator[Subscription]:
    """Raises Fault, ResyncRequired, ConfigError: before anything is answered."""
    query: EventsQuery = call.query
    back = call.request.headers.get("last-event-id")
    with one_stream(call):
        async with call.engine.subscribe(
            *types_named(query.type),
            domain=domains_asked(call),
            connection=words_of(query.connection),
            bound=query.bound,
            policy=query.policy,
            since=back or query.since,
            snapshot=query.snapshot and not back,  # a browser that comes back asks for the same as before
            # what is told and then lost in a crash would have its number taken by something else
            durable=True,
        ) as subscription:
            yield subscription


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


async def _told(call: Call, subscription: Subscription) -> AsyncGenerator[Sequence[Event]]:
    """The events as they come; none: nothing has come for a while.

    Raises:
        EngineError: the reader lagged, the journal can't be read. Fault: it is not allowed any more.
    """
    batches, looked = subscription.batches(), anyio.current_time()
    while True:
        batch: Sequence[Event] | None = ()
        with anyio.move_on_after(HEARTBEAT):
            batch = await anext(batches, None)
        if batch is None:
            return
        if (now := anyio.current_time()) - looked >= HEARTBEAT:
            looked = now
            if not await call.allowed():
                raise Fault(403, "Not allowed", f"{call.peer.name} may not listen any more")
        yield batch


async def _pieces(subscription: Subscription) -> AsyncGenerator[bytes]:
    yield _comment("here begins the stream", subscription)
    try:
        async for batch in subscription.batches():
            yield b"".join(map(as_sse, batch))
    except EngineError as exc:  # the client is told, and may come back
        yield as_problem(exc)


def _comment(text: str, subscription: Subscription) -> bytes:
    """With an id, and no data: who is cut off knows where to go on though nothing of what it asked for happened."""
    position = subscription.position
    return f": {text}\n{f'id: {position}{chr(10)}' if position is not None else ''}\n".encode()


async def _talk(call: Call, subscription: Subscription, socket: WebSocket) -> None:
    """Each event is a message; the last may be a problem document. What the other side says is not listened to."""

    async def listen() -> None:
        while (await socket.receive())["type"] != "websocket.disconnect":
            pass
        tasks.cancel_scope.cancel()

    code, reason = DONE, "the service ends"
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listen)
        try:
            async with aclosing(_told(call, subscription)) as told:
                async for batch in told:
                    for event in batch:
                        await socket.send_text(msgspec.json.encode(to_cloudevent(event)).decode())
        except (Fault, EngineError) as exc:
            code, reason = NOT_ALLOWED if isinstance(exc, Fault) else FAILED, str(exc)
            await socket.send_text(msgspec.json.encode(problem_of(exc)).decode())
        tasks.cancel_scope.cancel()
    await close(socket, code, reason)


# what is told to many is made once; so many events are remembered
_made: dict[tuple[str, int], bytes] = {}
_REMEMBERED = 1024


def as_sse(event: Event) -> bytes:
    own = isinstance(event, DomainSnapshot | SnapshotComplete | Gap)
    if own:
        return _as_sse(event, own=True)
    key = event.epoch, event.sequence
    made = _made.get(key)
    if made is None:
        if len(_made) >= _REMEMBERED:
            _made.clear()
        made = _made[key] = _as_sse(event, own=False)
    return made


def _as_sse(event: Event, *, own: bool) -> bytes:
    facts = to_cloudevent(event)
    # a gap's number is that of the event after which it is: whoever comes back there is not told of it twice
    number = b"" if own else f"id: {event.epoch}/{event.sequence}\n".encode()
    return b"".join((number, b"event: ", facts["type"].encode(), b"\ndata: ", msgspec.json.encode(facts), b"\n\n"))


ROUTES = (
    Route(
        method="GET",
        path="/v1/events",
        handler=events,
        socket=events_socket,
        role="viewer",
        summary="Events as they happen, from Last-Event-ID or since on: Server-Sent Events, each a CloudEvent; as a "
        "WebSocket a message each.",
        query=EventsQuery,
        answers={200: "text/event-stream"},
        faults=(410, 429),
        scoped=True,
    ),
)
