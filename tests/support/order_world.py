"""A world of imaginary guests for ``up`` and ``down``: an ``engine.shutdown.controls.Controls`` that notes all that is
done to it, with the time."""

from __future__ import annotations

import math
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Self

import anyio

from engine.errors import AgentError, ConnectionBroken, EngineError, GateFailed, HostError, InvalidState, StartFailed
from engine.shutdown.gates import Console

NEVER = math.inf


@dataclass
class Guest:
    """How one guest behaves; times in seconds.

    Attributes:
        agent, acpi, save, destroy: until it is gone once asked by that; NEVER: it does not listen.
        sync: until its agent answers; silent: it never does; no_agent: it has none.
        hears: the number of the acpi request that it hears.
        start, boot: until it runs, until it is ready then; breaks: its start fails; never_ready: its gate fails after
            ``boot``; going_on: and its order says to go on.
        paused: only save and destroy are possible; crashed: it is dead, and was kept.
        no_room: its save fails at once.
        unreached: seconds from the beginning for which the driver can't reach it; but destroy works.
        started_at: names its run.
    """

    agent: float = NEVER
    acpi: float = 1.0
    save: float = 1.0
    destroy: float = 0.0
    sync: float = 0.0
    silent: bool = False
    no_agent: bool = True
    hears: int = 1
    start: float = 0.0
    boot: float = 0.0
    breaks: bool = False
    never_ready: bool = False
    going_on: bool = False
    paused: bool = False
    no_room: bool = False
    crashed: bool = False
    unreached: float = 0.0
    started_at: float = 1.0
    active: bool = True
    ready: bool = True
    refused: dict[str, str] = field(default_factory=dict)


