"""What a driver must offer, and what the engine offers to a driver.

A driver runs one kind of hypervisor. It holds no definitions, no state on disk and no events of its own: the engine
keeps them for every driver alike. A driver does I/O and *reports* facts through the ``DomainHandle`` it is given.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias, get_args

import msgspec
from anyio.abc import ByteStream

from engine.conf import DomainDefinition
from engine.errors import ConfigError, NotSupported
from engine.events.commands import ShutdownMethod
from engine.events.types import DomainEvent
from engine.lifecycle import Command, Report, State
from engine.uri import ConnectionURI, default_uri

__all__ = [
    "ConnectionURI",
    "Discovered",
    "Display",
    "DomainHandle",
    "DomainInfo",
    "Driver",
    "DriverContext",
    "Run",
    "ScopeInfo",
    "Screenshot",
    "ShutdownMethod",
    "check_method",
    "default_uri",
]

JSON: TypeAlias = "dict[str, JSON] | list[JSON] | str | int | float | bool | None"


def check_method(method: str) -> None:
    """Whether ``method`` is a ``ShutdownMethod``, whatever a type checker let through. Raises ConfigError."""
    known = get_args(ShutdownMethod)
    if method not in known:
        raise ConfigError(f"there is no shutdown method '{method}' (there is {', '.join(known)})")


class ScopeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where the domain's processes were put.

    Attributes:
        unit: the systemd unit, or "" when there is none.
        method: the call that made it: ``CreateMachineWithNetwork`` | ``CreateMachine`` | ``StartTransientUnit`` | "".
        reason: why there is none.
    """

    unit: str = ""
    method: str = ""
    reason: str = ""


class Discovered(msgspec.Struct, frozen=True, kw_only=True):
    """A domain that the URI or the host brings by itself (``test:///default`` has one called test).

    Attributes:
        definition: the domain.
        active: it runs (the driver's ``start`` state is taken over without calling ``start``).
        persistent, autostart: as in libvirt.
        seed: it is what a connection that was never opened before begins with: with a state directory it is kept like
            any other domain, and what the driver brings later does not count.
    """

    definition: DomainDefinition
    active: bool = False
    paused: bool = False
    persistent: bool = True
    autostart: bool = False
    seed: bool = False


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """A running domain as an engine that is gone left it.

    Attributes:
        state: the one it was in; facts: what the driver remembered of it; runtime_dir: the folder with its sockets.
    """

    state: State
    facts: Mapping[str, JSON]
    runtime_dir: Path


class Display(msgspec.Struct, frozen=True, kw_only=True):
    """Where a screen can be seen.

    Attributes:
        scheme: ``vnc`` or ``spice``. place: the address that it listens at, and port, or the path of its socket and 0.
    """

    scheme: str
    place: str
    port: int = 0


class DomainInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What a running domain uses now; None: the driver can't tell.

    Attributes:
        pid: of the hypervisor's process on this host.
        cpu_time: seconds of host CPU; memory: KiB it has now (balloon); resident: KiB of host memory.
        console: path of the first serial or console: a file or pty; socket paths are not given.
        console_offset: where in that file this run of the domain begins.
        log: the per-domain log of the hypervisor's own words.
        displays: those that listen somewhere.
    """

    pid: int | None = None
    cpu_time: float | None = None
    memory: int | None = None
    resident: int | None = None
    console: Path | None = None
    console_offset: int = 0
    log: Path | None = None
    displays: tuple[Display, ...] = ()


class Screenshot(msgspec.Struct, frozen=True, kw_only=True):
    """A picture of a screen. Attributes: data: the file; media_type: ``image/png``, or what the hypervisor makes."""

    data: bytes
    media_type: str = "image/png"


class DomainHandle(Protocol):
    """One domain, as the engine hands it to its driver. Valid as long as the domain exists.

    All but ``remember`` and ``create_scope`` return at once and never fail.
    """

    @property
    def definition(self) -> DomainDefinition:
        """The definition: of a running domain the one it was started with."""

    @property
    def name(self) -> str: ...

    @property
    def uuid(self) -> str: ...

    @property
    def state(self) -> State:
        """What it was told to be last."""

    @property
    def runtime_dir(self) -> Path:
        """A folder for this domain's sockets and pid files; private, its path short enough for a socket.

        It is there before ``start`` if the driver's ``runtime_folder`` says so, and goes when the domain has stopped.
        """

    @property
    def state_dir(self) -> Path:
        """A private folder for what outlives its runs (the state of a TPM); make it when there is something to keep.

        It goes when the domain is undefined, or is transient and has stopped, unless ``Driver.keeps_state`` says no.
        """

    @property
    def log_path(self) -> Path:
        """Where the hypervisor's own words go; kept after the domain stopped when the engine has a state directory."""

    def report(self, report: Report, detail: str = "", reason: str = "", *, time: float | None = None) -> None:
        """Tell what happened. ``detail`` and ``reason`` are libvirt's words; "" takes the usual one.

        ``time`` is when it was, seconds since 1970, where that was not just now.

        A report that is impossible in the state the domain is in is dropped and logged: a driver may report twice.
        """

    def emit(self, event_type: type[DomainEvent], **facts: Any) -> None:
        """Publish a further event about this domain; ``facts`` are the event's own fields."""

    async def remember(self, facts: Mapping[str, JSON]) -> None:
        """Persist what ``Driver.adopt`` will need (replaces what was remembered before); gone when the domain stops.

        Raises:
            StoreError: it could not be written; the domain should not be started then.
        """

    async def create_scope(self, leader: int, *, interfaces: Sequence[int] = ()) -> ScopeInfo:
        """Put process ``leader`` (and its children) into a systemd scope ordered as the graph says.

        Args:
            leader: PID. interfaces: indexes of host network interfaces that belong to the domain.

        Never raises for a missing or refusing systemd: the answer says so, and an event is published.
        """


