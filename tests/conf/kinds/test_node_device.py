"""Devices of the host."""

from __future__ import annotations

import pytest

from engine.conf.documents import format, parse, validate
from engine.conf.kinds.node_device import NetCapability, NodeDeviceDocument, StorageCapability, SystemCapability
from engine.conf.kinds.node_device_pci import PciBridge, PciCapability, Vpd

PCI = (
    "<domain>0</domain><bus>2</bus><slot>0</slot><function>0</function>"
    "<product id='0x10c9'>a card</product><vendor id='0x8086'/>"
)
STORAGE = "<block>/dev/sda</block>"


def device(capability: str, inside: str) -> str:
    return f"<device><name>x</name><capability type='{capability}'>{inside}</capability></device>"


def parsed(text: str) -> NodeDeviceDocument:
    read = parse(text)
    assert isinstance(read, NodeDeviceDocument)
    assert parse(format(read)) == read
    return read


def told(text: str) -> list[tuple[str, str]]:
    return [(problem.xpath, problem.reason) for problem in validate(text)]


def test_capabilities_are_told_by_their_type() -> None:
    system = "<hardware><uuid>3e3fce45-4f53-4fa7-bb32-11f34168b82b</uuid></hardware><firmware/>"
    for capability, inside, shape in (
        ("system", f"<product>a board</product>{system}", SystemCapability),
        ("pci", PCI, PciCapability),
        ("net", "<interface>eth0</interface><capability type='80203'/>", NetCapability),
        ("storage", f"{STORAGE}<size>512</size>", StorageCapability),
    ):
        assert isinstance(parsed(device(capability, inside)).capabilities[0], shape)


def test_pci_devices_keep_how_numbers_are_written() -> None:
    read = parsed(device("pci", f"<class>0x020000</class>{PCI}<capability type='pci-bridge'/>"))
    (pci,) = read.capabilities
    assert isinstance(pci, PciCapability) and isinstance(pci.capabilities[0], PciBridge)
    assert (pci.class_, pci.product.id_, pci.product.name) == (0x20000, 0x10C9, "a card")
    assert "<class>0x020000</class>" in format(read)


def test_product_data() -> None:
    fields = "<fields access='readonly'><vendor_field index='Z'>42</vendor_field></fields>"
    vpd = f"<capability type='vpd'><name>a card</name>{fields}</capability>"
    (pci,) = parsed(device("pci", PCI + vpd)).capabilities
    assert isinstance(pci, PciCapability) and isinstance(pci.capabilities[0], Vpd)
    twice = vpd.replace(fields, fields * 2)
    assert told(device("pci", PCI + twice)) == [
        ("/device/capability/capability", "there may be only one <fields> whose access is 'readonly'")
    ]


@pytest.mark.parametrize(
    ("text", "where", "reason"),
    [
        (
            device("pci", f"{PCI}<capability type='pci-bridge'/><capability type='cardbus-bridge'/>"),
            "/device/capability",
            "there may be only one <capability> whose type is 'pci-bridge'",
        ),
        (
            device("storage", STORAGE),
            "/device/capability",
            "it lacks its element <size>, or a <capability> of the type 'removable'",
        ),
        (
            device("storage", f"{STORAGE}<size>1</size><logical_block_size>512</logical_block_size>"),
            "/device/capability",
            "<logical_block_size> needs <num_blocks>",
        ),
        (
            "<device><name>x</name><parent wwnn='0123456789abcdef'/></device>",
            "/device/parent",
            "'wwnn' needs 'wwpn'",
        ),
        (
            "<device><name>x</name><devnode type='dev'>/a</devnode><devnode type='dev'>/b</devnode></device>",
            "/device",
            "there may be only one <devnode> whose type is 'dev'",
        ),
    ],
)
def test_devices_are_refused(text: str, where: str, reason: str) -> None:
    assert told(text) == [(where, reason)]


def test_a_parent_is_a_name_or_world_wide_names() -> None:
    parent = parsed("<device><name>x</name><parent>pci_0000_00_00_0</parent></device>").parent
    assert parent is not None and parent.name == "pci_0000_00_00_0"
    assert told("<device><name>x</name><parent fabric_wwn='0123456789abcdef'>y</parent></device>")
