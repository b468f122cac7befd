"""How one domain gets into a scope: machined, else systemd; the first name that is free; without what the host refuses.

Sources: org.freedesktop.machine1(5), org.freedesktop.systemd1(5); tried with systemd 252. ``CreateMachine*`` answers
when the job of the scope is done, ``StartTransientUnit`` at once: the signal ``JobRemoved`` then tells how it went.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Protocol
from uuid import UUID

import anyio
import msgspec

from engine.abc import ScopeInfo
from engine.errors import DBusError, ScopeError
from engine.systemd import state
from engine.systemd.link import BusLink
from engine.systemd.scope import (
    MACHINE_SLICE,
    Property,
    ScopeRequest,
    machine_names,
    scope_properties,
    scope_unit,
    transient_properties,
)
from engine.systemd.state import SYSTEMD

__all__ = ["Attempt"]

_MACHINED = ("org.freedesktop.machine1", "/org/freedesktop/machine1", "org.freedesktop.machine1.Manager")
_ERROR = "org.freedesktop.DBus.Error."
_UNKNOWN_METHOD = _ERROR + "UnknownMethod"
_EXISTS = frozenset({"org.freedesktop.machine1.MachineExists", "org.freedesktop.systemd1.UnitExists"})
_BAD_PROPERTY = frozenset(
    _ERROR + name for name in ("InvalidArgs", "PropertyReadOnly", "UnknownProperty", "NotSupported")
)


class Manager(Protocol):
    """What an attempt needs of the ``ScopeManager``."""

    link: BusLink
    timeout: float
    engine_unit: str

    async def forget(self, unit: str) -> None: ...

    async def run_job(self, unit: str, member: str, signature: str, body: list[Any]) -> None: ...


class Attempt:
    """One domain's way into a scope."""

    def __init__(self, manager: Manager, request: ScopeRequest) -> None:
        self.manager = manager
        self.link = manager.link
        self.request = request
        self.prepared = False
        first, second = machine_names(request.connection, request.domain, request.uuid)
        digest = second[-8:]
        # the last follows from no definition, so nobody can have ordered anything by it before
        self.names = tuple(dict.fromkeys((first, second, f"virengine-{digest}-{request.leader}")))
        self.units = [scope_unit(name) for name in self.names]
        self.refused: set[str] = set()
        self.method = ""

    async def prepare(self) -> None:
        """What the properties need, and no drop-in of an earlier run may hold."""
        for unit in self.units:
            await self.manager.forget(unit)
        if not self.request.engine_unit:
            self.request = msgspec.structs.replace(self.request, engine_unit=self.manager.engine_unit)
        self.prepared = True

    async def machined(self) -> ScopeInfo:
        """``CreateMachineWithNetwork``, or of an old machined ``CreateMachine``."""
        self.method = "CreateMachineWithNetwork"
        try:
            return await self._first_free(self._create_machine)
        except DBusError as exc:
            if exc.name != _UNKNOWN_METHOD:
                raise
        self.method = "CreateMachine"
        return await self._first_free(self._create_machine)

    async def systemd(self) -> ScopeInfo:
        """``StartTransientUnit``."""
        self.method = "StartTransientUnit"
        return await self._first_free(self._start_transient)

    async def _create_machine(self, name: str, unit: str) -> str:
        request = self.request
        driver = request.connection.partition(":")[0].partition("+")[0]
        body: list[Any] = [name, UUID(request.uuid).bytes, f"virengine-{driver}", "vm", request.leader, ""]
        network = self.method == "CreateMachineWithNetwork"
        if network:
            body.append(list(request.interfaces))
        body.append(self._given(scope_properties(request, unit)))
        signature = "sayssus" + ("ai" if network else "") + "a(sv)"
        path = (await self.link.call(*_MACHINED, self.method, signature, body))[0]
        return str(await self.link.get(_MACHINED[0], path, "org.freedesktop.machine1.Machine", "Unit"))

    async def _start_transient(self, name: str, unit: str) -> str:
        body = [unit, "fail", self._given(transient_properties(self.request, unit)), []]
        await self.manager.run_job(unit, "StartTransientUnit", "ssa(sv)a(sa(sv))", body)
        return unit

    async def _first_free(self, make: Callable[[str, str], Awaitable[str]]) -> ScopeInfo:
        """Make it under the first name that can be had; every turn of the inner loop takes something away."""
        for name, unit in zip(self.names, self.units, strict=True):
            waited = False
            while True:
                try:
                    return self._made(await make(name, unit))
                except DBusError as exc:
                    if exc.name in _EXISTS:
                        if ours := await self._ours():
                            return self._made(ours)
                        if waited or not await self._freed(name, unit):
                            break
                        waited = True
                    elif not self._refuses(exc):
                        raise
        raise ScopeError(f"all names are taken: {', '.join(self.names)}")

    def _made(self, unit: str) -> ScopeInfo:
        without = f"made without {', '.join(sorted(self.refused))}: the host refuses it" if self.refused else ""
        return ScopeInfo(unit=unit, method=self.method, reason=without)

    async def _ours(self) -> str:
        """The domain is in one of its scopes already: an answer was lost, or this is a repair."""
        unit, _ = await state.unit_of_process(self.link, self.request.leader)
        return unit if unit in self.units else ""

    async def _freed(self, name: str, unit: str) -> bool:
        """Wait for a scope that is about to go (this domain's last run).

        False: it is alive, takes too long, or has ended and is kept in memory because others are ordered by it.
        """
        with anyio.move_on_after(self.manager.timeout / 4):
            await state.subscribe(self.link)
            path, active = await state.loaded_unit(self.link, unit)
            if active == "failed":
                await self.link.call(*SYSTEMD, "ResetFailedUnit", "s", [unit])
            elif active == "active" and (await self.link.call(*SYSTEMD, "GetUnitProcesses", "s", [unit]))[0]:
                return False
            elif path:
                await self._until_inactive(unit, path)
            path, _ = await state.loaded_unit(self.link, unit)
            return not path and (self.method == "StartTransientUnit" or await self._unregistered(name))
        return False

    async def _until_inactive(self, unit: str, path: str) -> None:
        changes = (SYSTEMD[0], path, "org.freedesktop.DBus.Properties", "PropertiesChanged")
        async with self.link.signals(*changes) as changed:
            _, active = await state.loaded_unit(self.link, unit)
            while active not in ("", "inactive", "failed"):
                await changed.__anext__()
                _, active = await state.loaded_unit(self.link, unit)

    async def _unregistered(self, name: str) -> bool:
        """machined hears of it a moment after systemd."""
        async with self.link.signals(*_MACHINED, "MachineRemoved") as machines:
            try:
                await self.link.call(*_MACHINED, "GetMachine", "s", [name])
            except DBusError:
                return True
            async for message in machines:
                if message.body[0] == name:
                    break
        return True

    def _refuses(self, exc: DBusError) -> bool:
        """The error is about properties we can do without; they are left out from now on."""
        if exc.name not in _BAD_PROPERTY:
            return False
        left = [prop.name for prop in self._optional() if prop.name not in self.refused]
        named = [name for name in left if re.search(rf"\b{name}\b", exc.message)]
        self.refused.update(named or left)
        return bool(left)

    def _optional(self) -> Iterator[Property]:
        properties = transient_properties(self.request, "") if self.method == "StartTransientUnit" else ()
        return (prop for prop in properties or scope_properties(self.request, "") if prop.optional)

    def _given(self, properties: tuple[Property, ...]) -> list[Any]:
        from engine.util.dbus import Variant

        given = [
            (prop.name, Variant(prop.signature, prop.value)) for prop in properties if prop.name not in self.refused
        ]
        if "Slice" in self.refused:
            given.append(("Slice", Variant("s", MACHINE_SLICE)))
        return given
