"""``<domainsnapshot>``: a domain's state at a point in time. Source: libvirt's "Snapshot XML format"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.common import Metadata
from engine.conf.kinds.domain.device import DeviceSecLabel
from engine.conf.kinds.domain.disk import MetadataCache
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.storage import NetworkSource, StorageSource
from engine.conf.kinds.storage_common import BackingFormat, DiskOfDomain, Encryption
from engine.conf.kinds.unsound import Unsound, disks_twice
from engine.conf.kinds.values import AbsFilePath, Uuid
from engine.conf.nodes.node import Child, Definition, Node, Text

__all__ = ["SnapshotDisk", "SnapshotDocument"]


class PlainSnapshotMemory(Node):
    """What becomes of the guest's memory.

    Attributes:
        snapshot: ``no``: it is not kept; ``internal``: it is kept in an image, with the disks.
    """

    snapshot: Literal["no", "internal"]


class FileSnapshotMemory(Node):
    """The guest's memory is kept in a file."""

    snapshot: Literal["external"] | None = None
    file: AbsFilePath


SnapshotMemory: TypeAlias = PlainSnapshotMemory | FileSnapshotMemory


class SnapshotDriver(Node):
    """How the new image is made.

    Attributes:
        type_: its format.
    """

    type_: BackingFormat | None = None
    metadata_cache: MetadataCache | None = None


class FileSnapshotSource(StorageSource):
    """The file that takes what the guest writes from now on.

    Attributes:
        file: libvirt finds a name if none is given.
        seclabels: for this file instead of the domain's own, for each security driver.
    """

    file: AbsFilePath | None = None
    seclabels: Annotated[tuple[DeviceSecLabel, ...], Child("seclabel")] = ()
    encryption: Encryption | None = None


class BlockSnapshotSource(StorageSource):
    """The device that takes what the guest writes from now on.

    Attributes:
        seclabels: for this device instead of the domain's own, for each security driver.
    """

    dev: AbsFilePath
    seclabels: Annotated[tuple[DeviceSecLabel, ...], Child("seclabel")] = ()
    encryption: Encryption | None = None


class PlainSnapshotDisk(DiskOfDomain):
    """A disk without a new image.

    Attributes:
        snapshot: ``no``: nothing is done; ``internal``: its image keeps the snapshot; ``manual``: the guest is paused,
            that someone else can make one.
    """

    snapshot: Literal["no", "internal", "manual"]


class FileSnapshotDisk(DiskOfDomain):
    """A disk that goes on in a new file; the one it had is the snapshot."""

    snapshot: Literal["external"] | None = None
    type_: Literal["file"] | None = None
    driver: SnapshotDriver | None = None
    source: FileSnapshotSource | None = None


class BlockSnapshotDisk(DiskOfDomain):
    """A disk that goes on in a device of the host; what it had is the snapshot."""

    snapshot: Literal["external"] | None = None
    type_: Literal["block"]
    driver: SnapshotDriver | None = None
    source: BlockSnapshotSource | None = None


class NetworkSnapshotDisk(DiskOfDomain):
    """A disk that goes on in an image on the network; what it had is the snapshot."""

    snapshot: Literal["external"] | None = None
    type_: Literal["network"]
    source: NetworkSource


SnapshotDisk: TypeAlias = PlainSnapshotDisk | FileSnapshotDisk | BlockSnapshotDisk | NetworkSnapshotDisk


class SnapshotDisks(Node):
    """What becomes of the domain's disks; those not named are treated as the domain's document says."""

    disks: Annotated[tuple[SnapshotDisk, ...], Child("disk")] = ()


class DomainReference(Node):
    """The domain, of which an old libvirt kept nothing else."""

    uuid: Annotated[Uuid, Text]


class SnapshotParent(Node):
    """(told by libvirt) The snapshot that this one came after."""

    name: Annotated[str, Text]


class SaveCookie(Metadata):
    """(told by libvirt) What it needs to go on from the snapshot, and can't say in the domain."""


class SnapshotDocument(Definition):
    """A snapshot: of a domain's disks, of its memory, or of both.

    Attributes:
        name: made of the time if there is none.
        state: (told by libvirt) of the domain then; ``disk-snapshot``: its memory was not kept.
        creation_time: (told by libvirt) in seconds since 1970.
        active: (told by libvirt) 1 for the domain's current snapshot.
        domain: (told by libvirt) as it will be when it is started again; very old snapshots have only its UUID.
        inactive_domain: the same, where ``domain`` is as it was while it ran.
    """

    kind: ClassVar[str] = "domainsnapshot"
    name: Annotated[str | None, Text] = None
    description: Annotated[str | None, Text] = None
    state: Annotated[
        Literal["running", "blocked", "paused", "shutdown", "shutoff", "crashed", "disk-snapshot"] | None, Text
    ] = None
    creation_time: Annotated[str | None, Text("creationTime")] = None
    parent: SnapshotParent | None = None
    memory: SnapshotMemory | None = None
    disks: SnapshotDisks | None = None
    domain: DomainReference | DomainDocument | None = None
    inactive_domain: Annotated[DomainDocument | None, Child("inactiveDomain")] = None
    active: Annotated[Literal["0", "1"] | None, Text] = None
    cookie: SaveCookie | None = None

    def unsound(self) -> Iterator[Unsound]:
        yield from disks_twice(self.disks)
