"""What must be unique in a domain document, and what must be there because something else names it.

Source: libvirt's "Domain XML format", which says of each that it is refused; MAC addresses apart, of which libvirt
takes two that are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TypeAlias

from engine.conf.kinds.domain.device import Device, DriveAddress, PciAddress, UsbAddress
from engine.conf.nodes.node import Node

if TYPE_CHECKING:
    from engine.conf.kinds.domain.devices import Devices

__all__ = ["unsound"]

#: The node, the reason, the severity.
Unsound: TypeAlias = "tuple[Node, str, str]"


def unsound(devices: Devices, *, boots: bool, iothreads: Container[int]) -> Iterator[Unsound]:
    """All in a domain that clashes, or names what is not there.

    Args:
        boots: its ``<os>`` says what is booted. iothreads: the numbers of its threads for the I/O of disks.
    """
    everything = list(_all(devices))
    yield from _twice(devices.disks, lambda disk: disk.target.dev, "the target '{}' is another disk's as well")
    yield from _twice(
        devices.controllers,
        lambda each: None if each.index is None or _is_companion(each) else (each.type_, each.index),
        "there is another {0[0]} controller with the index {0[1]}",
    )
    yield from _twice(everything, _alias, "the alias '{}' is another device's as well")
    yield from _twice(everything, _boot_order, "the boot order {} is another device's as well")
    yield from _twice(everything, _place, "another device has the same address")
    yield from _twice(devices.interfaces, _mac, "the MAC address {} is another interface's as well", "warning")
    yield from _both_boots(everything) if boots else ()
    yield from _iothreads(devices, iothreads)
    yield from _usb_buses(devices, everything)


def _is_companion(controller: Any) -> bool:
    """A USB controller for slow devices, which has the index of the one for fast devices."""
    return getattr(controller, "master", None) is not None or "uhci" in str(getattr(controller, "model", ""))


def _all(devices: Devices) -> Iterator[Node]:
    for name in devices.__struct_fields__:
        value = getattr(devices, name)
        if isinstance(value, tuple):
            yield from value
        elif isinstance(value, Node):
            yield value


def _twice(nodes: Iterable[Any], key: Callable[[Any], Any], reason: str, severity: str = "error") -> Iterator[Unsound]:
    """Those of which the key, if there is one, was another's before."""
    seen: set[Any] = set()
    for node in nodes:
        value = key(node)
        if value is None:
            continue
        if value in seen:
            yield node, reason.format(value), severity
        seen.add(value)


def _alias(node: Node) -> str | None:
    alias = getattr(node, "alias", None)
    return None if alias is None else str(alias.name)


def _boot_order(node: Node) -> int | None:
    boot = getattr(node, "boot", None)
    order = getattr(boot, "order", None)
    return None if order is None else int(order)


def _mac(node: Any) -> str | None:
    mac = getattr(node, "mac", None)
    return None if mac is None else str(mac.address).lower()


def _place(node: Node) -> tuple[Any, ...] | None:
    """The address, where only one device can have it."""
    if not isinstance(node, Device):
        return None
    match node.address:
        case PciAddress(domain=domain, bus=bus, slot=slot, function=function) if bus is not None and slot is not None:
            return "pci", domain or 0, int(bus), int(slot), function or 0
        case DriveAddress(controller=controller, bus=bus, target=target, unit=unit):
            on = getattr(getattr(node, "target", None), "bus", None)
            return None if on is None else ("drive", on, controller or 0, bus or 0, target or 0, unit or 0)
    return None


def _both_boots(devices: Iterable[Node]) -> Iterator[Unsound]:
    for node in devices:
        if _boot_order(node) is not None:
            yield node, "a boot order of its own can't go with the <boot> of <os>", "error"


def _iothreads(devices: Devices, known: Container[int]) -> Iterator[Unsound]:
    """A disk's thread must be one of those that there are."""
    for device in (*devices.disks, *devices.controllers):
        wanted = getattr(getattr(device, "driver", None), "iothread", None)
        if wanted is not None and int(wanted) not in known:
            yield device, f"there is no iothread {wanted}", "error"


def _usb_buses(devices: Devices, everything: Iterable[Node]) -> Iterator[Unsound]:
    """A USB device's bus must be a controller, where there are any: the first is added by itself."""
    buses = {int(each.index) for each in devices.controllers if each.type_ == "usb" and each.index is not None}
    for node in everything:
        address = getattr(node, "address", None)
        if buses and isinstance(address, UsbAddress) and int(address.bus) not in buses:
            yield node, f"there is no USB controller with the index {int(address.bus)}", "error"
