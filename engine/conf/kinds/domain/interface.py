"""Network cards, by what they are connected to. Source: "Network interfaces" of libvirt's "Domain XML format"."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.common import HostPciAddress
from engine.conf.kinds.domain.chardev import UnixSocket
from engine.conf.kinds.domain.device import HostUsbAddress, UsbIdentifier
from engine.conf.kinds.domain.network_card import NetworkCard
from engine.conf.kinds.network_common import Bridging, InterfaceIp, MacTableManager, Route, VirtualPort
from engine.conf.kinds.values import (
    DeviceName,
    IPv4Address,
    Long,
    PortNumber,
    Uuid,
    YesNo,
)
from engine.conf.nodes.node import Attr, Child, Node, Rule, needs
from engine.conf.nodes.values import Pattern

__all__ = ["Interface"]

BridgeName = Annotated[
    str, Pattern("bridgeName", r"[a-zA-Z0-9_\.\-\\:/ ]*", "a bridge's name (letters, digits and _ . - \\ : / or space)")
]


# ---------------------------------------------------------------------------- networks, bridges, devices


class NetworkPlace(Node):
    """Where in a virtual network a card is.

    Attributes:
        network: its name.
        portgroup: of the network, whose settings the card gets.
        portid: the network's port of it, where the guest runs.
    """

    network: str | None = None
    portgroup: DeviceName | None = None
    portid: Uuid | None = None
    rules: ClassVar[tuple[Rule, ...]] = (needs("portgroup", "network"), needs("portid", "network"))


class NetworkSource(NetworkPlace):
    """A virtual network.

    Attributes:
        bridge: of the network, where the guest runs.
        mac_table_manager: who keeps that bridge's table of addresses.
    """

    network: str
    bridge: BridgeName | None = None
    mac_table_manager: Annotated[MacTableManager | None, Attr("macTableManager")] = None
    rules = (needs("mac_table_manager", "bridge"),)


class BridgeSource(NetworkPlace):
    """A bridge of the host, or of Open vSwitch.

    Attributes:
        mac_table_manager: who keeps its table of addresses.
    """

    bridge: BridgeName
    mac_table_manager: Annotated[MacTableManager | None, Attr("macTableManager")] = None


class DirectSource(NetworkPlace):
    """A device of the host's, which the card shares.

    Attributes:
        mode: vepa (taken without one): all goes out, and the switch may send it back; bridge: guests on the device
            reach each other directly; private: not at all; passthrough: the guest has the device to itself.
    """

    dev: DeviceName
    mode: Bridging | None = None


class NetworkInterface(NetworkCard):
    """A card in a virtual network: recommended where the host's own network changes."""

    type_: Literal["network"]
    source: NetworkSource
    virtualport: VirtualPort | None = None


class BridgeInterface(NetworkCard):
    """A card on a bridge of the host's: recommended for hosts with a fixed, wired network."""

    type_: Literal["bridge"]
    source: BridgeSource | None = None
    virtualport: VirtualPort | None = None


class DirectInterface(NetworkCard):
    """A card directly on a device of the host's, by macvtap; the host itself can't reach it."""

    type_: Literal["direct"]
    source: DirectSource
    virtualport: VirtualPort | None = None


class EthernetSource(Node):
    """What the host's end is given."""

    ips: Annotated[tuple[InterfaceIp, ...], Child("ip")] = ()
    routes: Annotated[tuple[Route, ...], Child("route")] = ()


class EthernetInterface(NetworkCard):
    """A card whose other end is a device of the host's that something else connects."""

    type_: Literal["ethernet"]
    source: EthernetSource | None = None


class PassedUsbCardAddress(HostUsbAddress):
    """Where a USB network device is on the host."""

    type_: Literal["usb"]


class PassedPciCardAddress(HostPciAddress):
    """Where a PCI network device, mostly a virtual function of one, is on the host."""

    type_: Literal["pci"]


