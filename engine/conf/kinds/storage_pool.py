"""``<pool>``: where volumes come from. Source: libvirt's "Storage pool and volume XML format"."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.storage_common import Permissions
from engine.conf.kinds.storage_pool_sources import (
    DirSource,
    DiskSource,
    FsSource,
    GlusterSource,
    IscsiDirectSource,
    IscsiSource,
    LogicalSource,
    MpathSource,
    NfsSource,
    RbdSource,
    ScsiSource,
    ShareSource,
    SheepdogSource,
    VstorageSource,
    ZfsSource,
)
from engine.conf.kinds.values import AbsFilePath, ObjectName, Uuid, YesNo
from engine.conf.nodes.node import Child, Definition, Node, Text

__all__ = [
    "DirPool",
    "DiskPool",
    "FsPool",
    "GlusterPool",
    "IscsiDirectPool",
    "IscsiPool",
    "LogicalPool",
    "MpathPool",
    "NetfsPool",
    "Pool",
    "PoolDocument",
    "RbdPool",
    "ScsiPool",
    "SheepdogPool",
    "Target",
    "VstoragePool",
    "ZfsPool",
]

FS = "http://libvirt.org/schemas/storagepool/fs/1.0"
RBD = "http://libvirt.org/schemas/storagepool/rbd/1.0"


class Target(Node):
    """Where the host sees the pool.

    Attributes:
        path: of the directory that volumes, or the nodes of their devices, are in.
        permissions: of a directory that libvirt makes; of a running pool what they are.
    """

    path: Annotated[AbsFilePath, Text]
    permissions: Permissions | None = None


class LogicalTarget(Node):
    """Where the host sees a volume group.

    Attributes:
        path: libvirt takes its own, whatever is said.
    """

    path: Annotated[AbsFilePath | None, Text] = None
    permissions: Permissions | None = None


class CopyOnWrite(Node):
    """Whether btrfs copies what is written; off if nothing is said. For directories and file systems on btrfs."""

    state: YesNo


class PoolFeatures(Node):
    """What some pools can do."""

    cow: CopyOnWrite | None = None


class MountOption(Node):
    """One option for mount; not looked at."""

    known_by = ("name",)
    name: str


class MountOptions(Node):
    """(namespace fs, without any promise) What mount is told with ``-o``."""

    options: Annotated[tuple[MountOption, ...], Child("option", namespace=FS)] = ()


class ConfigOption(Node):
    """One setting of librados; not looked at."""

    known_by = ("name",)
    name: str
    value: str


class ConfigOptions(Node):
    """(namespace rbd, without any promise) Settings of librados."""

    options: Annotated[tuple[ConfigOption, ...], Child("option", namespace=RBD)] = ()


class RefreshVolume(Node):
    """How volumes are looked at.

    Attributes:
        allocation: ``default``: it is worked out, which takes long; ``capacity``: it is taken to be the capacity.
    """

    allocation: Literal["default", "capacity"] | None = None


class Refresh(Node):
    """What is done otherwise when the pool is refreshed."""

    volume: RefreshVolume | None = None


class PoolDocument(Definition):
    """A pool of volumes.

    Attributes:
        name: unique on the host; uuid: libvirt makes one if there is none.
        capacity, allocation, available: (told by libvirt) how much it holds, how much of it is taken, and how much is
            free; in bytes.
        source_: the element ``<source>``: what volumes are made of. target: where the host sees them.
    """

    unit_inside = "bytes"
    kind: ClassVar[str] = "pool"
    name: Annotated[ObjectName | None, Text] = None
    uuid: Annotated[Uuid | None, Text] = None
    capacity: ScaledInteger | None = None
    allocation: ScaledInteger | None = None
    available: ScaledInteger | None = None
    features: PoolFeatures | None = None


class DirPool(PoolDocument):
    """A directory of the host."""

    type_: Literal["dir"]
    name: Annotated[ObjectName, Text]
    source_: DirSource | None = None
    target: Target


class FsPool(PoolDocument):
    """A file system of a device, which libvirt mounts.

    Attributes:
        mount_opts: what mount is told besides.
    """

    type_: Literal["fs"]
    name: Annotated[ObjectName, Text]
    source_: FsSource
    target: Target
    mount_opts: Annotated[MountOptions | None, Child("mount_opts", namespace=FS)] = None


class NetfsPool(PoolDocument):
    """A file system of a server, which libvirt mounts.

    Attributes:
        mount_opts: what mount is told besides.
    """

    type_: Literal["netfs"]
    name: Annotated[ObjectName, Text]
    source_: NfsSource | ShareSource
    target: Target
    mount_opts: Annotated[MountOptions | None, Child("mount_opts", namespace=FS)] = None


class LogicalPool(PoolDocument):
    """A volume group of LVM."""

    type_: Literal["logical"]
    source_: LogicalSource
    target: LogicalTarget


class DiskPool(PoolDocument):
    """A disk, in partitions."""

    type_: Literal["disk"]
    name: Annotated[ObjectName, Text]
    source_: DiskSource
    target: Target


class IscsiPool(PoolDocument):
    """An iSCSI target; its units are there already."""

    type_: Literal["iscsi"]
    name: Annotated[ObjectName, Text]
    source_: IscsiSource
    target: Target


class IscsiDirectPool(PoolDocument):
    """An iSCSI target, without the host's own iSCSI (libiscsi)."""

    type_: Literal["iscsi-direct"]
    name: Annotated[ObjectName, Text]
    source_: IscsiDirectSource


class ScsiPool(PoolDocument):
    """A SCSI adapter; its units are there already."""

    type_: Literal["scsi"]
    name: Annotated[ObjectName, Text]
    source_: ScsiSource
    target: Target


class MpathPool(PoolDocument):
    """The host's multipath devices.

    Attributes:
        target: its path is ``/dev/mapper``, whatever is said.
    """

    type_: Literal["mpath"]
    name: Annotated[ObjectName, Text]
    source_: MpathSource | None = None
    target: Target


class RbdPool(PoolDocument):
    """A pool of a Ceph cluster.

    Attributes:
        config_opts: what librados is told besides.
    """

    type_: Literal["rbd"]
    source_: RbdSource
    refresh: Refresh | None = None
    config_opts: Annotated[ConfigOptions | None, Child("config_opts", namespace=RBD)] = None


class SheepdogPool(PoolDocument):
    """A Sheepdog cluster; libvirt has none since 8.8.0."""

    type_: Literal["sheepdog"]
    source_: SheepdogSource


class GlusterPool(PoolDocument):
    """A Gluster volume, without mounting it."""

    type_: Literal["gluster"]
    source_: GlusterSource


class ZfsPool(PoolDocument):
    """A pool of ZFS.

    Attributes:
        target: libvirt takes its own, whatever is said.
    """

    type_: Literal["zfs"]
    source_: ZfsSource
    target: Target | None = None


class VstoragePool(PoolDocument):
    """A Virtuozzo storage cluster."""

    type_: Literal["vstorage"]
    source_: VstorageSource
    target: Target


Pool: TypeAlias = (
    DirPool
    | FsPool
    | NetfsPool
    | LogicalPool
    | DiskPool
    | IscsiPool
    | IscsiDirectPool
    | ScsiPool
    | MpathPool
    | RbdPool
    | SheepdogPool
    | GlusterPool
    | ZfsPool
    | VstoragePool
)
