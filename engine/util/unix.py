"""Connecting to a socket in the file system whose owner may hang. Source: unix(7), connect(2)."""

from __future__ import annotations

import socket
from pathlib import Path

import anyio
import anyio.lowlevel
from anyio.abc import UNIXSocketStream

from engine.errors import ConnectionBroken

__all__ = ["connect_unix"]

# seconds between two attempts at a queue that is full
_AGAIN = 0.02


async def connect_unix(path: Path | str, timeout: float, *, what: str) -> UNIXSocketStream:
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
            return await UNIXSocketStream.from_socket(sock)
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
