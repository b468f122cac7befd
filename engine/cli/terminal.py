"""The terminal that a person sits at, as bytes: each key at once, and nothing is made of any. Source: termios(3)."""

from __future__ import annotations

import contextlib
import os
import select
import sys
import termios
import tty
from types import TracebackType
from typing import Any, Self

import anyio

from engine.cli.failures import Failed

__all__ = ["Keyboard"]


class Keyboard:
    """``with Keyboard() as keys``: iterate for what is typed; ``show`` what is to be seen. In the end all is as it was.

    What standard input is, when it is no terminal, is taken as it is, to its end.

    Raises:
        Failed: it is a file.
    """

    def __init__(self) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._before: list[Any] | None = None
        try:
            with select.epoll() as poll:
                poll.register(self._in)
        except OSError as exc:  # a file: nothing tells when there is more in it
            raise Failed("standard input has to be a terminal or a pipe") from exc

    def __enter__(self) -> Self:
        if os.isatty(self._in):
            self._before = termios.tcgetattr(self._in)
            tty.setraw(self._in, termios.TCSANOW)
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._before is not None:
            termios.tcsetattr(self._in, termios.TCSANOW, self._before)  # who reads what it shows may hang

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        await anyio.wait_readable(self._in)
        data = os.read(self._in, 65536)
        if not data:
            raise StopAsyncIteration
        return data

    async def show(self, data: bytes) -> None:
        left = memoryview(data)
        while left:
            with contextlib.suppress(OSError):  # a file, which takes everything
                await anyio.wait_writable(self._out)
            left = left[os.write(self._out, left[:4096]) :]
