"""Disks, network cards and ports of a .vmx."""

from __future__ import annotations

import pytest
from support.vmx import holds, machine, told

from engine.errors import ConfigError

IDE, SCSI, SATA = 'ide0:0.present = "TRUE"', 'scsi0.present = "TRUE"', 'sata1.present = "TRUE"'
ETHERNET, SERIAL = 'ethernet0.present = "TRUE"', 'serial0.present = "TRUE"'


# ---------------------------------------------------------------------------- disks


@pytest.mark.parametrize(
    ("lines", "disk", "source"),
    [
        (('fileName = "A.VMDK"',), "type='file' device='disk'", "file='[disks] box/A.VMDK'"),
        (('fileName = "a.iso"',), "type='file' device='cdrom'", "file='[disks] box/a.iso'"),
        (('deviceType = "cdrom-image"', 'fileName = "emptyBackingString"'), "type='file' device='cdrom'", ""),
        (('deviceType = "cdrom-image"', 'fileName = "/vmfs/volumes/gone/a.iso"'), "type='file' device='cdrom'", ""),
        (('deviceType = "atapi-cdrom"',), "type='block' device='cdrom'", ""),
        (('deviceType = "atapi-cdrom"', 'fileName = "/dev/sr0"'), "type='block' device='cdrom'", "dev='/dev/sr0'"),
        (('fileName = "auto detect"',), "type='block' device='cdrom'", "startupPolicy='optional'"),
        (('deviceType = "CDROM-RAW"', 'fileName = "/dev/sr0"'), "type='block' device='lun'", "dev='/dev/sr0'"),
        (('deviceType = "cdrom-raw"', 'fileName = "Auto Detect"'), "device='lun'", "startupPolicy='optional'"),
    ],
)
def test_what_a_drive_is_follows_from_its_type_and_file(lines: tuple[str, ...], disk: str, source: str) -> None:
    result = machine(IDE, *(f"ide0:0.{line}" for line in lines))
    assert holds(result, f"<disk {disk}>{f'<source {source}/>' if source else ''}<target dev='hda' bus='ide'/></disk>")
    assert bool(source) is holds(result, "<source/>")
    assert ("device='disk'" in disk) is not holds(result, "<readonly/>")


def test_how_a_disk_is_written() -> None:
    result = machine(IDE, 'ide0:0.fileName = "a.vmdk"', 'ide0:0.writeThrough = "TRUE"', 'ide0:0.mode = "nonpersistent"')
    assert holds(result, "<disk><driver cache='writethrough'/><transient/></disk>")


