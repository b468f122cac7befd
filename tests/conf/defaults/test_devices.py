"""Disks, network cards, characters, devices of the host, and the small ones."""

from __future__ import annotations

import pytest
from support.completing import canonical, completed, shown

from engine.conf.defaults.capabilities import present_qemu


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<disk><source file='/a'/><target dev='vda'/></disk>",
         "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'/>"
         "<target dev='vda' bus='virtio'/></disk>"),
        ("<disk device='cdrom' snapshot='no'><target dev='hdc' tray='closed'/></disk>",
         "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='hdc' bus='ide'/>"
         "<readonly/></disk>"),
        ("<disk type='volume' device='cdrom'><target dev='hdc'/></disk>",
         "<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='hdc' bus='ide'/>"
         "<readonly/></disk>"),
        ("<disk type='volume'><source pool='p' volume='v'/><target dev='sda'/></disk>",
         "<disk type='volume' device='disk'><driver name='qemu'/><source pool='p' volume='v'/>"
         "<target dev='sda' bus='scsi'/></disk>"),
        ("<disk type='dir' device='floppy'><source dir='/a'/><target dev='fda'/></disk>",
         "<disk type='dir' device='floppy'><driver name='qemu' type='fat'/><source dir='/a'/>"
         "<target dev='fda' bus='fdc'/></disk>"),
        ("<disk type='network'><source protocol='iscsi' name='iqn.a'><host name='h' transport='tcp'/></source>"
         "<target dev='vda'/></disk>",
         "<disk type='network' device='disk'><driver name='qemu' type='raw'/>"
         "<source protocol='iscsi' name='iqn.a/0'><host name='h'/></source><target dev='vda' bus='virtio'/></disk>"),
        ("<disk><driver cache='default' io='native'/><target dev='vda'/><iotune><total_bytes_sec>0"
         "</total_bytes_sec></iotune><blockio logical_block_size='0'/></disk>",
         "<disk type='file' device='disk'><driver name='qemu' type='raw' io='native'/>"
         "<target dev='vda' bus='virtio'/></disk>"),
        ("<disk><source file='/a' index='3'><encryption format='luks'/></source><backingStore index='4'>"
         "<format type='qcow2'/><source file='/b'/></backingStore><target dev='vda'/></disk>",
         "<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='/a'>"
         "<encryption format='luks' engine='qemu'/></source><backingStore type='file' index='4'>"
         "<format type='qcow2'/><source file='/b'/></backingStore><target dev='vda' bus='virtio'/></disk>"),
    ],
)  # fmt: skip
def test_disks(given: str, expected: str) -> None:
    assert shown(completed(given), "devices/disk") == [canonical(expected)]


def test_a_copy_that_is_told_as_of_old() -> None:
    root = completed("<disk><mirror file='/a' format='qcow2'/><target dev='vda'/></disk>", live=True)
    assert shown(root, "devices/disk/mirror") == [
        canonical(
            "<mirror type='file' job='copy' file='/a' format='qcow2'><format type='qcow2'/><source file='/a'/></mirror>"
        )
    ]
    assert completed("<disk><mirror file='/a'/><target dev='vda'/></disk>").find("devices/disk/mirror") is None


def test_disks_of_a_bus_are_together_and_in_order() -> None:
    names = ("sdb", "vdaa", "hda", "vdb", "sda")
    root = completed("".join(f"<disk><target dev='{name}'/></disk>" for name in names))
    assert [target.get("dev") for target in root.findall("devices/disk/target")] == ["sda", "sdb", "vdb", "vdaa", "hda"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<interface type='user'><mac address='52:54:00:AA:00:01'/></interface>",
         "<interface type='user'><mac address='52:54:00:aa:00:01'/><model type='rtl8139'/></interface>"),
        ("<interface type='direct'><mac address='52:54:00:aa:00:01'/><source dev='eth0'/><target dev='macvtap0'/>"
         "</interface>",
         "<interface type='direct'><mac address='52:54:00:aa:00:01'/><source dev='eth0' mode='vepa'/>"
         "<model type='rtl8139'/></interface>"),
        ("<interface type='network'><mac address='52:54:00:aa:00:01'/><source network='a' bridge='b'/>"
         "<target dev='tap0'/><model type='e1000'/></interface>",
         "<interface type='network'><mac address='52:54:00:aa:00:01'/><source network='a'/><target dev='tap0'/>"
         "<model type='e1000'/></interface>"),
        ("<interface type='vdpa'><mac address='52:54:00:aa:00:01'/><source dev='/dev/vhost-vdpa-0'/></interface>",
         "<interface type='vdpa'><mac address='52:54:00:aa:00:01'/><source dev='/dev/vhost-vdpa-0'/>"
         "<model type='virtio'/></interface>"),
        ("<interface type='hostdev' managed='no'><mac address='52:54:00:aa:00:01'/><source>"
         "<address type='pci' bus='1'/></source></interface>",
         "<interface type='hostdev'><mac address='52:54:00:aa:00:01'/><source>"
         "<address type='pci' domain='0x0000' bus='0x01' slot='0x00' function='0x0'/></source></interface>"),
    ],
)  # fmt: skip
def test_network_cards(given: str, expected: str) -> None:
    assert shown(completed(given), "devices/interface") == [canonical(expected)]


