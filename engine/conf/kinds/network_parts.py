"""What networks, their ports, host interfaces and filters have in common. Source: libvirt's network formats."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.values import (
    IPAddress,
    IPPrefix,
    IPv4Address,
    OnOff,
    PciBus,
    PciDomain,
    PciFunction,
    PciSlot,
    PositiveInt,
    UInt8,
    UInt24,
    UnicastMac,
    UnsignedInt,
    Uuid,
    YesNo,
)
from engine.conf.nodes.node import Attr, Child, Node, Text, at_most_one
from engine.conf.nodes.values import Number, Pattern

__all__ = [
    "AddressFamily",
    "AssignmentDriver",
    "Bandwidth",
    "Bridging",
    "FilterReference",
    "Link",
    "MacTableManager",
    "Mtu",
    "Owner",
    "PciPlace",
    "PortOptions",
    "Route",
    "UnicastMacElement",
    "UnsignedShort",
    "VirtualPort",
    "Vlan",
    "XmlName",
]

UnsignedShort = Annotated[int, Number("unsignedShort", 0, 65535, plain="[+-]?[0-9]+")]
Speed = Annotated[int, Number("speed", 1, 2**32 - 1)]
VlanId = Annotated[int, Number("vlanId", 0, 4095, plain="[+]?[0-9]+")]
PortProfile = Annotated[str, Pattern("portProfile", r"[\s\S]{0,39}", "a profile's name of up to 39 characters")]
# the letters that names in XML may begin with
_START = (
    "A-Z_a-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u02ff\u0370-\u037d\u037f-\u1fff"
    "\u200c\u200d\u2070-\u218f\u2c00-\u2fef\u3001-\ud7ff\uf900-\ufdcf\ufdf0-\ufffd"
)
_LATER = f"{_START}0-9.\u00b7\u0300-\u036f\u203f\u2040\\-"
XmlName = Annotated[
    str,
    Pattern(
        "xmlName",
        f"[{_START}][{_LATER}]*",
        "a name that begins with a letter or _ and goes on with letters, digits and _ . -",
    ),
]
ParameterName = Annotated[
    str, Pattern("filterParameterName", "[a-zA-Z0-9_]+", "a variable's name (letters, digits and _)")
]
ParameterValue = Annotated[
    str, Pattern("filterParameterValue", r"[a-zA-Z0-9_\.:]+", "a value of letters, digits and _ . :")
]

MacTableManager: TypeAlias = Literal["kernel", "libvirt"]
AddressFamily: TypeAlias = Literal["ipv4", "ipv6"]
#: How a macvtap device passes its traffic on.
Bridging: TypeAlias = Literal["bridge", "passthrough", "private", "vepa"]


# ---------------------------------------------------------------------------- virtual ports


class VepaParameters(Node):
    """The interface as the switch knows it, by 802.1Qbg.

    Attributes:
        managerid: of the database with the types and instances of interfaces.
        typeid: of the interface, in that database.
        typeidversion: of the type.
        instanceid: of the interface; generated when it is left out.
    """

    managerid: UInt8 | None = None
    typeid: UInt24 | None = None
    typeidversion: UInt8 | None = None
    instanceid: Uuid | None = None


class VepaPort(Node):
    """A port of a switch that speaks 802.1Qbg."""

    type_: Literal["802.1Qbg"]
    parameters: VepaParameters | None = None


class ProfileParameters(Node):
    """A port profile.

    Attributes:
        profileid: its name in the switch.
    """

    profileid: PortProfile | None = None


class VnLinkPort(Node):
    """A port of a switch that speaks 802.1Qbh."""

    type_: Literal["802.1Qbh"]
    parameters: ProfileParameters | None = None


class OpenVswitchParameters(ProfileParameters):
    """How Open vSwitch knows the interface.

    Attributes:
        interfaceid: generated when it is left out.
    """

    interfaceid: Uuid | None = None


class OpenVswitchPort(Node):
    """A port of an Open vSwitch bridge."""

    type_: Literal["openvswitch"]
    parameters: OpenVswitchParameters | None = None


class MidonetParameters(Node):
    """How MidoNet knows the interface.

    Attributes:
        interfaceid: of the port in the virtual network.
    """

    interfaceid: Uuid


class MidonetPort(Node):
    """A port of a MidoNet virtual network."""

    type_: Literal["midonet"]
    parameters: MidonetParameters


class AnyParameters(VepaParameters):
    """Parameters of a port whose type something else decides.

    Attributes:
        profileid: a profile's name in the switch.
        interfaceid: of the interface, for Open vSwitch and MidoNet.
    """

    profileid: PortProfile | None = None
    interfaceid: Uuid | None = None


class UntypedPort(Node):
    """Parameters for whatever type the network's own port has."""

    parameters: AnyParameters | None = None


