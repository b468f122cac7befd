"""A QEMU that hangs, lies, talks nonsense, or dies at each step of a start: nothing is left, and the user is told."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.fake_qemu import fake_qemu, pids

from engine import (
    Domain,
    DomainBlockIOError,
    DomainEvent,
    DriverError,
    Engine,
    EngineError,
    HostError,
    MissingProgram,
    StartFailed,
    State,
)
from engine.drivers.qemu import adoption, driver, guest, saving
from engine.drivers.qemu.driver import QemuDriver
from engine.drivers.qemu.launch import Launched
from engine.store import DiskStore
from engine.util.process import Process

DOCUMENT = """<domain type='qemu'><name>web</name><memory>8192</memory><os><type>hvm</type></os>
<devices><emulator>{emulator}</emulator>{devices}</devices></domain>"""


@asynccontextmanager
async def fake(
    folder: Path, behaviour: str = "", *, timeout: float = 30.0, devices: str = "", state_dir: Path | None = None
) -> AsyncIterator[tuple[Engine, Domain]]:
    emulator = fake_qemu(folder, behaviour)
    uri = f"qemu:///session?start_timeout={timeout}&command_timeout={timeout}"
    with anyio.fail_after(90):
        async with Engine(uri, systemd=False, on_close="leave", state_dir=state_dir) as engine:
            web = await engine.define(DOCUMENT.format(emulator=emulator, devices=devices))
            try:
                yield engine, web
            finally:
                with anyio.CancelScope(shield=True):
                    if web.active:
                        await web.destroy()


def guests_of(web: Domain) -> dict[str, guest.Guest]:
    assert isinstance(web.driver, QemuDriver)
    return web.driver._guests


def left(folder: Path) -> list[int]:
    """The processes that are still there, be they zombies."""
    return [pid for pid in pids(folder) if Path(f"/proc/{pid}").exists()]


DEATHS = {
    "at once": ("error('qemu-system-x86_64: no such luck'); sys.exit(1)", "no such luck"),
    "at once, silently": ("sys.exit(3)", "QEMU ended with status 3"),
    "at once, killed": ("die()", "QEMU was killed by signal 9"),
    "before its greeting": ("accept(); error('half-way'); sys.exit(1)", "half-way"),
    "within its greeting": ("accept(); say(GREETING[:40]); die()", "killed by signal 9"),
    "after its greeting": ("accept(); say(GREETING); die()", "killed by signal 9"),
    "at qmp_capabilities": ("def special(name): name == 'qmp_capabilities' and die()", "killed by signal 9"),
    "at cont": ("def special(name): name == 'cont' and die()", "killed by signal 9"),
    "with a refusal": (
        "def special(name):\n"
        "    if name == 'cont': say({'error': {'class': 'GenericError', 'desc': 'not today'}, 'id': 2})",
        "QEMU refused cont: not today",
    ),
    "with nonsense": ("accept(); say(b'220 ready\\r\\n')", "not QMP"),
    "with binary nonsense": ("accept(); say(GREETING + bytes(range(256)) * 10)", "not QMP"),
    "with an answer that is nonsense": ("def special(name): say(b'{]\\n')", "not QMP"),
    "with a line of 100 MB": (
        "accept()\ntry:\n    for _ in range(100): say(b'x' * 1000000)\nexcept OSError: hang()",
        "more than 16777216 bytes",
    ),
    "deaf to commands": ("accept(); say(GREETING); connection.shutdown(socket.SHUT_WR); hang()", "closed its monitor"),
}


@pytest.mark.parametrize("death", DEATHS)
async def test_a_start_that_fails_leaves_nothing_and_says_why(death: str, tmp_path: Path) -> None:
    behaviour, reason = DEATHS[death]
    async with fake(tmp_path, behaviour) as (_engine, web):
        with pytest.raises(StartFailed) as caught:
            await web.start()
        assert reason in caught.value.reason
        assert web.state is State.SHUTOFF
        assert len(pids(tmp_path)) == 1
        assert left(tmp_path) == []
        fake_qemu(tmp_path)  # it has come to its senses
        await web.start()
        assert web.state is State.RUNNING


HANGS = {
    "before it accepts": "hang()",
    "before its greeting": "accept(); hang()",
    "at qmp_capabilities": "def special(name): name == 'qmp_capabilities' and hang()",
    "at cont": "def special(name): name == 'cont' and hang()",
    "while it chatters": ("accept(); say(GREETING)\nwhile True:\n    event('RTC_CHANGE', offset=1); time.sleep(0.01)"),
}


@pytest.mark.parametrize("hang", HANGS)
async def test_a_start_that_hangs_is_given_up(hang: str, tmp_path: Path) -> None:
    async with fake(tmp_path, HANGS[hang], timeout=1.5) as (_, web):
        with pytest.raises(StartFailed, match=r"no answer within 1.5 s"):
            await web.start()
        assert web.state is State.SHUTOFF
        assert left(tmp_path) == []


@pytest.mark.parametrize("hang", HANGS)
async def test_a_start_that_hangs_can_be_cancelled(hang: str, tmp_path: Path) -> None:
    async with fake(tmp_path, HANGS[hang]) as (_, web):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(web.start)
            while not pids(tmp_path):
                await anyio.sleep(0.005)
            tasks.cancel_scope.cancel()
        assert web.state is State.SHUTOFF
        assert left(tmp_path) == []


@pytest.mark.parametrize("nonsense", ["b'hello\\n'", "b'x' * 100_000_000"], ids=["words", "100 MB"])
async def test_nonsense_from_a_running_qemu_ends_its_monitor_and_not_the_guest(nonsense: str, tmp_path: Path) -> None:
    behaviour = f"""
