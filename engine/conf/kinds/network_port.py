"""``<networkport>``: a guest's connection to a virtual network. Source: libvirt's "Network Port XML format"."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.common import HostPciAddress
from engine.conf.kinds.network_common import (
    AssignmentDriver,
    Bandwidth,
    Bridging,
    CardAddress,
    MacTableManager,
    Owner,
    PortOptions,
    VirtualPort,
    Vlan,
)
from engine.conf.kinds.values import DeviceName, Uuid, YesNo
from engine.conf.nodes.node import Attr, Definition, Node, Text

__all__ = ["NetworkPortDocument", "Plug"]


class ReceiveFilters(Node):
    """What the guest may change of its card.

    Attributes:
        trust_guest: the host follows its changes of MAC address and receive filters.
    """

    trust_guest: Annotated[YesNo, Attr("trustGuest")]


class BridgePlug(Node):
    """A bridge of the host, which belongs to the network (network) or was there without it (bridge).

    Attributes:
        mac_table_manager: who keeps the bridge's table of MAC addresses.
    """

    type_: Literal["network", "bridge"]
    bridge: DeviceName
    mac_table_manager: Annotated[MacTableManager | None, Attr("macTableManager")] = None


class DirectPlug(Node):
    """A network card of the host, by macvtap.

    Attributes:
        mode: how the card's guests see each other.
    """

    type_: Literal["direct"]
    dev: DeviceName
    mode: Bridging


class HostdevPlug(Node):
    """A PCI device of the host, which is given to the guest.

    Attributes:
        managed: libvirt takes it from the host's driver, and gives it back.
    """

    type_: Literal["hostdev-pci"]
    managed: YesNo | None = None
    driver: AssignmentDriver | None = None
    address: HostPciAddress


Plug: TypeAlias = BridgePlug | DirectPlug | HostdevPlug


class NetworkPortDocument(Definition):
    """A guest's connection to a virtual network.

    Attributes:
        owner: the guest's domain.
        mac: the guest's.
        group: the network's port group that it belongs to.
        plug: what it is connected to.
    """

    kind: ClassVar[str] = "networkport"
    uuid: Annotated[Uuid, Text]
    owner: Owner
    mac: CardAddress
    group: Annotated[DeviceName | None, Text] = None
    rxfilters: ReceiveFilters | None = None
    virtualport: VirtualPort | None = None
    bandwidth: Bandwidth | None = None
    vlan: Vlan | None = None
    port: PortOptions | None = None
    plug: Plug | None = None
