"""A guest with a real swtpm: it is there while the guest runs, keeps its state, and goes with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support.guests import boot_sector, boot_sector_unavailable

from engine import Engine, State
from engine.util.process import find_process

pytestmark = pytest.mark.qemu

DOMAIN = """<domain type='qemu'><name>web</name><memory unit='MiB'>16</memory>
<metadata><order:order xmlns:order="urn:virengine:order:1"><order:ready gate="serial" pattern="ready"/></order:order>
</metadata><os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>
<target dev='vda' bus='virtio'/></disk><serial type='file'><source path='{serial}'/></serial>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm></devices></domain>"""


async def test_a_real_tpm(tmp_path: Path) -> None:
    if reason := boot_sector_unavailable() or (None if shutil.which("swtpm") else "no swtpm here: install swtpm"):
        pytest.skip(reason)
    state = tmp_path / "state"
    text = DOMAIN.format(image=boot_sector(tmp_path / "web.img"), serial=tmp_path / "serial.log")
    async with Engine("qemu:///session", state_dir=state, systemd=False) as engine:
        web = await engine.define(text)
        folder = f"dir={engine.store.save_dir}/tpm/{web.uuid}"
        for _ in range(2):
            await web.start()
            await web.wait_ready()
            running = [word for word in (f"{folder},mode=0600", folder) if find_process("socket", "--tpmstate", word)]
            assert running, "no swtpm serves the guest"
            assert list((engine.store.save_dir / "tpm" / web.uuid).rglob("*")), "it keeps nothing"
            assert (await engine.down("web")).ok
            assert web.state is State.SHUTOFF
            assert not find_process("socket", "--tpmstate", running[0])
