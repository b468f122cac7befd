"""What is added to a domain when it is defined, as a whole."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.completing import UUID, canonical, completed, domain, shown

from engine.conf.defaults.capabilities import Capabilities, present_qemu
from engine.conf.defaults.complete import complete
from engine.conf.documents import parse
from engine.conf.kinds.domain.document import DomainDocument
from engine.errors import ConfigError

LEAST = "<domain type='kvm'><name>web</name><memory unit='MiB'>512</memory></domain>"


def test_a_domain_that_says_next_to_nothing() -> None:
    least = parse(LEAST)
    assert isinstance(least, DomainDocument)
    done = complete(least, seed=1, addresses=False)
    assert done.os is not None and (done.os.type_.arch, done.os.type_.machine) == ("x86_64", "pc")
    assert done.devices is not None and done.devices.emulator == "/usr/bin/qemu-system-x86_64"
    assert (done.on_poweroff, done.on_reboot, done.on_crash) == ("destroy", "restart", "destroy")
    assert done.vcpu is not None and (done.vcpu.count, done.vcpu.placement) == (1, "static")
    assert done.memory is not None and (done.memory.value, done.memory.unit) == (524288, "KiB")
    assert done.current_memory is not None and done.current_memory.value == 524288
    assert done.cpu is None


@pytest.mark.parametrize(
    "wrong",
    [
        "<vcpu cpuset='3-1'>2</vcpu>",
        "<cputune><emulatorpin cpuset='3-1'/></cputune>",
        "<numatune><memory mode='strict' nodeset='3-1'/></numatune>",
    ],
)
def test_a_set_of_cpus_that_is_none_is_refused_with_its_line(wrong: str) -> None:
    text = LEAST.replace("</domain>", f"\n{wrong}</domain>")
    definition = parse(text)
    assert isinstance(definition, DomainDocument)
    with pytest.raises(ConfigError) as refused:
        complete(definition, seed=1)
    assert str(refused.value) == "line 2: the range '3-1' ends before it begins"


def test_what_is_made_up_follows_from_the_seed() -> None:
    least = parse(LEAST)
    assert isinstance(least, DomainDocument)
    one, same, other = (complete(least, seed=seed, addresses=False).uuid for seed in (1, 1, 2))
    assert one == same != other
    assert complete(least, addresses=False).uuid != complete(least, addresses=False).uuid


@pytest.mark.parametrize(
    ("arch", "machine"),
    [("x86_64", "pc"), ("x86_64", "q35"), ("aarch64", "virt"), ("ppc64", "pseries"), ("s390x", "s390-ccw-virtio"),
     ("riscv64", "virt"), ("x86_64", "microvm"), ("x86_64", "isapc")],
)  # fmt: skip
@pytest.mark.parametrize("capabilities", [None, present_qemu()])
def test_the_same_again_changes_nothing(arch: str, machine: str, capabilities: Capabilities | None) -> None:
    devices = "<disk><target dev='sda'/></disk><graphics type='vnc'/><serial type='pty'/><panic/><rng model='virtio'>"
    devices += "<backend model='random'/></rng><channel type='unix'><target type='virtio' name='a'/></channel>"
    once = complete(domain(devices, arch=arch, machine=machine), capabilities, seed=1, addresses=False)
    assert complete(once, capabilities, seed=2, addresses=False) == once


def test_numbers_are_written_in_one_way() -> None:
    body = "<vcpu cpuset='^2,0,1,3-5'>4</vcpu><iothreads>02</iothreads>"
    hostdev = "<hostdev mode='subsystem' type='pci'><source><address bus='1' slot='0x2'/></source></hostdev>"
    root = completed(hostdev, body)
    assert shown(root, "vcpu") == [canonical("<vcpu placement='static' cpuset='0-1,3-5'>4</vcpu>")]
    assert shown(root, "iothreads") == ["<iothreads>2</iothreads>"]
    address = root.find("devices/hostdev/source/address")
    assert dict(address.attrib) == {"domain": "0x0000", "bus": "0x01", "slot": "0x02", "function": "0x0"}


def test_numbers_of_some_elements_are_decimal() -> None:
    assert completed("<audio id='0x2' type='none'/>").find("devices/audio").get("id") == "2"
    root = completed("", "<launchSecurity type='sev'><policy>0x1</policy></launchSecurity>")
    assert root.findtext("launchSecurity/policy") == "0x0001"


def test_what_is_known_of_a_run_only_is_kept_for_a_guest_that_runs() -> None:
    devices = (
        "<serial type='pty' tty='/dev/pts/3'><source path='/dev/pts/3'/><target port='0'/><alias name='serial0'/>"
        "</serial><hub type='usb'><alias name='ua-mine'/></hub>"
    )
    inactive, live = completed(devices), completed(devices, live=True)
    assert inactive.find("devices/serial").get("tty") is None
    assert inactive.find("devices/serial/source") is None
    assert inactive.find("devices/serial/alias") is None
    assert inactive.find("devices/hub/alias").get("name") == "ua-mine"
    assert live.find("devices/serial").get("tty") == "/dev/pts/3"
    assert live.find("devices/console").get("tty") == "/dev/pts/3"
    assert live.find("devices/serial/alias").get("name") == "serial0"


def test_the_uuid_is_written_in_groups() -> None:
    definition = parse(f"<domain type='qemu'><name>a</name><uuid>{UUID.replace('-', '').upper()}</uuid></domain>")
    assert isinstance(definition, DomainDocument)
    assert complete(definition, addresses=False).uuid == UUID


@given(st.text(alphabet="0123456789,-^ ", max_size=30))
def test_a_set_is_written_as_it_is_or_refused(text: str) -> None:
    definition = parse("<domain type='qemu'><name>a</name><vcpu cpuset='0'>1</vcpu></domain>")
    assert isinstance(definition, DomainDocument) and definition.vcpu is not None
    definition = msgspec.structs.replace(definition, vcpu=msgspec.structs.replace(definition.vcpu, cpuset=text))
    try:
        done = complete(definition, addresses=False)
    except ConfigError:
        return
    assert complete(done, addresses=False).vcpu == done.vcpu
