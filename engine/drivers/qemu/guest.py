"""One running QEMU: its process, monitor and agent, and what its events mean for the domain."""

from __future__ import annotations

import contextlib
import logging
import signal
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from operator import itemgetter
from typing import Any, Literal

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from engine import AgentConnected, AgentDisconnected, DomainBlockIOError, DomainHandle, Report, State
from engine.abc import JSON
from engine.conf.devices import MachineDefinition
from engine.drivers.qemu.agent.connection import AgentConnection
from engine.drivers.qemu.characters import Characters
from engine.drivers.qemu.command import Plan
from engine.drivers.qemu.diary import Diary, Ending
from engine.drivers.qemu.qmp.connection import QmpConnection
from engine.drivers.qemu.qmp.protocol import Notice
from engine.errors import CommandTimeout, ConnectionBroken, DriverError, EngineError, StoreError
from engine.util.process import Process
from engine.util.unix import UnixStream, connect_unix

__all__ = ["Guest", "report_ending"]

log = logging.getLogger("engine.drivers.qemu")

#: Seconds QEMU is given to flush its disks before it is killed.
GRACE = 10.0
#: Seconds a process that was killed has to be gone: one that hangs in the kernel may take for ever.
KILLED = 30.0
#: Seconds to undo what a command did, once it has failed or was cancelled.
UNDO = 5.0
#: Seconds QEMU, which speaks already, is given to make room for a connection to the guest agent.
AGENT_CONNECTS = 10.0
#: Seconds swtpm is given to end once QEMU has.
TPM_GRACE = 2.0
# events of a guest that is being brought up
_EARLY = 1000
# Who restarts a guest: SeaBIOS, which resets the machine once itself when it finds that it has run before.
_FIRMWARE = "firmware"


