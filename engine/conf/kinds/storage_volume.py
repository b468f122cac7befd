"""``<volume>``: an image or partition of a pool. Source: libvirt's "Storage pool and volume XML format"."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.storage_common import Encryption, Extent, FileSystem, Permissions, StorageFormat
from engine.conf.kinds.values import AbsFilePath, VolumeName
from engine.conf.nodes.node import Child, Definition, Flag, Node, Text
from engine.conf.nodes.values import Pattern

__all__ = ["VolumeDocument"]

_ESCAPED = "%[0-9a-fA-F]{2}"


def _uri() -> str:
    """A URI or a reference relative to one (RFC 3986), where any other character may stand unescaped too."""

    def any_but(characters: str) -> str:
        return rf"([^%#\[\]{characters}]|{_ESCAPED})"

    in_path, in_segment = any_but("?"), any_but("?/")
    authority = rf"({any_but('?/@')}*@)?(\[[^\]]*\]|{any_but('?/@:')}*)(:[0-9]{{1,9}})?"
    absolute = rf"[a-zA-Z][a-zA-Z0-9+.\-]*:(//{authority}(/{in_path}*)?|/?({in_segment}{in_path}*)?)"
    relative = rf"/|{any_but('?/:')}+(/{in_path}*)?"
    return rf"({absolute}|{relative})?(\?{any_but('')}*)?(#([^%#]|{_ESCAPED})*)?"


Uri = Annotated[str, Pattern("uri", _uri(), "a URI")]
Timestamp = Annotated[
    str, Pattern("timestamp", r"[0-9]+(\.[0-9]{0,9})?", "seconds since 1970, with up to 9 digits after a dot")
]
CompatLevel = Annotated[str, Pattern("compatLevel", r"[0-9]+\.[0-9]+", "a version such as 1.1")]

#: What a partition is made for.
Partition: TypeAlias = Literal["none", "linux", "fat16", "fat32", "linux-swap", "linux-lvm", "linux-raid", "extended"]


class VolumeFormat(Node):
    """The volume's format, of those that its pool has: of an image, of a file system, or of a partition.

    Attributes:
        type_: ``extended`` makes an extended partition.
    """

    type_: StorageFormat | FileSystem | Partition | Literal["unknown"]


class Timestamps(Node):
    """(told by libvirt) When the volume was last read, made, changed in its inode, and written."""

    atime: Annotated[Timestamp | None, Text] = None
    btime: Annotated[Timestamp | None, Text] = None
    ctime: Annotated[Timestamp | None, Text] = None
    mtime: Annotated[Timestamp | None, Text] = None


class VolumeFeatures(Node):
    """What a qcow2 image makes use of.

    Attributes:
        lazy_refcounts: its reference counts are brought up to date late; extended_l2: clusters have 32 parts, which
            asks for a greater ``clusterSize``.
    """

    lazy_refcounts: Annotated[bool, Flag] = False
    extended_l2: Annotated[bool, Flag] = False


class VolumeTarget(Node):
    """The volume as the host sees it.

    Attributes:
        path: (told by libvirt) where; of volumes on the network a URI.
        format: the pool's usual one if nothing is said.
        compat: (qcow2) the QEMU version that can read it, 0.10 or 1.1.
        nocow: btrfs is not to copy what is written.
        cluster_size: (qcow2) in bytes.
    """

    unit_inside = "bytes"
    path: Annotated[AbsFilePath | Uri | None, Text] = None
    format: VolumeFormat | None = None
    permissions: Permissions | None = None
    timestamps: Timestamps | None = None
    encryption: Encryption | None = None
    compat: Annotated[CompatLevel | None, Text] = None
    nocow: Annotated[bool, Flag] = False
    cluster_size: Annotated[ScaledInteger | None, Child("clusterSize")] = None
    features: VolumeFeatures | None = None


class BackingStore(Node):
    """The volume that this one holds only the differences to.

    Attributes:
        format: only qcow2 volumes may have one of another format than their own.
    """

    path: Annotated[AbsFilePath, Text]
    format: VolumeFormat | None = None
    permissions: Permissions | None = None
    timestamps: Timestamps | None = None


class VolumeDevice(Node):
    """A device that the volume lies on.

    Attributes:
        extents: on which parts of it.
    """

    known_by = ("path",)
    path: AbsFilePath
    extents: Annotated[tuple[Extent, ...], Child("extent")] = ()


class VolumeSource(Node):
    """(told by libvirt) Where the volume lies."""

    devices: Annotated[tuple[VolumeDevice, ...], Child("device")] = ()


class VolumeDocument(Definition):
    """A volume of a storage pool.

    Attributes:
        type_: (told by libvirt) what it is.
        name: unique in its pool; of a partition the disk's name and the number, as ``sdb1``.
        key: (told by libvirt) by which it is known on the host.
        capacity: how much the guest may put into it; in bytes if no unit is given. One that is made must have it.
        allocation: how much of the pool it takes, all of the capacity if nothing is said; in bytes likewise.
        physical: (told by libvirt) how great its image or device is.
        source_: the element ``<source>``.
    """

    unit_inside = "bytes"
    kind: ClassVar[str] = "volume"
    type_: Literal["file", "block", "dir", "network", "netdir"] | None = None
    name: Annotated[VolumeName, Text]
    key: Annotated[str | None, Text] = None
    source_: VolumeSource | None = None
    capacity: ScaledInteger | None = None
    allocation: ScaledInteger | None = None
    physical: ScaledInteger | None = None
    target: VolumeTarget
    backing_store: Annotated[BackingStore | None, Child("backingStore")] = None
