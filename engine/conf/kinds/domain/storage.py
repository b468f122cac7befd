"""Where a disk's data is: ``<source>``, by the ``type`` of the disk and, over the network, by protocol.

Source: libvirt's "Domain XML format", Hard drives, floppy disks, CDROMs. A disk, each image it is based on and its
mirror have the same sources.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.common import HostPciAddress
from engine.conf.kinds.domain.chardev import Reconnect, UnixSocket
from engine.conf.kinds.domain.device import DeviceSecLabel
from engine.conf.kinds.storage_common import Encryption, Initiator
from engine.conf.kinds.values import (
    AbsFilePath,
    DeviceName,
    GenericName,
    HostName,
    ObjectName,
    PositiveInt,
    UInt32,
    UnsignedInt,
    Uuid,
    VolumeName,
    YesNo,
)
from engine.conf.nodes.node import Attr, Body, Child, Node, exactly_one, needs
from engine.conf.nodes.values import Pattern

__all__ = [
    "Auth",
    "BlockSource",
    "DirSource",
    "FileSource",
    "NetworkHost",
    "NetworkSource",
    "NvmeSource",
    "Reservations",
    "StartupPolicy",
    "StorageSource",
    "VhostUserSource",
    "VolumeSource",
]

VmwarePath = Annotated[str, Pattern("vmwarePath", r"\[[^\]]+\] .+", "a path of VMware such as [datastore] a/b.vmdk")]
CookieName = Annotated[str, Pattern("cookieName", r"[!#$%&'*+\-.0-9A-Z\^_`a-z|~]+", "a cookie's name")]
CookieValue = Annotated[
    str, Pattern("cookieValue", r""""?[!#$%&'()*+\-./0-9:>=<?@A-Z\^_`\[\]a-z|~]+"?""", "a cookie's value", secret=True)
]

#: What is done if it is missing when the domain starts: mandatory: that fails; optional: the disk is left out;
#: requisite: the disk is left out after a migration or when a saved guest goes on, and a boot fails.
StartupPolicy = Literal["mandatory", "requisite", "optional"]


# ---------------------------------------------------------------------------- parts of sources


class Slice(Node):
    """A part of what the source holds.

    Attributes:
        type_: storage: where in it the image is.
        offset, size: in bytes.
    """

    type_: Literal["storage"]
    offset: UnsignedInt
    size: PositiveInt


class Slices(Node):
    """Which part of the source is used."""

    slice: Slice


class Reservations(Node):
    """Persistent reservations of SCSI disks, which the guest may make then.

    Attributes:
        managed: yes: the helper that makes them is started with the guest; no: it is there, at ``source``.
    """

    managed: YesNo | None = None
    source: UnixSocket | None = None


class AuthSecret(Node):
    """The secret that holds the password or key, by its UUID or by what its ``usage`` calls it."""

    type_: Literal["ceph", "iscsi"]
    uuid: Uuid | None = None
    usage: ObjectName | None = None
    rules = (exactly_one("uuid", "usage"),)


class Auth(Node):
    """As whom to log in at the server.

    Attributes:
        username: the user.
        secret: the secret of the password.
    """

    username: GenericName
    secret: AuthSecret


class StorageSource(Node):
    """What sources of all kinds have, but for vhost-user.

    Attributes:
        index: (told, never set) what block jobs refer to it by, as in ``vda[2]``.
        slices: which part of it is used.
        encryption: how the image is encrypted.
        startup_policy: what is done if it is missing when the domain starts.
        seclabels: how it is labelled, where that is not as the domain's labels say.
    """

    index: PositiveInt | None = None
    slices: Slices | None = None


# ---------------------------------------------------------------------------- on the host


class FileSource(StorageSource):
    """A file.

    Attributes:
        file: its path; none: a drive without a medium.
        fdgroup: file descriptors handed over by this name are used instead of opening the file. Since 9.0.0.
    """

    file: AbsFilePath | VmwarePath | None = None
    fdgroup: str | None = None
    startup_policy: Annotated[StartupPolicy | None, Attr("startupPolicy")] = None
    encryption: Encryption | None = None
    seclabels: Annotated[tuple[DeviceSecLabel, ...], Child("seclabel")] = ()
    rules = (needs("fdgroup", "file"),)


class BlockSource(StorageSource):
    """A block device of the host.

    Attributes:
        dev: its path; none: a drive without a medium.
    """

    dev: AbsFilePath | DeviceName | None = None
    startup_policy: Annotated[StartupPolicy | None, Attr("startupPolicy")] = None
    encryption: Encryption | None = None
    reservations: Reservations | None = None
    seclabels: Annotated[tuple[DeviceSecLabel, ...], Child("seclabel")] = ()


class DirSource(StorageSource):
    """A directory, which the guest sees as a file system."""

    dir: AbsFilePath
    startup_policy: Annotated[StartupPolicy | None, Attr("startupPolicy")] = None
    encryption: Encryption | None = None


class VolumeSource(StorageSource):
    """A volume of a storage pool.

    Attributes:
        mode: of a volume in an iSCSI pool: host (what there is without one): the host's device of it; direct: the
            hypervisor connects to the server itself.
    """

    pool: ObjectName
    volume: VolumeName
    mode: Literal["host", "direct"] | None = None
    startup_policy: Annotated[StartupPolicy | None, Attr("startupPolicy")] = None
    encryption: Encryption | None = None
    seclabels: Annotated[tuple[DeviceSecLabel, ...], Child("seclabel")] = ()


class NvmeSource(StorageSource):
    """A namespace of an NVMe controller, which the hypervisor drives itself instead of the host's kernel.

    Attributes:
        namespace: its number, from 1.
        managed: yes: the controller is detached from the host when the domain starts; no: it has been by then.
        address: of the controller.
    """

    type_: Literal["pci"]
    namespace: UInt32
    managed: YesNo | None = None
    startup_policy: Annotated[StartupPolicy | None, Attr("startupPolicy")] = None
    address: HostPciAddress
    encryption: Encryption | None = None


class VhostUserSource(Node):
    """Another process, which serves the whole disk over a socket; the guest needs shared memory for it.

    Attributes:
        path: of the socket.
    """

    type_: Literal["unix"]
    path: AbsFilePath
    reconnect: Reconnect | None = None


# ---------------------------------------------------------------------------- over the network


class HostByName(Node):
    """A server.

    Attributes:
        transport: tcp when it is left out; rdma: (gluster).
        port: the protocol's own when it is left out.
    """

    known_by = ("name port", "name")
    transport: Literal["tcp", "rdma"] | None = None
    name: HostName
    port: UnsignedInt | None = None


class HostBySocket(Node):
    """A server on this host, behind a Unix socket."""

    known_by = ("socket",)
    transport: Literal["unix"]
    socket: AbsFilePath


NetworkHost: TypeAlias = HostByName | HostBySocket


class SourceSnapshot(Node):
    """A snapshot inside the image, which is used instead of it."""

    name: GenericName


class SourceConfig(Node):
    """A file with the settings of the protocol's client."""

    file: AbsFilePath


