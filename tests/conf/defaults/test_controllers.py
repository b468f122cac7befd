"""Controllers that machines and devices need, their numbers and models."""

from __future__ import annotations

import pytest
from support.completing import completed

from engine.conf.defaults.capabilities import Capabilities, present_qemu


def controllers(devices: str = "", **options: object) -> list[str]:
    root = completed(devices, **options)  # type: ignore[arg-type]
    found = root.findall("devices/controller")
    return [" ".join(filter(None, (c.get("type"), c.get("index"), c.get("model")))) for c in found]


@pytest.mark.parametrize(
    ("arch", "machine", "expected"),
    [
        ("x86_64", "pc", ["usb 0", "pci 0 pci-root"]),
        ("x86_64", "q35", ["sata 0", "pci 0 pcie-root"]),
        ("x86_64", "isapc", []),
        ("x86_64", "microvm", []),
        ("aarch64", "virt", []),
        ("ppc64", "pseries", ["usb 0", "pci 0 pci-root"]),
        ("s390x", "s390-ccw-virtio", []),
    ],
)
def test_what_machines_have_where_nothing_is_known(arch: str, machine: str, expected: list[str]) -> None:
    assert controllers(arch=arch, machine=machine) == expected


@pytest.mark.parametrize(
    ("arch", "machine", "expected"),
    [
        ("x86_64", "pc", ["usb 0 piix3-uhci", "pci 0 pci-root"]),
        ("x86_64", "q35", ["usb 0 qemu-xhci", "sata 0", "pci 0 pcie-root"]),
        ("aarch64", "virt", ["pci 0 pcie-root"]),
        ("ppc64", "pseries", ["usb 0 pci-ohci", "pci 0 pci-root"]),
    ],
)
def test_what_machines_have_with_the_present_qemu(arch: str, machine: str, expected: list[str]) -> None:
    assert controllers(arch=arch, machine=machine, capabilities=present_qemu()) == expected


def test_q35_has_usb_2_with_its_companions_where_there_is_no_usb_3() -> None:
    found = controllers(machine="q35", capabilities=Capabilities(flags=frozenset({"ich9-usb-ehci1"})))
    assert found[:4] == ["usb 0 ich9-ehci1", "usb 0 ich9-uhci1", "usb 0 ich9-uhci2", "usb 0 ich9-uhci3"]


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        ("<disk><target dev='hdc'/></disk>", ["ide 0"]),
        ("<disk><target dev='sdh'/></disk>", ["scsi 0 virtio-scsi", "scsi 1 virtio-scsi"]),
        ("<disk><target dev='sdg' bus='sata'/></disk>", ["sata 0", "sata 1"]),
        ("<disk device='floppy'><target dev='fda'/></disk>", ["fdc 0"]),
        ("<disk><target dev='sda'/><address type='drive' controller='1'/></disk>",
         ["scsi 0 virtio-scsi", "scsi 1 virtio-scsi"]),
        ("<channel type='pty'><target type='virtio'/></channel>", ["virtio-serial 0"]),
        ("<smartcard mode='host'/>", ["ccid 0"]),
        ("<disk><target dev='vdz'/></disk>", []),
    ],
)  # fmt: skip
def test_what_devices_need(device: str, expected: list[str]) -> None:
    assert [each for each in controllers(device) if not each.startswith(("usb", "pci"))] == expected


def test_those_without_a_number_get_the_lowest_that_is_free() -> None:
    assert controllers("<controller type='ide'/><controller type='ide' index='1'/><controller type='ide'/>")[:3] == [
        "ide 0", "ide 1", "ide 2"
    ]  # fmt: skip


def test_parts_of_an_ich9_belong_together() -> None:
    models = ("ich9-ehci1", "ich9-uhci1", "ich9-uhci1", "ich9-ehci1")
    devices = "".join(f"<controller type='usb' model='{model}'/>" for model in models)
    root = completed(devices)
    found = root.findall("devices/controller[@type='usb']")
    assert [(c.get("index"), c.get("model")) for c in found] == [
        ("0", "ich9-ehci1"), ("0", "ich9-uhci1"), ("1", "ich9-uhci1"), ("1", "ich9-ehci1")
    ]  # fmt: skip
    assert found[1].find("master").get("startport") == "0"


def test_numbers_decide_the_order_within_a_type() -> None:
    devices = (
        "<controller type='scsi' index='1'/><controller type='ide' index='0'/><controller type='scsi' index='0'/>"
        "<controller type='usb' index='0' model='ich9-uhci1'/><controller type='usb' index='0' model='ich9-ehci1'/>"
    )
    assert controllers(devices)[:5] == [
        "scsi 0 virtio-scsi", "scsi 1 virtio-scsi", "ide 0", "usb 0 ich9-ehci1", "usb 0 ich9-uhci1"
    ]  # fmt: skip


def test_a_name_that_asks_for_very_many() -> None:
    assert len(controllers("<disk><target dev='sdzzzzzzzzzzzz'/></disk>")) < 300