def special(name):
    if name == "stop":
        try: say({nonsense})
        except OSError: pass
        hang()
"""
    async with fake(tmp_path, behaviour) as (_, web):
        await web.start()
        with pytest.raises(EngineError, match=r"not QMP|more than|closed its monitor"):
            await web.suspend()
        assert web.state is State.RUNNING
        assert len(left(tmp_path)) == 1
        with pytest.raises(EngineError):
            await web.resume() if web.state is State.PAUSED else await web.suspend()
        assert (await web.info()).pid == pids(tmp_path)[0]
        await web.destroy()
        assert left(tmp_path) == []


async def test_a_qemu_that_hangs_later_is_destroyed_all_the_same(tmp_path: Path) -> None:
    async with fake(tmp_path, "def special(name): name == 'stop' and hang()", timeout=1.5) as (_, web):
        await web.start()
        with pytest.raises(EngineError, match=r"stop: no answer within 1.5 s"):
            await web.suspend()
        assert web.state is State.RUNNING
        await web.destroy()
        assert left(tmp_path) == []


async def test_lies(tmp_path: Path) -> None:
    """Events that make no sense, answers without their events, and an end that does not come."""
    behaviour = """
def answer(name, number):
    if name == "stop":
        event("SHUTDOWN", guest=[1], reason={"x": 1})
        event("RESET", guest="perhaps", reason=7)
        event("GUEST_PANICKED")
        event("RESUME")
        event("BLOCK_IO_ERROR", action=5, device=None, nospace="no")
        event("VSERPORT_CHANGE", id=[], open={})
        event("MIGRATION", status=[])
        event("NO_SUCH_EVENT", x=1)
        say({"return": 1, "id": 99999})
        say({"return": 1, "id": "text"})
        say({"return": 1})
    say({"return": {}, "id": number})
