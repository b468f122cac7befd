"""Disks and file systems. Source: libvirt's "Domain XML format", Hard drives; Filesystems."""

from __future__ import annotations

from typing import Any

from engine.conf.defaults.context import Context, change, devices_of, each, with_devices
from engine.conf.defaults.tuning import without_zeroes
from engine.conf.defaults.written import in_unit
from engine.conf.kinds.common import HostPciAddress
from engine.conf.kinds.domain.disk import (
    BaseBackingStore,
    BaseDisk,
    BlockIo,
    Disk,
    DiskDriver,
    DiskTarget,
    FileDisk,
    FileMirror,
    ImageFormat,
    IoTune,
    Mirror,
    VolumeDisk,
)
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.filesystem import Filesystem, MountFilesystem
from engine.conf.kinds.domain.storage import FileSource, IscsiSource, NetworkHost, NvmeSource

__all__ = ["bus_of_name", "disks", "filesystems", "number_of_name", "whole_pci_address"]

#: The bus that a disk is on, by the beginning of its name.
_BUSES = {"hd": "ide", "sd": "scsi", "vd": "virtio", "fd": "fdc", "xvd": "xen", "ubd": "uml"}


def bus_of_name(name: str) -> str:
    """The bus of a disk that names none."""
    name = name.removeprefix("ioemu:")
    return next((bus for prefix, bus in _BUSES.items() if name.startswith(prefix)), "ide")


def number_of_name(name: str) -> int:
    """Which one a disk is of those whose names begin alike, from 0: its letters, as columns of sheets are counted."""
    name = name.removeprefix("ioemu:")
    letters = name.removeprefix(next((prefix for prefix in _BUSES if name.startswith(prefix)), "")).rstrip("0123456789")
    number = 0
    for letter in letters[:8]:
        number = number * 26 + ord(letter.lower()) - ord("a") + 1
    return max(number - 1, 0)


def disks(definition: DomainDocument, context: Context) -> DomainDocument:
    """Each with its bus, driver and format; those of a bus in the order of their names."""
    completed = [_disk(disk, context) for disk in devices_of(definition).disks]
    return with_devices(definition, disks=_in_order(completed))


def _in_order(completed: list[Disk]) -> tuple[Disk, ...]:
    """Bus by bus, as each first comes, and on a bus by their names."""
    buses = {bus: rank for rank, bus in enumerate(dict.fromkeys(disk.target.bus for disk in completed))}
    return tuple(sorted(completed, key=lambda disk: (buses[disk.target.bus], number_of_name(disk.target.dev))))


def _disk(disk: Disk, context: Context) -> Disk:
    disk = _without_medium(disk)
    device = disk.device or "disk"
    readonly = disk.readonly or device == "cdrom"
    changes: dict[str, Any] = {
        "type_": getattr(disk, "type_", None) or "file",
        "device": device,
        "readonly": readonly,
        "snapshot": None if disk.snapshot == "no" and readonly else disk.snapshot,
        "target": _target(disk.target, device),
        "driver": _driver(disk),
        "source": _source(getattr(disk, "source", None), context),
        "backing_store": _backing(disk.backing_store, context),
        "iotune": _iotune(disk.iotune),
        "blockio": _blockio(disk.blockio),
        "encryption": _encryption(disk.encryption),
    }
    changes["mirror"] = _mirror(disk.mirror) if context.live else None
    completed: Disk = change(disk, **changes)
    return completed


def _without_medium(disk: Disk) -> Disk:
    """A drive without a medium is as one of a file: of which kind it would be says nothing."""
    if not isinstance(disk, VolumeDisk) or disk.source is not None or disk.device not in ("cdrom", "floppy"):
        return disk
    shared = {
        name: getattr(disk, name)
        for name in BaseDisk.__struct_fields__
        if name not in ("type_", "device", "source") and name in FileDisk.__struct_fields__
    }
    return FileDisk(**shared, type_="file", device=disk.device)


def _target(target: DiskTarget, device: str) -> DiskTarget:
    bus = target.bus or ("fdc" if device == "floppy" else bus_of_name(target.dev))
    return change(target, bus=bus, tray="open" if target.tray == "open" else None)


