"""Addresses beyond PCI: drives, ports, channels, registers, memory slots."""

from __future__ import annotations

import pytest
from support.addressed import domain, drives, places, refused, shown

from engine.conf.defaults.addresses import Abilities, assign_addresses, assign_drive_addresses
from engine.conf.documents import format

BALLOON = "<memballoon model='virtio'/>"
CHANNEL = "<channel type='pty'><target type='virtio'/></channel>"
CONSOLE = "<console type='pty'><target type='virtio'/>{}</console>"
MOUSE = "<input type='mouse' bus='usb'/>"


# ---------------------------------------------------------------------------- drives


@pytest.mark.parametrize(
    ("bus", "places_of"),
    [
        ("ide", {"hda": "0:0:0:0", "hdb": "0:0:0:1", "hdc": "0:1:0:0", "hdd": "0:1:0:1", "hde": "1:0:0:0"}),
        ("scsi", {"sda": "0:0:0:0", "sdg": "0:0:0:6", "sdh": "1:0:0:0", "sdaa": "3:0:0:5"}),
        ("sata", {"sda": "0:0:0:0", "sdf": "0:0:0:5", "sdg": "1:0:0:0"}),
        ("fdc", {"fda": "0:0:0:0", "fdb": "0:0:0:1"}),
        ("usb", {"sda": ""}),
    ],
)
def test_the_name_of_a_disk_tells_its_place(bus: str, places_of: dict[str, str]) -> None:
    done = assign_drive_addresses(domain(drives(*places_of, bus=bus)))
    assert shown(done, "disks") == list(places_of.values())


def test_devices_of_the_host_get_the_units_that_are_free() -> None:
    hostdev = (
        "<hostdev mode='subsystem' type='scsi'><source><adapter name='scsi_host0'/>"
        "<address bus='0' target='0' unit='0'/></source></hostdev>"
    )
    controller = "<controller type='scsi' index='0' model='virtio-scsi'/>"
    found = places(controller + drives("sda", "sdc", bus="scsi") + hostdev * 7, "hostdevs")
    assert found == ["0:0:0:1", "0:0:0:3", "0:0:0:4", "0:0:0:5", "0:0:0:6", "1:0:0:0", "1:0:0:1"]


def test_two_disks_have_not_one_place() -> None:
    disks = f"{drives('hda', bus='ide')}\n<disk><target dev='hdb' bus='ide'/><address type='drive' unit='0'/></disk>"
    assert refused(disks) == ("another device has the drive address 0:0:0:0 on ide, too", 4)
    assert refused(drives("sdzzzzzz", bus="scsi"))[1] == 3


# ---------------------------------------------------------------------------- virtio-serial, smart cards


def test_channels_get_ports_from_1() -> None:
    there = (
        "<channel type='pty'><target type='virtio'/><address type='virtio-serial' controller='0' port='2'/></channel>"
    )
    controller = "<controller type='virtio-serial' index='0'/>"
    assert places(controller + CHANNEL * 2 + there, "channels") == ["port 0:1", "port 0:3", "port 0:2"]
    assert refused(controller + there + "\n" + there) == ("port 2 of the virtio-serial controller 0 is taken", 4)


def test_a_console_gets_a_port_only_if_it_asks_for_one() -> None:
    asks = CONSOLE.format("<address type='virtio-serial' controller='0'/>")
    controller = "<controller type='virtio-serial' index='0'/>"
    assert places(controller + CONSOLE.format("") + asks * 2, "consoles") == ["", "port 0:0", "port 0:1"]


def test_a_controller_is_added_when_all_ports_are_taken() -> None:
    controller = "<controller type='virtio-serial' index='0' ports='3'/>"
    assert places(controller + CHANNEL * 3, "channels") == ["port 0:1", "port 0:2", "port 1:1"]
    assert len(places(controller + CHANNEL * 3, "controllers")) == 3


def test_smart_cards_have_a_reader_each() -> None:
    assert places("<smartcard mode='host'/>" * 2, "smartcards", new=False) == ["slot 0", "slot 0"]


# ---------------------------------------------------------------------------- USB


def test_usb_devices_get_ports_and_hubs_when_there_are_too_few() -> None:
    usb = "<controller type='usb' index='0'/>"
    assert places(usb + MOUSE * 2, "inputs") == ["usb 0:1", "usb 0:2"]
    done = assign_addresses(domain(usb + MOUSE * 10))
    assert shown(done, "hubs") == ["usb 0:1", "usb 0:2"]
    assert shown(done, "inputs") == [*(f"usb 0:1.{n}" for n in range(1, 9)), "usb 0:2.1", "usb 0:2.2"]
    assert places(usb + MOUSE, "inputs", new=False) == [""]