def test_a_card_without_an_address_gets_one() -> None:
    address = completed("<interface type='user'/>").find("devices/interface/mac").get("address")
    assert address.startswith("52:54:00:")
    assert address == completed("<interface type='user'/>").find("devices/interface/mac").get("address")


def test_a_port_of_open_vswitch_gets_an_id() -> None:
    port = "<virtualport type='openvswitch'/>"
    root = completed(f"<interface type='bridge'><source bridge='b'/>{port}</interface>")
    assert len(root.find("devices/interface/virtualport/parameters").get("interfaceid")) == 36
    root = completed(f"<interface type='network'><source network='n'/>{port}</interface>")
    assert root.find("devices/interface/virtualport/parameters") is None


@pytest.mark.parametrize(
    ("arch", "machine", "target", "model"),
    [("x86_64", "pc", "isa-serial", "isa-serial"), ("aarch64", "virt", "system-serial", "pl011"),
     ("ppc64", "pseries", "spapr-vio-serial", "spapr-vty"), ("riscv64", "virt", "system-serial", "16550a"),
     ("s390x", "s390-ccw-virtio", "sclp-serial", "sclpconsole")],
)  # fmt: skip
@pytest.mark.parametrize("given", ["<serial type='pty'/>", "<console type='pty'/>"])
def test_the_first_serial_port_is_the_console(arch: str, machine: str, target: str, model: str, given: str) -> None:
    root = completed(given, arch=arch, machine=machine)
    serial = f"<serial type='pty'><target type='{target}' port='0'><model name='{model}'/></target></serial>"
    assert shown(root, "devices/serial") == [canonical(serial)]
    assert shown(root, "devices/console") == [
        canonical("<console type='pty'><target type='serial' port='0'/></console>")
    ]


def test_ports_that_are_no_consoles() -> None:
    root = completed("<serial type='pty'><target type='usb-serial'/></serial>")
    assert root.find("devices/console") is None
    root = completed("<console type='pty'><target type='virtio'/></console>")
    assert root.find("devices/serial") is None
    assert root.find("devices/console/target").get("port") == "0"


def test_serial_ports_are_numbered() -> None:
    root = completed("<serial type='pty'/><serial type='pty'><target port='3'/></serial><serial type='null'/>")
    assert [target.get("port") for target in root.findall("devices/serial/target")] == ["0", "3", "4"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/target/domain-1-web/a'/>"
         "<target type='virtio' name='a' state='connected'/></channel>",
         "<channel type='unix'><target type='virtio' name='a'/></channel>"),
        ("<channel type='unix'><source mode='bind' path='/mine/a'/><target type='virtio' name='a'/></channel>",
         "<channel type='unix'><source mode='bind' path='/mine/a'/><target type='virtio' name='a'/></channel>"),
        ("<channel type='spicevmc'><target type='virtio'/></channel>",
         "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>"),
        ("<channel type='tcp'><source host='h' service='1'/><target type='virtio' name='a'/></channel>",
         "<channel type='tcp'><source mode='connect' host='h' service='1'/><protocol type='raw'/>"
         "<target type='virtio' name='a'/></channel>"),
        ("<channel type='udp'><source host='h' service='1'/><source mode='bind' host='b'/>"
         "<target type='virtio' name='a'/></channel>",
         "<channel type='udp'><source mode='bind' host='b'/><source mode='connect' host='h' service='1'/>"
         "<target type='virtio' name='a'/></channel>"),
    ],
)  # fmt: skip
def test_channels(given: str, expected: str) -> None:
    assert shown(completed(given), "devices/channel") == [canonical(expected)]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<hostdev type='usb'><source><vendor id='0x1'/><product id='0x2'/></source></hostdev>",
         "<hostdev mode='subsystem' type='usb' managed='no'><source><vendor id='0x0001'/><product id='0x0002'/>"
         "</source></hostdev>"),
        ("<hostdev type='mdev' model='vfio-pci'><source><address uuid='c7a5fdbd-edaf-4455-926a-d65c16db1809'/>"
         "</source></hostdev>",
         "<hostdev mode='subsystem' type='mdev' managed='no' model='vfio-pci' display='off'><source>"
         "<address uuid='c7a5fdbd-edaf-4455-926a-d65c16db1809'/></source></hostdev>"),
    ],
)  # fmt: skip
def test_devices_of_the_host(given: str, expected: str) -> None:
    assert shown(completed(given, capabilities=present_qemu()), "devices/hostdev") == [canonical(expected)]


