"""Controllers, file systems, devices of the host, memory, and the small devices."""

from __future__ import annotations

from typing import Any

import pytest
from support.elements import problems_of, read, rewritten

from engine.conf.documents import parse
from engine.conf.kinds.domain import controller, filesystem, hostdev
from engine.conf.kinds.domain.controller import Controller
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.filesystem import Filesystem
from engine.conf.kinds.domain.hostdev import Hostdev
from engine.conf.kinds.domain.lease import Lease
from engine.conf.kinds.domain.memory_device import MemoryDevice
from engine.conf.kinds.domain.redirdev import RedirDev, RedirFilter
from engine.conf.kinds.domain.shmem import Shmem
from engine.conf.kinds.domain.small_devices import Iommu, MemBalloon, Nvram, Panic, Vsock, Watchdog

UUID = "c2177883-f1bb-47f0-914d-32a22e3a8804"
SIZE = "<target><size>1</size></target>"


@pytest.mark.parametrize(
    ("text", "of"),
    [
        ("<controller type='sata' index='0'/>", controller.PlainController),
        (
            "<controller type='scsi' model='virtio-scsi'><driver queues='4' iothread='1' iommu='on'/></controller>",
            controller.ScsiController,
        ),
        (
            "<controller type='usb' index='0' model='ich9-uhci1' ports='2'><master startport='0'/></controller>",
            controller.UsbController,
        ),
        ("<controller type='ide' model='piix4'/>", controller.IdeController),
        ("<controller type='virtio-serial' ports='16' vectors='4'/>", controller.VirtioSerialController),
        ("<controller type='xenbus' maxGrantFrames='64' maxEventChannels='2047'/>", controller.XenbusController),
        (
            "<controller type='pci' model='pcie-root'><pcihole64 unit='KiB'>0</pcihole64></controller>",
            controller.PciRootController,
        ),
        (
            "<controller type='pci' index='1' model='pcie-root-port'><model name='ioh3420'/>"
            "<target chassis='1' port='0x8' hotplug='off'><node>1</node></target></controller>",
            controller.PciBridgeController,
        ),
    ],
)
def test_controllers_are_told_by_type_and_model(text: str, of: type) -> None:
    assert type(read(Controller, text)) is of
    assert rewritten(Controller, text)


@pytest.mark.parametrize(
    ("text", "of"),
    [
        (
            "<filesystem accessmode='mapped' fmode='0644' dmode='755'><source dir='/a'/><target dir='tag'/>"
            "<driver type='path' wrpolicy='immediate'/><readonly/></filesystem>",
            filesystem.MountFilesystem,
        ),
        (
            "<filesystem type='mount'><driver type='virtiofs' queue='1024'/><source dir='/a'/><target dir='tag'/>"
            "<binary path='/virtiofsd' xattr='on'><cache mode='always'/><sandbox mode='chroot'/>"
            "<lock posix='on' flock='off'/><thread_pool size='16'/></binary></filesystem>",
            filesystem.MountFilesystem,
        ),
        ("<filesystem type='bind'><source dir='/a'/><target dir='/b'/></filesystem>", filesystem.BindFilesystem),
        (
            "<filesystem type='file'><driver type='loop' format='raw'/><source file='/a'/><target dir='/'/>"
            "<space_hard_limit unit='G'>1</space_hard_limit></filesystem>",
            filesystem.FileFilesystem,
        ),
        ("<filesystem type='block'><source dev='/a'/><target dir='/'/></filesystem>", filesystem.BlockFilesystem),
        (
            "<filesystem type='template'><source name='t'/><target dir='/'/></filesystem>",
            filesystem.TemplateFilesystem,
        ),
        (
            "<filesystem type='ram'><source usage='1' units='MB'/><target dir='/'/></filesystem>",
            filesystem.RamFilesystem,
        ),
    ],
)
def test_file_systems_are_told_by_type(text: str, of: type) -> None:
    assert type(read(Filesystem, text)) is of
    assert rewritten(Filesystem, text)


