"""A whole engine under any sequence of commands, faults, cancellations, guests of their own mind and reopenings.

The model is what each domain must be by now. After every step the events say exactly what changed, once and in order,
with numbers that have no hole; what the table of states does not allow is refused, and changes and tells nothing.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from uuid import NAMESPACE_DNS, uuid5

import anyio
import anyio.abc
import anyio.from_thread
import anyio.lowlevel
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.events import check_stream, numbers

from engine import Command, DriverError, Engine, InvalidState, NoSuchDomain, Report, State
from engine.domain import Domain
from engine.drivers.test import TestDriver
from engine.events.subscription import Policy, Subscription
from engine.events.types import (
    CommandFailed,
    DomainAdopted,
    DomainEvent,
    DomainSnapshot,
    Event,
    LifecycleEvent,
    SnapshotComplete,
)
from engine.lifecycle import ACTIVE, TRANSITIONS, allowed

T = TypeVar("T")

URI = "test:///default"
SEED = "6695eb01-f6a4-8304-79aa-97f2502e193f"  # of the domain that test:///default begins with
NAMES = ("test", "web", "db")
UUIDS = {"test": SEED, **{name: str(uuid5(NAMESPACE_DNS, name)) for name in NAMES[1:]}}
PATIENCE = 20.0

#: What is told of a domain: the event, its detail, the state it leads to.
Told = tuple[str, str, State]

#: The commands without arguments, with what a running guest of the test driver does then.
SIMPLE: dict[Command, tuple[Told, ...]] = {
    Command.SHUTDOWN: (("DomainStopped", "shutdown", State.SHUTOFF),),
    Command.SUSPEND: (("DomainSuspended", "paused", State.PAUSED),),
    Command.RESUME: (("DomainResumed", "unpaused", State.RUNNING),),
    Command.DESTROY: (("DomainStopped", "destroyed", State.SHUTOFF),),
    Command.REBOOT: (("DomainRebooted", "host", State.RUNNING),),
    Command.RESET: (("DomainRebooted", "host", State.RUNNING),),
    Command.SAVE: (("DomainStopped", "saved", State.SHUTOFF),),
    Command.MANAGED_SAVE: (("DomainStopped", "saved", State.SHUTOFF),),
}

#: What a guest may come to by itself, and what is told then of one that runs.
OWN_WAYS: dict[Report, Told] = {
    Report.SHUTTING_DOWN: ("DomainShuttingDown", "finished", State.SHUTDOWN),
    Report.CRASHED: ("DomainCrashed", "panicked", State.CRASHED),
    Report.PMSUSPENDED: ("DomainPMSuspended", "memory", State.PMSUSPENDED),
    Report.REBOOTED: ("DomainRebooted", "guest", State.RUNNING),
}

#: What an engine tells of a guest that it finds plainly running although it was last told to be something else.
WENT_ON: dict[State, Told] = {
    State.PMSUSPENDED: ("DomainStarted", "wakeup", State.RUNNING),
    State.SHUTDOWN: ("DomainRebooted", "guest", State.RUNNING),
    State.CRASHED: ("DomainRebooted", "guest", State.RUNNING),
}


@dataclass
class Model:
    """What a domain must be."""

    state: State = State.SHUTOFF
    persistent: bool = True
    saved: bool = False
    autostart: bool = False
    changes: int = 0  # of its definition


@dataclass
class Expected:
    """What a command comes to: the events, and what else changes once they have all been told."""

    told: tuple[Told, ...] = ()
    error: type[Exception] | None = None
    after: Callable[[], None] = lambda: None


class Reader:
    """A subscription that comes and goes, and all it gave."""

    def __init__(self, subscription: Subscription, begin: int, domain: str | None) -> None:
        self.subscription = subscription
        self.begin = begin
        self.domain = domain
        self.received: list[Event] = []

    def wants(self, event: Event) -> bool:
        return self.domain is None or (isinstance(event, DomainEvent) and event.domain == self.domain)


class EngineMachine(RuleBasedStateMachine):
    backend: ClassVar[str]
    persistent: ClassVar[bool]

    # ------------------------------------------------------------------------ opening and closing

    @initialize()
    def begin(self) -> None:
        self.stack = ExitStack()
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.portal = self.stack.enter_context(anyio.from_thread.start_blocking_portal(self.backend))
        self.model = {"test": Model(State.RUNNING)}
        self.files: dict[str, Path] = {}
        self.events: list[Event] = []
        self.readers: list[Reader] = []
        self.open()
        assert self.news() == []

    def open(self) -> None:
        self.holder, self.engine = self.portal.start_task(self.hold)
        driver = self.engine.driver()
        assert isinstance(driver, TestDriver)
        self.driver = driver
        last = self.events[-1].sequence if self.events else 0
        self.observer = self.engine.subscribe(since=last, policy="block", bound=10_000)
        self.run(self.observer.__aenter__)

    async def hold(self, *, task_status: anyio.abc.TaskStatus[Engine]) -> None:
        self.release = anyio.Event()
        state_dir = self.folder / "state" if self.persistent else None
        async with Engine(URI, state_dir=state_dir, on_close="leave", systemd=False) as engine:
            task_status.started(engine)
            await self.release.wait()

    def close(self) -> None:
        if self.holder.done():
            return
        self.run(self.release.set)
        self.holder.result(PATIENCE)

    def teardown(self) -> None:
        if hasattr(self, "holder"):
            with self.stack:  # an error cancels what still runs; else leaving the portal would wait for it
                self.close()

    def run(self, function: Callable[..., Any], *args: Any) -> Any:
        """In the engine's loop, and not for ever."""

        async def bounded() -> Any:
            with anyio.fail_after(PATIENCE):
                result = function(*args)
                return await result if isinstance(result, Awaitable) else result

        return self.portal.call(bounded)

    # ------------------------------------------------------------------------ what was told

    def news(self) -> list[Event]:
        """Every event since the last time, but those about connections and gates."""
        fresh: list[Event] = self.run(self.read_all, self.observer, self.events[-1].sequence if self.events else 0)
        self.events += fresh
        return [event for event in fresh if isinstance(event, LifecycleEvent | CommandFailed)]

    async def read_all(self, subscription: Subscription, seen: int) -> list[Event]:
        events: list[Event] = []
        while (events[-1].sequence if events else seen) < self.engine.bus.journal.newest:
            events.append(await anext(subscription))
        return events

    def told(self, name: str) -> tuple[list[Told], list[CommandFailed]]:
        """What is new of this domain; of others there is nothing new."""
        told: list[Told] = []
        failed: list[CommandFailed] = []
        self.causes: list[str | None] = []
        for event in self.news():
            assert isinstance(event, DomainEvent)
            assert (event.domain, event.uuid) == (name, UUIDS[name])
            self.causes.append(event.cause)
            if isinstance(event, CommandFailed):
                failed.append(event)
            else:
                assert isinstance(event, LifecycleEvent)
                told.append((type(event).__name__, event.detail, event.state))
        return told, failed

    def take(self, name: str, told: Sequence[Told]) -> None:
        """The state that was told last is the state; a transient domain that stopped is no more."""
        if told and name in self.model:
            self.model[name].state = told[-1][2]
            if told[-1][2] not in ACTIVE and not self.model[name].persistent:
                del self.model[name]

    # ------------------------------------------------------------------------ commands

    def command(self, name: str, kind: Command, call: Callable[[], Any], expected: Expected, fault: str = "") -> None:
        """Carry it out: as expected, refused, or failing for the ``fault`` (a command of the driver) that is set."""
        model = self.model.get(name)
        state = model.state if model else State.NOSTATE
        if kind not in allowed(state):
            self.refused(name, kind, state, call)
            return
        if fault and expected.error is None:
            self.driver.fail(fault, domain=name)
            expected = Expected(error=DriverError)
        if expected.error is not None:
            with pytest.raises(expected.error):
                self.run(call)
            told, failed = self.told(name)
            assert told == []
            assert [event.command for event in failed] == [kind.value]
            assert self.causes != [None]
            return
        self.run(call)
        told, failed = self.told(name)
        assert (tuple(told), failed) == (expected.told, [])
        assert None not in self.causes
        assert len(set(self.causes)) <= 1, "one command, one cause"
        expected.after()
        self.take(name, told)

    def refused(self, name: str, kind: Command, state: State, call: Callable[[], Any]) -> None:
        with pytest.raises((InvalidState, NoSuchDomain)) as caught:
            self.run(call)
        if state is State.NOSTATE:
            assert isinstance(caught.value, NoSuchDomain)
        else:
            assert isinstance(caught.value, InvalidState)
            assert (caught.value.command, caught.value.state) == (kind.value, state.value)
            assert set(caught.value.allowed) == {command.value for command in allowed(state)}
        assert self.told(name) == ([], [])

    def cancelled(self, name: str, kind: Command, call: Callable[[], Any], expected: Expected, steps: int) -> None:
        """Cancel it after so many turns of the loop: what was told is true, and it is a beginning of the whole."""
        if kind not in allowed(self.model[name].state if name in self.model else State.NOSTATE) or expected.error:
            return
        finished = self.run(self.run_cancelled, call, steps)
        told, failed = self.told(name)
        assert failed == []
        assert tuple(told) == expected.told[: len(told)]
        if finished or (told and tuple(told) == expected.told):
            assert tuple(told) == expected.told
            expected.after()
        self.take(name, told)

    async def run_cancelled(self, call: Callable[[], Any], steps: int) -> bool:
        finished = False

        async def command() -> None:
            nonlocal finished
            await call()
            finished = True

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(command)
            for _ in range(steps):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        return finished

    def domain(self, name: str) -> Domain:
        return self.engine.domain(name)

    def carry_out(
        self, name: str, kind: Command, call: Callable[[], Any], expected: Expected, fault: str, steps: int | None
    ) -> None:
        if steps is None:
            self.command(name, kind, call, expected, fault)
        else:
            self.cancelled(name, kind, call, expected, steps)

    names = st.sampled_from(NAMES)
    faults = st.sampled_from([False, False, True])
    steps = st.none() | st.none() | st.integers(0, 12)

    @rule(name=names, steps=steps)
    def define(self, name: str, steps: int | None) -> None:
        model = self.model.get(name)
        changes = model.changes + 1 if model else 0
        xml = (
            f"<domain type='test'><name>{name}</name><uuid>{UUIDS[name]}</uuid><title>change {changes}</title>"
            "<memory>1024</memory></domain>"
        )
        added = model is None or not model.persistent

        def after() -> None:
            known = self.model.setdefault(name, Model())
            known.persistent, known.changes = True, changes

        told = ("DomainDefined", "added" if added else "updated", model.state if model else State.SHUTOFF)
        self.carry_out(name, Command.DEFINE, lambda: self.engine.define(xml), Expected((told,), after=after), "", steps)

    @rule(name=names, managed_save=st.booleans(), steps=steps)
    def undefine(self, name: str, managed_save: bool, steps: int | None) -> None:
        model = self.model.get(name, Model())

        def after() -> None:
            model.persistent = model.autostart = model.saved = False

        told = ("DomainUndefined", "removed", model.state if model.state in ACTIVE else State.NOSTATE)
        expected = Expected((told,), after=after)
        if not model.persistent or (model.saved and not managed_save):
            expected = Expected(error=DriverError)
        call = lambda: self.domain(name).undefine(managed_save=managed_save)  # noqa: E731
        self.carry_out(name, Command.UNDEFINE, call, expected, "", steps)

    @rule(name=names, paused=st.booleans(), force_boot=st.booleans(), fault=faults, steps=steps)
    def start(self, name: str, paused: bool, force_boot: bool, fault: bool, steps: int | None) -> None:
        model = self.model.get(name, Model())
        restored = model.saved and not force_boot
        told = [("DomainStarted", "restored" if restored else "booted", State.RUNNING)]
        if paused:
            told.append(("DomainSuspended", "paused", State.PAUSED))

        def after() -> None:
            model.saved = False

        call = lambda: self.domain(name).start(paused=paused, force_boot=force_boot)  # noqa: E731
        self.carry_out(name, Command.START, call, Expected(tuple(told), after=after), "start" * fault, steps)
        if force_boot and model.saved and model.state is State.SHUTOFF and name in self.model:
            model.saved = self.domain(name).saved  # discarded already, or not yet, when the start failed

    @rule(name=names, paused=st.booleans(), fault=faults, steps=steps)
    def restore(self, name: str, paused: bool, fault: bool, steps: int | None) -> None:
        if name not in self.files:
            return
        model = self.model.get(name)
        told = [("DomainStarted", "restored", State.RUNNING)]
        if paused:
            told.append(("DomainSuspended", "paused", State.PAUSED))

        def after() -> None:
            # a managed save no longer fits the disks once the guest ran from elsewhere
            self.model.setdefault(name, Model(persistent=False)).saved = False

        call = lambda: self.engine.restore(self.files[name], paused=paused)  # noqa: E731
        self.carry_out(name, Command.RESTORE, call, Expected(tuple(told), after=after), "start" * fault, steps)
        if model is None and name not in self.model and any(domain.name == name for domain in self.engine.domains()):
            raise AssertionError("a restore that was cancelled left a domain behind")

    @rule(name=names, kind=st.sampled_from(sorted(SIMPLE)), fault=faults, steps=steps)
    def simple(self, name: str, kind: Command, fault: bool, steps: int | None) -> None:
        model = self.model.get(name, Model())
        told = SIMPLE[kind]
        if kind is Command.RESET and model.state is State.PAUSED:
            told = (("DomainRebooted", "host", State.PAUSED),)
        expected = Expected(told)
        methods = {Command.MANAGED_SAVE: "managed_save"}
        call = lambda: getattr(self.domain(name), methods.get(kind, kind.value))()  # noqa: E731
        fault_of = kind.value
        if kind is Command.MANAGED_SAVE:
            fault_of = "save"
            expected = Expected(told, after=lambda: setattr(model, "saved", True))
            if not model.persistent:
                expected = Expected(error=DriverError)
        elif kind is Command.SAVE:
            path = self.folder / f"{name}.save"
            call = lambda: self.domain(name).save(path)  # noqa: E731
            expected = Expected(told, after=lambda: self.files.update({name: path}))
        self.carry_out(name, kind, call, expected, fault_of * fault, steps)

    @rule(name=names, autostart=st.booleans())
    def autostart(self, name: str, autostart: bool) -> None:
        model = self.model.get(name, Model())
        expected = Expected(after=lambda: setattr(model, "autostart", autostart))
        if not model.persistent:
            expected = Expected(error=DriverError)
        self.command(name, Command.AUTOSTART, lambda: self.domain(name).set_autostart(autostart), expected)

    # ------------------------------------------------------------------------ guests of their own mind

    # What is drawn must not depend on the model: when a cancellation comes in time is up to the threads of the store.

    @rule(name=names, how=st.sampled_from(["crash", "power_off"]))
    def ends_by_itself(self, name: str, how: str) -> None:
        if name not in self.model:
            return
        state = self.model[name].state
        expected: list[Told] = []
        if state in ACTIVE:
            if how == "power_off" and Report.SHUTTING_DOWN in TRANSITIONS[state]:
                expected.append(("DomainShuttingDown", "guest", State.SHUTDOWN))
            expected.append(("DomainStopped", "crashed" if how == "crash" else "shutdown", State.SHUTOFF))
        self.run(getattr(self.driver, how), self.domain(name).handle)
        assert self.told(name) == (expected, [])
        assert set(self.causes) <= {None}, "nobody asked for it"
        self.take(name, expected)

    @rule(name=names, report=st.sampled_from(sorted(OWN_WAYS)))
    def changes_by_itself(self, name: str, report: Report) -> None:
        if name not in self.model or self.model[name].state is not State.RUNNING:
            return
        self.run(self.domain(name).handle.report, report)
        assert self.told(name) == ([OWN_WAYS[report]], [])
        assert self.causes == [None]
        self.take(name, [OWN_WAYS[report]])

    # ------------------------------------------------------------------------ readers

    @precondition(lambda self: len(self.readers) < 4)
    @rule(
        name=st.none() | names,
        back=st.none() | st.integers(0, 10),
        bound=st.integers(1, 5),
        policy=st.sampled_from(["block", "drop_oldest"]),
    )
    def subscribe(self, name: str | None, back: int | None, bound: int, policy: Policy) -> None:
        newest = self.events[-1].sequence
        begin = newest if back is None else max(0, newest - back)
        subscription = self.engine.subscribe(
            domain=name, since=None if back is None else begin, bound=bound, policy=policy
        )
        self.run(subscription.__aenter__)
        self.readers.append(Reader(subscription, begin, name))

    @precondition(lambda self: self.readers)
    @rule(which=st.integers(0, 3))
    def unsubscribe(self, which: int) -> None:
        """It reads what is there for it, and goes: nothing was kept from it, and nothing told twice."""
        reader = self.readers.pop(which % len(self.readers))
        self.run(self.drain, reader)
        assert self.news() == []
        check_stream(self.events, reader.wants, reader.begin, reader.received, self.events[-1].sequence)
        self.run(reader.subscription.aclose)

    async def drain(self, reader: Reader) -> None:
        wanted = [e for e in self.events if e.sequence > reader.begin and reader.wants(e)]
        while wanted and not (reader.received and reader.received[-1].sequence >= wanted[-1].sequence):
            reader.received.append(await anext(reader.subscription))

    @rule()
    def snapshot(self) -> None:
        """It equals the domains."""
        found: list[Event] = self.run(self.read_snapshot)
        *domains, complete = found
        assert isinstance(complete, SnapshotComplete)
        assert (complete.count, complete.sequence) == (len(domains), self.events[-1].sequence)
        shown = {}
        for event in domains:
            assert isinstance(event, DomainSnapshot)
            shown[event.domain] = (event.uuid, event.state, event.persistent, event.autostart)
            assert (event.reason, event.ready) == (self.domain(event.domain).reason, self.domain(event.domain).ready)
        assert len(shown) == len(domains)
        assert shown == {n: (UUIDS[n], m.state, m.persistent, m.autostart) for n, m in self.model.items()}

    async def read_snapshot(self) -> list[Event]:
        found: list[Event] = []
        async with self.engine.subscribe(snapshot=True) as subscription:
            while not (found and isinstance(found[-1], SnapshotComplete)):
                found.append(await anext(subscription))
        return found

    # ------------------------------------------------------------------------ the engine goes, the guests stay

    @precondition(lambda self: self.persistent)
    @rule()
    def reopen(self) -> None:
        """All is as it was, and what is told of it is only what is new."""
        for reader in self.readers:
            self.run(reader.subscription.aclose)
        self.readers.clear()
        self.close()
        self.open()
        told: dict[str, list[Told]] = {}
        for event in self.news():
            assert isinstance(event, LifecycleEvent)
            told.setdefault(event.domain, []).append((type(event).__name__, event.detail, event.state))
        expected: dict[str, list[Told]] = {}
        for name, model in self.model.items():
            if model.state in ACTIVE:
                expected[name] = [WENT_ON[model.state]] if model.state in WENT_ON else []
                self.take(name, expected[name])
                expected[name].append((DomainAdopted.__name__, "reconnected", model.state))
        assert told == expected

    # ------------------------------------------------------------------------ what always holds

    @invariant()
    def domains_are_as_the_model_says(self) -> None:
        if not hasattr(self, "engine"):
            return
        domains = {domain.name: domain for domain in self.engine.domains()}
        shown = {n: Model(d.state, d.persistent, d.saved, d.autostart) for n, d in domains.items()}
        assert shown == {n: Model(m.state, m.persistent, m.saved, m.autostart) for n, m in self.model.items()}
        for name, domain in domains.items():
            assert domain.allowed == allowed(self.model[name].state)
            assert self.engine.domain(UUIDS[name]) is domain
            if self.model[name].persistent and self.model[name].changes:
                assert f"change {self.model[name].changes}" in domain.xml(inactive=True)

    @invariant()
    def numbers_have_no_hole(self) -> None:
        if events := getattr(self, "events", None):
            assert numbers(events) == list(range(1, len(events) + 1))


@pytest.mark.parametrize("persistent", [False, True], ids=["memory", "disk"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_engine(backend: str, persistent: bool) -> None:
    machine = type("Machine", (EngineMachine,), {"backend": backend, "persistent": persistent})
    case = machine.TestCase
    case.settings = settings(
        max_examples=20,
        stateful_step_count=30,
        deadline=None,
        derandomize=os.environ.get("CI") == "true",  # there, chance decides nothing
        suppress_health_check=list(HealthCheck),
    )
    case().runTest()
