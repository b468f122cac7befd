"""Documents as command lines; what they are is in ``golden/qemu``, and QEMU itself takes every one of them."""

from __future__ import annotations

import socket
from pathlib import Path

import anyio
import pytest
from support.golden import check_golden
from support.guests import boot_sector

from engine import ConfigError, Engine, State, UnsupportedConfig
from engine.conf import parse_domain
from engine.drivers.qemu.command import build, check
from engine.drivers.qemu.options import Places, escape, keyval, letters

DOCUMENTS = Path(__file__).parent / "documents"
NAMES = sorted(path.stem for path in DOCUMENTS.glob("*.xml"))


@pytest.mark.parametrize("name", NAMES)
def test_the_command_line(name: str) -> None:
    text = (DOCUMENTS / f"{name}.xml").read_text().replace("@FOLDER@", "/images").replace("@PORT@", "8080")
    places = Places(emulator="/usr/bin/qemu-system-x86_64", runtime="/run/x", monitor=7, tpm=8, taps={0: 9})
    command = build(parse_domain(text), places)
    check_golden(f"qemu/{name}.args", "\n".join(command.argv) + "\n")


@pytest.mark.qemu
@pytest.mark.parametrize("name", sorted(set(NAMES) - {"host"}))
async def test_qemu_takes_it(name: str, tmp_path: Path) -> None:
    for image in ("disk.img", "other.img", "sata.img", "vda.img", "disk.iso"):
        boot_sector(tmp_path / image)
    await anyio.run_process(["qemu-img", "create", "-q", "-f", "qcow2", str(tmp_path / "disk, one.qcow2"), "16M"])
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = str(reserved.getsockname()[1])
    text = (DOCUMENTS / f"{name}.xml").read_text().replace("@FOLDER@", str(tmp_path)).replace("@PORT@", port)
    with anyio.fail_after(60):
        async with Engine("qemu:///session", systemd=False, on_close="leave") as engine:
            domain = await engine.define(text)
            await domain.start(paused=True)
            assert domain.state is State.PAUSED
            await domain.destroy()


REFUSED = {
    "<sound model='ich9'/>": "<sound model='ich9'>: not supported",
    "<hostdev mode='subsystem' type='pci'/>": "<hostdev type='pci'>",
    "<input type='tablett'/>": "did you mean 'tablet'",
    "<disk type='network'><target dev='vdb'/></disk>": "<disk type='network'>",
    "<disk type='file' device='floppy'><target dev='fda'/></disk>": "<disk device='floppy'>",
    "<disk type='file'><target dev='vdb'/></disk>": "no <source file>",
    "<disk type='file'><source file='rel'/><target dev='vdb'/></disk>": "not an absolute path",
    "<disk type='file'><source file='/d'/><target dev='xyz'/></disk>": "no bus is given",
    "<disk type='file'><source file='/d'/><target dev='vda'/></disk>": "another disk has this name",
    "<disk type='file'><driver type='vmdk'/><source file='/d'/><target dev='vdb'/></disk>": "<driver type='vmdk'>",
    "<disk type='file' device='cdrom'><target dev='vdb' bus='virtio'/></disk>": "can't be on the virtio bus",
    "<disk type='file'><source file='/d'/><target dev='hde'/></disk>": "hda to hdd",
    "<disk type='file'><source file='/d'/><target dev='vdb'/><iotune/></disk>": ("<iotune>"),
    "<interface type='network'><source network='default'/></interface>": "<interface type='network'>",
    "<interface type='bridge'/>": "no <source bridge>",
    "<interface type='user'><mac address='01:00:00:00:00:00'/></interface>": "not the MAC address",
    "<interface type='user'><model type='virtoi'/></interface>": "did you mean 'virtio'",
    "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>": "<channel type='spicevmc'>",
    "<graphics type='spice' port='5900'/>": "only listen on a socket",
    "<graphics type='sdl'/>": "<graphics type='sdl'>",
    "<graphics type='vnc' passwd='secret'/>": "<graphics passwd>",
    "<controller type='scsi' model='megaraid'/>": "not supported",
    "<controller type='pci' index='1' model='pcie-root-port'/>": "no PCI Express",
    "<tpm model='tpm-spapr'><backend type='emulator'/></tpm>": "<tpm model='tpm-spapr'>",
    "<tpm model='tpm-crb'><backend type='emulator' version='1.2'/></tpm>": "a TPM 1.2 is a tpm-tis",
    "<watchdog model='itco'/>": "<watchdog model='itco'>",
    "<serial type='tcp'><source mode='bind' host='h' service='1'/></serial>": "<serial type='tcp'>",
    "<serial type='file'/>": "no <source path>",
    "<video><model type='virtio'><acceleration accel3d='yes'/></model></video>": "accel3d",
    "<filesystem type='mount'/>": "<filesystem type='mount'>",
}


