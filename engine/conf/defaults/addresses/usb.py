"""USB ports: each device gets one, and hubs are added when there are too few.

Source: "Device Addresses", ``ports`` in "Controllers", and "Hub devices" of libvirt's "Domain XML format".
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from typing import Any

from engine.conf.defaults.addresses.draft import Draft, Part, fits
from engine.conf.kinds.domain.device import UsbAddress
from engine.conf.kinds.domain.input import Hub

__all__ = ["assign_usb_ports", "is_usb"]

_HUB_PORTS = 8
#: Hubs can be plugged into hubs, but not deeper than this.
_MOST_LEVELS = 4
#: By model of the controller: how many ports it has if it does not say. UHCI companions are ports of their master.
_PORTS = {
    None: 2, "piix3-uhci": 2, "piix4-uhci": 2, "vt82c686b-uhci": 2, "ehci": 6, "ich9-ehci1": 6, "ich9-uhci1": 2,
    "ich9-uhci2": 2, "ich9-uhci3": 2, "pci-ohci": 3, "nec-xhci": 4, "qemu-xhci": 4, "qusb1": 4, "qusb2": 4,
}  # fmt: skip
_SETTABLE = ("nec-xhci", "qemu-xhci", "qusb1", "qusb2")
_COMPANIONS = ("ich9-uhci1", "ich9-uhci2", "ich9-uhci3")


class _Ports:
    """The ports of a controller or hub, from 1, and the hubs in them."""

    def __init__(self, size: int, path: tuple[int, ...] = ()) -> None:
        self.size, self.path = size, path
        self.taken: set[int] = set()
        self.hubs: dict[int, _Ports] = {}
        self._with_room: dict[bool, list[int]] = {True: [], False: []}
        self._free = 1

    @property
    def takes_hubs(self) -> bool:
        return len(self.path) + 1 < _MOST_LEVELS

    def take(self, port: int, *, hub: bool) -> None:
        self.taken.add(port)
        if hub and self.takes_hubs:
            self.hubs[port] = _Ports(_HUB_PORTS, (*self.path, port))
            for ports in self._with_room.values():
                insort(ports, port, key=lambda each: -each)

    def next_free(self, *, hub: bool) -> tuple[_Ports, int] | None:
        """A port of its own, else of its hubs; one that was full once stays so, and is not looked at again."""
        while self._free <= self.size and self._free in self.taken:
            self._free += 1
        if self._free <= self.size and (self.takes_hubs or not hub):
            return self, self._free
        ports = self._with_room[hub]
        while ports:
            found = self.hubs[ports[-1]].next_free(hub=hub)
            if found is not None:
                return found
            ports.pop()
        return None


def assign_usb_ports(draft: Draft) -> None:
    """Give each USB device a port.

    Raises:
        ConfigError: there is no such port or bus, it is taken, or none is left.
    """
    buses = _buses(draft)
    devices = list(_devices(draft))
    chosen = [part for part in devices if fits(part, "usb") and part.address.port is not None]
    for part in sorted(chosen, key=lambda part: (part.field != "hubs", part.address.port.count("."))):
        _reserve(draft, part, buses)  # hubs before what is plugged into them
    _assign_all(draft, [part for part in devices if part.field == "hubs" and _is_wanted(part)], buses)
    _assign_all(draft, _added_hubs(draft, devices, buses), buses)
    _assign_all(draft, [part for part in devices if part.field != "hubs" and _is_wanted(part)], buses)


def _is_wanted(part: Part) -> bool:
    return part.address is None or (fits(part, "usb") and part.address.port is None)


def _buses(draft: Draft) -> dict[int, _Ports]:
    buses: dict[int, _Ports] = {}
    controllers = sorted(draft.controllers("usb"), key=lambda part: part.model in _COMPANIONS)
    for part in controllers:
        if part.model != "none":
            size = part.device.ports if part.model in _SETTABLE else None
            buses.setdefault(int(part.device.index or 0), _Ports(int(size or _PORTS[part.model])))
    return dict(sorted(buses.items()))


#: In the order in which they get their ports.
_ORDER = ("hubs", "hostdevs", "disks", "controllers", "inputs", "serials", "sounds", "redirdevs", "interfaces")


def is_usb(part: Part) -> bool:
    """Whether it is a USB device."""
    match part.field:
        case "hubs" | "redirdevs":
            return True
        case "hostdevs":
            return bool(part.type_ == "usb")
        case "controllers":
            return bool(part.type_ == "ccid")
        case "disks":
            return bool(part.device.target.bus == "usb")
        case "inputs":
            return getattr(part.device, "bus", None) == "usb"
        case "serials":
            return _target_type(part.device) == "usb-serial"
        case "sounds":
            return bool(part.model == "usb")
        case "interfaces":
            return part.model is not None and bool(part.model.type_ == "usb-net")
    return False


def _devices(draft: Draft) -> Iterator[Part]:
    """Network cards get no port by themselves."""
    for part in draft.of(*_ORDER):
        if is_usb(part) and (part.field != "interfaces" or fits(part, "usb")):
            yield part


def _target_type(device: Any) -> str | None:
    return device.target.type_ if device.target is not None else None


def _reserve(draft: Draft, part: Part, buses: dict[int, _Ports]) -> None:
    bus, path = int(part.address.bus), _path(draft, part)
    ports = _bus(draft, part, buses)
    for depth, number in enumerate(path[:-1]):
        if number not in ports.hubs:
            at = ".".join(map(str, path[: depth + 1]))
            raise draft.wrong(part, f"there is no hub at the port {at} of USB bus {bus}")
        ports = ports.hubs[number]
    shown = ".".join(map(str, path))
    if not 1 <= path[-1] <= ports.size:
        raise draft.wrong(part, f"USB bus {bus} has no port {shown}")
    if path[-1] in ports.taken:
        raise draft.wrong(part, f"port {shown} of USB bus {bus} is taken")
    ports.take(path[-1], hub=part.field == "hubs")
    part.put(address=UsbAddress(type_="usb", bus=bus, port=shown))


def _path(draft: Draft, part: Part) -> list[int]:
    numbers = part.address.port.split(".")
    if not all(number.isdecimal() for number in numbers):
        raise draft.wrong(part, f"the USB port {part.address.port} is not written in decimal numbers")
    return [int(number) for number in numbers]


def _bus(draft: Draft, part: Part, buses: dict[int, _Ports]) -> _Ports:
    bus = int(part.address.bus)
    if bus not in buses:
        raise draft.wrong(part, f"there is no USB controller with the index {bus}")
    return buses[bus]


def _added_hubs(draft: Draft, devices: list[Part], buses: dict[int, _Ports]) -> list[Part]:
    """As many hubs as it takes so that there is a port for each device, and one more."""
    hubs = sum(part.field == "hubs" for part in devices)
    lacking = len(devices) - sum(ports.size for ports in buses.values()) - hubs * _HUB_PORTS
    if lacking <= 0 or not buses:
        return []
    count = -(-(lacking + 1) // (_HUB_PORTS - 1))
    return [draft.add("hubs", Hub(type_="usb")) for _ in range(count)]


def _assign_all(draft: Draft, parts: list[Part], buses: dict[int, _Ports]) -> None:
    with_room = list(reversed(buses))
    for part in parts:
        if part.address is not None:
            _bus(draft, part, buses)
            chosen = [int(part.address.bus)]
        else:
            chosen = with_room
        found = None
        while chosen and (found := buses[chosen[-1]].next_free(hub=part.field == "hubs")) is None:
            chosen.pop()  # for good: what is full stays so
        if found is None:
            raise draft.wrong(part, "there is no USB port left for it")
        at, port = found
        at.take(port, hub=part.field == "hubs")
        shown = ".".join(map(str, (*at.path, port)))
        part.put(address=UsbAddress(type_="usb", bus=chosen[-1], port=shown))
