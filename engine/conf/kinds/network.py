"""``<network>``: a virtual network. Source: libvirt's "Network XML format"."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Annotated, ClassVar, Literal

from engine.conf.kinds.common import HostPciAddress, Metadata
from engine.conf.kinds.network_common import (
    AddressFamily,
    AssignmentDriver,
    Bandwidth,
    CardAddress,
    MacTableManager,
    Mtu,
    PortOptions,
    Route,
    VirtualPort,
    Vlan,
)
from engine.conf.kinds.unsound import Unsound, twice
from engine.conf.kinds.values import (
    DeviceName,
    DnsName,
    FilePath,
    IPAddress,
    IPPrefix,
    IPv4Address,
    OnOff,
    PlainName,
    UnicastMac,
    UnsignedLong,
    UnsignedShort,
    Uuid,
    XsdUnsignedInt,
    XsdUnsignedLong,
    YesNo,
)
from engine.conf.nodes.node import Attr, Child, Definition, Node, Text, at_least_one, at_most_one
from engine.conf.nodes.values import Number, Pattern

__all__ = ["NetworkDocument"]

DNSMASQ = "http://libvirt.org/schemas/network/dnsmasq/1.0"

NatPort = Annotated[int, Number("natPort", 1, 65535, plain="[+]?[0-9]+")]
_PAIR = "[a-fA-F0-9]{1,2}"
_HARDWARE = "0{1,2}:0?[1-9a-fA-F]"
Duid = Annotated[
    str,
    Pattern(
        "duid",
        rf"0{{1,2}}:(0?1:{_HARDWARE}(:{_PAIR}){{10,12}}|0?2(:{_PAIR}){{5,128}}"
        rf"|0?3:{_HARDWARE}(:{_PAIR}){{6,8}}|0?4(:{_PAIR}){{16}})",
        "a DHCP unique identifier such as 0:3:0:1:52:54:0:12:34:56",
    ),
]


# ---------------------------------------------------------------------------- connection to the outside


class NetworkBridge(Node):
    """The host's bridge that guests are connected to.

    Attributes:
        name: found by libvirt when it is left out, where it makes the bridge.
        zone: of firewalld; "libvirt" without one.
        stp: the bridge speaks the spanning tree protocol; on without one.
        delay: of forwarding, in seconds; 0 without one.
        mac_table_manager: who keeps the table of MAC addresses: the kernel, which learns them, or libvirt, which
            enters those of its guests.
    """

    name: DeviceName | None = None
    zone: PlainName | None = None
    stp: OnOff | None = None
    delay: XsdUnsignedLong | None = None
    mac_table_manager: Annotated[MacTableManager | None, Attr("macTableManager")] = None


class ForwardInterface(Node):
    """A network card of the host that guests may use.

    Attributes:
        connections: guests that use it, as libvirt reports it.
    """

    dev: DeviceName
    connections: XsdUnsignedInt | None = None


class ForwardAddress(HostPciAddress):
    """A PCI device of the host that is given to a guest.

    Attributes:
        connections: guests that use it, as libvirt reports it.
    """

    type_: Literal["pci"]
    connections: XsdUnsignedInt | None = None


class PhysicalFunction(Node):
    """A card whose virtual functions are what guests may use.

    Attributes:
        dev: its name in the host.
    """

    dev: DeviceName


class NatAddresses(Node):
    """The public addresses that guests appear with, from the first to the last."""

    start: IPv4Address
    end: IPv4Address


class NatPorts(Node):
    """The ports that guests' connections appear with, from the first to the last."""

    start: NatPort
    end: NatPort


class Nat(Node):
    """How addresses are translated.

    Attributes:
        ipv6: IPv6 addresses too.
    """

    ipv6: YesNo | None = None
    address: NatAddresses | None = None
    port: NatPorts | None = None


