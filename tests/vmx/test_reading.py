"""A .vmx as a domain: what it is, memory and CPUs, and what is told of the rest."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.vmx import holds, machine, told

from engine.conf.documents import format, parse
from engine.conf.kinds.domain.os import HvmOs
from engine.errors import ConfigError
from engine.vmx import read_vmx


def test_the_least_machine() -> None:
    definition = machine().definition
    assert (definition.name, definition.type_, definition.uuid) == (
        "box",
        "vmware",
        "00000000-0000-0000-0000-000000000000",
    )
    assert format(definition).count("<video>") == 1
    assert parse(format(definition)) == definition


def test_what_it_is() -> None:
    definition = machine(
        'uuid.bios = "00 11 22 33 44 55 66 77-88 99 AA bb cc dd ee ff"',
        'annotation = "two|0Alines of 50% |7C"',
        'guestOS = "Windows9-64"',
        'firmware = "EFI"',
        'SMBIOS.reflectHost = "TRUE"',
        'vm.genid = "-1"',
        'vm.genidX = "258"',
    ).definition
    assert definition.uuid == "00112233-4455-6677-8899-aabbccddeeff"
    assert definition.description == "two\nlines of 50% |"
    assert definition.genid == "ffffffff-ffff-ffff-0000-000000000102"
    assert isinstance(definition.os, HvmOs) and definition.os.smbios is not None
    assert (definition.os.type_.arch, definition.os.firmware, definition.os.smbios.mode) == ("x86_64", "efi", "host")


@pytest.mark.parametrize(
    ("written", "name"), [("a%2fb%5cc%25", "a/b\\c%"), ("100% sure", "100% sure"), ("%c3%a4", "ä"), ("%ff", "%ff")]
)
def test_names_have_escapes_of_their_own(written: str, name: str) -> None:
    text = f'config.version = 8\nvirtualHW.version = 4\ndisplayName = "{written}"'
    assert read_vmx(text).definition.name == name


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("a%ef%bf%bf", "holds U+FFFF, which no document can"),
        ("a%ef%bf%be", "holds U+FFFE, which no document can"),
        ("a%00", "has a control character"),
    ],
)
def test_names_that_no_document_can_hold_are_refused_with_their_line(written: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_vmx(f'config.version = 8\nvirtualHW.version = 4\ndisplayName = "{written}"')
    assert (caught.value.line, caught.value.reason) == (3, f"'displayName' {reason}: '{written}'")


def test_affinities_of_any_length_take_linear_time() -> None:
    began = time.perf_counter()
    definition = machine(f'sched.cpu.affinity = "{",".join(map(str, range(16384)))}"').definition
    assert definition.vcpu is not None and definition.vcpu.cpuset == "0-16383"
    assert time.perf_counter() - began < 2


@pytest.mark.parametrize(
    ("lines", "sizes"),
    [
        ((), (32, 32, None)),
        (('memsize = "1024"', 'sched.mem.max = "512"', 'sched.mem.minSize = "256"'), (1024, 512, 256)),
        (('memSize = "64"', 'sched.mem.max = "unlimited"', 'sched.mem.minsize = "0"'), (64, 64, None)),
        (('memSize = "64"', 'sched.mem.max = "128"', 'sched.mem.minsize = "128"'), (64, 64, 64)),
    ],
)
def test_memory_is_in_megabytes(lines: tuple[str, ...], sizes: tuple[int, int, int | None]) -> None:
    definition = machine(*lines).definition
    assert definition.memory is not None and definition.current_memory is not None
    least = definition.memtune.min_guarantee if definition.memtune is not None else None
    found = (definition.memory.value, definition.current_memory.value, least.value if least is not None else None)
    assert found == tuple(size if size is None else size * 1024 for size in sizes)


def test_cpus() -> None:
    lines = (
        'numvcpus = "6"',
        'cpuid.coresPerSocket = "3"',
        'sched.cpu.affinity = "7,0,1, 2,5"',
        'sched.cpu.shares = "low"',
    )
    definition = machine(*lines).definition
    assert definition.vcpu is not None and definition.cpu is not None and definition.cputune is not None
    assert (definition.vcpu.count, definition.vcpu.cpuset, definition.cputune.shares) == (6, "0-2,5,7", 3000)
    topology = definition.cpu.topology
    assert topology is not None
    assert (topology.sockets, topology.cores, topology.threads) == (2, 3, 1)


def test_without_a_word_for_shares_they_are_a_number() -> None:
    assert machine('sched.cpu.shares = "1234"').definition.cputune.shares == 1234  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('memsize = "30"', "'memsize' is no multiple of 4: '30'"),
        ('memsize = "much"', "'memsize' is no whole number: 'much'"),
        ('numvcpus = "0"', "'numvcpus' is no number of CPUs: '0'"),
        ('cpuid.coresPerSocket = "2"', "'cpuid.coresPerSocket' does not divide the 1 CPUs: '2'"),
        ('sched.cpu.affinity = "1-2"', "'sched.cpu.affinity' is no list of CPUs: '1-2'"),
        ('sched.cpu.shares = "-5"', "'sched.cpu.shares' is no number of shares: '-5'"),
        ('sched.cpu.affinity = "0,16384"', "'sched.cpu.affinity' is no list of CPUs: '0,16384'"),
        ('sched.cpu.affinity = "0,^0"', "'sched.cpu.affinity' is no list of CPUs: '0,^0'"),
        ('uuid.bios = "56 4d"', "'uuid.bios' is no UUID: '56 4d'"),
        ('RemoteDisplay.vnc.enabled = "maybe"', "'RemoteDisplay.vnc.enabled' is neither true nor false: 'maybe'"),
        ('svga.vramSize = "-1"', "'svga.vramSize' is no size in bytes: '-1'"),
    ],
)
def test_impossible_values_are_refused_with_their_line(line: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        machine("", line, source="box.vmx")
    assert str(caught.value) == f"box.vmx:5: {reason}"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("virtualHW.version = 7", "it has no 'config.version', so it is no .vmx"),
        ("config.version = 6\nvirtualHW.version = 4", "line 1: 'config.version' is not 8: '6'"),
        ("config.version = 8\nvirtualHW.version = 3", "line 2: 'virtualHW.version' is not 4 or more: '3'"),
        ("config.version = 8\nvirtualHW.version = 4", "it has no 'displayName'"),
    ],
)
def test_what_every_vmx_must_say(text: str, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_vmx(text)
    assert str(caught.value) == reason


def test_the_screen() -> None:
    result = machine(
        'RemoteDisplay.vnc.enabled = "TRUE"',
        'RemoteDisplay.vnc.port = "5901"',
        'RemoteDisplay.vnc.ip = "10.0.0.1"',
        'RemoteDisplay.vnc.password = "hush"',
        'svga.vramSize = "1025"',
    )
    assert holds(result, "<graphics type='vnc' port='5901' autoport='no' listen='10.0.0.1' passwd='hush'/>")
    assert holds(result, "<listen type='address' address='10.0.0.1'/>")
    assert holds(result, "<video><model type='vmvga' vram='2' primary='yes'/></video>")
    assert "hush" not in "".join(told(result))


def test_without_a_graphics_card_there_is_none() -> None:
    result = machine('svga.present = "FALSE"')
    assert not holds(result, "<video/>")
    assert told(result) == []
    assert told(machine('svga.present = "FALSE"', 'svga.vramSize = "4096"')) == [
        "5 svga: it is not present, so what is said of it is left out"
    ]


def test_a_port_that_is_not_said_is_any() -> None:
    assert holds(machine('RemoteDisplay.vnc.enabled = "TRUE"'), "<graphics port='-1' autoport='yes'/>")


def test_shared_folders_that_are_enabled() -> None:
    lines = ('sharedFolder0.present = "TRUE"', 'sharedFolder0.enabled = "TRUE"', 'sharedFolder0.hostPath = "/srv"')
    assert machine(*lines).definition.devices.filesystems == ()  # type: ignore[union-attr]
    shared = machine('isolation.tools.hgfs.disable = "FALSE"', *lines, 'sharedFolder0.guestName = "s"')
    assert holds(shared, "<filesystem type='mount'><source dir='/srv'/><target dir='s'/><readonly/></filesystem>")


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        (
            ("scsi0.present = true", "scsi0~0.present = true", "scsi0~0.fileName = box.vmdk"),
            "6 scsi0~0.fileName: 'box.vmdk' is not an absolute path",
        ),
        (
            ("ide0~0.present = true", "ide0~0.fileName = d,e", "ide0~0.deviceType = atapi-cdrom"),
            "5 ide0~0.fileName: 'd,e' is not an absolute path",
        ),
        (
            (
                "scsi0.present = true",
                "scsi0~0.present = true",
                "scsi0~0.fileName = /a.vmdk",
                "sata0.present = true",
                "sata0~0.present = true",
                "sata0~0.fileName = /b.vmdk",
            ),
            "9 sata0~0.fileName: the target 'sda' is another disk's as well",
        ),
        (("floppy1.present = true", "floppy1.fileName = 'A~'"), "5 floppy1.fileName: ''A~'' is not an absolute path"),
        (
            ("serial0.present = true", "serial0.fileType = file", "serial0.fileName = out"),
            "6 serial0.fileName: in which folder it is is not known",
        ),
        (("ethernet0.present = true", "ethernet0.virtualDev = a,b"), "5 ethernet0.virtualDev: 'a,b' is not"),
        (
            ("ethernet0.present = true", "ethernet0.generatedAddress = 01~00~00~00~00~01"),
            "5 ethernet0.generatedAddress: '01~00~00~00~00~01' is not",
        ),
        (
            ("ethernet0.present = true", "ethernet0.connectionType = custom", "ethernet0.vnet = a,b"),
            "6 ethernet0.vnet: 'a,b' is not",
        ),
        (
            ("RemoteDisplay.vnc.enabled = true", 'RemoteDisplay.vnc.ip = "a b"'),
            "5 RemoteDisplay.vnc.ip: 'a b' is not",
        ),
        (
            (
                "isolation.tools.hgfs.disable = false",
                "sharedFolder0.present = true",
                "sharedFolder0.enabled = true",
                "sharedFolder0.hostPath = C~",
            ),
            "7 sharedFolder0.hostPath: 'C~' is not an absolute path",
        ),
    ],
)
def test_names_that_no_document_may_have_are_told_with_their_key_and_line(lines: tuple[str, ...], warning: str) -> None:
    head = "config.version = 8\nvirtualHW.version = 4\ndisplayName = box\n"
    warnings = told(read_vmx(head + "\n".join(lines).replace("~", ":")))
    place, reason = (part.replace("~", ":") for part in warning.split(": "))
    assert len(warnings) == 1
    assert warnings[0].startswith(f"{place}: ")
    assert reason in warnings[0]


# ---------------------------------------------------------------------------- what is told


def test_nothing_is_dropped_in_silence() -> None:
    result = machine(
        'guestinfo.key = "hush"',
        'uuid.location = "56 4d"',
        'nvram = "box.nvram"',
        'usb.present = "TRUE"',
        'sound.present = "FALSE"',
        'hpet0.present = "FALSE"',
        'tools.syncTime = "FALSE"',
        'memsize = "8"',
        'MEMSIZE = "16"',
    )
    assert told(result) == [
        "4 guestinfo.key: a domain has no place for it",
        "5 uuid.location: left out, since they say nothing of the guest: uuid.location, nvram",
        "7 usb.present: a domain has no place for it",
        "9 hpet0.present: a domain has no place for it",
        "12 MEMSIZE: it is there already, so this has no effect",
    ]


@pytest.mark.parametrize(
    ("lines", "warning"),
    [
        (('firmware = "csm"',), "4 firmware: it is taken for a BIOS"),
        (('sched.mem.min = "8"',), "4 sched.mem.min: it is not the same as sched.mem.minsize, which is taken"),
        (('sched.mem.max = "64"',), "4 sched.mem.max: it is more than the machine has, which is taken"),
        (('sched.mem.minsize = "64"',), "4 sched.mem.minsize: it is more than the machine has, which is taken"),
        (
            ('isolation.tools.hgfs.disable = "FALSE"',),
            "4 isolation.tools.hgfs.disable: there is no shared folder, so it is left out",
        ),
        (('scsi0.present = "TRUE"',), "4 scsi0: nothing is on it, so it is left out"),
        (
            ('floppy0.present = "FALSE"', 'floppy0.fileName = "a"'),
            "5 floppy0: it is not present, so what is said of it is left out",
        ),
        (('ethernet0.virtualDev = "e1000"',), "4 ethernet0: it is not present, so what is said of it is left out"),
    ],
)
def test_what_is_lost_is_told_with_its_line(lines: tuple[str, ...], warning: str) -> None:
    assert told(machine(*lines)) == [warning]


# ---------------------------------------------------------------------------- anything

KEYS = [
    "memsize", "numvcpus", "uuid.bios", "annotation", "displayName", "sched.cpu.affinity", "sched.cpu.shares",
    "scsi0.present", "scsi0.virtualDev", "scsi0:0.present", "scsi0:0.fileName", "scsi0:0.deviceType", "ide0:0.present",
    "ide0:0.fileName", "floppy0.present", "floppy0.fileType", "ethernet0.present", "ethernet0.connectionType",
    "ethernet0.addressType", "ethernet0.generatedAddress", "ethernet0.dvs.switchId", "serial0.present",
    "serial0.fileType", "serial0.fileName", "parallel0.present", "svga.vramSize", "RemoteDisplay.vnc.enabled",
    "RemoteDisplay.vnc.port", "sharedFolder0.present", "cpuid.coresPerSocket", "vm.genid", "scsi9:99.present",
]  # fmt: skip
VALUES = st.one_of(
    st.sampled_from(
        ["TRUE", "8", "-1", "0", "a.vmdk", "auto detect", "network", "tcp://h:1", "vpx", "99999999999999999"]
    ),
    st.text(max_size=8),
)


@given(st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=8))
def test_random_machines_are_read_or_refused(values: dict[str, str]) -> None:
    text = "config.version = 8\nvirtualHW.version = 9\n" + "".join(f'{k} = "{v}"\n' for k, v in values.items())
    try:
        definition = read_vmx(text + 'displayName = "box"').definition
    except ConfigError:
        return
    parse(format(definition), validate=False)


@given(st.one_of(st.text(), st.binary()))
def test_random_text_is_refused(text: str | bytes) -> None:
    with pytest.raises(ConfigError):
        read_vmx(text)
