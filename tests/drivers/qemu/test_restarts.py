"""Resets and restarts of guests, however defined, and whoever is killed meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import anyio
import pytest
from support.qemu_domains import boot_sector_domain, engine_in, said, wait_said

from engine import Domain, DomainRebooted, DomainShuttingDown, Engine, LifecycleEvent, State
from engine.glance import glance

pytestmark = pytest.mark.qemu

_KILLED_IN_A_REBOOT = """
import os, signal, sys
import anyio
from engine import Engine
from engine.drivers.qemu.guest import Guest

execute = Guest.execute
async def dying(self, name, *arguments, **options):
    if name == "cont" and "RESET" in self._last:
        os.kill(os.getpid(), signal.SIGKILL)
    return await execute(self, name, *arguments, **options)
Guest.execute = dying

async def main():
    async with Engine("qemu:///session", state_dir=sys.argv[1], systemd=False) as engine:
        web = engine.domain("web")
        await web.reboot()
        await anyio.sleep_forever()

anyio.run(main, backend=sys.argv[2])
"""


async def running(engine: Engine, folder: Path, top: str = "", **parameters: object) -> Domain:
    web = await engine.define(boot_sector_domain("web", folder, top=top, **parameters))  # type: ignore[arg-type]
    await web.start()
    await wait_said(web, folder)
    return web


async def test_a_paused_guest_that_was_reset_is_taken_over(tmp_path: Path) -> None:
    async with engine_in(tmp_path, leave=True) as engine:
        web = await running(engine, tmp_path)
        await web.suspend()
        await web.reset()
        assert web.state is State.PAUSED
    async with engine_in(tmp_path) as engine:
        web = engine.domain("web")
        assert web.state is State.PAUSED
        await web.resume()
        await wait_said(web, tmp_path, times=2)


async def test_a_reboot_that_an_engine_did_not_live_to_end_is_ended_by_the_next(
    tmp_path: Path, anyio_backend_name: str
) -> None:
    async with engine_in(tmp_path, leave=True) as engine:
        await running(engine, tmp_path)
    argv = [sys.executable, "-c", _KILLED_IN_A_REBOOT, str(tmp_path / "state"), anyio_backend_name]
    root = str(Path(__file__).resolve().parents[3])
    ended = await anyio.run_process(
        argv, check=False, env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert ended.returncode == -signal.SIGKILL, ended.stdout.decode()
    async with engine_in(tmp_path) as engine:
        web = engine.domain("web")
        assert web.state is State.RUNNING
        await wait_said(web, tmp_path, times=2)
        await web.shutdown()
        await web.wait_for(State.SHUTOFF)
        assert said("web", tmp_path)[-2:] == ["button", "off"]


async def test_who_restarts_at_a_power_off_and_ends_at_a_reset_restarts_once(tmp_path: Path) -> None:
    top = "<on_poweroff>restart</on_poweroff><on_reboot>destroy</on_reboot>"
    async with engine_in(tmp_path) as engine, engine.subscribe(DomainRebooted, domain="web") as events:
        web = await running(engine, tmp_path, top)
        await web.reboot()  # as defined: it ends
        await web.wait_for(State.SHUTOFF)
        assert web.reason == "shutdown"
        await web.start()
        await wait_said(web, tmp_path)
        guest = web.driver._guests[web.uuid]  # type: ignore[attr-defined]
        await guest.execute("system_powerdown")  # by nobody who asks for anything
        assert (await anext(events)).detail == "guest"
        await wait_said(web, tmp_path, times=2)
        assert web.state is State.RUNNING
        await web.reset()
        assert (web.state, web.reason) == (State.SHUTOFF, "shutdown")


@pytest.mark.parametrize("command", ["reset", "reboot"])
async def test_whoever_ends_at_a_reset_ends(command: str, tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine, engine.subscribe(LifecycleEvent, domain="web") as events:
        web = await running(engine, tmp_path, "<on_reboot>destroy</on_reboot>")
        await getattr(web, command)()
        await web.wait_for(State.SHUTOFF)
        told = []
        async for event in events:
            told.append(type(event))
            if event.state is State.SHUTOFF and len(told) > 1:
                break
        assert told.count(DomainShuttingDown) == 1
        assert DomainRebooted not in told
        assert web.reason == "shutdown"


async def test_a_reset_guest_whose_state_is_lost_is_not_taken_for_one_that_never_ran(tmp_path: Path) -> None:
    async with engine_in(tmp_path, leave=True) as engine:
        web = await running(engine, tmp_path)
        await web.suspend()
        await web.reset()
        status = engine.store.runtime_dir(web.slot) / "status.json"
    status.unlink()
    assert glance(("qemu:///session",), tmp_path / "state") is None
    async with engine_in(tmp_path) as engine:
        web = engine.domain("web")
        assert web.state is State.PAUSED
        await web.resume()
        await wait_said(web, tmp_path, times=2)


async def test_a_restart_that_was_not_written_down_to_its_end_is_not_done_again(tmp_path: Path) -> None:
    async with engine_in(tmp_path, leave=True) as engine:
        web = await running(engine, tmp_path)
        guest = web.driver._guests[web.uuid]  # type: ignore[attr-defined]
        await guest.remember(restarting="host")
    async with engine_in(tmp_path, leave=True) as engine:
        web = engine.domain("web")
        assert "restarting" not in web.handle.facts
        await web.suspend()
        await web.reset()
    async with engine_in(tmp_path) as engine:
        assert engine.domain("web").state is State.PAUSED
