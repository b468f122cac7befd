"""Where disks are: on the buses of VMware's machines, as a .vmx and as a domain say it.

Sources: libvirt's "Domain XML format" for names and addresses of disks; VMware's "Configuration Maximums" for how many
fit on each bus.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, TypeAlias

import msgspec

from engine.conf.kinds.domain.device import DriveAddress

__all__ = ["BUSES", "SCSI_MODELS", "Bus", "BusName", "Slot", "slot_at", "slot_named", "slots"]

BusName: TypeAlias = Literal["scsi", "sata", "ide", "fdc"]

#: How libvirt calls a SCSI controller, by how VMware does.
SCSI_MODELS: dict[str, Literal["buslogic", "lsilogic", "lsisas1068", "vmpvscsi"]] = {
    "buslogic": "buslogic",
    "lsilogic": "lsilogic",
    "lsisas1068": "lsisas1068",
    "pvscsi": "vmpvscsi",
}


class Bus(msgspec.Struct, frozen=True):
    """One kind of bus.

    Attributes:
        name: libvirt's; vmx: VMware's. letters: what names of its disks begin with.
        controllers: how many there may be. units: the numbers on each (a SCSI controller is number 7 itself).
        hard_disk: the type of device that VMware calls a hard disk there.
    """

    name: BusName
    vmx: str
    letters: str
    controllers: int
    units: tuple[int, ...]
    hard_disk: str = ""


BUSES: dict[str, Bus] = {
    bus.name: bus
    for bus in (
        Bus("scsi", "scsi", "sd", 4, (*range(7), *range(8, 16)), "scsi-hardDisk"),
        Bus("sata", "sata", "sd", 4, (*range(30),), "sata-hardDisk"),
        Bus("ide", "ide", "hd", 2, (0, 1), "ata-hardDisk"),
        Bus("fdc", "floppy", "fd", 1, (0, 1)),
    )
}


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
    def dev(self) -> str:
        """The domain's name of the disk: ``sdb``."""
        index = self.controller * len(self.bus.units) + self.bus.units.index(self.unit)
        return self.bus.letters + _letters(index)

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
    controller, place = divmod(index, len(bus.units))
    return _slot(bus, controller, bus.units[place])


def _slot(bus: Bus, controller: int, unit: int) -> Slot | None:
    return Slot(bus, controller, unit) if controller < bus.controllers and unit in bus.units else None


def _letters(index: int) -> str:
    """0 is a, 25 is z, 26 is aa."""
    text = ""
    index += 1
    while index:
        index, letter = divmod(index - 1, 26)
        text = chr(ord("a") + letter) + text
    return text


def _index(letters: str) -> int | None:
    if not 1 <= len(letters) <= 4 or not (letters.isascii() and letters.isalpha() and letters.islower()):
        return None
    index = 0
    for letter in letters:
        index = index * 26 + ord(letter) - ord("a") + 1
    return index - 1
