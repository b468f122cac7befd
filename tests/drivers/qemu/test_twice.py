"""A guest whose run-time state is lost is never run twice."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.guests import boot_sector, boot_sector_unavailable

from engine import DriverError, Engine, State
from engine.util.process import find_process

pytestmark = pytest.mark.qemu

DOMAIN = """<domain type='qemu'><name>web</name><memory unit='MiB'>16</memory>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>
<target dev='hda' bus='ide'/><readonly/></disk></devices></domain>"""


@pytest.mark.parametrize("lost", ["truncated", "removed"])
async def test_a_start_refuses_while_a_process_nobody_told_of_runs_it(tmp_path: Path, lost: str) -> None:
    if reason := boot_sector_unavailable():
        pytest.skip(reason)
    image = boot_sector(tmp_path / "web.img")
    async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
        web = await engine.define(DOMAIN.format(image=image).replace("<readonly/>", "<shareable/>"))
        await web.start()
        pid = (await web.info()).pid
        status = engine.store.runtime_dir(web.slot) / "status.json"
    kept = status.read_bytes()
    if lost == "removed":
        status.unlink()
    else:
        status.write_bytes(b"")
    async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
        web = engine.domain("web")
        for _ in range(2):
            with pytest.raises(DriverError, match=f"runs already, as process {pid}"):
                await web.start()
        assert (status.parent / "qmp.sock").exists()
        found = find_process("-uuid", web.uuid)
        assert found is not None
        assert found.pid == pid
    status.write_bytes(kept)
    async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
        web = engine.domain("web")
        assert web.state is State.RUNNING
        await web.destroy()
        await web.start()
        await web.destroy()
