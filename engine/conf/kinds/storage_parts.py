"""What pools, volumes, snapshots and backups say of storage: permissions, encryption, labels, network sources.

Source: libvirt's "Storage pool and volume XML format", "Storage volume encryption XML format" and "Domain XML format".
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.values import (
    AbsFilePath,
    DnsName,
    GenericName,
    IPAddress,
    ObjectName,
    OctalMode,
    PositiveInt,
    UnsignedInt,
    Uuid,
    YesNo,
)
from engine.conf.nodes.node import Attr, Body, Child, Node, Text, exactly_one, needs, together
from engine.conf.nodes.values import Number, Pattern

__all__ = [
    "BackingFormat",
    "Cipher",
    "DeviceSeclabel",
    "DiskTargetName",
    "Encryption",
    "FileSystem",
    "HostName",
    "ImageFormat",
    "Initiator",
    "NetworkSource",
    "Passphrase",
    "Permissions",
    "SourceParts",
    "VectorGenerator",
]

HostName: TypeAlias = DnsName | IPAddress
DiskTargetName = Annotated[
    str,
    Pattern("diskTargetName", "(ioemu:)?(fd|hd|sd|vd|xvd|ubd)[a-zA-Z0-9_]+", "the name of a disk's target, as vda"),
]
OwnerId = Annotated[int, Number("ownerId", -1, 2**32 - 1, plain="[0-9]+|-1", what="a user's or group's number, or -1")]
CookieName = Annotated[str, Pattern("cookieName", r"[!#$%&'*+\-.0-9A-Z\^_`a-z|~]+", "the name of a cookie")]
CookieValue = Annotated[
    str,
    Pattern("cookieValue", r""""?[!#$%&'()*+\-./0-9:>=<?@A-Z\^_`\[\]a-z|~]+"?""", "the value of a cookie"),
]

#: Formats of images that may have a backing image.
BackingFormat: TypeAlias = Literal["cow", "qcow", "qcow2", "qed", "vmdk"]
ImageFormat: TypeAlias = (
    Literal["raw", "dir", "bochs", "cloop", "dmg", "iso", "vpc", "vdi", "fat", "vhd", "ploop", "luks"] | BackingFormat
)
#: File systems on devices.
FileSystem: TypeAlias = Literal[
    "auto", "ext2", "ext3", "ext4", "ufs", "iso9660", "udf", "gfs", "gfs2", "vfat", "hfs+", "xfs", "ocfs2", "vmfs"
]


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


# ---------------------------------------------------------------------------- encryption


class Passphrase(Node):
    """The secret that opens an encrypted volume.

    Attributes:
        uuid: of the secret; usage: or the volume that the secret says it is for.
    """

    type_: Literal["passphrase"]
    uuid: Uuid | None = None
    usage: str | None = None
    rules = (exactly_one("uuid", "usage"),)


class Cipher(Node):
    """How the data is encrypted; which ciphers there are depends on the hypervisor.

    Attributes:
        name: such as ``aes``; size: of the key in bits; mode: such as ``xts``; hash: of the master key.
    """

    name: str
    size: UnsignedInt
    mode: str | None = None
    hash: str | None = None
    rules = (together("mode", "hash"),)


class VectorGenerator(Node):
    """Where the initialization vectors come from.

    Attributes:
        name: such as ``plain64`` or ``essiv``.
    """

    name: str
    hash: str | None = None


class Encryption(Node):
    """How a volume is encrypted.

    Attributes:
        format: ``default`` and ``qcow`` can't be made any more; ``luks2`` only with the engine ``librbd``.
        engine: who decrypts, ``qemu`` if nothing is said; the storage driver pays no heed to it.
        cipher: (luks) for a volume that is to be made; what QEMU takes if nothing is said is aes-256-cbc.
    """

    format: Literal["default", "qcow", "luks", "luks2"]
    engine: Literal["qemu", "librbd"] | None = None
    secret: Passphrase | None = None
    cipher: Cipher | None = None
    ivgen: VectorGenerator | None = None
    rules = (together("cipher", "ivgen"), needs("cipher", "secret"))


# ---------------------------------------------------------------------------- files and devices of disks


class KeptLabel(Node):
    """The file keeps the label it has.

    Attributes:
        model: the security driver that this is for, each if there are several.
    """

    known_by = ("model",)
    relabel: Literal["no"]
    model: str | None = None


class SkippedLabel(Node):
    """(told by libvirt) The file could not be given a label."""

    known_by = ("model",)
    labelskip: Literal["yes"]
    model: str | None = None


class GivenLabel(Node):
    """The file is given a label of its own."""

    known_by = ("model",)
    relabel: Literal["yes"] | None = None
    model: str | None = None
    labels: Annotated[tuple[str, ...], Text("label")]


DeviceSeclabel: TypeAlias = KeptLabel | SkippedLabel | GivenLabel


class Iqn(Node):
    """An iSCSI qualified name."""

    name: str


class Initiator(Node):
    """Who asks an iSCSI target.

    Attributes:
        iqn: the name it has in the storage network.
    """

    iqn: Iqn


class Slice(Node):
    """The part of an image that a disk is."""

    type_: Literal["storage"]
    offset: UnsignedInt
    size: PositiveInt


class Slices(Node):
    """Of what part of the image the disk is."""

    slice: Slice


class SourceParts(Node):
    """What every source of a disk may say.

    Attributes:
        index: (told by libvirt) by which jobs refer to the image, as in ``vda[2]``.
        slices: the disk is only a part of the image.
    """

    index: PositiveInt | None = None
    slices: Slices | None = None


# ---------------------------------------------------------------------------- network sources


class HostAddress(Node):
    """A server on the network.

    Attributes:
        transport: ``tcp`` if nothing is said.
    """

    known_by = ("name port", "name")
    name: HostName
    port: UnsignedInt | None = None
    transport: Literal["tcp", "rdma"] | None = None


class HostSocket(Node):
    """A server behind a UNIX socket."""

    known_by = ("socket",)
    transport: Literal["unix"]
    socket: AbsFilePath


Host: TypeAlias = HostAddress | HostSocket


class DiskSecret(Node):
    """The secret that holds a password.

    Attributes:
        uuid: of the secret; usage: or what it says it is for.
    """

    type_: Literal["ceph", "iscsi"]
    uuid: Uuid | None = None
    usage: ObjectName | None = None
    rules = (exactly_one("uuid", "usage"),)


class DiskAuth(Node):
    """Who the server is to think it talks to."""

    username: GenericName
    secret: DiskSecret


class NbdSource(SourceParts):
    """An export of an NBD server.

    Attributes:
        name: of the export; tls_hostname: the name in the server's certificate.
    """

    protocol: Literal["nbd"]
    name: str | None = None
    tls: YesNo | None = None
    tls_hostname: Annotated[str | None, Attr("tlsHostname")] = None
    host: Host
    encryption: Encryption | None = None


class GlusterSource(SourceParts):
    """A file in a Gluster volume.

    Attributes:
        name: volume/path; hosts: of the cluster.
    """

    protocol: Literal["gluster"]
    name: str
    hosts: Annotated[tuple[Host, ...], Child("host")]
    encryption: Encryption | None = None


class RbdSnapshot(Node):
    """The snapshot of an RBD image that is read."""

    name: GenericName


class RbdConfig(Node):
    """A configuration file of Ceph's."""

    file: AbsFilePath


