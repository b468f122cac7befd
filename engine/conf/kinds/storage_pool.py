"""``<pool>``: where volumes come from. Source: libvirt's "Storage pool and volume XML format"."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.storage_parts import FileSystem, HostName, Initiator, Permissions
from engine.conf.kinds.values import (
    AbsDirPath,
    AbsFilePath,
    FilePath,
    GenericName,
    ObjectName,
    OnOff,
    PciBus,
    PciDomain,
    PciFunction,
    PciSlot,
    PortNumber,
    PositiveInt,
    UnsignedLong,
    Uuid,
    Wwn,
    YesNo,
)
from engine.conf.nodes.node import Child, Definition, Node, Text, exactly_one
from engine.conf.nodes.values import Pattern

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
    "VstoragePool",
    "ZfsPool",
]

FS = "http://libvirt.org/schemas/storagepool/fs/1.0"
RBD = "http://libvirt.org/schemas/storagepool/rbd/1.0"

IscsiName = Annotated[
    str,
    Pattern(
        "iscsiName",
        r"iqn\.[0-9]{4}-(0[1-9]|1[0-2])\.[a-zA-Z0-9\.\-]+(:.+)?",
        "an iSCSI qualified name such as iqn.2020-01.org.example:disks",
    ),
]


# ---------------------------------------------------------------------------- what sources are made of


class Named(Node):
    """A name."""

    name: str


class Branded(Node):
    """What may say whose product it is.

    Attributes:
        vendor: who made the storage device; product: what he calls it.
    """

    vendor: Named | None = None
    product: Named | None = None


class Host(Node):
    """A server that has the storage.

    Attributes:
        port: that of the protocol if nothing is said.
    """

    name: HostName
    port: PortNumber | None = None


class Directory(Node):
    """A directory."""

    path: AbsDirPath


class Share(Node):
    """What a server shares; for CIFS without a slash before it."""

    path: FilePath


class FreeExtent(Node):
    """(told by libvirt) A part of a device that no volume has yet; in bytes."""

    start: UnsignedLong
    end: UnsignedLong


class SourceDevice(Node):
    """The device that volumes are made of.

    Attributes:
        path: to a block device; or the name of an iSCSI target, or what the kind of pool calls its devices.
        part_separator: (disk pools, multipath) partitions have a ``p`` before their number.
        free_extents: where there is room, in pools that can tell.
    """

    path: AbsFilePath | GenericName | IscsiName
    part_separator: YesNo | None = None
    free_extents: Annotated[tuple[FreeExtent, ...], Child("freeExtent")] = ()


class IscsiTarget(Node):
    """An iSCSI target.

    Attributes:
        path: its qualified name.
    """

    path: IscsiName


class PoolSecret(Node):
    """The secret that holds the password.

    Attributes:
        uuid: of the secret; usage: or what it says it is for.
    """

    uuid: str | None = None
    usage: str | None = None
    rules = (exactly_one("uuid", "usage"),)


class PoolAuth(Node):
    """Who the server is to think it talks to.

    Attributes:
        type_: ``chap`` for iSCSI, ``ceph`` for RBD.
    """

    type_: Literal["chap", "ceph"]
    username: str
    secret: PoolSecret


class AdapterAddress(Node):
    """Where on the PCI bus a SCSI adapter is."""

    domain: PciDomain | None = None
    bus: PciBus | None = None
    slot: PciSlot | None = None
    function: PciFunction | None = None
    multifunction: OnOff | None = None


class ParentAddress(Node):
    """A SCSI adapter by its place, which stays the same when the host is started again.

    Attributes:
        unique_id: which one, where a device has several: what ``/sys/class/scsi_host/host.../unique_id`` says.
    """

    unique_id: PositiveInt | None = None
    address: AdapterAddress


class ScsiHostAdapter(Node):
    """A SCSI adapter of the host.

    Attributes:
        name: such as ``scsi_host1``; it may be another one when the host is started again.
    """

    type_: Literal["scsi_host"] | None = None
    name: str | None = None
    parentaddr: ParentAddress | None = None
    rules = (exactly_one("name", "parentaddr"),)


class FcHostAdapter(Node):
    """A virtual Fibre Channel adapter (NPIV); libvirt makes it if there is none yet.

    Attributes:
        wwnn, wwpn: the world wide names by which the storage network knows it, of the node and of the port.
        managed: it is taken away when the pool is stopped; ``yes`` for one that libvirt made.
        parent: the adapter it belongs to, by name.
        parent_wwnn, parent_wwpn: the same by its world wide names, which stay.
        parent_fabric_wwn: any adapter of this network.
    """

    type_: Literal["fc_host"]
    parent: str | None = None
    managed: YesNo | None = None
    parent_wwnn: Wwn | None = None
    parent_wwpn: Wwn | None = None
    parent_fabric_wwn: Wwn | None = None
    wwnn: Wwn
    wwpn: Wwn


# ---------------------------------------------------------------------------- formats


class FsFormat(Node):
    """The file system on the device; ``auto`` if nothing is said."""

    type_: FileSystem


class NfsFormat(Node):
    """The network file system: NFS."""

    type_: Literal["auto", "nfs"]


class ShareFormat(Node):
    """The network file system: CIFS or Gluster's."""

    type_: Literal["cifs", "glusterfs"]