@pytest.mark.parametrize(
    ("attributes", "inside", "of"),
    [
        (
            "mode='subsystem' type='pci' managed='yes'",
            "<source writeFiltering='no'><address domain='0x0000' bus='0x06' slot='2' function='0'/></source>"
            "<driver name='vfio'/><teaming type='transient' persistent='ua-net'/><rom bar='on' file='/rom'/>",
            hostdev.PciHostdev,
        ),
        (
            "type='usb'",
            "<source startupPolicy='optional' guestReset='off'><vendor id='0x1234'/><product id='beef'/>"
            "<address bus='001' device='0x02'/></source>",
            hostdev.UsbHostdev,
        ),
        (
            "type='scsi' sgio='filtered' rawio='yes'",
            "<source><adapter name='scsi_host0'/><address bus='0' target='0' unit='12345678901'/></source><readonly/>",
            hostdev.ScsiHostdev,
        ),
        (
            "type='scsi'",
            "<source protocol='iscsi' name='iqn.x/1'><host name='a' port='3260'/><host name='b'/>"
            "<auth username='u'><secret type='iscsi' usage='k'/></auth></source>",
            hostdev.ScsiHostdev,
        ),
        (
            "type='scsi_host' model='virtio'",
            "<source protocol='vhost' wwpn='naa.5123456789abcde0'/>",
            hostdev.ScsiHostHostdev,
        ),
        (
            "type='mdev' model='vfio-pci' display='on' ramfb='on'",
            f"<source><address uuid='{UUID}'/></source>",
            hostdev.MdevHostdev,
        ),
        ("mode='capabilities' type='storage'", "<source><block>/dev/sdf1</block></source>", hostdev.StorageHostdev),
        ("mode='capabilities' type='misc'", "<source><char>/dev/input/event3</char></source>", hostdev.MiscHostdev),
        (
            "mode='capabilities' type='net'",
            "<source><interface>eth0</interface></source><ip address='192.0.2.2' prefix='24'/>"
            "<route address='0.0.0.0' gateway='192.0.2.1'/>",
            hostdev.NetHostdev,
        ),
    ],
)
def test_devices_of_the_host_are_told_by_mode_and_type(attributes: str, inside: str, of: type) -> None:
    text = f"<hostdev {attributes}>{inside}</hostdev>"
    assert type(read(Hostdev, text)) is of
    assert rewritten(Hostdev, text)


@pytest.mark.parametrize(
    ("of", "text"),
    [
        (Lease, "<lease><lockspace>s</lockspace><key>k</key><target path='/l' offset='1024'/></lease>"),
        (
            RedirDev,
            "<redirdev bus='usb' type='tcp'><source mode='connect' host='h' service='4000'/><boot order='1'/>"
            "<address type='usb' bus='0' port='1.2'/></redirdev>",
        ),
        (
            RedirFilter,
            "<redirfilter><usbdev class='0x08' vendor='0x1234' product='-1' version='2.56' allow='yes'/>"
            "<usbdev allow='no'/></redirfilter>",
        ),
        (
            MemoryDevice,
            f"<memory model='nvdimm' access='shared'><uuid>{UUID}</uuid>"
            "<source><path>/dev/dax0.0</path><alignsize unit='KiB'>2048</alignsize><pmem/></source>"
            "<target><size>1</size><node>1</node><label><size unit='KiB'>128</size></label><readonly/></target>"
            "<address type='dimm' slot='0' base='0x100000000'/></memory>",
        ),
        (
            MemoryDevice,
            "<memory model='virtio-mem' discard='yes'><source><nodemask>1-3</nodemask><pagesize>4</pagesize></source>"
            "<target><size>4</size><block>1</block><requested>2</requested><current>1</current></target></memory>",
        ),
        (
            Shmem,
            "<shmem name='' role='peer'><model type='ivshmem-doorbell'/><size unit='M'>4</size><server path='/s'/>"
            "<msi vectors='32' ioeventfd='on'/></shmem>",
        ),
        (
            Iommu,
            "<iommu model='intel'><driver intremap='on' caching_mode='on' eim='on' iotlb='on' aw_bits='0x30'/></iommu>",
        ),
        (Vsock, "<vsock model='virtio'><cid auto='no' address='3'/><driver ats='on'/><acpi index='1'/></vsock>"),
        (Nvram, "<nvram><address type='spapr-vio' reg='0x00003000'/></nvram>"),
        (Panic, "<panic model='isa'><address type='isa' iobase='0x505'/></panic>"),
        (
            MemBalloon,
            "<memballoon model='virtio' autodeflate='on' freePageReporting='off'><stats period='10'/>"
            "<driver packed='on'/></memballoon>",
        ),
        (Watchdog, "<watchdog model='i6300esb' action='inject-nmi'><alias name='watchdog0'/></watchdog>"),
    ],
)
def test_what_is_read_is_written_again(of: Any, text: str) -> None:
    assert rewritten(of, text)


