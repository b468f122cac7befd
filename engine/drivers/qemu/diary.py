"""The events that QEMU wrote down itself, and what they say about how a guest ended.

A second QMP monitor of every guest writes to a file of its run-time folder, whether or not an engine is there to read
the first one. QEMU 7.2 can't read a monitor's input from a file, so the input is a FIFO (``events.in``) that holds the
one command that lets events flow; QEMU opens it for reading and writing, so it never sees its end.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import msgspec

__all__ = ["Diary", "Ending"]

_TAIL = 64 * 1024
_NEGOTIATE = b'{"execute":"qmp_capabilities"}\r\n'


class _Stamp(msgspec.Struct, frozen=True):
    seconds: int = 0
    microseconds: int = 0


class _Line(msgspec.Struct):
    event: str = ""
    data: dict[str, Any] = {}
    timestamp: _Stamp = _Stamp()


_decoder = msgspec.json.Decoder(_Line)


class Ending:
    """How a guest is ending, as its events tell it one after the other.

    Attributes:
        cause: ``shutdown``, ``crashed``, or "" while nothing points to an end.
        time: of the last event that did, seconds since 1970 (0.0: QEMU did not say).
    """

    def __init__(self) -> None:
        self.cause: Literal["", "shutdown", "crashed"] = ""
        self.time = 0.0

    def note(self, name: str, data: dict[str, Any], time: float = 0.0) -> None:
        if name in ("GUEST_PANICKED", "SHUTDOWN"):
            self.time = time
        if name == "GUEST_PANICKED":
            self.cause = "crashed"
        elif name == "SHUTDOWN":
            if data.get("reason") == "guest-panic":
                self.cause = "crashed"
            elif not self.cause:
                self.cause = "shutdown"
        elif name in ("RESET", "RESUME"):  # it was an end only for a moment
            self.cause = ""


class Diary:
    """The files in one domain's run-time folder. All calls but ``count`` may block for a moment."""

    def __init__(self, folder: Path) -> None:
        self._input = folder / "events.in"
        self._output = folder / "events.out"
        self._lines = 0

    def prepare(self) -> int:
        """Make the files; a descriptor to keep open until QEMU has opened them. Raises OSError."""
        self._input.unlink(missing_ok=True)
        os.mkfifo(self._input, 0o600)
        os.close(os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600))
        fifo = os.open(self._input, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fifo, _NEGOTIATE)
        except BaseException:
            os.close(fifo)
            raise
        return fifo

    def count(self) -> bool:
        """An event was read from the first monitor; whether it is time to ``trim``."""
        self._lines += 1
        return self._lines % 4096 == 0

    def trim(self) -> None:
        """Give the file's room back: what is in it was read. QEMU writes on at its own offset, after a hole."""
        if self._output.exists():
            os.truncate(self._output, 0)

    def ending(self) -> Ending:
        """What the file says. Never raises: a file that is gone or makes no sense says nothing."""
        ending = Ending()
        try:
            with self._output.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - _TAIL))
                tail = file.read(_TAIL)
        except OSError:
            return ending
        for text in tail.replace(b"\0", b"").splitlines():
            try:
                line = _decoder.decode(text)
            except (msgspec.DecodeError, RecursionError):
                continue  # the first line may be cut
            ending.note(line.event, line.data, line.timestamp.seconds + line.timestamp.microseconds / 1e6)
        return ending
