"""What a reader of signals holds: a bounded queue with a named policy for when it is full."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Literal, Self

import anyio
from anyio.lowlevel import checkpoint

from engine.errors import ConfigError, ConnectionBroken, SubscriptionLagged
from engine.util.dbus.message import MatchRule, Message

__all__ = ["NameWatch", "Overflow", "SignalSubscription"]

Overflow = Literal["drop_oldest", "disconnect"]
"""No ``block``: the one who would be blocked is the reader of the connection, and every reply with it."""


class _Source:
    """Wakes one reader; knows why there will be no more."""

    def __init__(self) -> None:
        self._wake = anyio.Event()
        self._closed = False
        self._error: Callable[[], Exception] | None = None

    def end(self, error: Callable[[], Exception] | None = None) -> None:
        """No more will come: because of an error, or because the ``async with`` was left."""
        if not self._closed:
            self._closed, self._error = True, error
            self._wake.set()

    def break_off(self, why: str) -> None:
        """The connection is gone; what is queued can still be read."""
        self.end(lambda: ConnectionBroken(why))

    async def _wait(self) -> None:
        if self._closed:
            raise self._error() if self._error is not None else StopAsyncIteration
        self._wake = anyio.Event()
        await self._wake.wait()

    def __aiter__(self) -> Self:
        return self


class SignalSubscription(_Source):
    """Iterate it, in one task. Ends when its ``async with`` is left.

    Attributes:
        rule: what was asked for.
        lost: how many signals were dropped so far because the queue was full (policy ``drop_oldest``).

    Raises, while iterated, once all that is queued was read:
        ConnectionBroken: the bus is gone.
        SubscriptionLagged: the queue was full (policy ``disconnect``); ``last`` counts the signals that were read.
    """

    def __init__(self, rule: MatchRule, bound: int, overflow: Overflow) -> None:
        super().__init__()
        if bound < 1:
            raise ConfigError("a subscription needs room for one signal at least")
        self.rule = rule
        self.lost = 0
        self._bound = bound
        self._overflow = overflow
        self._queue: deque[Message] = deque()
        self._read = 0

    def offer(self, message: Message, sender: str | None) -> None:
        """A signal came; ``sender`` is the unique name that the rule's sender has now. Never waits, never raises."""
        if self._closed or not self.rule.matches(message, sender):
            return
        if len(self._queue) < self._bound:
            self._queue.append(message)
        elif self._overflow == "drop_oldest":
            self._queue.popleft()
            self._queue.append(message)
            self.lost += 1
        else:
            self.end(lambda: SubscriptionLagged(1, self._read))
        self._wake.set()

    async def __anext__(self) -> Message:
        await checkpoint()
        while not self._queue:
            await self._wait()
        self._read += 1
        return self._queue.popleft()


class NameWatch(_Source):
    """Who owns a name: now in ``owner`` (a unique name, or None), and each time it changed, by iterating.

    The first item is the owner at the start. Policy ``coalesce``: a slow reader gets the latest owner only, and still
    can't miss a restart, because no unique name is ever used twice in the life of a bus.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        self.owner: str | None = None
        self._known = False
        self._told: tuple[str | None] | None = None

    def set_owner(self, owner: str | None) -> None:
        self.owner, self._known = owner, True
        self._wake.set()

    async def __anext__(self) -> str | None:
        await checkpoint()
        while not self._known or self._told == (self.owner,):
            await self._wait()
        self._told = (self.owner,)
        return self.owner