def test_places_on_every_bus() -> None:
    result = machine(
        SCSI, 'scsi0:8.present = "TRUE"', 'scsi0:8.fileName = "a.vmdk"', 'scsi0.virtualDev = "pvscsi"',
        'scsi0:16.present = "TRUE"', 'scsi0:16.fileName = "b.vmdk"',
        'scsi1.present = "TRUE"', 'scsi1:0.present = "TRUE"', 'scsi1:0.fileName = "c.vmdk"',
        SATA, 'sata1:2.present = "TRUE"', 'sata1:2.fileName = "d.vmdk"',
        'ide1:1.present = "TRUE"', 'ide1:1.fileName = "e.vmdk"',
        'floppy1.present = "TRUE"', 'floppy1.fileType = "file"', 'floppy1.fileName = "f.flp"',
    )  # fmt: skip
    for target, address in (
        ("dev='sdh' bus='scsi'", "controller='0' bus='0' target='0' unit='8'"),
        ("dev='sdp' bus='scsi'", "controller='0' bus='0' target='0' unit='16'"),
        ("dev='sdb' bus='scsi'", "controller='1' bus='0' target='0' unit='0'"),
        ("dev='sdag' bus='sata'", "controller='1' bus='0' target='0' unit='2'"),
        ("dev='hdd' bus='ide'", "controller='0' bus='1' target='0' unit='1'"),
        ("dev='fdb' bus='fdc'", "controller='0' bus='0' target='0' unit='1'"),
    ):
        assert holds(result, f"<disk><target {target}/><address type='drive' {address}/></disk>")
    devices = result.definition.devices
    assert devices is not None
    found = [(each.type_, each.index, getattr(each, "model", None)) for each in devices.controllers]
    assert found[:3] == [("scsi", 0, "vmpvscsi"), ("scsi", 1, None), ("fdc", 0, None)]
    assert found[3:] == [("ide", 0, None), ("sata", 0, None), ("sata", 1, None)]


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        (
            (IDE, 'ide0:0.clientDevice = "TRUE"'),
            "4 ide0:0: it is a drive of the client's, which is no part of a domain",
        ),
        ((IDE,), "4 ide0:0: what it is does not follow from its type and file name, so it is left out"),
        (('ide0:0.fileName = "a.iso"',), "4 ide0:0: it is not present, so what is said of it is left out"),
        (('scsi0:0.present = "TRUE"',), "4 scsi0:0: scsi0 is not present, so what is on it is left out"),
        ((SCSI.replace("0", "0:7"),), "4 scsi0:7: a domain of VMware's has no such place for a disk"),
        (
            (IDE, 'ide0:0.fileName = "a.iso"', 'ide0:0.startConnected = "FALSE"'),
            "6 ide0:0.startConnected: a domain's devices are connected from the start",
        ),
        (
            (IDE, 'ide0:0.fileName = "a.vmdk"', 'ide0:0.mode = "append"'),
            "6 ide0:0.mode: a domain does not say whether snapshots leave a disk out",
        ),
        (
            (IDE, 'ide0:0.fileName = "/vmfs/volumes/gone/a.iso"'),
            "5 ide0:0.fileName: its datastore is not there, so the drive is left empty",
        ),
        ((SATA,), "4 sata1: nothing is on it, so it is left out"),
        (
            (IDE, 'ide0:0.fileName = "a.vmdk"', 'ide0:0.deviceType = "cdrom-image"'),
            "6 ide0:0.deviceType: it is taken for a hard disk, since its file is one",
        ),
        (
            (IDE, 'ide0:0.fileName = "/dev/sr0"', 'ide0:0.autodetect = "TRUE"'),
            "6 ide0:0.autodetect: no drive is looked for, so it is left out",
        ),
    ],
)
def test_what_is_lost_of_disks_is_told(lines: tuple[str, ...], warning: str) -> None:
    assert told(machine(*lines)) == [warning]


def test_a_hard_disk_must_be_where_it_is_said_to_be() -> None:
    with pytest.raises(ConfigError, match="is in a datastore that is not there"):
        machine(IDE, 'ide0:0.fileName = "/vmfs/volumes/gone/a.vmdk"')


# ---------------------------------------------------------------------------- network cards


