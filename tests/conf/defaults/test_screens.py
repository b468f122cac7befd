"""Screens, graphics cards, keyboards, mice and sound."""

from __future__ import annotations

import pytest
from support.completing import canonical, completed, shown


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("<graphics type='vnc'/>", '<graphics type="vnc" port="-1" autoport="yes"><listen type="address"/></graphics>'),
        ("<graphics type='vnc' port='5901' autoport='yes'/>",
         '<graphics type="vnc" port="-1" autoport="yes"><listen type="address"/></graphics>'),
        ("<graphics type='vnc' port='5901'/>",
         '<graphics type="vnc" port="5901" autoport="no"><listen type="address"/></graphics>'),
        ("<graphics type='vnc' port='5901' listen='::1'/>",
         '<graphics type="vnc" port="5901" autoport="no" listen="::1"><listen type="address" address="::1"/>'
         "</graphics>"),
        ("<graphics type='vnc' port='5901'><listen type='address' address='::1'/></graphics>",
         '<graphics type="vnc" port="5901" autoport="no" listen="::1"><listen type="address" address="::1"/>'
         "</graphics>"),
        ("<graphics type='vnc'><listen type='socket'/></graphics>",
         '<graphics type="vnc"><listen type="socket"/></graphics>'),
        ("<graphics type='vnc' socket='/s'/>",
         '<graphics type="vnc" socket="/s"><listen type="socket" socket="/s"/></graphics>'),
        ("<graphics type='vnc' socket='/var/lib/libvirt/qemu/domain-1-web/vnc.sock'/>",
         '<graphics type="vnc" port="-1" autoport="yes"><listen type="address"/></graphics>'),
        ("<graphics type='spice'/>", '<graphics type="spice"><listen type="none"/></graphics>'),
        ("<graphics type='spice' autoport='yes'/>",
         '<graphics type="spice" autoport="yes"><listen type="address"/></graphics>'),
        ("<graphics type='spice' port='5900' tlsPort='5901'/>",
         '<graphics type="spice" port="5900" autoport="no" tlsPort="5901"><listen type="address"/></graphics>'),
        ("<graphics type='sdl'/>", '<graphics type="sdl"/>'),
    ],
)  # fmt: skip
def test_where_servers_listen(given: str, expected: str) -> None:
    assert shown(completed(given), "devices/graphics") == [canonical(expected)]


@pytest.mark.parametrize(
    ("arch", "machine", "card"),
    [("x86_64", "pc", "cirrus"), ("aarch64", "virt", "virtio"), ("ppc64", "pseries", "vga"),
     ("s390x", "s390-ccw-virtio", "virtio"), ("riscv64", "virt", "virtio")],
)  # fmt: skip
def test_a_screen_needs_a_card(arch: str, machine: str, card: str) -> None:
    root = completed("<graphics type='vnc'/>", arch=arch, machine=machine)
    assert root.find("devices/video/model").get("type") == card
    assert completed(arch=arch, machine=machine).find("devices/video") is None


def test_the_primary_card_is_the_first() -> None:
    root = completed("<video><model type='qxl' vram='60000'/></video><video><model type='vga' primary='yes'/></video>")
    first, second = (dict(model.attrib) for model in root.findall("devices/video/model"))
    assert first == {"type": "vga", "vram": "16384", "heads": "1", "primary": "yes"}
    assert second == {"type": "qxl", "ram": "65536", "vram": "65536", "vgamem": "16384", "heads": "1"}


def test_no_card_at_all() -> None:
    root = completed("<graphics type='vnc'/><video><model type='none'/></video>")
    assert shown(root, "devices/video") == [canonical("<video><model type='none'/></video>")]


def test_keyboards_and_mice() -> None:
    def inputs(devices: str = "", **options: str) -> list[tuple[str, str]]:
        root = completed(devices, **options)
        return [(device.get("type"), device.get("bus")) for device in root.findall("devices/input")]

    assert inputs() == [("mouse", "ps2"), ("keyboard", "ps2")]
    assert inputs("<input type='tablet'/><input type='keyboard'/>") == [
        ("tablet", "usb"), ("keyboard", "ps2"), ("mouse", "ps2")
    ]  # fmt: skip
    assert inputs(arch="ppc64", machine="pseries") == []
    pseries = inputs("<graphics type='vnc'/>", arch="ppc64", machine="pseries")
    assert pseries == [("keyboard", "usb"), ("mouse", "usb")]


@pytest.mark.parametrize(
    ("graphics", "backend"),
    [("", ["none"]), ("<graphics type='vnc'/>", ["none"]), ("<graphics type='spice'/>", ["spice"]),
     ("<graphics type='sdl'/>", []), ("<graphics type='dbus'/>", [])],
)  # fmt: skip
def test_where_sound_goes(graphics: str, backend: list[str]) -> None:
    assert [audio.get("type") for audio in completed(graphics).findall("devices/audio")] == backend
