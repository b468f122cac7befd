"""Where disks are on IDE, SATA, SCSI and floppy controllers: it follows from what the guest is to call them.

Source: ``target`` in "Hard drives, floppy disks, CDROMs", and "Device Addresses", of libvirt's "Domain XML format".
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable

import msgspec

from engine.conf.defaults.addresses.draft import Draft, Part
from engine.conf.kinds.domain.device import DriveAddress

__all__ = ["assign_drives", "bus_of"]

_NAME = re.compile(r"(?:hd|sd|vd|xvd|ubd|fd)([a-z]+)[0-9]*")
#: Longer names are of no disk that there could be.
_MOST_LETTERS = 5
_BUSES = {"hd": "ide", "sd": "scsi", "vd": "virtio", "xvd": "xen", "fd": "fdc"}

#: Units of a SCSI controller that are used if nobody says which.
_SCSI_UNITS = 7
_MOST_CONTROLLERS = 100

#: (controller, bus, unit) of the disk of a number, by bus.
_PLACES: dict[str, Callable[[int], tuple[int, int, int]]] = {
    "ide": lambda n: (n // 4, n % 4 // 2, n % 2),
    "sata": lambda n: (n // 6, 0, n % 6),
    "scsi": lambda n: (n // _SCSI_UNITS, 0, n % _SCSI_UNITS),
    "fdc": lambda n: (n // 2, 0, n % 2),
}

_Key = tuple[str, int | None, int | None, int | None, int | None]


def bus_of(part: Part) -> str:
    """The bus of a disk; it follows from its name when it is left out."""
    target = part.device.target
    return str(target.bus or next((bus for name, bus in _BUSES.items() if target.dev.startswith(name)), ""))


def assign_drives(draft: Draft) -> None:
    """Give disks, and SCSI devices of the host, their places on controllers.

    The controllers need not be there yet: which are needed is known after that.

    Raises:
        ConfigError: two have the same place, or what a disk is called does not tell its place.
    """
    taken: dict[_Key, Part] = {}
    waiting: list[Part] = []
    for part in draft.of("disks", "hostdevs"):
        bus = _drive_bus(part)
        if not bus:
            continue
        if part.address is None and part.field == "hostdevs":
            waiting.append(part)
        else:
            _settle(draft, part, bus, taken)
    _assign_hostdevs(draft, waiting, taken)


def _drive_bus(part: Part) -> str:
    """ "": it has no drive address."""
    if part.address is not None and part.address.type_ != "drive":
        return ""
    if part.field == "disks":
        bus = bus_of(part)
        return bus if bus in _PLACES or part.address is not None else ""
    return "scsi" if part.type_ == "scsi" else ""


def _settle(draft: Draft, part: Part, bus: str, taken: dict[_Key, Part]) -> None:
    """A place that the user chose, or that the name of the disk tells."""
    address = part.address if part.address is not None else _place_of(draft, part, bus)
    address = _whole(address)
    key = (bus, address.controller, address.bus, address.target, address.unit)
    if key in taken:
        raise draft.wrong(part, f"another device has the drive address {':'.join(map(str, key[1:]))} on {bus}, too")
    taken[key] = part
    part.put(address=address)


def _place_of(draft: Draft, part: Part, bus: str) -> DriveAddress:
    name = part.device.target.dev
    match = _NAME.fullmatch(name)
    if match is None or len(match[1]) > _MOST_LETTERS:
        raise draft.wrong(
            part, f"'{name}' is not how disks are called, and so does not tell its place; it needs an address"
        )
    number = 0
    for letter in match[1]:
        number = number * 26 + ord(letter) - ord("a") + 1
    controller, line, unit = _PLACES[bus](number - 1)
    if controller >= _MOST_CONTROLLERS:
        raise draft.wrong(part, f"the disk '{name}' would be on the {bus} controller {controller}, and 99 is the last")
    return DriveAddress(type_="drive", controller=controller, bus=line, unit=unit)


def _whole(address: DriveAddress) -> DriveAddress:
    """With all its numbers, written as libvirt does."""
    return msgspec.structs.replace(
        address,
        controller=int(address.controller or 0),
        bus=int(address.bus or 0),
        target=int(address.target or 0),
        unit=int(address.unit or 0),
    )


def _assign_hostdevs(draft: Draft, waiting: list[Part], taken: dict[_Key, Part]) -> None:
    """The next free unit of the SCSI controllers in their order, then of further ones."""
    used: dict[int | None, set[int | None]] = defaultdict(set)
    for _, controller, bus, target, unit in (key for key in taken if key[0] == "scsi"):
        if bus == 0 and target == 0:
            used[controller].add(unit)
    there = [int(part.device.index or 0) for part in draft.controllers("scsi")]
    order = [*there, *(n for n in range(_MOST_CONTROLLERS) if n not in there and n >= len(there))]
    places = ((n, unit) for n in order for unit in range(_SCSI_UNITS) if unit not in used[n])
    for part in waiting:
        place = next(places, None)
        if place is None:
            raise draft.wrong(part, "there is no SCSI unit left for it")
        part.put(address=_whole(DriveAddress(type_="drive", controller=place[0], unit=place[1])))
