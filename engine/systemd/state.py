"""What systemd knows of its units, as plain data (org.freedesktop.systemd1(5))."""

from __future__ import annotations

from typing import Any

import anyio
import msgspec

from engine.errors import DBusError, EngineError
from engine.systemd.link import BusLink

__all__ = [
    "LOGIND",
    "SYSTEMD",
    "UnitState",
    "inhibit_delay",
    "list_units",
    "loaded_unit",
    "read_unit",
    "subscribe",
    "unit_of_process",
]

SYSTEMD = ("org.freedesktop.systemd1", "/org/freedesktop/systemd1", "org.freedesktop.systemd1.Manager")
LOGIND = ("org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager")
_UNIT = "org.freedesktop.systemd1.Unit"
_NO_UNIT = ("org.freedesktop.systemd1.NoSuchUnit", "org.freedesktop.DBus.Error.UnknownObject")
_INFINITY = (1 << 64) - 1
#: Asked at once when many units are read: enough to hide the way there and back, too few to flood the bus.
_AT_ONCE = 16


class UnitState(msgspec.Struct, frozen=True, kw_only=True):
    """One unit as it is now.

    Attributes:
        name: of the unit.
        state: ``active`` | ``activating`` | ``deactivating`` | ``inactive`` | ``failed`` | ``reloading``.
        after, before: units it is ordered after and before.
        stop_timeout: seconds it is given to stop; None: not of a kind that has one; ``inf``: for ever.
        enabled: it is started with the host.
    """

    name: str
    state: str
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    stop_timeout: float | None = None
    enabled: bool = False

    @property
    def active(self) -> bool:
        """It is up (also while it reloads)."""
        return self.state in ("active", "reloading")


async def read_unit(link: BusLink, name: str, path: str = "") -> UnitState | None:
    """The unit, read from disk if need be; None: there is no such unit."""
    try:
        if not path:
            path = str((await link.call(*SYSTEMD, "LoadUnit", "s", [name]))[0])
        facts = await link.get_all(SYSTEMD[0], path, _UNIT)
        if facts["LoadState"] in ("not-found", "masked") and facts["ActiveState"] == "inactive":
            return None
        kind = {"scope": "Scope", "service": "Service"}.get(name.rpartition(".")[2])
        timeout = kind and await link.get(SYSTEMD[0], path, f"org.freedesktop.systemd1.{kind}", "TimeoutStopUSec")
    except DBusError as exc:
        if exc.name in _NO_UNIT:
            return None  # it went while we asked
        raise
    return UnitState(
        name=name,
        state=facts["ActiveState"],
        after=tuple(facts["After"]),
        before=tuple(facts["Before"]),
        stop_timeout=None if kind is None else _seconds(timeout),
        enabled=str(facts.get("UnitFileState", "")).startswith("enabled"),
    )


async def list_units(link: BusLink, pattern: str) -> list[UnitState]:
    """The loaded, living units whose names match the glob.

    Raises:
        ScopeError: systemd can't be reached. DBusError: it refuses.
    """
    alive = ["active", "activating", "reloading", "deactivating"]
    rows = (await link.call(*SYSTEMD, "ListUnitsByPatterns", "asas", [alive, [pattern]]))[0]
    found: dict[str, UnitState | None] = {}
    failed: list[EngineError] = []
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def read(name: str, path: str) -> None:
        async with limit:
            try:
                found[name] = await read_unit(link, name, path)
            except EngineError as exc:
                # the first says why, and out of the group it would be one error in a group of them
                failed.append(exc)
                tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        for row in rows:
            tasks.start_soon(read, row[0], row[6])
    if failed:
        raise failed[0]
    return [state for _, state in sorted(found.items()) if state is not None]


async def loaded_unit(link: BusLink, name: str) -> tuple[str, str]:
    """Object path and state of a unit systemd has in memory; two empty strings when it has not."""
    try:
        path = str((await link.call(*SYSTEMD, "GetUnit", "s", [name]))[0])
        return path, str(await link.get(SYSTEMD[0], path, _UNIT, "ActiveState"))
    except DBusError as exc:
        if exc.name in _NO_UNIT:
            return "", ""
        raise


async def subscribe(link: BusLink) -> None:
    """Have systemd send its signals to us (it does to nobody who has not asked)."""
    try:
        await link.call(*SYSTEMD, "Subscribe")
    except DBusError as exc:
        if exc.name != "org.freedesktop.systemd1.AlreadySubscribed":
            raise


async def unit_of_process(link: BusLink, pid: int) -> tuple[str, str]:
    """Name and state of the unit a process is in; two empty strings when it is in none."""
    try:
        path = (await link.call(*SYSTEMD, "GetUnitByPID", "u", [pid]))[0]
        facts = await link.get_all(SYSTEMD[0], path, _UNIT)
    except DBusError:
        return "", ""
    return str(facts["Id"]), str(facts["ActiveState"])


async def inhibit_delay(link: BusLink) -> float | None:
    """Seconds: logind's ``InhibitDelayMaxSec``; None: nobody says."""
    try:
        return _seconds(await link.get(*LOGIND, "InhibitDelayMaxUSec"))
    except DBusError:
        return None


def _seconds(microseconds: Any) -> float:
    return float("inf") if microseconds >= _INFINITY else microseconds / 1_000_000
