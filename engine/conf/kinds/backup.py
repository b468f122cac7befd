"""``<domainbackup>``: a backup of a running domain's disks. Source: libvirt's "Backup XML format"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.domain.device import DeviceSecLabel
from engine.conf.kinds.storage_common import Cipher, EncryptionSecret, IvGen, StorageFormat
from engine.conf.kinds.unsound import Unsound, disks_twice
from engine.conf.kinds.values import AbsFilePath, DiskTargetName, HostName, UnsignedInt, YesNo
from engine.conf.nodes.node import Child, Definition, Node, Text, needs, together

__all__ = ["Backup", "BackupDocument", "PullBackup", "PullDisk", "PushBackup", "PushDisk"]


class BackupEncryption(Node):
    """How what libvirt writes is encrypted.

    Attributes:
        cipher: what QEMU takes if nothing is said is aes-256-cbc.
    """

    format: Literal["luks"]
    engine: Literal["qemu"] | None = None
    secret: EncryptionSecret
    cipher: Cipher | None = None
    ivgen: IvGen | None = None
    rules = (together("cipher", "ivgen"),)


class BackupPlace(Node):
    """A file or device that libvirt writes to.

    Attributes:
        seclabels: instead of the domain's own, for each security driver.
    """

    seclabels: Annotated[tuple[DeviceSecLabel, ...], Child("seclabel")] = ()
    encryption: BackupEncryption | None = None


class BackupFile(BackupPlace):
    """A file that libvirt writes to."""

    file: AbsFilePath


class BackupDevice(BackupPlace):
    """A device that libvirt writes to; its content is lost."""

    dev: AbsFilePath


class PushDriver(Node):
    """The format of the backup; qcow2 if nothing is said."""

    type_: StorageFormat


class PullDriver(Node):
    """The format of the scratch file."""

    type_: Literal["qcow2"]


class BackupDisk(Node):
    """A disk of the domain.

    Attributes:
        name: its target's, as ``vda``.
        backupmode: ``full``: even if the backup is incremental.
        incremental: the checkpoint that it starts from, instead of the backup's own.
    """

    known_by = ("name",)
    name: DiskTargetName
    backupmode: Literal["full", "incremental"] | None = None
    incremental: str | None = None

    def check(self) -> Iterator[str]:
        if self.backupmode == "full" and self.incremental is not None:
            yield "'incremental' can't be there if 'backupmode' is full"


# ---------------------------------------------------------------------------- push


class PushSkippedDisk(BackupDisk):
    """A disk that is left out."""

    backup: Literal["no"]


class PushFileDisk(BackupDisk):
    """A disk that is written to a file.

    Attributes:
        target: named after the disk's own image and the time if nothing is said.
    """

    backup: Literal["yes"] | None = None
    type_: Literal["file"]
    driver: PushDriver | None = None
    target: BackupFile | None = None


class PushBlockDisk(BackupDisk):
    """A disk that is written to a device."""

    backup: Literal["yes"] | None = None
    type_: Literal["block"]
    driver: PushDriver | None = None
    target: BackupDevice | None = None


PushDisk: TypeAlias = PushFileDisk | PushBlockDisk | PushSkippedDisk


class PushDisks(Node):
    """Which disks are backed up; those not named are not."""

    disks: Annotated[tuple[PushDisk, ...], Child("disk")]


# ---------------------------------------------------------------------------- pull


class ExportedDisk(BackupDisk):
    """A disk of the domain, and how the NBD server calls it.

    Attributes:
        exportname: the disk's, ``name`` if nothing is said.
        exportbitmap: the name of the bitmap of what has been written since the checkpoint.
    """

    exportname: str | None = None
    exportbitmap: str | None = None


class PullSkippedDisk(ExportedDisk):
    """A disk that is left out."""

    backup: Literal["no"]


class PullFileDisk(ExportedDisk):
    """A disk that is read from the server.

    Attributes:
        scratch: where what the guest overwrites meanwhile is kept; libvirt finds a name if nothing is said.
    """

    backup: Literal["yes"] | None = None
    type_: Literal["file"] | None = None
    driver: PullDriver | None = None
    scratch: BackupFile | None = None
    rules = (needs("backup", "type_"), needs("driver", "scratch"))


class PullBlockDisk(ExportedDisk):
    """A disk that is read from the server.

    Attributes:
        scratch: where what the guest overwrites meanwhile is kept.
    """

    backup: Literal["yes"] | None = None
    type_: Literal["block"]
    driver: PullDriver | None = None
    scratch: BackupDevice


PullDisk: TypeAlias = PullFileDisk | PullBlockDisk | PullSkippedDisk


class PullDisks(Node):
    """Which disks are backed up; those not named are not."""

    disks: Annotated[tuple[PullDisk, ...], Child("disk")]


class AddressServer(Node):
    """The NBD server listens on the network.

    Attributes:
        tls: who reads must have a certificate.
        name: the host's name or address; port: libvirt finds one if nothing is said.
    """

    tls: YesNo | None = None
    transport: Literal["tcp"] | None = None
    name: HostName
    port: UnsignedInt | None = None


class SocketServer(Node):
    """The NBD server listens on a UNIX socket.

    Attributes:
        tls: who reads must have a certificate.
    """

    tls: YesNo | None = None
    transport: Literal["unix"]
    socket: AbsFilePath


# ---------------------------------------------------------------------------- backups


class BackupDocument(Definition):
    """A backup.

    Attributes:
        incremental: only what has been written since this checkpoint; everything if there is none.
    """

    kind: ClassVar[str] = "domainbackup"
    incremental: Annotated[str | None, Text] = None


class PushBackup(BackupDocument):
    """The hypervisor writes the backup.

    Attributes:
        disks: all disks are backed up if nothing is said.
    """

    mode: Literal["push"] | None = None
    disks: PushDisks | None = None

    def unsound(self) -> Iterator[Unsound]:
        yield from disks_twice(self.disks)


class PullBackup(BackupDocument):
    """An NBD server shows the disks as they were when it began, until the job is ended.

    Attributes:
        disks: all disks are shown if nothing is said.
    """

    mode: Literal["pull"]
    server: AddressServer | SocketServer
    disks: PullDisks | None = None

    def unsound(self) -> Iterator[Unsound]:
        yield from disks_twice(self.disks)


Backup: TypeAlias = PushBackup | PullBackup
