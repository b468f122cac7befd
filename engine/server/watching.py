"""An operation as it goes on: Server-Sent Events, which end with it."""

from __future__ import annotations

from collections import Counter

import anyio
import msgspec
from starlette.types import Receive, Scope, Send

from engine.server.operations import Operation, Operations
from engine.server.problems import Fault
from engine.server.routes import Call, Route

__all__ = ["ROUTES", "OperationStream"]

# seconds: between two messages at least, since one has all the domains of a plan; without one, as for events
_PAUSE = 0.2
_HEARTBEAT = 15.0


async def watch_operation(call: Call) -> OperationStream:
    operation = call.operations.get(call.path["operation"])
    most = call.limits.subscriptions_each
    if call.streams[call.peer.name] >= most:
        raise Fault(429, "Too many requests", f"{call.peer.name} listens to {most} streams already")
    call.streams[call.peer.name] += 1
    return OperationStream(call.operations, operation, call.streams, call.peer.name)


class OperationStream:
    """An ASGI application: ``progress`` whenever something changed, in the end ``ended``; each with all there is."""

    def __init__(self, operations: Operations, operation: Operation, streams: Counter[str], peer: str) -> None:
        self._operations, self._operation = operations, operation
        self._streams, self._peer = streams, peer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tell, send, tasks.cancel_scope)
                while (await receive())["type"] != "http.disconnect":
                    pass
                tasks.cancel_scope.cancel()
        finally:
            self._streams[self._peer] -= 1
            if not self._streams[self._peer]:
                del self._streams[self._peer]

    async def _tell(self, send: Send, scope: anyio.CancelScope) -> None:
        async def say(text: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": text, "more_body": more})

        while (watch := self._operations.watch(self._operation)) is not None:
            await say(self._message("progress"))
            while not await _comes(watch.changed):
                await say(b": still here\n\n")
            with anyio.move_on_after(_PAUSE):
                await watch.ended.wait()
        await say(self._message("ended"))
        await say(b"", more=False)
        scope.cancel()

    def _message(self, kind: str) -> bytes:
        told = msgspec.json.encode(self._operation, enc_hook=str)
        # a result is laid out over several lines, and a line is all that a message's data may have here
        return f"event: {kind}\ndata: ".encode() + msgspec.json.format(told, indent=-1) + b"\n\n"


async def _comes(event: anyio.Event) -> bool:
    with anyio.move_on_after(_HEARTBEAT) as quiet:
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
