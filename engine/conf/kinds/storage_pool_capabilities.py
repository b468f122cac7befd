"""``<storagepoolCapabilities>``: what pools a host can have. Source: libvirt's "Storage Pool Capabilities XML"."""

from __future__ import annotations

from typing import Annotated, ClassVar

from engine.conf.kinds.common import Choices
from engine.conf.kinds.values import YesNo
from engine.conf.nodes.node import Child, Definition, Node

__all__ = ["PoolCapabilities", "StoragePoolCapabilitiesDocument"]


class DefaultFormat(Node):
    """The format that is taken where none is said."""

    type_: str


class PoolOptions(Node):
    """What may be said of a pool's source."""

    default_format: Annotated[DefaultFormat | None, Child("defaultFormat")] = None
    enums: Annotated[tuple[Choices, ...], Child("enum")] = ()


class VolumeOptions(Node):
    """What may be said of a pool's volumes."""

    default_format: Annotated[DefaultFormat, Child("defaultFormat")]
    enums: Annotated[tuple[Choices, ...], Child("enum")] = ()


class PoolCapabilities(Node):
    """One type of pool, and whether the host can have such pools."""

    known_by = ("type_",)
    type_: str
    supported: YesNo
    pool_options: Annotated[PoolOptions | None, Child("poolOptions")] = None
    volume_options: Annotated[VolumeOptions | None, Child("volOptions")] = None


class StoragePoolCapabilitiesDocument(Definition):
    """Which types of storage pools a host can have, and with which formats."""

    kind: ClassVar[str] = "storagepoolCapabilities"
    pools: Annotated[tuple[PoolCapabilities, ...], Child("pool")] = ()
