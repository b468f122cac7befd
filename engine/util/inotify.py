"""Files that tell when they change: inotify(7) for any number of waiters, on one file descriptor.

The kernel gives a user few inotify instances (128 by default), so all waiters of one ``Watcher`` share one; there is
none while nobody watches. Python's standard library has no inotify, hence ctypes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import anyio
from anyio.abc import TaskGroup

from engine.errors import HostError
from engine.util.cancellation import task_group

__all__ = ["Changes", "Watcher"]

_IN_MODIFY, _IN_MOVED_TO, _IN_CREATE = 0x2, 0x80, 0x100
_APPEARED = _IN_MOVED_TO | _IN_CREATE
_GONE = 0x8000  # IN_IGNORED: the kernel dropped the watch, its file is no more
_LOST = 0x4000  # IN_Q_OVERFLOW: events were dropped
_HEAD = struct.Struct("iIII")  # struct inotify_event: wd, mask, cookie, len; then len bytes of name
_BUFFER = 64 * 1024


class Changes:
    """What one waiter watches; from ``Watcher.watch``."""

    def __init__(self, watcher: Watcher, path: Path) -> None:
        self._watcher = watcher
        self._name = os.fsencode(path.name)
        self._path = path
        self._watches: set[int] = set()
        self._event = anyio.Event()

    async def wait(self) -> None:
        """Return when the file changed, or appeared, since this was called last; many changes are told once."""
        await self._event.wait()
        self._event = anyio.Event()
        self._follow()

    def _follow(self) -> None:
        """Watch the file that has the name now, if there is one."""
        with contextlib.suppress(FileNotFoundError):
            self._watcher._add(self, self._path, _IN_MODIFY)

    def _tell(self, mask: int, name: bytes) -> None:
        if not mask & _APPEARED or name == self._name:
            self._event.set()


class Watcher:
    """``async with Watcher() as watcher: with watcher.watch(path) as changes: await changes.wait()``."""

    def __init__(self) -> None:
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup | None = None
        self._fd = -1
        self._reading = anyio.CancelScope()
        self._waiting: dict[int, list[Changes]] = {}  # by the kernel's watch descriptor

    async def __aenter__(self) -> Self:
        self._tasks = await self._stack.enter_async_context(task_group())
        self._stack.callback(self._tasks.cancel_scope.cancel)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        self._tasks = None
        self._waiting.clear()
        self._close()
        return await self._stack.__aexit__(exc_type, exc, traceback)

    @contextmanager
    def watch(self, path: Path) -> Iterator[Changes]:
        """Be told when ``path`` is written to, and when a file of that name appears in its folder.

        Raises:
            HostError: it can't be watched: the folder is missing, or the host's limit of watches is reached.
        """
        changes = Changes(self, path)
        try:
            try:
                self._add(changes, path.parent, _APPEARED)
            except FileNotFoundError as exc:
                raise HostError(f"{path.parent} is not there to be watched") from exc
            changes._follow()
            yield changes
        finally:
            self._remove(changes)

    # ------------------------------------------------------------------ the kernel's side

    def _add(self, changes: Changes, path: Path, mask: int) -> None:
        if self._tasks is None:
            raise HostError("the watcher is closed")
        if self._fd < 0:
            fd = _libc().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
            if fd < 0:
                raise _error(path)
            self._fd = fd
            self._reading = anyio.CancelScope()
            self._tasks.start_soon(self._read, fd, self._reading, name="inotify")
        watch: int = _libc().inotify_add_watch(self._fd, os.fsencode(path), mask)
        if watch < 0:
            raise _error(path)
        changes._watches.add(watch)
        waiting = self._waiting.setdefault(watch, [])
        if changes not in waiting:
            waiting.append(changes)

    def _remove(self, changes: Changes) -> None:
        for watch in changes._watches:
            waiting = self._waiting.get(watch, [])
            if changes in waiting:
                waiting.remove(changes)
            if not waiting and self._waiting.pop(watch, None) is not None:
                _libc().inotify_rm_watch(self._fd, watch)
        if not self._waiting:
            self._close()

    def _close(self) -> None:
        """Give the instance up; its reader closes the descriptor, for it may be waiting on it."""
        self._reading.cancel()
        self._fd = -1

    async def _read(self, fd: int, scope: anyio.CancelScope) -> None:
        try:
            with scope:
                while True:
                    await anyio.wait_readable(fd)
                    with contextlib.suppress(BlockingIOError):
                        self._dispatch(os.read(fd, _BUFFER))
        finally:
            os.close(fd)

    def _dispatch(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            watch, mask, _, length = _HEAD.unpack_from(data, at)
            at += _HEAD.size + length
            name = data[at - length : at].rstrip(b"\0")
            if mask & _LOST:
                for waiting in self._waiting.values():
                    for changes in waiting:
                        changes._event.set()
            for changes in self._waiting.get(watch, ()):
                changes._tell(mask, name)
            if mask & _GONE:
                for changes in self._waiting.pop(watch, ()):
                    changes._watches.discard(watch)


@cache
def _libc() -> Any:
    import ctypes  # most engines watch nothing

    libc = ctypes.CDLL(None, use_errno=True)
    libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    return libc


def _error(path: Path) -> Exception:
    """What the last call failed with."""
    import ctypes

    code = ctypes.get_errno()
    if code == errno.ENOENT:
        return FileNotFoundError(code, os.strerror(code), str(path))
    if code == errno.EMFILE:
        return HostError(f"{path} can't be watched: raise fs.inotify.max_user_instances, or the limit of open files")
    if code == errno.ENOSPC:
        return HostError(f"{path} can't be watched: raise fs.inotify.max_user_watches")
    return HostError(f"{path} can't be watched: {os.strerror(code).lower()}")