class World:
    """``async with World({"db": Guest()}) as world: await Down(plan, world).run()``.

    Attributes:
        log: (time, what, key) of everything that was done or happened.
        records: what was remembered, in turn; broken: remembering raises this.
        events: (key, event type's name, facts).
    """

    def __init__(self, guests: dict[str, Guest]) -> None:
        self.guests = guests
        self.log: list[tuple[float, str, str]] = []
        self.records: list[Any] = []
        self.broken: EngineError | None = None
        self.events: list[tuple[str | None, str, dict[str, Any]]] = []
        self._changed = {key: anyio.Event() for key in guests}
        self._acpi = dict.fromkeys(guests, 0)
        self._began = 0.0
        self._ended = dict.fromkeys(guests, "")
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._began = anyio.current_time()
        self._tasks = await self._stack.enter_async_context(anyio.create_task_group())
        self._stack.callback(self._tasks.cancel_scope.cancel)
        return self

    async def __aexit__(self, *exc: Any) -> bool | None:
        return await self._stack.__aexit__(*exc)

    # ------------------------------------------------------------------ what a test asks

    def times(self, what: str) -> dict[str, float]:
        """The first time of something, by key."""
        times: dict[str, float] = {}
        for time, done, key in self.log:
            if done == what:
                times.setdefault(key, time)
        return times

    @property
    def running(self) -> set[str]:
        return {key for key, guest in self.guests.items() if guest.active}

    def asked(self, key: str) -> list[str]:
        return [what for _, what, other in self.log if other == key and what.startswith("ask ")]

    def stop(self, key: str, how: str = "shutdown") -> None:
        """The guest is gone."""
        if self.guests[key].active:
            self._ended[key] = how
            self.guests[key].active = self.guests[key].ready = False
            self._note("gone", key)
            self._wake(key)

    def later(self, seconds: float, key: str, how: str = "shutdown") -> None:
        """The guest is gone in so many seconds."""
        if seconds != NEVER:
            self._tasks.start_soon(self._stop_later, seconds, key, how)

    async def _stop_later(self, seconds: float, key: str, how: str) -> None:
        await anyio.sleep(seconds)
        self.stop(key, how)

    async def crash_later(self, seconds: float, key: str) -> None:
        """The guest is dead in so many seconds, and is kept."""
        await anyio.sleep(seconds)
        self.guests[key].crashed = True
        self._note("crashed", key)
        self._wake(key)

    def _note(self, what: str, key: str) -> None:
        self.log.append((anyio.current_time(), what, key))

    def _wake(self, key: str) -> None:
        self._changed[key].set()
        self._changed[key] = anyio.Event()

    # ------------------------------------------------------------------ Controls

    def is_active(self, key: str) -> bool:
        return self.guests[key].active

    def is_lost(self, key: str) -> bool:
        return self.guests[key].crashed

    def started_at(self, key: str) -> float:
        return self.guests[key].started_at

    def refuses(self, key: str, method: str) -> str:
        guest = self.guests[key]
        if guest.crashed and method != "destroy":
            return "it is crashed"
        if guest.paused and method in ("agent", "acpi"):
            return "it is paused"
        return guest.refused.get(method, "")

    def target(self, key: str) -> Target:
        return Target(self, key)

    async def start(self, key: str) -> None:
        guest = self.guests[key]
        if guest.active:
            raise InvalidState("start", "running", (), domain=key)
        self._note("start", key)
        await anyio.sleep(guest.start)
        if guest.breaks:
            raise StartFailed(key, "it broke")
        guest.active = True
        self._note("started", key)
        self._tasks.start_soon(self._boot, key)

    async def _boot(self, key: str) -> None:
        guest = self.guests[key]
        await anyio.sleep(guest.boot)
        guest.ready = not guest.never_ready
        if guest.active:
            self._note("ready" if guest.ready else "not ready", key)
            self._wake(key)

    async def wait_ready(self, key: str) -> bool:
        guest = self.guests[key]
        while guest.active and not guest.ready:
            await self._changed[key].wait()
            if guest.never_ready and guest.going_on:
                return False
            if guest.never_ready:
                raise GateFailed(key, "agent", guest.boot)
        if not guest.active:
            raise GateFailed(key, "agent", guest.boot, "it stopped first")
        return True

    async def ask_stop(self, key: str, method: str) -> None:
        guest = self.guests[key]
        self._note(f"ask {method}", key)
        if not guest.active:
            raise InvalidState(method, "shut off", (), domain=key)
        if method != "destroy":
            await self.reach(key)
        if method == "save" and guest.no_room:
            raise HostError("no space left on device")
        if method in ("save", "destroy"):
            await anyio.sleep(getattr(guest, method))
            self.stop(key, "saved" if method == "save" else "destroyed")
            return
        await anyio.lowlevel.checkpoint()
        if method == "agent":
            self.later(guest.agent, key)
        else:
            self._acpi[key] += 1
            if self._acpi[key] == guest.hears:
                self.later(guest.acpi, key)

    async def wait_over(self, key: str) -> None:
        while self.guests[key].active and not self.guests[key].crashed:
            await self._changed[key].wait()

    def ended(self, key: str) -> str:
        return self._ended[key]

    async def reach(self, key: str) -> None:
        if anyio.current_time() < self._began + self.guests[key].unreached:
            raise ConnectionBroken("its monitor is lost")

    async def remember(self, record: Any) -> None:
        await anyio.lowlevel.checkpoint()
        if self.broken is not None:
            raise self.broken
        self.records.append(record)

    def publish(self, key: str | None, event_type: type[Any], **facts: Any) -> None:
        # the real one makes the event, which refuses facts it does not have
        event_type(
            host="h",
            epoch="e",
            sequence=1,
            time=0.0,
            **({} if key is None else {"connection": "test:///", "domain": key, "uuid": key}),
            **facts,
        )
        self.events.append((key, event_type.__name__, facts))


class Target:
    """A guest as its gates see it."""

    def __init__(self, world: World, key: str, console: Console | None = None) -> None:
        self._world = world
        self._key = key
        self._console = console

    @property
    def name(self) -> str:
        return self._key

    async def agent_sync(self) -> None:
        guest = self._world.guests[self._key]
        await self._world.reach(self._key)
        if guest.silent:
            await anyio.sleep(NEVER)
        if guest.no_agent:
            raise AgentError("the guest has no agent")
        await anyio.sleep(guest.sync)

    async def console(self) -> Console | None:
        return self._console

    async def wait_stopped(self) -> None:
        await self._world.wait_over(self._key)
