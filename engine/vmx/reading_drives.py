"""Disks, drives and their controllers, from a .vmx.

Sources: VMware's public lists of .vmx parameters for the types of devices; libvirt's "VMware ESX hypervisor driver" and
"Domain XML format" for what becomes of them. What stands for a drive of the client's computer is no part of a domain.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from engine.conf.kinds.domain.controller import Controller, IdeController, PlainController, ScsiController
from engine.conf.kinds.domain.disk import BlockDisk, Disk, DiskDriver, DiskTarget, FileDisk, Transient
from engine.conf.kinds.domain.storage import BlockSource, FileSource
from engine.vmx.buses import BUSES, Slot, disk_name, slots
from engine.vmx.files import FileNames
from engine.vmx.settings import Settings
from engine.vmx.words import AUTO_DETECT, CDROMS_OF_ESX, NO_MEDIUM, SCSI_MODELS, ScsiModel

__all__ = ["controllers", "disks"]

_NONPERSISTENT = ("independent-nonpersistent", "nonpersistent")

#: What a drive is: a hard disk's image; a CD's image; a drive of the host's; that with commands passed through.
Kind = Literal["disk", "image", "drive", "raw", "passthrough"]
_KINDS: dict[str, Kind] = {
    "cdrom-image": "image",
    "atapi-cdrom": "drive",
    "cdrom-raw": "raw",
    "scsi-passthru": "passthrough",
    "scsi-harddisk": "disk",
    "sata-harddisk": "disk",
    "ata-harddisk": "disk",
    "plaindisk": "disk",
    "rawdisk": "disk",
    "disk": "disk",
}


class Drive(msgspec.Struct, frozen=True):
    """One drive of the .vmx.

    Attributes:
        file: its file, or empty. line: where that is said, or that there is such a drive.
    """

    slot: Slot
    file: str
    line: int

    @property
    def device(self) -> str:
        """VMware's name of it."""
        return self.slot.device

    @property
    def detects(self) -> bool:
        return self.file.strip().lower() == AUTO_DETECT

    @property
    def has_medium(self) -> bool:
        return self.file.lower() not in ("", NO_MEDIUM.lower())


# ---------------------------------------------------------------------------- which there are


def disks(settings: Settings, files: FileNames) -> Iterator[Disk]:
    """All disks, in the order of their buses and places."""
    for bus in ("scsi", "sata", "ide"):
        yield from _named(_disks_on(settings, files, bus))
    yield from _floppies(settings, files)


def _named(found: Iterable[Disk]) -> Iterator[Disk]:
    """Each with a name of its own: where a disk beyond the 15 of the bus before has it, the next that is free."""
    taken: set[str] = set()
    last = 0
    for disk in found:
        target = disk.target
        while target.dev in taken:
            last += 1
            target = msgspec.structs.replace(target, dev=disk_name(target.dev[:2], last))
        taken.add(target.dev)
        yield disk if target is disk.target else msgspec.structs.replace(disk, target=target)


def _disks_on(settings: Settings, files: FileNames, name: str) -> Iterator[Disk]:
    bus = BUSES[name]
    numbers = list(settings.numbers_of(rf"{bus.vmx}(\d+):(\d+)"))
    places = {(slot.controller, slot.unit): slot for slot in slots(bus)}
    present = {slot.controller for slot in places.values() if _has_controller(settings, slot)}
    for place in numbers:
        device = f"{bus.vmx}{place[0]}:{place[1]}"
        if place not in places:
            settings.skip(device, "a domain of VMware's has no such place for a disk")
        elif not settings.flag(f"{device}.present"):
            settings.skip(device, "it is not present, so what is said of it is left out")
        elif place[0] not in present:
            settings.skip(device, f"{bus.vmx}{place[0]} is not present, so what is on it is left out")
        else:
            disk = _disk(settings, files, places[place])
            if disk is not None:
                yield disk


def _has_controller(settings: Settings, slot: Slot) -> bool:
    """IDE is always there."""
    return slot.bus.name == "ide" or settings.flag(f"{slot.controller_device}.present")


def controllers(settings: Settings, found: Iterable[Disk]) -> Iterator[Controller]:
    """Those that the disks need; of each kind, all up to the last that is needed."""
    highest: dict[str, int] = {}
    for disk in found:
        address, bus = disk.address, disk.target.bus or ""
        highest[bus] = max(highest.get(bus, 0), getattr(address, "controller", 0) or 0)
    for index in range(highest.get("scsi", -1) + 1):
        yield ScsiController(type_="scsi", index=index, model=_model(settings, f"scsi{index}"))
    if "fdc" in highest:
        yield PlainController(type_="fdc", index=0)
    if "ide" in highest:
        yield IdeController(type_="ide", index=0)
    for index in range(highest.get("sata", -1) + 1):
        yield PlainController(type_="sata", index=index)
    for bus in ("scsi", "sata"):
        for (number,) in settings.numbers_of(rf"{bus}(\d+)"):
            if number > highest.get(bus, -1):
                settings.skip(f"{bus}{number}", "nothing is on it, so it is left out")


def _model(settings: Settings, device: str) -> ScsiModel | None:
    word = settings.word(f"{device}.virtualDev")
    if word and word not in SCSI_MODELS:
        settings.warn(f"{device}.virtualDev", "the model is none that a domain can have, and is left out")
    if settings.word(f"{device}.sharedBus") not in ("", "none"):
        settings.warn(f"{device}.sharedBus", "a domain can't share a bus with others")
    return SCSI_MODELS.get(word)


# ---------------------------------------------------------------------------- one of them


