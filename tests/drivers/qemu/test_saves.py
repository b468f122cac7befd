"""A save of a paused guest that comes to nothing, however late: the guest is as it was, and can be saved after all."""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support.qemu_domains import boot_sector_domain, wait_said

from engine import ConfigError, Domain, DomainDefined, DomainSuspended, Engine, HostError, LifecycleEvent, State
from engine.drivers.qemu import saving
from engine.drivers.qemu.driver import QemuDriver
from engine.drivers.qemu.guest import Guest

pytestmark = pytest.mark.qemu


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Engine]:
    with anyio.fail_after(60):
        async with Engine("qemu:///session", state_dir=folder / "state", systemd=False, on_close="leave") as engine:
            try:
                yield engine
            except BaseException:  # the next engine, which would end them, does not come
                with anyio.CancelScope(shield=True):
                    for domain in engine.domains():
                        if domain.active:
                            await domain.destroy()
                raise


async def running(engine: Engine, folder: Path) -> Domain:
    web = await engine.define(boot_sector_domain("web", folder))
    await web.start()
    await wait_said(web, folder)
    return web


async def paused(engine: Engine, folder: Path) -> Domain:
    web = await running(engine, folder)
    await web.suspend()
    return web


def guest_of(web: Domain) -> Guest:
    assert isinstance(web.driver, QemuDriver)
    return web.driver._guests[web.uuid]


async def qemu_says(web: Domain) -> str:
    while (status := str((await guest_of(web).execute("query-status"))["status"])) == "finish-migrate":
        pass  # it tells of a migration's end a moment before it is through with it
    return status


def no_space(*_: object) -> None:
    raise OSError(28, "No space left on device")


async def can_be_saved(engine: Engine, web: Domain, folder: Path) -> None:
    assert web.state is State.PAUSED
    assert await qemu_says(web) == "paused"
    await web.save(folder / "web.save")
    assert web.reason == "saved"
    await engine.restore(folder / "web.save")
    assert web.state is State.PAUSED
    await web.resume()
    await web.shutdown()
    await web.wait_for(State.SHUTOFF)
    assert web.reason == "shutdown"


async def test_it_fails_when_all_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with opened(tmp_path) as engine:
        web = await paused(engine, tmp_path)
        async with engine.subscribe(LifecycleEvent, DomainDefined, domain="web") as events:
            for _ in range(2):
                with monkeypatch.context() as full:
                    full.setattr(saving, "_complete", no_space)
                    with pytest.raises(HostError, match="no space"):
                        await web.save(tmp_path / "web.save")
            await engine.define(web.definition)
            async for event in events:
                assert isinstance(event, DomainDefined), "that it ran for a moment is not told"
                break
        await can_be_saved(engine, web, tmp_path)


async def test_it_is_cancelled_when_qemu_is_through(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finished = saving._finished
    async with opened(tmp_path) as engine:
        web = await paused(engine, tmp_path)
        with monkeypatch.context() as late, anyio.CancelScope() as scope:

            async def cancelled(*arguments: Any) -> None:
                await finished(*arguments)
                scope.cancel()
                await anyio.lowlevel.checkpoint()

            late.setattr(saving, "_finished", cancelled)
            await web.save(tmp_path / "web.save")
        assert scope.cancelled_caught
        assert [path for path in tmp_path.iterdir() if "web.save" in path.name] == []
        await can_be_saved(engine, web, tmp_path)


@pytest.mark.parametrize("known", [True, False], ids=["and is known", "and is forgotten"])
async def test_the_next_engine_gives_it_up(known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def undo(guest: Guest, **_: object) -> None:
        if not known:
            await guest.remember(saving=None, running=None, made=None)

    async with opened(tmp_path) as engine:
        web = await paused(engine, tmp_path)
        with monkeypatch.context() as full:
            full.setattr(saving, "_complete", no_space)
            full.setattr(saving, "undo_save", undo)
            with pytest.raises(HostError):
                await web.save(tmp_path / "web.save")
        assert await qemu_says(web) == "postmigrate"
    async with opened(tmp_path) as engine:
        await can_be_saved(engine, engine.domain("web"), tmp_path)


async def test_what_could_not_be_undone_is_undone_by_the_next_save(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def undo(guest: Guest, **_: object) -> None:
        await guest.remember(saving=None, running=None, made=None)

    async with opened(tmp_path) as engine:
        web = await paused(engine, tmp_path)
        with monkeypatch.context() as full:
            full.setattr(saving, "_complete", no_space)
            full.setattr(saving, "undo_save", undo)
            with pytest.raises(HostError):
                await web.save(tmp_path / "web.save")
        await web.save(tmp_path / "web.save")
        assert web.reason == "saved"


async def test_a_guest_that_does_not_stop_again_is_told_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    execute = Guest.execute

    async def refuse(self: Guest, name: str, *arguments: Any, **options: Any) -> Any:
        return await execute(self, "no-such-command" if name == "stop" else name, *arguments, **options)

    async with opened(tmp_path) as engine:
        web = await paused(engine, tmp_path)
        with monkeypatch.context() as full:
            full.setattr(saving, "_complete", no_space)
            full.setattr(Guest, "execute", refuse)
            with pytest.raises(HostError):
                await web.save(tmp_path / "web.save")
        assert web.state is State.RUNNING
        await web.destroy()


async def test_a_save_that_fails_at_its_very_end_leaves_nothing_that_could_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EIO, "input/output error", str(path))

    async with opened(tmp_path) as engine:
        web = await running(engine, tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(saving, "fsync_dir", refuse)
            with pytest.raises(HostError):
                await web.managed_save()
        assert (web.state, web.saved) == (State.RUNNING, False)
        assert not list((tmp_path / "state" / "save").glob("*.save"))
        await web.destroy()


async def test_a_save_replaces_nothing_but_files(tmp_path: Path) -> None:
    node = tmp_path / "node"
    os.mkfifo(node)
    (tmp_path / ".there.saving").symlink_to(tmp_path / "elsewhere")
    async with opened(tmp_path) as engine:
        web = await running(engine, tmp_path)
        with pytest.raises(ConfigError, match="no regular file"):
            await web.save(node)
        assert node.is_fifo()
        assert web.state is State.RUNNING
        await web.save(tmp_path / "there")
        assert not (tmp_path / "elsewhere").exists()


async def test_a_guest_that_is_being_saved_is_paused_for_that_reason(tmp_path: Path) -> None:
    async with opened(tmp_path) as engine, engine.subscribe(DomainSuspended) as events:
        web = await running(engine, tmp_path)
        await web.save(tmp_path / "web.save")
        assert (await anext(events)).reason == "saving"
