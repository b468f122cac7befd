"""Disks, drives and their controllers, to a .vmx. Sources: as for reading them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from engine.conf.kinds.domain.controller import Controller, PlainController, ScsiController
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.disk import BlockDisk, Disk, DiskDriver, FileDisk
from engine.vmx.buses import BUSES, Slot, slot_of
from engine.vmx.files import FileNames
from engine.vmx.output import Output
from engine.vmx.words import AUTO_DETECT, CDROMS_OF_ESX, NO_MEDIUM, SCSI_MODELS, ScsiModel

__all__ = ["put_drives"]

#: The disks that have a place, with it.
Placed: TypeAlias = "list[tuple[Disk, Slot]]"

_VMX_MODELS: dict[str, str] = {name: word for word, name in SCSI_MODELS.items()}


def put_drives(
    output: Output, devices: Devices, files: FileNames, adapters: Mapping[str, str]
) -> tuple[Controller, ...]:
    """Controllers first, then disks; the controllers of SCSI and SATA that there are.

    Raises:
        UnsupportedConfig: the disks of a SCSI controller want it to be of several models.
    """
    placed = _placed(output, devices.disks)
    scsi = _scsi_models(output, devices.controllers, placed, adapters)
    for index, model in sorted(scsi.items()):
        output.put(f"scsi{index}.present", True)
        if model:
            output.put(f"scsi{index}.virtualDev", _VMX_MODELS[model])
    sata = _sata_controllers(devices.controllers, placed)
    for index in sata:
        output.put(f"sata{index}.present", True)
    for disk, slot in placed:
        _put_disk(output, disk, slot, files)
    _put_absent_floppies(output, {slot.device for _, slot in placed})
    return (
        *(ScsiController(type_="scsi", index=index, model=_known(model)) for index, model in scsi.items()),
        *(PlainController(type_="sata", index=index) for index in sata),
    )


def _put_absent_floppies(output: Output, used: set[str]) -> None:
    """VMware takes the first for present if nothing is said."""
    for device in ("floppy0", "floppy1"):
        if device not in used:
            output.put(f"{device}.present", False)


def _placed(output: Output, disks: Sequence[Disk]) -> Placed:
    found: Placed = []
    taken: set[str] = set()
    for disk in disks:
        slot = slot_of(disk)
        reason = _obstacle(disk, slot)
        if slot is not None and slot.device in taken:
            reason = f"another disk is at VMware's {slot.device} already, so it is left out"
        if slot is None or reason:
            output.skip(disk, reason)
            continue
        taken.add(slot.device)
        found.append((disk, slot))
    return found


def _obstacle(disk: Disk, slot: Slot | None) -> str:
    """Why the disk can't be in a .vmx."""
    if slot is None:
        return "VMware's machines have no such place for a disk, so it is left out"
    if not isinstance(disk, FileDisk | BlockDisk):
        return f"a .vmx has no disks of type='{disk.type_}', so it is left out"
    if (slot.bus.name == "fdc") is not (disk.device == "floppy"):
        return "floppy disks, and only these, are on bus='fdc', so it is left out"
    if disk.device in (None, "disk"):
        name = disk.source.file if isinstance(disk, FileDisk) and disk.source is not None else None
        if name is None or not name.lower().endswith(".vmdk"):
            return "VMware's hard disks are .vmdk files, so it is left out"
    return ""


# ---------------------------------------------------------------------------- controllers


def _known(model: str) -> ScsiModel | None:
    return SCSI_MODELS.get(_VMX_MODELS.get(model, ""))


def _sata_controllers(controllers: Sequence[Controller], placed: Placed) -> list[int]:
    said = {int(each.index or 0) for each in controllers if each.type_ == "sata"}
    used = {slot.controller for _, slot in placed if slot.bus.name == "sata"}
    return sorted(index for index in said | used if index < BUSES["sata"].controllers)


def _scsi_models(
    output: Output, controllers: Sequence[Controller], placed: Placed, adapters: Mapping[str, str]
) -> dict[int, str]:
    """The model of each SCSI controller; empty: as VMware likes."""
    models: dict[int, str] = {slot.controller: "" for _, slot in placed if slot.bus.name == "scsi"}
    for controller in controllers:
        if isinstance(controller, ScsiController):
            _add_controller(output, controller, models)
    for disk, slot in placed:
        if slot.bus.name == "scsi" and disk.driver is not None and disk.driver.name is not None:
            _add_model(output, disk.driver, disk.driver.name.lower(), models, slot.controller)
    for index, model in models.items():
        if model == "auto":
            models[index] = _detected(output, index, placed, adapters)
    return models