"""
    async with fake(tmp_path, behaviour) as (engine, web), engine.subscribe(DomainEvent, domain="web") as events:
        await web.start()
        assert web.state is State.RUNNING, "QEMU said so, though no RESUME came"
        await web.suspend()
        async for event in events:
            if isinstance(event, DomainBlockIOError):
                break
        await web.destroy()
        assert left(tmp_path) == []


async def test_a_block_error_pauses_the_guest(tmp_path: Path) -> None:
    behaviour = """
def special(name):
    if name == "system_powerdown":
        event("BLOCK_IO_ERROR", **{"device": "", "node-name": "vda-file", "operation": "write", "action": "stop",
                                   "nospace": True, "reason": "No space left on device"})
        event("STOP")
"""
    async with fake(tmp_path, behaviour) as (engine, web), engine.subscribe(DomainEvent, domain="web") as events:
        await web.start()
        await web.shutdown()
        await web.wait_for(State.PAUSED)
        assert web.reason == "I/O error"
        async for event in events:
            if isinstance(event, DomainBlockIOError):
                told = (event.device, event.operation, event.action, event.reason)
                assert told == ("vda", "write", "pause", "enospc")
                break


async def test_a_sleeping_guest_wakes_up(tmp_path: Path) -> None:
    behaviour = """
def special(name):
    if name == "system_powerdown":
        event("SUSPEND")
    if name == "system_reset":
        event("WAKEUP")
        event("RESET", guest=False, reason="host-qmp-system-reset")
"""
    async with fake(tmp_path, behaviour) as (_, web):
        await web.start()
        await web.shutdown()
        await web.wait_for(State.PMSUSPENDED)
        await web.reset()
        assert web.state is State.RUNNING


async def test_a_qemu_that_does_not_flush_in_time_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "GRACE", 0.3)
    disk = "<disk type='file'><driver type='qcow2'/><source file='/d'/><target dev='vda'/></disk>"
    behaviour = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    async with fake(tmp_path, behaviour, devices=disk) as (_, web):
        await web.start()
        await web.destroy()
        assert left(tmp_path) == []
        assert web.reason == "destroyed"


async def test_a_process_that_does_not_go_is_not_told_to_have_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As one that hangs in the kernel."""
    monkeypatch.setattr(guest, "KILLED", 0.3)
    async with fake(tmp_path) as (_, web):
        await web.start()
        with monkeypatch.context() as immortal:
            immortal.setattr(Process, "kill", lambda *_: None)
            with pytest.raises(EngineError, match=r"was killed, but is still there after 0.3 s"):
                await web.destroy()
        assert web.state is State.RUNNING
        assert len(left(tmp_path)) == 1
        await web.destroy()
        assert left(tmp_path) == []
        assert web.reason == "destroyed"


async def test_a_guest_that_nobody_watches_any_more_is_destroyed_all_the_same(tmp_path: Path) -> None:
    async with fake(tmp_path) as (_, web):
        await web.start()
        watched = guests_of(web)[web.uuid]
        assert watched._tasks is not None
        watched._tasks.cancel_scope.cancel()
        await watched.gone.wait()
        assert len(left(tmp_path)) == 1
        await web.destroy()
        assert left(tmp_path) == []
        assert web.reason == "destroyed"


