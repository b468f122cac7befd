"""``<filesystem>``: what of the host the guest sees as a file system. Source: libvirt's "Domain XML format"."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.device import Acpi, Boot, Device, VirtioDriver, VirtioModel
from engine.conf.kinds.storage_common import StorageFormat
from engine.conf.kinds.values import (
    AbsDirPath,
    AbsFilePath,
    GenericName,
    Integer,
    OnOff,
    Unit,
    UnsignedInt,
    UnsignedLong,
)
from engine.conf.nodes.node import Flag, Node, exactly_one
from engine.conf.nodes.values import Number

__all__ = ["BaseFilesystem", "Filesystem", "FilesystemDriver"]

CreateMode = Annotated[
    int, Number("createMode", 0, 0o777, plain="0[0-7]{3}|[0-7]{1,3}", base=8, what="an octal file mode up to 777")
]


# ---------------------------------------------------------------------------- how it is served


class PlainFilesystemDriver(VirtioDriver):
    """How the hypervisor serves it, but for virtiofs.

    Attributes:
        type_: path, handle: by 9p (QEMU); loop, nbd: as an image (LXC); ploop: (Virtuozzo)
        format: of an image.
        wrpolicy: immediate: what is written is written out at once.
    """

    type_: Literal["path", "handle", "loop", "nbd", "ploop"] | None = None
    format: StorageFormat | None = None
    wrpolicy: Literal["immediate"] | None = None


class VirtiofsDriver(VirtioDriver):
    """A virtiofs daemon serves it, for which the guest needs shared memory.

    Attributes:
        queue: how many requests may wait.
    """

    type_: Literal["virtiofs"]
    queue: UnsignedInt | None = None


FilesystemDriver: TypeAlias = PlainFilesystemDriver | VirtiofsDriver


class VirtiofsCache(Node):
    """What the guest may keep in its memory."""

    mode: Literal["none", "always"] | None = None


class VirtiofsSandbox(Node):
    """How the daemon is confined to what it serves. Since 7.2.0."""

    mode: Literal["namespace", "chroot"] | None = None


class VirtiofsLock(Node):
    """Which locks of files go as far as the host."""

    posix: OnOff | None = None
    flock: OnOff | None = None


class VirtiofsThreadPool(Node):
    """How many threads serve requests at most; 0: there is no pool. Since 8.5.0."""

    size: Integer | None = None


class VirtiofsBinary(Node):
    """The virtiofs daemon that is started.

    Attributes:
        path: of its program.
        xattr: extended attributes of files are served.
    """

    path: AbsFilePath | None = None
    xattr: OnOff | None = None
    cache: VirtiofsCache | None = None
    sandbox: VirtiofsSandbox | None = None
    lock: VirtiofsLock | None = None
    thread_pool: VirtiofsThreadPool | None = None


# ---------------------------------------------------------------------------- sources and target


class DirectorySource(Node):
    """A directory of the host."""

    dir: AbsDirPath


class MountSource(Node):
    """A directory of the host, or the socket of a virtiofs daemon that runs already."""

    dir: AbsDirPath | None = None
    socket: AbsFilePath | None = None
    rules = (exactly_one("dir", "socket"),)


class ImageSource(Node):
    """A file with a file system in it."""

    file: AbsFilePath


class DeviceSource(Node):
    """A block device with a file system on it."""

    dev: AbsFilePath


class TemplateSource(Node):
    """A template of a container's files."""

    name: GenericName


class RamSource(Node):
    """The host's memory.

    Attributes:
        usage: how much at most, in KiB without ``units``.
    """

    usage: UnsignedLong
    units: Unit | None = None


class FilesystemTarget(Node):
    """Where the guest sees it.

    Attributes:
        dir: where it is mounted in a container; for QEMU a tag by which the guest can mount it.
    """

    dir: str


# ---------------------------------------------------------------------------- file systems


class BaseFilesystem(Device):
    """A file system of the guest.

    Attributes:
        model: of a virtio device.
        accessmode: with whose permissions files are accessed (9p): passthrough: the guest's users; mapped: the
            hypervisor, which keeps the guest's in extended attributes; squash: as passthrough, but what fails for lack
            of privileges is not told.
        multidevs: what is done if there are several devices below the directory (9p). Since 6.3.0.
        fmode, dmode: the modes of new files and directories, when ``accessmode`` is mapped. Since 6.10.0.
        space_hard_limit, space_soft_limit: how much it may hold, in bytes without a unit; more than the soft limit for
            some time only.
    """

    comes_first = ("driver", "binary", "source", "target")
    unit_inside = "bytes"
    known_by = ("target.dir",)
    model: VirtioModel | None = None
    accessmode: Literal["passthrough", "mapped", "squash"] | None = None
    multidevs: Literal["default", "remap", "forbid", "warn"] | None = None
    fmode: CreateMode | None = None
    dmode: CreateMode | None = None
    driver: FilesystemDriver | None = None
    target: FilesystemTarget
    readonly: Annotated[bool, Flag] = False
    space_hard_limit: ScaledInteger | None = None
    space_soft_limit: ScaledInteger | None = None
    boot: Boot | None = None
    acpi: Acpi | None = None


class MountFilesystem(BaseFilesystem):
    """A directory of the host.

    Attributes:
        binary: the virtiofs daemon that is started for it. Since 6.2.0.
    """

    type_: Literal["mount"] | None = None
    binary: VirtiofsBinary | None = None
    source: MountSource


class BindFilesystem(BaseFilesystem):
    """A directory of a container, at a second place in it."""

    type_: Literal["bind"]
    source: DirectorySource


class FileFilesystem(BaseFilesystem):
    """An image, for a container."""

    type_: Literal["file"]
    source: ImageSource


class BlockFilesystem(BaseFilesystem):
    """A block device, for a container."""

    type_: Literal["block"]
    source: DeviceSource


class TemplateFilesystem(BaseFilesystem):
    """A copy of a template (OpenVZ)."""

    type_: Literal["template"]
    source: TemplateSource


class RamFilesystem(BaseFilesystem):
    """An empty file system in memory, for a container."""

    type_: Literal["ram"]
    source: RamSource


Filesystem: TypeAlias = (
    MountFilesystem | BindFilesystem | FileFilesystem | BlockFilesystem | TemplateFilesystem | RamFilesystem
)
