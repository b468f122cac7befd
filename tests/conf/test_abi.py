"""What may not change for a guest that runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import pytest

from engine.conf.abi import HOST_SIDE, abi_differences
from engine.conf.documents import parse
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.nodes.node import Node
from engine.conf.nodes.plan import plan_of
from engine.errors import ConfigError

GUEST = """
<domain type='qemu'>
  <name>web</name><title>one</title><memory unit='GiB'>1</memory><vcpu cpuset='0-1'>2</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <loader readonly='yes' type='pflash'>/code</loader><nvram template='/t'>/vars</nvram>
    <boot dev='hd'/><bios useserial='yes'/><acpi><table type='slic'>/slic</table></acpi>
  </os>
  <features><acpi/></features><clock offset='utc'><timer name='hpet' present='no'/></clock>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2' cache='none' packed='on'/>
      <source file='/a'/><target dev='vda' bus='virtio'/><serial>1</serial>
    </disk>
    <interface type='user'><mac address='52:54:00:00:00:01'/><model type='virtio'/></interface>
    <serial type='pty'><target port='0'/></serial>
    <graphics type='vnc' passwd='x'/>
    <shmem name='m'><model type='ivshmem-doorbell'/><size unit='M'>4</size><server path='/run/s'/></shmem>
    <memory model='nvdimm'>
      <source><path>/n</path><alignsize unit='KiB'>2048</alignsize></source>
      <target><size unit='MiB'>512</size><node>0</node></target>
    </memory>
    <redirfilter><usbdev allow='no'/></redirfilter>
  </devices>
</domain>"""


def told(old: str, new: str) -> list[str]:
    assert old in GUEST
    before, after = (cast("DomainDocument", parse(text)) for text in (GUEST, GUEST.replace(old, new)))
    return [str(difference) for difference in abi_differences(before, after)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("<title>one</title>", "<description>else</description>"),
        ("unit='GiB'>1<", "unit='KiB'>1048576<"),
        ("<vcpu cpuset='0-1'>", "<vcpu placement='static'>"),
        ("<boot dev='hd'/>", ""),
        ("offset='utc'", "offset='localtime'"),
        ("cache='none'", "cache='writeback' io='threads'"),
        ("<source file='/a'/>", "<source file='/b'/><alias name='ua-x'/>"),
        ("<interface type='user'>", "<interface type='bridge'><source bridge='br0'/>"),
        ("<serial type='pty'>", "<serial type='file'><source path='/log'/>"),
        ("<graphics type='vnc' passwd='x'/>", ""),
        (">/code<", ">/other<"),
        ("<nvram template='/t'>/vars</nvram>", "<nvram>/other</nvram>"),
        (">/slic<", ">/other<"),
        ("path='/run/s'", "path='/run/t'"),
        ("<title>one</title>", "<iothreadids><iothread id='1'/></iothreadids>"),
        ("<path>/n</path>", "<path>/o</path>"),
    ],
)
def test_what_the_guest_does_not_see_may_change(old: str, new: str) -> None:
    assert told(old, new) == []


@pytest.mark.parametrize(
    ("old", "new", "difference"),
    [
        ("<domain type='qemu'>", "<domain type='kvm'>", "/domain/@type: 'qemu' became 'kvm'"),
        ("'GiB'>1<", "'GiB'>2<", "/domain/memory: '1' became '2'"),
        (">2</vcpu>", ">4</vcpu>", "/domain/vcpu: '2' became '4'"),
        ("machine='pc'", "machine='q35'", "/domain/os/type/@machine: 'pc' became 'q35'"),
        ("<acpi/>", "", "/domain/features/acpi: <acpi/> was removed"),
        ("present='no'", "present='yes'", "/domain/clock/timer[@name='hpet']/@present: 'no' became 'yes'"),
        (
            "bus='virtio'",
            "bus='scsi'",
            "/domain/devices/disk[target/@dev='vda']/target/@bus: 'virtio' became 'scsi'",
        ),
        ("packed='on'", "", "/domain/devices/disk[target/@dev='vda']/driver/@packed: 'on' was removed"),
        ("<bios useserial='yes'/>", "", '/domain/os/bios: <bios useserial="yes"/> was removed'),
        (
            "<server path='/run/s'/>",
            "",
            '/domain/devices/shmem[1]/server: <server path="/run/s"/> was removed',
        ),
        ("allow='no'", "allow='yes'", "/domain/devices/redirfilter[1]/usbdev[1]/@allow: 'no' became 'yes'"),
        (
            "<table type='slic'>/slic</table>",
            "",
            "/domain/os/acpi/table[@type='slic']: <table type=\"slic\">/slic</table> was removed",
        ),
        ("'KiB'>2048<", "'KiB'>4096<", "/domain/devices/memory[1]/source/alignsize: '2048' became '4096'"),
        ("type='pflash'", "type='rom'", "/domain/os/loader/@type: 'pflash' became 'rom'"),
        (
            "<interface type='user'>",
            "<interface type='hostdev'><source><address type='usb' bus='1' device='2'/></source>",
            "/domain/devices/interface[mac/@address='52:54:00:00:00:01']/@type: 'user' became 'hostdev'",
        ),
        ("<serial>1<", "<serial>2<", "/domain/devices/disk[target/@dev='vda']/serial: '1' became '2'"),
    ],
)
def test_what_the_guest_sees_may_not(old: str, new: str, difference: str) -> None:
    assert told(old, new) == [difference]


def test_only_guests_are_compared() -> None:
    secret = parse("<secret ephemeral='no'/>")
    with pytest.raises(ConfigError, match="<secret> is no guest"):
        abi_differences(cast("DomainDocument", secret), cast("DomainDocument", secret))


def _with_subclasses(cls: type[Node]) -> Iterator[type[Node]]:
    yield cls
    for each in cls.__subclasses__():
        yield from _with_subclasses(each)


@pytest.mark.parametrize("cls", HOST_SIDE)
def test_every_field_that_is_named_is_one(cls: type[Node]) -> None:
    assert HOST_SIDE[cls] <= {field.name for each in _with_subclasses(cls) for field in plan_of(each).fields}
