"""The guest agent's protocol, sans-IO: bytes in, answers out.

Source: QEMU's "QEMU Guest Agent Protocol Reference" (docs/interop/qemu-ga-ref), ``guest-sync-delimited``: the client
sends the byte 0xFF, which is never part of JSON, to make the agent drop a half-read request; the agent takes it for an
error and says so, and only then sends 0xFF and the answer. So everything before the 0xFF belongs to somebody else.

The other side is the guest: nothing it sends is trusted, and nothing it sends may grow without bound.
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.errors import ConnectionBroken

__all__ = ["MAX_LINE", "AgentProtocol", "Answer"]

#: Bytes.
MAX_LINE = 4 * 1024 * 1024
_MARK = b"\xff"


class Answer(msgspec.Struct, frozen=True):
    """What the agent said: ``value``, or ``error`` when it refused.

    Attributes:
        synced: it came right after the mark.
    """

    value: Any = None
    error: str | None = None
    synced: bool = False


class _Error(msgspec.Struct):
    kind: str = msgspec.field(name="class", default="GenericError")
    desc: str = ""


class _Line(msgspec.Struct):
    value: Any = msgspec.field(name="return", default=msgspec.UNSET)
    error: _Error | None = None


_decoder = msgspec.json.Decoder(_Line)


class AgentProtocol:
    """One conversation with an agent that may come and go, and may be half-way through another one."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._listening = False
        self._marked = False

    @staticmethod
    def sync(number: int) -> bytes:
        """The request whose answer is ``number``, after the mark."""
        body = {"execute": "guest-sync-delimited", "arguments": {"id": number}}
        return _MARK + msgspec.json.encode(body) + b"\n"

    @staticmethod
    def command(name: str, arguments: dict[str, Any]) -> bytes:
        """A request."""
        return msgspec.json.encode({"execute": name, "arguments": arguments}) + b"\n"

    def receive(self, data: bytes) -> list[Answer]:
        """The answers that ``data`` completes. Lines that make no sense are skipped: the next sync clears them up.

        Raises:
            ConnectionBroken: a line that is too long.
        """
        answers: list[Answer] = []
        for index, part in enumerate(data.split(_MARK)):
            if index:  # a mark was before it
                self._buffer.clear()
                self._listening = self._marked = True
            if self._listening:
                self._buffer += part
                self._take_lines(answers)
        return answers

    def _take_lines(self, answers: list[Answer]) -> None:
        *lines, rest = bytes(self._buffer).split(b"\n") if b"\n" in self._buffer else [bytes(self._buffer)]
        if lines:
            self._buffer[:] = rest
        for line in lines:
            if not line.strip():
                continue
            synced, self._marked = self._marked, False
            try:
                fields = _decoder.decode(line)
            except (msgspec.DecodeError, RecursionError):
                continue
            if fields.error is not None:
                answers.append(Answer(error=fields.error.desc or fields.error.kind, synced=synced))
            elif fields.value is not msgspec.UNSET:
                answers.append(Answer(value=fields.value, synced=synced))
        if len(self._buffer) > MAX_LINE:
            self._buffer.clear()
            self._listening = False
            raise ConnectionBroken(f"the guest agent sent a line of more than {MAX_LINE} bytes")
