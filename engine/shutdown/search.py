"""Searching what a guest writes for a pattern without ever holding up the event loop."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import anyio
import anyio.lowlevel

from engine.errors import HostError
from engine.shutdown import searcher

__all__ = ["Feed", "searching"]

#: Takes the next bytes; returns whether the pattern was seen, up to and with them. Raises HostError.
Feed = Callable[[bytes], Awaitable[bool]]


@asynccontextmanager
async def searching(pattern: str) -> AsyncIterator[Feed]:
    """A search for a regular expression: here if it is plain, else by a process that ends with the ``async with``.

    Raises:
        HostError: that process can't be made.
    """
    if searcher.is_plain(pattern):
        yield _pieces(_Here(pattern).feed)
        return
    command = [sys.executable, "-I", "-S", searcher.__file__]
    try:
        process = await anyio.open_process(command, stderr=subprocess.DEVNULL)
    except OSError as exc:
        raise HostError(f"no process could be made for a search: {(exc.strerror or str(exc)).lower()}") from exc
    try:
        there = _There(process)
        await there.send(pattern.encode("utf-8", "surrogatepass"))
        yield _pieces(there.feed)
    finally:
        with suppress(ProcessLookupError):
            process.kill()  # it may be in the midst of a search that has no end
        with anyio.CancelScope(shield=True):
            await process.aclose()


def _pieces(feed: Feed) -> Feed:
    async def feed_all(data: bytes) -> bool:
        for at in range(0, len(data), searcher.PIECE):
            if await feed(data[at : at + searcher.PIECE]):
                return True
        return False

    return feed_all


class _Here:
    def __init__(self, pattern: str) -> None:
        self._searcher = searcher.Searcher(pattern)

    async def feed(self, data: bytes) -> bool:
        await anyio.lowlevel.checkpoint()  # others have their turn between the pieces of a flood
        return self._searcher.feed(data)


class _There:
    def __init__(self, process: anyio.abc.Process) -> None:
        assert process.stdin is not None and process.stdout is not None
        self._stdin, self._stdout = process.stdin, process.stdout

    async def send(self, data: bytes) -> None:
        try:
            await self._stdin.send(len(data).to_bytes(4, "big") + data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            raise HostError("the process that searches the serial console has ended") from exc

    async def feed(self, data: bytes) -> bool:
        await self.send(data)
        try:
            return await self._stdout.receive(1) == b"1"
        except (anyio.EndOfStream, anyio.BrokenResourceError) as exc:
            raise HostError("the process that searches the serial console has ended") from exc
