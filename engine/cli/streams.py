"""Our output beside an event loop: a reader that does not read, or a stopped terminal, holds up nothing."""

from __future__ import annotations

import os
import select
import stat
import threading
from contextlib import suppress

import anyio

__all__ = ["Stream"]

# what poll(2) says can be written is at least so much for a pipe (pipe(7), PIPE_BUF)
_PIECE = 4096


class Stream:
    """Writes to a file descriptor what can be written now, and the rest when that can be.

    What waits is as much as a command prints; who prints without end waits with ``drained``.

    Attributes:
        error: why nothing can be written any more; what is written then is dropped.
    """

    def __init__(self, fd: int) -> None:
        self._fd = _unblocked(fd)
        self._ready = select.poll()
        self._ready.register(self._fd, select.POLLOUT)
        self._waiting = bytearray()
        self._changed: anyio.Event | None = None
        self._loop = 0  # the thread of the event loop while ``pump`` runs there
        self._lock = threading.Lock()
        self.error: OSError | None = None

    def write(self, data: bytes) -> None:
        """Never waits, never raises. From any thread; what another than the event loop's leaves behind goes with what
        comes next."""
        with self._lock:
            if self.error is None:
                self._waiting += data
                self._push(0)
        if threading.get_ident() == self._loop:
            self._wake()

    def _push(self, timeout: int | None) -> None:
        try:
            while self._waiting and self._ready.poll(timeout):
                with suppress(BlockingIOError):
                    del self._waiting[: os.write(self._fd, self._waiting[:_PIECE])]
                    continue
                return
        except OSError as exc:
            self.error = exc
            self._waiting.clear()

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    async def pump(self) -> None:
        """Write what waits, for ever."""
        self._loop = threading.get_ident()
        try:
            while True:
                while not self._waiting:
                    await self._change()
                await anyio.wait_writable(self._fd)
                with self._lock:
                    self._push(0)
                self._wake()
        finally:
            self._loop = 0

    async def drained(self) -> None:
        """Return once nothing waits."""
        while self._waiting:
            await self._change()

    def finish(self) -> None:
        """Write what waits, and wait for the reader: when the event loop has ended."""
        while self._waiting:
            self._push(None)

    def close(self) -> None:
        os.close(self._fd)


def _unblocked(fd: int) -> int:
    """Another way to the same file that does not block, where there is one.

    O_NONBLOCK belongs to what was opened, which our parent and others may share: it is opened anew. (A socket can't
    be, and a plain file needs no such thing.)
    """
    mode = os.fstat(fd).st_mode
    if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
        with suppress(OSError):
            return os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    return os.dup(fd)