@pytest.mark.parametrize(
    ("lines", "interface"),
    [
        (('networkName = "VM Network"',), "<interface type='bridge'><source bridge='VM Network'/></interface>"),
        (('connectionType = "bridged"',), "<interface type='bridge'><source bridge='VMnet0'/></interface>"),
        (('connectionType = "hostonly"',), "<interface type='bridge'><source bridge='VMnet1'/></interface>"),
        (('connectionType = "nat"',), "<interface type='user'/>"),
        (
            ('connectionType = "custom"', 'vnet = "VMnet3"'),
            "<interface type='bridge'><source bridge='VMnet3'/><target dev='VMnet3'/></interface>",
        ),
        ((), "<interface type='null'/>"),
        (
            ('virtualDev = "vmxnet"', 'features = "15"', 'addressType = "static"', 'address = "00-50-56-00-00-AB"'),
            "<interface><mac address='00:50:56:00:00:ab' type='static'/><model type='vmxnet2'/></interface>",
        ),
        (
            ('generatedAddress = "02:00:00:00:00:01"', 'checkMACAddress = "FALSE"', 'virtualDev = "vmxnet"'),
            "<interface><mac address='02:00:00:00:00:01' check='no'/><model type='vmxnet'/></interface>",
        ),
        (
            ('dvs.switchId = "50 34 26 b2 94 e9 3b 16-1d 68 87 bf ff 4a 54 40"', 'dvs.portId = "5"'),
            "<source switchid='503426b2-94e9-3b16-1d68-87bfff4a5440' portid='5' portgroupid='' connectionid='0'/>",
        ),
    ],
)
def test_network_cards(lines: tuple[str, ...], interface: str) -> None:
    assert holds(machine(ETHERNET, *(f"ethernet0.{line}" for line in lines)), interface)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('addressType = "lucky"', "'ethernet0.addressType' is none of static, generated and vpx: 'lucky'"),
        ('generatedAddress = "1"', "'ethernet0.generatedAddress' is no MAC address: '1'"),
        ('dvs.switchId = "1"', "'ethernet0.dvs.switchId' is no UUID: '1'"),
    ],
)
def test_impossible_network_cards(line: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        machine(ETHERNET, f"ethernet0.{line}")
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        (
            ('connectionType = "nat"', 'networkName = "a"'),
            "6 ethernet0.networkName: a network with address translation",
        ),
        (('connectionType = "hostonly"', 'networkName = "a"'), "5 ethernet0.connectionType: it is taken for a bridge"),
        (('connectionType = "custom"',), "5 ethernet0.connectionType: it is not said on which network the card is"),
        (('addressType = "static"',), "5 ethernet0.addressType: the card has no address yet"),
        (('checkMACAddress = "FALSE"',), "5 ethernet0.checkMACAddress: the card has no address yet"),
    ],
)
def test_what_is_lost_of_network_cards_is_told(lines: tuple[str, ...], warning: str) -> None:
    (found,) = told(machine(ETHERNET, *(f"ethernet0.{line}" for line in lines)))
    assert found.startswith(warning)


# ---------------------------------------------------------------------------- ports


@pytest.mark.parametrize(
    ("lines", "inside"),
    [
        (('fileName = "/dev/ttyS0"',), "<serial type='dev'><source path='/dev/ttyS0'/></serial>"),
        (('fileType = "file"', 'fileName = "out"'), "<serial type='file'><source path='[disks] box/out'/></serial>"),
        (
            ('fileType = "pipe"', 'fileName = "\\\\.\\pipe\\a"'),
            "<serial type='pipe'><source path='\\\\.\\pipe\\a'/></serial>",
        ),
        (
            ('fileType = "network"', 'fileName = "telnet://[::1]:7"', 'network.endPoint = "client"'),
            "<serial type='tcp'><source mode='connect' host='::1' service='7'/><protocol type='telnet'/></serial>",
        ),
        (
            ('fileType = "network"', 'fileName = "tcp4+ssl://:99/#x"'),
            "<serial type='tcp'><source mode='bind' host='' service='99'/><protocol type='tls'/></serial>",
        ),
        (
            ('fileType = "network"', 'fileName = "h:1"'),
            "<serial><source host='h' service='1'/><protocol type='raw'/></serial>",
        ),
    ],
)
def test_serial_ports(lines: tuple[str, ...], inside: str) -> None:
    result = machine(SERIAL, *(f"serial0.{line}" for line in lines))
    assert holds(result, inside)
    assert holds(result, inside.replace("serial", "console"))
    assert holds(result, "<console><target type='serial' port='0'/></console>")


def test_parallel_ports() -> None:
    result = machine('parallel1.present = "TRUE"', 'parallel1.fileType = "file"', 'parallel1.fileName = "/out"')
    assert holds(result, "<parallel type='file'><source path='/out'/><target port='1'/></parallel>")


def test_ports_that_a_domain_can_not_have_are_told() -> None:
    lines = (SERIAL, 'serial0.fileType = "thinprint"', 'parallel0.present = "TRUE"', 'parallel0.fileType = "pipe"')
    reason = "a domain has no such port, so it is left out"
    assert told(machine(*lines)) == [f"4 serial0: {reason}", f"6 parallel0: {reason}"]


@pytest.mark.parametrize("uri", ["gopher://h:1", "tcp://h", "tcp://h:x"])
def test_impossible_addresses_of_serial_ports(uri: str) -> None:
    with pytest.raises(ConfigError, match="is no address such as telnet://host:port"):
        machine(SERIAL, 'serial0.fileType = "network"', f'serial0.fileName = "{uri}"')
