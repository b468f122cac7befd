"""A domain as a .vmx, and what is told of the rest."""

from __future__ import annotations

from typing import cast

import pytest
from support.vmx import machine, told, vmx_of, written

from engine.conf.documents import parse
from engine.conf.kinds.domain.document import DomainDocument
from engine.errors import UnsupportedConfig
from engine.vmx import read_vmx, write_vmx


def test_the_least_machine() -> None:
    result = vmx_of("")
    assert result.text.splitlines() == [
        '.encoding = "UTF-8"',
        'config.version = "8"',
        'virtualHW.version = "4"',
        'guestOS = "other"',
        'uuid.bios = "00 11 22 33 44 55 66 77-88 99 aa bb cc dd ee ff"',
        'displayName = "box"',
        'memsize = "64"',
        'numvcpus = "1"',
        'floppy0.present = "false"',
        'floppy1.present = "false"',
    ]
    assert result.warnings == ()


def test_names_descriptions_and_generations_are_escaped() -> None:
    domain = (
        "<domain type='vmware'><name>a/b%</name><genid>ffffffff-ffff-ffff-0000-000000000102</genid>"
        '<description>"x" | y</description><memory>1</memory><os firmware="efi"><type arch="x86_64">hvm</type>'
        "<smbios mode='host'/></os></domain>"
    )
    lines = write_vmx(cast(DomainDocument, parse(domain)), hardware_version=7).text.splitlines()
    for line in (
        'guestOS = "other-64"', 'smbios.reflectHost = "true"', 'uuid.action = "create"', 'displayName = "a%2fb%25"',
        'annotation = "|22x|22 |7c y"', 'memsize = "4"', 'vmci0.present = "true"', 'firmware = "efi"',
        'vm.genid = "-1"', 'vm.genidX = "258"',
    ):  # fmt: skip
        assert line in lines


def test_memory_and_cpus() -> None:
    around = (
        "<currentMemory unit='MiB'>50</currentMemory><memtune><min_guarantee unit='MiB'>8</min_guarantee></memtune>"
        "<vcpu cpuset='0-3,^2,8'>4</vcpu><cputune><shares>8000</shares></cputune>"
        "<cpu><topology sockets='2' cores='2' threads='1'/></cpu>"
    )
    text = vmx_of("", around=around)
    assert written(text, "sched.") == [
        'mem.max = "50"', 'mem.minsize = "8"', 'cpu.affinity = "0,1,3,8"', 'cpu.shares = "high"',
    ]  # fmt: skip
    assert written(text, "cpuid.") == ['coresPerSocket = "2"']
    assert told(text) == []


def test_disks_by_name_and_by_address() -> None:
    text = vmx_of(
        "<disk type='file'><driver name='lsilogic'/><source file='[d] a.vmdk'/><target dev='sdq'/></disk>"
        "<disk type='file' device='disk'><source file='/b.vmdk'/><target dev='hda' bus='ide'/><transient/>"
        "<address type='drive' controller='0' bus='1' unit='0'/></disk>"
        "<disk type='file' device='disk'><source file='/c.vmdk'/><target dev='sdb' bus='sata'/></disk>",
        hardware=8,
    )
    assert written(text, "scsi1") == [
        '.present = "true"', '.virtualDev = "lsilogic"', ':1.present = "true"', ':1.deviceType = "scsi-hardDisk"',
        ':1.fileName = "/vmfs/volumes/d/a.vmdk"',
    ]  # fmt: skip
    assert written(text, "ide1:0.") == [
        'present = "true"', 'deviceType = "ata-hardDisk"', 'fileName = "/b.vmdk"', 'mode = "independent-nonpersistent"',
    ]  # fmt: skip
    assert written(text, "sata0")[:2] == ['.present = "true"', ':1.present = "true"']
    assert written(text, "pciBridge7.") == ['present = "true"', 'virtualDev = "pcieRootPort"', 'functions = "8"']


