"""Who is at the consoles of a domain: one at a time at each, as with ``virsh console``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio.abc import ByteStream

from engine.errors import Busy

__all__ = ["ConsoleStream", "Consoles"]


class ConsoleStream(ByteStream):
    """Bytes from and to a guest's console. It ends when the guest does, or when somebody else takes it over.

    Attributes:
        taken: somebody else has. broken: why it was cut off, "" it was not: with a service that may happen.
    """

    broken = ""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self.taken = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        try:
            return await self._stream.receive(max_bytes)
        except anyio.ClosedResourceError as exc:
            if self.taken:
                raise anyio.EndOfStream from exc
            raise

    async def send(self, item: bytes) -> None:
        try:
            await self._stream.send(item)
        except anyio.ClosedResourceError as exc:
            if self.taken:
                raise anyio.BrokenResourceError from exc
            raise

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()


class Consoles:
    """Those of one domain."""

    def __init__(self) -> None:
        self._seats: dict[str, ConsoleStream | None] = {}

    @asynccontextmanager
    async def take(
        self, console: str, open_it: Callable[[], Awaitable[ByteStream]], *, force: bool, domain: str
    ) -> AsyncIterator[ConsoleStream]:
        """Sit down there, for as long as the body runs.

        Raises:
            Busy: somebody is there, and is not to be sent away (``force``), or just sits down; what ``open_it`` raises.
        """
        stream: ConsoleStream | None = None
        other = self._seats.get(console)
        if console in self._seats and not (force and other is not None):
            raise Busy(f"somebody is at the console of domain '{domain}' already")
        self._seats[console] = None
        try:
            if other is not None:
                other.taken = True
                await other.aclose()
            self._seats[console] = stream = ConsoleStream(await open_it())
            async with stream:
                yield stream
        finally:
            if self._seats.get(console) is stream:
                del self._seats[console]