class DriverContext(Protocol):
    """What the engine offers to one opened connection."""

    @property
    def uri(self) -> ConnectionURI: ...

    @property
    def persistent(self) -> bool:
        """The engine has a state directory: domains may outlive the engine."""

    @property
    def save_dir(self) -> Path: ...

    def start_soon(self, function: Callable[..., Awaitable[None]], *args: object, name: str) -> None:
        """Run a task as long as the connection is open; an exception in it closes that connection, no other."""


class Driver(ABC):
    """One opened connection to one hypervisor.

    Rules (``engine.testing.check_driver`` holds a driver to them, on asyncio and on trio):

    - A command is called only when ``engine.lifecycle`` allows it, one at a time a domain, any number of domains at
      once. It returns when done (``shutdown``, ``reboot``: when asked) and has reported what it did by then.
    - A command that raises or is cancelled leaves the domain as the reports say: a cancelled or failed ``start`` has no
      process left.
    - Only EngineError leaves a driver.
    """

    #: URI scheme, e.g. "qemu".
    scheme: ClassVar[str]
    #: Values of ``<domain type='...'>`` it can run.
    domain_types: ClassVar[frozenset[str]]
    #: What it can do beyond start and destroy.
    commands: ClassVar[frozenset[Command]]
    #: Stop methods it has: subset of agent, acpi, save, destroy.
    stop_methods: ClassVar[frozenset[str]]
    #: It keeps sockets or logs of running domains on this host: ``DomainHandle.runtime_dir`` is made before ``start``.
    runtime_folder: ClassVar[bool] = True

    @classmethod
    @abstractmethod
    def open(cls, uri: ConnectionURI, context: DriverContext) -> AbstractAsyncContextManager[Driver]:
        """Open the connection; leaving the context closes it and never touches a running domain."""

    @classmethod
    def unchanged(cls, uri: ConnectionURI, runs: Sequence[Run]) -> bool:
        """Whether all of ``runs``, the domains of this connection that ran when an engine was last there, still run and
        are in the state they were in, and ``discover`` would bring no others.

        Called without an open connection and without an event loop; may block, for moments, not seconds. False says no
        more than that it takes an open connection to tell, as it does unless a driver knows better.
        """
        return False

    @classmethod
    def to_native(cls, definition: DomainDefinition) -> str:
        """What the hypervisor would be given for a domain, as text for people; no connection is needed.

        Raises:
            NotSupported: it is given nothing that could be shown. UnsupportedConfig: as ``check``.
        """
        raise NotSupported(cls.scheme, "native configurations")

    @abstractmethod
    def check(self, definition: DomainDefinition) -> None:
        """Refuse what can't be built, by name and line, before any I/O.

        Raises:
            UnsupportedConfig: see there.
        """

    async def discover(self) -> Sequence[Discovered]:
        """The domains the URI or the host brings by itself. Called once, right after ``open``."""
        return ()

    def keeps_state(self, definition: DomainDefinition) -> bool:
        """``DomainHandle.state_dir`` outlives the definition, since that says so."""
        return False

    @abstractmethod
    async def start(self, domain: DomainHandle, *, paused: bool = False, restore_from: Path | None = None) -> None:
        """Start it and report STARTED (detail ``booted`` or ``restored``; if paused, then SUSPENDED as well).

        Args:
            restore_from: a file ``save`` made; it is not deleted.

        Raises:
            StartFailed, UnsupportedConfig, MissingProgram, HostError.
        """

    async def adopt(self, domain: DomainHandle, facts: Mapping[str, JSON]) -> bool:
        """Take over a domain that an earlier engine left running; ``facts`` is what it remembered.

        Returns:
            True: it runs, and SUSPENDED/SHUTTING_DOWN/CRASHED was reported where it is not plainly running (the engine
            assumes RUNNING before the call). False: it is gone, and STOPPED was reported with the true detail;
            ``failed`` only if the guest never ran, since a managed save is kept then.
        """
        domain.report(Report.STOPPED, "failed")
        return False

    async def find_running(self, domain: DomainHandle) -> int | None:
        """The PID of a process that runs this domain though nothing that was kept says so; None: there is none.

        Asked before a start that finds leftovers in ``runtime_dir``.
        """
        return None

    async def shutdown(self, domain: DomainHandle, method: ShutdownMethod = "default") -> None:
        """Ask the guest to power off. Returns when asked; STOPPED is reported when it has happened.

        Raises:
            ConfigError: there is no such method (see ``check_method``). AgentUnresponsive, AgentError: method
            ``agent``.
        """
        raise NotSupported(self.scheme, "shutdown")

    async def reboot(self, domain: DomainHandle, method: ShutdownMethod = "default") -> None:
        """Ask the guest to reboot. Returns when asked; REBOOTED is reported when it has happened."""
        raise NotSupported(self.scheme, "reboot")

    async def reset(self, domain: DomainHandle) -> None:
        """Press the reset button; REBOOTED is reported."""
        raise NotSupported(self.scheme, "reset")

    async def suspend(self, domain: DomainHandle) -> None:
        """Stop the virtual CPUs; SUSPENDED is reported before it returns."""
        raise NotSupported(self.scheme, "suspend")

    async def resume(self, domain: DomainHandle) -> None:
        """Let the virtual CPUs run; RESUMED is reported before it returns."""
        raise NotSupported(self.scheme, "resume")

    @abstractmethod
    async def destroy(self, domain: DomainHandle) -> None:
        """Pull the plug: STOPPED (``destroyed``) is reported and the process reaped before it returns."""

    async def save(self, domain: DomainHandle, path: Path) -> None:
        """Write memory and devices to ``path`` and stop: STOPPED (``saved``) is reported before it returns.

        The file is ``engine.util.savefile``'s: header with the domain's XML, then the driver's own data; it appears
        under its name only when it is whole and on disk. A failed or cancelled save leaves the guest as it was.
        """
        raise NotSupported(self.scheme, "save")

    async def agent_sync(self, domain: DomainHandle) -> None:
        """Return once the guest agent answers; wait for it as long as the caller lets it.

        Raises:
            AgentError: the domain has no agent channel.
        """
        raise NotSupported(self.scheme, "the guest agent")

    async def agent_command(
        self, domain: DomainHandle, name: str, arguments: Mapping[str, JSON] | None, timeout: float
    ) -> Any:
        """What the guest agent returns for a command of its own.

        Raises:
            AgentError: it refused, or there is none. AgentUnresponsive: it did not answer within ``timeout`` seconds.
        """
        raise NotSupported(self.scheme, "the guest agent")

    def console_name(self, domain: DomainHandle, device: str = "") -> str:
        """Which console that is, by a name that two names of one have in common; "": the first.

        Raises:
            DriverError: there is no such console.
        """
        raise NotSupported(self.scheme, "consoles")

    async def open_console(self, domain: DomainHandle, console: str) -> ByteStream:
        """Bytes from and to a console (``console_name``) that nobody else has open; ends when the guest does.

        Raises:
            DriverError: it is one that nobody can sit at, as a file.
        """
        raise NotSupported(self.scheme, "consoles")

    async def open_graphics(self, domain: DomainHandle) -> ByteStream:
        """A connection to the guest's VNC display (RFC 6143), for which no password is asked.

        Raises:
            DriverError: it has none.
        """
        raise NotSupported(self.scheme, "displays")

    async def screenshot(self, domain: DomainHandle) -> Screenshot:
        """What its first screen shows. Raises DriverError: it has none."""
        raise NotSupported(self.scheme, "screenshots")

    async def reach(self, domain: DomainHandle) -> None:  # noqa: B027 - many have nothing between them and their guests
        """Ask the hypervisor something about a running domain that changes nothing.

        Raises:
            EngineError: it does not answer, so that the domain can't be asked to stop now. Within seconds.
        """

    async def info(self, domain: DomainHandle) -> DomainInfo:
        """What it uses now."""
        return DomainInfo()