@pytest.mark.parametrize(
    ("disk", "lines"),
    [
        ("type='block' device='cdrom'><source dev='/dev/sr0'/>", ['atapi-cdrom"', 'fileName = "/dev/sr0"']),
        ("type='block' device='lun'><source dev='/vmfs/devices/cdrom/x'/>", ["scsi-passthru", "cdrom/x"]),
        ("type='block' device='lun'><source startupPolicy='optional'/>", ["cdrom-raw", "autodetect", "auto detect"]),
        ("type='file' device='cdrom'>", ["cdrom-image", "emptyBackingString"]),
    ],
)
def test_drives(disk: str, lines: list[str]) -> None:
    found = written(vmx_of(f"<disk {disk}<target dev='sda' bus='scsi'/></disk>"), "scsi0:0.")[1:]
    assert len(found) == len(lines)
    assert all(part in line for part, line in zip(lines, found, strict=True))


@pytest.mark.parametrize(
    ("card", "lines"),
    [
        (
            "type='bridge'><source bridge='n'/><target dev='vnet0'/>",
            ['networkName = "n"', 'connectionType = "bridged"'],
        ),
        ("type='bridge'><source bridge='n'/><target dev='vmnet2'/>", ['connectionType = "custom"', 'vnet = "vmnet2"']),
        ("type='user'><mac address='00:50:56:3f:ff:ff'/>", ['addressType = "static"', 'address = "00:50:56:3f:ff:ff"']),
        ("type='user'><mac address='00:50:56:bf:ff:ff' type='generated'/>", ['addressType = "vpx"']),
        (
            "type='user'><mac address='00:0c:29:00:00:01'/>",
            ['addressType = "generated"', 'generatedAddressOffset = "0"'],
        ),
        ("type='user'><mac address='00:0c:29:00:00:01' type='static'/>", ['static"', 'checkMACAddress = "false"']),
        ("type='user'><mac address='00:50:56:40:00:00'/>", ['addressType = "static"', 'checkMACAddress = "false"']),
        (
            "type='user'><model type='vmxnet2'/>",
            ['virtualDev = "vmxnet"', 'features = "15"', 'addressType = "generated"'],
        ),
        (
            "type='vds'><source switchid='503426b2-94e9-3b16-1d68-87bfff4a5440' portid='5' portgroupid='g'"
            " connectionid='7'/>",
            ['dvs.switchId = "50 34 26 b2 94 e9 3b 16-1d 68 87 bf ff 4a 54 40"', 'dvs.portgroupId = "g"'],
        ),
    ],
)
def test_network_cards(card: str, lines: list[str]) -> None:
    found = written(vmx_of(f"<interface {card}</interface>"), "ethernet0.")
    assert all(any(line in each for each in found) for line in lines)
    if not any("checkMAC" in line for line in lines):
        assert not any("checkMAC" in each for each in found)


def test_ports() -> None:
    text = vmx_of(
        "<serial type='tcp'><source mode='connect' host='::1' service='7'/><target port='1'/></serial>"
        "<serial type='pipe'><source path='p'/><target port='0'/></serial>"
        "<parallel type='dev'><source path='/dev/lp0'/></parallel>"
    )
    assert written(text, "serial1.") == [
        'present = "true"', 'fileType = "network"', 'fileName = "tcp://[::1]:7"', 'network.endPoint = "client"',
        'yieldOnMsrRead = "true"',
    ]  # fmt: skip
    assert 'pipe.endPoint = "client"' in written(text, "serial0.")
    assert written(text, "parallel0.") == ['present = "true"', 'fileType = "device"', 'fileName = "/dev/lp0"']


def test_a_console_alone_is_a_serial_port() -> None:
    text = vmx_of("<console type='file'><source path='[d] out'/><target type='serial' port='0'/></console>")
    assert 'fileName = "/vmfs/volumes/d/out"' in written(text, "serial0.")
    assert told(text) == []


def test_the_screen_and_shared_folders() -> None:
    text = vmx_of(
        "<filesystem type='mount'><source dir='/srv'/><target dir='s'/><readonly/></filesystem>"
        "<graphics type='vnc' port='5901' passwd='hush'><listen type='address' address='10.0.0.1'/></graphics>"
        "<video><model type='vmvga' vram='4097'/></video>"
    )
    assert written(text, "RemoteDisplay.vnc.") == [
        'enabled = "true"',
        'port = "5901"',
        'ip = "10.0.0.1"',
        'password = "hush"',
    ]
    assert written(text, "svga.") == [f'vramSize = "{4160 * 1024}"']
    assert 'writeAccess = "false"' in written(text, "sharedFolder0.")


