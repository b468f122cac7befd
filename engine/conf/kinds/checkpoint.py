"""``<domaincheckpoint>``: a point in time that backups can start from. Source: libvirt's "Checkpoint XML format"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.storage_common import DiskOfDomain
from engine.conf.kinds.unsound import Unsound, disks_twice
from engine.conf.kinds.values import UnsignedLong
from engine.conf.nodes.node import Child, Definition, Node, Text
from engine.conf.nodes.values import Pattern

__all__ = ["CheckpointDisk", "CheckpointDocument"]

CheckpointName = Annotated[
    str,
    Pattern("checkpointName", r"[a-zA-Z0-9_\-][a-zA-Z0-9_\-.]*", "a name of letters, digits and _ - . (not first)"),
]


class SkippedDisk(DiskOfDomain):
    """A disk of which nothing is noted."""

    checkpoint: Literal["no"]


class BitmapDisk(DiskOfDomain):
    """A disk of which it is noted what is written to it from then on.

    Attributes:
        bitmap: where that is noted in the image; named as the checkpoint if nothing is said.
        size: (told by libvirt) how much has been written, in bytes.
    """

    checkpoint: Literal["bitmap"] | None = None
    bitmap: str | None = None
    size: UnsignedLong | None = None


CheckpointDisk: TypeAlias = SkippedDisk | BitmapDisk


class CheckpointDisks(Node):
    """Of which disks it is noted what is written to them; of those not named it is not."""

    disks: Annotated[tuple[CheckpointDisk, ...], Child("disk")]


class CheckpointParent(Node):
    """(told by libvirt) The checkpoint that this one came after."""

    name: Annotated[CheckpointName, Text]


class CheckpointDocument(Definition):
    """A checkpoint: from then on it is noted what a domain writes to its disks.

    Attributes:
        name: made of the time if there is none.
        creation_time: (told by libvirt) in seconds since 1970.
        domain: (told by libvirt) as it was then.
    """

    kind: ClassVar[str] = "domaincheckpoint"
    name: Annotated[CheckpointName | None, Text] = None
    description: Annotated[str | None, Text] = None
    parent: CheckpointParent | None = None
    creation_time: Annotated[UnsignedLong | None, Text("creationTime")] = None
    disks: CheckpointDisks | None = None
    domain: DomainDocument | None = None

    def unsound(self) -> Iterator[Unsound]:
        yield from disks_twice(self.disks)
