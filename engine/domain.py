"""A domain at run time: the only writer of domain state, the only publisher of lifecycle events.

A command goes over the bus and comes back here (``Domain.execute``); what a driver reports goes in at
``Handle.report``. One command at a time a domain; ``destroy`` ends a command that is under way, since pulling the
plug must always work.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import anyio
import anyio.lowlevel
from anyio.abc import ByteStream

from engine.abc import JSON, DomainInfo, Driver, ScopeInfo, Screenshot, ShutdownMethod
from engine.conf import DomainDefinition
from engine.consoles import Consoles, ConsoleStream
from engine.errors import (
    ConfigError,
    DriverError,
    EngineClosed,
    EngineError,
    GateFailed,
    HostError,
    InvalidState,
    NoSuchDomain,
    OperationAborted,
    OperationInvalid,
    StoreError,
)
from engine.events import commands, types
from engine.events.reports import describe
from engine.lifecycle import ACTIVE, Command, Report, State, advance, allowed
from engine.store import Status, read_saved, slot_of
from engine.turns import Turns
from engine.util.files import absolute

if TYPE_CHECKING:
    from engine.events.bus import Bus
    from engine.store import Store

__all__ = ["Domain", "Handle", "Host", "Told"]

log = logging.getLogger("engine.domain")

# what is wrong with a path that somebody chose, rather than with the disk behind it
_NO_PLACE = frozenset(
    {
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EINVAL,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENAMETOOLONG,
        errno.ELOOP,
        errno.EEXIST,
    }
)

#: What a driver told: the report, its detail, its reason, and when that was (None: just now).
Told: TypeAlias = tuple[Report, str, str, float | None]


class Host(Protocol):
    """What a domain needs of the connection that owns it."""

    uri: str
    driver: Driver
    bus: Bus
    store: Store

    def started(self, domain: Domain) -> None:
        """The domain has just begun to run: its gates are due."""

    def ended(self, domain: Domain, *, unit: str, tidy: bool) -> None:
        """The domain has stopped.

        Args:
            unit: the scope that held it, or ""; tidy: it left something to tidy up (see ``Domain.tidy_later``).
        """

    def changed(self, domain: Domain) -> None:
        """Its run-time state is to be kept soon (see ``Domain.keep_status_later``)."""

    def defined(self, domain: Domain) -> None:
        """The domain has a new definition."""

    def forget(self, domain: Domain) -> None:
        """The domain is no more."""

    async def create_scope(self, domain: Domain, leader: int, interfaces: Sequence[int]) -> ScopeInfo: ...


# these end with the command; a guest that was asked to power off or reboot does so later, and because of it
_LASTING = frozenset({Command.SHUTDOWN, Command.REBOOT})

# pulling the plug ends these, under way or waiting
_GIVES_WAY = frozenset(Command) - {Command.DESTROY, Command.DEFINE, Command.UNDEFINE, Command.AUTOSTART}

# these touch no guest: of what happens meanwhile they cause nothing but this
_PAPERWORK: dict[Command, type[types.DomainEvent]] = {
    Command.DEFINE: types.DomainDefined,
    Command.UNDEFINE: types.DomainUndefined,
    Command.AUTOSTART: types.AutostartChanged,
}


class Domain:
    """One domain of an engine. Get it from ``Engine.define`` or ``Engine.domain``; never make one.

    All commands raise InvalidState when the state makes them impossible (before anything is done), EngineClosed when
    the engine is closed, NotSupported when the driver can't, and what the driver raises. Every one can be cancelled.
    """

    __slots__ = (
        "__weakref__",
        "_adopting",
        "_asked",
        "_changed",
        "_command",
        "_consoles",
        "_definition",
        "_dirty",
        "_handle",
        "_host",
        "_live",
        "_not_ready",
        "_ran",
        "_stale",
        "_turns",
        "autostart",
        "going_on",
        "gone",
        "persistent",
        "ready",
        "reason",
        "restored",
        "saved",
        "scope",
        "started_at",
        "state",
    )

    def __init__(self, host: Host, definition: DomainDefinition, *, persistent: bool = True) -> None:
        self._host = host
        self._definition = definition
        self._live: DomainDefinition | None = None
        self._handle: Handle | None = None
        self._changed: anyio.Event | None = None
        self._turns = Turns()
        self._command: commands.DomainCommand | None = None  # the one under way
        self._asked: str | None = None  # id of the one whose effect is still to come
        self._adopting: list[Told] | None = None
        self._dirty = False  # the last run left something to tidy up
        self._stale = False  # its status on disk is not what was told of it last
        self._ran = False
        self._consoles: Consoles | None = None
        #: It is no more; another of its name may be there.
        self.gone = False
        self._not_ready: GateFailed | None = None
        #: libvirt's state and the reason for it.
        self.state = State.NOSTATE
        self.reason = "unknown"
        #: It stays defined when it stops.
        self.persistent = persistent
        #: It is started with the host.
        self.autostart = False
        #: It passed its gate since it was started.
        self.ready = False
        #: It did not pass its gate, and its order says that its dependents start all the same.
        self.going_on = False
        #: This run of it goes on from a save.
        self.restored = False
        #: A managed save exists: the next start restores it.
        self.saved = False
        #: Name of its systemd scope while it runs, or "".
        self.scope = ""
        #: When it was started, seconds since 1970; 0.0 while it does not run.
        self.started_at = 0.0

    def __repr__(self) -> str:
        return f"<Domain {self.name!r} {self.state} at {self._host.uri}>"

    # ------------------------------------------------------------------ facts

    @property
    def name(self) -> str:
        return self._definition.name

    @property
    def uuid(self) -> str:
        """Lower case with dashes."""
        return self._definition.uuid

    @property
    def connection(self) -> str:
        """URI of the connection that owns it."""
        return self._host.uri

    @property
    def slot(self) -> str:
        """Names its files in the store."""
        return slot_of(self._host.uri, self.uuid)

    @property
    def definition(self) -> DomainDefinition:
        """The definition it is started with next time."""
        return self._definition

    @property
    def live_definition(self) -> DomainDefinition:
        """The definition it runs with; the same as ``definition`` while it does not run."""
        return self._live or self._definition

    @property
    def driver(self) -> Driver:
        """The driver that runs it."""
        return self._host.driver

    @property
    def active(self) -> bool:
        """It has a process (or its equal on a remote hypervisor)."""
        return self.state in ACTIVE

    @property
    def busy(self) -> bool:
        """A command is under way."""
        return self._turns.busy

    @property
    def allowed(self) -> tuple[Command, ...]:
        """The commands that are possible now."""
        return allowed(self.state)

    def xml(self, *, inactive: bool = False) -> str:
        """The domain document: of a running domain the live one, unless ``inactive``."""
        return (self._definition if inactive else self.live_definition).text

    async def info(self) -> DomainInfo:
        """What it uses now; all None while it does not run."""
        return await self._host.driver.info(self.handle) if self.active else DomainInfo()

    # ------------------------------------------------------------------ commands

    def _name(self) -> dict[str, str]:
        return {"connection": self._host.uri, "domain": self.name, "uuid": self.uuid}

    async def start(self, *, paused: bool = False, force_boot: bool = False) -> None:
        """Start it; from its managed save when there is one, unless ``force_boot`` (which discards that).

        Raises:
            StartFailed: it did not come up; nothing is left of it.
        """
        await self._host.bus.execute(commands.StartDomain(**self._name(), paused=paused, force_boot=force_boot))

    async def shutdown(self, *, method: ShutdownMethod = "default") -> None:
        """Ask the guest to power off; returns when it is asked. Wait with ``wait_for(State.SHUTOFF)``."""
        await self._host.bus.execute(commands.ShutdownDomain(**self._name(), method=method))

    async def reboot(self, *, method: ShutdownMethod = "default") -> None:
        """Ask the guest to reboot; returns when it is asked."""
        await self._host.bus.execute(commands.RebootDomain(**self._name(), method=method))

    async def reset(self) -> None:
        """Press the reset button."""
        await self._host.bus.execute(commands.ResetDomain(**self._name()))

    async def suspend(self) -> None:
        """Stop its CPUs."""
        await self._host.bus.execute(commands.SuspendDomain(**self._name()))

    async def resume(self) -> None:
        """Let its CPUs run."""
        await self._host.bus.execute(commands.ResumeDomain(**self._name()))

    async def destroy(self) -> None:
        """Pull the plug, at once; a command under way is given up."""
        await self._host.bus.execute(commands.DestroyDomain(**self._name()))

    async def save(self, path: str | Path) -> None:
        """Write its memory to ``path`` and stop it; ``Engine.restore`` brings it back.

        Raises:
            ConfigError: no file can be there. HostError: the disk is full, or fails.
        """
        await self._host.bus.execute(commands.SaveDomain(**self._name(), path=str(absolute(path))))

    async def managed_save(self) -> None:
        """Save it where the next ``start`` finds it."""
        await self._host.bus.execute(commands.ManagedSaveDomain(**self._name()))

    async def undefine(self, *, managed_save: bool = False) -> None:
        """Forget its definition; a running domain goes on as a transient one.

        Args:
            managed_save: discard its managed save, too.

        Raises:
            OperationInvalid: it has a managed save and ``managed_save`` is False.
        """
        await self._host.bus.execute(commands.UndefineDomain(**self._name(), managed_save=managed_save))

    async def set_autostart(self, autostart: bool = True) -> None:
        """Whether it is started with the host."""
        await self._host.bus.execute(commands.SetAutostart(**self._name(), autostart=autostart))

    # ------------------------------------------------------------------ waiting

    async def changed(self) -> None:
        """Wait until its state, or whether it is ready, changes."""
        if self._changed is None:
            self._changed = anyio.Event()
        await self._changed.wait()

    async def wait_for(self, *states: State) -> State:
        """Wait until it is in one of ``states``; the one it is in.

        Raises:
            NoSuchDomain: it was undefined, or stopped as a transient domain (for whoever waits for SHUTOFF, it has).
        """
        while self.state not in states:
            if self.gone:
                if State.SHUTOFF in states:
                    return State.SHUTOFF
                raise NoSuchDomain(self.name)
            await self.changed()
        return self.state

    async def refresh(self) -> None:
        """Nothing is to be done: here it is always as it is (the client of a service has to ask)."""

    async def wait_stopped(self) -> None:
        """Wait until it does not run."""
        while self.active:
            await self.changed()

    async def wait_ready(self) -> None:
        """Wait until it has passed its gates.

        Raises:
            GateFailed: it did not in time, or stopped before.
        """
        while not self.ready:
            if self._not_ready is not None:
                raise self._not_ready
            if not self.active or self.state is State.CRASHED:
                raise GateFailed(self.name, "running", 0.0, f"it is {self.state}")
            await self.changed()

    async def wait_agent(self) -> None:
        """Wait until its guest agent answers. Raises AgentError when it has none."""
        await self._host.driver.agent_sync(self.handle)

    async def agent_command(
        self, name: str, arguments: Mapping[str, JSON] | None = None, *, timeout: float = 30.0
    ) -> Any:
        """What its guest agent returns for a command of the agent's own, such as ``guest-get-osinfo``.

        Raises:
            AgentError: it refused, or the domain has none; AgentUnresponsive: no answer within ``timeout`` seconds.
        """
        self._check_active("ask the agent of")
        return await self._host.driver.agent_command(self.handle, name, arguments, timeout)

    @asynccontextmanager
    async def open_console(self, device: str = "", *, force: bool = False) -> AsyncIterator[ConsoleStream]:
        """Bytes from and to a console; "": its first. What it said before is not there any more.

        Args:
            force: whoever is at it already has to go.

        Raises:
            Busy: somebody is at it. OperationInvalid: there is none, or none that one can sit at.
        """
        self._check_active("open the console of")
        driver, name = self._host.driver, self._host.driver.console_name(self.handle, device)
        if self._consoles is None:
            self._consoles = Consoles()
        open_it = partial(driver.open_console, self.handle, name)
        async with self._consoles.take(name, open_it, force=force, domain=self.name) as stream:
            yield stream

    async def open_graphics(self) -> ByteStream:
        """A connection to its VNC display (RFC 6143), for which no password is asked. Raises OperationInvalid: none."""
        self._check_active("open the display of")
        return await self._host.driver.open_graphics(self.handle)

    async def screenshot(self) -> Screenshot:
        """What its first screen shows. Raises OperationInvalid: it has none."""
        self._check_active("take a picture of")
        return await self._host.driver.screenshot(self.handle)

    def _check_active(self, what: str) -> None:
        if not self.active:
            raise InvalidState(what, self.state, self.allowed, domain=self.name)

    async def reach(self) -> None:
        """Return when its hypervisor answers. Raises EngineError when it does not."""
        await self._host.driver.reach(self.handle)

    def _wake(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None

    # ------------------------------------------------------------------ executing a command

    @property
    def handle(self) -> Handle:
        """The face the driver sees."""
        if self._handle is None:
            self._handle = Handle(self)
        return self._handle

    async def execute(self, command: commands.DomainCommand) -> Any:
        """Carry out one command; called by the bus."""
        kind = command.kind
        if kind is Command.DESTROY:
            self._turns.give_up(OperationAborted(f"it was given up: domain '{self.name}' was destroyed"), _GIVES_WAY)
        return await self._turns.take(kind, self._carry_out, command)

    async def interrupt(self) -> None:
        """The engine closes: end what is under way, and return when it has ended."""
        if self.busy:
            self._turns.give_up(EngineClosed("the engine was closed before the command was done"))
            async with self._turns.free():
                pass

    async def _carry_out(self, command: commands.DomainCommand) -> Any:
        kind = command.kind
        if self.gone:
            raise NoSuchDomain(self.name)
        advance(self.state, kind, domain=self.name)  # refuses before any I/O
        self._command = command
        asked = self._asked
        if kind in _LASTING:
            self._asked = command.id
        try:
            return await _EXECUTE[kind](self, command)
        except BaseException as exc:
            if self._asked == command.id:
                self._asked = asked
            if isinstance(exc, EngineError):
                self.publish(types.CommandFailed, command=kind.value, error=str(exc))
            raise
        finally:
            self._command = None
            if self._stale:
                await self.keep_status()

    async def _start(self, command: commands.StartDomain) -> None:
        await self.tidy()
        if not self.saved or command.force_boot:
            # also one that nothing is known of, as a crash may have left it: its memory soon won't fit the disks
            await self.discard_save()
            await self._run(self._definition, paused=command.paused)
            return
        saved = self._host.store.managed_save(self.slot)
        # it goes on with the hardware it was saved with; a newer definition counts from its next boot on
        await self._run(await read_saved(saved), paused=command.paused, restore_from=saved)

    async def _run(self, definition: DomainDefinition, *, paused: bool, restore_from: Path | None = None) -> None:
        driver = self._host.driver
        driver.check(definition)
        self._live = definition
        self._ran = False
        try:
            if driver.runtime_folder:
                await self._check_leftovers()
                self._dirty = True
                await self._host.store.make_runtime_dir(self.slot)
            await driver.start(self.handle, paused=paused, restore_from=restore_from)
        finally:
            with anyio.CancelScope(shield=True):
                if self._ran and self.saved and self.reason != "saved":
                    # from here on that memory no longer fits the disks: it must not be restored once more
                    await self.discard_save()
                if not self.active:
                    self._live = None
                    self._lose_scope()
                    await self.tidy()

    async def _check_leftovers(self) -> None:
        """Never run it twice: what lies where its sockets go may be that of a process nobody told of."""
        if await self._host.store.has_leftovers(self.slot):
            pid = await self._host.driver.find_running(self.handle)
            if pid is not None:
                raise DriverError(
                    f"domain '{self.name}' runs already, as process {pid}, and what was kept of it can't be read: "
                    f"power it off from inside or end that process, then start it again"
                )

    def _lose_scope(self) -> None:
        unit, self.scope = self.scope, ""
        if unit:
            self._host.ended(self, unit=unit, tidy=False)

    async def _restore(self, command: commands.RestoreDomain) -> None:
        await self.tidy()
        await self._run(command.definition, paused=command.paused, restore_from=Path(command.path))

    async def discard_save(self) -> None:
        """Its managed save fits its disks no longer. Raises StoreError."""
        await self._host.store.delete_save(self.slot)
        self.saved = False

    async def _shutdown(self, command: commands.ShutdownDomain) -> None:
        await self._host.driver.shutdown(self.handle, command.method)

    async def _reboot(self, command: commands.RebootDomain) -> None:
        await self._host.driver.reboot(self.handle, command.method)

    async def _reset(self, command: commands.DomainCommand) -> None:
        await self._host.driver.reset(self.handle)

    async def _suspend(self, command: commands.DomainCommand) -> None:
        await self._host.driver.suspend(self.handle)

    async def _resume(self, command: commands.DomainCommand) -> None:
        await self._host.driver.resume(self.handle)

    async def _destroy(self, command: commands.DomainCommand) -> None:
        await self._host.driver.destroy(self.handle)
        await self.tidy()

    async def _save(self, command: commands.SaveDomain) -> None:
        try:
            await self._host.driver.save(self.handle, Path(command.path))
        except HostError as exc:
            if isinstance(exc.__cause__, OSError) and exc.__cause__.errno in _NO_PLACE:  # the caller's own choice
                raise ConfigError((exc.__cause__.strerror or "").lower(), source=command.path) from exc.__cause__
            raise
        await self.tidy()

    async def _managed_save(self, command: commands.DomainCommand) -> None:
        if not self.persistent:
            raise OperationInvalid(f"domain '{self.name}' is transient: it has no managed save (use save)")
        await self._host.store.make_save_dir()
        try:
            await self._host.driver.save(self.handle, self._host.store.managed_save(self.slot))
        finally:
            # also when it was cancelled between its end and the return: the file is there, and the next start needs it
            if not self.active and self.reason == "saved":
                self.saved = True
        await self.tidy()

    async def _undefine(self, command: commands.UndefineDomain) -> None:
        if not self.persistent:
            raise OperationInvalid(f"domain '{self.name}' is transient: there is no definition to remove")
        if self.saved and not command.managed_save:
            raise OperationInvalid(
                f"domain '{self.name}' has a managed save: start it, or undefine it with --managed-save"
            )
        with anyio.CancelScope(shield=True):  # all of it or nothing
            if not self.active:
                # before the definition: left behind by a crash, they would come upon the next domain of this UUID
                await self._delete_state()
            await self._host.store.delete_definition(self._host.uri, self._definition)
        self.saved = False
        self.persistent = False
        self.autostart = False
        self.report(Report.UNDEFINED)
        if not self.active:
            self._host.forget(self)

    async def _delete_state(self) -> None:
        """Nobody will run it any more: remove what outlives its runs. Raises StoreError."""
        if self._host.driver.keeps_state(self.live_definition):
            await self.discard_save()
        else:
            await self._host.store.delete_state(self.slot)

    async def _set_autostart(self, command: commands.SetAutostart) -> None:
        if not self.persistent:
            raise OperationInvalid(f"domain '{self.name}' is transient: it can't be started with the host")
        if command.autostart != self.autostart:
            await self._host.store.set_autostart(self.slot, command.autostart)
            self.autostart = command.autostart
            self.publish(types.AutostartChanged, autostart=command.autostart)

    async def _define(self, command: commands.DefineDomain) -> None:
        definition = command.definition
        self._host.driver.check(definition)
        added = self.state is State.NOSTATE or not self.persistent
        await self._host.store.save_definition(self._host.uri, definition, anew=added)
        self._definition = definition
        self.persistent = True
        self.report(Report.DEFINED, "added" if added else "updated")

    # ------------------------------------------------------------------ what was reported

    def report(self, report: Report, detail: str = "", reason: str = "", time: float | None = None) -> None:
        """Take in a fact; see ``DomainHandle.report``."""
        if self._adopting is not None:
            self._adopting.append((report, detail, reason, time))
            return
        before = self.state
        try:
            state = advance(before, report, domain=self.name)
        except InvalidState as exc:
            log.debug("dropped a report: %s", exc)
            return
        if report is Report.STOPPED and before not in ACTIVE:
            return  # told already
        began = report is Report.STARTED and before not in ACTIVE
        event_type, detail, reason = describe(report, detail, reason)
        self.state = state
        self.reason = reason or self.reason
        unit = self.scope
        if state is State.CRASHED:
            self.ready = False
        if began:
            self._began()
            self.restored = detail == "restored"
        elif report is Report.STOPPED:
            self._stopped()
        self.publish(event_type, time=time, detail=detail, state=state, reason=self.reason)
        if report in (Report.STOPPED, Report.REBOOTED):
            self._asked = None  # what was asked has come about, or never will
        self._wake()
        if began or (before is State.CRASHED and state is State.RUNNING):
            self._host.started(self)
        elif report is Report.STOPPED:
            self._after_stop(unit)
        elif report is Report.DEFINED:
            self._host.defined(self)
        self._changed_status()

    def _began(self) -> None:
        self.started_at = time.time()
        self.ready = False
        self.going_on = False
        self._not_ready = None
        self._ran = True

    def _stopped(self) -> None:
        self._live = None
        self.ready = False
        self.started_at = 0.0
        self.scope = ""

    def _after_stop(self, unit: str) -> None:
        if unit or self._dirty:
            self._host.ended(self, unit=unit, tidy=self._dirty)
        if not self.persistent:
            self.state = State.NOSTATE
            self._host.forget(self)

    def _changed_status(self) -> None:
        """What is on disk no longer says what was told: a command keeps it at its end, else it is kept soon."""
        if self._dirty and self.active and self._host.store.persistent and not self._stale:
            self._stale = True
            if self._command is None:
                self._host.changed(self)

    def run_gates(self) -> None:
        """It runs and is not ready yet: see it through its gates."""
        self._host.started(self)

    def passed_gate(self, gate: str) -> None:
        """All its gates let it through."""
        self.ready = True
        self.publish(types.DomainReady, gate=gate, seconds=max(0.0, time.time() - self.started_at))
        self._wake()
        self._changed_status()

    def failed_gate(self, error: GateFailed, *, going_on: bool) -> None:
        """A gate did not let it through in time."""
        self._not_ready = error
        self.going_on = going_on
        self.publish(types.DomainNotReady, gate=error.gate, timeout=error.timeout, reason=str(error), going_on=going_on)
        self._wake()

    def publish(self, event_type: type[types.DomainEvent], **facts: Any) -> None:
        """Publish an event about this domain."""
        self._host.bus.publish(
            event_type,
            connection=self._host.uri,
            domain=self._definition.name,
            uuid=self._definition.uuid,
            cause=self._cause(event_type),
            **facts,
        )

    def _cause(self, event_type: type[types.DomainEvent]) -> str | None:
        if self._command is not None:
            only = _PAPERWORK.get(self._command.kind)
            if only is None or event_type in (only, types.CommandFailed):
                return self._command.id
        return self._asked

    def snapshot(self) -> dict[str, Any]:
        """The facts of a ``DomainSnapshot``."""
        return {
            **self._name(),
            "detail": "snapshot",
            "state": self.state,
            "reason": self.reason,
            "persistent": self.persistent,
            "autostart": self.autostart,
            "ready": self.ready,
        }

    # ------------------------------------------------------------------ on disk

    async def save_status(self) -> None:
        """Keep what a later engine needs to take the domain over. Raises StoreError."""
        await self._host.store.save_status(
            Status(
                uuid=self.uuid,
                connection=self._host.uri,
                text=self.live_definition.text,
                persistent=self.persistent,
                started=self.started_at or time.time(),
                state=self.state if self.active else State.RUNNING,
                reason=self.reason if self.active else "booted",
                ready=self.ready,
                scope=self.scope,
                active=self.active,
                restored=self.restored,
                pid=self.handle.leader,
                facts=self.handle.facts,
            )
        )

    async def keep_status(self) -> None:
        """The same, but a domain that runs is not told to have failed when it can't be kept."""
        with anyio.CancelScope(shield=True):
            self._stale = False
            if self.active:
                try:
                    await self.save_status()
                except StoreError as exc:
                    log.warning("the run-time state of domain %s is not kept: %s", self.name, exc)

    async def keep_status_later(self) -> None:
        """The same, when the domain is free."""
        async with self._turns.free():
            if self._stale:
                await self.keep_status()

    async def tidy(self) -> None:
        """Remove what the last run left: its run-time folder and status. Call it with the domain's lock held."""
        if self._dirty and not self.active:
            if not self.persistent:
                await self._delete_state()
            await self._host.store.delete_status(self.slot, reason=self.reason if self.persistent else "")
            self._dirty = False
            self._handle = None

    async def tidy_later(self) -> None:
        """The same, when the domain is free."""
        async with self._turns.free():
            await self.tidy()

    # ------------------------------------------------------------------ taken over from an earlier engine

    def load(self, *, autostart: bool, saved: bool, reason: str = "unknown") -> None:
        """It was found defined: no event, no I/O. ``reason``: why it is off."""
        self.state = State.SHUTOFF
        self.reason = reason
        self.autostart = autostart
        self.saved = saved

    def load_status(self, status: Status, live: DomainDefinition) -> list[Told]:
        """It was running when its status was kept: no event. Reports gather in the list until ``adopted`` is called."""
        self._dirty = True
        self._live = live
        self.state, self.reason = status.state, status.reason
        self.started_at = status.started
        self.ready = status.ready
        self.scope = status.scope
        self.restored = status.restored
        self.handle.facts, self.handle.leader = status.facts, status.pid
        reports: list[Told] = []
        self._adopting = reports
        return reports

    def adopted(self) -> None:
        """Reports count again."""
        self._adopting = None

    def found_active(self, *, paused: bool) -> None:
        """The URI or the host brings it running: no event."""
        self.state = State.PAUSED if paused else State.RUNNING
        self.reason = "unknown"
        self._live = self._definition
        self.started_at = time.time()
        self.ready = True


