"""The QEMU driver: ``qemu:///system`` and ``qemu:///session``."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, Literal

import anyio
import anyio.to_thread
from anyio.abc import ByteStream

from engine import Command, ConnectionURI, DomainHandle, DomainInfo, Driver, DriverContext, Report
from engine.abc import JSON, Run, Screenshot, ShutdownMethod, check_method
from engine.conf import DomainDefinition
from engine.drivers.qemu import adoption, command, interactive
from engine.drivers.qemu.agent.connection import AgentConnection
from engine.drivers.qemu.facts import process_facts, usage
from engine.drivers.qemu.glance import as_it_was
from engine.drivers.qemu.guest import Guest
from engine.drivers.qemu.kvm import KvmProbe
from engine.drivers.qemu.launch import Launched, Log, find_emulator, launch, monitor_path
from engine.drivers.qemu.options import Places
from engine.drivers.qemu.qmp.connection import QmpConnection, QmpError
from engine.drivers.qemu.saving import SavedState, open_saved, restore, save
from engine.errors import (
    AgentError,
    CommandTimeout,
    ConfigError,
    ConnectionBroken,
    DriverError,
    EngineClosed,
    EngineError,
    HostError,
    OperationInvalid,
    StartFailed,
    UnsupportedConfig,
)
from engine.util.unix import connect_unix

__all__ = ["QemuDriver"]

_PATHS = ("/system", "/session")
# seconds that QEMU has to say what became of a command that was cancelled: it takes it milliseconds, unless it hangs
_SETTLES = 1.0
# seconds that a guest agent has to show that it is there at all
_AGENT_IS_THERE = 5.0


class QemuDriver(Driver):
    """Runs QEMU on this host, one process a domain. The processes outlive the engine.

    URI parameters: ``start_timeout``, seconds a QEMU has to come up (30), and ``command_timeout``, seconds it has to
    answer a command (30).
    """

    scheme: ClassVar[str] = "qemu"
    domain_types: ClassVar[frozenset[str]] = frozenset({"kvm", "qemu"})
    commands: ClassVar[frozenset[Command]] = frozenset(Command)
    stop_methods: ClassVar[frozenset[str]] = frozenset({"agent", "acpi", "save", "destroy"})

    def __init__(self, context: DriverContext) -> None:
        self._context = context
        self._guests: dict[str, Guest] = {}  # by UUID; gone when they are
        self._lost: dict[str, Mapping[str, JSON]] = {}  # what is remembered of guests that could not be taken over
        self._timeouts = {"start_timeout": 30.0, "command_timeout": 30.0}
        for name, value in context.uri.query:
            self._configure(name, value)
        self._kvm = KvmProbe(context.save_dir / ".kvm.json" if context.persistent else None)

    def _configure(self, name: str, value: str) -> None:
        if name not in self._timeouts:
            raise ConfigError(f"the qemu driver knows no URI parameter '{name}' (it has {', '.join(self._timeouts)})")
        try:
            seconds = float(value)
        except ValueError:
            seconds = 0.0
        if not 0.0 < seconds < 1e9:
            raise ConfigError(f"{name}={value} in the connection URI is not a number of seconds")
        self._timeouts[name] = seconds

    @classmethod
    @asynccontextmanager
    async def open(cls, uri: ConnectionURI, context: DriverContext) -> AsyncIterator[QemuDriver]:
        if uri.path not in _PATHS:
            raise ConfigError(f"'{uri}': a qemu connection is qemu:///system or qemu:///session")
        if uri.host or uri.transport:
            raise ConfigError(f"'{uri}': the qemu driver runs guests on this host only")
        yield cls(context)

    @classmethod
    def unchanged(cls, uri: ConnectionURI, runs: Sequence[Run]) -> bool:
        return all(map(as_it_was, runs))

    @classmethod
    def to_native(cls, definition: DomainDefinition) -> str:
        return command.shown(definition)

    def check(self, definition: DomainDefinition) -> None:
        if definition.type not in self.domain_types:
            known = ", ".join(sorted(self.domain_types))
            line = definition.element().sourceline
            raise UnsupportedConfig(
                f"<domain type='{definition.type}'>",
                f"not supported (there is {known})",
                source=definition.source,
                line=line if isinstance(line, int) else None,
            )
        command.check(definition)

    def keeps_state(self, definition: DomainDefinition) -> bool:
        tpm = command.read_machine(definition).devices.tpm
        return tpm is not None and tpm.backend.persistent_state

    # ------------------------------------------------------------------ start

    async def start(self, domain: DomainHandle, *, paused: bool = False, restore_from: Path | None = None) -> None:
        state = await anyio.to_thread.run_sync(open_saved, restore_from) if restore_from is not None else None
        try:
            await self._start(domain, paused=paused, state=state)
        finally:
            if state is not None:
                state.close()

    async def _start(self, domain: DomainHandle, *, paused: bool, state: SavedState | None) -> None:
        definition = domain.definition
        machine = command.read_machine(definition)
        plan = command.build(definition, Places(runtime="/run"), machine=machine).plan
        emulator = await anyio.to_thread.run_sync(find_emulator, plan.emulator)
        if plan.kvm:
            await self._kvm.require(emulator)
        # written before there is a process: from here on a later engine looks for one
        facts: dict[str, JSON] = {"phase": "starting", "restoring": state is not None, "paused": paused}
        await domain.remember(facts)
        log = Log(domain.log_path)
        launched = await _handed_over(
            lambda: launch(
                definition,
                machine,
                plan,
                emulator=emulator,
                runtime=domain.runtime_dir,
                log=log,
                tpm_state=domain.state_dir / "tpm",
                incoming=state is not None,
            )
        )
        guest = Guest(
            domain,
            launched.process,
            machine=machine,
            plan=plan,
            characters=launched.command.characters,
            tpm=launched.tpm,
        )
        guest.facts = {**facts, "phase": "started", **process_facts(launched)}
        paused = paused or (state is not None and state.paused)
        may_have_run = False

        def report() -> None:
            _report_started(domain, restored=state is not None, paused=paused)

        try:
            try:
                await self._bring_up(guest, launched, state)
                if state is not None:
                    # From here on it may have run, and what was saved no longer fits the disks. Nothing has to be
                    # written once it runs: that could fail.
                    await guest.remember(restoring=None, paused=paused)
                if not paused:
                    guest.paused = False  # the RESUME to come is no news
                    may_have_run = state is not None
                    await guest.execute("cont")
                if guest.gone.is_set() and not guest.process.ended:
                    raise EngineClosed(f"the connection was closed while domain '{domain.name}' was being started")
            except (ConnectionBroken, CommandTimeout, QmpError) as exc:
                may_have_run = may_have_run and not isinstance(exc, QmpError)
                raise StartFailed(domain.name, await self._why(guest, log, exc)) from exc
        except BaseException:
            with anyio.CancelScope(shield=True):
                await guest.abandon(report if may_have_run else None)
            raise
        finally:
            launched.release()
        self._guests[domain.uuid] = guest
        guest.go_live(report)

    async def _bring_up(self, guest: Guest, launched: Launched, state: SavedState | None) -> None:
        """From a process that was spawned to a machine that is ready to run."""
        domain = guest.domain
        await self._connect(guest, self._timeouts["start_timeout"])
        self._watch(guest)

        async def scope() -> None:
            await domain.create_scope(guest.process.pid, interfaces=launched.interfaces)
            if guest.tpm is not None:
                await anyio.to_thread.run_sync(adoption.join_cgroup, guest.tpm.pid, guest.process.pid)

        await _together(
            guest.remember,
            scope,
            lambda: guest.negotiate(self._timeouts["start_timeout"]),
        )
        launched.release()
        if state is not None:
            await restore(guest, state)
        definition, balloon = domain.definition, guest.machine.devices.balloon
        if balloon is not None and balloon.model == "virtio" and definition.current_memory < definition.memory:
            await guest.execute("balloon", {"value": definition.current_memory * 1024})

    def _watch(self, guest: Guest) -> None:
        async def watch() -> None:
            try:
                await guest.run()
            finally:
                if guest.process.ended and self._guests.get(guest.domain.uuid) is guest:
                    del self._guests[guest.domain.uuid]

        self._context.start_soon(watch, name=f"guest {guest.domain.name}")

    async def _connect(self, guest: Guest, timeout: float) -> None:
        try:
            stream = await connect_unix(monitor_path(guest.domain.runtime_dir), timeout, what="QEMU's monitor")
        except (ConnectionRefusedError, ConnectionResetError) as exc:
            raise ConnectionBroken("QEMU closed its monitor") from exc
        except OSError as exc:
            raise HostError(f"QEMU's monitor can't be reached: {(exc.strerror or str(exc)).lower()}") from exc
        guest.attach(QmpConnection(stream, guest.on_event, timeout=self._timeouts["command_timeout"]))

    async def _why(self, guest: Guest, log: Log, exc: EngineError) -> str:
        """Why a start failed: QEMU's last words, or what went wrong between it and the engine."""
        if guest.qmp is None or guest.qmp.left:
            with anyio.move_on_after(2, shield=True):  # it is dying: its last words are on their way
                await guest.process.wait()
        words = await anyio.to_thread.run_sync(log.tail)
        status = guest.process.status
        if status is None:
            return f"{exc}; QEMU said: {words}" if words else str(exc)
        if words:
            return words
        return f"QEMU was killed by signal {-status}" if status < 0 else f"QEMU ended with status {status}"

    async def adopt(self, domain: DomainHandle, facts: Mapping[str, JSON]) -> bool:
        self._lost[domain.uuid] = facts  # should this fail, ``destroy`` still has to know what to end
        guest = await adoption.find(domain, facts)
        del self._lost[domain.uuid]
        if guest is None:
            return False
        self._guests[domain.uuid] = guest
        patience = min(adoption.PATIENCE, self._timeouts["start_timeout"])
        try:
            await self._connect(guest, patience)
            monitor: Exception | None = None
        except (ConnectionBroken, HostError) as exc:
            monitor = exc  # it is watched all the same
        self._watch(guest)
        if monitor is not None:
            return await adoption.without_monitor(guest, monitor)
        return await adoption.take_over(guest, patience)

    # ------------------------------------------------------------------ commands

    async def _reachable(self, domain: DomainHandle) -> Guest:
        """The guest; if its monitor was lost, connected anew.

        Raises:
            ConnectionBroken: QEMU does not answer.
        """
        guest = self._guests.get(domain.uuid)
        if guest is not None and guest.deaf:
            async with guest.mending:  # gates and commands may both want it: QEMU speaks with one at a time
                if guest.deaf and not guest.gone.is_set():
                    await self._reconnect(guest)
        if guest is None or guest.gone.is_set():
            raise DriverError(f"domain '{domain.name}' has no QEMU process any more")
        return guest

    async def _reconnect(self, guest: Guest) -> None:
        name = guest.domain.name
        patience = min(adoption.PATIENCE, self._timeouts["command_timeout"])
        # until it has answered it is of no use, also should this be cancelled
        guest.lost = guest.lost or f"domain '{name}' runs, but the connection to its QEMU is lost"
        try:
            await guest.hang_up()
            await self._connect(guest, patience)
            await adoption.reconnect(guest, patience)
        except BaseException as exc:
            with anyio.CancelScope(shield=True):
                await guest.hang_up()
            if not isinstance(exc, EngineError):
                guest.lost = guest.lost or f"domain '{name}' runs, but the connection to its QEMU is lost"
                raise
            guest.lost = f"domain '{name}' runs, but its QEMU does not answer: {exc}"
            raise ConnectionBroken(f"{guest.lost}; it can only be destroyed") from exc

    async def find_running(self, domain: DomainHandle) -> int | None:
        found = await anyio.to_thread.run_sync(adoption.find_running, domain)
        return None if found is None else found.pid

    async def shutdown(self, domain: DomainHandle, method: ShutdownMethod = "default") -> None:
        check_method(method)
        guest = await self._reachable(domain)
        await guest.wake(self._timeouts["command_timeout"])
        # who asks for its end means it, whatever the definition makes of a power-off
        with_end = _expecting(guest, "stop") if guest.starts_over else contextlib.nullcontext()
        async with with_end:
            if not await self._ask_agent(guest, method, "powerdown"):
                await guest.execute("system_powerdown")

    async def reboot(self, domain: DomainHandle, method: ShutdownMethod = "default") -> None:
        """ACPI knows no reboot: the guest is asked to power off, and started over instead of ending (as in libvirt)."""
        check_method(method)
        guest = await self._reachable(domain)
        if guest.machine.on_reboot == "destroy":
            await self.shutdown(domain, method)
            return
        if await self._ask_agent(guest, method, "reboot"):
            if guest.final:
                await guest.forget()
            return
        async with _expecting(guest, "reboot"):
            await guest.execute("system_powerdown")

    async def _ask_agent(self, guest: Guest, method: ShutdownMethod, mode: str) -> bool:
        """Whether the agent took it on; for ``default`` it need not."""
        if method == "acpi":
            return False
        agent = guest.agent
        if agent is None or (method == "default" and not agent.open):
            if method == "agent":
                raise AgentError(f"domain '{guest.domain.name}' has no guest agent channel")
            return False
        try:
            await agent.ask_to_end(mode, lambda: guest.ending)
        except AgentError:
            if method == "agent":
                raise
            return False
        return True

    async def reset(self, domain: DomainHandle) -> None:
        guest = await self._reachable(domain)
        if guest.crashed or guest.asleep:  # and does not run
            await guest.start_over("host")
            return
        if guest.paused and not guest.facts.get("ran"):
            # QEMU then calls it "prelaunch", as one that never ran: a later engine must not take it for that
            await guest.remember(ran=True)
        if guest.machine.on_reboot == "destroy":
            await guest.execute("system_reset")
            timeout = self._timeouts["command_timeout"]
            with anyio.move_on_after(timeout):
                await guest.gone.wait()
                return
            raise CommandTimeout("QEMU's end after a reset", timeout)
        before = guest.mark()
        await guest.execute("system_reset")
        await guest.event("RESET", after=before, timeout=self._timeouts["command_timeout"])
        if guest.rebooting or guest.final:
            await guest.forget()  # what it was asked for before it was reset it will not do any more

    async def suspend(self, domain: DomainHandle) -> None:
        guest = await self._reachable(domain)
        await guest.execute("stop", settle=_SETTLES)
        if not guest.paused:  # QEMU did not tell: it was so already
            guest.paused = True
            domain.report(Report.SUSPENDED)

    async def resume(self, domain: DomainHandle) -> None:
        guest = await self._reachable(domain)
        await guest.execute("cont", settle=_SETTLES)
        if guest.paused:
            guest.paused = False
            domain.report(Report.RESUMED)

    async def destroy(self, domain: DomainHandle) -> None:
        guest = self._guests.get(domain.uuid)
        if guest is not None:
            await guest.end("destroyed", flush=guest.plan.flush and not guest.lost)
        if guest is None or not guest.process.ended:
            facts = guest.facts if guest is not None else self._lost.get(domain.uuid, {})
            await adoption.end_unwatched(domain, facts)
            self._guests.pop(domain.uuid, None)
            self._lost.pop(domain.uuid, None)
        domain.report(Report.STOPPED, "destroyed")

    async def save(self, domain: DomainHandle, path: Path) -> None:
        guest = await self._reachable(domain)
        if guest.plan.transient:
            raise OperationInvalid(
                f"domain '{domain.name}' can't be saved: a transient disk loses what the memory relies on"
            )
        try:
            await guest.wake(self._timeouts["command_timeout"])
            await save(guest, domain.definition, path)
        except QmpError as exc:
            raise DriverError(f"domain '{domain.name}' can't be saved: {exc.description}") from exc

    async def agent_sync(self, domain: DomainHandle) -> None:
        await (await self._agent(domain)).sync()

    async def agent_command(
        self, domain: DomainHandle, name: str, arguments: Mapping[str, JSON] | None, timeout: float
    ) -> Any:
        agent = await self._agent(domain)
        return await agent.execute(
            name, dict(arguments or {}), sync_timeout=min(timeout, _AGENT_IS_THERE), timeout=timeout
        )

    async def _agent(self, domain: DomainHandle) -> AgentConnection:
        guest = await self._reachable(domain)
        if guest.agent is None:
            raise AgentError(f"domain '{domain.name}' has no guest agent channel")
        return guest.agent

    def console_name(self, domain: DomainHandle, device: str = "") -> str:
        guest = self._guests.get(domain.uuid)
        if guest is None:
            raise DriverError(f"domain '{domain.name}' has no QEMU process any more")
        return interactive.terminal_of(guest, device).name

    async def open_console(self, domain: DomainHandle, console: str) -> ByteStream:
        return await interactive.open_console(await self._reachable(domain), console)

    async def open_graphics(self, domain: DomainHandle) -> ByteStream:
        return await interactive.open_graphics(await self._reachable(domain))

    async def screenshot(self, domain: DomainHandle) -> Screenshot:
        return await interactive.screenshot(await self._reachable(domain))

    async def reach(self, domain: DomainHandle) -> None:
        await (await self._reachable(domain)).execute("query-status", timeout=2.0)

    async def info(self, domain: DomainHandle) -> DomainInfo:
        guest = self._guests.get(domain.uuid)
        if guest is None or guest.gone.is_set():
            return DomainInfo(log=domain.log_path)
        cpu_time, resident = usage(guest.process.pid)
        console = guest.characters.console or await self._pty(guest)
        return DomainInfo(
            pid=guest.process.pid,
            cpu_time=cpu_time,
            memory=await self._memory(guest),
            resident=resident,
            console=Path(console) if console else None,
            console_offset=_number(guest.facts.get("console_offset")) if guest.characters.console else 0,
            log=domain.log_path,
            displays=await interactive.displays(guest),
        )

    async def _pty(self, guest: Guest) -> str:
        if guest.characters.pty:
            with contextlib.suppress(EngineError):
                return await interactive.pty_of(guest, guest.characters.pty)
        return ""

    async def _memory(self, guest: Guest) -> int:
        balloon = guest.machine.devices.balloon
        if balloon is not None and balloon.model == "virtio":
            with contextlib.suppress(EngineError, KeyError, TypeError):
                return int((await guest.execute("query-balloon", timeout=2.0))["actual"]) // 1024
        return guest.domain.definition.memory


