"""A delay inhibitor at logind: the host tells its holder before it goes down or sleeps, and waits for it for a while.

Sources: org.freedesktop.login1(5), and "Inhibitor Locks" (https://systemd.io/INHIBITOR_LOCKS). How long it waits is
logind's to say (``InhibitDelayMaxSec=``); then it goes on all the same.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

import anyio

from engine.errors import ConnectionBroken, DBusError, EngineError
from engine.systemd.link import Opener
from engine.systemd.state import LOGIND

if TYPE_CHECKING:
    from engine.util.dbus import Bus, Message, NameWatch, UnixFd

__all__ = ["Inhibitor", "Prepare", "Told"]

log = logging.getLogger("engine.systemd")

#: What the host prepares for.
Prepare: TypeAlias = Literal["shutdown", "sleep"]
#: Called with that, and True: it is about to happen, and waits; or False: it is over, or did not come about.
Told: TypeAlias = Callable[[Prepare, bool], Awaitable[None]]

_SIGNALS: dict[str | None, Prepare] = {"PrepareForShutdown": "shutdown", "PrepareForSleep": "sleep"}
_PROPERTIES: dict[Prepare, str] = {"shutdown": "PreparingForShutdown", "sleep": "PreparingForSleep"}
#: It is too late for an inhibitor: what it would delay is under way.
_TOO_LATE = "org.freedesktop.login1.OperationInProgress"
# seconds until a bus that can't be reached is tried again, at first and at most; and that an answer may take
_SOON, _LATE = 1.0, 30.0
_PATIENCE = 30.0


class Inhibitor:
    """Holds one while it is ``wanted``, and tells of what the host prepares (``run``).

    A bus or logind that is not there, or goes, is logged once; when it is back the inhibitor is taken again, and what
    was missed is told.

    Args:
        why: shown to users by ``systemd-inhibit --list``.
        asleep: the host was about to sleep when we heard of it last.
    """

    def __init__(
        self, why: str, *, address: str = "system", opener: Opener | None = None, asleep: bool = False
    ) -> None:
        self._why = why
        self._address = address
        self._opener = opener
        self._preparing: dict[Prepare, bool] = {"shutdown": False, "sleep": asleep}
        self._wanted = False
        self._released = False
        self._held: UnixFd | None = None
        self._changed = anyio.Event()
        self._taking, self._telling = anyio.Lock(), anyio.Lock()
        self._complained = False

    @property
    def held(self) -> bool:
        return self._held is not None

    def want(self, wanted: bool) -> None:
        """Take it, or give it back, soon."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._wake()

    async def run(self, told: Told) -> None:
        """For ever. ``told`` is awaited, for one thing after the other; the inhibitor is released once it returns."""
        pause = _SOON
        try:
            while True:
                try:
                    await self._session(told)
                except* EngineError as found:
                    self._complain(str(found.exceptions[0]))
                pause = _SOON if not self._complained else min(2 * pause, _LATE)
                await anyio.sleep(pause)  # nothing tells when a bus is there
        finally:
            self._release()

    async def _session(self, told: Told) -> None:
        """For as long as the bus lasts. Raises ConnectionBroken, SubscriptionLagged."""
        from engine.util.dbus import MatchRule, open_bus

        rule = MatchRule(sender=LOGIND[0], path=LOGIND[1], interface=LOGIND[2])
        async with (
            (self._opener or open_bus)(self._address) as bus,
            bus.watch_name(LOGIND[0]) as owners,
            bus.subscribe(rule, overflow="disconnect") as signals,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(self._follow_wish, bus)
            tasks.start_soon(self._follow_owner, bus, owners, told)
            async for signal in signals:
                await self._hear(signal, told)

    async def _catch_up(self, bus: Bus, told: Told) -> None:
        """What was said while nobody listened."""
        async with self._telling:
            for what, name in _PROPERTIES.items():
                try:
                    begins = await bus.get_property(*LOGIND, name, timeout=_PATIENCE)
                except ConnectionBroken:
                    raise  # the session ends, which is told once
                except EngineError as exc:
                    self._complain(str(exc))
                    return
                await self._prepare(what, bool(begins), told)

    async def _hear(self, signal: Message, told: Told) -> None:
        what = _SIGNALS.get(signal.member)
        if what is not None and signal.signature.startswith("b"):
            async with self._telling:
                await self._prepare(what, bool(signal.body[0]), told)

    async def _prepare(self, what: Prepare, begins: bool, told: Told) -> None:
        if self._preparing[what] == begins:
            return
        self._preparing[what] = begins
        if not begins:
            self._released = False
            self._wake()
        await told(what, begins)
        if begins:
            self._released = True
            self._release()

    # ------------------------------------------------------------------ the inhibitor itself

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _follow_wish(self, bus: Bus) -> None:
        while True:
            changed = self._changed
            await self._settle(bus)
            await changed.wait()

    async def _follow_owner(self, bus: Bus, owners: NameWatch, told: Told) -> None:
        """A logind that comes anew knows of no inhibitor, if it was not just started again."""
        first = owners.owner
        await self._catch_up(bus, told)  # this starts it where it can be started
        async for owner in owners:
            if owner is not None and owner != first:
                await self._settle(bus, anew=True)
                await self._catch_up(bus, told)
            first = owner

    async def _settle(self, bus: Bus, *, anew: bool = False) -> None:
        async with self._taking:
            if self._wanted and not self._released and (anew or self._held is None):
                await self._take(bus)
            if not self._wanted or self._released:  # also if that changed while it was being taken
                self._release()

    async def _take(self, bus: Bus) -> None:
        try:
            body = ("shutdown:sleep", "virengine", self._why, "delay")
            (fd,) = await bus.call(*LOGIND, "Inhibit", "ssss", body, timeout=_PATIENCE)
        except ConnectionBroken:
            raise
        except EngineError as exc:
            if not (isinstance(exc, DBusError) and exc.name == _TOO_LATE):
                self._complain(str(exc))
            return
        self._release()
        self._held = fd
        self._complained = False

    def _release(self) -> None:
        """It is held for as long as the descriptor is open."""
        if self._held is not None:
            self._held.close()
            self._held = None

    def _complain(self, why: str) -> None:
        if not self._complained:
            self._complained = True
            # sd_booted(3): without systemd nobody expects a logind
            level = logging.WARNING if Path("/run/systemd/system").is_dir() else logging.INFO
            log.log(level, "the host won't wait for guests before it goes down or sleeps: %s", why)
