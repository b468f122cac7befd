"""Network cards, and what they share with networks."""

from __future__ import annotations

import pytest
from support.elements import problems_of, read, rewritten

from engine.conf.kinds.domain.interface import Interface

MERGED = "<virtualport><parameters managerid='11' profileid='p'/></virtualport>"
CARDS = {
    "NetworkInterface": "type='network'><source network='n' portgroup='g' bridge='br0' macTableManager='kernel'/>",
    "BridgeInterface": f"type='bridge'><source bridge='br 0' network='n'/>{MERGED}",
    "DirectInterface": "type='direct'><source dev='eth0' mode='vepa'/><virtualport type='802.1Qbg'/>",
    "EthernetInterface": "type='ethernet'><source><ip address='10.0.0.1' prefix='24' peer='10.0.0.2'/></source>",
    "HostdevInterface": "type='hostdev' managed='yes'><source><vendor id='0x1'/><product id='0x002'/></source>",
    "VhostUserInterface": "type='vhostuser'><source type='unix' path='/s' mode='client'>"
    "<reconnect enabled='no'/></source>",
    "UserInterface": "type='user'><backend type='passt'/><portForward proto='tcp'><range start='22'/></portForward>",
    "VdpaInterface": "type='vdpa'><source dev='/dev/vhost-vdpa-0'/>",
    "PeerInterface": "type='client'><source address='192.0.2.1' port='-1'/>",
    "ServerInterface": "type='server'><source port='5558'/>",
    "UdpInterface": "type='udp'><source address='192.0.2.1' port='1'><local address='192.0.2.2' port='2'/></source>",
    "InternalInterface": "type='internal'><source name='net'/>",
    "VdsInterface": f"type='vds'><source switchid='{32 * '0'}' portid='-6' portgroupid='' connectionid='+12'/>",
    "NullInterface": "type='null'><driver name='vfio' rss='on'><host gso='off'/></driver>",
}


@pytest.mark.parametrize("name", CARDS)
def test_what_it_is_connected_to_says_what_it_is(name: str) -> None:
    text = f"<interface {CARDS[name]}<mac address='52:54:00:12:34:56' check='no'/><link state='down'/></interface>"
    assert type(read(Interface, text)).__name__ == name
    assert rewritten(Interface, text)


def test_a_device_of_the_hosts_is_told_by_its_address_or_its_product() -> None:
    def source(inside: str) -> str:
        text = f"<interface type='hostdev'><source missing='no'>{inside}</source></interface>"
        assert rewritten(Interface, text)
        return type(read(Interface, text).source).__name__

    product = "<vendor id='1234'/><product id='0xbeef'/>"
    assert source("<address type='pci' slot='0x3'/>") == "PassedCardAtAddress"
    assert source("<address type='usb' bus='1' device='0x2'/>") == "PassedCardAtAddress"
    assert source(f"{product}<address bus='1' device='2'/>") == "PassedCardOfProduct"


def test_the_drivers_of_a_card_of_the_hosts_have_no_queues() -> None:
    driver = "<interface type='network'><source network='n'/><driver {}/></interface>"
    assert read(Interface, driver.format("queues='4' packed='on'")).driver.queues == 4
    assert problems_of(Interface, driver.format("name='vfio' queues='4'")) == [
        "/interface/driver/@queues: unknown attribute 'queues'"
    ]


@pytest.mark.parametrize(
    ("inside", "problem"),
    [
        ("type='brigde'>",
         "/@type: 'brigde' is none of network, bridge, direct, ethernet, hostdev, vhostuser, user, "
         "vdpa, mcast, client, server, udp, ... (did you mean 'bridge'?)"),
        ("type='network'>", ": it lacks its element <source>"),
        ("type='bridge'><source bridge='b' portgroup='g'/>", "/source: 'portgroup' needs 'network'"),
        ("type='ethernet'><virtualport/>", "/virtualport: unknown <virtualport>"),
        ("type='bridge'><virtualport type='midonet'/>", "/virtualport: it lacks its element <parameters>"),
        ("type='null'><vlan/>", "/vlan: it lacks its element <tag>"),
        ("type='null'><route address='10.0.0.0' gateway='10.0.0.1' prefix='8' netmask='255.0.0.0'/>",
         "/route: 'netmask' and 'prefix' can't both be there"),
        ("type='null'><teaming type='persistent' persistent='ua-x'/>",
         "/teaming/@persistent: unknown attribute 'persistent'"),
    ],
)  # fmt: skip
def test_what_is_refused(inside: str, problem: str) -> None:
    assert problems_of(Interface, f"<interface {inside}</interface>") == [f"/interface{problem}"]