def test_hubs_come_first_and_companions_have_no_ports_of_their_own() -> None:
    models = ("ich9-uhci1", "ich9-ehci1")
    usb = "".join(f"<controller type='usb' index='0' model='{model}'/>" for model in models)
    done = assign_addresses(domain(usb + MOUSE * 2 + "<hub type='usb'/>"))
    assert (shown(done, "hubs"), shown(done, "inputs")) == (["usb 0:1"], ["usb 0:2", "usb 0:3"])


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("bus='1' port='1'", "there is no USB controller with the index 1"),
        ("bus='0' port='3'", "USB bus 0 has no port 3"),
        ("bus='0' port='2.1'", "there is no hub at the port 2 of USB bus 0"),
        ("bus='0' port='1'", "port 1 of USB bus 0 is taken"),
        ("bus='0' port='1.9'", "USB bus 0 has no port 1.9"),
        ("bus='0' port='1.a'", "the USB port 1.a is not written in decimal numbers"),
    ],
)
def test_usb_ports_that_are_not_there(address: str, reason: str) -> None:
    devices = "<controller type='usb' index='0'/><hub type='usb'><address type='usb' bus='0' port='1'/></hub>\n"
    assert refused(f"{devices}<input type='mouse' bus='usb'><address type='usb' {address}/></input>") == (reason, 4)


# ---------------------------------------------------------------------------- S/390

HOST_DEVICE = (
    "<hostdev mode='subsystem' type='pci'><source><address bus='0' slot='{}' function='0'/></source>{}</hostdev>"
)


def test_virtio_devices_are_channels_on_s390() -> None:
    there = "<disk><target dev='vdb' bus='virtio'/><address type='ccw' cssid='0xfe' ssid='0x0' devno='0x0001'/></disk>"
    devices = drives("vda", bus="virtio") + there + BALLOON
    done = assign_addresses(domain(devices, machine="s390-ccw-virtio", arch="s390x"))
    assert shown(done, "disks") == ["fe.0.0000", "fe.0.0001"]
    assert shown(done, "memballoon") == ["fe.0.0002"]
    reason, line = refused(f"{there}\n{there.replace('vdb', 'vdc')}", machine="s390-ccw-virtio", arch="s390x")
    assert (reason, line) == ("the channel fe.0.0001 is taken", 4)


def test_pci_devices_have_numbers_on_s390() -> None:
    given = HOST_DEVICE.format(2, "<address type='pci'><zpci uid='0x0001'/></address>")
    done = assign_addresses(domain(HOST_DEVICE.format(1, "") + given, machine="s390-ccw-virtio", arch="s390x"))
    text = format(done)
    assert '<zpci uid="0x0002" fid="0x00000001"/>' in text
    assert '<zpci uid="0x0001" fid="0x00000000"/>' in text
    assert shown(done, "hostdevs") == ["00:01.0", "00:02.0"]
    old = Abilities.of(lambda flag: flag != "zpci")
    assert places(HOST_DEVICE.format(1, ""), "hostdevs", machine="s390-ccw-virtio", arch="s390x", abilities=old) == [""]


# ---------------------------------------------------------------------------- pseries, memory


def test_registers_of_pseries() -> None:
    serial = "<serial type='pty'><target type='spapr-vio-serial'/></serial>"
    console = "<console type='pty'><target type='serial'/></console>"
    scsi = "<controller type='scsi' index='{}' model='ibmvscsi'/>"
    nvram = "<nvram><address type='spapr-vio'/></nvram>"
    devices = scsi.format(0) + scsi.format(1) + serial * 2 + console + nvram
    done = assign_addresses(domain(devices, machine="pseries", arch="ppc64"))
    assert shown(done, "controllers")[:2] == ["0x2000", "0x3000"]
    assert shown(done, "serials") == ["0x30000000", "0x30001000"]
    assert shown(done, "consoles") == ["0x30000000"]
    assert shown(done, "nvram") == ["0x4000"]


def test_memory_modules_get_slots() -> None:
    module = "<memory model='dimm'><target><size>1024</size></target>{}</memory>"
    there = module.format("<address type='dimm' slot='0'/>")
    assert places(module.format("") * 2 + there, "memories") == ["slot 1", "slot 2", "slot 0"]
    assert places(module.format(""), "memories", new=False) == [""]
    assert refused(there + "\n" + there) == ("the memory slot 0 is taken", 4)
