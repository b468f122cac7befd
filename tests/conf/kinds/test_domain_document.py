"""Domains but for their devices: shapes told apart, what is refused and where, and what is written again."""

from __future__ import annotations

import pytest

from engine.conf.documents import format, parse, validate
from engine.conf.kinds.domain.clock import AbsoluteClock, ParavirtualTimer, TrackingTimer, UtcClock, VariableClock
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.os import BlockNvram, ExeOs, FileNvram, HvmOs, NetworkNvram, XenOs
from engine.conf.kinds.domain.security import DynamicSecLabel, NoSecLabel, SevLaunchSecurity, StaticSecLabel
from engine.conf.kinds.domain.sysinfo import FirmwareConfig, SmbiosInfo
from engine.conf.nodes.values import Written

QEMU = "xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'"


def document(inside: str) -> str:
    return f"<domain type='kvm'>\n<name>web</name>\n{inside}\n</domain>"


def read(inside: str) -> DomainDocument:
    definition = parse(document(inside))
    assert isinstance(definition, DomainDocument)
    assert parse(format(definition)) == definition
    return definition


def problems(inside: str) -> list[str]:
    return [str(problem) for problem in validate(document(inside))]


# ---------------------------------------------------------------------------- shapes


@pytest.mark.parametrize(
    ("inside", "shape"),
    [
        ("<type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/>", HvmOs),
        ("<type> hvm </type>", HvmOs),
        ("<type><!-- whole -->hvm</type>", HvmOs),
        ("<type machine='xenpv'>linux</type><kernel>/boot/vmlinuz</kernel><root>/dev/xvda1</root>", XenOs),
        ("<type arch='aarch64'>exe</type><init>/sbin/init</init><initarg>a</initarg><initarg/>", ExeOs),
    ],
)
def test_the_shape_of_what_is_booted_follows_from_its_type(inside: str, shape: type) -> None:
    assert type(read(f"<os>{inside}</os>").os) is shape


@pytest.mark.parametrize(
    ("inside", "shape"),
    [
        ("<nvram template='/vars.fd'>/guest.fd</nvram>", FileNvram),
        ("<nvram><source file='/guest.fd'/></nvram>", FileNvram),
        ("<nvram type='block'><source dev='/dev/sdb'/></nvram>", BlockNvram),
        ("<nvram type='network'><source protocol='nbd' name='v'><host name='h'/></source></nvram>", NetworkNvram),
    ],
)
def test_variables_of_firmware_are_in_a_file_or_in_a_source_as_of_disks(inside: str, shape: type) -> None:
    booted = read(f"<os firmware='efi'><type>hvm</type>{inside}</os>").os
    assert isinstance(booted, HvmOs)
    assert type(booted.nvram) is shape


def test_clocks_and_timers_have_the_attributes_of_their_kind() -> None:
    clock = read("<clock offset='utc' adjustment='reset'><timer name='kvmclock' present='no'/></clock>").clock
    assert isinstance(clock, UtcClock)
    assert clock.adjustment == "reset"
    assert [type(timer) for timer in clock.timers] == [ParavirtualTimer]
    assert clock.timers[0].present is False
    clock = read("<clock offset='variable' adjustment='-3600' basis='localtime'/>").clock
    assert isinstance(clock, VariableClock)
    assert clock.adjustment == -3600
    clock = read("<clock offset='absolute' start='0'><timer name='rtc' track='guest'/></clock>").clock
    assert isinstance(clock, AbsoluteClock)
    assert isinstance(clock.timers[0], TrackingTimer)