def _driver(disk: Disk) -> DiskDriver:
    had = disk.driver or DiskDriver()
    changes: dict[str, Any] = {"name": had.name or "qemu", "cache": None if had.cache == "default" else had.cache}
    if had.type_ is None and not isinstance(disk, VolumeDisk):
        changes["type_"] = "fat" if getattr(disk, "type_", None) == "dir" else "raw"
    if had.metadata_cache is not None:
        size = in_unit(had.metadata_cache.max_size, "bytes", default="bytes")
        changes["metadata_cache"] = change(had.metadata_cache, max_size=size)
    return change(had, **changes)


def _mirror(had: Mirror | None) -> Mirror | None:
    """Its format, and where it is; of old both were told by attributes alone."""
    if had is None or had.type_ == "volume":
        return had
    changes: dict[str, Any] = {"format": had.format or ImageFormat(type_="raw")}
    if isinstance(had, FileMirror) and had.file is not None and had.source is None:
        format_ = ImageFormat(type_=had.format_name) if had.format_name is not None else changes["format"]
        changes = {"type_": "file", "job": "copy", "source": FileSource(file=had.file), "format": format_}
    mirror: Mirror = change(had, **changes)
    return mirror


def _iotune(had: IoTune | None) -> IoTune | None:
    if had is None:
        return None
    tune = without_zeroes(had)
    return tune if tune != IoTune() else None


def _blockio(had: BlockIo | None) -> BlockIo | None:
    if had is None:
        return None
    kept = without_zeroes(had)
    return kept if kept != BlockIo() else None


# ---------------------------------------------------------------------------- sources


def _source(source: Any, context: Context) -> Any:
    if source is None:
        return None
    changes: dict[str, Any] = {}
    if not context.live and getattr(source, "index", None) is not None:
        changes["index"] = None
    if isinstance(source, IscsiSource) and "/" not in source.name:
        changes["name"] = f"{source.name}/0"
    if isinstance(source, NvmeSource):
        changes["managed"] = True if source.managed is None else source.managed
        changes["address"] = whole_pci_address(source.address)
    if getattr(source, "hosts", ()):
        changes["hosts"] = each(source.hosts, _host)
    if getattr(source, "host", None) is not None:
        changes["host"] = _host(source.host)
    if getattr(source, "encryption", None) is not None:
        changes["encryption"] = _encryption(source.encryption)
    source = change(source, **changes) if changes else source
    return None if source == FileSource() else source


def _host(host: NetworkHost) -> NetworkHost:
    """TCP is not told."""
    plain: NetworkHost = change(host, transport=None) if host.transport == "tcp" else host
    return plain


def whole_pci_address(address: HostPciAddress) -> HostPciAddress:
    """An address of the host, with what is 0 where it is left out."""
    parts = {name: getattr(address, name) or 0 for name in ("domain", "bus", "slot", "function")}
    return change(address, **parts)


def _encryption(had: Any) -> Any:
    """QEMU decrypts images itself."""
    return None if had is None else change(had, engine=had.engine or "qemu")


def _backing(store: Any, context: Context) -> Any:
    """The chain of images that a disk is based on, from the last one on."""
    chain: list[BaseBackingStore] = []
    while store is not None:
        chain.append(store)
        store = store.backing_store
    below: Any = None
    for each_store in reversed(chain):
        below = _backing_image(each_store, below, context)
    return below


def _backing_image(store: Any, below: Any, context: Context) -> Any:
    if store.format is None:
        return store
    return change(
        store,
        type_=store.type_ or "file",
        source=_source(store.source, context),
        backing_store=below,
    )


# ---------------------------------------------------------------------------- file systems


def filesystems(definition: DomainDocument, context: Context) -> DomainDocument:
    """A directory is mounted with the guest's own permissions."""
    return with_devices(definition, filesystems=each(devices_of(definition).filesystems, _filesystem))


def _filesystem(filesystem: Filesystem) -> Filesystem:
    changes: dict[str, Any] = {
        "accessmode": filesystem.accessmode or "passthrough",
        "space_hard_limit": in_unit(filesystem.space_hard_limit, "bytes", default="bytes"),
        "space_soft_limit": in_unit(filesystem.space_soft_limit, "bytes", default="bytes"),
    }
    if isinstance(filesystem, MountFilesystem):
        changes["type_"] = "mount"
    completed: Filesystem = change(filesystem, **changes)
    return completed
