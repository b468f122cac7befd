"""Server-Sent Events from a bare connection."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from support.served import Served


class Reader:
    """Reads them: what is left unread of a client's stream is none of ours."""

    def __init__(self, stream: ByteStream) -> None:
        self._bytes = BufferedByteReceiveStream(stream)

    async def line(self) -> str:
        with anyio.fail_after(5):
            return (await self._bytes.receive_until(b"\n", 1024 * 1024)).decode().rstrip("\r")

    async def next(self) -> dict[str, Any]:
        """The next event, comments left out: ``id``, ``event`` and its decoded ``data``."""
        found: dict[str, Any] = {}
        while (line := await self.line()) or "data" not in found:
            name, _, value = line.partition(": ")
            found = {**found, name: value} if line else {}
        return {**found, "data": json.loads(found["data"])}


@contextlib.asynccontextmanager
async def reading(server: Served, path: str, since: str = "") -> AsyncIterator[Reader]:
    async with await anyio.connect_unix(server.path) as stream:
        more = f"Last-Event-ID: {since}\r\n" if since else ""
        await stream.send(f"GET {path} HTTP/1.0\r\nHost: engine\r\n{more}\r\n".encode())
        reader = Reader(stream)
        head = [await reader.line()]
        while head[-1]:
            head.append(await reader.line())
        assert " 200 " in head[0]
        assert "content-type: text/event-stream" in head
        yield reader
