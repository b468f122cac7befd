"""What networks, their ports, filters, and the network cards of guests and hosts have in common.

Source: libvirt's "Network XML format", and "Network interfaces" of its "Domain XML format".
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.values import (
    IPAddress,
    IPPrefix,
    IPv4Address,
    PositiveInt,
    UInt8,
    UInt24,
    UnicastMac,
    UnsignedInt,
    UnsignedShort,
    Uuid,
    VariableName,
    VlanId,
    XmlName,
    YesNo,
)
from engine.conf.nodes.node import Attr, Child, Node, Text, at_most_one
from engine.conf.nodes.values import Number, Pattern

__all__ = [
    "AddressFamily",
    "AssignmentDriver",
    "Bandwidth",
    "Bridging",
    "CardAddress",
    "FilterRef",
    "InterfaceIp",
    "LinkState",
    "MacTableManager",
    "MergedPort",
    "Mtu",
    "OpenVSwitchPort",
    "Owner",
    "PortOptions",
    "QbgPort",
    "Route",
    "VirtualPort",
    "Vlan",
]

AddressFamily: TypeAlias = Literal["ipv4", "ipv6"]
#: Who keeps a bridge's table of addresses: the kernel, which learns them, or libvirt, which knows them.
MacTableManager: TypeAlias = Literal["kernel", "libvirt"]

#: How guests on one device of the host's reach each other: bridge: directly; vepa: by way of the switch, which sends
#: what is for them back; private: not at all; passthrough: the device has but one guest.
Bridging: TypeAlias = Literal["bridge", "passthrough", "private", "vepa"]

Rate = Annotated[int, Number("rate", 1, 2**32 - 1)]
ProfileId = Annotated[str, Pattern("profileId", r"[\s\S]{0,39}", "a name of at most 39 characters")]
FilterParameterValue = Annotated[
    str, Pattern("filterParameterValue", r"[a-zA-Z0-9_\.:]+", "a value of letters, digits and _ . :")
]


class BandwidthLimit(Node):
    """How much traffic may go one way.

    Attributes:
        average: in the long run, in kilobytes a second.
        peak: at most, in kilobytes a second; not every bridge can.
        burst: how many kilobytes may go at the peak at once.
        floor: (inbound, on networks that libvirt shapes) what is guaranteed, in kilobytes a second.
    """

    average: Rate | None = None
    peak: Rate | None = None
    floor: Rate | None = None
    burst: Rate | None = None


class Bandwidth(Node):
    """Limits of the traffic.

    Attributes:
        class_id: the class of the shaping, which libvirt chooses.
        inbound: traffic to the guests.
        outbound: traffic from them.
    """

    class_id: Annotated[PositiveInt | None, Attr("classID")] = None
    inbound: BandwidthLimit | None = None
    outbound: BandwidthLimit | None = None


class VlanTag(Node):
    """One VLAN.

    Attributes:
        id_: its number.
        native_mode: it is the native one of the trunk, whose traffic goes tagged or untagged (Open vSwitch).
    """

    id_: VlanId
    native_mode: Annotated[Literal["tagged", "untagged"] | None, Attr("nativeMode")] = None


class Vlan(Node):
    """The VLANs that the traffic is on, which the guest does not see.

    Attributes:
        trunk: it is a trunk; needed only where there is one tag, as several are always one.
        tags: each VLAN; several only with Open vSwitch.
    """

    trunk: Literal["yes"] | None = None
    tags: Annotated[tuple[VlanTag, ...], Child("tag")]


class Mtu(Node):
    """The largest packet, in bytes."""

    size: UnsignedShort


class PortOptions(Node):
    """How a port of a Linux bridge is set.

    Attributes:
        isolated: it reaches no other port that is isolated.
    """

    isolated: YesNo | None = None


class Route(Node):
    """A route to a network that something else than the default gateway leads to.

    Attributes:
        family: without one, ipv4.
        address: of the network.
        netmask, prefix: how much of the address is the network's.
        gateway: what leads there.
        metric: of several routes, the one with the lowest is taken.
    """

    family: AddressFamily | None = None
    address: IPAddress
    netmask: IPv4Address | None = None
    prefix: IPPrefix | None = None
    gateway: IPAddress
    metric: UnsignedInt | None = None
    rules = (at_most_one("netmask", "prefix"),)


class InterfaceIp(Node):
    """An address that a network device is given.

    Attributes:
        prefix: how many bits are the network's; without one, by the address's class, or 64 for IPv6.
        peer: the other end's address, on a point to point link.
    """

    address: IPAddress
    family: AddressFamily | None = None
    prefix: IPPrefix | None = None
    peer: IPAddress | None = None


class CardAddress(Node):
    """The hardware address of a guest's card."""

    address: UnicastMac