def test_the_model_that_disks_were_made_for() -> None:
    disk = "<disk type='file'><driver name='auto'/><source file='/{0}.vmdk'/><target dev='sd{0}'/></disk>"
    adapters = {"/a.vmdk": "pvscsi", "/b.vmdk": "busLogic"}
    assert 'scsi0.virtualDev = "pvscsi"' in vmx_of(disk.format("a"), adapters=adapters).text
    result = vmx_of(disk.format("c"))
    assert 'scsi0.virtualDev = "lsilogic"' in result.text and "is not known" in told(result)[0]
    with pytest.raises(UnsupportedConfig, match="its disks are made for: buslogic, vmpvscsi"):
        vmx_of(disk.format("a") + disk.format("b"), adapters=adapters)


@pytest.mark.parametrize(
    ("inside", "around", "reason"),
    [
        ("<controller type='scsi' index='0' model='virtio-scsi'/>", "", "VMware has no such SCSI controller"),
        ("", "<cpu><topology sockets='1' cores='1' threads='2'/></cpu>", "sockets and cores only"),
        ("", "<cpu><topology sockets='1' cores='2' threads='1'/></cpu>", "are not the 1 CPUs"),
        ("", "<vcpu cpuset='0-99999'>1</vcpu>", "is no set of numbers below 16384"),
        ("", f"<vcpu cpuset='{'0-16383,^7,' * 2_000}99999'>1</vcpu>", "is no set of numbers below 16384"),
    ],
)
def test_machines_that_can_not_be(inside: str, around: str, reason: str) -> None:
    with pytest.raises(UnsupportedConfig, match=reason):
        vmx_of(inside, around=around)


@pytest.mark.parametrize(
    "what", ["type='kvm'><name>a</name><memory>1</memory><os><type>hvm", "type='lxc'><name>a</name><os><type>exe"]
)
def test_only_machines_of_vmware(what: str) -> None:
    with pytest.raises(UnsupportedConfig):
        write_vmx(cast(DomainDocument, parse(f"<domain {what}</type></os></domain>")))


# ---------------------------------------------------------------------------- what is told


