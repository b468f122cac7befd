"""What lasts: streams of events, consoles, screens. Each peer may have so many at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from typing import TypeVar

import anyio
from starlette.types import Receive, Scope, Send

from engine.errors import EngineClosed
from engine.server.api.routes import Call
from engine.server.problems import Fault

__all__ = ["HEARTBEAT", "Pieces", "one_stream", "unless_it_ends"]

T = TypeVar("T")

#: Seconds without anything to tell, after which it is shown that the connection stands; and between two looks at
#: whether the other side is still allowed to listen.
HEARTBEAT = 15.0


@contextmanager
def one_stream(call: Call) -> Iterator[None]:
    """Takes the place of one of them. Raises Fault: the peer has as many already."""
    streams, name, most = call.streams, call.peer.name, call.limits.subscriptions_each
    if streams[name] >= most:
        raise Fault(429, "Too many requests", f"{name} listens to {most} streams already")
    streams[name] += 1
    try:
        yield
    finally:
        streams[name] -= 1
        if not streams[name]:
            del streams[name]


class Pieces:
    """An ASGI application: Server-Sent Events, piece by piece, for as long as somebody listens, and we are there.

    Args:
        stack: closed in the end.
    """

    def __init__(self, pieces: AsyncGenerator[bytes], stack: AsyncExitStack) -> None:
        self._pieces, self._stack = pieces, stack
        self._waiting, self._sending = anyio.CancelScope(), False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        ending: anyio.Event = scope["state"]["ending"]
        async with self._stack:
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell, send, tasks.cancel_scope, ending)
                tasks.start_soon(self._end, ending)
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

    async def _tell(self, send: Send, scope: anyio.CancelScope, ending: anyio.Event) -> None:
        with self._waiting:
            async with aclosing(self._pieces) as pieces:
                async for piece in pieces:
                    self._sending = True
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                    self._sending = False
                    if ending.is_set():
                        break
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        scope.cancel()

    async def _end(self, ending: anyio.Event) -> None:
        await ending.wait()
        if not self._sending:  # a piece is told whole
            self._waiting.cancel()


async def unless_it_ends(call: Call, work: Callable[[], Awaitable[T]]) -> T:
    """What ``work`` comes to, which may take long. Raises what it raises; EngineClosed: the service ends before."""
    result: list[T] = []
    error: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def give_up() -> None:
            await call.ending.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(give_up)
        try:
            result.append(await work())
        except Exception as exc:  # noqa: BLE001 - it is raised below: through the task group it would be wrapped
            error = exc
        tasks.cancel_scope.cancel()
    if error is not None:
        raise error
    if not result:
        raise EngineClosed("the service ends")
    return result[0]
