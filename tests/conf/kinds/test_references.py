"""What clashes in a domain, and names what is not there."""

from __future__ import annotations

import time

import pytest

from engine.conf import Limits, parse_domain
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
    "<audio id='1' type='none'/><sound model='ac97'><audio id='1'/></sound>\n"
    "<sound model='ich9'><audio id='2'/></sound>": ("5 /domain/devices/sound[2]: there is no audio backend 2"),
    "<graphics type='vnc'><audio id='1'/></graphics>": "4 /domain/devices/graphics: there is no audio backend 1",
    "<audio id='1' type='none'/>\n<audio id='1' type='oss'/>": (
        "5 /domain/devices/audio[2]: there is another audio backend 1"
    ),
}

CELLS = "<cpu><numa><cell id='0' cpus='0' memory='512'/><cell id='1' cpus='1' memory='512'/></numa></cpu>"
PARTS = {
    "<vcpu current='3'>2</vcpu>": "/domain/vcpu: there can't be 3 CPUs of 2",
    "<vcpu>2</vcpu><vcpus><vcpu id='0' enabled='yes'/><vcpu id='0' enabled='no'/></vcpus>": (
        "/domain/vcpus/vcpu[2]: the CPU 0 is there already"
    ),
    "<cputune><vcpupin vcpu='1' cpuset='0'/><vcpupin vcpu='1' cpuset='1'/></cputune>": (
        "/domain/cputune/vcpupin[2]: the CPU 1 is pinned already"
    ),
    "<iothreads>2</iothreads><cputune><iothreadpin iothread='3' cpuset='0'/></cputune>": (
        "/domain/cputune/iothreadpin: there is no iothread 3"
    ),
    "<iothreads>1</iothreads><iothreadids><iothread id='4'/><iothread id='4'/></iothreadids>": (
        "/domain/iothreadids/iothread[2]: the iothread 4 is there already"
    ),
    "<vcpu cpuset='3-1'>2</vcpu>": "/domain/vcpu: the range '3-1' ends before it begins",
    "<cputune><emulatorpin cpuset='3-1'/></cputune>": (
        "/domain/cputune/emulatorpin: the range '3-1' ends before it begins"
    ),
    "<numatune><memory mode='strict' nodeset='1,99999'/></numatune>": (
        "/domain/numatune/memory: '99999' is no set of numbers below 16384"
    ),
    CELLS.replace("id='1'", "id='0'"): "/domain/cpu/numa/cell[2]: there is another NUMA cell 0",
    "<cpu><feature name='vmx' policy='require'/><feature name='vmx' policy='disable'/></cpu>": (
        "/domain/cpu/feature[2]: the feature 'vmx' is there already"
    ),
    "<numatune><memnode cellid='2' mode='strict' nodeset='0'/></numatune>" + CELLS: (
        "/domain/numatune/memnode: there is no NUMA cell 2"
    ),
    "<blkiotune><device><path>/dev/sda</path></device><device><path>/dev/sda</path></device></blkiotune>": (
        "/domain/blkiotune/device[2]: the device '/dev/sda' is there already"
    ),
    "<seclabel type='none' model='dac'/><seclabel type='none' model='dac'/>": (
        "/domain/seclabel[2]: there is another label of the model 'dac'"
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_what_clashes_outside_of_devices(part: str) -> None:
    text = domain("", part)
    assert validate(text) == []
    assert [str(problem) for problem in validate(text, references=True)] == [PARTS[part]]


@pytest.mark.parametrize(("thread", "there"), [(1, True), (2, True), (3, False), (7, True), (8, False)])
def test_iothreads_that_are_only_counted_have_the_first_numbers_that_are_free(thread: int, there: bool) -> None:
    before = "<iothreads>3</iothreads><iothreadids><iothread id='7'/></iothreadids>"
    text = domain(DISK.format("vda", f"<driver name='qemu' iothread='{thread}'/>"), before)
    assert (validate(text, references=True) == []) is there


def test_a_memory_device_belongs_to_a_numa_cell() -> None:
    memory = "<memory model='dimm'><target><size>524288</size><node>{}</node></target></memory>"
    assert validate(domain(memory.format(1), CELLS), references=True) == []
    [problem] = validate(domain(memory.format(2), CELLS), references=True)
    assert str(problem) == "/domain/devices/memory: there is no NUMA cell 2"


def test_the_first_console_may_be_a_serial_port_under_another_name() -> None:
    alias = "<alias name='serial0'/>"
    serial = f"<serial type='pty'>{alias}</serial>"
    console = f"<console type='pty'><target type='serial'/>{alias}</console>"
    assert validate(domain(serial + console), references=True) == []
    assert len(validate(domain(serial + console + console), references=True)) == 1
    assert len(validate(domain(serial + console.replace("'serial'", "'virtio'")), references=True)) == 1


LENT = "<network><name>n</name><ip address='10.0.0.1' {}><dhcp><range start='{}' end='{}'/></dhcp></ip></network>"
OTHERS = {
    "<network><name>n</name><portgroup name='a'/><portgroup name='a'/></network>": (
        "/network/portgroup[2]: there is another port group 'a'"
    ),
    "<network><name>n</name><portgroup name='a' default='yes'/><portgroup name='b' default='yes'/></network>": (
        "/network/portgroup[2]: another port group is the one for whoever names none"
    ),
    LENT.format("prefix='24'", "10.0.0.2", "10.0.1.9"): (
        "/network/ip/dhcp/range: 10.0.0.2 to 10.0.1.9 is not within the network 10.0.0.0/24"
    ),
    LENT.format("netmask='255.255.255.0'", "10.0.0.9", "10.0.0.2"): (
        "/network/ip/dhcp/range: 10.0.0.9 is after 10.0.0.2"
    ),
    LENT.format("prefix='64'", "10.0.0.2", "10.0.0.9"): "/network/ip: 64 is no netmask or prefix for 10.0.0.1",
    "<domainsnapshot><disks><disk name='vda'/><disk name='vda'/></disks></domainsnapshot>": (
        "/domainsnapshot/disks/disk[2]: the disk 'vda' is there already"
    ),
    "<domaincheckpoint><disks><disk name='vda'/><disk name='vda'/></disks></domaincheckpoint>": (
        "/domaincheckpoint/disks/disk[2]: the disk 'vda' is there already"
    ),
    "<domainbackup><disks><disk name='vda' backup='no'/><disk name='vda' backup='no'/></disks></domainbackup>": (
        "/domainbackup/disks/disk[2]: the disk 'vda' is there already"
    ),
}


@pytest.mark.parametrize("text", OTHERS)
def test_what_clashes_in_documents_of_other_kinds(text: str) -> None:
    assert validate(text) == []
    assert [str(problem) for problem in validate(text, references=True)] == [OTHERS[text]]


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
        (2 * "<sound model='ac97'><address type='pci' domain='0' bus='0' slot='0' function='0'/></sound>", ""),
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


ORDER = "<metadata><o:order xmlns:o='urn:virengine:order:1'>\n{}\n</o:order></metadata>"


def test_all_that_is_wrong_with_an_order_is_told_in_its_place() -> None:
    order = ORDER.format("<o:after domian='x'/>\n<o:ready gate='httpx'/>\n<o:requires domain='web'/>")
    told = [f"{each.line} {each.xpath}: {each.reason}" for each in validate(domain("", order), references=True)]
    at = "/domain/metadata/o:order"
    assert told == [
        f"3 {at}/o:after: <order:after>: unknown attribute 'domian' (did you mean 'domain'?)",
        f"4 {at}/o:ready: <order:ready>: gate='httpx' is not one of running, agent, tcp, http, serial, delay "
        "(did you mean 'http'?)",
        f"5 {at}/o:requires: 'web' is ordered after itself",
    ]


def test_limits_hold_for_all_that_is_looked_at() -> None:
    many = " ".join(f"a{number}='1'" for number in range(600))
    text = domain("", f"<metadata><x:x xmlns:x='urn:x' {many}/></metadata>")
    assert validate(text, references=True, limits=Limits(attributes=1000)) == []


def test_a_domain_without_a_type_is_warned_of() -> None:
    """libvirt's schema takes it, and its define does not."""
    text = "<domain type='test'><name>a</name><memory>1</memory></domain>"
    [problem] = validate(text, references=True)
    assert (str(problem), problem.severity) == (
        "/domain: it lacks the <type> of its <os>: libvirt would not take it",
        "warning",
    )
    assert parse_domain(text, validate=True).name == "a"
