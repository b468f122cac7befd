"""The engine: opens connections, owns the one task group, wires bus, journal, order and systemd."""

from __future__ import annotations

import logging
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup

from engine.abc import ConnectionURI, Driver, ScopeInfo, default_uri
from engine.conf import DomainDefinition, parse_domain
from engine.connection import Connection
from engine.domain import Domain
from engine.errors import ConfigError, EngineClosed, EngineError, InvalidDocument, NoSuchConnection, NoSuchDomain
from engine.events import commands
from engine.events.bus import Bus, Interceptor
from engine.events.filters import Patterns
from engine.events.journal import Journal, Since
from engine.events.subscription import Policy, Subscription
from engine.events.types import Event
from engine.ordering import Ordering
from engine.store import DiskStore, MemoryStore, Store, read_saved
from engine.util.cancellation import cancel_by_scope, task_group
from engine.util.files import absolute

if TYPE_CHECKING:
    from engine.shutdown.drill import Drill, Told
    from engine.shutdown.graph import Direction
    from engine.shutdown.plan import Plan
    from engine.shutdown.report import Report
    from engine.systemd.doctor import Finding

__all__ = ["Engine"]

log = logging.getLogger("engine")

# bytes of a document that are parsed in some milliseconds at most
_SHORT = 16 * 1024