class RbdSource(SourceParts):
    """An image in a Ceph cluster.

    Attributes:
        name: pool/image; hosts: the cluster's monitors, those of ``config`` if there are none.
    """

    protocol: Literal["rbd"]
    name: str | None = None
    hosts: Annotated[tuple[Host, ...], Child("host")] = ()
    snapshot: RbdSnapshot | None = None
    config: RbdConfig | None = None
    auth: DiskAuth | None = None
    encryption: Encryption | None = None


class IscsiSource(SourceParts):
    """A unit of an iSCSI target.

    Attributes:
        name: the target's, with ``/`` and the unit's number.
    """

    protocol: Literal["iscsi"]
    name: str
    host: Host
    auth: DiskAuth | None = None
    encryption: Encryption | None = None
    initiator: Initiator | None = None


class ReadAhead(Node):
    """How many bytes are asked for in advance."""

    size: PositiveInt


class Timeout(Node):
    """How long is waited for the server."""

    seconds: PositiveInt


class Cookie(Node):
    """A cookie that is sent."""

    known_by = ("name",)
    name: CookieName
    value: Annotated[CookieValue, Body]


class Cookies(Node):
    """What is sent as cookies."""

    cookies: Annotated[tuple[Cookie, ...], Child("cookie")]


class Ssl(Node):
    """Whether the server's certificate is looked at."""

    verify: YesNo


class ServerParts(SourceParts):
    """What QEMU's own clients of file servers may be told.

    Attributes:
        name: the path on the server.
    """

    name: str
    host: Host
    encryption: Encryption | None = None
    readahead: ReadAhead | None = None
    timeout: Timeout | None = None


class SimpleSource(ServerParts):
    """An image in a Sheepdog cluster, or a file of a TFTP server."""

    protocol: Literal["sheepdog", "tftp"]


class FtpSource(ServerParts):
    """A file of an FTP server."""

    protocol: Literal["ftp"]
    auth: DiskAuth | None = None


class FtpsSource(ServerParts):
    """A file of an FTP server, encrypted on its way."""

    protocol: Literal["ftps"]
    auth: DiskAuth | None = None
    ssl: Ssl | None = None


class HttpSource(ServerParts):
    """A file of a web server.

    Attributes:
        query: what follows the ``?`` of its URL.
    """

    protocol: Literal["http"]
    query: str | None = None
    auth: DiskAuth | None = None
    cookies: Cookies | None = None


class HttpsSource(ServerParts):
    """A file of a web server, encrypted on its way.

    Attributes:
        query: what follows the ``?`` of its URL.
    """

    protocol: Literal["https"]
    query: str | None = None
    auth: DiskAuth | None = None
    cookies: Cookies | None = None
    ssl: Ssl | None = None


class VxhsSource(SourceParts):
    """A volume of Veritas HyperScale's.

    Attributes:
        name: the volume's UUID.
    """

    protocol: Literal["vxhs"]
    name: str
    tls: YesNo | None = None
    host: Host


class NfsIdentity(Node):
    """Who the NFS server is to think it talks to: names, or ``+`` and a number."""

    user: GenericName | None = None
    group: GenericName | None = None


class NfsSource(SourceParts):
    """A file of an NFS server that QEMU reads by itself."""

    protocol: Literal["nfs"]
    name: str
    host: Host
    identity: NfsIdentity


NetworkSource: TypeAlias = (
    NbdSource
    | GlusterSource
    | RbdSource
    | IscsiSource
    | HttpSource
    | HttpsSource
    | FtpSource
    | FtpsSource
    | SimpleSource
    | VxhsSource
    | NfsSource
)