class DiskFormat(Branded):
    """The kind of partition table."""

    type_: Literal["unknown", "dos", "dvh", "gpt", "mac", "bsd", "pc98", "sun", "lvm2"]


class LogicalFormat(Branded):
    """The kind of volume group."""

    type_: Literal["unknown", "lvm2"]


# ---------------------------------------------------------------------------- sources


class DirSource(Branded):
    """A directory pool has no source but its target."""


class FsSource(Branded):
    """A device with a file system."""

    device: SourceDevice
    format: FsFormat | None = None


class NfsVersion(Node):
    """The version of NFS that the server is asked for."""

    ver: str


class NfsSource(Branded):
    """A directory of an NFS server."""

    hosts: Annotated[tuple[Host, ...], Child("host")]
    dir: Directory
    format: NfsFormat | None = None
    protocol: NfsVersion | None = None


class ShareSource(Branded):
    """A share of a CIFS server, or a Gluster volume."""

    hosts: Annotated[tuple[Host, ...], Child("host")]
    dir: Share
    format: ShareFormat


class LogicalSource(Branded):
    """A volume group of LVM.

    Attributes:
        names: of the volume group, the pool's own if there is none; libvirt heeds only one.
        devices: what the group is made of, for a pool that is to be built.
    """

    names: Annotated[tuple[str, ...], Text("name")] = ()
    devices: Annotated[tuple[SourceDevice, ...], Child("device")] = ()
    format: LogicalFormat | None = None


class DiskSource(Branded):
    """A disk, whose partitions are the volumes."""

    device: SourceDevice
    format: DiskFormat | None = None


class IscsiSource(Branded):
    """An iSCSI target that the host connects to.

    Attributes:
        device: its ``path`` is the target's qualified name.
    """

    hosts: Annotated[tuple[Host, ...], Child("host")]
    device: SourceDevice
    initiator: Initiator | None = None
    auth: PoolAuth | None = None


class IscsiDirectSource(Node):
    """An iSCSI target that libvirt itself connects to."""

    hosts: Annotated[tuple[Host, ...], Child("host")]
    device: IscsiTarget
    initiator: Initiator
    auth: PoolAuth | None = None


class ScsiSource(Branded):
    """A SCSI adapter, whose units are the volumes."""

    adapter: ScsiHostAdapter | FcHostAdapter


class MpathSource(Node):
    """A multipath pool is of all such devices of the host."""


class RbdSource(Node):
    """A pool of a Ceph cluster.

    Attributes:
        name: the pool's; hosts: the cluster's monitors.
    """

    name: Annotated[str, Text]
    hosts: Annotated[tuple[Host, ...], Child("host")]
    auth: PoolAuth | None = None


class SheepdogSource(Node):
    """A Sheepdog cluster."""

    hosts: Annotated[tuple[Host, ...], Child("host")]
    name: Annotated[str, Text]


class GlusterSource(Node):
    """A Gluster volume.

    Attributes:
        name: the volume's; dir: a directory in it, its root if nothing is said.
    """

    hosts: Annotated[tuple[Host, ...], Child("host")]
    name: Annotated[str, Text]
    dir: Directory | None = None


class ZfsSource(Node):
    """A pool of ZFS.

    Attributes:
        name: ZFS's of it; device: what it is made of, for a pool that is to be built.
    """

    name: Annotated[str, Text]
    device: SourceDevice | None = None


class VstorageSource(Node):
    """A Virtuozzo storage cluster."""

    name: Annotated[str, Text]


# ---------------------------------------------------------------------------- pools


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

    name: str


class MountOptions(Node):
    """(namespace fs, without any promise) What mount is told with ``-o``."""

    options: Annotated[tuple[MountOption, ...], Child("option", namespace=FS)] = ()


class ConfigOption(Node):
    """One setting of librados; not looked at."""

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
