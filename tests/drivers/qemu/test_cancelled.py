"""Commands to real guests that are cancelled wherever they wait for QEMU, a thread or the disk: afterwards engine, QEMU
and the files agree."""

from __future__ import annotations

import contextlib
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from support.cancelling import Canceller
from support.qemu_domains import boot_sector_domain, wait_said

from engine import Domain, Engine, EngineError, InvalidState, State
from engine.abc import Run
from engine.drivers.qemu.glance import as_it_was
from engine.drivers.qemu.qmp.connection import QmpConnection
from engine.util.process import find_process

pytestmark = pytest.mark.qemu

MOST = 40

Step = Callable[[Engine, Domain, Path], Awaitable[object]]


def patch(canceller: Canceller, monkeypatch: pytest.MonkeyPatch, *, threads: bool = True) -> None:
    """A command to QEMU is a call as well."""
    execute, send = QmpConnection.execute, QmpConnection._send
    sending: ContextVar[int] = ContextVar("sending")

    async def executing(qmp: QmpConnection, *arguments: Any, **options: Any) -> Any:
        call = canceller.begin()
        sending.set(call)
        result = await execute(qmp, *arguments, **options)
        canceller.now(call, "after")
        return result

    async def sent(qmp: QmpConnection, *arguments: Any) -> None:
        await send(qmp, *arguments)
        canceller.now(sending.get(), "while")

    monkeypatch.setattr(QmpConnection, "execute", executing)
    monkeypatch.setattr(QmpConnection, "_send", sent)
    if threads:
        monkeypatch.setattr(anyio.to_thread, "run_sync", canceller.run_sync)


async def off(engine: Engine, web: Domain, folder: Path) -> None:
    with contextlib.suppress(InvalidState):  # it is, or powers off just now
        await web.destroy()


async def running(engine: Engine, web: Domain, folder: Path) -> None:
    await off(engine, web, folder)
    await web.start(force_boot=True)


async def booted(engine: Engine, web: Domain, folder: Path) -> None:
    await running(engine, web, folder)
    await wait_said(web, folder)


async def paused(engine: Engine, web: Domain, folder: Path) -> None:
    await off(engine, web, folder)
    await web.start(paused=True)


async def saved(engine: Engine, web: Domain, folder: Path) -> None:
    if not web.saved:
        if not web.active:
            await web.start()
        await web.managed_save()


async def saved_to_file(engine: Engine, web: Domain, folder: Path) -> None:
    if not (folder / "web.save").exists():
        await web.start()
        await web.save(folder / "web.save")
    await off(engine, web, folder)


COMMANDS: dict[str, tuple[Step, Step]] = {
    "start": (off, lambda engine, web, folder: web.start()),
    "start what was saved": (saved, lambda engine, web, folder: web.start()),
    "restore": (saved_to_file, lambda engine, web, folder: engine.restore(folder / "web.save")),
    "shutdown": (booted, lambda engine, web, folder: web.shutdown()),
    "reboot": (booted, lambda engine, web, folder: web.reboot()),
    "reset": (running, lambda engine, web, folder: web.reset()),
    "suspend": (running, lambda engine, web, folder: web.suspend()),
    "resume": (paused, lambda engine, web, folder: web.resume()),
    "destroy": (running, lambda engine, web, folder: web.destroy()),
    "save": (running, lambda engine, web, folder: web.save(folder / "web.save")),
    "managed save": (running, lambda engine, web, folder: web.managed_save()),
}


async def settled(web: Domain, folder: Path) -> None:
    """Return once they agree: a guest that was asked to power off or reboot may be doing so this very moment."""
    assert not web.busy
    with anyio.move_on_after(10):
        while True:
            try:
                await check(web, folder)
                return
            except (AssertionError, EngineError):
                await anyio.sleep(0.05)
    await check(web, folder)


