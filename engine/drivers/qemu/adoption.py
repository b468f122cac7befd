"""Taking over guests that an earlier engine left running, and telling what became of those that are gone.

A start, a save or a reboot that the earlier engine did not finish is finished or undone here: what it was doing stands
in the facts it remembered, what it got done QEMU and the files say.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import msgspec

from engine import DomainHandle, Report, State
from engine.abc import JSON
from engine.drivers.qemu import guest as limits
from engine.drivers.qemu.command import build
from engine.drivers.qemu.diary import Diary
from engine.drivers.qemu.facts import identity_of
from engine.drivers.qemu.guest import Guest, report_ending
from engine.drivers.qemu.launch import console_log
from engine.drivers.qemu.options import Places, escape
from engine.drivers.qemu.saving import partial_path, undo_save
from engine.errors import ConnectionBroken, DriverError, EngineError
from engine.util.process import Identity, Process, find_process

__all__ = ["end_unwatched", "find", "join_cgroup", "reconnect", "take_over", "without_monitor"]

log = logging.getLogger("engine.drivers.qemu")

#: Seconds a QEMU that ran before the engine has to accept its connection, and to answer each of the first commands: it
#: has nothing to do but to answer, and one that hangs must not hold up the others.
PATIENCE = 3.0


async def find(domain: DomainHandle, facts: Mapping[str, JSON]) -> Guest | None:
    """The guest, not yet watched; None: it is gone, and STOPPED was reported."""
    process, tpm = await anyio.to_thread.run_sync(_processes, domain, facts)
    if process is not None and facts.get("phase") == "starting":
        # the earlier engine did not live to write down what it had just started: it never ran
        await _finish_off(process, tpm)
        process = None
    if process is None:
        diary = Diary(domain.runtime_dir)
        ending = await anyio.to_thread.run_sync(diary.ending)
        if await anyio.to_thread.run_sync(_save_was_done, facts):
            domain.report(Report.STOPPED, "saved")
        elif facts.get("phase") == "starting" or facts.get("restoring"):
            # it never ran: "restoring" is taken back before the CPUs are let go
            domain.report(Report.STOPPED, "failed")
        else:
            report_ending(domain, ending.cause, ending.time or None)
        if tpm is not None:
            await _finish_off(tpm, None)
        return None
    written = console_log(domain.definition, domain.log_path)
    places = Places(runtime=str(domain.runtime_dir), console_log=written)
    command = build(domain.definition, places)
    guest = Guest(
        domain,
        process,
        machine=command.machine,
        plan=command.plan,
        characters=command.characters,
        tpm=tpm,
    )
    guest.facts = {**facts, "process": msgspec.to_builtins(process.identity), "phase": "started"}
    if "phase" not in facts:
        guest.facts["ran"] = True  # nothing is known of it: it must not be taken for one that never did
    guest.rebooting, guest.final = bool(facts.get("rebooting")), bool(facts.get("final"))
    guest.may_pause = guest.may_pause or guest.rebooting
    return guest


def find_running(domain: DomainHandle) -> Identity | None:
    """The QEMU that runs this domain in its folder, whatever was kept of it. Blocking: reads ``/proc``."""
    return find_process("-uuid", domain.uuid, f"pipe,id=events,path={escape(domain.runtime_dir)}/events")


def _processes(domain: DomainHandle, facts: Mapping[str, JSON]) -> tuple[Process | None, Process | None]:
    found = identity_of(facts, "process")
    if found is None:  # it was not written down any more, or what was written makes no sense
        found = find_running(domain)
    tpm = identity_of(facts, "tpm")
    return Process.attach(found) if found else None, Process.attach(tpm) if tpm else None


def _save_was_done(facts: Mapping[str, Any]) -> bool:
    """A save was under way, and its file is whole."""
    saving = facts.get("saving")
    if not isinstance(saving, str) or not facts.get("made"):
        return False
    return Path(saving).exists() and not partial_path(Path(saving)).exists()


async def _finish_off(process: Process, tpm: Process | None, *, flush: bool = False) -> None:
    """Raises DriverError: it was killed, but is still there."""
    for each in (process, tpm):
        if each is not None:
            await _end(each, flush=flush and each is process)


async def _end(process: Process, *, flush: bool) -> None:
    try:
        if flush:
            process.kill(signal.SIGTERM)
            with anyio.move_on_after(limits.GRACE):
                await process.wait()
        process.kill()
        with anyio.move_on_after(limits.KILLED):
            await process.wait()
        if not process.ended:
            raise DriverError(f"process {process.pid} was killed, but is still there after {limits.KILLED:g} s")
    finally:
        process.close()


async def end_unwatched(domain: DomainHandle, facts: Mapping[str, JSON]) -> None:
    """End a guest that no ``Guest`` stands for; returns when it is gone. Reports nothing.

    Raises:
        DriverError: it can't be told which process it is, or it does not go.
    """
    process, tpm = await anyio.to_thread.run_sync(_processes, domain, facts)
    if process is None and identity_of(facts, "process") is None and facts.get("phase") != "starting":
        raise DriverError(f"domain '{domain.name}' may run, but nothing says which process it is")
    if process is not None:
        await _finish_off(process, tpm, flush=True)
    elif tpm is not None:
        await _finish_off(tpm, None)


async def without_monitor(guest: Guest, reason: Exception) -> bool:
    """Its monitor can't be reached: it has just ended, or something is wrong with it."""
    with anyio.move_on_after(1):
        await guest.process.wait()
        guest.go_live(lambda: None)
        await guest.gone.wait()
        return False
    guest.go_live(lambda: None)
    guest.lost = f"domain '{guest.domain.name}' runs, but its monitor can't be reached: {reason}"
    raise ConnectionBroken(guest.lost) from reason