class Handle:
    """What a driver sees of a domain (``engine.abc.DomainHandle``)."""

    __slots__ = ("_domain", "facts", "leader")

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self.facts: Any = None
        self.leader: int | None = None

    def __repr__(self) -> str:
        return f"<Handle of {self._domain!r}>"

    @property
    def definition(self) -> DomainDefinition:
        return self._domain.live_definition

    @property
    def name(self) -> str:
        return self._domain.name

    @property
    def uuid(self) -> str:
        return self._domain.uuid

    @property
    def state(self) -> State:
        return self._domain.state

    @property
    def runtime_dir(self) -> Path:
        return self._domain._host.store.runtime_dir(self._domain.slot)

    @property
    def state_dir(self) -> Path:
        return self._domain._host.store.state_dir(self._domain.slot)

    @property
    def log_path(self) -> Path:
        return self._domain._host.store.log_path(self._domain.connection, self._domain.name, self._domain.uuid)

    def report(self, report: Report, detail: str = "", reason: str = "", *, time: float | None = None) -> None:
        self._domain.report(report, detail, reason, time)

    def emit(self, event_type: type[types.DomainEvent], **facts: Any) -> None:
        self._domain.publish(event_type, **facts)

    async def remember(self, facts: Mapping[str, JSON]) -> None:
        self._domain._dirty = True
        self.facts = dict(facts)
        self._domain._stale = False
        await self._domain.save_status()

    async def create_scope(self, leader: int, *, interfaces: Sequence[int] = ()) -> ScopeInfo:
        domain = self._domain
        self.leader = leader
        info = await domain._host.create_scope(domain, leader, interfaces)
        domain.scope = info.unit
        domain._changed_status()
        if info.unit:
            domain.publish(types.ScopeCreated, unit=info.unit, method=info.method)
        else:
            domain.publish(types.ScopeFailed, reason=info.reason)
        return info


_EXECUTE: dict[Command, Any] = {
    Command.DEFINE: Domain._define,
    Command.UNDEFINE: Domain._undefine,
    Command.START: Domain._start,
    Command.SHUTDOWN: Domain._shutdown,
    Command.REBOOT: Domain._reboot,
    Command.RESET: Domain._reset,
    Command.SUSPEND: Domain._suspend,
    Command.RESUME: Domain._resume,
    Command.DESTROY: Domain._destroy,
    Command.SAVE: Domain._save,
    Command.RESTORE: Domain._restore,
    Command.MANAGED_SAVE: Domain._managed_save,
    Command.AUTOSTART: Domain._set_autostart,
}
