"""A guest with a real swtpm: it is there while the guest runs, keeps its state, and goes with it."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import pytest
from support.guests import boot_sector, boot_sector_unavailable

from engine import Domain, Engine, State

pytestmark = pytest.mark.qemu

DOMAIN = """<domain type='qemu'><name>web</name><memory unit='MiB'>16</memory>
<metadata><order:order xmlns:order="urn:virengine:order:1"><order:ready gate="serial" pattern="ready"/></order:order>
</metadata><os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>
<target dev='vda' bus='virtio'/></disk><serial type='file'><source path='{serial}'/></serial>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices></domain>"""


@pytest.fixture
def text(tmp_path: Path) -> str:
    if reason := boot_sector_unavailable() or (None if shutil.which("swtpm") else "no swtpm here: install swtpm"):
        pytest.skip(reason)
    return DOMAIN.format(image=boot_sector(tmp_path / "web.img"), serial=tmp_path / "serial.log")


def swtpm_of(web: Domain) -> int | None:
    """The process that has its state open."""
    folder = (web.handle.state_dir / "tpm").resolve()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "comm").read_text().strip() == "swtpm" and any(
                link.readlink() == folder for link in (process / "fd").iterdir()
            ):
                return int(process.name)
    return None


@pytest.mark.parametrize("state", ["state", "a,b"])
async def test_a_real_tpm(text: str, state: str, tmp_path: Path) -> None:
    async with Engine("qemu:///session", state_dir=tmp_path / state, systemd=False) as engine:
        web = await engine.define(text)
        folder = web.handle.state_dir / "tpm"
        for _ in range(2):
            await web.start()
            await web.wait_ready()
            assert swtpm_of(web), "no swtpm serves the guest"
            assert list(folder.rglob("*.permall")), "it keeps nothing"
            assert (await engine.down("web")).ok
            assert web.state is State.SHUTOFF
            assert not swtpm_of(web)
        await web.undefine()
        assert not folder.exists(), "its secrets outlive the domain"


@pytest.mark.parametrize("kept", ["yes", "no"])
async def test_the_tpm_of_a_guest_that_is_undefined_while_it_runs(kept: str, text: str, tmp_path: Path) -> None:
    text = text.replace("version='2.0'", f"version='2.0' persistent_state='{kept}'")
    async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
        web = await engine.define(text)
        folder = web.handle.state_dir / "tpm"
        await web.start()
        await web.wait_ready()
        await web.undefine()
        assert list(folder.rglob("*.permall")), "it is gone while its guest runs"
        await web.destroy()
        assert bool(list(folder.rglob("*.permall"))) == (kept == "yes")
