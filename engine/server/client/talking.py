"""A WebSocket of the service as a client has it: a stream of bytes. Source: RFC 6455."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping
from typing import Self

import anyio
from anyio.abc import ByteStream
from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    RejectData,
    Request,
    TextMessage,
)
from wsproto.utilities import RemoteProtocolError

from engine.errors import ConnectionBroken
from engine.server.api.closing import DONE, TAKEN
from engine.server.client.doors import Door
from engine.server.client.messages import ErrorOf

__all__ = ["SocketStream"]

# seconds to part as friends
_FAREWELL = 1.0


class SocketStream(ByteStream):
    """Bytes both ways. Get it from ``connect``.

    Attributes:
        code, reason: why the other side closed it; 0, "": it has not.
    """

    def __init__(self, stream: ByteStream, error_of: ErrorOf) -> None:
        self._stream, self._error_of = stream, error_of
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events: deque[Event] = deque()
        self._data = bytearray()
        self._sending = anyio.Lock()
        self.code, self.reason = 0, ""

    @classmethod
    async def connect(cls, door: Door, target: str, error_of: ErrorOf) -> Self:
        """Raises what the service refuses it with; ConnectionBroken: it is not there."""
        stream = await door.open()
        found = cls(stream, error_of)
        try:
            await found.open(target, host=door.host, headers=door.headers)
        except (anyio.EndOfStream, anyio.BrokenResourceError) as exc:
            await stream.aclose()
            raise ConnectionBroken(f"{door.what} ended") from exc
        except BaseException:
            with anyio.CancelScope(shield=True):
                await stream.aclose()
            raise
        return found

    async def open(self, target: str, *, host: str = "virengine", headers: Mapping[str, str] | None = None) -> None:
        """Raises what the service refuses it with."""
        more = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        await self._say(Request(host=host, target=target, extra_headers=more))
        refusal = bytearray()
        while True:
            match await self._next():
                case AcceptConnection():
                    return
                case RejectConnection(has_body=False):
                    raise self._error_of(bytes(refusal))
                case RejectData(data=data, body_finished=finished):
                    refusal += data
                    if finished:
                        raise self._error_of(bytes(refusal))

    async def _say(self, event: Event) -> None:
        data = self._protocol.send(event)
        async with self._sending:
            await self._stream.send(data)

    async def _next(self) -> Event:
        while not self._events:
            data = await self._stream.receive()
            try:
                self._protocol.receive_data(data)
                self._events += self._protocol.events()
            except RemoteProtocolError as exc:
                raise anyio.BrokenResourceError from exc
        return self._events.popleft()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while not self._data:
            match await self._next():
                case BytesMessage(data=data):
                    self._data += data
                case TextMessage(data=text):
                    self._data += text.encode()
                case Ping() as ping if self._protocol.state is ConnectionState.OPEN:
                    with contextlib.suppress(anyio.BrokenResourceError):  # why it has gone may stand behind that
                        await self._say(ping.response())
                case CloseConnection(code=code, reason=reason) as closing:
                    self.code, self.reason = int(code), reason or ""
                    if self._protocol.state is ConnectionState.REMOTE_CLOSING:
                        with contextlib.suppress(anyio.BrokenResourceError):
                            await self._say(closing.response())
                    raise anyio.EndOfStream
        data = bytes(self._data[:max_bytes])
        del self._data[:max_bytes]
        return data

    async def send(self, item: bytes) -> None:
        if self.code:
            raise anyio.BrokenResourceError
        await self._say(Message(data=item))

    @property
    def taken(self) -> bool:
        """Somebody else has taken over what is at the other end."""
        return self.code == TAKEN

    @property
    def broken(self) -> str:
        """Why it was cut off, when it has ended; "": it came to an end by itself."""
        if self.code in (DONE, TAKEN):
            return ""
        return self.reason or "the service went away"

    async def send_eof(self) -> None:
        """A WebSocket ends in both directions at once."""

    async def aclose(self) -> None:
        with anyio.move_on_after(_FAREWELL, shield=True):
            if self._protocol.state is ConnectionState.OPEN:
                with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await self._say(CloseConnection(code=1000))
        with anyio.CancelScope(shield=True):
            await self._stream.aclose()