def _add_controller(output: Output, controller: ScsiController, models: dict[int, str]) -> None:
    index = int(controller.index or 0)
    model = controller.model or ""
    if index >= BUSES["scsi"].controllers:
        output.skip(controller, "VMware's machines have no more than 4 SCSI controllers, so it is left out")
    elif model and model not in ("auto", *_VMX_MODELS):
        output.refuse(controller, f"<controller type='scsi' model='{model}'>", "VMware has no such SCSI controller")
    else:
        models[index] = model or models.get(index, "")
        if model == "auto":
            output.skip(controller, field="model")


def _add_model(output: Output, driver: DiskDriver, name: str, models: dict[int, str], index: int) -> None:
    """The model that a disk's driver names, which is how it was said before there were controllers."""
    if name not in ("auto", *_VMX_MODELS):
        output.skip(driver, f"VMware has no SCSI controller '{name}'", field="name")
        return
    output.skip(driver, field="name")  # the controller has it
    if models[index] not in ("", "auto", name) and name != "auto":
        output.refuse(driver, f"<driver name='{name}'>", f"SCSI controller {index} is a {models[index]} already")
    models[index] = models[index] if name == "auto" and models[index] else name


def _detected(output: Output, index: int, placed: Placed, adapters: Mapping[str, str]) -> str:
    """The model that the images were made for."""
    found: dict[str, Disk] = {}
    for disk, slot in placed:
        if slot.bus.name == "scsi" and slot.controller == index:
            name = disk.source.file if isinstance(disk, FileDisk) and disk.source is not None else None
            word = adapters.get(name or "", "")
            found[SCSI_MODELS.get(word.lower(), word)] = disk
    known = sorted(found.keys() - {""})
    if len(known) > 1 or not set(known) <= set(_VMX_MODELS):
        output.refuse(found[known[0]], f"SCSI controller {index}", f"its disks are made for: {', '.join(known)}")
    if not known and found:
        output.warn(found[""], f"scsi{index}.virtualDev", "what its disks are made for is not known; lsilogic is taken")
    return known[0] if known else "lsilogic"


# ---------------------------------------------------------------------------- disks


def _put_disk(output: Output, disk: Disk, slot: Slot, files: FileNames) -> None:
    output.put(f"{slot.device}.present", True)
    if isinstance(disk, FileDisk):
        _put_file(output, disk, slot, files)
    elif isinstance(disk, BlockDisk):
        _put_block(output, disk, slot)
    if disk.device in (None, "disk"):
        _put_policy(output, disk, slot.device)


def _put_file(output: Output, disk: FileDisk, slot: Slot, files: FileNames) -> None:
    name = disk.source.file if disk.source is not None else None
    if slot.bus.name == "fdc":
        output.put(f"{slot.device}.fileType", "file")
    else:
        output.put(f"{slot.device}.deviceType", "cdrom-image" if disk.device == "cdrom" else slot.bus.hard_disk)
    output.put(f"{slot.device}.fileName", files.to_vmx(name) if name else NO_MEDIUM)


def _put_block(output: Output, disk: BlockDisk, slot: Slot) -> None:
    name = (disk.source.dev if disk.source is not None else None) or ""
    detects = not name and disk.source is not None and disk.source.startup_policy == "optional"
    if slot.bus.name == "fdc":
        output.put(f"{slot.device}.fileType", "device")
    else:
        output.put(f"{slot.device}.deviceType", _block_type(disk, slot, name))
    if detects:
        output.put(f"{slot.device}.autodetect", True)
    output.put(f"{slot.device}.fileName", name or (AUTO_DETECT if detects else NO_MEDIUM))


def _block_type(disk: BlockDisk, slot: Slot, name: str) -> str:
    if disk.device != "lun":
        return "atapi-cdrom"
    return "scsi-passthru" if slot.bus.name == "scsi" and name.startswith(CDROMS_OF_ESX) else "cdrom-raw"


def _put_policy(output: Output, disk: Disk, device: str) -> None:
    cache = disk.driver.cache if disk.driver is not None else None
    if cache == "writethrough":
        output.put(f"{device}.writeThrough", True)
    if disk.transient is not None:
        output.put(f"{device}.mode", "independent-nonpersistent")
