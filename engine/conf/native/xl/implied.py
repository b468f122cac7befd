"""What Xen's guests have without it being said: buses, places on them, a mouse and a keyboard, a balloon.

libvirt adds these to what it reads, and shows them; its "Domain XML format" tells which.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Literal, TypeVar

import msgspec

from engine.conf.kinds.domain.controller import Controller, IdeController, PlainController, ScsiController
from engine.conf.kinds.domain.device import DriveAddress
from engine.conf.kinds.domain.disk import BaseDisk
from engine.conf.kinds.domain.input import EmulatedInput, Input

__all__ = ["disk_controllers", "implied_inputs", "placed"]

_NAME = re.compile(r"(?:hd|sd|fd|xvd|vd)([a-z]{1,4})[0-9]*")
#: By bus: how many units it has, and how many buses a controller has.
_UNITS = {"ide": (2, 2), "scsi": (7, 1), "fdc": (2, 1), "sata": (6, 1)}
_MOST_CONTROLLERS = 99
AnyDisk = TypeVar("AnyDisk", bound=BaseDisk)


def placed(disk: AnyDisk) -> AnyDisk:
    """With its place on its controller, which follows from its name: hda is the first of the first bus."""
    units, buses = _UNITS.get(disk.target.bus or "", (0, 0))
    index = _index(disk.target.dev)
    if not units or index is None or index // (units * buses) > _MOST_CONTROLLERS:
        return disk
    address = DriveAddress(
        type_="drive",
        controller=index // (units * buses),
        bus=index // units % buses,
        target=0,
        unit=index % units,
    )
    return msgspec.structs.replace(disk, address=address)


def _index(name: str) -> int | None:
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    index = 0
    for letter in match[1]:
        index = index * 26 + ord(letter) - ord("a") + 1
    return index - 1


def disk_controllers(disks: Iterable[BaseDisk]) -> Iterator[Controller]:
    """As many of each bus as its disks need."""
    highest: dict[str, int] = {}
    for disk in disks:
        if isinstance(disk.address, DriveAddress):
            bus = disk.target.bus or ""
            highest[bus] = max(highest.get(bus, 0), int(disk.address.controller or 0))
    for index in range(highest.get("scsi", -1) + 1):
        yield ScsiController(type_="scsi", index=index)
    for index in range(highest.get("fdc", -1) + 1):
        yield PlainController(type_="fdc", index=index)
    for index in range(highest.get("ide", -1) + 1):
        yield IdeController(type_="ide", index=index)


def implied_inputs(hvm: bool) -> tuple[Input, ...]:
    bus: Literal["ps2", "xen"] = "ps2" if hvm else "xen"
    return EmulatedInput(type_="mouse", bus=bus), EmulatedInput(type_="keyboard", bus=bus)
