"""Scopes for domains, and how they are ordered: asked of machined and systemd over D-Bus.

``After`` can't be set on a live unit; a drop-in and a reload can (``reorder``).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import anyio
import anyio.to_thread

from engine.abc import ScopeInfo
from engine.errors import CommandTimeout, DBusError, EngineError, HostError, ScopeError
from engine.systemd import state
from engine.systemd.creation import Attempt
from engine.systemd.link import BusLink, Opener
from engine.systemd.scope import ScopeRequest, UnitOrder, render_order
from engine.systemd.state import SYSTEMD, UnitState
from engine.util.files import remove_file, write_atomic

__all__ = ["ScopeManager"]

T = TypeVar("T")
_DROPIN = "50-virengine-order.conf"
_LOGIND_SERVICE = "systemd-logind.service"
#: Scopes made at once: a host that starts hundreds of guests is no host that hangs.
_AT_ONCE = 16
#: Seconds for which one that did not answer is not asked again, so that guests that start meanwhile need not wait for
#: it, too. Not longer: these guests do without a scope, and one that is merely busy (it reloads) is soon back.
_PAUSE = 5.0
#: A reload reads every unit of the host anew; seconds.
_RELOAD_TIMEOUT = 90.0


class ScopeManager:
    """``async with ScopeManager() as scopes``: puts domains into scopes and reads how they are ordered.

    The bus is opened on first use, and again after it was lost. Any number of calls at once.

    Args:
        user: ask the user's own service manager; None: unless we are root.
        timeout: seconds until a start goes on without a scope.
        engine_unit: the service the engine runs in, if that stops the guests itself when the host goes down: scopes
            are ordered after it, so it outlives them. With any other service that would be fatal: it would keep the
            state directory to itself while the guests service waits to stop the guests.
        address: of the bus; None: the system's, or the user's session bus.
        runtime_dir: systemd's folder below /run (or ``$XDG_RUNTIME_DIR``); where it is missing, no systemd runs.
    """

    def __init__(
        self,
        *,
        user: bool | None = None,
        timeout: float = 10.0,
        engine_unit: str = "",
        address: str | None = None,
        runtime_dir: Path | None = None,
        opener: Opener | None = None,
    ) -> None:
        self.user = os.geteuid() != 0 if user is None else user
        self.timeout = timeout
        base = (os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.geteuid()}") if self.user else "/run"
        self.runtime_dir = runtime_dir or Path(base) / "systemd"
        self.link = BusLink(address or ("session" if self.user else "system"), opener=opener)
        self.engine_unit = engine_unit
        self._limit = anyio.CapacityLimiter(_AT_ONCE)
        self._passed_over: dict[str, float] = {}
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> ScopeManager:
        await self._stack.enter_async_context(self.link)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the bus. May be called twice; scopes stay."""
        await self._stack.aclose()

    def missing(self) -> str:
        """Why no service manager can be asked; "" when one should answer (cf. sd_booted(3))."""
        whose = "of this user" if self.user else "on this host"
        return "" if self.runtime_dir.is_dir() else f"no systemd {whose} ({self.runtime_dir} is not there)"

    # ------------------------------------------------------------------ a domain comes and goes

    async def create(self, request: ScopeRequest) -> ScopeInfo:
        """Put the domain into a scope.

        Never raises but for cancellation, and takes no longer than ``timeout`` once it is its turn. A manager that did
        not answer is passed over for the next few seconds, or until it answers somebody who asked before.

        ``reason`` is set when there is no scope, and also when there is one that had to do without something (a limit
        the host does not know).
        """
        if missing := self.missing():
            return ScopeInfo(reason=missing)
        async with self._limit:  # the time one is given begins when it is its turn
            return await self._create(Attempt(self, request))

    async def _create(self, attempt: Attempt) -> ScopeInfo:
        reasons: list[str] = []
        for name, ask in (("machined", attempt.machined), ("systemd", attempt.systemd)):
            if name == "machined" and self.user:
                continue  # it serves the system only
            if anyio.current_time() < self._passed_over.get(name, 0.0):
                reasons.append(f"{name} did not answer a moment ago")
                continue
            try:
                with anyio.fail_after(self.timeout / 2):
                    if not attempt.prepared:
                        await attempt.prepare()
                    info = await ask()
                self._passed_over.pop(name, None)  # it is back, whoever waited for it in vain
                return info
            except TimeoutError:
                self._passed_over[name] = anyio.current_time() + _PAUSE
                reasons.append(f"{name} did not answer within {self.timeout / 2:g} s")
            except EngineError as exc:
                reasons.append(f"{name}: {exc}")
        return ScopeInfo(reason="; ".join(dict.fromkeys(reasons)))

    async def forget(self, unit: str) -> None:
        """The domain is gone: so is its scope, by itself. Removes a drop-in of ours; never raises."""
        path = self._dropin(unit)
        if unit and path.exists():  # /run is memory: this never blocks
            await anyio.to_thread.run_sync(_remove_dropin, path)

    # ------------------------------------------------------------------ the order changed

    async def reorder(self, orders: Mapping[str, UnitOrder]) -> None:
        """Order live scopes anew: drop-ins, and one reload for all. Drop-ins of ours of units that are gone go too.

        Raises:
            HostError: the drop-ins can't be written. ScopeError: systemd refuses the reload.
        """
        alive = {unit.name for unit in await self.live_scopes()}
        try:
            await anyio.to_thread.run_sync(self._write_dropins, orders, alive)
        except OSError as exc:
            raise HostError(f"{exc.filename or self._units_dir}: {exc.strerror or exc}") from exc
        await self.reload()

    async def reload(self) -> None:
        """Have systemd read its units anew.

        Raises:
            ScopeError: it refuses, or can't be reached. CommandTimeout: no answer.
        """
        await self._ask("Reload", timeout=_RELOAD_TIMEOUT)

    async def reload_logind(self) -> None:
        """Have logind read its configuration anew.

        Raises:
            ScopeError: it refuses, or can't be reached. CommandTimeout: no answer.
        """
        await self._ask("KillUnit", "ssi", [_LOGIND_SERVICE, "main", signal.SIGHUP], timeout=self.timeout)

    async def start_unit(self, unit: str) -> None:
        """Start a unit and wait until it is up, however long that takes.

        Raises:
            ScopeError: it refuses, can't be reached, or the unit failed.
        """
        if missing := self.missing():
            raise ScopeError(missing)
        try:
            await self.run_job(unit, "StartUnit", "ss", [unit, "replace"])
        except DBusError as exc:
            raise ScopeError(f"systemd does not start {unit}: {exc}") from exc

    async def _ask(self, member: str, signature: str = "", body: Sequence[Any] = (), *, timeout: float) -> None:
        if missing := self.missing():
            raise ScopeError(missing)
        try:
            with anyio.fail_after(timeout):
                await self.link.call(*SYSTEMD, member, signature, body)
        except TimeoutError:
            raise CommandTimeout(f"systemd: {member}", timeout) from None
        except DBusError as exc:
            raise ScopeError(f"systemd refuses {member}: {exc}") from exc

    def _write_dropins(self, orders: Mapping[str, UnitOrder], alive: set[str]) -> None:
        for path in self._units_dir.glob(f"machine-*.scope.d/{_DROPIN}"):
            if path.parent.name.removesuffix(".d") not in alive:
                _remove_dropin(path)
        for unit, order in orders.items():
            path = self._dropin(unit)
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, render_order(order).encode(), mode=0o644)

    @property
    def _units_dir(self) -> Path:
        return self.runtime_dir / ("user" if self.user else "system")

    def _dropin(self, unit: str) -> Path:
        return self._units_dir / f"{unit}.d" / _DROPIN

    # ------------------------------------------------------------------ what is

    async def live_scopes(self) -> list[UnitState]:
        """The scopes of machines, with their order.

        Raises:
            ScopeError: systemd can't be reached. DBusError: it refuses.
        """
        if missing := self.missing():
            raise ScopeError(missing)
        return await self._bounded(state.list_units, "machine-*.scope")

    async def unit_state(self, unit: str) -> UnitState | None:
        """One unit; None: there is none of this name.

        Raises:
            ScopeError: systemd can't be reached. DBusError: it refuses.
        """
        if missing := self.missing():
            raise ScopeError(missing)
        return await self._bounded(state.read_unit, unit)

    async def inhibit_delay(self) -> float | None:
        """Seconds logind waits for inhibitors (``InhibitDelayMaxSec``); None: nobody says."""
        return await self._bounded(state.inhibit_delay)

    async def session_timeout(self) -> float | None:
        """Seconds the host gives to all services of this user; None: they are the host's own, or nobody says."""
        if not self.user:
            return None
        try:
            with anyio.move_on_after(self.timeout):
                async with BusLink("system", opener=self.link.opener) as host:
                    found = await state.read_unit(host, f"user@{os.geteuid()}.service")
                    return found.stop_timeout if found else None
        except EngineError:
            pass  # a user need not be able to ask
        return None

    async def _bounded(self, function: Callable[..., Awaitable[T]], *args: Any) -> T:
        try:
            with anyio.fail_after(self.timeout):
                return await function(self.link, *args)
        except TimeoutError:
            raise CommandTimeout("systemd", self.timeout) from None

    # ------------------------------------------------------------------ jobs

    async def run_job(self, unit: str, member: str, signature: str, body: list[Any]) -> None:
        """Call what queues a job and wait for its end.

        Raises:
            DBusError: the call was refused. ScopeError: the job did not succeed.
        """
        async with self.link.signals(*SYSTEMD, "JobRemoved") as removed:
            await state.subscribe(self.link)
            job = (await self.link.call(*SYSTEMD, member, signature, body))[0]
            async for message in removed:
                _id, path, _unit, result = message.body
                if path == job:
                    if result not in ("done", "skipped"):
                        raise ScopeError(f"systemd could not start {unit}: the job ended as '{result}'")
                    return
        raise ScopeError(f"the bus was lost while {unit} was being started")


def _remove_dropin(path: Path) -> None:
    try:
        remove_file(path)
        path.parent.rmdir()
    except OSError:
        pass  # the folder holds others' drop-ins, or is gone already