@pytest.mark.parametrize(
    ("inside", "warning"),
    [
        ("<emulator>/bin/q</emulator>", "/domain/devices/emulator: a .vmx has no place for it"),
        (
            "<disk type='file'><source file='/a.qcow2'/><target dev='sda'/></disk>",
            "/domain/devices/disk[1]: VMware's hard disks are .vmdk files, so it is left out",
        ),
        (
            "<disk type='file'><source file='/a.vmdk'/><target dev='vda' bus='virtio'/></disk>",
            "/domain/devices/disk[1]: VMware's machines have no such place for a disk, so it is left out",
        ),
        (
            "<disk type='file'><source file='/a.vmdk'/><target dev='sda'/><serial>7</serial></disk>",
            "/domain/devices/disk[1]/serial: a .vmx has no place for it",
        ),
        (
            "<interface type='network'><source network='n'/></interface>",
            "/domain/devices/interface[1]: VMware has no interfaces of type='network', so it is left out",
        ),
        (
            "<interface type='user'><model type='virtio'/></interface>",
            "/domain/devices/interface[1]/model: VMware has no network card 'virtio', so its default is taken",
        ),
        (
            "<interface type='user'><mtu size='9000'/></interface>",
            "/domain/devices/interface[1]/mtu: a .vmx has no place for it",
        ),
        (
            "<serial type='pty'/>",
            "/domain/devices/serial[1]: VMware has no serial ports of type='pty', so it is left out",
        ),
        (
            "<video><model type='qxl'/></video>",
            "/domain/devices/video[1]: VMware's machines have one graphics card, of type='vmvga', so it is left out",
        ),
        ("<sound model='ich9'/>", "/domain/devices/sound[1]: a .vmx has no place for it"),
        (
            "<disk type='file' device='cdrom'><source file='/a.iso'/><target dev='hda'/><transient/></disk>",
            "/domain/devices/disk[1]/transient: a .vmx has no place for it",
        ),
        (
            "<disk type='file' device='cdrom'><driver cache='writeback'/><target dev='hda'/></disk>",
            "/domain/devices/disk[1]/driver/@cache: the machine has 'default' instead",
        ),
        (
            "<disk type='file'><driver name='qemu'/><source file='/a.vmdk'/><target dev='sda' bus='sata'/></disk>",
            "/domain/devices/disk[1]/driver/@name: a .vmx has no place for it",
        ),
        (
            "<disk type='file'><driver name='qemu'/><source file='/a.vmdk'/><target dev='sda' bus='scsi'/></disk>",
            "/domain/devices/disk[1]/driver/@name: VMware has no SCSI controller 'qemu'",
        ),
        (
            "<disk type='file'><source file='/a.vmdk'/><target dev='sda' bus='scsi'/>"
            "<address type='drive' controller='0' bus='0' target='0' unit='3'/></disk>",
            "/domain/devices/disk[1]/target/@dev: the machine has 'sdd' instead",
        ),
        (
            "<disk type='file' device='cdrom'><source file='/a.vmdk'/><target dev='hda'/></disk>",
            "/domain/devices/disk[1]/@device: the machine has 'disk' instead",
        ),
        (
            "<graphics type='vnc' port='5900' passwd='hush'><listen type='address' address='10.0.0.1'/>"
            "<listen type='address' address='10.0.0.2'/></graphics>",
            "/domain/devices/graphics[1]/listen[2]: a .vmx has no place for it",
        ),
        ("<controller type='ccid'/>", "/domain/devices/controller[1]: a .vmx has no place for it"),
        ("<controller type='ide' index='1'/>", "/domain/devices/controller[1]: a .vmx has no place for it"),
        ("<controller type='sata' index='4'/>", "/domain/devices/controller[1]: a .vmx has no place for it"),
        (
            "<controller type='usb'/><controller type='scsi' model='auto'/>",
            "/domain/devices/controller[1]: a .vmx has no place for it",
        ),
        (
            "<video><model type='vmvga' vram='4097'/></video>",
            "/domain/devices/video[1]/model/@vram: the machine has '4160' instead",
        ),
        ("<memballoon model='virtio'/>", "/domain/devices/memballoon/@model: the machine has 'none' instead"),
        ("<input type='tablet' bus='usb'/>", "/domain/devices/input[1]: a .vmx has no place for it"),
        (
            "<interface type='user'><mac address='00:50:56:00:00:01' type='generated'/></interface>",
            "/domain/devices/interface[1]/mac/@type: the machine has 'static' instead",
        ),
    ],
)
def test_nothing_is_dropped_in_silence(inside: str, warning: str) -> None:
    assert told(vmx_of(inside)) == [f"1 {warning}"]


@pytest.mark.parametrize(
    ("around", "warning"),
    [
        ("\n<currentMemory>1023</currentMemory>", "2 /domain/currentMemory: the machine has 1024 KiB"),
        ("\n<vcpu\n>2</vcpu>", ""),
        ("\n<vcpu current='1'>2</vcpu>", "2 /domain/vcpu/@current: the machine has '2' instead"),
        ("<clock offset='utc'>\n<timer name='hpet' present='no'/></clock>", "2 /domain/clock/timer[1]: a .vmx has no"),
        ("<title>t</title>", "1 /domain/title: a .vmx has no place for it"),
        ("<cpu mode='custom' match='exact'><topology sockets='1' cores='1' threads='1'/></cpu>", ""),
        ("<memtune>\n<min_guarantee>0</min_guarantee></memtune>", ""),
        (
            "<memtune>\n<min_guarantee>1</min_guarantee></memtune>",
            "2 /domain/memtune/min_guarantee: the machine has 1024",
        ),
    ],
)
def test_what_the_machine_has_otherwise_is_told_with_its_line(around: str, warning: str) -> None:
    found = told(vmx_of("", around=around))
    assert (found == []) if not warning else (len(found) == 1 and found[0].startswith(warning))