@pytest.mark.parametrize("known", [True, False], ids=["by its number", "by its arguments"])
async def test_a_guest_that_could_not_be_taken_over_is_destroyed_all_the_same(
    known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise DriverError("it can't be built any more")

    state = tmp_path / "state"
    async with Engine("qemu:///session", state_dir=state, systemd=False, on_close="leave") as engine:
        web = await engine.define(DOCUMENT.format(emulator=fake_qemu(tmp_path), devices=""))
        await web.start()
    if not known:
        path = DiskStore(state).runtime_dir(web.slot) / "status.json"
        status = json.loads(path.read_text())
        status["facts"]["process"] = "?"
        path.write_text(json.dumps(status))
    monkeypatch.setattr(adoption, "build", refuse)
    with anyio.fail_after(30):
        async with Engine("qemu:///session", state_dir=state, systemd=False, on_close="leave") as engine:
            web = engine.domain("web")
            assert web.state is State.RUNNING
            assert len(left(tmp_path)) == 1
            await web.destroy()
            assert web.state is State.SHUTOFF
            assert left(tmp_path) == []


async def test_what_nothing_is_known_of_is_not_told_to_have_been_destroyed(tmp_path: Path) -> None:
    async with fake(tmp_path) as (_, web):
        with pytest.raises(DriverError, match="nothing says which process it is"):
            await web.driver.destroy(web.handle)


async def test_nothing_is_kept_of_guests_that_are_gone(tmp_path: Path) -> None:
    async with fake(tmp_path) as (_, web):
        for _ in range(3):
            await web.start()
            assert list(guests_of(web)) == [web.uuid]
            await web.destroy()
            assert guests_of(web) == {}
        await web.start()
        os.kill(left(tmp_path)[0], signal.SIGKILL)
        await web.wait_for(State.SHUTOFF)
        with anyio.fail_after(10):
            while guests_of(web):
                await anyio.sleep(0.005)


async def test_a_save_that_hangs_does_not_hold_up_its_being_destroyed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "UNDO", 0.2)
    behaviour = """
def special(name):
    if name == "migrate":
        open(FOLDER + "/migrating", "w").close()
    if name == "query-migrate":
        hang()
"""
    async with fake(tmp_path, behaviour) as (_, web), anyio.create_task_group() as tasks:
        await web.start()

        async def save() -> None:
            with pytest.raises(EngineError, match="destroyed"):
                await web.save(tmp_path / "web.save")

        tasks.start_soon(save)
        while not (tmp_path / "migrating").exists():
            await anyio.sleep(0.005)
        with anyio.fail_after(20):  # QEMU has 30 seconds for each command
            await web.destroy()
        assert left(tmp_path) == []
        assert [path for path in tmp_path.iterdir() if "web.save" in path.name] == []


async def test_a_save_whose_process_does_not_go_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "KILLED", 0.3)
    behaviour = """
def special(name):
    if name == "migrate":
        event("MIGRATION", status="completed")
"""
    async with fake(tmp_path, behaviour) as (_, web):
        await web.start()
        with monkeypatch.context() as immortal:
            immortal.setattr(Process, "kill", lambda *_: None)
            with anyio.fail_after(10), pytest.raises(EngineError, match=r"still there after 0.3 s"):
                await web.save(tmp_path / "web.save")
        assert (tmp_path / "web.save").exists()
        os.kill(left(tmp_path)[0], signal.SIGKILL)
        await web.wait_for(State.SHUTOFF)
        assert web.reason == "saved"


async def test_a_helper_that_keeps_the_monitor_open_holds_up_nothing(tmp_path: Path) -> None:
    """Somebody inherits the monitor's socket and outlives QEMU."""
    behaviour = """
def special(name):
    if name == "cont" and os.fork() == 0:
        os.setsid()
        with open(FOLDER + "/fake.pids", "a") as file: print(os.getpid(), file=file)
        time.sleep(4)
        sys.exit()
"""
    async with fake(tmp_path, behaviour) as (_, web):
        await web.start()
        await web.destroy()
        assert not Path(f"/proc/{pids(tmp_path)[0]}").exists()
        assert web.state is State.SHUTOFF


@pytest.mark.parametrize("state_dir", [False, True], ids=["in memory", "on disk"])
async def test_an_emulator_that_is_no_program(tmp_path: Path, state_dir: bool) -> None:
    async with fake(tmp_path, state_dir=tmp_path / "state" if state_dir else None) as (_, web):
        (tmp_path / "fake-qemu").write_text("#!/no/such/interpreter\n")
        with pytest.raises(EngineError, match=r"(not installed|can't be run)"):
            await web.start()
        (tmp_path / "fake-qemu").write_bytes(b"\x7fELF nonsense")
        with pytest.raises(EngineError, match=r"can't be run: exec format error"):
            await web.start()
        assert web.state is State.SHUTOFF


