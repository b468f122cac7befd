"""An operation as it goes on: Server-Sent Events, which end with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import anyio
import msgspec

from engine.server.operations import Operation
from engine.server.routes import Call, Route
from engine.server.streams import HEARTBEAT, Pieces, one_stream

__all__ = ["ROUTES"]

# seconds between two messages at least, since one has all the domains of a plan
_PAUSE = 0.2


async def watch_operation(call: Call) -> Pieces:
    operation = call.operations.get(call.path["operation"])
    stack = AsyncExitStack()
    stack.enter_context(one_stream(call))
    return Pieces(_pieces(call, operation), stack)


async def _pieces(call: Call, operation: Operation) -> AsyncGenerator[bytes]:
    """``progress`` whenever something changed, in the end ``ended``; each with all there is."""
    while (watch := call.operations.watch(operation)) is not None:
        yield _message("progress", operation)
        while not await _comes(watch.changed):
            yield b": still here\n\n"
            if not await call.allowed():
                return
        with anyio.move_on_after(_PAUSE):
            await watch.ended.wait()
    yield _message("ended", operation)


def _message(kind: str, operation: Operation) -> bytes:
    told = msgspec.json.encode(operation, enc_hook=str)
    # a result is laid out over several lines, and a line is all that a message's data may have here
    return f"event: {kind}\ndata: ".encode() + msgspec.json.format(told, indent=-1) + b"\n\n"


async def _comes(event: anyio.Event) -> bool:
    with anyio.move_on_after(HEARTBEAT) as quiet:
        await event.wait()
    return not quiet.cancelled_caught


ROUTES = (
    Route(
        method="GET",
        path="/v1/operations/{operation}/events",
        handler=watch_operation,
        role="viewer",
        summary="An operation whenever it changes, until it has ended (Server-Sent Events: progress, ended).",
        answers={200: "text/event-stream"},
        faults=(404, 429),
    ),
)
