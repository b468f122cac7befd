"""One bus, opened when it is first needed and again after it was lost."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio
from anyio.abc import TaskGroup, TaskStatus

from engine.errors import ConnectionBroken, DBusError, EngineError, ScopeError, SubscriptionLagged

if TYPE_CHECKING:
    from engine.util.dbus import Bus, SignalSubscription

__all__ = ["BusLink", "Opener"]

T = TypeVar("T")

Opener = Callable[[str], AbstractAsyncContextManager["Bus"]]

#: The callee went away before it answered, or is being restarted: asking again may well succeed.
_GONE = frozenset(f"org.freedesktop.DBus.Error.{name}" for name in ("NoReply", "NameHasNoOwner", "Disconnected"))


class BusLink:
    """``async with BusLink(address) as link``: calls on a bus that is opened on first use.

    A lost bus is opened anew by the next call; a call whose answer was lost with it is made once more, so callers make
    only calls that may be repeated.
    """

    def __init__(self, address: str, *, opener: Opener | None = None) -> None:
        self.address = address
        self.opener = opener
        self._bus: Bus | None = None
        self._opening = anyio.Lock()
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> BusLink:
        self._tasks = await anyio.create_task_group().__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks, self._tasks = self._tasks, None
        if tasks is not None:
            tasks.cancel_scope.cancel()
            # the group's own tasks raise nothing, and an error of the body is to come out as it is, in no group
            await tasks.__aexit__(None, None, None)

    async def bus(self) -> Bus:
        """The open bus.

        Raises:
            ScopeError: it can't be reached.
        """
        async with self._opening:
            if self._tasks is None:
                raise ScopeError("the connection to systemd is closed")
            if self._bus is None:
                try:
                    self._bus = await self._tasks.start(self._hold)
                except (EngineError, OSError) as exc:
                    raise ScopeError(f"no {self.address} bus: {exc}") from exc
            return self._bus

    async def call(
        self, destination: str, path: str, interface: str, member: str, signature: str = "", body: Sequence[Any] = ()
    ) -> tuple[Any, ...]:
        """A method call's answer.

        Raises:
            DBusError: the answer is an error. ScopeError: the bus can't be reached, or was lost twice.
        """
        return await self._twice(lambda bus: bus.call(destination, path, interface, member, signature, body))

    async def get(self, destination: str, path: str, interface: str, name: str) -> Any:
        """One property's value."""
        return await self._twice(lambda bus: bus.get_property(destination, path, interface, name))

    async def get_all(self, destination: str, path: str, interface: str) -> dict[str, Any]:
        """All properties of one interface."""
        return await self._twice(lambda bus: bus.get_properties(destination, path, interface))

    async def _twice(self, ask: Callable[[Bus], Awaitable[T]]) -> T:
        try:
            return await self._once(ask)
        except (ConnectionBroken, DBusError) as exc:
            if isinstance(exc, DBusError) and exc.name not in _GONE:
                raise
        try:
            return await self._once(ask)
        except ConnectionBroken as exc:
            raise ScopeError(f"the {self.address} bus broke twice: {exc}") from exc

    async def _once(self, ask: Callable[[Bus], Awaitable[T]]) -> T:
        bus = await self.bus()
        try:
            return await ask(bus)
        except ConnectionBroken:
            self._drop(bus)
            raise

    @asynccontextmanager
    async def signals(self, sender: str, path: str, interface: str, member: str) -> AsyncIterator[SignalSubscription]:
        """The signals of one name that come from here on.

        Raises, also while they are read:
            ScopeError: the bus can't be reached, or was lost.
        """
        from engine.util.dbus import MatchRule

        bus = await self.bus()
        try:
            async with bus.subscribe(
                MatchRule(sender=sender, path=path, interface=interface, member=member), overflow="disconnect"
            ) as found:
                yield found
        except (ConnectionBroken, SubscriptionLagged) as exc:
            raise ScopeError(f"the {self.address} bus was lost: {exc}") from exc

    def _drop(self, bus: Bus) -> None:
        if self._bus is bus:
            self._bus = None

    async def _hold(self, *, task_status: TaskStatus[Bus]) -> None:
        from engine.util.dbus import open_bus

        opener = self.opener or open_bus
        async with opener(self.address) as bus:
            task_status.started(bus)
            await bus.wait_broken()
            self._drop(bus)
