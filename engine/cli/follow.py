"""``events --follow``: sleeps until the writer of the journal rings, then reads what is new.

All of it blocks, on purpose: nothing else is to be done meanwhile, and nothing to be put in order when a signal ends it
(``engine.cli.signals``), also in a write to a pipe that nobody empties.
"""

from __future__ import annotations

import ctypes
import os
import select
import signal
import struct
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import StoreError
from engine.events.journal_file import JournalReader, NoJournal, open_reader

__all__ = ["Watch", "follow"]

# inotify(7)
_ATTRIB, _MOVED_TO, _CREATE, _IGNORED = 0x4, 0x80, 0x100, 0x8000
_HEAD = struct.Struct("iIII")


class Watch:
    """Tells of changes to one file, which need not be there (its folder must). A context manager.

    Raises:
        OSError: the folder can't be watched.
    """

    def __init__(self, path: Path) -> None:
        self._name = os.fsencode(path.name)
        self._signals = -1
        libc = ctypes.CDLL(None, use_errno=True)
        self._fd = libc.inotify_init1(os.O_CLOEXEC)
        mask = _ATTRIB | _MOVED_TO | _CREATE
        if self._fd < 0 or libc.inotify_add_watch(self._fd, os.fsencode(path.parent), mask) < 0:
            number = ctypes.get_errno()
            self.close()
            raise OSError(number, os.strerror(number), str(path.parent))
        # A signal between the last look for one and a read that blocks would wait for that: this wakes it.
        self._wakes, self._signals = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._before = signal.set_wakeup_fd(self._signals, warn_on_full_buffer=False)
        self._ready = select.poll()
        for fd in (self._fd, self._wakes):
            self._ready.register(fd, select.POLLIN)

    def wait(self) -> bool:
        """Return when the file was touched or replaced; False: its folder is gone."""
        while True:
            while self._fd not in (fd for fd, _ in self._ready.poll()):
                os.read(self._wakes, 4096)  # the handler has run by now, and lets us go on
            data = os.read(self._fd, 65536)
            while data:
                _, mask, _, length = _HEAD.unpack_from(data)
                name = data[_HEAD.size : _HEAD.size + length].rstrip(b"\0")
                data = data[_HEAD.size + length :]
                if mask & _IGNORED:
                    return False
                if name == self._name:
                    return True

    def close(self) -> None:
        if self._signals >= 0:
            signal.set_wakeup_fd(self._before)
            os.close(self._wakes)
            os.close(self._signals)
            self._signals = -1
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def follow(path: Path, begin: Callable[[JournalReader], int], show: Callable[[JournalReader, int], int]) -> None:
    """Show what is in the journal at ``path`` and what comes, for ever.

    Args:
        begin: the number to begin after; called once.
        show: shows all that is there after a number and returns the last one's.

    Raises:
        StoreError: the state directory is not there, or is gone. OSError: it can't be watched.
    """
    if not path.parent.is_dir():
        raise StoreError(str(path.parent), "there is no such state directory")
    with Watch(path) as watch:
        cursor: int | None = None
        while True:
            identity = _identity(path)  # before it is opened: if it is replaced meanwhile, that shows
            try:
                reader = open_reader(path)
            except NoJournal:  # it rings when there is something in it
                cursor = 0
                _wait(path, watch)
                continue
            with reader:
                cursor = begin(reader) if cursor is None else cursor
                while _identity(path) == identity:
                    cursor = show(reader, cursor)
                    _wait(path, watch)
            cursor = 0  # another one is in its place: it may well count from 1 again


def _wait(path: Path, watch: Watch) -> None:
    if not watch.wait():
        raise StoreError(str(path.parent), "the state directory is gone")


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
