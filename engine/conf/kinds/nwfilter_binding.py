"""``<filterbinding>``: a filter on a guest's network card. Source: libvirt's format of filter bindings."""

from __future__ import annotations

from typing import ClassVar

from engine.conf.kinds.network_common import CardAddress, FilterRef, Owner
from engine.conf.nodes.node import Definition, Node

__all__ = ["NwfilterBindingDocument"]


class BoundDevice(Node):
    """A network device of the host."""

    name: str


class NwfilterBindingDocument(Definition):
    """A filter that is in force for a guest's network card.

    Attributes:
        owner: the guest's domain.
        portdev: the host's end of the card, which is filtered.
        linkdev: (macvtap) the host's card beneath it.
        mac: the guest's.
    """

    kind: ClassVar[str] = "filterbinding"
    owner: Owner
    portdev: BoundDevice
    linkdev: BoundDevice | None = None
    mac: CardAddress
    filterref: FilterRef