class Guest:
    """One running QEMU. ``run`` must be running in a task from the moment the process is there.

    Until ``go_live`` nothing is reported: events are kept, and a death is only the caller's to see (``gone``). Until
    ``go_live`` or ``abandon`` the process is in the hands of whoever is bringing it up, even if ``run`` is cancelled.

    Attributes:
        gone: set when it is no longer watched: the process has ended, is reaped, and STOPPED was reported (if it was
            live). Only if ``run`` was cancelled may the process live on.
        paused: its CPUs are stopped.
        rebooting: its next power-off is a reboot that was asked for.
        final: its next power-off is an end that was asked for, whatever its definition makes of one.
        may_pause: QEMU may pause at a power-off instead of ending: it has not answered yet that it will not.
        watched: ``run`` has begun.
        asleep: its guest is in the ACPI state S3.
        lost: why its monitor is of no use, in one sentence, until that can be used again; else "".
        mending: held by who connects to its monitor anew.
        intent: what a command is about to end it for: ``destroyed``, ``saved``, or "".
    """

    def __init__(
        self,
        domain: DomainHandle,
        process: Process,
        *,
        machine: MachineDefinition,
        plan: Plan,
        characters: Characters,
        tpm: Process | None = None,
    ) -> None:
        self.domain = domain
        self.process = process
        self.machine = machine
        self.plan = plan
        self.characters = characters
        self.tpm = tpm
        self.qmp: QmpConnection | None = None
        self.agent = AgentConnection(self._connect_agent) if characters.agent else None
        self.gone = anyio.Event()
        self.paused = True
        self.facts: dict[str, JSON] = {}
        self.rebooting = False
        self.final = False
        self.intent: Literal["", "destroyed", "saved", "failed"] = ""
        self.diary = Diary(domain.runtime_dir)
        self.watched = False
        self.lost = ""
        self.mending = anyio.Lock()
        self.asleep = False
        self._live = False
        self._decided = anyio.Event()
        self._early: deque[Notice] = deque(maxlen=_EARLY)
        self._ending = Ending()
        self._tasks: TaskGroup | None = None
        self._heard = anyio.Event()
        self._last: dict[str, tuple[int, dict[str, Any]]] = {}
        self._number = 0
        self._suspend_detail = "paused"
        self._restarting = ""
        self._fresh = False  # it was started over, and its firmware may not be through with it
        self._dead = False
        self._reader = anyio.Event()  # set when the monitor is read no more
        self._told = False
        self._blinking = False
        self._agent_runs = False
        self.may_pause = machine.on_poweroff == "restart"

    # ------------------------------------------------------------------ what a later engine needs

    async def remember(self, **changes: JSON) -> None:
        """Keep facts for ``adopt``, beside those kept before; None removes one. Raises StoreError."""
        self.facts.update(changes)
        self.facts = {name: value for name, value in self.facts.items() if value is not None}
        await self.domain.remember(self.facts)

    async def note(self, **changes: JSON) -> None:
        """The same where it has to go on all the same: a full disk keeps no guest from its reboot."""
        try:
            await self.remember(**changes)
        except StoreError as exc:
            log.warning("domain %s: %s", self.domain.name, exc)

    # ------------------------------------------------------------------ the monitor

    def attach(self, qmp: QmpConnection) -> None:
        """The monitor to use, instead of one that was lost if there was one."""
        self.qmp = qmp
        self._reader = anyio.Event()
        if self._tasks is not None:
            self._tasks.start_soon(self._read_monitor, qmp, self._reader)

    async def hang_up(self) -> None:
        """Let go of a monitor that is of no use: QEMU speaks with one at a time."""
        if self.qmp is not None:
            await self.qmp.aclose()

    @property
    def deaf(self) -> bool:
        """It may run, but its monitor is of no use."""
        return bool(self.lost) or self.qmp is None or self._reader.is_set()

    async def execute(self, name: str, arguments: dict[str, Any] | None = None, **options: Any) -> Any:
        """A QMP command; see ``QmpConnection.execute``."""
        if self.lost:
            raise ConnectionBroken(self.lost)
        if self.qmp is None:
            raise ConnectionBroken(f"the monitor of domain '{self.domain.name}' can't be reached")
        return await self.qmp.execute(name, arguments, **options)

    async def event(self, *names: str, after: int, timeout: float) -> dict[str, Any]:
        """The data of the next event of one of these names after number ``after`` (see ``mark``).

        Raises:
            CommandTimeout; ConnectionBroken: QEMU is gone.
        """
        with anyio.move_on_after(timeout):
            while True:
                number, data = max((self._last.get(name, (0, {})) for name in names), key=itemgetter(0))
                if number > after:
                    return data
                if self._dead or self._reader.is_set():
                    raise ConnectionBroken(f"QEMU was gone before its event {names[0]}")
                await self._heard.wait()
        raise CommandTimeout(f"QEMU's event {names[0]}", timeout)

    def mark(self) -> int:
        """The number of the last event."""
        return self._number

    async def negotiate(self, timeout: float) -> None:
        """Wait for QEMU to speak; then all its sockets are there, the agent's too. Raises as ``QmpConnection`` does."""
        assert self.qmp is not None
        await self.qmp.negotiate(timeout)
        if self.agent is not None and self._tasks is not None and not self._agent_runs:
            self._agent_runs = True
            self._tasks.start_soon(self.agent.run)

    async def _connect_agent(self) -> UnixStream:
        return await connect_unix(self.characters.agent, AGENT_CONNECTS, what="the guest agent's channel")

    async def blink(self) -> None:
        """Let a paused guest run for a moment, of which nothing is told: only so QEMU takes back the disks it gave up
        at the end of a migration. Raises EngineError; it may run then, which is told."""
        self._blinking = True
        try:
            await self.execute("cont")
            try:
                await self.execute("stop")
            except BaseException:
                self._blinking = False
                self._on_resume({})
                raise
        finally:
            self._blinking = False

    # ------------------------------------------------------------------ life

    async def run(self) -> None:
        """Watch it to its end."""
        self.watched = True
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                if self.qmp is not None:
                    tasks.start_soon(self._read_monitor, self.qmp, self._reader)
                await self.process.wait()
                if self.qmp is not None and not self.intent:
                    # the last events are still in the socket; its end comes right behind them
                    with anyio.move_on_after(1):
                        await self._reader.wait()
                self._dead = True
                self._hear()
                await self._reap_tpm()
                await self._decided.wait()
                await self._report_end()
                tasks.cancel_scope.cancel()
        finally:
            self._tasks = None
            self._dead = True
            if self.agent is not None:
                self.agent.end()
            self._hear()
            if self._decided.is_set():
                self._release()
            self.gone.set()

    def _release(self) -> None:
        self.process.close()
        if self.tpm is not None:
            self.tpm.close()

    async def _read_monitor(self, qmp: QmpConnection, done: anyio.Event) -> None:
        try:
            await qmp.run()
        finally:
            done.set()
            self._hear()
        with anyio.move_on_after(1):
            await self.process.wait()
            return
        if not self.intent and not self.lost:
            log.warning("domain %s: the connection to its QEMU is lost, for now", self.domain.name)

    async def _reap_tpm(self) -> None:
        if self.tpm is not None:
            # it saves its state and ends by itself when QEMU is gone
            with anyio.move_on_after(TPM_GRACE):
                await self.tpm.wait()
                return
            self.tpm.kill()
            with anyio.move_on_after(2):
                await self.tpm.wait()

    async def _report_end(self) -> None:
        if not self._live or self._told:
            return
        self._told = True
        if self.intent:
            self.domain.report(Report.STOPPED, self.intent)
            return
        if self.facts.get("restoring"):  # taken back before its CPUs are let go: it never ran
            self.domain.report(Report.STOPPED, "failed")
            return
        cause, time = self._ending.cause, None
        if not cause:
            ending = await anyio.to_thread.run_sync(self.diary.ending)
            cause, time = ending.cause, ending.time or None
        report_ending(self.domain, cause, time)

    def go_live(self, report: Callable[[], None]) -> None:
        """It is up: ``report`` says so, and from now on everything is reported."""
        report()
        self._live = True
        early, self._early = self._early, deque(maxlen=1)
        if len(early) == _EARLY:
            log.warning("domain %s: of the events while it came up only the last %d count", self.domain.name, _EARLY)
        for notice in early:
            self._understand(notice)
        self._decided.set()

    async def abandon(self, report: Callable[[], None] | None) -> None:
        """End it: it did not come up. Shield it; it takes ``KILLED`` seconds at the most.

        Args:
            report: tells that it was up all the same, since the guest may have run; then STOPPED is reported as well.
                None: nothing is reported.
        """
        if not self.process.ended:
            self.intent = "destroyed"
        with anyio.move_on_after(KILLED):
            for process in (self.process, self.tpm):
                if process is not None:
                    process.kill()
                    await process.wait()
        if not self.process.ended:
            log.error("domain %s: process %d was killed and is still there", self.domain.name, self.process.pid)
        if report is not None:
            self.go_live(report)
        self._decided.set()
        if self.watched:
            with anyio.move_on_after(KILLED):
                await self.gone.wait()
        elif self.qmp is not None:
            await self.qmp.aclose()
        await self._report_end()  # should whoever watched it have been cancelled
        self._release()

    @property
    def crashed(self) -> bool:
        """It panicked, and its process was kept."""
        return self._ending.cause == "crashed" and not self._dead

    def was_crashed(self) -> None:
        """It panicked before it was taken over."""
        self._ending.cause = "crashed"

    @property
    def ending(self) -> bool:
        """It is gone, or its guest is powering off."""
        return self._dead or bool(self._ending.cause)

    async def end(self, intent: Literal["destroyed", "saved", "failed"], *, flush: bool) -> None:
        """End the process; returns when it is gone and that was reported, or nobody watches it any more.

        Args:
            flush: let QEMU write its disks' metadata first, for as long as ``GRACE``.

        Raises:
            DriverError: it is still there ``KILLED`` seconds after it was killed.
        """
        self.intent = intent
        if flush:
            self.process.kill(signal.SIGTERM)
            with anyio.move_on_after(GRACE):
                await self.gone.wait()
        if not self.gone.is_set():
            self.process.kill()
            with anyio.move_on_after(KILLED):
                await self.gone.wait()
                return
            pid, name = self.process.pid, self.domain.name
            raise DriverError(f"domain '{name}': process {pid} was killed, but is still there after {KILLED:g} s")

    # ------------------------------------------------------------------ what a power-off means

    @property
    def starts_over(self) -> bool:
        """A guest that powers off is paused then, to be started over."""
        return self.rebooting or (self.machine.on_poweroff == "restart" and not self.final)

    async def expect(self, end: Literal["reboot", "stop"]) -> None:
        """The guest is about to be asked for ``end``: its next power-off is that, until ``forget``.

        Raises:
            EngineError: it may be half done.
        """
        self.rebooting, self.final = end == "reboot", end == "stop"
        # first for a later engine: what QEMU does then is all the same if it does not know why
        await self.remember(rebooting=self.rebooting or None, final=self.final or None)
        await self._set_action()

    async def forget(self) -> None:
        """Nothing was asked for after all: a power-off means what the definition says. Shielded, and bounded."""
        self.rebooting = self.final = False
        for step in (self._set_action, partial(self.remember, rebooting=None, final=None)):
            try:
                with anyio.move_on_after(UNDO, shield=True):
                    await step()
            except EngineError as exc:
                if not self.ending:
                    log.warning("domain %s: what it was asked for is not forgotten: %s", self.domain.name, exc)

    async def _set_action(self) -> None:
        self.may_pause = self.may_pause or self.starts_over
        pause = self.starts_over
        await self.execute("set-action", {"shutdown": "pause" if pause else "poweroff"})
        self.may_pause = pause

    async def quit(self) -> None:
        """Let QEMU end after a power-off at which it paused."""
        with contextlib.suppress(ConnectionBroken):  # it has
            await self.execute("quit")

    # ------------------------------------------------------------------ events

    def _hear(self) -> None:
        self._heard.set()
        self._heard = anyio.Event()
        if self.agent is not None:
            self.agent.poke()

    def on_event(self, notice: Notice) -> None:
        """An event came; called by the monitor."""
        self._number += 1
        self._last[notice.name] = (self._number, notice.data)
        self._ending.note(notice.name, notice.data)
        if notice.name in ("SUSPEND", "WAKEUP", "RESET"):
            self.asleep = notice.name == "SUSPEND"
        if notice.name == "VSERPORT_CHANGE":
            self._port_changed(notice.data)
        if self._live:
            self._understand(notice)
            if self.diary.count():
                self.start_soon(anyio.to_thread.run_sync, self.diary.trim)
        else:
            self._early.append(notice)
        self._hear()

    def start_soon(self, function: Callable[..., Awaitable[Any]], *args: Any) -> None:
        """Run something for this guest beside everything else; an error of it is only logged."""
        if self._tasks is not None:
            self._tasks.start_soon(self._guarded, function, args)

    async def _guarded(self, function: Callable[..., Awaitable[Any]], args: tuple[Any, ...]) -> None:
        try:
            await function(*args)
        except (EngineError, OSError) as exc:
            log.warning("domain %s: %s", self.domain.name, exc)

    def _understand(self, notice: Notice) -> None:
        handler = _HANDLERS.get(notice.name)
        if handler is not None and not (self.intent and notice.name in _MOOT):
            handler(self, notice.data)

    def _port_changed(self, data: dict[str, Any]) -> None:
        if self.agent is not None and data.get("id") == self.characters.agent_device:
            self.agent.guest_opened(bool(data.get("open")))

    def _on_port(self, data: dict[str, Any]) -> None:
        if self.agent is not None and data.get("id") == self.characters.agent_device:
            self.domain.emit(AgentConnected if data.get("open") else AgentDisconnected)

    def _on_stop(self, data: dict[str, Any]) -> None:
        if self._blinking:
            return
        self.paused = True
        if not self._ending.cause:
            saving = self._suspend_detail == "paused" and "saving" in self.facts
            self.domain.report(Report.SUSPENDED, self._suspend_detail, "saving" if saving else "")
        self._suspend_detail = "paused"

    def _on_resume(self, data: dict[str, Any]) -> None:
        self._suspend_detail = "paused"
        if self.paused and not self._blinking:
            self.paused = False
            self.domain.report(Report.RESUMED)

    def _on_shutdown(self, data: dict[str, Any]) -> None:
        if data.get("reason") == "guest-panic":
            return  # GUEST_PANICKED has told
        by_guest = bool(data.get("guest"))
        quits = str(data.get("reason", "")).startswith("host-qmp-quit")
        if self._restarting:
            return  # that power-off is being undone
        if "reset" in str(data.get("reason", "")):  # which on_reboot makes an end of
            if self._fresh and by_guest:
                self.start_soon(self.start_over, _FIRMWARE)
                return
        elif self.starts_over and not quits:
            host, self.rebooting = self.rebooting, False
            self.start_soon(self.start_over, "host" if host else "guest")
            return
        self.domain.report(Report.SHUTTING_DOWN, "guest" if by_guest else "host")
        if self.may_pause and not quits:
            self.start_soon(self.quit)

    async def start_over(self, who: str) -> None:
        """Reset it and let it run: after a power-off that means a reboot, a crash, or from its sleep."""
        if self._restarting:
            return
        self._restarting = who
        try:
            # a machine that was reset while it did not run looks as if it never had
            await self.note(restarting=who)
            await self.reset()
            if not self.starts_over:
                await self._set_action()
            self.paused = self.domain.state is State.PAUSED  # else the RESUME to come is no news
            self._fresh = who != _FIRMWARE
            await self.execute("cont")
        finally:
            self._restarting = ""
        await self.note(restarting=None, rebooting=None)

    async def reset(self) -> None:
        """Reset the machine, whatever its definition makes of that; returns when it has happened."""
        as_defined = self.machine.on_reboot
        if as_defined != "restart":
            await self.execute("set-action", {"reboot": "reset"})
        try:
            before = self.mark()
            await self.execute("system_reset")
            await self.event("RESET", after=before, timeout=30.0)
        finally:
            if as_defined != "restart":
                with anyio.move_on_after(UNDO, shield=True), contextlib.suppress(EngineError):
                    await self.execute("set-action", {"reboot": "shutdown"})

    async def wake(self, timeout: float) -> None:
        """Wake its guest from its sleep; fine when it is awake."""
        if self.asleep:
            before = self.mark()
            await self.execute("system_wakeup")
            await self.event("WAKEUP", "RESET", after=before, timeout=timeout)

    def _on_reset(self, data: dict[str, Any]) -> None:
        if str(data.get("reason", "")) in ("snapshot-load", "subsystem-reset"):
            return  # not the machine
        if self._restarting == _FIRMWARE:
            return
        self.domain.report(Report.REBOOTED, self._restarting or ("guest" if data.get("guest") else "host"))

    def _on_panic(self, data: dict[str, Any]) -> None:
        self.domain.report(Report.CRASHED, "panicked")
        if self.machine.on_crash == "restart":
            self.start_soon(self.start_over, "host")

    def _on_suspend(self, data: dict[str, Any]) -> None:
        self.domain.report(Report.PMSUSPENDED, "memory")

    def _on_suspend_disk(self, data: dict[str, Any]) -> None:
        self.domain.report(Report.PMSUSPENDED, "disk")

    def _on_wakeup(self, data: dict[str, Any]) -> None:
        self.domain.report(Report.STARTED, "wakeup")

    def _on_block_error(self, data: dict[str, Any]) -> None:
        action = str(data.get("action", "report"))
        if action == "stop" and not self.paused:  # else it is one more request that was under way when it was paused
            self._suspend_detail = "io error"
        node = str(data.get("node-name") or data.get("device") or "")
        self.domain.emit(
            DomainBlockIOError,
            device=node.removesuffix("-file"),
            operation=str(data.get("operation", "")),
            action={"stop": "pause", "ignore": "none"}.get(action, "report"),
            reason="enospc" if data.get("nospace") else "error",
        )

    def _on_watchdog(self, data: dict[str, Any]) -> None:
        if data.get("action") == "pause" and not self.paused:
            self._suspend_detail = "watchdog"


