"""Starts that are cut short at a bad moment: by a full disk, a cancellation, or an engine that closes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support.fake_qemu import fake_qemu, pids
from support.qemu_domains import boot_sector_domain, said, wait_said

from engine import Domain, Engine, EngineError, LifecycleEvent, StartFailed, State, StoreError
from engine.drivers.qemu.guest import Guest
from engine.drivers.qemu.qmp.connection import QmpError
from engine.store import DiskStore, Status
from engine.util.process import find_process

pytestmark = pytest.mark.qemu

FAKE = """<domain type='qemu'><name>web</name><memory>8192</memory><os><type>hvm</type></os>
<devices><emulator>{}</emulator></devices></domain>"""


@asynccontextmanager
async def saved(folder: Path) -> AsyncIterator[tuple[Engine, Domain]]:
    """A guest with a managed save, made while it ran."""
    with anyio.fail_after(60):
        async with Engine("qemu:///session", state_dir=folder / "state", systemd=False) as engine:
            web = await engine.define(boot_sector_domain("web", folder))
            try:
                await web.start()
                await wait_said(web, folder)
                await web.managed_save()
                assert web.saved
                yield engine, web
            finally:
                with anyio.CancelScope(shield=True):
                    if web.active:
                        await web.destroy()
                assert find_process("-uuid", web.uuid) is None


def full_disk(monkeypatch: pytest.MonkeyPatch, when: Callable[[Any], bool]) -> None:
    original = DiskStore.save_status

    async def save_status(self: DiskStore, status: Status) -> None:
        if when(status.facts):
            raise StoreError("status.json", "no space left on device")
        await original(self, status)

    monkeypatch.setattr(DiskStore, "save_status", save_status)


def at_cont(monkeypatch: pytest.MonkeyPatch, function: Callable[[], None], *, before: bool = False) -> None:
    original = Guest.execute

    async def execute(self: Guest, name: str, *arguments: Any, **options: Any) -> Any:
        if name == "cont" and before:
            function()
        result = await original(self, name, *arguments, **options)
        if name == "cont" and not before:
            function()
            await anyio.lowlevel.checkpoint()
        return result

    monkeypatch.setattr(Guest, "execute", execute)


async def last_told(engine: Engine, count: int) -> list[str]:
    async with engine.subscribe(LifecycleEvent, domain="web", since=0) as events:
        lines = []
        with anyio.move_on_after(0.2):
            async for event in events:
                lines.append(f"{type(event).__name__.removeprefix('Domain')} {event.detail}")
    return lines[-count:]


async def test_a_restored_guest_does_not_run_before_its_save_is_used_up_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with saved(tmp_path) as (_, web):
        with monkeypatch.context() as broken:
            full_disk(broken, lambda facts: facts.get("phase") == "started" and "restoring" not in facts)
            ran: list[bool] = []
            at_cont(broken, lambda: ran.append(True), before=True)
            with pytest.raises(StoreError):
                await web.start()
            assert not ran
        assert web.state is State.SHUTOFF
        assert find_process("-uuid", web.uuid) is None
        assert web.saved, "it never ran"
        await web.start()
        assert (web.state, web.reason) == (State.RUNNING, "restored")
        await web.shutdown()
        await web.wait_for(State.SHUTOFF)
        assert said("web", tmp_path) == ["button", "off"], "it went on where it was"


async def test_a_guest_that_runs_is_not_killed_for_want_of_disk_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = False

    def fill() -> None:
        nonlocal full
        full = True

    async with saved(tmp_path) as (_, web):
        full_disk(monkeypatch, lambda facts: full)
        at_cont(monkeypatch, fill)
        await web.start()
        assert full
        assert (web.state, web.reason) == (State.RUNNING, "restored")
        assert find_process("-uuid", web.uuid) is not None
        assert not web.saved
        full = False


async def test_a_save_is_not_kept_when_the_guest_ran_before_its_start_was_cancelled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with saved(tmp_path) as (engine, web):
        with anyio.CancelScope() as scope:
            at_cont(monkeypatch, scope.cancel)
            await web.start()
        assert scope.cancelled_caught
        assert web.state is State.SHUTOFF
        assert find_process("-uuid", web.uuid) is None
        assert await last_told(engine, 2) == ["Started restored", "Stopped destroyed"]
        assert not web.saved, "it no longer fits the disks"


async def test_a_save_is_kept_when_the_guest_was_not_let_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise QmpError("cont", "GenericError", "not today")

    async with saved(tmp_path) as (engine, web):
        with monkeypatch.context() as broken:
            at_cont(broken, refuse, before=True)
            with pytest.raises(StartFailed, match="not today"):
                await web.start()
        assert (await last_told(engine, 1)) == ["Stopped saved"]
        assert web.saved
        await web.start()
        assert web.reason == "restored"


# ---------------------------------------------------------------------------- an engine that closes

HANGS = {
    "before its greeting": "accept(); hang()",
    "at qmp_capabilities": "def special(name): name == 'qmp_capabilities' and hang()",
    "at cont": "def special(name): name == 'cont' and hang()",
}


@pytest.mark.parametrize("cancelled", [False, True], ids=["closed", "cancelled"])
@pytest.mark.parametrize("hang", HANGS)
async def test_a_start_leaves_nothing_when_the_engine_ends(hang: str, cancelled: bool, tmp_path: Path) -> None:
    emulator = fake_qemu(tmp_path, HANGS[hang])
    errors: list[BaseException] = []

    async def start(web: Domain) -> None:
        try:
            await web.start()
        except EngineError as exc:
            errors.append(exc)

    with anyio.fail_after(20):  # a start may take 30 seconds
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
                    tasks.start_soon(start, await engine.define(FAKE.format(emulator)))
                    while not pids(tmp_path):
                        await anyio.sleep(0.005)
                    if cancelled:
                        scope.cancel()
                        await anyio.lowlevel.checkpoint()
    assert len(errors) == 1
    assert [pid for pid in pids(tmp_path) if Path(f"/proc/{pid}").exists()] == []


async def test_no_guest_is_left_unknown_whenever_the_engine_closes(tmp_path: Path) -> None:
    document = boot_sector_domain("web", tmp_path)

    async def start(web: Domain) -> None:
        try:
            await web.start()
        except EngineError:
            assert find_process("-uuid", web.uuid) is None

    async def run_for(seconds: float) -> str:
        async with (
            anyio.create_task_group() as tasks,
            Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine,
        ):
            web = await engine.define(document)
            tasks.start_soon(start, web)
            await anyio.sleep(seconds)
        return web.uuid

    with anyio.fail_after(90):
        for milliseconds in (0, 1, 3, 10, 20, 40, 45, 50, 55, 70, 100):
            uuid = await run_for(milliseconds / 1000)
            process = find_process("-uuid", uuid)
            async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
                web = engine.domain("web")
                assert web.active == (process is not None), milliseconds
                if web.active:
                    await web.destroy()
            assert find_process("-uuid", uuid) is None
            document = web.xml(inactive=True)
