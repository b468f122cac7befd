"""Where disks are: on the buses of VMware's machines, as a .vmx and as a domain say it.

Sources: libvirt's "Domain XML format" for names and addresses of disks; VMware's "Configuration Maximums" for how many
fit on each bus. That a SCSI bus may have 64 disks came after the names of disks had been given out to 15 on each: those
beyond are named as if they were on the next.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from engine.conf.kinds.domain.device import DriveAddress
from engine.conf.kinds.domain.disk import BaseDisk

__all__ = ["BUSES", "Bus", "BusName", "Slot", "disk_name", "slot_at", "slot_named", "slot_of", "slots"]

BusName: TypeAlias = Literal["scsi", "sata", "ide", "fdc"]


class Bus(msgspec.Struct, frozen=True):
    """One kind of bus.

    Attributes:
        name: libvirt's; vmx: VMware's. letters: what names of its disks begin with.
        controllers: how many there may be. units: the numbers on each (a SCSI controller is number 7 itself).
        names: how many names of disks each has for its own.
        hard_disk: the type of device that VMware calls a hard disk there.
    """

    name: BusName
    vmx: str
    letters: str
    controllers: int
    units: tuple[int, ...]
    names: int
    hard_disk: str = ""


BUSES: dict[str, Bus] = {
    bus.name: bus
    for bus in (
        Bus("scsi", "scsi", "sd", 4, (*range(7), *range(8, 64)), 15, "scsi-hardDisk"),
        Bus("sata", "sata", "sd", 4, (*range(30),), 30, "ata-hardDisk"),
        Bus("ide", "ide", "hd", 2, (0, 1), 2, "ata-hardDisk"),
        Bus("fdc", "floppy", "fd", 1, (0, 1), 2),
    )
}
_BUS_OF_NAME = {"sd": "scsi", "hd": "ide", "fd": "fdc"}


class Slot(msgspec.Struct, frozen=True):
    """One place for a disk."""

    bus: Bus
    controller: int
    unit: int

    @property
    def device(self) -> str:
        """VMware's name of it: ``scsi0:1``, ``floppy0``."""
        return f"{self.bus.vmx}{self.unit}" if self.bus.name == "fdc" else f"{self.controller_device}:{self.unit}"

    @property
    def controller_device(self) -> str:
        """VMware's name of its controller: ``scsi0``."""
        return f"{self.bus.vmx}{self.controller}"

    @property
    def index(self) -> int:
        """Which name of its bus's it has."""
        return self.controller * self.bus.names + self.bus.units.index(self.unit)

    @property
    def dev(self) -> str:
        """The domain's name of the disk: ``sdb``."""
        return disk_name(self.bus.letters, self.index)

    @property
    def address(self) -> DriveAddress:
        """The two IDE channels are buses of one controller for a domain, and two controllers for VMware."""
        controller, bus = (0, self.controller) if self.bus.name == "ide" else (self.controller, 0)
        return DriveAddress(type_="drive", controller=controller, bus=bus, target=0, unit=self.unit)


def slots(bus: Bus) -> Iterator[Slot]:
    """All places of a bus, in order."""
    for controller in range(bus.controllers):
        for unit in bus.units:
            yield Slot(bus, controller, unit)


def slot_of(disk: BaseDisk) -> Slot | None:
    """The place of a disk, by its address or else its name; None: there is none."""
    bus = BUSES.get(disk.target.bus or _BUS_OF_NAME.get(disk.target.dev[:2], ""))
    if bus is None:
        return None
    return slot_at(bus, disk.address) if isinstance(disk.address, DriveAddress) else slot_named(bus, disk.target.dev)


def slot_at(bus: Bus, address: DriveAddress) -> Slot | None:
    """The place at an address; None: VMware has none there."""
    controller, unit = int(address.controller or 0), int(address.unit or 0)
    channel = int(address.bus or 0)
    if bus.name == "ide" and controller == 0:
        controller, channel = channel, 0
    if channel or address.target:
        return None
    return _slot(bus, controller, unit)


def slot_named(bus: Bus, dev: str) -> Slot | None:
    """The place of a disk of that name, such as ``sdb``; None: it is no such name, or there is no place for it."""
    index = _index(dev.removeprefix(bus.letters)) if dev.startswith(bus.letters) else None
    if index is None:
        return None
    controller, place = divmod(index, bus.names)
    return _slot(bus, controller, bus.units[place])


def _slot(bus: Bus, controller: int, unit: int) -> Slot | None:
    return Slot(bus, controller, unit) if controller < bus.controllers and unit in bus.units else None


def disk_name(prefix: str, index: int) -> str:
    """Of the disks that begin with ``sd``, 0 is sda, 25 is sdz, 26 is sdaa."""
    text = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        text = chr(ord("a") + letter) + text
    return prefix + text


def _index(letters: str) -> int | None:
    if not 1 <= len(letters) <= 4 or not (letters.isascii() and letters.isalpha() and letters.islower()):
        return None
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("a") + 1
    return index - 1
