"""Taking turns: one command at a time, in the order they came; any of them, under way or waiting, can be given up."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import anyio

from engine.errors import EngineError
from engine.lifecycle import Command

__all__ = ["Turns"]

T = TypeVar("T")


class _Turn:
    """A command that is under way or waits for its turn.

    Attributes:
        error: why it was given up, once its scope is cancelled.
    """

    __slots__ = ("error", "kind", "scope")

    def __init__(self, kind: Command) -> None:
        self.kind = kind
        self.scope = anyio.CancelScope()
        self.error: EngineError | None = None


class Turns:
    """The turns of one domain. While nobody takes one it holds two empty fields."""

    __slots__ = ("_lock", "_pending")

    def __init__(self) -> None:
        self._lock: anyio.Lock | None = None
        self._pending: list[_Turn] | None = None

    @property
    def busy(self) -> bool:
        """A command is under way."""
        return bool(self._pending)

    def free(self) -> anyio.Lock:
        """``async with turns.free():`` waits for its turn without being a command: nobody gives it up."""
        if self._lock is None:
            self._lock = anyio.Lock(fast_acquire=True)
        return self._lock

    async def take(self, kind: Command, function: Callable[[Any], Awaitable[T]], command: Any) -> T:
        """Carry out a command when it is its turn.

        Raises:
            EngineError: the one ``give_up`` was called with; what ``function`` raises.
        """
        turn = _Turn(kind)
        if self._pending is None:
            self._pending = []
        self._pending.append(turn)
        try:
            with turn.scope:
                async with self.free():
                    return await function(command)
        finally:
            self._pending.remove(turn)
        # only give_up cancels a turn's scope, and it sets the error first
        assert turn.error is not None
        raise turn.error

    def give_up(self, error: EngineError, kinds: frozenset[Command] | None = None) -> None:
        """End the commands of these kinds (None: all), under way or waiting: their callers get ``error``."""
        for turn in self._pending or ():
            if kinds is None or turn.kind in kinds:
                turn.error = error
                turn.scope.cancel()
