"""Disks and their controllers as QEMU's block nodes and devices. Pure."""

from __future__ import annotations

from typing import Any

from engine.conf.devices import Disk
from engine.drivers.qemu.options import Line, escape, keyval, letters, refuse
from engine.drivers.qemu.topology import Topology

__all__ = ["add_disks"]

# cache mode -> writeback, direct, no-flush: QEMU's "-drive cache=" table in qemu(1)
_CACHE = {
    "default": (None, None, None),
    "writeback": (True, False, False),
    "none": (True, True, False),
    "writethrough": (False, False, False),
    "directsync": (False, True, False),
    "unsafe": (True, False, True),
}
_PREFIXES = {"hd": "ide", "sd": "scsi", "vd": "virtio", "sr": "scsi"}


def add_disks(line: Line, topology: Topology, disks: tuple[Disk, ...], boot_index: dict[int, int]) -> None:
    """All disks; ``boot_index`` is by the disk's place in ``disks``.

    Raises:
        UnsupportedConfig: a disk that can't be built.
    """
    seen: dict[str, Disk] = {}
    for index, disk in enumerate(disks):
        name = disk.target.dev
        if name in seen:
            raise refuse(f"<target dev='{name}'>", "another disk has this name", disk.target)
        seen[name] = disk
        bus = disk.target.bus or _PREFIXES.get(name[:2])
        if bus is None or not name.isalnum():
            raise refuse(
                f"<target dev='{name}'>", "no bus is given, and the name tells none (hda, sda, vda)", disk.target
            )
        if bus == "virtio" and disk.device == "cdrom":
            raise refuse(
                "<target bus='virtio'>", "a CD drive can't be on the virtio bus: use sata, ide or scsi", disk.target
            )
        backend = _backend(line, disk)
        _frontend(line, topology, disk, bus, backend, boot_index.get(index))


def _backend(line: Line, disk: Disk) -> str | None:
    """The block node the device sits on; None: an empty CD drive."""
    path = disk.source.file if disk.type == "file" else disk.source.dev
    name = disk.target.dev
    if not path:
        if disk.device == "cdrom":
            return None
        raise refuse(f"<disk type='{disk.type}'>", f"disk {name} has no <source {_attribute(disk)}>", disk)
    if not path.startswith("/"):
        raise refuse(f"<source {_attribute(disk)}='{path}'>", "not an absolute path", disk.source)
    _, direct, no_flush = _CACHE[disk.driver.cache]
    if disk.transient:
        return _transient(line, disk, path)
    cache = None if direct is None else {"direct": direct, "no-flush": no_flush}
    common: dict[str, Any] = {"discard": disk.driver.discard}
    if cache is not None:
        common["cache"] = cache
    read_only = disk.readonly or disk.device == "cdrom"
    line.blockdev(
        driver="file" if disk.type == "file" else "host_device",
        filename=path,
        node_name=f"{name}-file",
        read_only=read_only,
        aio=disk.driver.io,
        **common,
    )
    line.blockdev(
        driver=disk.driver.type,
        node_name=name,
        read_only=read_only,
        file=f"{name}-file",
        detect_zeroes=disk.driver.detect_zeroes if disk.driver.detect_zeroes != "off" else None,
        **common,
    )
    return name


def _attribute(disk: Disk) -> str:
    return "file" if disk.type == "file" else "dev"


def _transient(line: Line, disk: Disk, path: str) -> str:
    """Writes go to a temporary file that has no name: the only way QEMU itself offers is the old -drive."""
    if disk.readonly or disk.shareable:
        raise refuse("<transient/>", "a disk can't be transient and readonly or shareable", disk)
    drive = keyval(
        f"if=none,id={disk.target.dev},file={escape(path)}",
        format=disk.driver.type,
        snapshot=True,
        discard=disk.driver.discard,
        cache=None if disk.driver.cache == "default" else disk.driver.cache,
        aio=disk.driver.io,
        werror=disk.driver.error_policy.replace("enospace", "enospc") if disk.driver.error_policy else None,
        rerror=_read_policy(disk),
    )
    line.add("-drive", drive)
    return disk.target.dev


def _read_policy(disk: Disk) -> str | None:
    if disk.driver.rerror_policy:
        return disk.driver.rerror_policy
    policy = disk.driver.error_policy
    # libvirt: without a policy of their own, reads follow the writes; "enospace" makes no sense for them
    return None if policy in (None, "enospace") else policy


def _frontend(
    line: Line, topology: Topology, disk: Disk, bus: str, backend: str | None, boot_index: int | None
) -> None:
    write_back, _, _ = _CACHE[disk.driver.cache]
    policies = (
        {}
        if disk.transient
        else {
            "werror": disk.driver.error_policy.replace("enospace", "enospc") if disk.driver.error_policy else None,
            "rerror": _read_policy(disk),
        }
    )
    if disk.device == "cdrom":
        policies = {}
    common: dict[str, Any] = {
        "id": f"{bus}-{disk.target.dev}",
        "drive": backend,
        "bootindex": boot_index,
        "serial": disk.serial or None,
        "share_rw": True if disk.shareable else None,
        "write_cache": None if write_back is None else ("on" if write_back else "off"),
        **policies,
    }
    if bus == "virtio":
        if disk.driver.queues:
            common["num_queues"] = disk.driver.queues
        line.device("virtio-blk-pci", topology.pci(disk.address), **common)
        return
    if disk.driver.queues:
        raise refuse("<driver queues>", "only virtio disks have queues", disk.driver)
    kind = "cd" if disk.device == "cdrom" else "hd"
    place = {"ide": topology.ide, "sata": topology.sata, "scsi": topology.scsi}[bus](disk, letters(disk.target.dev))
    line.device(f"{'scsi' if bus == 'scsi' else 'ide'}-{kind}", place, **common)
