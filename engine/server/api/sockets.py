"""WebSockets: bytes to and from a guest, and how they end. Source: RFC 6455."""

from __future__ import annotations

import contextlib

import anyio
from anyio.abc import ByteStream
from starlette.websockets import WebSocket, WebSocketState

from engine.server.api.closing import DONE, NOT_ALLOWED
from engine.server.api.routes import Answer, Call
from engine.server.api.streams import HEARTBEAT
from engine.server.problems import Fault

__all__ = ["bridge", "close", "upgrade"]

_LONGEST_REASON = 123


async def upgrade(call: Call) -> Answer:
    """What a path that is nothing but a WebSocket says to a plain request."""
    headers = {"upgrade": "websocket", "connection": "upgrade"}
    raise Fault(426, "Upgrade required", "this is a WebSocket (RFC 6455)", headers=headers)


async def close(socket: WebSocket, code: int, reason: str) -> None:
    """Fine when the other side has gone already. ``reason``: as much of it as there is room for."""
    if socket.application_state is WebSocketState.CONNECTED:
        text = reason.encode()[:_LONGEST_REASON].decode(errors="ignore")
        with contextlib.suppress(RuntimeError):  # it is closed
            await socket.close(code, text)


async def bridge(socket: WebSocket, stream: ByteStream, call: Call) -> int:
    """Bytes both ways, as fast as the slower side takes them, until one of them ends; the code to close with."""
    code = DONE

    async def from_client() -> None:
        while True:
            message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                break
            data = message.get("bytes")
            try:
                await stream.send(data if data is not None else message["text"].encode())
            except anyio.BrokenResourceError:
                break
        tasks.cancel_scope.cancel()

    async def from_guest() -> None:
        try:
            while True:
                await socket.send_bytes(await stream.receive())
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            tasks.cancel_scope.cancel()

    async def still_allowed() -> None:
        nonlocal code
        while await call.allowed():  # noqa: ASYNC110 - nothing tells of it
            await anyio.sleep(HEARTBEAT)
        code = NOT_ALLOWED
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for each in (from_client, from_guest, still_allowed):
            tasks.start_soon(each)
    return code
