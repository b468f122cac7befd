"""Guests outlive the engine: the next one takes them over, or tells truly what became of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import NAMESPACE_URL, uuid5

import anyio
import pytest
from support.qemu_domains import boot_sector_domain, said, wait_said

from engine import Domain, DomainAdopted, DomainStopped, Engine, LifecycleEvent, State
from engine.store import DiskStore, slot_of
from engine.util.process import find_process

pytestmark = pytest.mark.qemu

# a program that runs an engine and dies by SIGKILL at a named point of a start or a save
_ENGINE = """
import os, signal, sys
from pathlib import Path
import anyio
from engine import Engine
from engine.drivers.qemu import driver, saving
from engine.drivers.qemu.guest import Guest

state, document, point, backend = sys.argv[1:]

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def before(owner, name):
    original = getattr(owner, name)
    setattr(owner, name, die)

def after(owner, name):
    original = getattr(owner, name)
    def both(*arguments, **options):
        original(*arguments, **options)
        die()
    setattr(owner, name, both)

def at_command(wanted, *, late):
    original = Guest.execute
    async def execute(self, name, *arguments, **options):
        if name == wanted and not late: die()
        result = await original(self, name, *arguments, **options)
        if name == wanted: die()
        return result
    Guest.execute = execute

save = None
arm = None
match point:
    case "before the process": before(driver, "launch")
    case "after the process": after(driver, "launch")
    case "before cont": at_command("cont", late=False)
    case "after cont": at_command("cont", late=True)
    case "running": pass
    case "save: file made": save = state + "/x.save"; after(saving, "_create")
    case "save: stopped": save = state + "/x.save"; at_command("stop", late=True)
    case "save: migrating": save = state + "/x.save"; at_command("migrate", late=True)
    case "save: whole": save = state + "/x.save"; before(saving, "_complete")
    case "save: renamed": save = state + "/x.save"; after(saving, "_complete")
    case "restore: migrating": arm = lambda: at_command("migrate-incoming", late=True)
    case "restore: before cont": arm = lambda: at_command("cont", late=False)
    case "restore: after cont": arm = lambda: at_command("cont", late=True)
    case _: raise SystemExit(f"no point {point}")

async def main():
    async with Engine("qemu:///session", state_dir=state, systemd=False) as engine:
        domain = await engine.define(Path(document).read_text())
        await domain.start()
        if save:
            await domain.save(save)
        if arm:
            serial = Path(document).with_name("web.serial")
            while b"ready" not in serial.read_bytes():
                await anyio.sleep(0.01)
            await domain.managed_save()
            arm()
            await domain.start()
        die()

