"""Networks, their ports, and the host's own interfaces."""

from __future__ import annotations

import pytest

from engine.conf.documents import format, parse, validate
from engine.conf.kinds.host_interface import BondDocument, BridgeDocument, EthernetPart, HostInterface, VlanPart
from engine.conf.kinds.network import NetworkDocument
from engine.conf.kinds.network_common import MergedPort, OpenVSwitchPort, QbgPort
from engine.conf.kinds.network_port import BridgePlug, DirectPlug, HostdevPlug, NetworkPortDocument

UUID = "3e3fce45-4f53-4fa7-bb32-11f34168b82b"


def network(inside: str) -> str:
    return f"<network><name>lan</name>{inside}</network>"


def port(inside: str) -> str:
    owner = f"<owner><name>web</name><uuid>{UUID}</uuid></owner>"
    return f"<networkport><uuid>{UUID}</uuid>{owner}<mac address='52:54:00:12:34:56'/>{inside}</networkport>"


def told(text: str) -> list[tuple[str, str]]:
    return [(problem.xpath, problem.reason) for problem in validate(text)]


def parsed_network(inside: str) -> NetworkDocument:
    read = parse(network(inside))
    assert isinstance(read, NetworkDocument)
    assert parse(format(read)) == read
    return read


def test_network() -> None:
    read = parsed_network(
        "<forward mode='nat'><nat><port start='1024' end='+2048'/></nat></forward><bridge name='br0' delay='0'/>"
        "<dns><host ip='10.0.0.2'><hostname>a</hostname><hostname>b</hostname></host></dns>"
        "<ip address='10.0.0.1' prefix='24'><dhcp><range start='10.0.0.2' end='10.0.0.9'/>"
        "<host name='web' ip='10.0.0.7'><lease expiry='0'/></host></dhcp></ip>"
        "<ip family='ipv6' address='fd00::1' prefix='64'/>"
    )
    assert read.forward is not None and read.forward.nat is not None and read.forward.nat.port is not None
    assert read.forward.nat.port.end == 2048
    assert "end='+2048'" in format(read).replace('"', "'")
    assert read.dns is not None and read.dns.hosts[0].hostnames == ("a", "b")
    assert [ip.prefix for ip in read.ips] == [24, 64]


def test_virtual_ports_are_told_by_their_type() -> None:
    for inside, shape in (
        ("<virtualport type='802.1Qbg'><parameters managerid='11'/></virtualport>", QbgPort),
        ("<virtualport type='openvswitch'/>", OpenVSwitchPort),
        ("<virtualport><parameters profileid='x'/></virtualport>", MergedPort),
    ):
        assert isinstance(parsed_network(inside).virtualport, shape)
    problems = told(network("<virtualport type='802.1Qbh'><parameters managerid='11'/></virtualport>"))
    assert problems[0][0] == "/network/virtualport/parameters/@managerid"


def test_dnsmasq_options_are_kept_in_their_namespace() -> None:
    read = parse(
        "<network xmlns:d='http://libvirt.org/schemas/network/dnsmasq/1.0'><name>lan</name>"
        "<metadata><x:a xmlns:x='urn:x'>b<x:c/></x:a></metadata>"
        "<d:options><d:option value='foo=bar'/></d:options></network>"
    )
    assert isinstance(read, NetworkDocument) and read.dnsmasq is not None and read.metadata is not None
    assert [option.value for option in read.dnsmasq.options] == ["foo=bar"]
    assert read.metadata.content == ('<x:a xmlns:x="urn:x">b<x:c/></x:a>',)
    written = format(read)
    assert '<dnsmasq:option value="foo=bar"/>' in written
    assert parse(written) == read


@pytest.mark.parametrize(
    ("inside", "where", "reason"),
    [
        (
            "<ip address='10.0.0.1' netmask='255.0.0.0' prefix='8'/>",
            "/network/ip",
            "'netmask' and 'prefix' can't both be there",
        ),
        (
            "<forward><interface dev='eth0'/><address type='pci' bus='1'/></forward>",
            "/network/forward",
            "<interface> and <address> can't both be there",
        ),
        ("<ip><dhcp><host ip='10.0.0.7'/></dhcp></ip>", "/network/ip/dhcp/host", "it lacks 'mac' or 'id' or 'name'"),
        ("<vlan trunk='yes'/>", "/network/vlan", "it lacks its element <tag>"),
    ],
)
def test_networks_are_refused(inside: str, where: str, reason: str) -> None:
    assert told(network(inside)) == [(where, reason)]


@pytest.mark.parametrize(
    ("plug", "shape"),
    [
        ("<plug type='network' bridge='virbr0' macTableManager='libvirt'/>", BridgePlug),
        ("<plug type='direct' dev='eth0' mode='vepa'/>", DirectPlug),
        ("<plug type='hostdev-pci'><driver name='vfio'/><address bus='0x02'/></plug>", HostdevPlug),
    ],
)
def test_ports(plug: str, shape: type) -> None:
    read = parse(port(plug))
    assert isinstance(read, NetworkPortDocument) and isinstance(read.plug, shape)
    assert parse(format(read)) == read


def test_a_port_needs_an_owner_and_a_mode() -> None:
    assert told(f"<networkport><uuid>{UUID}</uuid><mac address='52:54:00:12:34:56'/></networkport>") == [
        ("/networkport", "it lacks its element <owner>")
    ]
    problems = told(port("<plug type='direct' dev='eth0'/>"))
    assert problems == [("/networkport/plug", "it lacks its attribute 'mode'")]


def test_host_interfaces_have_four_shapes() -> None:
    read = parse(
        "<interface type='bridge' name='br0'><start mode='onboot'/>"
        "<protocol family='ipv6'><autoconf/></protocol><protocol family='ipv4'><dhcp peerdns='no'/></protocol>"
        "<bridge delay='0.5'><interface type='ethernet' name='eth0'/>"
        "<interface type='vlan'><vlan tag='42'><interface name='eth1'/></vlan></interface></bridge></interface>"
    )
    assert isinstance(read, HostInterface) and isinstance(read, BridgeDocument)
    assert [type(each) for each in read.bridge.interfaces] == [EthernetPart, VlanPart]
    assert parse(format(read)) == read
    bond = parse("<interface type='bond' name='b'><bond><interface type='ethernet' name='eth0'/></bond></interface>")
    assert isinstance(bond, BondDocument)


def test_host_interfaces_are_refused() -> None:
    start = "<interface type='ethernet' name='eth0'>"
    assert told(f"{start}<protocol family='ipv4'/><protocol family='ipv4'/></interface>") == [
        ("/interface", "there may be only one <protocol> of the family ipv4")
    ]
    assert [where for where, _ in told(f"{start}<bridge/></interface>")] == ["/interface/bridge"]
    (problem,) = validate("<interface type='wifi' name='w'/>")
    assert problem.allowed == ("ethernet", "vlan", "bridge", "bond")
