"""Real guests: what happens to them becomes events, and commands do what they say."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.qemu_domains import boot_sector_domain, said, serial, wait_said

from engine import (
    ConfigError,
    Domain,
    Engine,
    EngineError,
    HostError,
    LifecycleEvent,
    MissingProgram,
    StartFailed,
    State,
)
from engine.util.process import find_process

pytestmark = pytest.mark.qemu

PATIENCE = 60.0
PANIC = "<panic model='isa'/>"


class Watch:
    """The lifecycle of one domain, as ``Event detail`` lines."""

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription
        self.lines: list[str] = []

    async def until(self, line: str) -> LifecycleEvent:
        if line in self.lines:
            raise AssertionError(f"{line} was seen already")
        async for event in self._subscription:
            self.lines.append(f"{type(event).__name__.removeprefix('Domain')} {event.detail}")
            if self.lines[-1] == line:
                assert isinstance(event, LifecycleEvent)
                return event
        raise AssertionError("the subscription ended")


@asynccontextmanager
async def running(
    folder: Path, xml: str | None = None, *, state_dir: Path | None = None, start: bool = True, **parameters: Any
) -> AsyncIterator[tuple[Engine, Domain, Watch]]:
    """A guest that runs; destroyed at the end."""
    with anyio.fail_after(PATIENCE):
        async with Engine("qemu:///session", state_dir=state_dir, on_close="leave", systemd=False) as engine:
            domain = await engine.define(xml or boot_sector_domain("web", folder, **parameters))
            async with engine.subscribe(LifecycleEvent, domain=domain.name) as events:
                try:
                    if start:
                        await domain.start()
                    yield engine, domain, Watch(events)
                finally:
                    with anyio.CancelScope(shield=True):
                        if domain.active:
                            await domain.destroy()


async def pid_of(domain: Domain) -> int:
    pid = (await domain.info()).pid
    assert pid is not None
    return pid


def alive(pid: int) -> bool:
    """There is such a process, be it a zombie."""
    return Path(f"/proc/{pid}").exists()


# ---------------------------------------------------------------------------- ends


async def test_the_button(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, web, watch):
        await wait_said(web, tmp_path)
        pid = await pid_of(web)
        await web.shutdown(method="acpi")
        stopped = await watch.until("Stopped shutdown")
        assert stopped.cause is not None
        assert watch.lines == ["Started booted", "ShuttingDown guest", "Stopped shutdown"]
        assert said("web", tmp_path) == ["ready", "button", "off"]
        assert not alive(pid), "it was reaped"


async def test_a_guest_that_powers_itself_off(tmp_path: Path) -> None:
    async with running(tmp_path, exit_after=0.2) as (_, web, watch):
        stopped = await watch.until("Stopped shutdown")
        assert stopped.cause is None
        assert web.state is State.SHUTOFF


async def test_a_killed_qemu(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, web, watch):
        pid = await pid_of(web)
        os.kill(pid, signal.SIGKILL)
        stopped = await watch.until("Stopped failed")
        assert (stopped.state, stopped.reason) == (State.SHUTOFF, "crashed")
        assert watch.lines == ["Started booted", "Stopped failed"]
        assert not alive(pid)
        await web.start()


async def test_a_qemu_that_was_asked_to_end_by_somebody_else(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, web, watch):
        os.kill(await pid_of(web), signal.SIGTERM)
        await watch.until("Stopped shutdown")
        assert watch.lines == ["Started booted", "ShuttingDown host", "Stopped shutdown"]


async def test_destroy_flushes_a_disk_with_a_format_first(tmp_path: Path) -> None:
    image = tmp_path / "web.img"
    await anyio.run_process(["qemu-img", "create", "-f", "qcow2", str(image), "16M"])
    async with running(tmp_path, disk="qcow2") as (_, web, _watch):
        pid, log = await pid_of(web), (await web.info()).log
        await web.destroy()
        assert not alive(pid)
        assert log is not None
        assert "terminating on signal 15" in log.read_text()


# ---------------------------------------------------------------------------- crashes and reboots


async def test_a_panic_ends_it(tmp_path: Path) -> None:
    async with running(tmp_path, devices=PANIC, exit_after=0.05, ending="crash") as (_, _web, watch):
        stopped = await watch.until("Stopped crashed")
        assert stopped.reason == "crashed"
        assert watch.lines == ["Started booted", "Crashed panicked", "Stopped crashed"]


async def test_a_panic_is_preserved(tmp_path: Path) -> None:
    top = "<on_crash>preserve</on_crash>"
    async with running(tmp_path, devices=PANIC, top=top, exit_after=0.05, ending="crash") as (_, web, watch):
        await watch.until("Crashed panicked")
        assert web.state is State.CRASHED
        assert alive(await pid_of(web))
        await web.reset()
        assert web.state is State.RUNNING
        await watch.until("Rebooted host")
        await wait_said(web, tmp_path, times=2)
        while web.state is not State.CRASHED:
            await web.changed()
        await web.destroy()
        await watch.until("Stopped destroyed")


async def test_a_panic_starts_it_over(tmp_path: Path) -> None:
    top = "<on_crash>restart</on_crash>"
    async with running(tmp_path, devices=PANIC, top=top, exit_after=0.05, ending="crash") as (_, web, watch):
        await watch.until("Rebooted host")
        assert web.state is State.RUNNING
        await wait_said(web, tmp_path, times=2)
        assert watch.lines[:3] == ["Started booted", "Crashed panicked", "Rebooted host"]


async def test_a_guest_that_resets_itself(tmp_path: Path) -> None:
    async with running(tmp_path, exit_after=0.05, ending="reset") as (_, web, watch):
        await watch.until("Rebooted guest")
        assert web.state is State.RUNNING


async def test_a_guest_that_may_not_reboot(tmp_path: Path) -> None:
    top = "<on_reboot>destroy</on_reboot>"
    async with running(tmp_path, top=top, exit_after=0.05, ending="reset") as (_, _web, watch):
        await watch.until("Stopped shutdown")
        assert watch.lines == ["Started booted", "ShuttingDown guest", "Stopped shutdown"]


async def test_a_guest_whose_end_is_a_new_beginning(tmp_path: Path) -> None:
    top = "<on_poweroff>restart</on_poweroff>"
    async with running(tmp_path, top=top, exit_after=0.1) as (_, web, watch):
        pid = await pid_of(web)
        await wait_said(web, tmp_path, times=3)
        await watch.until("Rebooted guest")
        assert (web.state, await pid_of(web)) == (State.RUNNING, pid)


async def test_a_reboot_by_the_button_and_then_an_end(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, web, watch):
        await wait_said(web, tmp_path)
        pid = await pid_of(web)
        await web.reboot()
        await watch.until("Rebooted host")
        await wait_said(web, tmp_path, times=2)
        assert (web.state, await pid_of(web)) == (State.RUNNING, pid)
        await web.shutdown()
        await watch.until("Stopped shutdown")
        # SeaBIOS, once it sees that it ran before, may reset the machine itself once more
        told = [line for line in watch.lines if line != "Rebooted guest"]
        assert told == ["Started booted", "Rebooted host", "ShuttingDown guest", "Stopped shutdown"]


async def test_a_shutdown_after_a_reboot_that_was_ignored_is_a_shutdown(tmp_path: Path) -> None:
    async with running(tmp_path, ignore_button=1) as (_, web, watch):
        await wait_said(web, tmp_path)
        await web.reboot()
        await wait_said(web, tmp_path, "button")
        await web.shutdown()
        await watch.until("Stopped shutdown")


# ---------------------------------------------------------------------------- save and restore


async def test_a_restored_guest_goes_on_where_it_was(tmp_path: Path) -> None:
    async with running(tmp_path, ignore_button=1) as (engine, web, watch):
        await wait_said(web, tmp_path)
        await web.shutdown()
        await wait_said(web, tmp_path, "button")
        await web.save(tmp_path / "web.save")
        await engine.restore(tmp_path / "web.save")
        assert said("web", tmp_path) == [], "it has not booted anew"
        await web.shutdown()  # it remembers the press it ignored
        await watch.until("Stopped shutdown")
        assert said("web", tmp_path) == ["button", "off"]
        assert watch.lines == [
            "Started booted",
            "Suspended paused",
            "Stopped saved",
            "Started restored",
            "ShuttingDown guest",
            "Stopped shutdown",
        ]


async def test_a_paused_guest_comes_back_paused(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, web, _):
        await web.suspend()
        await web.save(tmp_path / "web.save")
        await engine.restore(tmp_path / "web.save")
        assert web.state is State.PAUSED
        await web.resume()
        assert web.state is State.RUNNING


async def test_a_save_that_fails_leaves_the_guest_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    async with running(tmp_path) as (_, web, _watch):
        await wait_said(web, tmp_path)
        with pytest.raises(ConfigError, match="not a directory"):
            await web.save(tmp_path / "file" / "web.save")
        assert web.state is State.RUNNING
        await web.shutdown()
        await web.wait_for(State.SHUTOFF)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a disk to fill")
async def test_a_save_to_a_full_disk(tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.mkdir()
    await anyio.run_process(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(full)])
    try:
        async with running(tmp_path) as (_, web, watch):
            await wait_said(web, tmp_path)
            with pytest.raises((HostError, Exception), match=r"(?i)no space|can't be saved"):
                await web.save(full / "web.save")
            assert web.state is State.RUNNING
            assert list(full.iterdir()) == []
            await web.shutdown()
            await watch.until("Stopped shutdown")
    finally:
        await anyio.run_process(["umount", str(full)])


async def test_a_save_that_is_cancelled_leaves_the_guest_as_it_was(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, web, watch):
        await wait_said(web, tmp_path)
        for delay in (0.0, 0.001, 0.003, 0.006):
            with anyio.move_on_after(delay):
                await web.save(tmp_path / "web.save")
            if not web.active:
                break
            assert web.state is State.RUNNING
            assert [path.name for path in tmp_path.iterdir() if "save" in path.name] == []
        if web.active:
            await web.shutdown()
            await watch.until("Stopped shutdown")


# ---------------------------------------------------------------------------- starts that fail


async def test_qemus_last_words_are_in_the_error(tmp_path: Path) -> None:
    async with running(tmp_path, start=False) as (_, web, watch):
        (tmp_path / "web.img").unlink()
        with pytest.raises(StartFailed) as caught:
            await web.start()
        assert "web.img': No such file or directory" in str(caught.value)
        assert "qemu-system" not in caught.value.reason
        assert web.state is State.SHUTOFF
        assert watch.lines == []


async def test_a_missing_emulator(tmp_path: Path) -> None:
    async with running(tmp_path, start=False, emulator="/no/such/qemu") as (_, web, _watch):
        with pytest.raises(MissingProgram, match="/no/such/qemu is not installed"):
            await web.start()
        assert web.state is State.SHUTOFF


async def test_two_guests_can_not_write_one_disk(tmp_path: Path) -> None:
    async with running(tmp_path) as (engine, web, _):
        second = await engine.define(boot_sector_domain("web2", tmp_path).replace("web2.img", "web.img"))
        with pytest.raises(StartFailed, match='Failed to get "write" lock'):
            await second.start()
        assert web.state is State.RUNNING


# ---------------------------------------------------------------------------- facts


async def test_info(tmp_path: Path) -> None:
    async with running(tmp_path) as (_, web, _watch):
        await wait_said(web, tmp_path)
        info = await web.info()
        assert info.pid is not None
        assert "qemu" in Path(f"/proc/{info.pid}/cmdline").read_text()
        assert info.memory == 8192
        assert info.console == serial("web", tmp_path)
        assert info.log is not None
        assert "-sandbox on" in info.log.read_text()
        assert (info.resident or 0) > 1000
        assert (info.cpu_time or 0) > 0


async def test_a_balloon_is_blown_up_to_the_current_memory(tmp_path: Path) -> None:
    xml = boot_sector_domain("web", tmp_path, devices="<memballoon model='virtio'/>").replace(
        "<os>", "<currentMemory unit='MiB'>6</currentMemory><os>"
    )
    async with running(tmp_path, xml) as (_, web, _watch):
        assert web.state is State.RUNNING
        assert (await web.info()).memory in (8192, 6144)  # a boot sector has no driver for it


async def test_a_console_that_is_appended_to_begins_where_the_last_run_ended(tmp_path: Path) -> None:
    path = serial("web", tmp_path)
    path.write_text("ready of long ago\r\n")
    xml = boot_sector_domain("web", tmp_path).replace(f"'{path}'", f"'{path}' append='on'")
    with anyio.fail_after(PATIENCE):
        async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
            web = await engine.define(xml)
            await web.start()
            assert (await web.info()).console_offset == 19
            await wait_said(web, tmp_path, times=2)
            await web.destroy()
            size = path.stat().st_size
            await web.start()
            assert (await web.info()).console_offset == size
        async with Engine("qemu:///session", state_dir=tmp_path / "state", systemd=False) as engine:
            web = engine.domain("web")
            try:
                assert (await web.info()).console_offset == size
            finally:
                await web.destroy()


async def test_the_console_is_a_pty(tmp_path: Path) -> None:
    xml = boot_sector_domain("web", tmp_path)
    path = str(serial("web", tmp_path))
    xml = xml.replace(f"<serial type='file'><source path='{path}'/></serial>", "<console type='pty'/>")
    async with running(tmp_path, xml) as (_, web, _watch):
        console = (await web.info()).console
        assert console is not None
        assert str(console).startswith("/dev/pts/")


async def test_a_pty_that_a_gate_watches_is_written_down(tmp_path: Path) -> None:
    gate = "<order:ready gate='serial' pattern='ready'/>"
    order = f"<order:order xmlns:order='urn:virengine:order:1'>{gate}</order:order>"
    xml = boot_sector_domain("web", tmp_path, metadata=order)
    path = str(serial("web", tmp_path))
    xml = xml.replace(f"<serial type='file'><source path='{path}'/></serial>", "<serial type='pty'/>")
    async with running(tmp_path, xml, state_dir=tmp_path / "state") as (_, web, _watch):
        await web.wait_ready()
        console = (await web.info()).console
        assert console == web.handle.log_path.with_name("web.console.log")
        assert "ready" in console.read_text()


async def test_a_limit_on_open_files(tmp_path: Path) -> None:
    """At every limit the start works or fails with a sentence, and leaves nothing then."""
    async with running(tmp_path, start=False) as (_, web, _watch), AsyncExitStack() as filled:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = max(int(name) for name in os.listdir("/proc/self/fd")) + 40
        while (fd := os.open("/dev/null", os.O_RDONLY)) < used:  # no numbers are free below the limit
            filled.callback(os.close, fd)
        os.close(fd)
        outcomes = set()
        for spare in (*range(0, 16, 2), 17, 19, 21, 40):
            resource.setrlimit(resource.RLIMIT_NOFILE, (used + spare, hard))
            try:
                await web.start()
                outcomes.add("started")
            except EngineError as exc:
                outcomes.add("failed")
                assert "too many open files" in str(exc).lower(), str(exc)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            if web.active:
                await web.destroy()
            assert find_process("-uuid", web.uuid) is None
        assert outcomes == {"started", "failed"}
        await web.start()
        assert web.state is State.RUNNING