@pytest.mark.parametrize(
    ("given", "where", "expected"),
    [
        ("<watchdog model='ib700'/>", "watchdog", "<watchdog model='ib700' action='reset'/>"),
        ("<vsock/>", "vsock", "<vsock model='virtio'><cid auto='yes'/></vsock>"),
        ("<vsock><cid address='4'/></vsock>", "vsock", "<vsock model='virtio'><cid auto='no' address='4'/></vsock>"),
        ("<rng model='virtio'><backend model='random'/></rng>", "rng",
         "<rng model='virtio'><backend model='random'>/dev/random</backend></rng>"),
        ("<tpm><backend type='passthrough'/></tpm>", "tpm",
         "<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>"),
        ("<tpm><backend type='emulator'/></tpm>", "tpm",
         "<tpm model='tpm-tis'><backend type='emulator' version='1.2'/></tpm>"),
        ("<tpm model='tpm-crb'><backend type='emulator'/></tpm>", "tpm",
         "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"),
        ("<shmem name='a'/>", "shmem", "<shmem name='a'><model type='ivshmem'/><size unit='M'>4</size></shmem>"),
        ("<shmem name='a'><model type='ivshmem-doorbell'/></shmem>", "shmem",
         "<shmem name='a'><model type='ivshmem-doorbell'/><msi ioeventfd='on'/></shmem>"),
        ("<memory model='dimm'><target><size unit='GiB'>1</size></target></memory>", "memory",
         "<memory model='dimm'><target><size unit='KiB'>1048576</size></target></memory>"),
        ("<filesystem><source dir='/a'/><target dir='b'/></filesystem>", "filesystem",
         "<filesystem type='mount' accessmode='passthrough'><source dir='/a'/><target dir='b'/></filesystem>"),
        ("<panic/>", "panic", "<panic model='isa'/>"),
        ("<redirfilter><usbdev class='0x8' vendor='0xbeef' product='-1' version='1.1' allow='yes'/></redirfilter>",
         "redirfilter",
         "<redirfilter><usbdev class='0x08' vendor='0xBEEF' version='1.01' allow='yes'/></redirfilter>"),
    ],
)  # fmt: skip
def test_small_devices(given: str, where: str, expected: str) -> None:
    assert shown(completed(given), f"devices/{where}") == [canonical(expected)]


def test_balloons_and_panic_devices_of_machines() -> None:
    assert completed().find("devices/memballoon").get("model") == "virtio"
    assert completed(arch="aarch64", machine="virt").find("devices/memballoon") is None
    assert completed(arch="ppc64", machine="pseries").find("devices/panic").get("model") == "pseries"
    assert completed().find("devices/panic") is None


def test_labels() -> None:
    root = completed(body="<seclabel model='dac'/><seclabel type='none' model='selinux' relabel='no'/>")
    assert shown(root, "seclabel") == [canonical("<seclabel type='none' model='selinux'/>")]
    body = "<seclabel type='static' model='selinux'><label>l</label><imagelabel>i</imagelabel></seclabel>"
    assert shown(completed(body=body), "seclabel") == [
        canonical("<seclabel type='static' model='selinux' relabel='no'><label>l</label></seclabel>")
    ]
