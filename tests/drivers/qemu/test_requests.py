"""What a guest was asked for, by a button or the agent, and what its next power-off is then."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from support.qemu_domains import boot_sector_domain, said, wait_said

from engine import Domain, Engine, EngineError, State
from engine.drivers.qemu.driver import QemuDriver
from engine.drivers.qemu.guest import Guest
from engine.drivers.qemu.qmp.connection import QmpError
from engine.store import DiskStore
from engine.util.process import find_process

pytestmark = pytest.mark.qemu

RESTART = "<on_poweroff>restart</on_poweroff>"


@asynccontextmanager
async def engine_in(folder: Path) -> AsyncIterator[Engine]:
    with anyio.fail_after(60):
        async with Engine("qemu:///session", state_dir=folder / "state", systemd=False) as engine:
            yield engine


@asynccontextmanager
async def running(folder: Path, **parameters: Any) -> AsyncIterator[Domain]:
    async with engine_in(folder) as engine:
        web = await engine.define(boot_sector_domain("web", folder, **parameters))
        await web.start()
        try:
            await wait_said(web, folder)
            yield web
        finally:
            with anyio.CancelScope(shield=True):
                if web.active:
                    await web.destroy()


def guest_of(web: Domain) -> Guest:
    assert isinstance(web.driver, QemuDriver)
    return web.driver._guests[web.uuid]


def facts_of(web: Domain, folder: Path) -> dict[str, Any]:
    status = DiskStore(folder / "state").runtime_dir(web.slot) / "status.json"
    found: dict[str, Any] = json.loads(status.read_text())["facts"]
    return found


async def press(web: Domain) -> None:
    """The button, by nobody who asks for anything."""
    await guest_of(web).execute("system_powerdown")


def at_powerdown(monkeypatch: pytest.MonkeyPatch, scope: anyio.CancelScope | None) -> None:
    """The button is refused, or its press cancelled."""
    original = Guest.execute

    async def execute(self: Guest, name: str, *arguments: Any, **options: Any) -> Any:
        if name == "system_powerdown":
            if scope is None:
                raise QmpError(name, "GenericError", "not today")
            scope.cancel()
            await anyio.lowlevel.checkpoint()
        return await original(self, name, *arguments, **options)

    monkeypatch.setattr(Guest, "execute", execute)


@pytest.mark.parametrize("method", ["default", "acpi"])
async def test_who_asks_for_an_end_gets_one_though_a_power_off_means_a_restart(method: Any, tmp_path: Path) -> None:
    async with running(tmp_path, top=RESTART) as web:
        await press(web)
        await wait_said(web, tmp_path, times=2)
        await web.shutdown(method=method)
        await web.wait_for(State.SHUTOFF)
        assert web.reason == "shutdown"
        assert find_process("-uuid", web.uuid) is None
        assert said("web", tmp_path).count("off") == 2
        # and only this once
        await web.start()
        await wait_said(web, tmp_path)
        await press(web)
        await wait_said(web, tmp_path, times=2)
        assert web.state is State.RUNNING


@pytest.mark.parametrize("cancelled", [False, True], ids=["refused", "cancelled"])
async def test_an_end_that_could_not_be_asked_for_changes_nothing(
    cancelled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path, top=RESTART) as web:
        await fail(web, "shutdown", cancelled, monkeypatch)
        assert "final" not in facts_of(web, tmp_path)
        await press(web)
        await wait_said(web, tmp_path, times=2)
        assert web.state is State.RUNNING


@pytest.mark.parametrize("cancelled", [False, True], ids=["refused", "cancelled"])
async def test_a_reboot_that_could_not_be_asked_for_changes_nothing(
    cancelled: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with running(tmp_path) as web:
        await fail(web, "reboot", cancelled, monkeypatch)
        assert "rebooting" not in facts_of(web, tmp_path)
        await press(web)
        await web.wait_for(State.SHUTOFF)
        assert web.reason == "shutdown"


async def fail(web: Domain, command: str, cancelled: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as broken, anyio.CancelScope() as scope:
        at_powerdown(broken, scope if cancelled else None)
        if cancelled:
            await getattr(web, command)()
        else:
            with pytest.raises(EngineError, match="not today"):
                await getattr(web, command)()
    assert scope.cancelled_caught == cancelled


async def test_an_end_that_was_asked_for_comes_though_the_engine_is_gone(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        web = await engine.define(boot_sector_domain("web", tmp_path, top=RESTART, delay=0.4))
        await web.start()
        await wait_said(web, tmp_path)
        await web.shutdown()
        await wait_said(web, tmp_path, "button")
    async with engine_in(tmp_path) as engine:
        web = engine.domain("web")
        await web.wait_for(State.SHUTOFF)
        assert web.reason == "shutdown"
        assert find_process("-uuid", web.uuid) is None


async def test_a_reset_makes_forget_what_was_asked(tmp_path: Path) -> None:
    async with running(tmp_path, ignore_button=1) as web:
        await web.reboot()
        await wait_said(web, tmp_path, "button")
        assert facts_of(web, tmp_path)["rebooting"] is True
        await web.reset()
        await wait_said(web, tmp_path, times=2)
        assert "rebooting" not in facts_of(web, tmp_path)
        while web.active:  # it ignores one press of two
            await press(web)
            with anyio.move_on_after(0.3):
                await web.wait_for(State.SHUTOFF)
        assert web.reason == "shutdown"