class PassedCardSource(Node):
    """A network device of the host's.

    Attributes:
        missing: (no effect)
    """

    missing: YesNo | None = None


class PassedCardAtAddress(PassedCardSource):
    """The one at an address."""

    address: PassedPciCardAddress | PassedUsbCardAddress


class PassedCardOfProduct(PassedCardSource):
    """A USB device of a product.

    Attributes:
        address: which of them.
    """

    vendor: UsbIdentifier
    product: UsbIdentifier
    address: HostUsbAddress | None = None


class HostdevInterface(NetworkCard):
    """A card of the host's that the guest has to itself, set up by the host first (address, VLAN, port of a switch).

    Attributes:
        managed: the host's driver lets go of it when the guest starts, and takes it back.
    """

    type_: Literal["hostdev"]
    managed: YesNo | None = None
    source: PassedCardAtAddress | PassedCardOfProduct
    virtualport: VirtualPort | None = None


class VhostUserInterface(NetworkCard):
    """A card whose packets a process of the host's moves, in the guest's memory, such as Open vSwitch with DPDK.

    Attributes:
        source: the socket, where that process is.
    """

    type_: Literal["vhostuser"]
    source: UnixSocket


class DeviceSource(Node):
    """A device of the host's.

    Attributes:
        dev: its name: for passt, whose routes the guest gets; for vDPA, as /dev/vhost-vdpa-0.
    """

    dev: DeviceName


class UserInterface(NetworkCard):
    """A card that a process connects, without any privileges: SLIRP in the hypervisor, or passt."""

    type_: Literal["user"]
    source: DeviceSource | None = None


class VdpaInterface(NetworkCard):
    """A card whose packets a device of the host's moves, as virtio says (vDPA)."""

    type_: Literal["vdpa"]
    source: DeviceSource


# ---------------------------------------------------------------------------- sockets


class PeerSource(Node):
    """Whom the card is connected to.

    Attributes:
        address: for multicast, one of a group.
    """

    address: IPv4Address
    port: PortNumber


class ServerSource(Node):
    """Where the card waits for others; without an address, on all of the host."""

    address: IPv4Address | None = None
    port: PortNumber


class LocalAddress(Node):
    """Where packets come from."""

    address: IPv4Address
    port: PortNumber


class UdpSource(PeerSource):
    """Whom packets go to, and from where."""

    local: LocalAddress


class PeerInterface(NetworkCard):
    """A card in a network of all that are in the same multicast group, or one connected to that of a server guest."""

    type_: Literal["mcast", "client"]
    source: PeerSource


class ServerInterface(NetworkCard):
    """A card that those of client guests are connected to."""

    type_: Literal["server"]
    source: ServerSource


class UdpInterface(NetworkCard):
    """A card that sends packets over UDP to another."""

    type_: Literal["udp"]
    source: UdpSource


# ---------------------------------------------------------------------------- of other hypervisors


class InternalSource(Node):
    """A network of the hypervisor's own."""

    name: DeviceName


class InternalInterface(NetworkCard):
    """(VirtualBox, Hyper-V) A card in a network that only guests are in."""

    type_: Literal["internal"]
    source: InternalSource


class VdsSource(Node):
    """A port of a distributed switch."""

    switchid: Uuid
    portid: Long
    portgroupid: str
    connectionid: Long


class VdsInterface(NetworkCard):
    """(VMware) A card on a distributed switch."""

    type_: Literal["vds"]
    source: VdsSource


class NullInterface(NetworkCard):
    """A card that is connected to nothing."""

    type_: Literal["null"]


Interface: TypeAlias = (
    NetworkInterface
    | BridgeInterface
    | DirectInterface
    | EthernetInterface
    | HostdevInterface
    | VhostUserInterface
    | UserInterface
    | VdpaInterface
    | PeerInterface
    | ServerInterface
    | UdpInterface
    | InternalInterface
    | VdsInterface
    | NullInterface
)
