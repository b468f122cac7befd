"""A detector of blocked loops: it notes every call on the loop's thread that may wait for a disk, a process or time.

Python audits most such calls (PEP 578), those that it does not are wrapped: nothing is timed, and nothing is left to
chance. Looking at /proc and /sys never waits for a disk, and importing a module is done once: both are passed over.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import CodeType
from typing import Any

import pytest

__all__ = ["blocking_calls"]

_BLOCKING = {
    "open",
    "os.mkdir",
    "os.remove",
    "os.rename",
    "os.rmdir",
    "os.listdir",
    "os.scandir",
    "os.truncate",
    "shutil.rmtree",
    "shutil.copyfile",
    "sqlite3.connect",
    "subprocess.Popen",
    "os.posix_spawn",
    "os.system",
    "time.sleep",
    "socket.getaddrinfo",
    "socket.gethostbyname",
    "fcntl.flock",
    "fcntl.lockf",
}
# calls of the module ``os`` that are not audited
_WRAPPED = ("access", "fdatasync", "fsync", "lstat", "readlink", "stat", "statvfs", "wait", "wait4", "waitpid")
_HARMLESS = ("/proc/", "/sys/", "/dev/")

_watching: list[tuple[int, list[str]]] = []
_installed = False


@contextmanager
def blocking_calls() -> Iterator[list[str]]:
    """The calls made on this thread that may block: what was called, with what, and from where."""
    global _installed
    if not _installed:
        sys.addaudithook(_audit)
        _installed = True
    found: list[str] = []
    entry = (threading.get_ident(), found)
    _watching.append(entry)
    try:
        with pytest.MonkeyPatch.context() as patched:
            for name in _WRAPPED:
                patched.setattr(os, name, _wrapped(name))
            yield found
    finally:
        _watching.remove(entry)


def _wrapped(name: str) -> Callable[..., Any]:
    original = getattr(os, name)

    @wraps(original)
    def call(*arguments: Any, **options: Any) -> Any:
        _note(f"os.{name}", arguments)
        return original(*arguments, **options)

    return call


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in _BLOCKING:
        _note(event, arguments)


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    thread = threading.get_ident()
    for watched, found in _watching:
        if watched == thread:
            what = arguments[0] if arguments else ""
            what = os.fspath(what) if isinstance(what, os.PathLike) else what
            if isinstance(what, str) and what.startswith(_HARMLESS):
                continue
            if event == "open" and isinstance(what, int):
                continue  # an open descriptor is wrapped
            frames = list(_frames())
            if any("importlib" in frame.co_filename for frame, _ in frames):
                continue
            mine = next(((code, line) for code, line in frames if "/engine/" in code.co_filename), frames[0])
            found.append(f"{event}({what!r}) at {mine[0].co_filename}:{mine[1]} {mine[0].co_name}")


def _frames() -> Iterator[tuple[CodeType, int]]:
    """The calls that led here, the newest first. (The traceback module would open files to tell.)"""
    frame = sys._getframe(2)
    while frame is not None:
        yield frame.f_code, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