class Identity(Node):
    """As whom files are accessed.

    Attributes:
        user, group: names, or ``+`` and a number.
    """

    user: GenericName | None = None
    group: GenericName | None = None


class Ssl(Node):
    """How the server's certificate is treated."""

    verify: YesNo


class Cookie(Node):
    """A cookie that is sent to the server."""

    known_by = ("name",)
    name: CookieName
    value: Annotated[CookieValue, Body]


class Cookies(Node):
    """Cookies that are sent to the server."""

    cookies: Annotated[tuple[Cookie, ...], Child("cookie")]


class Readahead(Node):
    """How much is read ahead.

    Attributes:
        size: in bytes.
    """

    size: PositiveInt


class Timeout(Node):
    """When a connection fails."""

    seconds: PositiveInt


class NetworkStorageSource(StorageSource):
    """What sources of all protocols have.

    Attributes:
        name: of the volume, image or file at the server.
        host: the server.
        hosts: one or more of them.
        tls: whether the connection is encrypted; as the hypervisor's settings say when it is left out.
        auth: as whom to log in.
        readahead: how much is read ahead.
        timeout: when a connection fails.
        query: the part of the URL after ``?``.
        ssl: how the server's certificate is treated.
    """


class NbdSource(NetworkStorageSource):
    """An export of an NBD server.

    Attributes:
        tls_hostname: the name that its certificate must have, where that is not the host's.
    """

    protocol: Literal["nbd"]
    name: str | None = None
    tls: YesNo | None = None
    tls_hostname: Annotated[str | None, Attr("tlsHostname")] = None
    host: NetworkHost
    encryption: Encryption | None = None


