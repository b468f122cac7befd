"""``<disk>``: hard disks, CD-ROM drives and floppy drives. Source: libvirt's "Domain XML format", Hard drives, ...

What a disk's data is in says its ``type``, which is ``file`` when it is left out; so it is of each image that it is
based on (``<backingStore>``), and of what it is being copied to (``<mirror>``).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.device import Acpi, BackendDomain, Boot, Device, VirtioDriver, VirtioModel
from engine.conf.kinds.domain.storage import (
    Auth,
    BlockSource,
    DirSource,
    FileSource,
    NetworkSource,
    NvmeSource,
    VhostUserSource,
    VolumeSource,
)
from engine.conf.kinds.storage_common import Encryption, StorageFormat
from engine.conf.kinds.values import (
    AbsFilePath,
    DiskTargetName,
    GenericName,
    Integer,
    LooseUnsignedLong,
    OnOff,
    PositiveInt,
    UnsignedInt,
    Wwn,
    YesNo,
)
from engine.conf.nodes.node import Attr, Child, Flag, Node, Text, at_most_one
from engine.conf.nodes.values import Pattern

__all__ = ["BackingStore", "BaseDisk", "Disk", "DiskDriver", "DiskTarget", "ImageFormat", "MetadataCache", "Mirror"]

DiskSerial = Annotated[
    str, Pattern("diskSerial", r"[A-Za-z0-9_\.\+\- ]+", "a serial number (letters, digits, spaces and _ . + -)")
]
DiskVendor = Annotated[str, Pattern("diskVendor", "[ -~]{0,8}", "up to 8 printable characters")]
DiskProduct = Annotated[str, Pattern("diskProduct", "[ -~]{0,16}", "up to 16 printable characters")]


# ---------------------------------------------------------------------------- images


class MetadataCache(Node):
    """How much of an image's own tables (qcow2) is kept in memory.

    Attributes:
        max_size: in bytes when there is no unit.
    """

    unit_inside = "bytes"
    max_size: ScaledInteger | None = None


class ImageFormat(Node):
    """The format of an image.

    Attributes:
        metadata_cache: how much of its own tables is kept in memory.
    """

    type_: StorageFormat
    metadata_cache: MetadataCache | None = None


class BaseBackingStore(Node):
    """An image that another is based on: what that one does not hold is read from here.

    An empty ``<backingStore/>`` says that the image before it is based on none; without one that is looked up in the
    image when the domain starts.

    Attributes:
        index: (told, never set) what block jobs refer to it by, as in ``vda[2]``.
        format: of this image; it has to be there.
        source: where it is.
        backing_store: what it is based on itself.
    """

    comes_first = ("format", "source", "backing_store")
    index: PositiveInt | None = None
    format: ImageFormat | None = None
    backing_store: Annotated[BackingStore | None, Child("backingStore")] = None

    def check(self) -> Iterator[str]:
        if self.format is None:
            yield "it lacks its element <format>"


class FileBackingStore(BaseBackingStore):
    """A file; or, if it is empty, the end of the chain."""

    type_: Literal["file"] | None = None
    source: FileSource | None = None

    @property
    def ends(self) -> bool:
        """Whether there is no such image: the one before it is based on none."""
        return self.format is None

    def check(self) -> Iterator[str]:
        said = (self.type_, self.index, self.source, self.backing_store)
        if self.format is None and any(each is not None for each in said):
            yield "it lacks its element <format>"


class BlockBackingStore(BaseBackingStore):
    """A block device of the host."""

    type_: Literal["block"]
    source: BlockSource | None = None


class DirBackingStore(BaseBackingStore):
    """A directory."""

    type_: Literal["dir"]
    source: DirSource | None = None


class NetworkBackingStore(BaseBackingStore):
    """An image on the network."""

    type_: Literal["network"]
    source: NetworkSource


class VolumeBackingStore(BaseBackingStore):
    """A volume of a storage pool."""

    type_: Literal["volume"]
    source: VolumeSource | None = None


class NvmeBackingStore(BaseBackingStore):
    """A namespace of an NVMe controller."""

    type_: Literal["nvme"]
    source: NvmeSource | None = None


class VhostUserBackingStore(BaseBackingStore):
    """Another process."""

    type_: Literal["vhostuser"]
    source: VhostUserSource


BackingStore: TypeAlias = (
    FileBackingStore
    | BlockBackingStore
    | DirBackingStore
    | NetworkBackingStore
    | VolumeBackingStore
    | NvmeBackingStore
    | VhostUserBackingStore
)


class BaseMirror(Node):
    """What a block job copies a disk to. It is told of a domain, never set.

    Attributes:
        job: copy: to another image; active-commit: to one that the disk is based on.
        ready: yes: both are the same now; abort, pivot: the job is ending, with the old image or the new one.
        format: of the new image.
        source: where it is.
        backing_store: what it is based on.
        file, format_name: the path and format of a file, as they were told of old, and are still, beside ``source``.
    """

    comes_first = ("format", "source", "backing_store")
    ready: Literal["yes", "abort", "pivot"] | None = None
    format: ImageFormat | None = None
    backing_store: Annotated[BackingStore | None, Child("backingStore")] = None


class FileMirror(BaseMirror):
    """A copy to a file."""

    type_: Literal["file"] | None = None
    job: Literal["copy", "active-commit"] | None = None
    file: AbsFilePath | None = None
    format_name: Annotated[StorageFormat | None, Attr("format")] = None
    source: FileSource | None = None

    def check(self) -> Iterator[str]:
        if self.file is not None:
            if self.job == "active-commit":
                yield "an active-commit has no 'file'"
        elif self.job is None:
            yield "it lacks its attribute 'job'"
        elif self.format_name is not None:
            yield "'format' needs 'file'"


class BlockMirror(BaseMirror):
    """A copy to a block device of the host."""

    type_: Literal["block"]
    job: Literal["copy", "active-commit"]
    source: BlockSource | None = None


class DirMirror(BaseMirror):
    """A copy to a directory."""

    type_: Literal["dir"]
    job: Literal["copy", "active-commit"]
    source: DirSource | None = None


class NetworkMirror(BaseMirror):
    """A copy to an image on the network."""

    type_: Literal["network"]
    job: Literal["copy", "active-commit"]
    source: NetworkSource


class VolumeMirror(BaseMirror):
    """A copy to a volume of a storage pool."""

    type_: Literal["volume"]
    job: Literal["copy", "active-commit"]
    source: VolumeSource | None = None


class NvmeMirror(BaseMirror):
    """A copy to a namespace of an NVMe controller."""

    type_: Literal["nvme"]
    job: Literal["copy", "active-commit"]
    source: NvmeSource | None = None


class VhostUserMirror(BaseMirror):
    """A copy to another process."""

    type_: Literal["vhostuser"]
    job: Literal["copy", "active-commit"]
    source: VhostUserSource


Mirror: TypeAlias = FileMirror | BlockMirror | DirMirror | NetworkMirror | VolumeMirror | NvmeMirror | VhostUserMirror


# ---------------------------------------------------------------------------- how it is served


class DiskDriver(VirtioDriver):
    """How the hypervisor serves the disk.

    Attributes:
        name: who does: qemu for QEMU; tap, tap2, phy or file for Xen.
        type_: the format of the image (Xen's aio is raw).
        cache: how the host caches writes: unsafe ignores the guest's requests to write them out.
        error_policy: what happens on an error of the disk: stop: the guest is paused; report: it is told; ignore: it is
            not; enospace: it is paused if there is no room, else told.
        rerror_policy: the same on an error of reading; as ``error_policy`` when it is left out.
        io: how the host reads and writes the image.
        ioeventfd: requests are served by a thread of their own.
        event_idx: the guest and the hypervisor interrupt each other less.
        copy_on_read: what is read from a backing store is written to the image.
        discard: unmap: what the guest no longer needs is given back to the host.
        iothread: the number of the thread that serves the disk.
        detect_zeroes: on: writes of zeroes take no room; unmap: and give back what was there, with ``discard``.
        queues: of requests (virtio).
        queue_size: how many requests may wait in each (virtio). Since 7.8.0.
        metadata_cache: how much of the image's own tables is kept in memory.
    """

    name: GenericName | None = None
    type_: StorageFormat | Literal["aio"] | None = None
    cache: Literal["default", "none", "writeback", "writethrough", "directsync", "unsafe"] | None = None
    error_policy: Literal["stop", "report", "ignore", "enospace"] | None = None
    rerror_policy: Literal["stop", "report", "ignore"] | None = None
    io: Literal["threads", "native", "io_uring"] | None = None
    ioeventfd: OnOff | None = None
    event_idx: OnOff | None = None
    copy_on_read: OnOff | None = None
    discard: Literal["unmap", "ignore"] | None = None
    iothread: UnsignedInt | None = None
    detect_zeroes: Literal["off", "on", "unmap"] | None = None
    queues: PositiveInt | None = None
    queue_size: PositiveInt | None = None
    metadata_cache: MetadataCache | None = None


class IoTune(Node):
    """How much the guest may read and write; 0: no limit.

    Attributes:
        total_bytes_sec, read_bytes_sec, write_bytes_sec: bytes a second: of both, or each by itself.
        total_iops_sec, read_iops_sec, write_iops_sec: operations a second.
        total_bytes_sec_max, read_bytes_sec_max, write_bytes_sec_max: bytes a second, for a while.
        total_iops_sec_max, read_iops_sec_max, write_iops_sec_max: operations a second, for a while.
        total_bytes_sec_max_length, read_bytes_sec_max_length, write_bytes_sec_max_length: how long that is, in seconds.
        total_iops_sec_max_length, read_iops_sec_max_length, write_iops_sec_max_length: how long that is, in seconds.
        size_iops_sec: bytes that count as one operation.
        group_name: disks of one group share these limits.
    """

    total_bytes_sec: Annotated[LooseUnsignedLong | None, Text] = None
    read_bytes_sec: Annotated[LooseUnsignedLong | None, Text] = None
    write_bytes_sec: Annotated[LooseUnsignedLong | None, Text] = None
    total_iops_sec: Annotated[LooseUnsignedLong | None, Text] = None
    read_iops_sec: Annotated[LooseUnsignedLong | None, Text] = None
    write_iops_sec: Annotated[LooseUnsignedLong | None, Text] = None
    total_bytes_sec_max: Annotated[LooseUnsignedLong | None, Text] = None
    read_bytes_sec_max: Annotated[LooseUnsignedLong | None, Text] = None
    write_bytes_sec_max: Annotated[LooseUnsignedLong | None, Text] = None
    total_iops_sec_max: Annotated[LooseUnsignedLong | None, Text] = None
    read_iops_sec_max: Annotated[LooseUnsignedLong | None, Text] = None
    write_iops_sec_max: Annotated[LooseUnsignedLong | None, Text] = None
    size_iops_sec: Annotated[LooseUnsignedLong | None, Text] = None
    group_name: Annotated[str | None, Text] = None
    total_bytes_sec_max_length: Annotated[LooseUnsignedLong | None, Text] = None
    read_bytes_sec_max_length: Annotated[LooseUnsignedLong | None, Text] = None
    write_bytes_sec_max_length: Annotated[LooseUnsignedLong | None, Text] = None
    total_iops_sec_max_length: Annotated[LooseUnsignedLong | None, Text] = None
    read_iops_sec_max_length: Annotated[LooseUnsignedLong | None, Text] = None
    write_iops_sec_max_length: Annotated[LooseUnsignedLong | None, Text] = None
    rules = tuple(
        at_most_one(f"total_{what}_sec{limit}", f"{way}_{what}_sec{limit}")
        for limit in ("", "_max", "_max_length")
        for what in ("bytes", "iops")
        for way in ("read", "write")
    )


# ---------------------------------------------------------------------------- what the guest sees


class DiskTarget(Node):
    """Where the guest sees the disk.

    Attributes:
        dev: a name for it, which is unique in the domain; the guest may call it otherwise, but orders disks by it.
        bus: as the name says when it is left out: sd* is scsi, vd* virtio, hd* ide, fd* fdc, xvd* xen.
        tray: of a drive: open when there is no medium to be seen.
        removable: (USB) it can be taken out.
        rotation_rate: revolutions a minute, from 1025; 1: it does not rotate. Since 7.3.0.
    """

    dev: DiskTargetName
    bus: Literal["ide", "fdc", "scsi", "virtio", "xen", "usb", "uml", "sata", "sd"] | None = None
    tray: Literal["open", "closed"] | None = None
    removable: OnOff | None = None
    rotation_rate: PositiveInt | None = None


class Geometry(Node):
    """The geometry that the guest is told.

    Attributes:
        cyls, heads, secs: cylinders, heads, and sectors of a track.
        trans: how the BIOS translates them.
    """

    cyls: Integer
    heads: Integer
    secs: Integer
    trans: Literal["auto", "none", "lba"] | None = None


class BlockIo(Node):
    """The block sizes that the guest is told, in bytes.

    Attributes:
        logical_block_size: the smallest unit that can be written.
        physical_block_size: the one the hardware has.
    """

    logical_block_size: Integer | None = None
    physical_block_size: Integer | None = None


class Transient(Node):
    """What the guest writes is thrown away when it ends.

    Attributes:
        share_backing: yes: the image can be used by several guests at a time. Since 7.4.0.
    """

    share_backing: Annotated[YesNo | None, Attr("shareBacking")] = None


class BaseDisk(Device):
    """A disk of the guest.

    Attributes:
        device: what the guest sees: a disk when it is left out; lun: a disk that takes the guest's own SCSI commands.
        model: of a virtio disk.
        snapshot: whether snapshots of the domain take it along: external: in a new image; internal: in its own; manual:
            who makes the snapshot sees to it.
        rawio: (lun) the guest may send it any command.
        sgio: (lun) unfiltered: the guest's own SCSI commands are not filtered.
        source: where its data is.
        auth, encryption: of the source, which is where they are preferred to be.
        serial: its serial number.
        wwn: its world wide name.
        vendor, product: what it says of itself (SCSI).
        readonly: the guest can't write to it.
        shareable: other domains use it at the same time, so the host caches nothing.
        boot: in which order the guest is booted from it.
    """

    comes_first = ("driver", "auth", "source", "backing_store", "mirror", "target")
    known_by = ("target.dev",)
    model: VirtioModel | None = None
    snapshot: Literal["no", "internal", "external", "manual"] | None = None
    driver: DiskDriver | None = None
    auth: Auth | None = None
    backing_store: Annotated[BackingStore | None, Child("backingStore")] = None
    backenddomain: BackendDomain | None = None
    geometry: Geometry | None = None
    blockio: BlockIo | None = None
    mirror: Mirror | None = None
    target: DiskTarget
    iotune: IoTune | None = None
    readonly: Annotated[bool, Flag] = False
    shareable: Annotated[bool, Flag] = False
    transient: Transient | None = None
    serial: Annotated[DiskSerial | None, Text] = None
    wwn: Annotated[Wwn | None, Text] = None
    vendor: Annotated[DiskVendor | None, Text] = None
    product: Annotated[DiskProduct | None, Text] = None
    encryption: Encryption | None = None
    boot: Boot | None = None
    acpi: Acpi | None = None


class FileDisk(BaseDisk):
    """A disk whose data is in a file."""

    type_: Literal["file"] | None = None
    device: Literal["disk", "cdrom", "floppy"] | None = None
    source: FileSource | None = None


class LunDisk(BaseDisk):
    """A disk that the host has as such, and may be handed through with its own commands."""

    device: Literal["disk", "cdrom", "floppy", "lun"] | None = None
    rawio: YesNo | None = None
    sgio: Literal["filtered", "unfiltered"] | None = None

    def check(self) -> Iterator[str]:
        if self.device != "lun" and (self.rawio is not None or self.sgio is not None):
            yield "'rawio' and 'sgio' are only for device='lun'"


class BlockDisk(LunDisk):
    """A disk whose data is on a block device of the host."""

    type_: Literal["block"]
    source: BlockSource | None = None


class DirDisk(BaseDisk):
    """A disk made of the files of a directory."""

    type_: Literal["dir"]
    device: Literal["disk", "cdrom", "floppy"] | None = None
    source: DirSource | None = None


class NetworkDisk(LunDisk):
    """A disk whose data is on the network."""

    type_: Literal["network"]
    source: NetworkSource


class VolumeDisk(LunDisk):
    """A disk whose data is in a volume of a storage pool."""

    type_: Literal["volume"]
    source: VolumeSource | None = None


class NvmeDisk(BaseDisk):
    """A disk whose data is in a namespace of an NVMe controller."""

    type_: Literal["nvme"]
    device: Literal["disk", "cdrom", "floppy"] | None = None
    source: NvmeSource | None = None


class VhostUserDisk(BaseDisk):
    """A disk that another process serves; most that can be set of others has no effect on it."""

    type_: Literal["vhostuser"]
    device: Literal["disk", "cdrom", "floppy"] | None = None
    source: VhostUserSource


Disk: TypeAlias = FileDisk | BlockDisk | DirDisk | NetworkDisk | VolumeDisk | NvmeDisk | VhostUserDisk