def document(device: str = "", top: str = "", machine: str = "pc") -> str:
    return f"""<domain type='qemu'><name>x</name><memory>65536</memory>
<os><type machine='{machine}'>hvm</type></os>
{top}
<devices>
<disk type='file'><source file='/a'/><target dev='vda'/></disk>
{device}
</devices></domain>"""


@pytest.mark.parametrize(("device", "reason"), REFUSED.items())
def test_a_device_it_can_not_build_is_refused_by_name_and_line(device: str, reason: str) -> None:
    check(parse_domain(document()))
    with pytest.raises(ConfigError) as caught:
        check(parse_domain(document(device), source="x.xml"))
    assert reason in str(caught.value)
    assert str(caught.value).startswith("x.xml:6: ")


@pytest.mark.parametrize(
    ("top", "reason"),
    [
        ("<memoryBacking><hugepages/></memoryBacking>", "<memoryBacking>"),
        ("<iothreads>2</iothreads>", "<iothreads>"),
        ("<cputune><vcpupin vcpu='0' cpuset='1'/></cputune>", "<vcpupin>"),
        ("<on_crash>coredump-destroy</on_crash>", "coredump-destroy"),
        ("<clock offset='variable'/>", "<clock offset='variable'>"),
        ("<cpu><topology sockets='2' cores='2' threads='1'/></cpu>", "does not make the 1 CPUs"),
        ("<features><hyperv/></features>", "<hyperv>"),
        ("<seclabel type='dynamic'/>", "<seclabel type='dynamic'>"),
        (
            "<qemu:commandline xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'><qemu:arg value='-x'/>"
            "</qemu:commandline>",
            "<qemu:commandline>",
        ),
    ],
)
def test_a_setting_it_can_not_build_is_refused_by_name_and_line(top: str, reason: str) -> None:
    with pytest.raises(UnsupportedConfig) as caught:
        check(parse_domain(document(top=top)))
    assert reason in str(caught.value)
    assert caught.value.line == 3


def test_a_machine_it_can_not_build_is_refused() -> None:
    with pytest.raises(UnsupportedConfig, match="line 2: <type machine='microvm'>"):
        check(parse_domain(document(machine="microvm")))
    with pytest.raises(UnsupportedConfig, match="no IDE controller: use sata"):
        check(parse_domain(document("<disk><source file='/b'/><target dev='hda'/></disk>", machine="q35")))


def test_a_document_that_says_nothing_of_features_can_be_powered_off() -> None:
    def acpi(top: str) -> bool:
        return not any("acpi=off" in word for word in build(parse_domain(document(top=top)), Places()).argv)

    assert acpi("")
    assert acpi("<features><acpi/></features>")
    assert not acpi("<features><apic/></features>")


def test_a_card_without_a_mac_keeps_the_one_it_got() -> None:
    text = document("<interface type='user'/>").replace(
        "<name>", "<uuid>11111111-2222-3333-4444-555555555555</uuid><name>"
    )
    macs = {build(parse_domain(text), Places()).argv[-1].partition('"mac":')[2] for _ in range(2)}
    assert len(macs) == 1
    assert "52:54:00:" in macs.pop()


def test_escaping() -> None:
    assert keyval("file", path="a,b", append=True, x=None, a_b=1) == "file,path=a,,b,append=on,a-b=1"
    assert escape(False) == "off"
    assert [letters(name) for name in ("vda", "sdb", "vdz", "vdaa", "vd1")] == [0, 1, 25, 26, -1]
