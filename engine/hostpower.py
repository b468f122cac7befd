"""What becomes of guests when the host goes down or sleeps: logind tells before, and waits for us for a while."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from types import TracebackType
from typing import Self

import anyio
import msgspec
from anyio.abc import TaskGroup

from engine.conf.order import Sleep
from engine.core import Engine
from engine.domain import Domain
from engine.errors import EngineError, NoSuchConnection, NoSuchDomain
from engine.events.types import LifecycleEvent
from engine.lifecycle import State
from engine.scoping import refuses
from engine.systemd.inhibitor import Inhibitor, Prepare
from engine.systemd.link import Opener

__all__ = ["HostPower"]

log = logging.getLogger("engine")

_RECORD = "sleep"
_WHY = "Virtual machines are stopped or put to sleep in order"


class _Sleeper(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: waited_for: keys of those that had to sleep first; started: of its run."""

    key: str
    method: Sleep
    started: float
    waited_for: tuple[str, ...]


class HostPower:
    """``async with HostPower(engine)``: when the host is about to go down, ``down`` begins at once; when it is about to
    sleep, each domain is saved or paused, as its order says, and brought back after.

    logind waits for that (``InhibitDelayMaxSec``), then goes on. What of ``down`` is still to be done then, whoever is
    ordered to stop the guests before the host ends has to wait for: the stop of ``virengine-guests.service`` does.
    Domains that sleep are remembered: should the engine end meanwhile, the next one brings them back.

    Args:
        engine: open, with nothing else that does this beside it.
        address: of the bus where logind is.
    """

    def __init__(self, engine: Engine, *, address: str = "system", opener: Opener | None = None) -> None:
        self._engine = engine
        self._address, self._opener = address, opener
        self._sleepers: tuple[_Sleeper, ...] = ()
        self._went_down = False
        self._tasks: TaskGroup | None = None

    async def __aenter__(self) -> Self:
        await self._remember()
        self.inhibitor = Inhibitor(_WHY, address=self._address, opener=self._opener, asleep=bool(self._sleepers))
        self._tasks = await anyio.create_task_group().__aenter__()
        self._tasks.start_soon(self._follow_domains)
        self._tasks.start_soon(self.inhibitor.run, self._told)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()
        await self._tasks.__aexit__(None, None, None)  # an error of the body is to come out as it is, in no group

    async def _follow_domains(self) -> None:
        async with self._engine.subscribe(LifecycleEvent, bound=1, policy="coalesce") as changes:
            self._count()
            async for _ in changes:
                self._count()

    def _count(self) -> None:
        self.inhibitor.want(any(domain.active for domain in self._engine.domains()))

    async def _told(self, what: Prepare, begins: bool) -> None:
        work = {
            ("shutdown", True): self._go_down,
            ("shutdown", False): self._come_back,
            ("sleep", True): self._fall_asleep,
            ("sleep", False): self._wake_up,
        }[what, begins]
        try:
            await work()
        except EngineError as exc:
            log.warning("before the host's %s: %s" if begins else "after the host's %s: %s", what, exc)

    # ------------------------------------------------------------------ the host goes down

    async def _go_down(self) -> None:
        # No deadline: when logind waits no longer, units are stopped, and the guests service goes on with the plan.
        self._went_down = True
        report = await self._engine.down()
        if not report.ok:
            log.warning("before the host's shutdown: %s did not stop", ", ".join(report.failed))

    async def _come_back(self) -> None:
        """It did not go down after all."""
        if self._went_down:
            self._went_down = False
            await self._engine.up(resume=True)

    # ------------------------------------------------------------------ the host sleeps

    async def _fall_asleep(self) -> None:
        steps = self._engine.order.stop_plan().steps
        found = [self._sleeper(step.key, tuple(wait.key for wait in step.waits_for)) for step in steps]
        self._sleepers = tuple(found)
        await self._keep()
        await _in_order({each.key: each.waited_for for each in found}, self._lay_down)

    def _sleeper(self, key: str, waited_for: tuple[str, ...]) -> _Sleeper:
        domain = self._domain(key)
        assert domain is not None
        method = self._engine.order.of(domain).sleep or "pause"
        if method == "save" and (why := refuses(domain, "save")):
            log.warning("'%s' is paused while the host sleeps, and not saved: %s", domain.name, why)
            method = "pause"
        if method == "pause" and domain.state is not State.RUNNING:  # somebody else had it paused
            method = "nothing"
        return _Sleeper(key=key, method=method, started=domain.started_at, waited_for=waited_for)

    async def _lay_down(self, key: str) -> None:
        domain = self._domain(key)
        method = next(each.method for each in self._sleepers if each.key == key)
        if domain is not None and method == "pause":
            await domain.suspend()
        elif domain is not None and method == "save":
            await domain.managed_save()

    async def _wake_up(self) -> None:
        waits: dict[str, list[str]] = {each.key: [] for each in self._sleepers}
        for each in self._sleepers:
            for first in each.waited_for:
                if first in waits:
                    waits[first].append(each.key)
        await _in_order(waits, self._rouse)
        self._sleepers = ()
        await self._keep()

    async def _rouse(self, key: str) -> None:
        """What is as we left it; what somebody has done something with since is theirs."""
        sleeper = next(each for each in self._sleepers if each.key == key)
        domain = self._domain(key)
        if domain is None:
            return
        if sleeper.method == "pause" and domain.state is State.PAUSED and domain.started_at == sleeper.started:
            await domain.resume()
        elif sleeper.method == "save" and not domain.active and domain.saved:
            await domain.start()

    def _domain(self, key: str) -> Domain | None:
        connection, _, uuid = key.rpartition("#")
        try:
            return self._engine.domain(uuid, connection=connection)
        except (NoSuchDomain, NoSuchConnection):
            return None

    async def _keep(self) -> None:
        sleeping = [msgspec.to_builtins(each) for each in self._sleepers if each.method != "nothing"]
        await self._engine.store.save_record(_RECORD, sleeping or None)

    async def _remember(self) -> None:
        try:
            record = await self._engine.store.load_record(_RECORD)
            self._sleepers = msgspec.convert(record or (), tuple[_Sleeper, ...])
        except (EngineError, msgspec.ValidationError) as exc:
            log.warning("which domains were put to sleep with the host is not known: %s", exc)


async def _in_order(waits: Mapping[str, Iterable[str]], act: Callable[[str], Awaitable[None]]) -> None:
    """Act on each key once those that it waits for are done; what fails is logged, and holds up nobody."""
    done = {key: anyio.Event() for key in waits}

    async def one(key: str) -> None:
        for first in waits[key]:
            if first in done:
                await done[first].wait()
        try:
            await act(key)
        except EngineError as exc:
            log.warning("%s: %s", key, exc)
        finally:
            done[key].set()

    async with anyio.create_task_group() as tasks:
        for key in waits:
            tasks.start_soon(one, key)
