"""What lasts: streams of events, consoles, screens. Each peer may have so many at once."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from typing import TypeVar

import anyio
import msgspec
from starlette.types import Receive, Scope, Send

from engine.errors import EngineClosed
from engine.server.api.routes import Call
from engine.server.problems import Fault, problem_of

__all__ = ["HEARTBEAT", "Pieces", "as_problem", "one_stream", "unless_it_ends"]

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
        allowed: whether they may still listen; else that is the last they hear.
        still_here: what they are told when nothing else is, so that it shows that the connection stands.
    """

    def __init__(
        self,
        pieces: AsyncGenerator[bytes],
        stack: AsyncExitStack,
        *,
        allowed: Callable[[], Awaitable[bool]],
        still_here: Callable[[], bytes],
    ) -> None:
        self._pieces, self._stack = pieces, stack
        self._allowed, self._still_here = allowed, still_here
        self._waiting, self._ended = anyio.CancelScope(), False
        self._sending, self._sent = 0, 0
        self._last = b""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._stack:
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell, send, tasks.cancel_scope)
                tasks.start_soon(self._beat, send)
                tasks.start_soon(self._end_with, scope["state"]["ending"])
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()

    async def _tell(self, send: Send, scope: anyio.CancelScope) -> None:
        with self._waiting:
            async with aclosing(self._pieces) as pieces:
                async for piece in pieces:
                    await self._say(send, piece)
        await send({"type": "http.response.body", "body": self._last, "more_body": False})
        scope.cancel()

    async def _say(self, send: Send, piece: bytes) -> None:
        self._sending += 1
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        self._sending -= 1
        self._sent += 1
        if self._ended:
            self._end()

    async def _beat(self, send: Send) -> None:
        """Here rather than where each piece is waited for, which would be dearer than the piece."""
        while True:
            sent = self._sent
            await anyio.sleep(HEARTBEAT)
            if not await self._allowed():
                self._last = as_problem(Fault(403, "Not allowed", "you may not listen any more"))
                self._end()
            elif self._sent == sent and not self._sending:
                await self._say(send, self._still_here())

    async def _end_with(self, ending: anyio.Event) -> None:
        await ending.wait()
        self._end()

    def _end(self) -> None:
        self._ended = True
        if not self._sending:  # a piece is told whole
            self._waiting.cancel()


def as_problem(exc: Exception) -> bytes:
    """The last message of a stream: why it ends."""
    return b"event: problem\ndata: " + msgspec.json.encode(problem_of(exc)) + b"\n\n"


async def unless_it_ends(ending: anyio.Event, work: Callable[[], Awaitable[T]]) -> T:
    """What ``work`` comes to, which may take long. Raises what it raises; EngineClosed: the service ends before."""
    result: list[T] = []
    error: Exception | None = None
    async with anyio.create_task_group() as tasks:

        async def give_up() -> None:
            await ending.wait()
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
