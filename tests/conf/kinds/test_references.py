"""What clashes in a domain, and names what is not there."""

from __future__ import annotations

import time

import pytest

from engine.conf import parse_domain
from engine.conf.documents import validate
from engine.errors import InvalidDocument

DISK = "<disk type='file' device='disk'><source file='/{0}'/><target dev='{0}' bus='virtio'/>{1}</disk>\n"
NIC = "<interface type='user'><mac address='52:54:00:00:00:0{0}'/>{1}</interface>\n"


def domain(devices: str, before: str = "", boot: str = "") -> str:
    return (
        "<domain type='qemu'>\n<name>web</name><memory>1024</memory>"
        f"{before}<os><type>hvm</type>{boot}</os>\n<devices>\n{devices}</devices></domain>"
    )


CLASHES = {
    DISK.format("vda", "")
    + DISK.format("vda", ""): "5 /domain/devices/disk[2]: the target 'vda' is another disk's as well",
    DISK.format("vda", "<boot order='1'/>")
    + NIC.format(1, "<boot order='1'/>"): "5 /domain/devices/interface: the boot order 1 is another device's as well",
    DISK.format("vda", "<alias name='ua-x'/>")
    + NIC.format(
        1, "<alias name='ua-x'/>"
    ): "5 /domain/devices/interface: the alias 'ua-x' is another device's as well",
    "<controller type='scsi' index='0'/>\n<controller type='scsi' index='0' model='lsilogic'/>\n": (
        "5 /domain/devices/controller[2]: there is another scsi controller with the index 0"
    ),
    NIC.format(1, "<address type='pci' bus='0x00' slot='0x03'/>")
    + DISK.format("vda", "<address type='pci' bus='0' slot='3' function='0'/>"): (
        "4 /domain/devices/interface: another device has the same address"
    ),
    DISK.format("vda", "<driver name='qemu' iothread='2'/>"): "4 /domain/devices/disk: there is no iothread 2",
    "<controller type='usb' index='0'/>\n<input type='tablet' bus='usb'><address type='usb' bus='1'/></input>\n": (
        "5 /domain/devices/input: there is no USB controller with the index 1"
    ),
}


@pytest.mark.parametrize("devices", CLASHES)
def test_what_libvirt_refuses_is_refused_when_it_is_defined(devices: str) -> None:
    text = domain(devices)
    assert validate(text) == []
    [problem] = validate(text, references=True)
    assert (f"{problem.line} {problem}", problem.severity) == (CLASHES[devices], "warning")
    assert parse_domain(text).name == "web"
    with pytest.raises(InvalidDocument) as refused:
        parse_domain(text, validate=True, source="web.xml")
    assert str(refused.value) == f"web.xml:{CLASHES[devices].replace(' ', ': ', 1)}"


def test_boot_orders_of_devices_do_not_go_with_that_of_the_system() -> None:
    text = domain(DISK.format("vda", "<boot order='1'/>"), boot="<boot dev='hd'/>")
    [problem] = validate(text, references=True)
    assert "can't go with the <boot> of <os>" in problem.reason


def test_a_mac_address_twice_is_only_a_warning() -> None:
    text = domain(NIC.format(1, "") + NIC.format(1, ""))
    [problem] = validate(text, references=True)
    assert problem.reason == "the MAC address 52:54:00:00:00:01 is another interface's as well"
    assert parse_domain(text, validate=True).name == "web"


@pytest.mark.parametrize(
    ("devices", "before"),
    [
        (DISK.format("vda", "<driver name='qemu' iothread='2'/>"), "<iothreads>2</iothreads>"),
        (DISK.format("vda", "<driver name='qemu' iothread='2'/>"), "<iothreads>4294967295</iothreads>"),
        (DISK.format("vda", "<driver name='qemu' iothread='7'/>"), "<iothreadids><iothread id='7'/></iothreadids>"),
        ("<controller type='usb' index='0' model='ich9-ehci1'/><controller type='usb' index='0' model='ich9-uhci1'>"
         "<master startport='0'/></controller>", ""),
        (DISK.format("vda", "") + DISK.format("vdb", ""), ""),
        ("<input type='tablet' bus='usb'><address type='usb' bus='0' port='1'/></input>", ""),
    ],
)  # fmt: skip
def test_what_is_sound(devices: str, before: str) -> None:
    assert validate(domain(devices, before), references=True) == []


def test_many_that_clash_in_one_line_are_told_in_their_places_at_once() -> None:
    disk = DISK.format("vda", "").strip()
    begin = time.process_time()
    problems = validate(domain(disk * 3000), references=True)
    assert time.process_time() - begin < 20  # it took the square of their number
    assert [problem.xpath for problem in problems[:2]] == ["/domain/devices/disk[2]", "/domain/devices/disk[3]"]


def test_warnings_without_end_hide_no_error() -> None:
    text = domain(NIC.format(1, "") * 1500 + DISK.format("vda", "<driver name='qemu' iothread='2'/>"))
    with pytest.raises(InvalidDocument, match="there is no iothread 2"):
        parse_domain(text, validate=True)