class Forward(Node):
    """How the network is connected to others; without it, it is isolated.

    Attributes:
        dev: (nat, route) only to networks behind this card of the host.
        mode: nat: by the host, with its own address (what is taken without one); route: by the host, with the guests'
            addresses; open: as route, without firewall rules; bridge: to a bridge of the host, or to its cards;
            private, vepa, passthrough: to the host's cards by macvtap; hostdev: each guest is given a card.
        managed: (hostdev) libvirt takes the card from the host's driver, and gives it back.
        interfaces: the cards to choose from.
        addresses: (hostdev) the same by their places on the PCI bus; in place of ``interfaces``.
        pf: all virtual functions of this card are chosen from.
        driver: (hostdev) what the card is given with.
    """

    dev: DeviceName | None = None
    mode: Literal["nat", "route", "open", "bridge", "passthrough", "private", "vepa", "hostdev"] | None = None
    managed: YesNo | None = None
    interfaces: Annotated[tuple[ForwardInterface, ...], Child("interface")] = ()
    addresses: Annotated[tuple[ForwardAddress, ...], Child("address")] = ()
    pf: PhysicalFunction | None = None
    driver: AssignmentDriver | None = None
    nat: Nat | None = None
    rules = (at_most_one("interfaces", "addresses"),)


class PortGroup(Node):
    """Settings for those interfaces of guests that name this group.

    Attributes:
        default: they are for interfaces that name no group.
        trust_guest_rx_filters: the host follows the guest's changes of MAC address and receive filters.
    """

    name: DeviceName
    default: YesNo | None = None
    trust_guest_rx_filters: Annotated[YesNo | None, Attr("trustGuestRxFilters")] = None
    virtualport: VirtualPort | None = None
    bandwidth: Bandwidth | None = None
    vlan: Vlan | None = None


# ---------------------------------------------------------------------------- names


class NetworkDomain(Node):
    """The network's DNS domain.

    Attributes:
        local_only: names in it are never asked for elsewhere.
    """

    name: DnsName
    local_only: Annotated[YesNo | None, Attr("localOnly")] = None


class DnsForwarder(Node):
    """Where queries go.

    Attributes:
        addr: a DNS server; without one the domain's names are resolved here.
        domain: only for its names.
    """

    addr: IPAddress | None = None
    domain: DnsName | None = None


class DnsText(Node):
    """A TXT record."""

    name: DnsName
    value: str


class DnsService(Node):
    """An SRV record."""

    service: str
    protocol: Literal["tcp", "udp"]
    domain: DnsName | None = None
    target: str | None = None
    port: UnsignedShort | None = None
    priority: UnsignedShort | None = None
    weight: UnsignedShort | None = None


class DnsHost(Node):
    """Names of an address."""

    ip: IPAddress
    hostnames: Annotated[tuple[DnsName, ...], Text("hostname")]


class Dns(Node):
    """The network's DNS server.

    Attributes:
        enable: there is one; yes without it.
        forward_plain_names: names without a dot are asked for elsewhere too, if they are not known here.
        forwarders: in order; without any, the host's own servers are asked.
    """

    enable: YesNo | None = None
    forward_plain_names: Annotated[YesNo | None, Attr("forwardPlainNames")] = None
    forwarders: Annotated[tuple[DnsForwarder, ...], Child("forwarder")] = ()
    txts: Annotated[tuple[DnsText, ...], Child("txt")] = ()
    srvs: Annotated[tuple[DnsService, ...], Child("srv")] = ()
    hosts: Annotated[tuple[DnsHost, ...], Child("host")] = ()


# ---------------------------------------------------------------------------- addresses


class Lease(Node):
    """How long an address is lent.

    Attributes:
        expiry: at least two minutes; 0: without end.
        unit: minutes without one.
    """

    expiry: UnsignedLong
    unit: Literal["seconds", "minutes", "hours"] | None = None


class DhcpRange(Node):
    """Addresses that are lent, from the first to the last."""

    start: IPAddress
    end: IPAddress
    lease: Lease | None = None


class DhcpHost(Node):
    """The address of one guest, which is known by its MAC address, its DHCPv6 identifier or the name it gives.

    Attributes:
        mac: of the guest's card.
        id_: its DHCP unique identifier.
        name: that the guest is given; without ``mac`` and ``id``, the one it is known by.
    """

    mac: UnicastMac | None = None
    id_: Duid | None = None
    name: str | None = None
    ip: IPAddress
    lease: Lease | None = None
    rules = (at_most_one("mac", "id_"), at_least_one("mac", "id_", "name"))


class Bootp(Node):
    """What guests boot from over the network.

    Attributes:
        server: with the file; without one, the DHCP server itself.
    """

    file: FilePath
    server: DnsName | None = None