def _disk(settings: Settings, files: FileNames, slot: Slot) -> Disk | None:
    if settings.flag(f"{slot.device}.clientDevice"):
        settings.skip(slot.device, "it is a drive of the client's, which is no part of a domain")
        return None
    drive = _drive(settings, slot)
    kind = _kind(settings, drive)
    if kind is None or (kind == "disk" and not drive.file):
        settings.skip(slot.device, "what it is does not follow from its type and file name, so it is left out")
        return None
    _connected(settings, slot.device)
    if kind == "disk":
        return _hard_disk(settings, files, drive)
    _warn_of_detecting(settings, drive, detects=drive.detects and kind != "image")
    return _image(settings, files, drive) if kind == "image" else _drive_of_host(drive, kind)


def _drive(settings: Settings, slot: Slot) -> Drive:
    key = f"{slot.device}.fileName"
    return Drive(slot, settings.text(key) or "", settings.line(key) or settings.line(f"{slot.device}.present"))


def _kind(settings: Settings, drive: Drive) -> Kind | None:
    """By the type that is said, or by the file; an image of a hard disk is never anything else."""
    word = settings.word(f"{drive.device}.deviceType")
    if drive.file.lower().endswith(".vmdk"):
        if word and _KINDS.get(word) != "disk":
            settings.warn(f"{drive.device}.deviceType", "it is taken for a hard disk, since its file is one")
        return "disk"
    if word:
        return _KINDS.get(word)
    if drive.file.lower().endswith(".iso"):
        return "image"
    return "drive" if drive.detects or drive.file.startswith("/dev/") else None


def _connected(settings: Settings, device: str) -> None:
    if not settings.flag(f"{device}.startConnected", default=True):
        settings.warn(f"{device}.startConnected", "a domain's devices are connected from the start")


def _warn_of_detecting(settings: Settings, drive: Drive, *, detects: bool) -> None:
    if settings.flag(f"{drive.device}.autodetect") and not detects:
        settings.warn(f"{drive.device}.autodetect", "no drive is looked for, so it is left out")


def _hard_disk(settings: Settings, files: FileNames, drive: Drive) -> Disk:
    key = f"{drive.device}.fileName"
    name = files.from_vmx(drive.file)
    if name is None:
        settings.refuse(key, "is in a datastore that is not there")
    mode = settings.word(f"{drive.device}.mode")
    if mode not in ("", "persistent", *_NONPERSISTENT):
        settings.warn(f"{drive.device}.mode", "a domain does not say whether snapshots leave a disk out")
    through = settings.flag(f"{drive.device}.writeThrough")
    return FileDisk(
        line=drive.line,
        type_="file",
        device="disk",
        driver=DiskDriver(cache="writethrough") if through else None,
        source=FileSource(file=name, line=drive.line),
        target=DiskTarget(dev=drive.slot.dev, bus=drive.slot.bus.name),
        transient=Transient() if mode in _NONPERSISTENT else None,
        address=drive.slot.address,
    )


def _image(settings: Settings, files: FileNames, drive: Drive) -> Disk:
    name = files.from_vmx(drive.file) if drive.has_medium else None
    if name is None and drive.has_medium:
        settings.warn(f"{drive.device}.fileName", "its datastore is not there, so the drive is left empty")
    return FileDisk(
        line=drive.line,
        type_="file",
        device="cdrom",
        source=None if name is None else FileSource(file=name, line=drive.line),
        target=DiskTarget(dev=drive.slot.dev, bus=drive.slot.bus.name),
        readonly=True,
        address=drive.slot.address,
    )


def _drive_of_host(drive: Drive, kind: Kind) -> Disk:
    return BlockDisk(
        line=drive.line,
        type_="block",
        device="cdrom" if kind == "drive" else "lun",
        source=_medium(drive),
        target=DiskTarget(dev=drive.slot.dev, bus=drive.slot.bus.name),
        readonly=kind != "passthrough" or drive.file.startswith(CDROMS_OF_ESX),
        address=drive.slot.address,
    )


def _medium(drive: Drive) -> BlockSource | None:
    """The drive of the host's."""
    if drive.detects:
        return BlockSource(startup_policy="optional")
    return BlockSource(dev=drive.file, line=drive.line) if drive.has_medium else None


# ---------------------------------------------------------------------------- floppy drives


def _floppies(settings: Settings, files: FileNames) -> Iterator[Disk]:
    places = {slot.unit: slot for slot in slots(BUSES["fdc"])}
    for (number,) in settings.numbers_of(r"floppy(\d+)"):
        device = f"floppy{number}"
        if not settings.flag(f"{device}.present") or number not in places:
            settings.skip(device, "it is not present, so what is said of it is left out")
        elif settings.flag(f"{device}.clientDevice"):
            settings.skip(device, "it is a drive of the client's, which is no part of a domain")
        else:
            yield _floppy(settings, files, _drive(settings, places[number]))


def _floppy(settings: Settings, files: FileNames, drive: Drive) -> Disk:
    target = DiskTarget(dev=drive.slot.dev, bus="fdc")
    _connected(settings, drive.device)
    _warn_of_detecting(settings, drive, detects=drive.detects)
    if settings.word(f"{drive.device}.fileType") == "file":
        name = files.from_vmx(drive.file) if drive.has_medium else None
        source = None if name is None else FileSource(file=name, line=drive.line)
        return FileDisk(
            line=drive.line, type_="file", device="floppy", source=source, target=target, address=drive.slot.address
        )
    medium = _medium(drive) or BlockSource()
    return BlockDisk(
        line=drive.line, type_="block", device="floppy", source=medium, target=target, address=drive.slot.address
    )