class AssignmentDriver(Node):
    """What gives a device of the host to a guest.

    Attributes:
        name: vfio is what hosts have today; kvm is what came before it.
    """

    name: Literal["kvm", "vfio"]


class LinkState(Node):
    """The state of a network device's link, as the host tells it.

    Attributes:
        speed: in megabits a second.
    """

    speed: UnsignedInt | None = None
    state: Literal["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"] | None = None


class Owner(Node):
    """The domain that something belongs to."""

    name: Annotated[str, Text]
    uuid: Annotated[Uuid, Text]


# ---------------------------------------------------------------------------- ports of virtual and real switches


class PortParameters(Node):
    """What a switch wants to know of a port."""


class QbgParameters(PortParameters):
    """What a VEPA switch wants to know.

    Attributes:
        managerid: the database that the type is in.
        typeid: the type of the port.
        typeidversion: the type's version.
        instanceid: of the port; made up when it is left out.
    """

    managerid: UInt8 | None = None
    typeid: UInt24 | None = None
    typeidversion: UInt8 | None = None
    instanceid: Uuid | None = None


class QbhParameters(PortParameters):
    """What a VN-Link switch wants to know.

    Attributes:
        profileid: the name of the port's profile.
    """

    profileid: ProfileId | None = None


class OpenVSwitchParameters(PortParameters):
    """What Open vSwitch wants to know.

    Attributes:
        profileid: the port's profile.
        interfaceid: of the port; made up when it is left out.
    """

    profileid: ProfileId | None = None
    interfaceid: Uuid | None = None


class MidonetParameters(PortParameters):
    """What Midonet wants to know.

    Attributes:
        interfaceid: the port of the virtual network.
    """

    interfaceid: Uuid


class MergedParameters(QbgParameters):
    """Parameters for whatever switch it turns out to be.

    Attributes:
        profileid: the name of the port's profile.
        interfaceid: of the port.
    """

    profileid: ProfileId | None = None
    interfaceid: Uuid | None = None


class SwitchPort(Node):
    """What the switch that traffic goes through is told of the guest's port."""


class QbgPort(SwitchPort):
    """A port of a VEPA switch."""

    type_: Literal["802.1Qbg"]
    parameters: QbgParameters | None = None


class QbhPort(SwitchPort):
    """A port of a VN-Link switch."""

    type_: Literal["802.1Qbh"]
    parameters: QbhParameters | None = None


class OpenVSwitchPort(SwitchPort):
    """A port of Open vSwitch."""

    type_: Literal["openvswitch"]
    parameters: OpenVSwitchParameters | None = None


class MidonetPort(SwitchPort):
    """A port of a Midonet network."""

    type_: Literal["midonet"]
    parameters: MidonetParameters


class MergedPort(SwitchPort):
    """A port of a switch whose kind is left to the network: what is said here, there and in its port group is merged.

    What two of them say must be equal.
    """

    parameters: MergedParameters | None = None


VirtualPort: TypeAlias = QbgPort | QbhPort | OpenVSwitchPort | MidonetPort | MergedPort


# ---------------------------------------------------------------------------- packet filters


class FilterParameter(Node):
    """A variable of a filter, such as IP; given several times, it has several values."""

    name: VariableName
    value: FilterParameterValue


class FilterRef(Node):
    """A filter that packets must pass.

    Attributes:
        filter_: its name.
        parameters: what its variables are; ``MAC`` is known without.
    """

    filter_: XmlName
    parameters: Annotated[tuple[FilterParameter, ...], Child("parameter")] = ()