TPM = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>"


def fake_swtpm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stays although its QEMU is gone."""
    programs = folder / "bin"
    programs.mkdir()
    path = programs / "swtpm"
    path.write_text(f'#!/bin/sh\necho "$$" >> {folder}/fake.pids\necho "$@" > {folder}/swtpm.args\nexec sleep 60\n')
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")


async def test_a_missing_swtpm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    async with fake(tmp_path, devices=TPM) as (_, web):
        with pytest.raises(MissingProgram, match="swtpm is not installed: <tpm> needs it"):
            await web.start()
        assert pids(tmp_path) == []


async def test_the_tpm_goes_with_its_guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guest, "TPM_GRACE", 0.1)
    fake_swtpm(tmp_path, monkeypatch)
    async with fake(tmp_path, devices=TPM, state_dir=tmp_path / "state") as (_, web):
        await web.start()
        while len(pids(tmp_path)) < 2:
            await anyio.sleep(0.005)
        words = (tmp_path / "swtpm.args").read_text().split()
        assert any(word.startswith("dir=/proc/self/fd/") for word in words)
        assert "--tpm2" in words
        await web.destroy()
        assert left(tmp_path) == []


async def test_the_tpm_goes_with_a_start_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_swtpm(tmp_path, monkeypatch)
    async with fake(tmp_path, "accept(); say(GREETING); die()", devices=TPM) as (_, web):
        with pytest.raises(StartFailed):
            await web.start()
        assert left(tmp_path) == []
    async with fake(tmp_path, devices=TPM) as (_, web):
        (tmp_path / "fake-qemu").write_bytes(b"\x7fELF nonsense")
        with pytest.raises(EngineError, match="exec format error"):
            await web.start()
        assert left(tmp_path) == []


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncios_own_cancellation_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, anyio_backend: str
) -> None:
    """``Task.cancel`` comes through where anyio's shields hold, also while a thread starts the process."""
    original = driver.launch

    def slow(*arguments: Any, **options: Any) -> Launched:
        launched = original(*arguments, **options)
        started.set()
        time.sleep(0.3)
        return launched

    monkeypatch.setattr(driver, "launch", slow)
    for _ in range(2):
        started = threading.Event()
        async with fake(tmp_path) as (_, web):
            task = asyncio.ensure_future(web.start())
            while not started.is_set():
                await asyncio.sleep(0.005)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert web.state is State.SHUTOFF
            with anyio.fail_after(20):
                while left(tmp_path):
                    await asyncio.sleep(0.01)


@pytest.mark.parametrize("path", ["pty:{victim}", "pty:/dev/pts/../../{victim}", "pty:/dev/pts/", "", "file:x"])
async def test_a_qemu_that_its_guest_has_taken_over_names_no_file_as_a_console(path: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    told = [{"label": "charserial0", "filename": path.format(victim=victim), "frontend-open": True}]
    behaviour = f"ANSWERS['query-chardev'] = {told!r}"
    async with fake(tmp_path, behaviour, devices="<serial type='pty'/>") as (_, web):
        await web.start()
        with pytest.raises(DriverError, match="QEMU has no terminal for serial0"):
            async with web.open_console() as console:
                await console.send(b"overwritten")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("how", ["symlink", "link", "mkfifo", "mkdir"])
async def test_nor_any_file_as_a_picture(how: str, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("secret")
    source = f"{str(victim)!r}, " if "link" in how else ""
    behaviour = f"""
def special(name):
    if name == "screendump":
        os.{how}({source}ARGUMENTS["filename"])
"""
    async with fake(tmp_path, behaviour, devices="<graphics type='vnc'/>") as (_, web):
        await web.start()
        with pytest.raises(HostError, match="screen-"):
            await web.screenshot()