class GlusterSource(NetworkStorageSource):
    """A file on a Gluster volume, named ``volume/path``."""

    protocol: Literal["gluster"]
    name: str
    hosts: Annotated[tuple[NetworkHost, ...], Child("host")]
    encryption: Encryption | None = None


class RbdSource(NetworkStorageSource):
    """An image of a Ceph cluster, named ``pool/image``.

    Attributes:
        hosts: its monitors; as the client's settings say when there are none.
    """

    protocol: Literal["rbd"]
    name: str | None = None
    hosts: Annotated[tuple[NetworkHost, ...], Child("host")] = ()
    snapshot: SourceSnapshot | None = None
    config: SourceConfig | None = None
    auth: Auth | None = None
    encryption: Encryption | None = None


class IscsiSource(NetworkStorageSource):
    """A unit of an iSCSI target.

    Attributes:
        name: of the target, with ``/`` and the unit's number, which is 0 when it is left out.
    """

    protocol: Literal["iscsi"]
    name: str
    host: NetworkHost
    auth: Auth | None = None
    encryption: Encryption | None = None
    initiator: Initiator | None = None


class TransferSource(NetworkStorageSource):
    """A file that is read from a server with a protocol for such."""

    name: str
    host: NetworkHost
    readahead: Readahead | None = None
    timeout: Timeout | None = None
    encryption: Encryption | None = None


class HttpSource(TransferSource):
    """A file at a web server."""

    protocol: Literal["http"]
    query: str | None = None
    cookies: Cookies | None = None
    auth: Auth | None = None


class HttpsSource(TransferSource):
    """A file at a web server, over TLS."""

    protocol: Literal["https"]
    query: str | None = None
    cookies: Cookies | None = None
    auth: Auth | None = None
    ssl: Ssl | None = None


class FtpSource(TransferSource):
    """A file at an FTP server."""

    protocol: Literal["ftp"]
    auth: Auth | None = None


class FtpsSource(TransferSource):
    """A file at an FTP server, over TLS."""

    protocol: Literal["ftps"]
    auth: Auth | None = None
    ssl: Ssl | None = None


class PlainSource(TransferSource):
    """A file at a TFTP server, or a volume of Sheepdog."""

    protocol: Literal["sheepdog", "tftp"]


class VxhsSource(NetworkStorageSource):
    """A volume of Veritas HyperScale, named by its UUID."""

    protocol: Literal["vxhs"]
    name: str
    tls: YesNo | None = None
    host: NetworkHost


class NfsSource(NetworkStorageSource):
    """A file of an NFS server, which the hypervisor reads itself."""

    protocol: Literal["nfs"]
    name: str
    host: NetworkHost
    identity: Identity


NetworkSource: TypeAlias = (
    NbdSource
    | GlusterSource
    | RbdSource
    | IscsiSource
    | HttpSource
    | HttpsSource
    | FtpSource
    | FtpsSource
    | PlainSource
    | VxhsSource
    | NfsSource
)
