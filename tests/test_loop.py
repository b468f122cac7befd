"""Nothing blocks the loop: no call that may wait for a disk, a process or the clock is made on its thread."""

from __future__ import annotations

import shutil
import threading
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from support.blocking import blocking_calls
from support.guests import boot_sector, boot_sector_unavailable

from engine import Domain, Engine, State

QEMU = """<domain type='qemu'><name>web</name><memory unit='MiB'>16</memory>
<metadata><order:order xmlns:order="urn:virengine:order:1"><order:ready gate="serial" pattern="ready"/></order:order>
</metadata><os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>
<target dev='hda' bus='ide'/></disk><serial type='file'><source path='{serial}'/></serial></devices></domain>"""


async def live(engine: Engine, domain: Domain, folder: Path) -> None:
    """Everything a domain can go through."""
    await domain.start()
    await domain.wait_ready()
    await domain.suspend()
    await domain.resume()
    await domain.set_autostart()
    await domain.info()
    await domain.save(folder / "web.save")
    await engine.restore(folder / "web.save")
    await domain.managed_save()
    await domain.start()
    await domain.reset()
    await domain.destroy()
    await domain.start()
    await domain.wait_ready()
    assert (await engine.down(["web"])).ok


async def test_no_command_blocks_the_loop(tmp_path: Path) -> None:
    with blocking_calls() as found:
        async with Engine("test:///default", state_dir=tmp_path / "state", systemd=False) as engine:
            web = await engine.define("<domain type='test'><name>web</name></domain>")
            await live(engine, web, tmp_path)
            await web.undefine()
        async with Engine("test:///default", state_dir=tmp_path / "state", systemd=False):
            pass
    assert not found, "\n".join(dict.fromkeys(found))


@pytest.mark.qemu
async def test_no_command_of_a_real_guest_blocks_the_loop(tmp_path: Path) -> None:
    if reason := boot_sector_unavailable():
        pytest.skip(reason)
    text = QEMU.format(image=boot_sector(tmp_path / "web.img"), serial=tmp_path / "serial.log")
    with blocking_calls() as found:
        async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
            web = await engine.define(text)
            await live(engine, web, tmp_path)
            await web.start()
        async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
            web = engine.domain("web")
            assert web.state is State.RUNNING
            await web.destroy()
            await web.undefine()
    assert not found, "\n".join(dict.fromkeys(found))


async def test_the_detector_sees_what_blocks_and_only_on_its_thread(tmp_path: Path) -> None:
    with blocking_calls() as found:
        (tmp_path / "file").write_text("x")
        (tmp_path / "file").stat()
        shutil.which("virengine-none", path=str(tmp_path))
        time.sleep(0)
        await anyio.to_thread.run_sync((tmp_path / "other").write_text, "x")
        thread = threading.Thread(target=(tmp_path / "third").write_text, args=("x",))
        thread.start()
        await anyio.to_thread.run_sync(thread.join)
    kinds = [call.partition("(")[0] for call in found]
    assert kinds.count("open") == 1
    assert kinds.count("os.stat") >= 2
    assert set(kinds) <= {"open", "os.stat", "time.sleep"}
