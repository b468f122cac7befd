"""Character devices, and what is connected like them."""

from __future__ import annotations

import pytest
from support.elements import problems_of, read, rewritten

from engine.conf.kinds.domain.chardev import BareConsole, Channel, Console, Serial, TypedConsole
from engine.conf.kinds.domain.device import DeviceSecLabel

SERIAL = """\
<serial type='udp' tty='/dev/pts/1'>
  <source mode='bind' host='::' service='2445'><seclabel model='dac' relabel='no'/></source>
  <source mode='connect' host='192.0.2.1' service='2445' tls='no'><reconnect enabled='yes' timeout='07'/></source>
  <protocol type='telnets'/><log file='/log' append='off'/>
  <target type='isa-serial' port='0'><model name='isa-serial'/></target>
  <alias name='serial0'/><acpi index='3'/><address type='isa' iobase='0x3f8'/>
</serial>"""


def test_a_serial_port_with_all_that_it_can_have() -> None:
    serial = read(Serial, SERIAL)
    assert [source.mode for source in serial.sources] == ["bind", "connect"]
    assert serial.sources[1].reconnect.timeout == 7
    assert serial.log.append is False
    assert rewritten(Serial, SERIAL)


def test_a_console_of_which_nothing_is_said() -> None:
    assert type(read(Console, "<console tty='/dev/pts/1'/>")) is BareConsole
    assert type(read(Console, "<console type='pty' tty='/dev/pts/1'/>")) is TypedConsole
    assert problems_of(Console, "<console><target type='xen'/></console>") == [
        "/console/target: unknown <target>",
    ]


@pytest.mark.parametrize(
    "target", ["guestfwd' address='10.0.2.1' port='4600", "virtio' state='connected", "xen' name='x"]
)
def test_the_targets_of_channels(target: str) -> None:
    assert rewritten(Channel, f"<channel type='spicevmc'><target type='{target}'/></channel>")


def test_what_is_refused() -> None:
    assert problems_of(Channel, "<channel type='pty'/>") == ["/channel: it lacks its element <target>"]
    assert problems_of(Channel, "<channel type='pty'><target type='xen' port='1'/></channel>") == [
        "/channel/target/@port: unknown attribute 'port'"
    ]
    assert "(did you mean 'pty'?)" in problems_of(Serial, "<serial type='pyt'/>")[0]


@pytest.mark.parametrize(
    ("seclabel", "problem"),
    [
        ("/>", "it lacks relabel='no', or a <label>"),
        (" relabel='yes'/>", "it lacks relabel='no', or a <label>"),
        (" relabel='no'><label>x</label></seclabel>", "with relabel='no' it may have no <label>"),
        (" labelskip='yes' relabel='no'/>", "with 'labelskip' it may have neither 'relabel' nor <label>"),
    ],
)
def test_labels_of_devices(seclabel: str, problem: str) -> None:
    assert problems_of(DeviceSecLabel, f"<seclabel{seclabel}") == [f"/seclabel: {problem}"]
    assert rewritten(DeviceSecLabel, "<seclabel model='dac'><label>a</label><label>b</label></seclabel>")
