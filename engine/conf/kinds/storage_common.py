"""What storage has in common in domains, pools, volumes, snapshots and backups: formats, encryption, access.

Source: libvirt's "Storage volume encryption XML format" and "Storage pool and volume XML format".
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.common import HostPciAddress
from engine.conf.kinds.values import (
    AbsFilePath,
    DiskTargetName,
    OctalMode,
    PositiveInt,
    UnsignedInt,
    UnsignedLong,
    Uuid,
    Wwn,
    YesNo,
)
from engine.conf.nodes.node import Node, Text, exactly_one, needs, together
from engine.conf.nodes.values import Number

__all__ = [
    "BackingFormat",
    "Cipher",
    "DiskOfDomain",
    "Encryption",
    "EncryptionSecret",
    "Extent",
    "FcHostAdapter",
    "FileSystem",
    "HostAdapter",
    "Initiator",
    "IvGen",
    "Permissions",
    "ScsiHostAdapter",
    "StorageFormat",
]

#: Formats of images that know what they are based on.
BackingFormat = Literal["cow", "qcow", "qcow2", "qed", "vmdk"]
StorageFormat = Literal[
    "raw", "dir", "bochs", "cloop", "dmg", "iso", "vpc", "vdi", "fat", "vhd", "ploop", "luks", BackingFormat
]
#: File systems on devices.
FileSystem = Literal[
    "auto", "ext2", "ext3", "ext4", "ufs", "iso9660", "udf", "gfs", "gfs2", "vfat", "hfs+", "xfs", "ocfs2", "vmfs"
]

OwnerId = Annotated[int, Number("ownerId", -1, 2**32 - 1, plain="[0-9]+|-1", what="a user's or group's number, or -1")]


class Permissions(Node):
    """Who may reach a directory or file.

    Attributes:
        mode: in octal; when libvirt makes it and nothing is said, 0711 for a pool and 0600 for a volume.
        owner, group: by number; -1 or nothing: that of libvirt's own process.
        label: of the security driver, such as SELinux.
    """

    mode: Annotated[OctalMode | None, Text] = None
    owner: Annotated[OwnerId | None, Text] = None
    group: Annotated[OwnerId | None, Text] = None
    label: Annotated[str | None, Text] = None


class Extent(Node):
    """A part of a device, in bytes."""

    start: UnsignedLong
    end: UnsignedLong


class DiskOfDomain(Node):
    """A disk of a domain, as snapshots and checkpoints name it.

    Attributes:
        name: its target's, as ``vda``, or the path of its image.
    """

    known_by = ("name",)
    name: DiskTargetName | AbsFilePath


# ---------------------------------------------------------------------------- encryption


class EncryptionSecret(Node):
    """The secret that holds the passphrase, by its UUID or by what its ``usage`` calls it."""

    type_: Literal["passphrase"]
    uuid: Uuid | None = None
    usage: str | None = None
    rules = (exactly_one("uuid", "usage"),)


class Cipher(Node):
    """How a volume that is created is encrypted.

    Attributes:
        name: of the algorithm, such as aes, serpent or twofish; which there are depends on the hypervisor.
        size: of its key, in bits.
        mode: such as cbc or xts.
        hash: of the master key, such as sha256.
    """

    name: str
    size: UnsignedInt
    mode: str | None = None
    hash: str | None = None
    rules = (together("mode", "hash"),)


class IvGen(Node):
    """How the initialization vectors of a cipher are made.

    Attributes:
        name: of the algorithm, such as plain64 or essiv.
        hash: that it uses.
    """

    name: str
    hash: str | None = None


class Encryption(Node):
    """How an image or a volume is encrypted.

    Attributes:
        format: luks; luks2 (of RBD images, by librbd); default and qcow are of old, and QEMU takes them no more.
        engine: who decrypts it, qemu when it is left out.
        secret: of its passphrase.
        cipher, ivgen: of a volume that is created; QEMU takes aes-256-cbc without them.
    """

    format: Literal["default", "qcow", "luks", "luks2"]
    engine: Literal["qemu", "librbd"] | None = None
    secret: EncryptionSecret | None = None
    cipher: Cipher | None = None
    ivgen: IvGen | None = None
    rules = (together("cipher", "ivgen"), needs("cipher", "secret"))


# ---------------------------------------------------------------------------- how a host reaches it


class Iqn(Node):
    """An iSCSI qualified name."""

    name: str


class Initiator(Node):
    """Who the host is to an iSCSI server.

    Attributes:
        iqn: the name it gives itself.
    """

    iqn: Iqn


class ParentAddress(Node):
    """The PCI device that a SCSI host belongs to.

    Attributes:
        unique_id: which of its SCSI hosts, as in sysfs; a ``scsi_hostN`` may be another after each boot, this is not.
    """

    unique_id: PositiveInt | None = None
    address: HostPciAddress


class ScsiHostAdapter(Node):
    """A SCSI host, by its name (``scsi_host2``) or by the PCI device it belongs to."""

    type_: Literal["scsi_host"] | None = None
    name: str | None = None
    parentaddr: ParentAddress | None = None
    rules = (exactly_one("name", "parentaddr"),)


class FcHostAdapter(Node):
    """A Fibre Channel host; if there is none of these names, a virtual one is created.

    Attributes:
        wwnn, wwpn: its node's name and its port's.
        parent: the host that a virtual one is created on.
        parent_wwnn, parent_wwpn: its names, instead of ``parent``.
        parent_fabric_wwn: the fabric that it is on, instead of either.
        managed: yes: a virtual one that was created goes with the pool.
    """

    type_: Literal["fc_host"]
    wwnn: Wwn
    wwpn: Wwn
    parent: str | None = None
    parent_wwnn: Wwn | None = None
    parent_wwpn: Wwn | None = None
    parent_fabric_wwn: Wwn | None = None
    managed: YesNo | None = None


HostAdapter: TypeAlias = ScsiHostAdapter | FcHostAdapter
