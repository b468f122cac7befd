"""``<interface>`` as a document of its own: a network interface of the host. Source: libvirt's interface schema."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.network_common import LinkState
from engine.conf.kinds.values import (
    DeviceName,
    IPPrefix,
    IPv4Address,
    IPv4Prefix,
    IPv6Address,
    MacAddress,
    OnOff,
    UnsignedInt,
    VlanId,
    YesNo,
)
from engine.conf.nodes.node import Child, Definition, Flag, Node, at_most_one
from engine.conf.nodes.values import Pattern

__all__ = ["BondDocument", "BridgeDocument", "EthernetDocument", "HostInterface", "VlanDocument"]

Seconds = Annotated[
    str,
    Pattern("seconds", r"[+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+\-]?[0-9]+)?", "a number of seconds such as 15 or 0.5"),
]


# ---------------------------------------------------------------------------- addresses


class HostMac(Node):
    """A MAC address; one that is left out is found by the interface's name."""

    address: MacAddress


class StartMode(Node):
    """When the interface is started.

    Attributes:
        mode: with the host, when it is plugged in, or only when it is told to.
    """

    mode: Literal["onboot", "none", "hotplug"]


class HostMtu(Node):
    """The largest packet, in bytes."""

    size: UnsignedInt


class HostDhcp(Node):
    """Addresses are asked for.

    Attributes:
        peerdns: the DNS servers that come with them are used.
    """

    peerdns: YesNo | None = None


class HostIPv4(Node):
    """An address of the interface, and how many bits of it are the network's."""

    address: IPv4Address
    prefix: IPv4Prefix | None = None


class HostIPv6(Node):
    """An address of the interface, and how many bits of it are the network's."""

    address: IPv6Address
    prefix: IPPrefix | None = None


class IPv4Gateway(Node):
    """Where packets for other networks go."""

    gateway: IPv4Address


class IPv6Gateway(Node):
    """Where packets for other networks go."""

    gateway: IPv6Address


class IPv4Protocol(Node):
    """How the interface speaks IPv4."""

    family: Literal["ipv4"]
    dhcp: HostDhcp | None = None
    ips: Annotated[tuple[HostIPv4, ...], Child("ip")] = ()
    route: IPv4Gateway | None = None


class IPv6Protocol(Node):
    """How the interface speaks IPv6.

    Attributes:
        autoconf: its address follows from what routers tell.
    """

    family: Literal["ipv6"]
    autoconf: Annotated[bool, Flag] = False
    dhcp: HostDhcp | None = None
    ips: Annotated[tuple[HostIPv6, ...], Child("ip")] = ()
    route: IPv6Gateway | None = None


# ---------------------------------------------------------------------------- what interfaces are made of


class VlanLower(Node):
    """The interface whose traffic is tagged."""

    name: DeviceName


class VlanDevice(Node):
    """A VLAN.

    Attributes:
        tag: its number.
    """

    tag: VlanId
    interface: VlanLower


class MiiMonitor(Node):
    """A bond's links are watched by what the cards say.

    Attributes:
        freq: milliseconds between looks.
        downdelay: milliseconds until a link counts as down.
        updelay: milliseconds until it counts as up.
        carrier: asked of the driver by MII or ethtool (ioctl), or by what it has told the kernel (netif).
    """

    freq: UnsignedInt
    downdelay: UnsignedInt | None = None
    updelay: UnsignedInt | None = None
    carrier: Literal["ioctl", "netif"] | None = None


class ArpMonitor(Node):
    """A bond's links are watched by ARP requests.

    Attributes:
        interval: milliseconds between requests.
        target: whom they are sent to.
        validate: on which cards answers are looked at.
    """

    interval: UnsignedInt
    target: IPv4Address
    validate: Literal["none", "active", "backup", "all"] | None = None


class EthernetPart(Node):
    """A network card within a bond or a bridge."""

    type_: Literal["ethernet"]
    name: DeviceName
    mac: HostMac | None = None
    link: LinkState | None = None


class VlanPart(Node):
    """A VLAN within a bridge."""

    type_: Literal["vlan"]
    name: DeviceName | None = None
    link: LinkState | None = None
    vlan: VlanDevice


class Bond(Node):
    """Cards that are used as one.

    Attributes:
        mode: how traffic is spread over them; with active-backup the first is the primary one.
    """

    mode: (
        Literal["balance-rr", "active-backup", "balance-xor", "broadcast", "802.3ad", "balance-tlb", "balance-alb"]
        | None
    ) = None
    miimon: MiiMonitor | None = None
    arpmon: ArpMonitor | None = None
    interfaces: Annotated[tuple[EthernetPart, ...], Child("interface")]
    rules = (at_most_one("miimon", "arpmon"),)


class BondPart(Node):
    """A bond within a bridge."""

    type_: Literal["bond"]
    name: DeviceName
    link: LinkState | None = None
    bond: Bond


class HostBridge(Node):
    """A bridge.

    Attributes:
        stp: it speaks the spanning tree protocol.
        delay: of forwarding, in seconds.
    """

    stp: OnOff | None = None
    delay: Seconds | None = None
    interfaces: Annotated[tuple[EthernetPart | VlanPart | BondPart, ...], Child("interface")] = ()


# ---------------------------------------------------------------------------- documents


class InterfaceDocument(Definition):
    """What every interface of the host has.

    Attributes:
        protocols: one of each family at most.
    """

    kind: ClassVar[str] = "interface"
    start: StartMode | None = None
    mtu: HostMtu | None = None
    protocols: Annotated[tuple[IPv4Protocol | IPv6Protocol, ...], Child("protocol")] = ()

    def check(self) -> Iterator[str]:
        for family, count in Counter(protocol.family for protocol in self.protocols).items():
            if count > 1:
                yield f"there may be only one <protocol> of the family {family}"


class EthernetDocument(InterfaceDocument):
    """A network card."""

    type_: Literal["ethernet"]
    name: DeviceName
    mac: HostMac | None = None
    link: LinkState | None = None


class VlanDocument(InterfaceDocument):
    """A VLAN on another interface.

    Attributes:
        name: of that interface, a dot, and the VLAN's number; it is only reported.
    """

    type_: Literal["vlan"]
    name: DeviceName | None = None
    link: LinkState | None = None
    vlan: VlanDevice


class BridgeDocument(InterfaceDocument):
    """A bridge, and what is connected to it."""

    type_: Literal["bridge"]
    name: DeviceName
    bridge: HostBridge


class BondDocument(InterfaceDocument):
    """Several network cards that are used as one."""

    type_: Literal["bond"]
    name: DeviceName
    link: LinkState | None = None
    bond: Bond


HostInterface: TypeAlias = EthernetDocument | VlanDocument | BridgeDocument | BondDocument