async def take_over(guest: Guest, timeout: float) -> bool:
    """Ask QEMU how things stand, and go on from there. Whether it runs.

    Args:
        timeout: seconds it has for each of its first words.

    Raises:
        EngineError: QEMU does not answer; the guest is watched all the same.
    """
    speaks = False
    try:
        await guest.negotiate(timeout)
        speaks = True
        status = str((await guest.execute("query-status", timeout=timeout)).get("status", ""))
        return await _take_over(guest, status)
    except EngineError as exc:
        guest.go_live(lambda: None)
        if isinstance(exc, ConnectionBroken):  # a process that is dying closes its sockets first
            with anyio.move_on_after(1):
                await guest.process.wait()
        if guest.ending or guest.process.ended:
            with anyio.move_on_after(10):
                await guest.gone.wait()
                return False
        if speaks:
            raise
        guest.lost = f"domain '{guest.domain.name}' runs, but its QEMU does not answer: {exc}"
        raise ConnectionBroken(guest.lost) from exc


async def _take_over(guest: Guest, status: str) -> bool:
    facts = guest.facts
    guest.paused = status not in ("running", "suspended")
    guest.asleep = status == "suspended"
    if facts.get("saving"):
        if await anyio.to_thread.run_sync(_save_was_done, facts):
            guest.go_live(lambda: None)
            await guest.end("saved", flush=False)
            return False
        await anyio.to_thread.run_sync(lambda: partial_path(Path(str(facts["saving"]))).unlink(missing_ok=True))
        guest.paused = not facts.get("running")
        guest.go_live(lambda: _report_status(guest, "paused" if guest.paused else "running"))
        await undo_save(guest, was_running=bool(facts.get("running")))
        return True
    if facts.get("restarting") and status in ("prelaunch", "shutdown", "guest-panicked", "suspended"):
        guest.go_live(lambda: None)
        await guest.start_over(str(facts["restarting"]))
        return True
    if facts.get("restarting"):  # that was done, and not written down any more
        await guest.note(restarting=None)
    ran = facts.get("paused") or facts.get("ran")
    never_ran = facts.get("restoring") or (status == "prelaunch" and not ran)
    if never_ran:
        guest.go_live(lambda: None)
        await guest.end("failed", flush=False)
        return False
    await _agent_state(guest)
    if status == "shutdown":
        guest.go_live(lambda: None)
        if not guest.starts_over:
            await guest.quit()
            await guest.gone.wait()
            return False
        host, guest.rebooting = guest.rebooting, False
        await guest.start_over("host" if host else "guest")
        return True
    guest.go_live(lambda: _report_status(guest, status))
    if status in ("finish-migrate", "postmigrate"):  # giving up a save was cut short
        await undo_save(guest, was_running=False)
    return True


async def reconnect(guest: Guest, timeout: float) -> None:
    """Ask a guest whose monitor was lost for a while how things stand, and tell what has changed.

    Raises:
        EngineError: QEMU does not answer.
    """
    await guest.negotiate(timeout)
    guest.lost = ""
    status = str((await guest.execute("query-status", timeout=timeout)).get("status", ""))
    if any(guest.facts.get(name) for name in ("saving", "restoring", "restarting")):
        await _take_over(guest, status)
        return
    guest.paused = status not in ("running", "suspended")
    guest.asleep = status == "suspended"
    await _agent_state(guest)
    state = guest.domain.state
    if status == "running" and state is State.PAUSED:
        guest.domain.report(Report.RESUMED)
    elif status == "running" and state is State.PMSUSPENDED:
        guest.domain.report(Report.STARTED, "wakeup")
    elif state is State.RUNNING:
        _report_status(guest, status)


def _report_status(guest: Guest, status: str) -> None:
    domain = guest.domain
    match status:
        case "running":
            pass
        case "suspended":
            domain.report(Report.PMSUSPENDED)
        case "guest-panicked":
            guest.was_crashed()
            domain.report(Report.CRASHED)
        case "io-error":
            domain.report(Report.SUSPENDED, "io error")
        case "watchdog":
            domain.report(Report.SUSPENDED, "watchdog")
        case _:
            domain.report(Report.SUSPENDED, "paused")


async def _agent_state(guest: Guest) -> None:
    """Whether the guest has its end of the agent's channel open: no event will tell of what happened before."""
    if guest.agent is None:
        return
    for device in await guest.execute("query-chardev"):
        if device.get("label") == guest.characters.agent_device.replace("channel", "charchannel"):
            guest.agent.guest_opened(bool(device.get("frontend-open")))


def join_cgroup(pid: int, other: int) -> None:
    """Put ``pid`` where ``other`` is: a helper belongs into the scope of its guest. Best effort, blocking."""
    try:
        for line in Path(f"/proc/{other}/cgroup").read_text().splitlines():
            number, _, path = line.partition("::")
            if number == "0" and path:
                Path(f"/sys/fs/cgroup{path}/cgroup.procs").write_text(str(pid))
    except OSError as exc:
        log.debug("process %d stays out of the scope of %d: %s", pid, other, exc)
