"""Commands reach the one connection that owns them, through the interceptors; events get their numbers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec
import pytest
from support.events import facts, numbers, read_available, read_until, start

from engine.errors import ConfigError, EngineError, InvalidState, NoSuchConnection
from engine.events.bus import Bus
from engine.events.commands import DomainCommand, ShutdownDomain, StartDomain
from engine.events.journal import MemoryJournal
from engine.events.types import ConnectionOpened, DomainStarted

START = StartDomain(connection="test:///default", domain="web", uuid="")


class Owner:
    """Carries out commands by writing them down."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.got: list[DomainCommand] = []

    async def __call__(self, command: DomainCommand) -> str:
        await anyio.lowlevel.checkpoint()
        self.got.append(command)
        return f"{self.name}: {command.domain}"


async def test_a_command_goes_to_its_connection_only() -> None:
    bus, one, other = Bus(), Owner("one"), Owner("other")
    bus.register("test:///default", one)
    bus.register("qemu:///system", other)
    assert await bus.execute(START) == "one: web"
    assert (one.got, other.got) == ([START], [])


async def test_a_command_for_nobody_is_an_error() -> None:
    bus = Bus()
    with pytest.raises(NoSuchConnection, match="test:///default"):
        await bus.execute(START)
    bus.register("test:///default", Owner("one"))
    with pytest.raises(ConfigError):
        bus.register("test:///default", Owner("two"))
    bus.unregister("test:///default")
    bus.unregister("test:///default")
    with pytest.raises(NoSuchConnection):
        await bus.execute(START)


def recorder(seen: list[str], name: str) -> Callable[[DomainCommand, Any], Awaitable[Any]]:
    async def interceptor(command: DomainCommand, call_next: Callable[[DomainCommand], Awaitable[Any]]) -> Any:
        seen.append(f"{name} before")
        try:
            return await call_next(command)
        finally:
            seen.append(f"{name} after")

    return interceptor


async def test_interceptors_wrap_in_the_order_they_were_added() -> None:
    bus, seen = Bus(), []  # type: tuple[Bus, list[str]]
    bus.register("test:///default", Owner("one"))
    for name in ("outer", "inner"):
        bus.add_interceptor(recorder(seen, name))
    assert await bus.execute(START) == "one: web"
    assert seen == ["outer before", "inner before", "inner after", "outer after"]


async def test_an_interceptor_refuses_before_the_owner_hears_of_it() -> None:
    bus, owner, seen = Bus(), Owner("one"), []  # type: tuple[Bus, Owner, list[str]]
    bus.register("test:///default", owner)

    async def refuse(command: DomainCommand, call_next: object) -> None:
        raise InvalidState("start", "locked", ())

    bus.add_interceptor(recorder(seen, "audit"))
    bus.add_interceptor(refuse)
    with pytest.raises(InvalidState):
        await bus.execute(START)
    assert owner.got == []
    assert seen == ["audit before", "audit after"]


async def test_an_interceptor_may_send_another_command_elsewhere_and_change_the_answer() -> None:
    bus, one, other = Bus(), Owner("one"), Owner("other")
    bus.register("test:///default", one)
    bus.register("qemu:///system", other)

    async def redirect(command: DomainCommand, call_next: Callable[[DomainCommand], Awaitable[str]]) -> str:
        return (await call_next(msgspec.structs.replace(command, connection="qemu:///system"))).upper()

    bus.add_interceptor(redirect)
    assert await bus.execute(START) == "OTHER: WEB"
    assert [command.id for command in other.got] == [START.id]
    assert one.got == []


async def test_what_the_owner_raises_reaches_the_caller() -> None:
    bus = Bus()

    async def fail(command: DomainCommand) -> None:
        raise EngineError("no")

    bus.register("test:///default", fail)
    bus.add_interceptor(recorder([], "any"))
    with pytest.raises(EngineError, match="no"):
        await bus.execute(START)


async def test_a_command_can_be_cancelled_in_its_owner() -> None:
    bus = Bus()
    reached = anyio.Event()

    async def hang(command: DomainCommand) -> None:
        reached.set()
        await anyio.sleep_forever()

    bus.register("test:///default", hang)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bus.execute, START)
        await reached.wait()
        tasks.cancel_scope.cancel()


def test_commands_have_ids_of_their_own_and_can_t_be_changed() -> None:
    commands = [ShutdownDomain(connection="c", domain="d", uuid="u", method="acpi") for _ in range(1000)]
    assert len({command.id for command in commands}) == 1000
    assert all(len(command.id) < 24 for command in commands)
    with pytest.raises(AttributeError):
        commands[0].method = "agent"  # type: ignore[misc]


async def test_events_are_numbered_without_holes_and_carry_their_cause() -> None:
    before = time.time()
    async with Bus(MemoryJournal("the-host")) as bus:
        events = start(bus, *"abc")
        caused = bus.publish(DomainStarted, cause=START.id, **facts())
        dated = bus.publish(ConnectionOpened, time=12.5, connection="test:///default")
        assert numbers([*events, caused, dated]) == [2, 3, 4, 5, 6]
        assert {event.host for event in events} == {"the-host"}
        assert {event.epoch for event in events} == {bus.journal.epoch}
        assert (events[0].cause, caused.cause) == (None, START.id)
        assert before - 1e-6 <= events[0].time <= time.time()
        assert dated.time == 12.5


async def test_wrong_facts_are_refused_and_use_up_no_number() -> None:
    async with Bus() as bus, bus.subscribe() as events:
        with pytest.raises(TypeError):
            bus.publish(DomainStarted, nonsense=1)
        published = start(bus, "a")
        assert await read_until(events, 2) == published


async def test_types_that_come_later_find_readers_that_came_before() -> None:
    async with Bus() as bus, bus.subscribe(ConnectionOpened) as opened, bus.subscribe() as everything:
        start(bus, "a")

        class Later(ConnectionOpened, frozen=True, kw_only=True, gc=False):
            """A driver's own kind of event."""

        bus.publish(Later, connection="x")
        assert [type(event) for event in await read_until(opened, 3)] == [Later]
        assert numbers(await read_until(everything, 3)) == [2, 3]


async def test_a_reader_of_some_domains_gets_each_event_of_theirs_once() -> None:
    """Whether it knows them by name, by UUID or by both; and one who comes later gets what comes later."""
    uuid = facts()["uuid"]
    async with (
        Bus() as bus,
        bus.subscribe(domain="web") as by_name,
        bus.subscribe(domain=uuid) as by_uuid,
        bus.subscribe(domain=[uuid.upper(), "web", "db"]) as by_both,
        bus.subscribe(domain="we*") as by_pattern,
        bus.subscribe(domain="db") as other,
    ):
        [one] = numbers(start(bus, "web"))
        async with bus.subscribe(domain="web") as late:
            two, three = numbers(start(bus, "web", "db"))
            for reader in (by_name, by_uuid, by_pattern):
                assert numbers(await read_available(reader)) == [one, two]
            assert numbers(await read_available(by_both)) == [one, two, three]
            assert numbers(await read_available(late)) == [two]
            assert numbers(await read_available(other)) == [three]