class Engine:
    """Runs domains at one or more connections.

    ::

        async with Engine("qemu:///session", state_dir="vm-state") as engine:
            web = await engine.define(xml)
            await web.start()

    Args:
        uris: connection URIs, e.g. ``qemu:///system``, ``test:///default``; none: libvirt's default for this user.
        state_dir: where definitions, run-time state and the journal persist. None: in memory, and no trace is left.
        runtime_dir: where sockets and run-time state go; None: ``run`` in the state directory.
        policy: the text of an order policy (TOML), or the path of one; None: ``order.toml`` in the state directory,
            where there is one. What is wrong in a file is told when something is planned, not here.
        budget: seconds the host gives to stop everything; plans say whether they fit. None: no limit.
        on_close: what becomes of running domains when the engine is closed without an error: ``leave`` them (the
            default with a state directory: a later engine takes them over) or stop them in order, ``down`` (the
            default without). Closed by an error or by cancellation, the engine never touches them.
        resume: go on, in the background, with a ``down`` that an earlier engine could not finish.
        systemd: put domains into systemd scopes.
        service: the systemd service this engine runs in, if that stops the guests itself when the host goes down:
            scopes are ordered after it too. Not for a service whose state directory other units wait for.
        journal_keep: how many events are kept at least; in memory a tenth of it.
        journal_age: seconds after which an event on disk may go; None: only their number counts.
        quiet: opening, closing and taking over is no event, for programs that open an engine for a moment only.

    Raises, from ``async with``: StateDirLocked, StoreError, NoSuchDriver, ConfigError, and what a driver's ``open``
    raises. Everything else raises EngineClosed outside of the ``async with``.
    """

    # schema and declarations are loaded, which takes longer than a loop may be held up
    _validates = False

    def __init__(
        self,
        *uris: str,
        state_dir: str | os.PathLike[str] | None = None,
        runtime_dir: str | os.PathLike[str] | None = None,
        policy: str | Path | None = None,
        budget: float | None = None,
        on_close: Literal["leave", "down"] | None = None,
        resume: bool = True,
        systemd: bool = True,
        service: str = "",
        journal_keep: int = 100_000,
        journal_age: float | None = None,
        quiet: bool = False,
    ) -> None:
        self._uris = [ConnectionURI.parse(uri) for uri in uris or (default_uri(),)]
        self._on_close = on_close or ("down" if state_dir is None else "leave")
        self._resume = resume
        self.store: Store = (
            MemoryStore()
            if state_dir is None
            else DiskStore(Path(state_dir), runtime=Path(runtime_dir) if runtime_dir is not None else None)
        )
        self._journal_keep = journal_keep
        self._journal_age = journal_age
        self._quiet = quiet
        self._connections: dict[str, Connection] = {}
        self._tasks: TaskGroup | None = None
        self._stack = AsyncExitStack()
        self._state: Literal["new", "open", "closing", "closed"] = "new"
        self.order = Ordering(self, policy=policy, budget=budget, systemd=systemd, service=service)
        self.bus: Bus

    def __repr__(self) -> str:
        return f"<Engine {' '.join(map(str, self._uris))} {self._state}>"

    # ------------------------------------------------------------------ open and close

    async def __aenter__(self) -> Self:
        if self._state != "new":
            raise EngineClosed("an engine is opened once; make a new one")
        try:
            await self._open()
        except BaseException:
            await self._close()
            raise
        return self

    async def _open(self) -> None:
        self._stack.push_async_callback(self.store.aclose)
        # asyncio's own cancellation would not wait for its thread, which then takes the lock when nobody gives it up
        stored, statuses = await cancel_by_scope(self.store.open)
        for problem in self.store.problems:
            log.warning("%s", problem)
        self.bus = await self._open_bus()
        self._tasks = await self._stack.enter_async_context(task_group())
        self._stack.callback(self._tasks.cancel_scope.cancel)
        await self._stack.enter_async_context(self.order)
        for uri in self._uris:
            connection = Connection(self, uri, quiet=self._quiet)
            if connection.uri in self._connections:
                raise ConfigError(f"the connection {connection.uri} is named twice")
            await connection.open()
            self._stack.push_async_callback(connection.aclose)
            self._connections[connection.uri] = connection
        self._state = "open"
        for connection in self._connections.values():
            await cancel_by_scope(
                connection.load,
                [item for item in stored if item.connection == connection.uri],
                [status for status in statuses if status.connection == connection.uri],
            )
        if self._resume:
            await cancel_by_scope(self.order.resume)

    async def _open_bus(self) -> Bus:
        from engine.events.journal import MemoryJournal

        journal: Journal = MemoryJournal(keep=max(1, self._journal_keep // 10))
        if isinstance(self.store, DiskStore):
            from engine.events.journal_sqlite import SqliteJournal

            journal = SqliteJournal(
                self.store.path / "journal.db", keep_count=self._journal_keep, keep_age=self._journal_age
            )
        await self._stack.enter_async_context(journal)
        return await self._stack.enter_async_context(Bus(journal, snapshot_source=self._snapshot))

    def _snapshot(self) -> Iterable[dict[str, Any]]:
        return (domain.snapshot() for domain in self.domains())

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if exc is None and self._on_close == "down" and self._state == "open":
                await cancel_by_scope(self.order.down)
        finally:
            await self._close()

    async def aclose(self) -> None:
        """Close it without touching any domain; fine to call twice. Call it in the task that opened the engine."""
        await self._close()

    async def _close(self) -> None:
        if self._state in ("closing", "closed"):
            return
        self._state = "closing"
        self._keep_what_runs()
        try:
            # Not ``__aexit__`` with the error of the ``async with`` body: it is not the tasks' business, and would come
            # out wrapped in a group. No shield around it all, task groups must nest: whoever must finish when the
            # caller is cancelled (journal, store) shields itself, and nothing in here waits for a guest.
            await self._stack.aclose()
        finally:
            self._state = "closed"

    def _keep_what_runs(self) -> None:
        """Guests of an engine in memory that are left running, as after an error, keep their sockets."""
        left = [domain.name for domain in self.domains() if domain.active and domain.driver.runtime_folder]
        if left and isinstance(self.store, MemoryStore) and (folder := self.store.keep()) is not None:
            log.warning("left running: %s; their sockets are in %s", ", ".join(left), folder)

    def _check_open(self) -> None:
        if self._state != "open":
            raise EngineClosed("the engine is not open" if self._state == "new" else "the engine is closed")

    def start_soon(self, function: Callable[..., Awaitable[object]], *args: object, name: str) -> bool:
        """Run a task of the engine's own; its error is logged and ends nothing else.

        Returns whether it will be run: an engine that closes begins nothing.
        """
        if self._tasks is None or self._state != "open":
            return False
        self._tasks.start_soon(self._guarded, function, args, name, name=name)
        return True

    async def _guarded(self, function: Callable[..., Awaitable[object]], args: tuple[object, ...], name: str) -> None:
        try:
            await function(*args)
        except EngineError as exc:
            log.warning("%s: %s", name, exc)
        except Exception:  # the boundary: a defect in the background must not end the user's program
            log.exception("%s failed", name)

    # ------------------------------------------------------------------ finding things

    @property
    def connections(self) -> tuple[str, ...]:
        """URIs of the open connections, in the order they were given."""
        return tuple(self._connections)

    def _connection(self, uri: str | None, definition: DomainDefinition | None = None) -> Connection:
        self._check_open()
        if uri is not None:
            try:
                return self._connections[str(ConnectionURI.parse(uri))]
            except KeyError:
                raise NoSuchConnection(uri, f"open are {', '.join(self._connections)}") from None
        first = next(iter(self._connections.values()))
        if definition is None:
            return first
        fitting = (c for c in self._connections.values() if definition.type in c.driver.domain_types)
        # none fits: the first one refuses it in its own words
        return next(fitting, first)

    def driver(self, uri: str | None = None) -> Driver:
        """The opened driver at ``uri`` (None: the first)."""
        return self._connection(uri).driver

    def domain(self, key: str, *, connection: str | None = None) -> Domain:
        """The domain with this name or UUID.

        Raises:
            NoSuchDomain; ConfigError when several connections have one and ``connection`` says not which.
        """
        if connection is not None:
            return self._connection(connection).find(key)
        self._check_open()
        found = []
        for one in self._connections.values():
            try:
                found.append(one.find(key))
            except NoSuchDomain:
                continue
        if not found:
            raise NoSuchDomain(key)
        if len(found) > 1:
            where = " and ".join(domain.connection for domain in found)
            raise ConfigError(f"there is a domain '{key}' at {where}: say which connection")
        return found[0]

    def domains(self, *, connection: str | None = None) -> list[Domain]:
        """All domains, or those of one connection."""
        if connection is not None:
            return list(self._connection(connection).domains.values())
        return [domain for one in self._connections.values() for domain in one.domains.values()]

    # ------------------------------------------------------------------ events and commands

    def subscribe(
        self,
        *types: type[Event],
        domain: Patterns = None,
        connection: Patterns = None,
        predicate: Callable[[Any], object] | None = None,
        bound: int = 1024,
        policy: Policy = "drop_oldest",
        since: Since | None = None,
        snapshot: bool = False,
        durable: bool = False,
    ) -> Subscription:
        """A reader of the events, live from ``async with`` on; see ``engine.events.bus.Bus.subscribe``."""
        self._check_open()
        return self.bus.subscribe(
            *types,
            domain=domain,
            connection=connection,
            predicate=predicate,
            bound=bound,
            policy=policy,
            since=since,
            snapshot=snapshot,
            durable=durable,
        )

    def add_interceptor(self, interceptor: Interceptor) -> None:
        """Wrap every command from now on: access control, audit, hooks; see ``engine.events.bus.Interceptor``."""
        self._check_open()
        self.bus.add_interceptor(interceptor)

    # ------------------------------------------------------------------ commands that bring domains into being

    async def define(
        self,
        xml: str | bytes | DomainDefinition,
        *,
        connection: str | None = None,
        source: str | None = None,
        validate: bool = True,
    ) -> Domain:
        """Define a domain, or change the definition of one that is there.

        Args:
            xml: libvirt's domain document.
            connection: URI; None: the first connection whose driver runs such a domain.
            source: where the document came from, for error messages.
            validate: hold the document to all that libvirt's are held to; else only to what is needed.

        Raises:
            ConfigError: the document is wrong; InvalidDocument: so it is, and here is all that is; UnsupportedConfig:
            the driver can't build it; DomainExists: name and UUID don't belong together; CycleError: its order runs in
            a circle; StoreError.
        """
        self._check_open()
        definition = xml if isinstance(xml, DomainDefinition) else await self._parsed(xml, source, validate)
        owner = self._connection(connection, definition)
        self.order.check(definition, owner.uri)
        command = commands.DefineDomain(
            connection=owner.uri, domain=definition.name, uuid=definition.uuid, definition=definition
        )
        result = await self.bus.execute(command)
        assert isinstance(result, Domain)
        return result

    async def _parsed(self, xml: str | bytes, source: str | None, validate: bool) -> DomainDefinition:
        parse = partial(parse_domain, xml, source=source, validate=validate)
        if len(xml) <= _SHORT and (not validate or Engine._validates):
            try:
                return parse(explain=False)
            except InvalidDocument:
                pass  # to tell of all that is wrong takes longer than the loop may be held up
        definition = await anyio.to_thread.run_sync(parse)
        Engine._validates = Engine._validates or validate
        return definition

    async def restore(
        self, path: str | os.PathLike[str], *, connection: str | None = None, paused: bool = False
    ) -> Domain:
        """Bring back what ``Domain.save`` wrote; the file is kept. A domain that is not defined comes back transient.

        Raises:
            ConfigError: not such a file; InvalidState: the domain runs; StartFailed.
        """
        self._check_open()
        file = absolute(path)
        definition = await read_saved(file)
        owner = self._connection(connection, definition)
        command = commands.RestoreDomain(
            connection=owner.uri,
            domain=definition.name,
            uuid=definition.uuid,
            definition=definition,
            path=str(file),
            paused=paused,
        )
        result = await self.bus.execute(command)
        assert isinstance(result, Domain)
        return result

    # ------------------------------------------------------------------ order

    def plan(self, direction: Direction, names: Iterable[str] | None = None) -> Plan:
        """What ``up`` or ``down`` would do now: immutable; ``print`` it, or see ``to_json`` and ``to_svg``.

        Args:
            names: the domains it is about (what they require, or what requires them, is added); None: all.

        Raises:
            UnknownDomain, CycleError, OrderError: what is declared makes no sense; NoSuchDomain.
        """
        self._check_open()
        return self.order.plan(direction, names)

    async def up(
        self,
        names: Iterable[str] | None = None,
        *,
        connections: Iterable[str] | None = None,
        resume: bool = False,
        autostart: bool = False,
        cause: str | None = None,
    ) -> Report:
        """Start domains in order, each the moment the last one it waits for is ready.

        Args:
            names: which, and what they require; None: all.
            connections: of those only the ones at these; what they require is added wherever it is.
            resume: just those that the last ``down`` stopped.
            autostart: those that are to start with the host (beside ``names`` or ``resume``).
            cause: what the plan's own events carry, so that they are known by it.

        Returns:
            How it went; a domain that fails is in the report and raises nothing. A ``down`` that begins ends it.

        Raises:
            Busy: a ``down`` is under way; NoSuchConnection; what ``plan`` raises.
        """
        self._check_open()
        up = partial(self.order.up, names, connections=connections, resume=resume, autostart=autostart, cause=cause)
        return await cancel_by_scope(up)

    async def down(
        self,
        names: Iterable[str] | None = None,
        *,
        connections: Iterable[str] | None = None,
        deadline: float | None = None,
        cause: str | None = None,
    ) -> Report:
        """Stop running domains in order, each the moment the last one that depends on it is gone.

        Args:
            names: which, and what requires them; None: all that run.
            connections: of those only the ones at these, and what requires them.
            deadline: seconds for the whole; as it nears, ladders skip to their last step.
            cause: as for ``up``.

        Returns:
            How it went; a domain that does not stop is in the report and raises nothing. Nothing is destroyed whose
            ladder does not say so. Cancelled, it is noted as interrupted and the next engine goes on with it.
        """
        self._check_open()
        return await cancel_by_scope(
            partial(self.order.down, names, connections=connections, deadline=deadline, cause=cause)
        )

    async def drill(self, names: Iterable[str] | None = None, *, told: Told | None = None) -> Drill:
        """What ``down`` would do, checked against the live host: agents, gates, budget. Changes nothing.

        Args:
            told: called for each domain when all about it was looked at.
        """
        self._check_open()
        return await self.order.drill(names, told=told)

    async def doctor(
        self, *, units: Mapping[str, str], folder: Path, fix: bool = False, dry_run: bool = False
    ) -> tuple[list[Finding], list[str]]:
        """Whether the host's own shutdown would keep the order.

        Args:
            units: what the unit files should be (``engine.systemd.install.render_units``); folder: where they lie.
            fix: mend what can be mended; dry_run: only say what would be done.

        Returns:
            What is not as it should be, and what was done about it.
        """
        self._check_open()
        return await self.order.doctor(units=units, folder=folder, fix=fix, dry_run=dry_run)

    # ------------------------------------------------------------------ what a connection needs (engine.connection.Hub)

    def domain_known(self, domain: Domain) -> None:
        self.order.known(domain)

    def domain_forgotten(self, domain: Domain) -> None:
        self.order.forgotten(domain)

    def domain_started(self, domain: Domain) -> None:
        self.order.domain_started(domain)

    def domain_stopped(self, domain: Domain, unit: str) -> None:
        self.order.domain_stopped(domain, unit)

    async def create_scope(self, domain: Domain, leader: int, interfaces: Sequence[int]) -> ScopeInfo:
        return await self.order.create_scope(domain, leader, interfaces)