_HANDLERS: dict[str, Callable[[Guest, dict[str, Any]], None]] = {
    "STOP": Guest._on_stop,
    "RESUME": Guest._on_resume,
    "SHUTDOWN": Guest._on_shutdown,
    "RESET": Guest._on_reset,
    "GUEST_PANICKED": Guest._on_panic,
    "SUSPEND": Guest._on_suspend,
    "SUSPEND_DISK": Guest._on_suspend_disk,
    "WAKEUP": Guest._on_wakeup,
    "BLOCK_IO_ERROR": Guest._on_block_error,
    "WATCHDOG": Guest._on_watchdog,
    "VSERPORT_CHANGE": Guest._on_port,
}
# what the end that was asked for brings with it is no news
_MOOT = frozenset({"STOP", "SHUTDOWN", "RESET"})


def report_ending(domain: DomainHandle, cause: str, time: float | None = None) -> None:
    """STOPPED, of a guest that ended without being asked. ``time``: when, if not just now."""
    if cause == "shutdown":
        domain.report(Report.STOPPED, "shutdown", time=time)
    elif cause == "crashed":
        domain.report(Report.STOPPED, "crashed", time=time)
    else:  # libvirt's words for a QEMU that died: the event's detail is "failed", the state's reason "crashed"
        domain.report(Report.STOPPED, "failed", "crashed")
