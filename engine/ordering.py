"""Order inside an engine: one graph of what is declared, for plans, and for up and down."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import anyio
import anyio.to_thread

from engine.abc import ScopeInfo
from engine.conf.order import Edge, Gate, Order, When
from engine.conf.policy import Policy, parse_policy
from engine.domain import Domain
from engine.errors import Busy, ConfigError, GateFailed, StoreError
from engine.events.types import DomainEvent, Event
from engine.lifecycle import State
from engine.scoping import Scoping, key_of, refuses
from engine.shutdown.gates import Console, GateTarget, wait_gates
from engine.shutdown.graph import Declarations, Direction, Member, OrderGraph
from engine.shutdown.keeper import Keeper
from engine.shutdown.plan import METHODS, Facts, Plan, make_plan
from engine.shutdown.report import Record, Report
from engine.util.inotify import Watcher

if TYPE_CHECKING:
    from engine.conf import DomainDefinition
    from engine.events.bus import Bus
    from engine.shutdown.drill import Drill, Told
    from engine.store import Store
    from engine.systemd.doctor import Finding

__all__ = ["Ordering", "member_of"]

log = logging.getLogger("engine.order")

_RECORD = "down"
_LARGEST_POLICY = 16 << 20  # bytes, as of a domain's document


class Owner(Protocol):
    """What order needs of the engine."""

    bus: Bus
    store: Store

    def domains(self, *, connection: str | None = None) -> list[Domain]: ...

    def domain(self, key: str) -> Domain: ...

    def start_soon(self, function: Any, *args: object, name: str) -> bool: ...


def member_of(definition: DomainDefinition, connection: str) -> Member:
    return Member(
        key=f"{connection}#{definition.uuid}",
        name=definition.name,
        connection=connection,
        order=definition.order,
        source=definition.source or f"definition of '{definition.name}'",  # one that was stored
    )


class Ordering:
    """The order of one engine's domains; ``engine.order``.

    Args:
        policy: text of a policy, or the path of one; None: ``order.toml`` in the state directory, where there is one.
            What is wrong in a file is told when something is planned; ``down`` goes on without it, and says so.
        budget: seconds the host gives to stop everything; None: the policy's.
        systemd: put domains into scopes; service: the one this engine runs in, if scopes are to be ordered after it.
    """

    def __init__(
        self, owner: Owner, *, policy: str | Path | None, budget: float | None, systemd: bool, service: str = ""
    ) -> None:
        self._owner = owner
        self._policy = policy
        self._budget = budget
        self._declared = Declarations()
        self._domains: dict[str, Domain] = {}
        self._wrong_policy: ConfigError | None = None
        self._one_down = anyio.Lock()
        self._downs = 0  # under way, or waiting for their turn
        self._ups: dict[anyio.CancelScope, anyio.Event] = {}  # under way, and what is set when each has ended
        self._kept = Keeper(self._save_record)
        self._stack = AsyncExitStack()
        self._watcher = Watcher()  # one for all serial gates: the kernel gives a user 128 inotify instances
        self._scoping = Scoping(owner, self._declared, self._domains, systemd=systemd, service=service)

    async def __aenter__(self) -> Self:
        try:
            self._declared.policy = await anyio.to_thread.run_sync(self._read_policy)
        except ConfigError as exc:
            if isinstance(self._policy, str):
                raise
            # a file that someone broke must not keep guests from being seen and stopped
            log.warning("%s", exc)
            self._wrong_policy = exc
        try:
            self._kept.record = Record.load(await self._owner.store.load_record(_RECORD))
        except StoreError as exc:
            log.warning("what a down stopped, and whether it was interrupted, is not known: %s", exc)
        await self._stack.enter_async_context(self._scoping)
        await self._stack.enter_async_context(self._watcher)
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def _read_policy(self) -> Policy:
        policy = self._policy
        if policy is None:
            path = getattr(self._owner.store, "path", None)
            policy = path / "order.toml" if path is not None else None
            if policy is None or not policy.exists():
                return Policy()
        if isinstance(policy, str):
            return parse_policy(policy)
        try:
            if not policy.is_file():  # nor does one wait for the other end of a FIFO
                raise ConfigError("it is no file", source=str(policy))
            if policy.stat().st_size > _LARGEST_POLICY:
                raise ConfigError(f"it is larger than {_LARGEST_POLICY >> 20} MiB", source=str(policy))
            text = policy.read_text()
        except (OSError, UnicodeDecodeError) as exc:
            reason = exc.strerror if isinstance(exc, OSError) else "it is not UTF-8 text"
            raise ConfigError(str(reason), source=str(policy)) from exc
        try:
            return parse_policy(text, source=str(policy))
        except ConfigError:
            raise
        except Exception as exc:  # whatever a file holds, guests have to be seen and stopped
            raise ConfigError(f"it can't be understood: {exc}", source=str(policy)) from exc

    # ------------------------------------------------------------------ what is declared

    def check(self, definition: DomainDefinition, connection: str) -> None:
        """Refuse a definition that would close a circle with those that are there.

        Names that are not there yet are fine until something is planned.

        Raises:
            CycleError: the path. OrderError: a domain after itself.
        """
        self._declared.check_new(member_of(definition, connection))

    def known(self, domain: Domain) -> None:
        """A domain is there, or was defined anew."""
        member = member_of(domain.definition, domain.connection)
        before = self._declared.member(member.key)
        self._domains[member.key] = domain
        self._declared.put(member)
        if member == before:
            return
        # what it declares reaches a living scope only if that is its own, or if somebody names it
        if domain.scope or any(self._declared.is_named(one) for one in (before, member) if one is not None):
            self._scoping.mend()

    def forgotten(self, domain: Domain) -> None:
        """A domain is no more."""
        key = key_of(domain)
        self._domains.pop(key, None)
        self._scoping.forgotten(key)
        self._declared.discard(key)

    def add(
        self,
        domain: str,
        *,
        after: str | Iterable[str] = (),
        requires: str | Iterable[str] = (),
        when: When = "both",
    ) -> None:
        """Declare in code that ``domain`` is ordered after others (names, or ``connection#name``).

        It holds as long as the engine is open. What makes no sense is told when something is planned.
        """
        for kind, names in (("requires", requires), ("after", after)):
            for name in (names,) if isinstance(names, str) else names:
                self._declared.add(domain, Edge(domain=name, kind=kind, when=when))  # type: ignore[arg-type]
        self._scoping.mend()

    def of(self, domain: Domain) -> Order:
        """What holds for a domain: gates, ladder, on_stop_failure and sleep completed by policy and defaults."""
        return self._declared.order(key_of(domain))

    def graph(self) -> OrderGraph:
        """The graph of all that is declared.

        Raises:
            UnknownDomain, CycleError, OrderError: what is declared makes no sense; with its place.
            ConfigError: the policy's file is wrong.
        """
        if self._wrong_policy is not None:
            raise self._wrong_policy.with_traceback(None)
        return self._declared.graph()

    # ------------------------------------------------------------------ plans

    def _keys(self, names: Iterable[str]) -> list[str]:
        """Keys of the domains of these names; one name may come as it is."""
        return [key_of(self._owner.domain(name)) for name in ([names] if isinstance(names, str) else names)]

    def _chosen(self, names: Iterable[str] | None, connections: Iterable[str] | None) -> list[str] | None:
        """Keys of those that are named (None: any), at these connections (None: any); None: all there are."""
        keys = None if names is None else self._keys(names)
        return keys if connections is None else self._at([*self._domains] if keys is None else keys, connections)

    def _at(self, keys: Iterable[str], connections: Iterable[str] | None) -> list[str]:
        """Those of ``keys`` that are at these connections; None: at any."""
        if connections is None:
            return [*keys]
        there = {domain for uri in connections for domain in self._owner.domains(connection=uri)}
        return [key for key in keys if self._domains[key] in there]

    def plan(self, direction: Direction, names: Iterable[str] | None = None) -> Plan:
        """What ``up`` or ``down`` would do now; see ``Engine.plan``."""
        if direction not in ("up", "down"):
            raise ConfigError(f"there is a plan for up and one for down, none for '{direction}'")
        keys = None if names is None else self._keys(names)
        return self._plan(self.graph(), direction, keys)

    def lenient_graph(self) -> tuple[OrderGraph, tuple[str, ...]]:
        """A graph whatever is declared, and a sentence for all that had to be left out of it."""
        graph, problems = self._declared.lenient_graph()
        if self._wrong_policy is not None:
            problems = (f"{self._wrong_policy}: the policy was passed over", *problems)
        return graph, problems

    def stop_plan(self, names: Iterable[str] | None = None) -> Plan:
        """What ``down`` would do now: unlike ``plan`` it is there whatever is declared. Raises NoSuchDomain."""
        return self._plan(self.lenient_graph()[0], "down", None if names is None else self._keys(names))

    def stop_timeout(self) -> float:
        """Seconds to give the stop of all guests: the worst case if every one that is defined runs, and some air."""
        from engine.systemd.install import DEFAULT_TIMEOUT

        graph, _ = self.lenient_graph()  # what had to be left out of it is among doctor's findings
        plan = make_plan(graph, "down", {key: Facts(active=True) for key in graph.sorted("down")})
        return max(DEFAULT_TIMEOUT, plan.seconds + max(plan.seconds / 10, 10.0))

    def _plan(self, graph: OrderGraph, direction: Direction, keys: Iterable[str] | None) -> Plan:
        facts = {
            key: Facts(active=True, ready=domain.ready, refused=self._refused(domain))
            for key, domain in self._domains.items()
            if domain.active
        }
        budget = self._budget if direction == "down" else None  # it is for stopping
        return make_plan(graph, direction, facts, targets=keys, budget=budget)

    def _refused(self, domain: Domain) -> dict[str, str]:
        """Why each stop method that can't work on a domain now can't."""
        return {method: reason for method in METHODS if (reason := refuses(domain, method))}

    # ------------------------------------------------------------------ up and down

    async def up(
        self,
        names: Iterable[str] | None = None,
        *,
        connections: Iterable[str] | None = None,
        resume: bool = False,
        autostart: bool = False,
        cause: str | None = None,
    ) -> Report:
        """See ``Engine.up``."""
        from engine.shutdown.executor import Up

        if self._downs:
            raise Busy("domains are being stopped in order: nothing is started before that has ended")
        record = self._kept.current()
        keys: list[str] | None = None
        at = None if connections is None else [*connections]
        if resume:
            keys = self._at((key for key in (record.keys if record else ()) if key in self._domains), at)
        elif names is not None or not autostart:
            keys = self._chosen(names, at)
        if autostart:
            keys = [*(keys or ()), *self._at((key for key, one in self._domains.items() if one.autostart), at)]
        run = Up(self._plan(self.graph(), "up", keys), _Controls(self, cause), record=record, resumed=resume)
        with anyio.CancelScope() as scope:
            ended = self._ups[scope] = anyio.Event()
            try:
                return await run.run()
            finally:
                del self._ups[scope]
                ended.set()
        # a down began meanwhile and took over
        return run.report

    async def down(
        self,
        names: Iterable[str] | None = None,
        *,
        connections: Iterable[str] | None = None,
        deadline: float | None = None,
        cause: str | None = None,
        record: Record | None = None,
    ) -> Report:
        """See ``Engine.down``.

        Args:
            record: what ``interrupted`` gave: go on with that, and with nothing else.
        """
        until = None if deadline is None else anyio.current_time() + deadline
        self._downs += 1
        try:
            for scope in self._ups:
                scope.cancel()
            for ended in [*self._ups.values()]:
                await ended.wait()
            async with self._one_down:
                return await self._down(names, connections, until, cause=cause, going_on=record is not None)
        finally:
            self._downs -= 1

    async def _down(
        self,
        names: Iterable[str] | None,
        connections: Iterable[str] | None,
        until: float | None,
        *,
        cause: str | None,
        going_on: bool,
    ) -> Report:
        from engine.shutdown.executor import Down

        graph, problems = self.lenient_graph()
        # what an interrupted one had stopped stays written down for ``up(resume=True)``
        record = self._unfinished()
        keys = self._chosen(names, connections)
        if going_on:
            keys = [] if record is None else self._still_to_stop(graph, record)
        plan = self._plan(graph, "down", keys)
        controls = _Controls(self, cause)
        controls.keeps_record = bool(plan.steps) or record is not None
        earlier = self._kept.current()
        run = Down(plan, controls, deadline=until, record=record, problems=problems)
        if record is None and earlier is not None:
            run.record.take_over(earlier)
        if controls.keeps_record:
            self._kept.record = run.record
        return await run.run()

    def _still_to_stop(self, graph: OrderGraph, record: Record) -> list[str]:
        """Those an interrupted ``down`` had not stopped, less those that something needs that was started since."""
        known = set(record.keys)
        needed: set[str] = set()
        for key in graph.sorted("down"):
            anew = key not in known and self._domains[key].active
            if anew or any(kind == "requires" and by in needed for by, kind in graph.stop_after(key).items()):
                needed.add(key)
        return [key for key in record.left if key in self._domains and key not in needed]

    async def drill(self, names: Iterable[str] | None = None, *, told: Told | None = None) -> Drill:
        """See ``Engine.drill``."""
        from engine.shutdown.drill import drill

        plan = self.plan("down", names)
        gates = {step.key: self.of(self._domains[step.key]).gates for step in plan.steps}
        return await drill(plan, _Controls(self), gates, told=told)

    async def resume(self) -> None:
        """Go on, in the background, with a ``down`` that was interrupted."""
        record = await self.interrupted()
        if record is not None:
            self._owner.start_soon(self._go_on, record, name="the interrupted down")

    async def interrupted(self) -> Record | None:
        """The record of a ``down`` that did not come to its end, or None.

        It is about the runs that were to be stopped: domains that were started again since are struck off it.
        """
        record = self._unfinished()
        return record if record is not None and record.left else None

    def _unfinished(self) -> Record | None:
        record = self._kept.current()
        if record is None or record.finished:
            return None
        record.strike_anew({key: domain.started_at for key, domain in self._domains.items() if domain.active})
        return self._kept.current()

    async def _go_on(self, record: Record) -> None:
        await self.down(record=record)

    async def _save_record(self, record: Any) -> None:
        await self._owner.store.save_record(_RECORD, record)

    # ------------------------------------------------------------------ gates

    def domain_started(self, domain: Domain) -> None:
        """A domain has begun to run: see it through its gates."""
        if self._kept.begun(key_of(domain), domain.started_at):
            self._owner.start_soon(self._kept.write, name="the record of what was stopped")
        gates = self._gates_of(domain)
        if all(gate.kind == "running" for gate in gates):
            domain.passed_gate("running")
        else:
            self._owner.start_soon(self._pass_gates, domain, name=f"the gates of {domain.name}")

    def _gates_of(self, domain: Domain) -> tuple[Gate, ...]:
        """Its gates for this run. A guest that was restored does not boot: what it says when it does it said before."""
        gates = self.of(domain).gates
        return tuple(gate for gate in gates if gate.kind != "serial") if domain.restored else gates

    async def _pass_gates(self, domain: Domain) -> None:
        began = domain.started_at
        result = await wait_gates(Target(domain), self._gates_of(domain), watcher=self._watcher)
        if domain.started_at != began:
            return  # it stopped; if it runs, it does so anew
        if result.error is not None:
            domain.failed_gate(result.error, going_on=result.going_on and domain.active)
            return
        domain.passed_gate(result.gate)
        if self._owner.store.persistent:
            await domain.save_status()

    # ------------------------------------------------------------------ scopes

    async def create_scope(self, domain: Domain, leader: int, interfaces: Sequence[int]) -> ScopeInfo:
        """Put a domain's processes into a scope that is ordered as the graph says."""
        return await self._scoping.create(domain, leader, interfaces)

    def domain_stopped(self, domain: Domain, unit: str) -> None:
        """A domain has stopped; ``unit`` held it."""
        self._scoping.stopped(domain, unit)

    async def doctor(
        self, *, units: Mapping[str, str], folder: Path, fix: bool = False, dry_run: bool = False
    ) -> tuple[list[Finding], list[str]]:
        """See ``Engine.doctor``."""
        from engine.systemd.doctor import Finding

        graph, problems = self.lenient_graph()
        worst_case = self._plan(graph, "down", None).seconds
        findings, done = await self._scoping.doctor(
            units=units, folder=folder, worst_case=worst_case, fix=fix, dry_run=dry_run
        )
        unsound = [
            Finding(
                severity="error",
                code="order",
                subject="order",
                what=problem,
                why="down goes on without it, so guests may be stopped out of order",
                fix="mend what is declared",
            )
            for problem in problems
        ]
        return [*unsound, *findings], done


class Target:
    """A domain as gates see it (``engine.shutdown.gates.GateTarget``)."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    @property
    def name(self) -> str:
        return self._domain.name

    async def agent_sync(self) -> None:
        await self._domain.wait_agent()

    async def console(self) -> Console | None:
        info = await self._domain.info()
        return Console(info.console, info.console_offset) if info.console is not None else None

    async def wait_stopped(self) -> None:
        await self._domain.wait_stopped()


class _Controls:
    """The domains as ``up`` and ``down`` see them (``engine.shutdown.controls.Controls``)."""

    def __init__(self, ordering: Ordering, cause: str | None = None) -> None:
        self._ordering = ordering
        self._cause = cause
        self._domains = dict(ordering._domains)
        #: A ``down`` that has nothing to stop leaves the record of the one before alone.
        self.keeps_record = True

    def is_active(self, key: str) -> bool:
        return self._domains[key].active

    def is_lost(self, key: str) -> bool:
        return self._domains[key].state is State.CRASHED

    def started_at(self, key: str) -> float:
        return self._domains[key].started_at

    def refuses(self, key: str, method: str) -> str:
        return refuses(self._domains[key], method)

    def target(self, key: str) -> GateTarget:
        return Target(self._domains[key])

    async def start(self, key: str) -> None:
        await self._domains[key].start()

    async def wait_ready(self, key: str) -> bool:
        domain = self._domains[key]
        try:
            await domain.wait_ready()
        except GateFailed:
            if domain.going_on:
                return False
            raise
        return True

    async def ask_stop(self, key: str, method: str) -> None:
        domain = self._domains[key]
        if method == "save":
            await domain.managed_save()
        elif method == "destroy":
            await domain.destroy()
        else:
            await domain.shutdown(method="agent" if method == "agent" else "acpi")

    async def wait_over(self, key: str) -> None:
        while self.is_active(key) and not self.is_lost(key):
            await self._domains[key].changed()

    def ended(self, key: str) -> str:
        return self._domains[key].reason

    async def reach(self, key: str) -> None:
        await self._domains[key].reach()

    async def remember(self, record: Any) -> None:
        if self.keeps_record:
            await self._ordering._kept.write()  # it has the same record, and knows who is back

    def publish(self, key: str | None, event_type: type[Event], **facts: Any) -> None:
        if key is None:
            self._ordering._owner.bus.publish(event_type, cause=self._cause, **facts)
        else:
            assert issubclass(event_type, DomainEvent)
            self._domains[key].publish(event_type, **facts)
