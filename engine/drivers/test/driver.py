"""The in-memory driver."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, ClassVar

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import ByteStream

from engine import Command, Discovered, DomainHandle, DomainInfo, Driver, DriverContext, Report
from engine.abc import JSON, ConnectionURI, Run, Screenshot, ShutdownMethod, check_method
from engine.conf import DomainDefinition
from engine.drivers.test.console import Echo, blank_png
from engine.drivers.test.guest import Guest, read_guest
from engine.drivers.test.nodes import default_node, read_node
from engine.errors import (
    AgentError,
    AgentUnresponsive,
    ConfigError,
    DriverError,
    EngineError,
    HostError,
    OperationInvalid,
)
from engine.util.files import write_atomic
from engine.util.savefile import pack_header, read_header

__all__ = ["TestDriver"]


class _Fault(msgspec.Struct):
    command: str
    domain: str
    error: EngineError
    times: int


class TestDriver(Driver):
    """Guests that exist in memory only; thousands cost next to nothing.

    ``latency`` holds seconds each command takes, by command name; ``fail`` makes commands fail. Both may be set in the
    URI too: ``test:///default?latency=0.1&fail=start:db``.
    """

    __test__ = False  # not a test case, whatever pytest thinks of the name

    scheme: ClassVar[str] = "test"
    domain_types: ClassVar[frozenset[str]] = frozenset({"test"})
    commands: ClassVar[frozenset[Command]] = frozenset(Command)
    stop_methods: ClassVar[frozenset[str]] = frozenset({"agent", "acpi", "save", "destroy"})
    runtime_folder: ClassVar[bool] = False

    def __init__(self, context: DriverContext, discovered: Sequence[Discovered]) -> None:
        self._context = context
        self._discovered = discovered
        self._guests: dict[str, Guest] = {}
        self._faults: list[_Fault] = []
        self._consoles: dict[str, Echo] = {}
        self._agents: dict[str, anyio.Event] = {}
        self.latency: dict[str, float] = {}
        for key, value in context.uri.query:
            self._configure(key, value)

    def _configure(self, key: str, value: str) -> None:
        if key == "latency":
            try:
                seconds = float(value)
            except ValueError:
                raise ConfigError(f"latency={value} in the connection URI is not a number of seconds") from None
            self.latency = {command.value: seconds for command in Command}
        elif key == "fail":
            command, _, domain = value.partition(":")
            self.fail(command, domain=domain or "*", times=-1)
        else:
            raise ConfigError(f"the test driver knows no URI parameter '{key}' (it has latency and fail)")

    @classmethod
    @asynccontextmanager
    async def open(cls, uri: ConnectionURI, context: DriverContext) -> AsyncIterator[TestDriver]:
        if uri.path in ("", "/"):
            raise ConfigError(f"'{uri}' names neither /default nor a file")
        node = default_node() if uri.path == "/default" else await anyio.to_thread.run_sync(read_node, Path(uri.path))
        yield cls(context, node)

    @classmethod
    def unchanged(cls, uri: ConnectionURI, runs: Sequence[Run]) -> bool:
        return True  # they exist only as far as they are remembered

    # ------------------------------------------------------------------ what a test can ask for

    def fail(self, command: str, *, domain: str = "*", error: EngineError | None = None, times: int = 1) -> None:
        """Let the next ``times`` (-1: all) calls of ``command`` for domains matching the glob ``domain`` fail.

        Raises:
            ConfigError: there is no such command.
        """
        if command not in {known.value for known in Command}:
            raise ConfigError(f"there is no command '{command}' to let fail")
        self._faults.append(
            _Fault(command, domain, error or DriverError(f"{command} failed, as it was told to"), times)
        )

    def guest(self, uuid: str) -> Guest:
        """The running guest of a domain; its attributes may be changed. KeyError when it does not run."""
        return self._guests[uuid]

    def crash(self, domain: DomainHandle) -> None:
        """The hypervisor process dies."""
        self._gone(domain, "crashed")

    def power_off(self, domain: DomainHandle) -> None:
        """The guest powers itself off."""
        domain.report(Report.SHUTTING_DOWN, "guest")
        self._gone(domain, "shutdown")

    # ------------------------------------------------------------------ the driver

    def check(self, definition: DomainDefinition) -> None:
        if definition.type != "test":
            raise ConfigError(
                f"the test driver can't run a domain of type '{definition.type}'", source=definition.source
            )
        read_guest(definition)

    async def discover(self) -> Sequence[Discovered]:
        for found in self._discovered:
            if found.active:
                guest = read_guest(found.definition)
                guest.paused = found.paused
                self._guests[found.definition.uuid] = guest
        return self._discovered

    async def _disturb(self, command: Command, domain: DomainHandle) -> None:
        if self.latency and (seconds := self.latency.get(command.value, 0.0)):
            await anyio.sleep(seconds)
        for fault in self._faults:
            if fault.times and fault.command == command.value and fnmatchcase(domain.name, fault.domain):
                fault.times -= 1
                raise fault.error

    async def start(self, domain: DomainHandle, *, paused: bool = False, restore_from: Path | None = None) -> None:
        await self._disturb(Command.START, domain)
        guest = read_guest(domain.definition)
        guest.paused = paused
        if restore_from is not None:
            await anyio.to_thread.run_sync(read_header, restore_from)
        if self._context.persistent:
            await domain.remember({"paused": paused})
        self._guests[domain.uuid] = guest
        domain.report(Report.STARTED, "restored" if restore_from is not None else "booted")
        if paused:
            domain.report(Report.SUSPENDED, "paused")

    async def adopt(self, domain: DomainHandle, facts: Mapping[str, JSON]) -> bool:
        """Imaginary guests live on as long as someone remembers them."""
        guest = read_guest(domain.definition)
        guest.paused = bool(facts.get("paused"))
        self._guests[domain.uuid] = guest
        if guest.paused:
            domain.report(Report.SUSPENDED, "paused")
        return True

    async def shutdown(self, domain: DomainHandle, method: ShutdownMethod = "default") -> None:
        check_method(method)
        await self._disturb(Command.SHUTDOWN, domain)
        guest = self._guests[domain.uuid]
        way = self._way(guest, method)
        if way in guest.ignore:
            return
        if guest.shutdown:
            self._context.start_soon(self._power_off_later, domain, guest, name=f"shutdown of {domain.name}")
        else:
            self._gone(domain, "shutdown")

    @staticmethod
    def _way(guest: Guest, method: ShutdownMethod) -> str:
        if method == "agent" and not guest.agent:
            raise AgentError("the guest has no agent")
        return "acpi" if method == "default" else method

    async def _power_off_later(self, domain: DomainHandle, guest: Guest) -> None:
        await anyio.sleep(guest.shutdown)  # the guest's own time, as its definition asks
        if self._guests.get(domain.uuid) is guest:
            domain.report(Report.SHUTTING_DOWN, "finished")
            self._gone(domain, "shutdown")

    async def reboot(self, domain: DomainHandle, method: ShutdownMethod = "default") -> None:
        check_method(method)
        await self._disturb(Command.REBOOT, domain)
        guest = self._guests[domain.uuid]
        if self._way(guest, method) not in guest.ignore:
            domain.report(Report.REBOOTED, "host")

    async def reset(self, domain: DomainHandle) -> None:
        await self._disturb(Command.RESET, domain)
        domain.report(Report.REBOOTED, "host")

    async def suspend(self, domain: DomainHandle) -> None:
        await self._disturb(Command.SUSPEND, domain)
        await self._set_paused(domain, True)
        domain.report(Report.SUSPENDED, "paused")

    async def resume(self, domain: DomainHandle) -> None:
        await self._disturb(Command.RESUME, domain)
        await self._set_paused(domain, False)
        domain.report(Report.RESUMED, "unpaused")

    async def _set_paused(self, domain: DomainHandle, paused: bool) -> None:
        if self._context.persistent:
            await domain.remember({"paused": paused})
        self._guests[domain.uuid].paused = paused

    async def destroy(self, domain: DomainHandle) -> None:
        await self._disturb(Command.DESTROY, domain)
        self._gone(domain, "destroyed")

    async def save(self, domain: DomainHandle, path: Path) -> None:
        await self._disturb(Command.SAVE, domain)
        data = pack_header(domain.definition.text)
        try:
            await anyio.to_thread.run_sync(write_atomic, path, data)
        except OSError as exc:
            raise HostError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
        self._gone(domain, "saved")

    async def agent_sync(self, domain: DomainHandle) -> None:
        guest = self._guests.get(domain.uuid)
        if guest is None or not guest.agent:
            raise AgentError("the guest has no agent")
        if guest.boot:
            await anyio.sleep(guest.boot)  # the guest's own time
            guest.boot = 0.0
        if "agent" in guest.ignore or guest.paused:
            await anyio.sleep_forever()

    async def agent_command(
        self, domain: DomainHandle, name: str, arguments: Mapping[str, JSON] | None, timeout: float
    ) -> Any:
        with anyio.move_on_after(timeout):
            await self.agent_sync(domain)
            if name != "guest-ping":
                raise AgentError(f"the guest agent refused {name}: it only knows guest-ping")
            return {}
        raise AgentUnresponsive(f"the guest agent did not answer within {timeout:g} s")

    def console_name(self, domain: DomainHandle, device: str = "") -> str:
        if device not in ("", "console0", "serial0"):
            raise OperationInvalid(f"domain '{domain.name}' has no console '{device}': it has serial0")
        return "serial0"

    async def open_console(self, domain: DomainHandle, console: str) -> ByteStream:
        self._consoles[domain.uuid] = echo = Echo()
        return echo

    async def screenshot(self, domain: DomainHandle) -> Screenshot:
        return Screenshot(data=blank_png(720, 400))

    async def info(self, domain: DomainHandle) -> DomainInfo:
        return DomainInfo(memory=domain.definition.current_memory)

    def _gone(self, domain: DomainHandle, detail: str) -> None:
        self._guests.pop(domain.uuid, None)
        if (console := self._consoles.pop(domain.uuid, None)) is not None:
            console.end()
        domain.report(Report.STOPPED, detail)