async def check(web: Domain, folder: Path) -> None:
    """What the engine knows is what there is."""
    process = find_process("-uuid", web.uuid)
    assert (process is not None) == web.active, (web, web.reason)
    store = web._host.store
    if process is not None:
        assert (await web.info()).pid == process.pid
        assert web.state in (State.RUNNING, State.PAUSED)
        qmp = web.driver._guests[web.uuid].qmp  # type: ignore[attr-defined]
        status = str((await qmp.execute("query-status"))["status"])
        assert (status == "running") == (web.state is State.RUNNING), (web, status)
        assert not web.saved
    else:
        assert not web.handle.runtime_dir.exists()
    assert store.managed_save(web.slot).exists() == web.saved, (web, web.reason)
    assert not [path for path in folder.rglob(".*") if path.suffix in (".saving", ".new")]


def descriptors() -> Counter[str]:
    """What this process has open."""
    found: Counter[str] = Counter()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found[str(link.readlink()).partition(":")[0]] += 1
    return found


WAYS = [("asyncio", "by_scope"), ("asyncio", "by_task"), ("trio", "by_scope")]


@pytest.mark.parametrize(("anyio_backend", "how"), WAYS)
@pytest.mark.parametrize("name", COMMANDS)
async def test_engine_and_qemu_agree(name: str, how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare, command = COMMANDS[name]
    file = tmp_path / "web.save"
    with anyio.fail_after(100):
        async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False, on_close="leave") as engine:
            web = await engine.define(boot_sector_domain("web", tmp_path))
            await prepare(engine, web, tmp_path)
            await off(engine, web, tmp_path)
            before = descriptors()
            try:
                for where in ("while", "after"):
                    for call in range(1, MOST):
                        await prepare(engine, web, tmp_path)
                        canceller = Canceller(call, where)
                        with monkeypatch.context() as patched:
                            # a thread is never left alone: while it works is the same as after it
                            patch(canceller, patched, threads=where == "after")
                            await getattr(canceller, how)(partial(command, engine, web, tmp_path))
                        await settled(web, tmp_path)
                        if name == "save":
                            assert file.exists() == (web.reason == "saved"), (web, call, where)
                            file.unlink(missing_ok=True)
                        if not canceller.came:
                            assert call > 1 or where == "while", f"{name} never waits"
                            break
                    else:
                        raise AssertionError(f"{name} makes more than {MOST} calls")
                await off(engine, web, tmp_path)
                await settled(web, tmp_path)
                assert descriptors() == before
            finally:
                with anyio.CancelScope(shield=True):
                    if web.active:
                        await web.destroy()


@pytest.mark.parametrize(("anyio_backend", "how"), WAYS)
async def test_opening_an_engine_beside_a_guest(how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That is cancelled takes nothing from the guest, and the next engine takes it over."""

    def opened() -> Engine:
        return Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False, on_close="leave", resume=False)

    async with opened() as engine:
        web = await engine.define(boot_sector_domain("web", tmp_path))
        await running(engine, web, tmp_path)
        pid, run = (await web.info()).pid, (web.handle.facts, web.handle.runtime_dir)
        assert pid is not None

    async def open_and_close() -> None:
        async with opened():
            pass

    try:
        for where in ("while", "after"):
            for call in range(1, MOST):
                canceller = Canceller(call, where)
                with monkeypatch.context() as patched, anyio.fail_after(30):
                    patch(canceller, patched)
                    await getattr(canceller, how)(open_and_close)
                facts = Run(state=State.RUNNING, facts=run[0], runtime_dir=run[1])
                assert await anyio.to_thread.run_sync(as_it_was, facts), (call, where)
                if not canceller.came:
                    assert call > 1
                    break
            else:
                raise AssertionError(f"opening makes more than {MOST} calls")
        async with opened() as engine:
            web = engine.domain("web")
            assert (web.state, (await web.info()).pid) == (State.RUNNING, pid)
            await web.destroy()
    finally:
        if find_process("-uuid", web.uuid) is not None:
            os.kill(pid, signal.SIGKILL)
