"""What a look without an engine says is what an engine would say, or it says nothing."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from support.qemu_domains import boot_sector_domain, wait_said

from engine import Domain, Engine, State
from engine.errors import StateDirLocked
from engine.glance import DomainView, glance
from engine.store import DiskStore, slot_of

URI = "test:///default"
NOT_READY = """<metadata>
  <order xmlns='urn:virengine:order:1'><ready gate='delay' seconds='3600' timeout='7200'/></order>
</metadata>"""


def document(name: str, extra: str = "") -> str:
    return f"<domain type='test'><name>{name}</name><memory>1024</memory>{extra}</domain>"


async def view_of(domain: Domain) -> DomainView:
    shared = {name: getattr(domain, name) for name in DomainView.__struct_fields__ if name != "pid"}
    return DomainView(pid=(await domain.info()).pid, **shared)


async def views_of(engine: Engine) -> dict[str, DomainView]:
    return {domain.name: await view_of(domain) for domain in engine.domains()}


def seen(folder: Path, *uris: str) -> dict[str, DomainView] | None:
    views = glance(uris or (URI,), folder)
    return None if views is None else {view.name: view for view in views}


def opened(folder: Path, *uris: str) -> Engine:
    return Engine(*(uris or (URI,)), state_dir=folder, resume=False, systemd=False)


async def make_domains(engine: Engine) -> None:
    for name in ("off", "runs", "waits", "kept", "passing"):
        await engine.define(document(name))
    await engine.domain("off").set_autostart()
    for name in ("runs", "kept", "passing"):
        await engine.domain(name).start()
    await engine.domain("waits").start(paused=True)
    await engine.domain("kept").managed_save()
    await engine.domain("passing").undefine()
    for name in ("runs", "waits", "passing"):
        await engine.domain(name).wait_ready()


async def test_it_says_what_the_engine_says(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        await make_domains(engine)
    views = seen(tmp_path)
    async with opened(tmp_path) as engine:
        assert views == await views_of(engine)
    assert views is not None
    assert [name for name, view in views.items() if view.active] == ["passing", "runs", "test", "waits"]
    assert views["waits"].state is State.PAUSED
    assert views["kept"].saved
    assert views["off"].autostart
    assert not views["passing"].persistent


async def test_beside_an_engine_it_says_what_that_has_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine:
        await make_domains(engine)
        views = await anyio.to_thread.run_sync(seen, tmp_path)
        told = await views_of(engine)
        assert views == told
        with pytest.raises(StateDirLocked):
            await opened(tmp_path).__aenter__()
        assert await anyio.to_thread.run_sync(seen, tmp_path, "test:///other") is None
        # all that it holds, where no connection was named
        assert {view.name for view in glance((), tmp_path) or ()} == set(told)


async def test_it_keeps_nobody_from_opening_an_engine(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    stop = False

    def look() -> None:
        while not stop:
            glance((URI,), tmp_path)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(anyio.to_thread.run_sync, look)
        try:
            for _ in range(30):
                async with opened(tmp_path):
                    pass
        finally:
            stop = True


async def test_it_leaves_to_an_engine_what_only_an_engine_can_tell(tmp_path: Path) -> None:
    assert seen(tmp_path / "none") is None
    assert not (tmp_path / "none").exists()
    async with opened(tmp_path) as engine:
        await engine.define(document("web", NOT_READY))
    assert seen(tmp_path) is not None
    assert seen(tmp_path, "test:///nowhere") is None
    assert seen(tmp_path, "no URI") is None
    async with opened(tmp_path) as engine:
        await engine.domain("web").start()
    assert seen(tmp_path) is None  # it may be ready by now
    async with opened(tmp_path) as engine:
        await engine.domain("web").destroy()
    assert seen(tmp_path) is not None
    next((tmp_path / "domains").glob("*/web.xml")).write_text("<domain")
    assert seen(tmp_path) is None  # the engine says what is wrong with the file


@pytest.mark.qemu
async def test_of_real_guests(tmp_path: Path) -> None:
    uri, folder = "qemu:///session", tmp_path / "state"
    async with opened(folder, uri) as engine:
        for name in ("runs", "waits"):
            await (await engine.define(boot_sector_domain(name, tmp_path))).start()
            await wait_said(name, tmp_path)
            await engine.domain(name).wait_ready()
        await engine.domain("waits").suspend()
        held = await anyio.to_thread.run_sync(seen, folder, uri)
        told = await views_of(engine)
        assert held == told
    try:
        assert seen(folder, uri) == told
        await check_what_changed(folder, uri, told)
    finally:
        async with opened(folder, uri) as engine:
            for domain in engine.domains():
                if domain.active:
                    await domain.destroy()
    views = seen(folder, uri)
    assert views is not None
    assert [view.state for view in views.values()] == [State.SHUTOFF, State.SHUTOFF]


async def check_what_changed(folder: Path, uri: str, told: dict[str, DomainView]) -> None:
    """It hangs; somebody else let it run on; it is gone: an engine has to see to each."""
    runs, waits = told["runs"], told["waits"]
    assert runs.pid is not None
    assert waits.pid is not None
    os.kill(runs.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert seen(folder, uri) is None
        assert time.monotonic() - began < 30
    finally:
        os.kill(runs.pid, signal.SIGCONT)
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.connect(str(DiskStore(folder).runtime_dir(slot_of(uri, waits.uuid)) / "qmp.sock"))
        monitor.sendall(b'{"execute": "qmp_capabilities"}\n{"execute": "cont", "id": 1}\n')
        while b'"id": 1' not in monitor.recv(65536):
            pass
    assert seen(folder, uri) is None
    async with opened(folder, uri) as engine:
        assert engine.domain("waits").state is State.RUNNING
    views = seen(folder, uri)
    assert views is not None
    assert views["waits"].state is State.RUNNING
    os.kill(runs.pid, signal.SIGKILL)
    while Path(f"/proc/{runs.pid}/cmdline").exists() and Path(f"/proc/{runs.pid}/cmdline").read_bytes():
        await anyio.sleep(0.01)
    assert seen(folder, uri) is None
