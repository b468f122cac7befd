"""The domain in a snapshot or checkpoint, as far as these need it. To be replaced by the domain's own declarations."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.conf.kinds.values import UnsignedInt
from engine.conf.nodes.node import Node, Open

__all__ = ["DomainStandIn"]


class DomainStandIn(Node):
    """A whole domain, which may also be called ``<inactiveDomain>``.

    Attributes:
        content: each element as XML text.
    """

    type_: Literal[
        "qemu", "kqemu", "kvm", "xen", "lxc", "uml", "openvz", "test", "vmware", "hyperv", "vbox", "phyp", "vz",
        "bhyve", "hvf",
    ]  # fmt: skip
    id: UnsignedInt | None = None
    content: Annotated[tuple[str, ...], Open("##any")] = ()
