"""What a domain's systemd scope is called and what it is told: names, slice, ordering, limits.

Sources: systemd's "D-Bus interface of systemd" (scope properties, transient units), systemd.unit(5) (escaping),
machinectl(1) "Machine and image names", org.freedesktop.machine1(5).

Unlike libvirt's ``qemu-3-web`` a first name holds no running number: ``After=`` of one scope can then name the scope of
a domain that is about to start. It can't stay with that one name, though: systemd keeps a scope that ended in memory as
long as a living unit is ordered by it, and starts no scope twice. So a domain that is started again while others live
that are ordered by it gets another name, and its order to those is told from its side (``before``).
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from typing import Any

import msgspec

from engine.systemd.limits import NO_LIMITS, Limits

__all__ = [
    "AUTOSTART_SERVICE",
    "ENGINE_SERVICE",
    "ENGINE_SOCKET",
    "GUESTS_SERVICE",
    "SHUTDOWN_TARGET",
    "Property",
    "ScopeRequest",
    "UnitOrder",
    "escape",
    "machine_names",
    "order_units",
    "render_order",
    "scope_properties",
    "scope_unit",
    "scope_units",
    "slice_unit",
    "transient_properties",
    "valid_machine_name",
]

#: libvirt's libvirt-guests.service uses the same target, so guests of both are held by both.
SHUTDOWN_TARGET = "virt-guest-shutdown.target"
GUESTS_SERVICE = "virengine-guests.service"
AUTOSTART_SERVICE = "virengine-autostart.service"
ENGINE_SERVICE = "virengine.service"
ENGINE_SOCKET = "virengine.socket"
MACHINE_SLICE = "machine.slice"
_MACHINE_NAME_MAX = 64
#: machined's own limit for the tasks of one machine.
_TASKS_MAX = 16384

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:_.")
_LABELS = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?)*")


class Property(msgspec.Struct, frozen=True):
    """One unit property.

    Attributes:
        name, signature, value: as ``StartTransientUnit`` takes it, ``a(sv)``.
        optional: the scope is worth having without it.
    """

    name: str
    signature: str
    value: Any
    optional: bool = False


class ScopeRequest(msgspec.Struct, frozen=True, kw_only=True):
    """All that the scope of one domain depends on.

    Attributes:
        domain, uuid: of the domain; connection: its URI.
        leader: PID of the hypervisor's process.
        after: units of the domains it is ordered after, which stop only when it is gone: the living unit of one that
            runs, ``scope_units`` of one that does not.
        before: living units of the domains that are ordered after it.
        partition: ``<resource><partition>``, or "".
        stop_timeout: seconds the plan gives it to stop; 0: systemd's default.
        limits: of cpu, memory and io.
        interfaces: indexes of the host's network interfaces that belong to it.
        engine_unit: the service the engine runs in, "": the manager's (see ``ScopeManager``).
    """

    domain: str
    uuid: str
    connection: str
    leader: int
    after: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    partition: str = ""
    stop_timeout: float = 0.0
    limits: Limits = NO_LIMITS
    interfaces: tuple[int, ...] = ()
    engine_unit: str = ""


class UnitOrder(msgspec.Struct, frozen=True, kw_only=True):
    """The order of a live scope, as a drop-in can mend it.

    Attributes:
        after: units it is ordered after; stop_timeout: seconds, 0: as it is.
    """

    after: tuple[str, ...] = ()
    stop_timeout: float = 0.0


def escape(text: str) -> str:
    """``text`` as a part of a unit name, exactly as ``systemd-escape`` does it."""
    parts = []
    for index, byte in enumerate(text.encode()):
        if byte == 0x2F:
            parts.append("-")
        elif byte in _PLAIN and not (index == 0 and byte == 0x2E):
            parts.append(chr(byte))
        else:
            parts.append(f"\\x{byte:02x}")
    return "".join(parts)


def valid_machine_name(name: str) -> bool:
    """machined takes it: labels of letters, digits and inner dashes with dots between, 64 characters at most.

    Some versions take more (underscores, a dash at the end); what passes here passes in all of them.
    """
    return len(name) <= _MACHINE_NAME_MAX and _LABELS.fullmatch(name) is not None


def machine_names(connection: str, domain: str, uuid: str) -> tuple[str, str]:
    """The domain's machine name, and the one it takes when that is not free.

    ``qemu-web``, then ``qemu-web-1f2e3d4c``; the digits follow from connection and UUID. A domain whose name can't be a
    machine's name has the digits in both.
    """
    driver = connection.partition(":")[0].partition("+")[0]
    plain = f"{driver}-{domain}"
    digest = hashlib.blake2s(f"{connection}\0{uuid}".encode(), digest_size=4).hexdigest()
    sane = re.sub(r"[^A-Za-z0-9.]+", "-", plain)
    sane = re.sub(r"[-.]*\.[-.]*", ".", sane)[: _MACHINE_NAME_MAX - len(digest) - 1].strip("-.")
    unique = f"{sane}-{digest}"
    return (plain if valid_machine_name(plain) else unique), unique


def scope_unit(machine_name: str) -> str:
    """The unit machined gives to a machine of this name."""
    return f"machine-{escape(machine_name)}.scope"


def scope_units(connection: str, domain: str, uuid: str) -> tuple[str, ...]:
    """The units a domain that does not run yet may get. To order after a unit that never comes does no harm."""
    return tuple(dict.fromkeys(scope_unit(name) for name in machine_names(connection, domain, uuid)))


def slice_unit(partition: str) -> str:
    """The slice of a resource partition: ``/machine/production`` is ``machine-production.slice``.

    libvirt's rule: each part is escaped by itself. Without a leading slash it is taken to lie under ``/machine``.
    """
    if not partition.strip("/"):
        return MACHINE_SLICE
    parts = [part for part in partition.split("/") if part]
    if not partition.startswith("/"):
        parts.insert(0, "machine")
    return "-".join(escape(part) for part in parts) + ".slice"


def order_units(request: ScopeRequest, unit: str) -> tuple[str, ...]:
    """The ``After=`` of its scope.

    The project's own services are left out: the one starts guests while it is starting, so a scope that waited for it
    would wait for ever; the other has to stop first.
    """
    units: Iterable[str] = (request.engine_unit, *request.after)
    own = (GUESTS_SERVICE, AUTOSTART_SERVICE)
    return tuple(dict.fromkeys(name for name in units if name and name not in (unit, *own)))


def scope_properties(request: ScopeRequest, unit: str) -> tuple[Property, ...]:
    """What machined and systemd are both told."""
    microseconds = round(request.stop_timeout * 1_000_000)
    return (
        Property("Description", "s", f"Virtual machine {request.domain} ({request.connection})", True),
        Property("Slice", "s", slice_unit(request.partition), bool(request.partition)),
        Property("After", "as", list(order_units(request, unit))),
        Property("Before", "as", [SHUTDOWN_TARGET, *(name for name in request.before if name != unit)]),
        *((Property("TimeoutStopUSec", "t", microseconds),) if microseconds > 0 else ()),
        *(Property(name, signature, value, True) for name, signature, value in request.limits.properties()),
    )


def transient_properties(request: ScopeRequest, unit: str) -> tuple[Property, ...]:
    """What systemd is told when it is asked directly: also what machined would have added."""
    return (
        *scope_properties(request, unit),
        Property("PIDs", "au", [request.leader]),
        Property("Delegate", "b", True, True),
        Property("CollectMode", "s", "inactive-or-failed", True),
        Property("TasksMax", "t", _TASKS_MAX, True),
    )


def render_order(order: UnitOrder) -> str:
    """The drop-in that orders a live scope anew: ``After`` can't be set on one, but a reload reads drop-ins."""
    lines = ["# Put here by virengine: the order changed while this ran.", "[Unit]", f"Before={SHUTDOWN_TARGET}"]
    lines += [f"After={unit.replace('%', '%%')}" for unit in order.after]
    if order.stop_timeout > 0:
        lines += ["[Scope]", f"TimeoutStopSec={math.ceil(order.stop_timeout)}"]
    return "\n".join(lines) + "\n"
