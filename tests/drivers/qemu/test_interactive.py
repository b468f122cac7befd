"""What people do with real guests: sit at their consoles, see their screens, ask their agents."""

from __future__ import annotations

import struct
from pathlib import Path

import anyio
import pytest
from support.guests import echo_sector
from support.qemu_domains import engine_in

from engine import Domain, Engine, State
from engine.errors import AgentError, Busy, DriverError, InvalidState

pytestmark = [pytest.mark.anyio, pytest.mark.qemu]

PTY = "<console type='pty'/>"
UNIX = "<serial type='unix'/><console type='unix'><target type='virtio'/></console>"
SCREEN = "<graphics type='vnc'><listen type='none'/></graphics><video><model type='vga'/></video>"


async def started(engine: Engine, folder: Path, devices: str) -> Domain:
    image = echo_sector(folder / "echo.img")
    domain = await engine.define(f"""
<domain type='qemu'><name>echo</name><memory unit='MiB'>8</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>
<target dev='vda' bus='virtio'/></disk>{devices}</devices></domain>""")
    await domain.start()
    return domain


async def says_again(stream: anyio.abc.ByteStream, sign: bytes) -> None:
    """Type it until it comes back: what is typed while the firmware runs is lost, and nothing tells of that."""
    with anyio.fail_after(20):
        while True:
            await stream.send(sign)
            with anyio.move_on_after(0.2):
                while sign not in await stream.receive():
                    pass
                return


@pytest.mark.parametrize("devices", [PTY, UNIX], ids=["pty", "unix"])
async def test_a_console_is_typed_into(devices: str, tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        domain = await started(engine, tmp_path, devices)
        async with domain.open_console() as console:
            await says_again(console, b"x")
            sent = bytes(range(256)) * 8 + b"and no more"
            heard = bytearray()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(console.send, sent)
                with anyio.fail_after(20):
                    while not heard.endswith(b"and no more"):
                        heard += await console.receive()
            assert heard.lstrip(b"x") == sent
            with pytest.raises(Busy, match="somebody is at the console"):
                async with domain.open_console("serial0"):
                    pass
            async with domain.open_console("console0", force=True) as other:
                with pytest.raises(anyio.EndOfStream):
                    while True:
                        await console.receive()
                assert console.taken
                await says_again(other, b"y")
        async with domain.open_console() as console:
            await says_again(console, b"z")
            await domain.destroy()
            with anyio.fail_after(10), pytest.raises(anyio.EndOfStream):
                while True:
                    await console.receive()


async def test_consoles_that_nobody_can_sit_at(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        domain = await started(engine, tmp_path, f"<serial type='file'><source path='{tmp_path}/log'/></serial>")
        for device, told in (("", "of type file: pty and unix are for that"), ("serial7", "it has serial0")):
            with pytest.raises(DriverError, match=told):
                async with domain.open_console(device):
                    pass
        with pytest.raises(DriverError, match="has no VNC display"):
            await domain.open_graphics()
        with pytest.raises(AgentError, match="has no guest agent channel"):
            await domain.agent_command("guest-ping")
        await domain.destroy()
        with pytest.raises(InvalidState, match="can't open the console of it"):
            async with domain.open_console():
                pass


async def test_a_screen_is_seen_and_driven(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        domain = await started(engine, tmp_path, SCREEN)
        picture = await domain.screenshot()
        assert picture.media_type == "image/png"
        assert picture.data.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack_from(">2I", picture.data, 16)
        assert width >= 640
        assert height >= 350
        assert not [path for path in domain.handle.runtime_dir.iterdir() if path.name.startswith("screen")]
        async with await domain.open_graphics() as display:
            with anyio.fail_after(10):
                assert await display.receive(12) == b"RFB 003.008\n"
                await display.send(b"RFB 003.008\n")
                security = await display.receive()
        assert security == b"\x01\x01", "one kind of security, which is none"
        assert domain.state is State.RUNNING