class Dhcp(Node):
    """The network's DHCP server; one for each address family."""

    ranges: Annotated[tuple[DhcpRange, ...], Child("range")] = ()
    hosts: Annotated[tuple[DhcpHost, ...], Child("host")] = ()
    bootp: Bootp | None = None


class Tftp(Node):
    """Files for guests that boot over the network.

    Attributes:
        root: the directory with them.
    """

    root: str


class NetworkIp(Node):
    """An address of the host in the network, the gateway of its guests.

    Attributes:
        netmask: (IPv4) as an address.
        prefix: as a number of bits.
        family: ipv4 without one.
        local_ptr: who has an address of this network is never asked for elsewhere.
    """

    address: IPAddress | None = None
    netmask: IPv4Address | None = None
    prefix: IPPrefix | None = None
    family: AddressFamily | None = None
    local_ptr: Annotated[YesNo | None, Attr("localPtr")] = None
    tftp: Tftp | None = None
    dhcp: Dhcp | None = None
    rules = (at_most_one("netmask", "prefix"),)


# ---------------------------------------------------------------------------- the network


class DnsmasqOption(Node):
    """A line for dnsmasq's configuration."""

    value: str


class DnsmasqOptions(Node):
    """What is handed to dnsmasq as it is."""

    options: Annotated[tuple[DnsmasqOption, ...], Child("option", namespace=DNSMASQ)] = ()


class NetworkDocument(Definition):
    """A virtual network.

    Attributes:
        connections: guests that use it, as libvirt reports it.
        ipv6: guests may talk IPv6 with each other where the network has no IPv6 address.
        trust_guest_rx_filters: the host follows the guests' changes of MAC address and receive filters.
        mac: of the bridge.
        virtualport: for every interface of a guest.
        bandwidth: of all guests together.
        vlan: for those whose interface and port group have none.
        port: how every guest's port is set up.
        ips: the host's addresses.
        dnsmasq: options that libvirt hands on as they are.
    """

    kind: ClassVar[str] = "network"
    connections: XsdUnsignedInt | None = None
    ipv6: YesNo | None = None
    trust_guest_rx_filters: Annotated[YesNo | None, Attr("trustGuestRxFilters")] = None
    name: Annotated[str, Text]
    uuid: Annotated[Uuid | None, Text] = None
    metadata: Metadata | None = None
    forward: Forward | None = None
    bridge: NetworkBridge | None = None
    mtu: Mtu | None = None
    mac: CardAddress | None = None
    domain: NetworkDomain | None = None
    dns: Dns | None = None
    virtualport: VirtualPort | None = None
    bandwidth: Bandwidth | None = None
    vlan: Vlan | None = None
    port: PortOptions | None = None
    ips: Annotated[tuple[NetworkIp, ...], Child("ip")] = ()
    routes: Annotated[tuple[Route, ...], Child("route")] = ()
    portgroups: Annotated[tuple[PortGroup, ...], Child("portgroup")] = ()
    dnsmasq: Annotated[DnsmasqOptions | None, Child("options", namespace=DNSMASQ)] = None

    def unsound(self) -> Iterator[Unsound]:
        yield from twice(self.portgroups, lambda group: group.name, "there is another port group '{}'")
        yield from twice(
            self.portgroups,
            lambda group: True if group.default else None,
            "another port group is the one for whoever names none",
        )
        for ip in self.ips:
            yield from _outside(ip)


def _outside(ip: NetworkIp) -> Iterator[Unsound]:
    """Addresses that are lent must be in order, and the network's."""
    length = ip.netmask if ip.netmask is not None else ip.prefix
    if ip.dhcp is None or ip.address is None or length is None:
        return
    try:
        network = ip_network(f"{ip.address}/{length}", strict=False)
    except ValueError:
        yield ip, f"{length} is no netmask or prefix for {ip.address}", "error"
        return
    for lent in ip.dhcp.ranges:
        start, end = ip_address(lent.start), ip_address(lent.end)
        if start not in network or end not in network:
            yield lent, f"{lent.start} to {lent.end} is not within the network {network}", "error"
        elif int(start) > int(end):
            yield lent, f"{lent.start} is after {lent.end}", "error"
