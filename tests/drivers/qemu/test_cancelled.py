"""Commands to real guests that are cancelled wherever they wait for QEMU: afterwards engine and QEMU agree."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from support.qemu_domains import boot_sector_domain, wait_said

from engine import Domain, Engine, EngineError, InvalidState, State
from engine.abc import Run
from engine.drivers.qemu.glance import as_it_was
from engine.drivers.qemu.qmp.connection import QmpConnection
from engine.util.process import find_process

pytestmark = pytest.mark.qemu

MOST = 40

Step = Callable[[Engine, Domain, Path], Awaitable[object]]


class Canceller:
    """Cancels at one of the commands that QEMU is given: ``before`` it goes out, or when it was answered.

    Args:
        call: the number of the command, from 1.
    """

    def __init__(self, call: int, where: str) -> None:
        self._call, self._where, self._calls = call, where, 0
        self.cancel: Callable[[], object] = lambda: None
        self.came = False

    def _now(self, call: int, where: str) -> None:
        if (call, where) == (self._call, self._where):
            self.came = True
            self.cancel()

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        original = QmpConnection.execute

        async def execute(qmp: QmpConnection, *arguments: Any, **options: Any) -> Any:
            self._calls += 1
            call = self._calls
            self._now(call, "before")
            result = await original(qmp, *arguments, **options)
            self._now(call, "after")
            return result

        monkeypatch.setattr(QmpConnection, "execute", execute)


async def by_scope(canceller: Canceller, command: Callable[[], Awaitable[object]]) -> None:
    with anyio.CancelScope() as scope:
        canceller.cancel = scope.cancel
        await command()


async def by_task(canceller: Canceller, command: Callable[[], Awaitable[object]]) -> None:
    task: asyncio.Future[Any] = asyncio.ensure_future(command())
    canceller.cancel = task.cancel
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def off(engine: Engine, web: Domain, folder: Path) -> None:
    pass


async def running(engine: Engine, web: Domain, folder: Path) -> None:
    await web.start()
    await wait_said(web, folder)


async def paused(engine: Engine, web: Domain, folder: Path) -> None:
    await web.start(paused=True)


async def saved(engine: Engine, web: Domain, folder: Path) -> None:
    await web.start()
    await web.managed_save()


async def saved_to_file(engine: Engine, web: Domain, folder: Path) -> None:
    await web.start()
    await web.save(folder / "web.save")


COMMANDS: dict[str, tuple[Step, Step]] = {
    "start": (off, lambda engine, web, folder: web.start()),
    "start what was saved": (saved, lambda engine, web, folder: web.start()),
    "restore": (saved_to_file, lambda engine, web, folder: engine.restore(folder / "web.save")),
    "shutdown": (running, lambda engine, web, folder: web.shutdown()),
    "reboot": (running, lambda engine, web, folder: web.reboot()),
    "reset": (running, lambda engine, web, folder: web.reset()),
    "suspend": (running, lambda engine, web, folder: web.suspend()),
    "resume": (paused, lambda engine, web, folder: web.resume()),
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
    if process is not None:
        assert (await web.info()).pid == process.pid
        assert web.state in (State.RUNNING, State.PAUSED)
        qmp = web.driver._guests[web.uuid].qmp  # type: ignore[attr-defined]
        status = str((await qmp.execute("query-status"))["status"])
        assert (status == "running") == (web.state is State.RUNNING), (web, status)
        assert not web.saved
    assert not list(folder.rglob("*.saving"))


@pytest.mark.parametrize("how", ["scope", "task"])
@pytest.mark.parametrize("name", COMMANDS)
async def test_engine_and_qemu_agree(
    name: str, how: str, tmp_path: Path, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (how, anyio_backend_name) == ("task", "trio"):
        return  # it has no such thing
    prepare, command = COMMANDS[name]
    state_dir = tmp_path / "state"
    with anyio.fail_after(100):
        async with Engine("qemu:///session", state_dir=state_dir, systemd=False, on_close="leave") as engine:
            web = await engine.define(boot_sector_domain("web", tmp_path))
            try:
                for where in ("before", "after"):
                    for call in range(1, MOST):
                        await prepare(engine, web, tmp_path)
                        canceller = Canceller(call, where)
                        with monkeypatch.context() as patched:
                            canceller.patch(patched)
                            cancelled = by_scope if how == "scope" else by_task
                            await cancelled(canceller, partial(command, engine, web, tmp_path))
                        await settled(web, tmp_path)
                        with contextlib.suppress(InvalidState):  # it powered off just now
                            await web.destroy()
                        if web.saved:
                            await web.start(force_boot=True)
                            await web.destroy()
                        if not canceller.came:
                            assert call > 1, f"{name} asks QEMU nothing"
                            break
                    else:
                        raise AssertionError(f"{name} has more than {MOST} commands for QEMU")
            finally:
                with anyio.CancelScope(shield=True):
                    if web.active:
                        await web.destroy()


@pytest.mark.parametrize("how", ["scope", "task"])
async def test_opening_an_engine_beside_a_guest(
    how: str, tmp_path: Path, anyio_backend_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That is cancelled takes nothing from the guest, and the next engine takes it over."""
    if (how, anyio_backend_name) == ("task", "trio"):
        return

    def opened() -> Engine:
        return Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False, on_close="leave", resume=False)

    async with opened() as engine:
        web = await engine.define(boot_sector_domain("web", tmp_path))
        await running(engine, web, tmp_path)
        pid, run = (await web.info()).pid, (web.handle.facts, web.handle.runtime_dir)

    async def open_and_close() -> None:
        async with opened():
            pass

    for call in range(1, MOST):
        canceller = Canceller(call, "after" if call % 2 else "before")
        with monkeypatch.context() as patched, anyio.fail_after(30):
            canceller.patch(patched)
            await (by_scope if how == "scope" else by_task)(canceller, open_and_close)
        facts = Run(state=State.RUNNING, facts=run[0], runtime_dir=run[1])
        assert await anyio.to_thread.run_sync(as_it_was, facts)
        if not canceller.came:
            assert call > 1
            break
    async with opened() as engine:
        web = engine.domain("web")
        assert (web.state, (await web.info()).pid) == (State.RUNNING, pid)
        await web.destroy()
