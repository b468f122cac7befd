"""Runs async code in virtual time, on asyncio and on trio: when all tasks wait, the clock jumps to the next timer.

Hours pass in milliseconds, and to the float: what such a test says about time is exact. Only for code that waits for
timers and for other tasks; a wait for a file descriptor is an error here, since nothing else could end it.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio
import trio.testing

T = TypeVar("T")

BACKENDS = ("asyncio", "trio")


def run(backend: str, function: Callable[[], Awaitable[T]]) -> T:
    clocks: dict[str, Callable[[], dict[str, Any]]] = {
        "asyncio": lambda: {"loop_factory": _Loop},
        "trio": lambda: {"clock": trio.testing.MockClock(autojump_threshold=0)},
    }
    return anyio.run(function, backend=backend, backend_options=clocks[backend]())


class _Selector(selectors.SelectSelector):
    loop: _Loop

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("every task waits, and no timer is set")
            self.loop.now += max(0.0, timeout)
        return ready


class _Loop(asyncio.SelectorEventLoop):
    now = 0.0

    def __init__(self) -> None:
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now
