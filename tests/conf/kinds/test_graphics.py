"""How the guest's screen is shown, and the cards that draw it."""

from __future__ import annotations

import pytest
from support.elements import problems_of, read, rewritten

from engine.conf.kinds.domain.graphics import Graphics
from engine.conf.kinds.domain.video import Video

SPICE = """\
<graphics type='spice' port='-1' tlsPort='5901' autoport='yes' passwdValidTo='2030-01-31T12:00:00' keymap='de'>
  <listen type='address' address='::1'/><listen type='none'/>
  <channel name='main' mode='secure'/><channel name='record' mode='any'/>
  <image compression='auto_glz'/><jpeg compression='never'/><playback compression='off'/>
  <clipboard copypaste='no'/><mouse mode='client'/><gl enable='no' rendernode='/dev/dri/renderD128'/>
</graphics>"""


def test_a_spice_server() -> None:
    spice = read(Graphics, SPICE)
    assert (spice.port, spice.tls_port, len(spice.listens), spice.gl.enable) == (-1, 5901, 2, False)
    assert rewritten(Graphics, SPICE)


@pytest.mark.parametrize(
    ("name", "attributes"),
    [
        ("VncGraphics", "vnc' connected='keep' websocket='5700' passwd='"),
        ("RdpGraphics", "rdp' multiUser='yes"),
        ("DbusGraphics", "dbus' p2p='no"),
        ("SdlGraphics", "sdl' display=':0' xauth='/x"),
        ("DesktopGraphics", "desktop' fullscreen='no"),
        ("EglHeadlessGraphics", "egl-headless"),
    ],
)
def test_the_others(name: str, attributes: str) -> None:
    text = f"<graphics type='{attributes}'/>"
    assert type(read(Graphics, text)).__name__ == name
    assert rewritten(Graphics, text)


@pytest.mark.parametrize(
    ("inside", "problem"),
    [
        ("vnc' socket='/s' powerControl='no'>", ": 'socket' and 'powerControl' can't both be there"),
        ("dbus' address='unix:path=/x' p2p='yes'>", ": 'address' and 'p2p' can't both be there"),
        ("vnc' tlsPort='1'>", "/@tlsPort: unknown attribute 'tlsPort'"),
        ("vnc'><listen type='network'/>", "/listen: it lacks its attribute 'network'"),
        ("spice' passwdValidTo='2030-02-30T12:00:00'>",
         "/@passwdValidTo: '2030-02-30T12:00:00' is not a time such as 2030-01-31T12:00:00"),
    ],
)  # fmt: skip
def test_what_is_refused(inside: str, problem: str) -> None:
    assert problems_of(Graphics, f"<graphics type='{inside}</graphics>") == [f"/graphics{problem}"]


def test_only_qxl_has_more_memories() -> None:
    memory = "<video><model type='{}' ram='65536' vram='16384'/></video>"
    assert rewritten(Video, memory.format("qxl"))
    assert problems_of(Video, memory.format("vga")) == [
        "/video/model/@ram: unknown attribute 'ram' (did you mean 'vram'?)"
    ]