def test_memory_that_is_rounded_is_told() -> None:
    domain = "<domain type='vmware'><name>a</name><memory>1048575</memory><os><type>hvm</type></os></domain>"
    assert told(write_vmx(cast(DomainDocument, parse(domain)))) == ["1 /domain/memory: the machine has 1048576 KiB"]


def test_a_console_that_says_more_than_its_serial_port_is_told() -> None:
    port = "type='file'><source path='/a'/>"
    text = vmx_of(f"<serial {port}</serial><console {port}<log file='/l'/></console><console {port}</console>")
    assert told(text) == [
        "1 /domain/devices/console[1]/log: a .vmx has no place for it",
        "1 /domain/devices/console[2]: a .vmx has no consoles but serial ports, so it is left out",
    ]


def test_what_no_vmx_may_say_is_refused() -> None:
    domain = "<domain type='vmware'><name>a</name><memory unit='PiB'>8</memory><os><type>hvm</type></os></domain>"
    with pytest.raises(UnsupportedConfig, match="VMware has no such machine: 'memsize' is too much: '8589934592'"):
        write_vmx(cast(DomainDocument, parse(domain)))


def test_controllers_that_nothing_is_on() -> None:
    text = vmx_of("<controller type='sata' index='3'/><controller type='scsi' index='1' model='vmpvscsi'/>")
    assert 'sata3.present = "true"' in text.text
    assert written(text, "scsi1.") == ['present = "true"', 'virtualDev = "pvscsi"']
    assert told(text) == []


def test_controllers_without_a_number_have_the_lowest_that_is_free() -> None:
    text = vmx_of("<controller type='ide'/><controller type='scsi'/><controller type='scsi' index='0'/>")
    assert written(text, "scsi") == ['0.present = "true"', '1.present = "true"']


@pytest.mark.parametrize(
    ("host", "service"), [("a/b@c", "7"), ("h", "1 2"), ("h", "telnet"), ("a b", "7"), ("u@h", "7"), ("h?x", "7")]
)
def test_addresses_that_would_be_others_are_refused(host: str, service: str) -> None:
    with pytest.raises(UnsupportedConfig, match="VMware connects ports to a host's name or IP address, and a number"):
        vmx_of(f"<serial type='tcp'><source mode='connect' host='{host}' service='{service}'/></serial>")


def test_what_every_machine_has_goes_without_saying() -> None:
    around = "<features><acpi/><apic/><pae/></features><clock offset='utc'/><on_crash>destroy</on_crash>"
    inside = "<input type='mouse' bus='ps2'/><memballoon model='none'/><controller type='ide' index='0'/>"
    assert told(vmx_of(inside, around=around)) == []
    assert told(vmx_of("", around="<on_crash>restart</on_crash>")) == [
        "1 /domain/on_crash: the machine has 'destroy' instead"
    ]


def test_there_and_back() -> None:
    first = machine(
        'uuid.bios = "00 11 22 33 44 55 66 77-88 99 aa bb cc dd ee ff"', 'annotation = "a |7C b|0Ac"',
        'memsize = "128"', 'numvcpus = "4"', 'cpuid.coresPerSocket = "2"', 'sched.cpu.shares = "high"',
        'firmware = "efi"', 'vm.genid = "-5"', 'scsi0.present = "TRUE"', 'scsi0.virtualDev = "pvscsi"',
        'scsi0:40.present = "TRUE"', 'scsi0:40.fileName = "a.vmdk"', 'ide1:0.present = "TRUE"',
        'ide1:0.deviceType = "cdrom-raw"', 'ide1:0.fileName = "auto detect"', 'ethernet0.present = "TRUE"',
        'ethernet0.networkName = "n"', 'ethernet0.virtualDev = "e1000e"', 'ethernet0.addressType = "vpx"',
        'ethernet0.generatedAddress = "00:50:56:80:00:01"', 'serial0.present = "TRUE"',
        'serial0.fileType = "network"', 'serial0.fileName = "telnet://h:7"', 'RemoteDisplay.vnc.port = "5900"',
        'RemoteDisplay.vnc.enabled = "TRUE"',
    ).definition  # fmt: skip
    assert read_vmx(write_vmx(first).text).definition == first
