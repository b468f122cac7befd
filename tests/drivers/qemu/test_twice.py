"""A guest whose run-time state is lost is never run twice."""

from __future__ import annotations

import json
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


async def started(folder: Path) -> tuple[int | None, Path]:
    """The process of a guest that is left running, and where its run-time state is kept."""
    if reason := boot_sector_unavailable():
        pytest.skip(reason)
    image = boot_sector(folder / "web.img")
    async with opened(folder) as engine:
        web = await engine.define(DOMAIN.format(image=image).replace("<readonly/>", "<shareable/>"))
        await web.start()
        return (await web.info()).pid, engine.store.runtime_dir(web.slot) / "status.json"


def opened(folder: Path) -> Engine:
    return Engine("qemu:///session", state_dir=folder / "state", systemd=False)


@pytest.mark.parametrize("lost", ["truncated", "removed", "of nobody", "without a document"])
async def test_a_guest_whose_state_is_lost_is_found(tmp_path: Path, lost: str) -> None:
    pid, status = await started(tmp_path)
    kept = json.loads(status.read_text())
    match lost:
        case "removed":
            status.unlink()
        case "truncated":
            status.write_bytes(b"")
        case "of nobody":
            status.write_text(json.dumps({**kept, "connection": "foo:///x"}))
        case _:
            status.write_text(json.dumps({**kept, "text": "<domain/>"}))
    for _ in range(2):
        async with opened(tmp_path) as engine:
            web = engine.domain("web")
            assert (web.state, (await web.info()).pid) == (State.RUNNING, pid)
    async with opened(tmp_path) as engine:
        assert (await engine.down()).ok
        web = engine.domain("web")
        assert web.state is State.SHUTOFF
        assert find_process("-uuid", web.uuid) is None


async def test_a_start_refuses_while_a_process_nobody_told_of_runs_it(tmp_path: Path) -> None:
    pid, status = await started(tmp_path)
    hidden = tmp_path / "hidden"
    status.parent.rename(hidden)
    async with opened(tmp_path) as engine:
        web = engine.domain("web")
        assert web.state is State.SHUTOFF
        hidden.rename(status.parent)
        for _ in range(2):
            with pytest.raises(DriverError, match=f"runs already, as process {pid}"):
                await web.start()
        assert (status.parent / "qmp.sock").exists()
        found = find_process("-uuid", web.uuid)
        assert found is not None
        assert found.pid == pid
    async with opened(tmp_path) as engine:
        web = engine.domain("web")
        assert web.state is State.RUNNING
        await web.destroy()
        await web.start()
        await web.destroy()
