"""What an imaginary guest shows of itself: a console that says what it is told, and a blank screen."""

from __future__ import annotations

import struct
import zlib

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

__all__ = ["Echo", "blank_png"]

_ROOM = 65536


class Echo(ByteStream):
    """Gives back what it is given."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._changed = anyio.Event()
        self._closed = self._ended = False

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    def end(self) -> None:
        """The guest is gone."""
        self._ended = True
        self._wake()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        await anyio.lowlevel.checkpoint()
        while not self._data:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._ended:
                raise anyio.EndOfStream
            await self._changed.wait()
        data = bytes(self._data[:max_bytes])
        del self._data[:max_bytes]
        self._wake()
        return data

    async def send(self, item: bytes) -> None:
        await anyio.lowlevel.checkpoint()
        while len(self._data) >= _ROOM and not (self._closed or self._ended):
            await self._changed.wait()
        if self._closed:
            raise anyio.ClosedResourceError
        if self._ended:
            raise anyio.BrokenResourceError
        self._data += item
        self._wake()

    async def send_eof(self) -> None:
        pass

    async def aclose(self) -> None:
        self._closed = True
        self._wake()
        await anyio.lowlevel.checkpoint()


def blank_png(width: int, height: int) -> bytes:
    """All black. Source: the PNG specification, third edition, section 5."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (width + 1) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
