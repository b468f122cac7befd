"""One opened connection: the domains of one driver at one URI."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import anyio
from anyio.abc import TaskGroup

from engine.abc import ConnectionURI, Discovered, Driver, ScopeInfo
from engine.adoption import adopt
from engine.conf import DomainDefinition, parse_domain
from engine.domain import Domain
from engine.errors import ConfigError, DomainExists, EngineClosed, EngineError, NoSuchDomain
from engine.events import commands, types
from engine.registry import find_driver
from engine.store import Status
from engine.util.cancellation import cancel_by_scope, task_group
from engine.util.uuids import as_uuid

if TYPE_CHECKING:
    from engine.events.bus import Bus
    from engine.store import Store, Stored

__all__ = ["Connection", "Hub"]

log = logging.getLogger("engine.connection")

#: Seconds the end of a connection waits for what its stopped domains left behind to be removed.
_TIDY = 10.0
#: Seconds the commands under way have to end when the connection closes.
_INTERRUPT = 10.0


class Hub(Protocol):
    """What a connection needs of the engine."""

    bus: Bus
    store: Store

    def domain_known(self, domain: Domain) -> None:
        """It is there, or has a new definition."""

    def domain_forgotten(self, domain: Domain) -> None: ...

    def domain_started(self, domain: Domain) -> None: ...

    def domain_stopped(self, domain: Domain, unit: str) -> None: ...

    async def create_scope(self, domain: Domain, leader: int, interfaces: Sequence[int]) -> ScopeInfo: ...


class Connection:
    """The domains of one driver at one URI; an ``engine.domain.Host`` to its domains and a context to its driver."""

    def __init__(self, hub: Hub, uri: ConnectionURI, *, quiet: bool = False) -> None:
        self._quiet = quiet
        self.parsed = uri
        #: The URI as text: the name of the connection everywhere else.
        self.uri = str(uri)
        self.bus = hub.bus
        self.store = hub.store
        self.domains: dict[str, Domain] = {}  # by UUID
        self.names: dict[str, Domain] = {}
        self.driver: Driver
        self._hub = hub
        self._stack = AsyncExitStack()
        self._tasks: TaskGroup | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.uri}>"

    # ------------------------------------------------------------------ open and close

    async def open(self) -> None:
        """Open the driver and take its commands from the bus. Close it with ``aclose``, in the same task."""
        try:
            self._tasks = await self._stack.enter_async_context(task_group())
            # what runs for the driver ends before the task group waits for it
            self._stack.callback(self._tasks.cancel_scope.cancel)
            self.driver = await self._stack.enter_async_context(
                find_driver(self.parsed).open(self.parsed, _Context(self))
            )
            self.bus.register(self.uri, self.execute)
            self._stack.callback(self.bus.unregister, self.uri)
            if not self._quiet:
                self.bus.publish(types.ConnectionOpened, connection=self.uri)
        except BaseException:
            await self._stack.aclose()
            raise

    async def aclose(self) -> None:
        """Close the driver; domains that run are left alone."""
        if self._tasks is None:
            return
        self.bus.unregister(self.uri)
        try:
            # asyncio's own cancellation breaks through the shield of it
            await cancel_by_scope(self._interrupt)
        finally:
            self._tasks = None
            if not self._quiet:
                self.bus.publish(types.ConnectionClosed, connection=self.uri)
            await self._stack.aclose()

    async def _interrupt(self) -> None:
        """End the commands that are under way: what they began must not be left half done behind a closed door."""
        with anyio.move_on_after(_INTERRUPT, shield=True):
            async with anyio.create_task_group() as tasks:
                for domain in tuple(self.domains.values()):
                    if domain.busy:
                        tasks.start_soon(domain.interrupt)

    def start_soon(self, function: Callable[..., Awaitable[None]], *args: object, name: str) -> bool:
        """Run a task as long as the connection is open (False: it is closed). Its error is logged, no more."""
        if self._tasks is None:
            return False
        self._tasks.start_soon(self._guarded, function, args, name, name=name)
        return True

    async def _guarded(self, function: Callable[..., Awaitable[None]], args: tuple[object, ...], name: str) -> None:
        try:
            await function(*args)
        except EngineError as exc:
            log.warning("%s: %s", name, exc)
        except Exception:  # the boundary: a driver's bug in the background must not end other domains
            log.exception("%s: a task of the %s driver failed", name, self.parsed.driver)

    # ------------------------------------------------------------------ what is there when it opens

    async def load(self, stored: Sequence[Stored], statuses: Sequence[Status]) -> None:
        """Take in what the store kept and what the driver brings, and take over what still runs."""
        for item in stored:
            domain = self._add(Domain(self, item.definition))
            domain.load(autostart=item.autostart, saved=await self.store.has_save(domain.slot), reason=item.reason)
            self._hub.domain_known(domain)
        known = await self.store.knows(self.uri)
        for found in await self.driver.discover():
            definition = found.definition
            # what is kept here counts, and of a connection that was open before the seed has been taken over already
            if not (definition.uuid in self.domains or definition.name in self.names or (found.seed and known)):
                await self._discovered(found)
        async with anyio.create_task_group() as adopting:
            for status in statuses:
                adopting.start_soon(self._adopt, status)
            for domain in tuple(self.domains.values()):
                if domain.slot in self.store.leftovers:
                    adopting.start_soon(self._adopt_unknown, domain)

    async def _discovered(self, found: Discovered) -> None:
        domain = self._add(Domain(self, found.definition, persistent=found.persistent))
        domain.load(autostart=found.autostart, saved=False)
        self._hub.domain_known(domain)
        if found.active:
            domain.found_active(paused=found.paused)
        if found.seed and self.store.persistent:
            if found.persistent:
                await self.store.save_definition(self.uri, found.definition)
            if found.active:
                await domain.handle.remember({"paused": found.paused})

    async def _adopt_unknown(self, domain: Domain) -> None:
        """Nothing that was kept tells whether it runs: take it over if it does, as what it is defined as."""
        try:
            if await self.driver.find_running(domain.handle) is None:
                return
            text = domain.definition.text
            status = Status(uuid=domain.uuid, connection=self.uri, text=text, persistent=True, started=time.time())
            await adopt(domain, status, domain.definition, quiet=self._quiet)
            await domain.keep_status()
        except EngineError as exc:
            log.warning("domain %s: %s", domain.name, exc)

    async def _adopt(self, status: Status) -> None:
        domain = self.domains.get(status.uuid)
        try:
            live = parse_domain(status.text)
        except ConfigError as exc:
            log.warning("the definition that domain %s runs with can't be read: %s", status.uuid, exc)
            if domain is None:
                return
            live = domain.definition  # it runs all the same, and has to be stopped one day
        if domain is None:
            domain = self._add(Domain(self, live, persistent=False))
            self._hub.domain_known(domain)
        try:
            await adopt(domain, status, live, quiet=self._quiet)
        except EngineError as exc:
            log.warning("domain %s: %s", domain.name, exc)

    # ------------------------------------------------------------------ finding domains

    def find(self, key: str) -> Domain:
        """By UUID, or by name (which may look like another's UUID). Raises NoSuchDomain."""
        domain = self.domains.get(as_uuid(key)) or self.names.get(key)
        if domain is None:
            raise NoSuchDomain(key)
        return domain

    def _add(self, domain: Domain) -> Domain:
        self.domains[domain.uuid] = domain
        self.names[domain.name] = domain
        return domain

    def forget(self, domain: Domain) -> None:
        domain.gone = True
        if self.domains.get(domain.uuid) is domain:
            del self.domains[domain.uuid]
        if self.names.get(domain.name) is domain:
            del self.names[domain.name]
        self._hub.domain_forgotten(domain)

    def _claim(self, definition: DomainDefinition) -> Domain | None:
        """The domain that ``definition`` updates, or None when it is a new one.

        Raises:
            DomainExists: its name or its UUID belongs to another.
        """
        by_uuid = self.domains.get(definition.uuid)
        by_name = self.names.get(definition.name)
        if by_uuid is not by_name:
            other = by_name or by_uuid
            assert other is not None
            raise DomainExists(other.name, other.uuid, definition.name)
        return by_uuid

    # ------------------------------------------------------------------ commands

    async def execute(self, command: commands.DomainCommand) -> Domain:
        """Carry out a command; called by the bus."""
        if isinstance(command, commands.DefineDomain | commands.RestoreDomain):
            return await self._create(command, command.definition)
        domain = self.domains.get(command.uuid)
        if domain is None:
            raise NoSuchDomain(command.domain)
        await domain.execute(command)
        return domain

    async def _create(self, command: commands.DomainCommand, definition: DomainDefinition) -> Domain:
        """Run a command that may bring a domain into being; if it fails, the domain never was."""
        while (domain := self._claim(definition)) is not None:
            try:
                await domain.execute(command)
            except NoSuchDomain:
                if not domain.gone:
                    raise
                continue  # it went while the command waited for its turn
            return domain
        # its place is taken before the first await: a second define of the same name finds it
        domain = self._add(Domain(self, definition, persistent=False))
        self._hub.domain_known(domain)
        try:
            await domain.execute(command)
        finally:
            if not domain.persistent and not domain.active and not domain.gone:
                self.forget(domain)
        return domain

    # ------------------------------------------------------------------ what its domains tell it

    def started(self, domain: Domain) -> None:
        self._hub.domain_started(domain)

    def defined(self, domain: Domain) -> None:
        self._hub.domain_known(domain)

    def changed(self, domain: Domain) -> None:
        self.start_soon(self._keep, domain, name=f"the run-time state of {domain.name}")

    @staticmethod
    async def _keep(domain: Domain) -> None:
        # closing waits for it, so that the next engine does not tell again what was told
        with anyio.move_on_after(_TIDY, shield=True):
            await domain.keep_status_later()

    def ended(self, domain: Domain, *, unit: str, tidy: bool) -> None:
        self._hub.domain_stopped(domain, unit)
        if tidy:
            self.start_soon(self._tidy, domain, name=f"tidy up after {domain.name}")

    @staticmethod
    async def _tidy(domain: Domain) -> None:
        # closing waits for it: a status that stayed behind would make the next engine look for a guest that is gone,
        # and tell of its end again. The limit is for a command of somebody else's that does not let go of the domain.
        with anyio.move_on_after(_TIDY, shield=True):
            await domain.tidy_later()

    async def create_scope(self, domain: Domain, leader: int, interfaces: Sequence[int]) -> ScopeInfo:
        return await self._hub.create_scope(domain, leader, interfaces)


class _Context:
    """What a driver sees of its connection (``engine.abc.DriverContext``)."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def uri(self) -> ConnectionURI:
        return self._connection.parsed

    @property
    def persistent(self) -> bool:
        return self._connection.store.persistent

    @property
    def save_dir(self) -> Path:
        return self._connection.store.save_dir

    def start_soon(self, function: Callable[..., Awaitable[None]], *args: Any, name: str) -> None:
        if not self._connection.start_soon(function, *args, name=name):
            raise EngineClosed(f"the connection {self._connection.uri} is closed")