def test_ids_are_hexadecimal_numbers_or_any() -> None:
    rules = read(RedirFilter, "<redirfilter><usbdev class='0xff' vendor='-1' allow='yes'/></redirfilter>").usbdevs
    assert (rules[0].class_, rules[0].vendor, rules[0].allow) == (0xFF, -1, True)


@pytest.mark.parametrize(
    ("of", "text", "problem"),
    [
        (Controller, "<controller index='0'/>", "it lacks its attribute 'type'"),
        (Controller, "<controller type='pci'/>", "it lacks its attribute 'model'"),
        (Controller, "<controller type='sata' model='ich6'/>", "model"),
        (Controller, "<controller type='pci' model='pci-bridge'><pcihole64>1</pcihole64></controller>", "<pcihole64>"),
        (Filesystem, "<filesystem><source/><target dir='/'/></filesystem>", "it lacks 'dir' or 'socket'"),
        (
            Filesystem,
            "<filesystem type='bind'><source dir='/a' socket='/s'/><target dir='/'/></filesystem>",
            "unknown attribute 'socket'",
        ),
        (
            Filesystem,
            "<filesystem><driver type='path' queue='1'/><source dir='/a'/><target dir='/'/></filesystem>",
            "unknown attribute 'queue'",
        ),
        (Hostdev, "<hostdev type='usb'><source/></hostdev>", "it lacks <vendor> or <address>"),
        (Hostdev, "<hostdev type='usb'><source><vendor id='0x1'/></source></hostdev>", "<vendor> needs <product>"),
        (Hostdev, "<hostdev type='storage'><source><block>/a</block></source></hostdev>", "mode"),
        (
            Hostdev,
            "<hostdev type='scsi'><source protocol='iscsi' name='x'/></hostdev>",
            "it lacks its element <host>",
        ),
        (RedirDev, "<redirdev bus='pci' type='tcp'/>", "'pci' is not 'usb'"),
        (MemoryDevice, f"<memory model='dimm'><source><pmem/></source>{SIZE}</memory>", "<pmem> needs <path>"),
        (
            MemoryDevice,
            f"<memory model='dimm'><source><path>/a</path><pagesize>4</pagesize></source>{SIZE}</memory>",
            "<path> and <pagesize> can't both be there",
        ),
        (Nvram, "<nvram><alias name='nvram'/></nvram>", "unknown <alias>"),
        (Panic, "<panic><acpi/></panic>", "unknown <acpi>"),
        (Watchdog, "<watchdog/>", "it lacks its attribute 'model'"),
    ],
)
def test_what_is_refused(of: Any, text: str, problem: str) -> None:
    problems = problems_of(of, text)
    assert len(problems) == 1
    assert problem in problems[0]


def test_a_device_newer_than_the_schemas_it_is_compared_with() -> None:
    text = (
        "<domain type='qemu'><name>a</name><memory>1</memory><os><type>hvm</type></os><devices>"
        "<crypto model='virtio' type='qemu'><backend model='builtin' queues='2'/></crypto></devices></domain>"
    )
    domain = parse(text)
    assert isinstance(domain, DomainDocument)
    assert domain.devices is not None
    assert [(each.backend.model, each.backend.queues) for each in domain.devices.cryptos] == [("builtin", 2)]