VirtualPort: TypeAlias = VepaPort | VnLinkPort | OpenVswitchPort | MidonetPort | UntypedPort


# ---------------------------------------------------------------------------- traffic


class Traffic(Node):
    """Limits of one direction.

    Attributes:
        average: rate in kilobytes a second.
        peak: highest rate in kilobytes a second; not heeded for outbound traffic.
        floor: rate that is guaranteed, in kilobytes a second; for inbound traffic only.
        burst: kibibytes that may be sent at peak rate.
    """

    average: Speed | None = None
    peak: Speed | None = None
    floor: Speed | None = None
    burst: Speed | None = None


class Bandwidth(Node):
    """Limits on traffic, each direction by itself.

    Attributes:
        class_id: of the traffic shaping class in use, as libvirt reports it.
        inbound: to the guest.
        outbound: from the guest.
    """

    class_id: Annotated[PositiveInt | None, Attr("classID")] = None
    inbound: Traffic | None = None
    outbound: Traffic | None = None


class VlanTag(Node):
    """One VLAN.

    Attributes:
        native_mode: (Open vSwitch) this is the native VLAN, and its traffic is tagged or not.
    """

    id_: VlanId
    native_mode: Annotated[Literal["tagged", "untagged"] | None, Attr("nativeMode")] = None


class Vlan(Node):
    """The VLANs of a guest's traffic, for connections that tag it without the guest's knowledge.

    Attributes:
        trunk: a trunk, even where there is but one tag; several tags are one anyway.
    """

    trunk: Literal["yes"] | None = None
    tags: Annotated[tuple[VlanTag, ...], Child("tag")]


class PortOptions(Node):
    """How the ports of a bridge are set up.

    Attributes:
        isolated: no traffic between this port and others that are isolated too.
    """

    isolated: YesNo | None = None


class Mtu(Node):
    """The largest packet.

    Attributes:
        size: in bytes; without one what is usual for the device, mostly 1500.
    """

    size: UnsignedShort


class Route(Node):
    """A static route of the host to a network that is reached through a guest.

    Attributes:
        family: ipv4 without one.
        address: of the network.
        netmask: (IPv4) of the network, as an address.
        prefix: of the network, as a number of bits.
        gateway: the guest's address.
        metric: the lowest is preferred; 1 without one.
    """

    family: AddressFamily | None = None
    address: IPAddress
    netmask: IPv4Address | None = None
    prefix: IPPrefix | None = None
    gateway: IPAddress
    metric: UnsignedInt | None = None
    rules = (at_most_one("netmask", "prefix"),)


# ---------------------------------------------------------------------------- devices of the host


class PciPlace(Node):
    """The place of a PCI device of the host.

    Attributes:
        slot: 0 to 31.
        function: 0 to 7.
        multifunction: more functions share the slot.
    """

    domain: PciDomain | None = None
    bus: PciBus | None = None
    slot: PciSlot | None = None
    function: PciFunction | None = None
    multifunction: OnOff | None = None


class AssignmentDriver(Node):
    """What gives a device of the host to a guest.

    Attributes:
        name: vfio is what hosts have today; kvm is what came before it.
    """

    name: Literal["kvm", "vfio"]


class Link(Node):
    """The state of a network card's link, as the host reports it.

    Attributes:
        speed: in megabits a second.
    """

    speed: UnsignedInt | None = None
    state: Literal["unknown", "notpresent", "down", "lowerlayerdown", "testing", "dormant", "up"] | None = None


class UnicastMacElement(Node):
    """A MAC address of one card."""

    address: UnicastMac


class Owner(Node):
    """The domain that something belongs to."""

    name: Annotated[str, Text]
    uuid: Annotated[Uuid, Text]


# ---------------------------------------------------------------------------- filters


class FilterParameter(Node):
    """The value of a variable of a filter; of several of the same name the variable is a list."""

    name: ParameterName
    value: ParameterValue


class FilterReference(Node):
    """A filter that is applied.

    Attributes:
        filter: its name.
        parameters: for its variables, ``IP`` for one; ``MAC`` is known without.
    """

    filter: XmlName
    parameters: Annotated[tuple[FilterParameter, ...], Child("parameter")] = ()
