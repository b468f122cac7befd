"""The slave of a pseudo-terminal as a stream. Source: pty(7)."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

__all__ = ["TerminalStream"]


class TerminalStream(ByteStream):
    """What the other side of a terminal writes, and what it reads; raises what every stream of anyio raises.

    Args:
        fd: non-blocking; closed with the stream.
    """

    def __init__(self, fd: int) -> None:
        self._fd = fd

    @classmethod
    def open(cls, path: Path | str) -> TerminalStream:
        """Raises OSError."""
        return cls(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC))

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while True:
            await anyio.wait_readable(self._open_fd())
            try:
                data = os.read(self._open_fd(), max_bytes)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as exc:
                if exc.errno == errno.EIO:  # the other side has hung up
                    raise anyio.EndOfStream from exc
                raise anyio.BrokenResourceError from exc
            if not data:
                raise anyio.EndOfStream
            return data

    async def send(self, item: bytes) -> None:
        left = memoryview(item)
        await anyio.lowlevel.checkpoint()
        while left:
            try:
                left = left[os.write(self._open_fd(), left) :]
            except (BlockingIOError, InterruptedError):
                await anyio.wait_writable(self._open_fd())
            except OSError as exc:
                raise anyio.BrokenResourceError from exc

    async def send_eof(self) -> None:
        """A terminal has no end of its own."""

    async def aclose(self) -> None:
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            anyio.notify_closing(fd)
            os.close(fd)
        await anyio.lowlevel.checkpoint()

    def _open_fd(self) -> int:
        if self._fd < 0:
            raise anyio.ClosedResourceError
        return self._fd
