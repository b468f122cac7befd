"""A monitor that was lost is found again when somebody asks for the guest."""

from __future__ import annotations

import os
import signal
import socket
import time
from contextlib import suppress
from pathlib import Path

import anyio
import pytest
from support.qemu_domains import boot_sector_domain, engine_in, wait_said

from engine import AgentError, ConnectionBroken, Domain, DomainStopped, Engine, LifecycleEvent, State
from engine.drivers.qemu import adoption
from engine.drivers.qemu.guest import Guest
from engine.drivers.qemu.launch import monitor_path

pytestmark = pytest.mark.qemu


async def running(engine: Engine, folder: Path) -> Domain:
    web = await engine.define(boot_sector_domain("web", folder))
    await web.start()
    await wait_said(web, folder)
    return web


def guest_of(web: Domain) -> Guest:
    guest = web.driver._guests[web.uuid]  # type: ignore[attr-defined]
    assert isinstance(guest, Guest)
    return guest


async def test_a_conversation_that_broke_is_begun_anew(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine, engine.subscribe(LifecycleEvent, domain="web") as events:
        web = await running(engine, tmp_path)
        guest = guest_of(web)
        for told in ("DomainSuspended", "DomainResumed"):
            assert guest.qmp is not None
            await guest.qmp.aclose()
            await guest._reader.wait()
            await (web.suspend if told == "DomainSuspended" else web.resume)()
            async for event in events:
                if type(event).__name__ == told:
                    break
        await web.shutdown()
        await web.wait_for(State.SHUTOFF)
        assert web.reason == "shutdown"


async def test_what_happened_meanwhile_is_told(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine, engine.subscribe(LifecycleEvent, domain="web") as events:
        web = await running(engine, tmp_path)
        guest = guest_of(web)
        assert guest.qmp is not None
        await guest.qmp.aclose()
        await guest._reader.wait()
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(monitor_path(web.handle.runtime_dir)))
            other.sendall(b'{"execute": "qmp_capabilities"}\n{"execute": "stop", "id": 1}\n')
            while b'"id": 1' not in other.recv(65536):
                pass
        with pytest.raises(AgentError):  # it has none, but was asked
            await web.wait_agent()
        assert web.state is State.PAUSED
        assert [type(event).__name__ for event in events._queue][-1] == "DomainSuspended"


async def test_a_qemu_that_hung_for_a_while_is_stopped_by_the_same_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adoption, "PATIENCE", 0.3)
    async with engine_in(tmp_path, leave=True) as engine:
        web = await running(engine, tmp_path)
        pid = (await web.info()).pid
        assert pid is not None
    os.kill(pid, signal.SIGSTOP)
    try:
        async with engine_in(tmp_path) as engine:
            web = engine.domain("web")
            for _ in range(3):
                with pytest.raises(ConnectionBroken, match="can only be destroyed"):
                    await web.shutdown()
            assert web.state is State.RUNNING
            drill = await engine.drill()
            assert not drill.ok
            assert "can't be reached" in str(drill)
            os.kill(pid, signal.SIGCONT)
            with anyio.fail_after(20):
                while True:
                    try:
                        await web.shutdown()
                        break
                    except ConnectionBroken:
                        continue
                await web.wait_for(State.SHUTOFF)
            assert web.reason == "shutdown"
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def test_what_is_told_late_says_when_it_was(tmp_path: Path) -> None:
    async with engine_in(tmp_path, leave=True) as engine:
        web = await running(engine, tmp_path)
        pid = (await web.info()).pid
        await web.shutdown()
    while Path(f"/proc/{pid}/exe").exists():
        await anyio.sleep(0.01)
    gone = time.time()
    async with engine_in(tmp_path) as engine, engine.subscribe(DomainStopped, since=0) as events:
        stopped = await anext(events)
        assert stopped.detail == "shutdown"
        assert stopped.time < gone


async def test_two_who_want_a_lost_monitor_make_one_connection(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        web = await running(engine, tmp_path)
        guest = guest_of(web)
        for _ in range(3):
            await guest.hang_up()
            await guest._reader.wait()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(web.reach)
                tasks.start_soon(web.reach)
                tasks.start_soon(web.suspend)
            await web.resume()
        await web.shutdown()
        await web.wait_for(State.SHUTOFF)


async def test_one_who_gives_up_leaves_no_half_made_connection(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        web = await running(engine, tmp_path)
        guest = guest_of(web)
        await guest.hang_up()
        await guest._reader.wait()
        os.kill(guest.process.pid, signal.SIGSTOP)
        try:
            with anyio.move_on_after(0.3):
                await web.suspend()
            assert guest.deaf
        finally:
            os.kill(guest.process.pid, signal.SIGCONT)
        await web.suspend()
        assert web.state is State.PAUSED
