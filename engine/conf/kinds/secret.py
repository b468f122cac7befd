"""``<secret>``: a password or key that libvirt keeps for something. Source: libvirt's "Secret XML format"."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from engine.conf.kinds.values import AbsFilePath, ObjectName, Uuid, YesNo
from engine.conf.nodes.node import Definition, Node, Text

__all__ = ["SecretDocument"]


class VolumeUsage(Node):
    """The passphrase of an encrypted volume.

    Attributes:
        volume: its absolute path.
    """

    type_: Literal["volume"]
    volume: Annotated[AbsFilePath, Text]


class IscsiUsage(Node):
    """A CHAP password for iSCSI.

    Attributes:
        target: what disks and pools refer to it by.
    """

    type_: Literal["iscsi"]
    target: Annotated[ObjectName, Text]


class NamedUsage(Node):
    """A key for Ceph, for TLS or for a virtual TPM's state.

    Attributes:
        name: what is referred to.
    """

    type_: Literal["ceph", "tls", "vtpm"]
    name: Annotated[ObjectName, Text]


class SecretDocument(Definition):
    """A secret, but for its value.

    Attributes:
        ephemeral: it is kept in memory only; private: its value is never told to a client.
        usage: what it is for.
    """

    kind: ClassVar[str] = "secret"
    ephemeral: YesNo | None = None
    private: YesNo | None = None
    uuid: Annotated[Uuid | None, Text] = None
    description: Annotated[str | None, Text] = None
    usage: VolumeUsage | IscsiUsage | NamedUsage | None = None
