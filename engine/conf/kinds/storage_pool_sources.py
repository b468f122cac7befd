"""Where the volumes of each type of pool come from. Source: libvirt's "Storage pool and volume XML format"."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.conf.kinds.storage_common import Extent, FileSystem, HostAdapter, Initiator
from engine.conf.kinds.values import AbsDirPath, AbsFilePath, FilePath, GenericName, HostName, PortNumber, YesNo
from engine.conf.nodes.node import Child, Node, Text, exactly_one
from engine.conf.nodes.values import Pattern

__all__ = [
    "DirSource",
    "DiskSource",
    "FsSource",
    "GlusterSource",
    "IscsiDirectSource",
    "IscsiSource",
    "LogicalSource",
    "MpathSource",
    "NfsSource",
    "RbdSource",
    "ScsiSource",
    "ShareSource",
    "SheepdogSource",
    "VstorageSource",
    "ZfsSource",
]

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

    known_by = ("name port", "name")
    name: HostName
    port: PortNumber | None = None


class Directory(Node):
    """A directory."""

    path: AbsDirPath


class Share(Node):
    """What a server shares; for CIFS without a slash before it."""

    path: FilePath


class SourceDevice(Node):
    """The device that volumes are made of.

    Attributes:
        path: to a block device; or the name of an iSCSI target, or what the kind of pool calls its devices.
        part_separator: (disk pools, multipath) partitions have a ``p`` before their number.
        free_extents: (told by libvirt) what no volume has yet, in pools that can tell.
    """

    known_by = ("path",)
    path: AbsFilePath | GenericName | IscsiName
    part_separator: YesNo | None = None
    free_extents: Annotated[tuple[Extent, ...], Child("freeExtent")] = ()


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

    adapter: HostAdapter


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
