"""Connecting to a socket in the file system whose owner may hang. Source: unix(7), connect(2)."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from engine.errors import ConnectionBroken

__all__ = ["UnixStream", "connect_unix"]

# seconds between two attempts at a queue that is full
_AGAIN = 0.02


class UnixStream(ByteStream):
    """A connected socket; raises what every stream of anyio raises.

    anyio's own, when cancelled in the very moment that something arrives, lets asyncio's loop run into an
    ``InvalidStateError``, which goes to its exception handler.

    Args:
        sock: non-blocking; closed with the stream.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while True:
            await anyio.wait_readable(self._open())
            try:
                data = self._open().recv(max_bytes)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as exc:
                raise anyio.BrokenResourceError from exc
            if not data:
                raise anyio.EndOfStream
            return data

    async def send(self, item: bytes) -> None:
        await self.send_fds(item, ())

    @property
    def has_input(self) -> bool:
        """Something has come that was not received yet."""
        try:
            return bool(self._open().recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False

    def send_now(self, item: bytes) -> bytes | memoryview:
        """Send as much as there is room for; what is left of it. Nobody else is let in: not for use without end."""
        try:
            sent = self._open().send(item)
        except (BlockingIOError, InterruptedError):
            return item
        except OSError as exc:
            raise anyio.BrokenResourceError from exc
        return memoryview(item)[sent:]

    async def send_fds(self, item: bytes, fds: Sequence[int]) -> None:
        """Send bytes, at least one, and these descriptors with the first of them."""
        left = memoryview(item)
        await anyio.lowlevel.checkpoint()
        while left:
            try:
                sent = socket.send_fds(self._open(), [left], fds) if fds else self._open().send(left)
            except (BlockingIOError, InterruptedError):
                await anyio.wait_writable(self._open())
            except OSError as exc:
                if exc.errno in (errno.EBADF, errno.ETOOMANYREFS):  # the descriptors, not the socket
                    raise
                raise anyio.BrokenResourceError from exc
            else:
                left, fds = left[sent:], ()

    async def send_eof(self) -> None:
        self._open().shutdown(socket.SHUT_WR)

    async def aclose(self) -> None:
        if self._sock.fileno() >= 0:
            anyio.notify_closing(self._sock)
            self._sock.close()
        await anyio.lowlevel.checkpoint()

    def _open(self) -> socket.socket:
        if self._sock.fileno() < 0:
            raise anyio.ClosedResourceError
        return self._sock


async def connect_unix(path: Path | str, timeout: float, *, what: str) -> UnixStream:
    """A stream to whoever listens at ``path``; that it was accepted is not said.

    Args:
        timeout: seconds that the queue of those who want to connect may be full: its owner hangs, or is just busy.
        what: who listens there, for the error message.

    Raises:
        ConnectionBroken: the queue stayed full. OSError: as ``connect(2)``.
    """
    await anyio.lowlevel.checkpoint()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        with anyio.move_on_after(timeout):
            # A full queue is EAGAIN, and nothing tells when there is room: the socket counts as writable all along.
            while not _connected(sock, str(path)):  # noqa: ASYNC110
                await anyio.sleep(_AGAIN)
            return UnixStream(sock)
    except BaseException:
        sock.close()
        raise
    sock.close()
    raise ConnectionBroken(f"{what} is busy or hangs: it accepted nobody for {timeout:g} s")


def _connected(sock: socket.socket, path: str) -> bool:
    try:
        sock.connect(path)
    except BlockingIOError:
        return False
    return True
