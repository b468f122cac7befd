"""QEMU's machine protocol, sans-IO: bytes in, messages out.

Source: QEMU's "QEMU Machine Protocol Specification" (docs/interop/qmp-spec): one JSON object a line; a greeting
``QMP``, answers ``return`` or ``error`` with the ``id`` of their command, and ``event`` at any time.
"""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec

from engine.errors import ConnectionBroken

__all__ = ["MAX_LINE", "Failure", "Greeting", "Message", "Notice", "Protocol", "Success", "command"]

#: Bytes. QEMU's longest answers (query-qmp-schema) are below 1 MiB.
MAX_LINE = 16 * 1024 * 1024


class Greeting(msgspec.Struct, frozen=True):
    """What QEMU says first: its version, and what it offers (``oob``)."""

    version: tuple[int, int, int]
    capabilities: tuple[str, ...]


class Success(msgspec.Struct, frozen=True):
    """The answer to command ``id``."""

    id: Any
    value: Any


class Failure(msgspec.Struct, frozen=True):
    """The refusal of command ``id``; ``id`` is None when QEMU could not even read the command."""

    id: Any
    kind: str
    description: str


class Notice(msgspec.Struct, frozen=True):
    """An event. ``time``: seconds since 1970, 0.0 when QEMU did not say."""

    name: str
    data: dict[str, Any]
    time: float


Message: TypeAlias = Greeting | Success | Failure | Notice


class _Version(msgspec.Struct):
    major: int
    minor: int
    micro: int


class _Package(msgspec.Struct):
    qemu: _Version


class _Hello(msgspec.Struct):
    version: _Package
    capabilities: tuple[str, ...] = ()


class _Error(msgspec.Struct):
    kind: str = msgspec.field(name="class", default="GenericError")
    desc: str = ""


class _Stamp(msgspec.Struct, frozen=True):
    seconds: int = 0
    microseconds: int = 0


class _Line(msgspec.Struct):
    """Every kind of line at once."""

    hello: _Hello | None = msgspec.field(name="QMP", default=None)
    value: Any = msgspec.field(name="return", default=msgspec.UNSET)
    error: _Error | None = None
    event: str | None = None
    data: dict[str, Any] = {}
    timestamp: _Stamp = _Stamp()
    id: Any = None


_decoder = msgspec.json.Decoder(_Line)


def command(name: str, arguments: dict[str, Any], identifier: int) -> bytes:
    """A command as bytes."""
    return msgspec.json.encode({"execute": name, "arguments": arguments, "id": identifier}) + b"\r\n"


class Protocol:
    """One QMP conversation as its client reads it."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0
        self._broken = ""

    def receive(self, data: bytes) -> list[Message]:
        """The messages that ``data`` completes, in order; however the bytes are cut, the messages are the same.

        What came before a line that makes no sense is still returned; ``check``, and the next call, then raise.

        Raises:
            ConnectionBroken: a line that is too long or makes no sense; nothing can be read after it.
        """
        self.check()
        messages: list[Message] = []
        try:
            self._read(data, messages)
        except ConnectionBroken:
            if not messages:
                raise
        return messages

    def check(self) -> None:
        """Raises ConnectionBroken when nothing can be read any more."""
        if self._broken:
            raise ConnectionBroken(self._broken)

    def _read(self, data: bytes, messages: list[Message]) -> None:
        self._buffer += data
        start = 0
        while (end := self._buffer.find(b"\n", max(start, self._scanned))) >= 0:
            if end - start > MAX_LINE:
                raise self._break(f"QEMU sent a line of more than {MAX_LINE} bytes")
            line = bytes(self._buffer[start:end])
            start = end + 1
            if line.strip():
                messages.append(self._message(line))
        del self._buffer[:start]
        self._scanned = len(self._buffer)
        if self._scanned > MAX_LINE:
            raise self._break(f"QEMU sent a line of more than {MAX_LINE} bytes")

    def _message(self, line: bytes) -> Message:
        try:
            fields = _decoder.decode(line)
        except (msgspec.DecodeError, RecursionError) as exc:
            raise self._break(f"QEMU sent what is not QMP: {line[:80]!r}") from exc
        if fields.event is not None:
            stamp = fields.timestamp
            return Notice(fields.event, fields.data, stamp.seconds + stamp.microseconds / 1e6)
        if fields.value is not msgspec.UNSET:
            return Success(fields.id, fields.value)
        if fields.error is not None:
            return Failure(fields.id, fields.error.kind, fields.error.desc)
        if fields.hello is not None:
            version = fields.hello.version.qemu
            return Greeting((version.major, version.minor, version.micro), fields.hello.capabilities)
        raise self._break(f"QEMU sent what is not QMP: {line[:80]!r}")

    def _break(self, reason: str) -> ConnectionBroken:
        self._broken = reason
        self._buffer.clear()
        return ConnectionBroken(reason)
