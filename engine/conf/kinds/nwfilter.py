"""``<filter>``: rules for the traffic of guests. Source: libvirt's "Network Filters".

A value that begins with ``$`` is a variable, which has its value where the filter is referred to: ``$IP``, its third
value ``$IP[2]``, or each of its values ``$IP[@1]``; all variables with the same number after ``@`` go together.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from engine.conf.kinds.network_common import FilterRef
from engine.conf.kinds.values import UInt8, Uuid, XmlName, YesNo
from engine.conf.nodes.node import Attr, Children, Definition, Node, Text, together
from engine.conf.nodes.values import Choice, Number, OneOf, Pattern, ValueType

__all__ = ["Match", "NwfilterDocument", "Rule"]

# ---------------------------------------------------------------------------- values

_INT = "[+-]?[0-9]+"
_VARIABLE = r"[$] *[a-zA-Z0-9_]+(\[ *@?[0-9]+ *\])? *"
_MAC = "([a-fA-F0-9]{1,2}:){5}[a-fA-F0-9]{1,2}"
_IPV4 = r"([0-2]?[0-9]?[0-9]\.){3}[0-2]?[0-9]?[0-9]"
_IPV6 = "([a-fA-F0-9]{0,4}:){2,7}[a-fA-F0-9]*"


def _text(name: str, pattern: str, what: str) -> Pattern:
    return Pattern(name, f"{pattern}|{_VARIABLE}", f"{what} or a variable such as $NAME")


def _number(name: str, *types: ValueType) -> OneOf:
    return OneOf((*types, Pattern("", _VARIABLE, "a variable such as $NAME")), name=name)


_OPCODE = "[Rr]eply|[Rr]equest|[Rr]equest_[Rr]everse|[Rr]eply_[Rr]everse|DRARP_[Rr]equest|DRARP_[Rr]eply"
_STATE = "(NEW|ESTABLISHED|RELATED|INVALID)"
_FLAG = "(SYN|ACK|URG|PSH|FIN|RST)"
_FLAGS = f"({_FLAG}(,{_FLAG})*|ALL|NONE)"
_SIDE = "([Ss][Rr][Cc]|[Dd][Ss][Tt])"

FilterMac = Annotated[str, _text("filterMac", _MAC, "a MAC address")]
FilterIPv4 = Annotated[str, _text("filterIPv4", _IPV4, "an IPv4 address")]
FilterIPv6 = Annotated[str, _text("filterIPv6", f"{_IPV6}({_IPV4})?", "an IPv6 address")]
FilterIPv4Mask = Annotated[
    int | str, _number("filterIPv4Mask", Number("", 0, 32, plain=_INT), Pattern("", _IPV4, "a mask"))
]
FilterIPv6Mask = Annotated[
    int | str, _number("filterIPv6Mask", Number("", 0, 128, plain=_INT), Pattern("", _IPV6, "a mask"))
]
FilterUInt16 = Annotated[
    int | str, _number("filterUInt16", Number("", 0, 65535, pattern="0x[0-9a-fA-F]{1,4}", plain=_INT))
]
FilterUInt32 = Annotated[
    int | str, _number("filterUInt32", Number("", 0, 2**32 - 1, pattern="0x[0-9a-fA-F]{1,8}", plain="[+]?[0-9]+"))
]
FilterVlanId = Annotated[
    int | str, _number("filterVlanId", Number("", 0, 4095, pattern="0x[0-9a-fA-F]{1,3}", plain=_INT))
]
Dscp = Annotated[int | str, _number("dscp", Number("", 0, 63, pattern="0x([0-3][0-9a-fA-F]|[0-9a-fA-F])", plain=_INT))]
EtherType = Annotated[
    int | str,
    _number(
        "etherType",
        Choice(("arp", "rarp", "ipv4", "ipv6", "vlan")),
        Number("", 1536, 65535, pattern="0x([6-9a-fA-F][0-9a-fA-F]{2}|[0-9a-fA-F]{4})", plain=_INT),
    ),
]
IPProtocol = Annotated[
    int | str,
    _number(
        "ipProtocol",
        Choice(("tcp", "udp", "udplite", "esp", "ah", "icmp", "igmp", "sctp", "icmpv6")),
        Number("", 0, 255, pattern="0x[0-9a-fA-F]{1,2}", plain=_INT),
    ),
]
ArpOpcode = Annotated[
    int | str,
    _number(
        "arpOpcode",
        Number("", 0, 65535, plain=_INT),
        Pattern(
            "", f"{_OPCODE}|DRARP_[Ee]rror|InARP_[Rr]equest|ARP_NAK", "an operation such as Request, Reply or ARP_NAK"
        ),
    ),
]
Priority = Annotated[int, Number("filterPriority", -1000, 1000, plain=_INT)]
StateFlags = Annotated[
    str,
    Pattern("stateFlags", f"{_STATE}(,{_STATE})*|NONE", "NONE, or some of NEW,ESTABLISHED,RELATED,INVALID"),
]
TcpFlags = Annotated[
    str,
    Pattern("tcpFlags", f"{_FLAGS}/{_FLAGS}", "MASK/FLAGS, each ALL, NONE, or some of SYN,ACK,URG,PSH,FIN,RST"),
]
IpsetName = Annotated[str, _text("ipsetName", r"[a-zA-Z0-9_.:\-+ ]{1,31}", "a set's name of up to 31 characters")]
IpsetFlags = Annotated[str, Pattern("ipsetFlags", f"{_SIDE}(,{_SIDE}){{0,5}}", "one to six of src and dst")]
StateMatch = Annotated[str, Pattern("stateMatch", "[Ff][Aa][Ll][Ss][Ee]|0", "false, or 0")]
ChainName = Annotated[
    str,
    Pattern(
        "chainName",
        r"root|(mac|stp|arp)[a-zA-Z0-9_.:\-]{0,9}|(vlan|rarp|ipv4|ipv6)[a-zA-Z0-9_.:\-]{0,8}",
        "root, or up to 12 characters that begin with mac, stp, vlan, arp, rarp, ipv4 or ipv6",
    ),
]
Boolean = Literal["yes", "no", "true", "false", "1", "0"]


# ---------------------------------------------------------------------------- what is shared by protocols


class Match(Node):
    """Which packets a rule is for: those for which all its attributes hold.

    What attributes of several protocols mean is said here.

    Attributes:
        match: no: those for which they do not hold.
        comment: up to 256 characters, kept with the rule.
        srcipaddr: sender's address.
        srcipmask: the bits of it that count, as a number or a mask.
        dstipaddr: receiver's address.
        dstipmask: the bits of it that count, as a number or a mask.
        srcipfrom: first of the senders' addresses.
        srcipto: last of them.
        dstipfrom: first of the receivers' addresses.
        dstipto: last of them.
        srcportstart: first of the senders' ports.
        srcportend: last of them.
        dstportstart: first of the receivers' ports.
        dstportend: last of them.
        dscp: code point of the service.
        protocol: of what the packet holds: a number or a word.
        type_: of the message.
        code: of the message.
        flags: which of the flags are looked at, and which of them are set, such as ``SYN,ACK/SYN``.
    """

    match: YesNo | None = None
    comment: str | None = None


class SourceMacMatch(Match):
    """Packets by who sent them on the wire.

    Attributes:
        srcmacaddr: the sender's MAC address.
    """

    srcmacaddr: FilterMac | None = None


class MaskedMacMatch(SourceMacMatch):
    """Packets by who sent them on the wire.

    Attributes:
        srcmacmask: the bits of the sender's MAC address that count.
    """

    srcmacmask: FilterMac | None = None


class EthernetMatch(MaskedMacMatch):
    """Packets by the two ends of the wire.

    Attributes:
        dstmacaddr: the receiver's MAC address.
        dstmacmask: the bits of it that count.
    """

    dstmacaddr: FilterMac | None = None
    dstmacmask: FilterMac | None = None


class ArpLikeMatch(EthernetMatch):
    """Packets of ARP, or of what has its form.

    Attributes:
        hwtype: kind of hardware address.
        protocoltype: kind of protocol address.
        opcode: what the packet is: a number, or a word such as Request or Reply.
        arpsrcmacaddr: sender's MAC address, as the packet itself has it.
        arpsrcipaddr: sender's IP address.
        arpdstmacaddr: MAC address of who is asked for.
        arpdstipaddr: IP address of who is asked for.
        gratuitous: it tells of an address that nobody asked for.
    """

    hwtype: FilterUInt16 | None = None
    protocoltype: FilterUInt16 | None = None
    opcode: ArpOpcode | None = None
    arpsrcmacaddr: FilterMac | None = None
    arpsrcipaddr: FilterIPv4 | None = None
    arpdstmacaddr: FilterMac | None = None
    arpdstipaddr: FilterIPv4 | None = None
    gratuitous: Boolean | None = None


class OverIPv4(SourceMacMatch):
    """IPv4 packets, followed by connection.

    Attributes:
        connlimit_above: there are more connections than that.
        state: of the connection, as the kernel tracks it.
        ipset: a set of addresses that something else keeps.
        ipsetflags: which end of the packet is looked up in each of the set's parts.
    """

    srcipaddr: FilterIPv4 | None = None
    srcipmask: FilterIPv4Mask | None = None
    dstipaddr: FilterIPv4 | None = None
    dstipmask: FilterIPv4Mask | None = None
    srcipfrom: FilterIPv4 | None = None
    srcipto: FilterIPv4 | None = None
    dstipfrom: FilterIPv4 | None = None
    dstipto: FilterIPv4 | None = None
    dscp: Dscp | None = None
    connlimit_above: Annotated[FilterUInt16 | None, Attr("connlimit-above")] = None
    state: StateFlags | None = None
    ipset: IpsetName | None = None
    ipsetflags: IpsetFlags | None = None
    rules = (together("ipset", "ipsetflags"),)


class PortsOverIPv4(OverIPv4):
    """IPv4 packets of a protocol with ports."""

    srcportstart: FilterUInt16 | None = None
    srcportend: FilterUInt16 | None = None
    dstportstart: FilterUInt16 | None = None
    dstportend: FilterUInt16 | None = None


class OverIPv6(SourceMacMatch):
    """IPv6 packets, followed by connection."""

    srcipaddr: FilterIPv6 | None = None
    srcipmask: FilterIPv6Mask | None = None
    dstipaddr: FilterIPv6 | None = None
    dstipmask: FilterIPv6Mask | None = None
    srcipfrom: FilterIPv6 | None = None
    srcipto: FilterIPv6 | None = None
    dstipfrom: FilterIPv6 | None = None
    dstipto: FilterIPv6 | None = None
    dscp: Dscp | None = None


class PortsOverIPv6(OverIPv6):
    """IPv6 packets of a protocol with ports."""

    srcportstart: FilterUInt16 | None = None
    srcportend: FilterUInt16 | None = None
    dstportstart: FilterUInt16 | None = None
    dstportend: FilterUInt16 | None = None


# ---------------------------------------------------------------------------- the protocols


class MacMatch(EthernetMatch):
    """Packets of any protocol.

    Attributes:
        protocolid: of what the packet holds: a number or a word.
    """

    protocolid: EtherType | None = None


class VlanMatch(EthernetMatch):
    """Packets with a VLAN's tag.

    Attributes:
        vlanid: number of the VLAN.
        encap_protocol: protocol of what the packet holds: a number or a word.
    """

    vlanid: FilterVlanId | None = None
    encap_protocol: Annotated[EtherType | None, Attr("encap-protocol")] = None


class StpMatch(MaskedMacMatch):
    """Packets of the spanning tree protocol; of each range, both ends are in it.

    Attributes:
        flags: of the message.
        root_priority: first of a range, of the root bridge.
        root_priority_hi: last of it.
        root_address: MAC address of the root bridge.
        root_address_mask: the bits of it that count.
        root_cost: first of a range, of the path to the root bridge.
        root_cost_hi: last of it.
        sender_priority: first of a range, of the bridge that sent the message.
        sender_priority_hi: last of it.
        sender_address: MAC address of that bridge.
        sender_address_mask: the bits of it that count.
        port: first of a range, of that bridge's ports.
        port_hi: last of it.
        age: first of a range, of the message's age.
        age_hi: last of it.
        max_age: first of a range, of the age a message may have.
        max_age_hi: last of it.
        hello_time: first of a range, of the time between messages.
        hello_time_hi: last of it.
        forward_delay: first of a range, of the time before a port forwards.
        forward_delay_hi: last of it.
    """

    type_: UInt8 | None = None
    flags: UInt8 | None = None
    root_priority: Annotated[FilterUInt16 | None, Attr("root-priority")] = None
    root_priority_hi: Annotated[FilterUInt16 | None, Attr("root-priority-hi")] = None
    root_address: Annotated[FilterMac | None, Attr("root-address")] = None
    root_address_mask: Annotated[FilterMac | None, Attr("root-address-mask")] = None
    root_cost: Annotated[FilterUInt32 | None, Attr("root-cost")] = None
    root_cost_hi: Annotated[FilterUInt32 | None, Attr("root-cost-hi")] = None
    sender_priority: Annotated[FilterUInt16 | None, Attr("sender-priority")] = None
    sender_priority_hi: Annotated[FilterUInt16 | None, Attr("sender-priority-hi")] = None
    sender_address: Annotated[FilterMac | None, Attr("sender-address")] = None
    sender_address_mask: Annotated[FilterMac | None, Attr("sender-address-mask")] = None
    port: FilterUInt16 | None = None
    port_hi: Annotated[FilterUInt16 | None, Attr("port-hi")] = None
    age: FilterUInt16 | None = None
    age_hi: Annotated[FilterUInt16 | None, Attr("age-hi")] = None
    max_age: Annotated[FilterUInt16 | None, Attr("max-age")] = None
    max_age_hi: Annotated[FilterUInt16 | None, Attr("max-age-hi")] = None
    hello_time: Annotated[FilterUInt16 | None, Attr("hello-time")] = None
    hello_time_hi: Annotated[FilterUInt16 | None, Attr("hello-time-hi")] = None
    forward_delay: Annotated[FilterUInt16 | None, Attr("forward-delay")] = None
    forward_delay_hi: Annotated[FilterUInt16 | None, Attr("forward-delay-hi")] = None


class ArpMatch(ArpLikeMatch):
    """Packets of ARP, which asks for the MAC address of an IP address."""


class RarpMatch(ArpLikeMatch):
    """Packets of RARP, which asks for the IP address of a MAC address."""


class IpMatch(EthernetMatch):
    """IPv4 packets, each by itself.

    Attributes:
        srcportstart: first of the senders' ports; ports need ``protocol``.
    """

    srcipaddr: FilterIPv4 | None = None
    srcipmask: FilterIPv4Mask | None = None
    dstipaddr: FilterIPv4 | None = None
    dstipmask: FilterIPv4Mask | None = None
    protocol: IPProtocol | None = None
    srcportstart: FilterUInt16 | None = None
    srcportend: FilterUInt16 | None = None
    dstportstart: FilterUInt16 | None = None
    dstportend: FilterUInt16 | None = None
    dscp: Dscp | None = None


class Ipv6Match(EthernetMatch):
    """IPv6 packets, each by itself.

    Attributes:
        srcportstart: first of the senders' ports; ports need ``protocol``.
        type_: first of ICMPv6 types; types and codes need ``protocol`` icmpv6.
        typeend: last of them.
        code: first of ICMPv6 codes.
        codeend: last of them.
    """

    srcipaddr: FilterIPv6 | None = None
    srcipmask: FilterIPv6Mask | None = None
    dstipaddr: FilterIPv6 | None = None
    dstipmask: FilterIPv6Mask | None = None
    protocol: IPProtocol | None = None
    srcportstart: FilterUInt16 | None = None
    srcportend: FilterUInt16 | None = None
    dstportstart: FilterUInt16 | None = None
    dstportend: FilterUInt16 | None = None
    type_: UInt8 | None = None
    typeend: UInt8 | None = None
    code: UInt8 | None = None
    codeend: UInt8 | None = None


class TcpMatch(PortsOverIPv4):
    """TCP over IPv4."""

    flags: TcpFlags | None = None


class UdpMatch(PortsOverIPv4):
    """UDP over IPv4."""


class SctpMatch(PortsOverIPv4):
    """SCTP over IPv4."""


class IcmpMatch(OverIPv4):
    """ICMP."""

    type_: UInt8 | None = None
    code: UInt8 | None = None


class IgmpMatch(OverIPv4):
    """IGMP, with which groups of receivers are joined."""


class AllMatch(OverIPv4):
    """Any protocol over IPv4."""


class EspMatch(OverIPv4):
    """ESP over IPv4, which is encrypted IPsec traffic."""


class AhMatch(OverIPv4):
    """AH over IPv4, which is authenticated IPsec traffic."""


class UdpliteMatch(OverIPv4):
    """UDP-Lite over IPv4."""


class TcpIpv6Match(PortsOverIPv6):
    """TCP over IPv6."""

    flags: TcpFlags | None = None


class UdpIpv6Match(PortsOverIPv6):
    """UDP over IPv6."""


class SctpIpv6Match(PortsOverIPv6):
    """SCTP over IPv6."""


class Icmpv6Match(OverIPv6):
    """ICMPv6."""

    type_: UInt8 | None = None
    code: UInt8 | None = None


class AllIpv6Match(OverIPv6):
    """Any protocol over IPv6."""


class EspIpv6Match(OverIPv6):
    """ESP over IPv6, which is encrypted IPsec traffic."""


class AhIpv6Match(OverIPv6):
    """AH over IPv6, which is authenticated IPsec traffic."""


class UdpliteIpv6Match(OverIPv6):
    """UDP-Lite over IPv6."""


MATCHES = {
    "mac": MacMatch,
    "vlan": VlanMatch,
    "stp": StpMatch,
    "arp": ArpMatch,
    "rarp": RarpMatch,
    "ip": IpMatch,
    "ipv6": Ipv6Match,
    "tcp": TcpMatch,
    "udp": UdpMatch,
    "sctp": SctpMatch,
    "icmp": IcmpMatch,
    "igmp": IgmpMatch,
    "all": AllMatch,
    "esp": EspMatch,
    "ah": AhMatch,
    "udplite": UdpliteMatch,
    "tcp-ipv6": TcpIpv6Match,
    "udp-ipv6": UdpIpv6Match,
    "sctp-ipv6": SctpIpv6Match,
    "icmpv6": Icmpv6Match,
    "all-ipv6": AllIpv6Match,
    "esp-ipv6": EspIpv6Match,
    "ah-ipv6": AhIpv6Match,
    "udplite-ipv6": UdpliteIpv6Match,
}


# ---------------------------------------------------------------------------- the filter


class Rule(Node):
    """What is done with some packets.

    Attributes:
        action: drop; reject: drop, and tell the sender; accept; return: to the chain before this one; continue: with
            the next rule.
        direction: out: packets that the guest sends; in: that it is sent; inout: both.
        priority: rules of lower numbers come first; 500 without one.
        statematch: false: the connection that a packet belongs to is not looked at.
        matches: which packets; none: all of them.
    """

    action: Literal["drop", "accept", "reject", "continue", "return"]
    direction: Literal["in", "out", "inout"]
    priority: Priority | None = None
    statematch: StateMatch | None = None
    matches: Annotated[tuple[Match, ...], Children(MATCHES)] = ()

    def check(self) -> Iterator[str]:
        if len(self.matches) > 1:
            yield "a rule is for the packets of only one protocol"


class NwfilterDocument(Definition):
    """Rules for the traffic of guests, and other filters whose rules are taken in.

    Attributes:
        name: what guests' interfaces and other filters refer to it by.
        chain: where its rules go: root, or a chain for a protocol's packets, whose name the chain's begins with.
        priority: of the chain; chains of lower numbers come first.
        entries: rules and references to filters, in order.
    """

    kind: ClassVar[str] = "filter"
    name: XmlName
    chain: ChainName | None = None
    priority: Priority | None = None
    uuid: Annotated[Uuid | None, Text] = None
    entries: Annotated[tuple[Rule | FilterRef, ...], Children({"rule": Rule, "filterref": FilterRef})] = ()