anyio.run(main, backend=backend)
"""


def uuid_of(folder: Path) -> str:
    """Of the domain of one test."""
    return str(uuid5(NAMESPACE_URL, str(folder)))


async def interrupted(folder: Path, backend: str, point: str, **parameters: object) -> None:
    """An engine that is killed at ``point``; its domain is called web."""
    document = folder / "web.xml"
    text = boot_sector_domain("web", folder, **parameters)  # type: ignore[arg-type]
    document.write_text(text.replace("<memory", f"<uuid>{uuid_of(folder)}</uuid><memory", 1))
    argv = [sys.executable, "-c", _ENGINE, str(folder / "state"), str(document), point, backend]
    root = str(Path(__file__).resolve().parents[3])
    ended = await anyio.run_process(
        argv, check=False, env={**os.environ, "PYTHONPATH": root}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert ended.returncode == -signal.SIGKILL, ended.stdout.decode()


async def kill_guest(folder: Path, *, reaped: bool) -> None:
    process = find_process("-uuid", uuid_of(folder))
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    with anyio.fail_after(30):
        while Path(f"/proc/{process.pid}/exe").exists():  # nobody's child: there is nothing to wait for
            await anyio.sleep(0.01)
    if not reaped:
        return
    # it may stay a zombie for as long as this machine likes: let its number be another's, as it is sooner or later
    path = DiskStore(folder / "state").runtime_dir(slot_of("qemu:///session", uuid_of(folder))) / "status.json"
    status = json.loads(path.read_text())
    status["facts"]["process"]["started"] -= 1
    path.write_text(json.dumps(status))


@asynccontextmanager
async def next_engine(folder: Path) -> AsyncIterator[tuple[Engine, Domain]]:
    with anyio.fail_after(60):
        async with Engine("qemu:///session", state_dir=folder / "state", systemd=False) as engine:
            web = engine.domain("web")
            try:
                yield engine, web
            finally:
                with anyio.CancelScope(shield=True):
                    if web.active:
                        await web.destroy()
                assert find_process("-uuid", web.uuid) is None, "it is gone for good"


async def told(engine: Engine) -> list[str]:
    """All that was ever told of it, up to now."""
    async with engine.subscribe(LifecycleEvent, domain="web", since=0) as events:
        lines = []
        with anyio.move_on_after(0.2):
            async for event in events:
                lines.append(f"{type(event).__name__.removeprefix('Domain')} {event.detail}")
    return lines


@pytest.mark.parametrize("point", ["before the process", "after the process", "before cont"])
async def test_a_start_that_was_cut_short_is_undone(point: str, tmp_path: Path, anyio_backend_name: str) -> None:
    await interrupted(tmp_path, anyio_backend_name, point)
    async with next_engine(tmp_path) as (_, web):
        assert web.state is State.SHUTOFF
        assert find_process("-uuid", web.uuid) is None
        await web.start()
        assert web.state is State.RUNNING


@pytest.mark.parametrize("point", ["after cont", "running"])
async def test_a_guest_that_runs_is_taken_over(point: str, tmp_path: Path, anyio_backend_name: str) -> None:
    await interrupted(tmp_path, anyio_backend_name, point)
    async with next_engine(tmp_path) as (engine, web):
        assert web.state is State.RUNNING
        process = find_process("-uuid", web.uuid)
        assert process is not None
        assert (await web.info()).pid == process.pid
        assert (await told(engine))[-1] == "Adopted reconnected"
        await wait_said(web, tmp_path)
        await web.shutdown()
        await web.wait_for(State.SHUTOFF)
        assert web.reason == "shutdown"
        assert said("web", tmp_path) == ["ready", "button", "off"], "it was started once"


@pytest.mark.parametrize("point", ["save: file made", "save: stopped", "save: migrating", "save: whole"])
async def test_a_save_that_was_cut_short_is_undone(point: str, tmp_path: Path, anyio_backend_name: str) -> None:
    await interrupted(tmp_path, anyio_backend_name, point)
    async with next_engine(tmp_path) as (_, web):
        assert web.state is State.RUNNING
        assert not [path for path in (tmp_path / "state").iterdir() if "x.save" in path.name]
        await wait_said(web, tmp_path)
        await web.shutdown()
        await web.wait_for(State.SHUTOFF)
        await web.start()
        await web.save(tmp_path / "y.save")
        assert web.reason == "saved"


@pytest.mark.parametrize("guest", ["left alone", "a zombie", "gone"])
async def test_a_restore_that_was_cut_short_before_the_guest_could_run_keeps_its_save(
    guest: str, tmp_path: Path, anyio_backend_name: str
) -> None:
    await interrupted(tmp_path, anyio_backend_name, "restore: migrating")
    if guest != "left alone":
        await kill_guest(tmp_path, reaped=guest == "gone")
    async with next_engine(tmp_path) as (engine, web):
        assert web.state is State.SHUTOFF
        assert (await told(engine))[-1] == "Stopped failed"
        assert web.saved
        await web.start()
        assert web.reason == "restored"


@pytest.mark.parametrize(
    ("point", "state"), [("restore: before cont", State.PAUSED), ("restore: after cont", State.RUNNING)]
)
async def test_a_restored_guest_that_may_have_run_is_taken_over(
    point: str, state: State, tmp_path: Path, anyio_backend_name: str
) -> None:
    await interrupted(tmp_path, anyio_backend_name, point)
    async with next_engine(tmp_path) as (_, web):
        assert web.state is state
        assert not web.saved
        if state is State.PAUSED:
            await web.resume()
        await web.shutdown()
        await web.wait_for(State.SHUTOFF)
        assert web.reason == "shutdown"


@pytest.mark.parametrize("reaped", [False, True], ids=["a zombie", "gone"])
async def test_a_save_does_not_outlive_the_guest_that_ran_from_it(
    reaped: bool, tmp_path: Path, anyio_backend_name: str
) -> None:
    await interrupted(tmp_path, anyio_backend_name, "restore: after cont")
    await kill_guest(tmp_path, reaped=reaped)
    async with next_engine(tmp_path) as (_, web):
        assert (web.state, web.reason) == (State.SHUTOFF, "crashed")
        assert not web.saved, "what ran since has changed the disks"


async def test_a_save_that_was_done_is_a_save(tmp_path: Path, anyio_backend_name: str) -> None:
    await interrupted(tmp_path, anyio_backend_name, "save: renamed")
    async with next_engine(tmp_path) as (engine, web):
        assert (web.state, web.reason) == (State.SHUTOFF, "saved")
        assert (await told(engine))[-1] == "Stopped saved"
        await engine.restore(tmp_path / "state" / "x.save")
        assert (web.state, web.reason) == (State.RUNNING, "restored")


async def test_a_paused_guest_is_paused(tmp_path: Path) -> None:
    async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
        await (await engine.define(boot_sector_domain("web", tmp_path))).start(paused=True)
    async with next_engine(tmp_path) as (_, web):
        assert web.state is State.PAUSED
        await web.resume()
    async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
        await engine.domain("web").start()
        await engine.domain("web").suspend()
    async with next_engine(tmp_path) as (_, web):
        assert web.state is State.PAUSED


ENDS = {
    "powered off": ({"exit_after": 0.3}, None, ("shutdown", "shutdown")),
    "crashed": (
        {"exit_after": 0.3, "ending": "crash", "devices": "<panic model='isa'/>"},
        None,
        ("crashed", "crashed"),
    ),
    "killed": ({}, signal.SIGKILL, ("failed", "crashed")),
    "terminated": ({}, signal.SIGTERM, ("shutdown", "shutdown")),
}


@pytest.mark.parametrize("end", ENDS)
async def test_what_stopped_meanwhile_is_told_with_its_reason(
    end: str, tmp_path: Path, anyio_backend_name: str
) -> None:
    parameters, number, expected = ENDS[end]
    await interrupted(tmp_path, anyio_backend_name, "running", **parameters)
    process = find_process("-uuid", uuid_of(tmp_path))
    if process is not None:
        if number is not None:
            os.kill(process.pid, number)
        with anyio.fail_after(30):
            while Path(f"/proc/{process.pid}/exe").exists():  # nobody's child: there is nothing to wait for
                await anyio.sleep(0.01)
    async with next_engine(tmp_path) as (engine, web):
        assert web.state is State.SHUTOFF
        async with engine.subscribe(DomainStopped, domain="web", since=0) as events:
            async for event in events:
                assert (event.detail, event.reason) == expected
                break
        await web.start()


async def test_a_guest_that_stops_right_after_it_was_taken_over(tmp_path: Path, anyio_backend_name: str) -> None:
    await interrupted(tmp_path, anyio_backend_name, "running")
    async with next_engine(tmp_path) as (engine, web), engine.subscribe(LifecycleEvent, domain="web") as events:
        pid = (await web.info()).pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        async for event in events:
            if isinstance(event, DomainStopped):
                assert event.detail == "failed"
                break


async def test_a_reboot_that_was_under_way_is_finished(tmp_path: Path) -> None:
    async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
        web = await engine.define(boot_sector_domain("web", tmp_path, delay=0.3))
        await web.start()
        await wait_said(web, tmp_path)
        await web.reboot()
        await wait_said(web, tmp_path, "button")
    await wait_said("web", tmp_path, "off")
    async with next_engine(tmp_path) as (_, web):
        await wait_said(web, tmp_path, times=2)
        assert web.state is State.RUNNING
        await web.shutdown()
        await web.wait_for(State.SHUTOFF)


async def test_a_number_that_belongs_to_another_process_now_is_not_touched(
    tmp_path: Path, anyio_backend_name: str
) -> None:
    await interrupted(tmp_path, anyio_backend_name, "running")
    status = DiskStore(tmp_path / "state").runtime_dir(slot_of("qemu:///session", uuid_of(tmp_path))) / "status.json"
    with subprocess.Popen(["sleep", "60"]) as innocent:
        facts = json.loads(status.read_text())
        pid = facts["facts"]["process"]["pid"]
        facts["facts"]["process"]["pid"] = innocent.pid
        status.write_text(json.dumps(facts))
        os.kill(pid, signal.SIGKILL)
        async with next_engine(tmp_path) as (_, web):
            assert web.state is State.SHUTOFF
        assert innocent.poll() is None
        innocent.kill()


async def test_adoption_is_told(tmp_path: Path, anyio_backend_name: str) -> None:
    await interrupted(tmp_path, anyio_backend_name, "running")
    async with next_engine(tmp_path) as (engine, _), engine.subscribe(DomainAdopted, domain="web", since=0) as events:
        async for event in events:
            assert event.detail == "reconnected"
            break