def test_labels_launch_security_and_system_information_are_told_apart() -> None:
    domain = read(
        "<seclabel type='dynamic' model='dac'/><seclabel type='static'><label>a</label></seclabel><seclabel/>"
        "<seclabel type='none' relabel='no'/><launchSecurity type='sev'><policy>0x0003</policy></launchSecurity>"
        "<sysinfo type='smbios'><oemStrings><entry/></oemStrings></sysinfo><sysinfo type='fwcfg'>"
        "<entry name='opt/a'/><entry name='opt/b' file='/b'/></sysinfo>"
    )
    shapes = [DynamicSecLabel, StaticSecLabel, DynamicSecLabel, NoSecLabel]
    assert [type(label) for label in domain.seclabels] == shapes
    assert isinstance(domain.launch_security, SevLaunchSecurity)
    assert domain.launch_security.policy == 3
    assert [type(each) for each in domain.sysinfos] == [SmbiosInfo, FirmwareConfig]


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("inside", "told"),
    [
        (
            "<os><type>hvmm</type></os>",
            "/domain/os/type: 'hvmm' is none of hvm, xen, linux, xenpvh, exe (did you mean 'hvm'?)",
        ),
        ("<os><type>exe</type><kernel>/k</kernel></os>", "/domain/os/kernel: unknown <kernel>"),
        ("<os><boot dev='hd'/></os>", "/domain/os: it lacks its element <type>"),
        ("<os><type>exe</type></os><bootloader/>", "/domain: a container has no <bootloader>"),
        (
            "<os><type>exe</type><inituser>0</inituser></os>",
            "/domain/os: <inituser> needs <initgroup>",
        ),
        (
            "<os><type>hvm</type><nvram type='network'/></os>",
            "/domain/os/nvram: it lacks its element <source>",
        ),
        (
            "<clock offset='utc'><timer name='kvmclock' tickpolicy='delay'/></clock>",
            "/domain/clock/timer/@tickpolicy: unknown attribute 'tickpolicy'",
        ),
        (
            "<clock offset='utc'><timer name='pit' tickpolicy='merge'><catchup/></timer></clock>",
            "/domain/clock/timer: <catchup> needs tickpolicy='catchup'",
        ),
        ("<seclabel relabel='no'/>", "/domain/seclabel: a dynamic label needs relabel='yes'"),
        ("<seclabel type='static'/>", "/domain/seclabel: it lacks its element <label>"),
        (
            "<features><hyperv mode='passthrough'><vapic state='on'/></hyperv></features>",
            "/domain/features/hyperv: with mode='passthrough' there can't be <vapic>",
        ),
        ("<features><smm><tseg>1</tseg></smm></features>", "/domain/features/smm: <tseg> needs 'state'"),
        (
            "<cputune><vcpusched scheduler='rr'/></cputune>",
            "/domain/cputune/vcpusched: scheduler='rr' needs 'priority'",
        ),
        ("<cputune><cachetune vcpus='0'/></cputune>", "/domain/cputune/cachetune: it lacks <cache> or <monitor>"),
        (
            "<numatune><memory placement='auto' nodeset='0'/></numatune>",
            "/domain/numatune/memory: with placement='auto' there can't be a 'nodeset'",
        ),
        ("<keywrap/>", "/domain/keywrap: it lacks its element <cipher>"),
        (
            f"<q:commandline {QEMU}><q:arg/></q:commandline>",
            "/domain/q:commandline/q:arg: it lacks its attribute 'value'",
        ),
        ("<devices/><devices/>", "/domain/devices[2]: <devices> may be there only once"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(inside: str, told: str) -> None:
    assert problems(inside) == [told]


def test_no_is_a_value_where_one_is_needed() -> None:
    assert problems("<features><smm state='off'><tseg unit='MiB'>1</tseg></smm></features>") == []


# ---------------------------------------------------------------------------- writing


def test_what_was_written_is_written_again() -> None:
    text = document(
        "<genid/><memory unit='GiB' dumpCore='off'>02</memory><vcpu current='01'>4</vcpu><os><type>hvm</type></os>"
        f"<q:commandline {QEMU}><q:env name='A'/><q:arg value='-x'/></q:commandline>"
    )
    domain = parse(text)
    assert isinstance(domain, DomainDocument)
    assert domain.genid == ""
    assert domain.memory is not None
    assert domain.memory.bytes() == 2 << 30
    assert isinstance(domain.memory.value, Written)
    assert domain.vcpu is not None
    assert (domain.vcpu.count, domain.vcpu.current) == (4, 1)
    assert format(domain) == (
        '<domain xmlns:qemu="http://libvirt.org/schemas/domain/qemu/1.0" type="kvm">\n'
        "  <name>web</name>\n"
        "  <genid/>\n"
        '  <memory unit="GiB" dumpCore="off">02</memory>\n'
        '  <vcpu current="01">4</vcpu>\n'
        "  <os>\n"
        "    <type>hvm</type>\n"
        "  </os>\n"
        "  <qemu:commandline>\n"
        '    <qemu:arg value="-x"/>\n'
        '    <qemu:env name="A"/>\n'
        "  </qemu:commandline>\n"
        "</domain>\n"
    )


@pytest.mark.parametrize("space", ["<b>x</b> <i>y</i>", "<y xml:space='preserve'>\n <z/>\n </y>"])
def test_white_space_in_metadata_that_may_say_something_is_kept(space: str) -> None:
    one = read(f"<metadata><a xmlns='urn:a'>{space}</a></metadata>")
    assert space.replace("'", '"') in format(one)
    assert parse(format(one)) == one


def test_the_indentation_of_metadata_is_no_part_of_it() -> None:
    one = read("<metadata><a xmlns='urn:a'>\n<b>\n t </b>\n  <c>mixed <d/> <d/></c></a></metadata>")
    other = read("<metadata>\n<a xmlns='urn:a'><b>\n t </b><c>mixed <d/> <d/></c></a></metadata>")
    assert one.metadata == other.metadata
    assert one.metadata is not None
    assert one.metadata.content == ('<a xmlns="urn:a"><b>\n t </b><c>mixed <d/> <d/></c></a>',)