def _report_started(domain: DomainHandle, *, restored: bool, paused: bool) -> None:
    domain.report(Report.STARTED, "restored" if restored else "booted")
    if paused:
        domain.report(Report.SUSPENDED, "restored" if restored else "paused")


async def _handed_over(start: Callable[[], Launched]) -> Launched:
    """Run ``start`` in a thread. A thread can't be cancelled, and asyncio's own ``Task.cancel`` does not wait for it:
    what it has started by then must not be left behind."""
    lock = threading.Lock()
    done: list[Launched] = []
    abandoned = False

    def work() -> Launched:
        launched = start()
        with lock:
            done.append(launched)
            if abandoned:
                launched.undo()
        return launched

    try:
        return await anyio.to_thread.run_sync(work)
    except BaseException:
        with lock:
            abandoned = True
        with anyio.CancelScope(shield=True):
            for launched in done:
                await anyio.to_thread.run_sync(launched.undo)
        raise


@asynccontextmanager
async def _expecting(guest: Guest, end: Literal["reboot", "stop"]) -> AsyncIterator[None]:
    """The block asks the guest for ``end``; if that does not work out, its power-off means what it meant before."""
    try:
        await guest.expect(end)
        yield
    except BaseException:
        await guest.forget()
        raise


def _number(value: JSON) -> int:
    return value if isinstance(value, int) else 0


async def _together(*functions: Callable[[], Awaitable[Any]]) -> None:
    """Run them at once; the first error, bare, after the others were cancelled."""
    failed: list[BaseException] = []
    try:
        async with anyio.create_task_group() as tasks:
            for function in functions:
                tasks.start_soon(function)  # type: ignore[arg-type]
    except BaseExceptionGroup as group:
        failed = list(_leaves(group))
    if failed:
        raise failed[0]


def _leaves(group: BaseExceptionGroup[BaseException]) -> list[BaseException]:
    return [
        leaf for exc in group.exceptions for leaf in (_leaves(exc) if isinstance(exc, BaseExceptionGroup) else [exc])
    ]
