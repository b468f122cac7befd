"""The message phase of a connection, without the connection: bytes and descriptors in, messages out.

Only the fixed header is looked at before a message is whole, so what can never become one is refused at its first
sixteen bytes, and what is kept never exceeds one message of the largest size allowed.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Iterable

from engine.errors import ConnectionBroken
from engine.util.dbus.message import Message, UnixFd

__all__ = ["Protocol"]

_FIXED = {ord("l"): struct.Struct("<BBBBIII"), ord("B"): struct.Struct(">BBBBIII")}
_VERSION = 1
_MAX_WAITING_FDS = 1024
"""Descriptors that came and belong to no whole message yet; a message carries 253 at the most."""


class Protocol:
    """Sans-IO and one way a side: ``receive`` then ``next_message`` until it gives None; ``send`` for what goes out.

    How the bytes were cut up makes no difference. Once ``ConnectionBroken`` was raised it is raised for ever.
    """

    def __init__(self) -> None:
        from engine.util.dbus import codec  # 70 ms: only who opens a bus pays it

        self._codec = codec
        self._buffer = bytearray()
        self._fds: deque[UnixFd] = deque()
        self._size = 0  # of the frame under way, 0 until its fixed header is here
        self._serial = 0
        self._broken: str | None = None

    # ------------------------------------------------------------------------ in

    @property
    def frame_size(self) -> int:
        """Bytes of the message under way, 0 if that is not known yet: how much work the next one will be."""
        return self._size

    @property
    def missing(self) -> int:
        """Bytes that must come before there can be another message."""
        return max(0, (self._size or 16) - len(self._buffer))

    def receive(self, data: bytes, fds: Iterable[int] = ()) -> None:
        """Take what came, in order; the descriptors are ours from now on."""
        self._fds.extend(map(UnixFd, fds))
        self._buffer += data
        if self._broken is None and not self._size:
            self._look_ahead()

    def next_message(self) -> Message | None:
        """The next whole message, or None until more comes.

        Raises:
            ConnectionBroken: what came is no D-Bus.
        """
        if self._broken is not None:
            raise ConnectionBroken(self._broken)
        while self._size and len(self._buffer) >= self._size:
            frame = self._buffer[: self._size]
            del self._buffer[: self._size]
            try:
                message = self._codec.decode(frame, self._take_fds)
            except ConnectionBroken as exc:
                self._break(str(exc))
                raise
            self._look_ahead()
            if message is not None:
                return message
            if self._broken is not None:
                raise ConnectionBroken(self._broken)
        return None

    def close(self) -> None:
        """Close the descriptors of messages that never became whole."""
        self._break(self._broken or "the connection was closed")

    def _look_ahead(self) -> None:
        """Judge the next message by its fixed header, as soon as that is here."""
        self._size = 0
        if self._fds and (not self._buffer or len(self._fds) > _MAX_WAITING_FDS):
            return self._break("descriptors came from the bus without a message to belong to")
        if not self._buffer or (self._buffer[0] in _FIXED and len(self._buffer) < 16):
            return None
        if self._buffer[0] not in _FIXED:
            return self._break("what comes from the bus is no message: it has no byte order")
        _, kind, _, version, body, serial, fields = _FIXED[self._buffer[0]].unpack_from(self._buffer)
        size = 16 + fields + (-fields & 7) + body
        if version != _VERSION or not kind or not serial:
            return self._break(
                f"what comes from the bus is no message: type {kind}, version {version}, serial {serial}"
            )
        if fields > self._codec.MAX_ARRAY or size > self._codec.MAX_MESSAGE:
            return self._break(f"a message of {size} bytes is coming from the bus, which is more than any may have")
        self._size = size
        return None

    def _take_fds(self, count: int) -> list[UnixFd]:
        if count > len(self._fds):
            raise ValueError(f"{count} descriptors are announced, and {len(self._fds)} came")
        return [self._fds.popleft() for _ in range(count)]

    def _break(self, why: str) -> None:
        self._broken = why
        self._size = 0
        self._buffer.clear()
        while self._fds:
            self._fds.popleft().close()

    # ------------------------------------------------------------------------ out

    def next_serial(self) -> int:
        """Never 0, and not used again before four thousand million others were."""
        self._serial = self._serial % 0xFFFFFFFF + 1
        return self._serial

    def send(self, message: Message, serial: int) -> tuple[bytes, list[int]]:
        """The bytes of a message and the descriptors that travel with the first of them (still the caller's).

        Raises:
            DBusError: ``InvalidArgs``: it is malformed or too large, and was not sent.
        """
        return self._codec.encode(message, serial)
