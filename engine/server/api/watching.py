"""What was begun and goes on: to look at, to cancel, and to watch as Server-Sent Events, which end with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack

import anyio
import msgspec

from engine.errors import NoSuchOperation
from engine.server.access.tokens import in_scope
from engine.server.api.routes import Answer, Call, Route
from engine.server.api.streams import Pieces, one_stream
from engine.server.operations import Operation

__all__ = ["ROUTES"]

# seconds between two messages at least, since one has all the domains of a plan
_PAUSE = 0.2


async def list_operations(call: Call) -> Answer:
    return Answer(content=[operation for operation in call.operations.list() if _may_know(call, operation)])


async def get_operation(call: Call) -> Answer:
    return Answer(content=operation_asked(call))


async def cancel_operation(call: Call) -> Answer:
    return Answer(content=call.operations.cancel(operation_asked(call).id), status=202)


def operation_asked(call: Call) -> Operation:
    """The one that the path names. Raises NoSuchOperation."""
    operation = call.operations.get(call.path["operation"])
    if not _may_know(call, operation):
        raise NoSuchOperation(operation.id)
    return operation


def _may_know(call: Call, operation: Operation) -> bool:
    if not call.domains or operation.by == call.peer.name:
        return True
    return operation.domain is not None and in_scope(call.domains, operation.domain)


async def watch_operation(call: Call) -> Pieces:
    operation = operation_asked(call)
    stack = AsyncExitStack()
    stack.enter_context(one_stream(call))
    return Pieces(_pieces(call, operation), stack, allowed=call.allowed, still_here=lambda: b": still here\n\n")


async def _pieces(call: Call, operation: Operation) -> AsyncGenerator[bytes]:
    """``progress`` whenever something changed, in the end ``ended``; each with all there is."""
    while (watch := call.operations.watch(operation)) is not None:
        yield _message("progress", operation)
        await watch.changed.wait()
        with anyio.move_on_after(_PAUSE):
            await watch.ended.wait()
    yield _message("ended", operation)


def _message(kind: str, operation: Operation) -> bytes:
    told = msgspec.json.encode(operation, enc_hook=str)
    # a result is laid out over several lines, and a line is all that a message's data may have here
    return f"event: {kind}\ndata: ".encode() + msgspec.json.format(told, indent=-1) + b"\n\n"


ROUTES = (
    Route(
        method="GET",
        scoped=True,
        path="/v1/operations",
        handler=list_operations,
        role="viewer",
        summary="What goes on, and what ended of late, the newest first; of plans without their domains.",
        answers={200: list[Operation]},
    ),
    Route(
        method="GET",
        scoped=True,
        path="/v1/operations/{operation}",
        handler=get_operation,
        role="viewer",
        summary="One of them.",
        answers={200: Operation},
        faults=(404,),
    ),
    Route(
        method="DELETE",
        scoped=True,
        path="/v1/operations/{operation}",
        handler=cancel_operation,
        role="operator",
        summary="Cancel it: it tells when it has ended.",
        answers={202: Operation},
        faults=(404,),
    ),
    Route(
        method="GET",
        scoped=True,
        path="/v1/operations/{operation}/events",
        handler=watch_operation,
        role="viewer",
        summary="An operation whenever it changes, until it has ended (Server-Sent Events: progress, ended).",
        answers={200: "text/event-stream"},
        faults=(404, 429),
    ),
)
