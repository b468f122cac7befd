"""Server-Sent Events as a client of the service reads them. Source: the HTML standard, "Server-sent events"."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import NamedTuple, Self, TypeAlias

import anyio
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream

from engine.errors import ConnectionBroken, EngineError, ResyncRequired
from engine.events.encoding import from_cloudevent
from engine.events.journal import host_name, now
from engine.events.types import Event, Gap
from engine.server.client.doors import Door

__all__ = ["Message", "Messages", "RemoteSubscription"]

ErrorOf: TypeAlias = Callable[[bytes], EngineError]

# bytes: all the domains of a plan stand in one
_LONGEST_LINE = 64 * 1024 * 1024
# seconds between two looks for a service that is away, the first and the longest
_FIRST, _LONGEST = 0.05, 1.0


class Message(NamedTuple):
    """Attributes: id: "" none."""

    kind: str
    id: str
    data: str


class Messages:
    """What a service tells at one path. An async context manager, and an iterator without an end.

    Args:
        error_of: what is raised for a problem document.

    Raises:
        ConnectionBroken: it is not there, or gone, or has told all.
    """

    def __init__(self, door: Door, target: str, error_of: ErrorOf, *, since: str = "") -> None:
        self._door, self._target, self._error_of, self._since = door, target, error_of, since
        self._stream: ByteStream
        self._lines: BufferedByteReceiveStream

    async def __aenter__(self) -> Self:
        self._stream = await self._door.open()
        try:
            await self._ask()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def _ask(self) -> None:
        # a version that knows no chunks: the messages stand there as they are
        headers = {"host": self._door.host, **self._door.headers}
        headers |= {"last-event-id": self._since} if self._since else {}
        told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._lines = BufferedByteReceiveStream(self._stream)
        try:
            await self._stream.send(f"GET {self._target} HTTP/1.0\r\n{told}\r\n".encode())
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            raise ConnectionBroken(f"{self._door.what} ended") from exc
        status = await self._line()
        while await self._line():
            pass
        if " 200" not in status:
            raise self._error_of(await self._rest())

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Message:
        fields: dict[str, str] = {}
        while True:
            name, _, value = (await self._line()).partition(": ")
            if name:
                fields[name] = value
            elif fields:
                return Message(fields.get("event", ""), fields.get("id", ""), fields.get("data", ""))

    async def _line(self) -> str:
        try:
            return (await self._lines.receive_until(b"\n", _LONGEST_LINE)).decode().rstrip("\r")
        except (anyio.EndOfStream, anyio.IncompleteRead, anyio.BrokenResourceError) as exc:
            raise ConnectionBroken(f"{self._door.what} ended") from exc

    async def _rest(self) -> bytes:
        found = b""
        try:
            while True:
                found += await self._lines.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return found


class RemoteSubscription:
    """Events that a service tells, from ``async with`` on.

    Args:
        since: go on after that id.
        lasting: when the service goes away, wait for the next one and go on where this one ended; what is no longer
            kept by then is told as a ``Gap``.
        told: called with whether the service is there, whenever that changes.

    Raises:
        ConnectionBroken: the service is not there, or gone. What a problem document tells of: SubscriptionLagged,
        ResyncRequired.
    """

    def __init__(
        self,
        door: Door,
        target: str,
        error_of: ErrorOf,
        *,
        since: str = "",
        lasting: bool = False,
        told: Callable[[bool], None] = lambda there: None,
    ) -> None:
        self._make = partial(Messages, door, target, error_of)
        self._error_of, self._since, self._lasting, self._told = error_of, since, lasting, told
        self._messages: Messages | None = None
        self._gap: Gap | None = None

    async def __aenter__(self) -> Self:
        await self._connect()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._close()

    async def _connect(self) -> None:
        self._messages = await self._make(since=self._since).__aenter__()
        self._told(True)

    async def _close(self) -> None:
        if self._messages is not None:
            await self._messages.aclose()
            self._messages = None

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while True:
            if self._gap is not None:
                gap, self._gap = self._gap, None
                return gap
            try:
                if self._messages is None:
                    raise ConnectionBroken("the service is gone")
                message = await anext(self._messages)
            except ConnectionBroken:
                if not self._lasting:
                    raise
                await self._come_back()
                continue
            self._since = message.id or self._since
            if message.kind == "problem":
                raise self._error_of(message.data.encode())
            if message.data:
                return from_cloudevent(message.data)

    async def _come_back(self) -> None:
        """Wait for the service. Nothing tells that it listens: its socket is there before, or all along (systemd's)."""
        await self._close()
        self._told(False)
        pause = _FIRST
        while self._messages is None:
            try:
                await self._connect()
            except ConnectionBroken:
                await anyio.sleep(pause)
                pause = min(pause * 2, _LONGEST)
            except ResyncRequired as exc:
                self._gap = _gap(self._since, exc)
                self._since = str(exc.oldest - 1)


def _gap(since: str, exc: ResyncRequired) -> Gap:
    """Nothing says how many were missed of a journal that was begun anew: one at least."""
    epoch = (exc.snapshot or since).partition("/")[0]
    missed = max(1, exc.oldest - 1 - exc.since)
    return Gap(host=host_name(), epoch=epoch, sequence=exc.oldest - 1, time=now(), missed=missed)
