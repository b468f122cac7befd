"""Signals and names that are followed: on a real daemon, across restarts, and when the reader is too slow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest
from support.dbus import DAEMON, DAEMON_PATH, Daemon, Listener, false_bus, signal

from engine.errors import ConfigError, ConnectionBroken, DBusError, SubscriptionLagged
from engine.util.dbus import Bus, Errors, MatchRule, Message, MessageType, SignalSubscription, open_bus
from engine.util.dbus.subscription import NameWatch

PATH = "/org/example/Test"
INTERFACE = "org.example.Test"
SERVICE = "org.example.Service"


async def _sync(bus: Bus) -> None:
    """All that the daemon sent before is here now."""
    await bus.call(DAEMON, DAEMON_PATH, DAEMON, "GetId")


async def _next(source: Any) -> Any:
    with anyio.fail_after(20):
        return await anext(source)


# ---------------------------------------------------------------------------- rules


def test_rules_are_written_and_quoted() -> None:
    assert str(MatchRule()) == "type='signal'"
    rule = MatchRule(sender=SERVICE, path=PATH, interface=INTERFACE, member="M", args=((0, "it's"), (2, "")))
    assert str(rule) == (
        f"type='signal',sender='{SERVICE}',path='{PATH}',interface='{INTERFACE}',member='M',arg0='it'\\''s',arg2=''"
    )


@pytest.mark.parametrize(
    "wrong", [{"type": "method_call"}, {"path": "/a", "path_namespace": "/"}, {"args": ((64, "x"),)}]
)
def test_rules_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(DBusError, match="no such match rule"):
        MatchRule(**wrong)


@pytest.mark.parametrize(
    ("rule", "fits"),
    [
        (MatchRule(), True),
        (MatchRule(member="Happened"), True),
        (MatchRule(member="Other"), False),
        (MatchRule(interface=INTERFACE), True),
        (MatchRule(interface="org.example"), False),
        (MatchRule(path="/a/b"), True),
        (MatchRule(path="/a"), False),
        (MatchRule(path_namespace="/a"), True),
        (MatchRule(path_namespace="/a/b"), True),
        (MatchRule(path_namespace="/"), True),
        (MatchRule(path_namespace="/a/bc"), False),
        (MatchRule(path_namespace="/a/b/c"), False),
        (MatchRule(sender=":1.7"), True),
        (MatchRule(sender=":1.8"), False),
        (MatchRule(destination=":1.1"), False),
        (MatchRule(args=((0, "a.b"),)), True),
        (MatchRule(args=((0, "a"),)), False),
        (MatchRule(args=((1, "7"),)), False),
        (MatchRule(args=((9, "x"),)), False),
        (MatchRule(arg0namespace="a"), True),
        (MatchRule(arg0namespace="a.b"), True),
        (MatchRule(arg0namespace="a.bc"), False),
    ],
)
def test_rules_fit_what_they_say(rule: MatchRule, fits: bool) -> None:
    message = signal("Happened", "su", "a.b", 7, path="/a/b")
    assert rule.matches(message, rule.sender) is fits


def test_a_rule_whose_sender_is_not_there_fits_nothing() -> None:
    rule = MatchRule(sender=SERVICE)
    assert not rule.matches(signal(), None)
    assert not rule.matches(Message(type=MessageType.SIGNAL, path="/", interface="a.B", member="M"), None)
    assert rule.matches(signal(), ":1.7")


async def test_the_daemon_understands_every_rule(daemon: Daemon) -> None:
    rules = [
        MatchRule(sender=SERVICE, path=PATH, interface=INTERFACE, member="M", destination=":1.1", args=((0, "it's"),)),
        MatchRule(path_namespace="/org", arg0namespace="a.b"),
    ]
    async with open_bus(daemon.address) as bus:
        for rule in rules:
            async with bus.subscribe(rule):
                pass
        with pytest.raises(DBusError, match="MatchRuleInvalid"):
            async with bus.subscribe(MatchRule(path="no path")):
                pass
        assert not bus._subscriptions and not bus._watches


# ---------------------------------------------------------------------------- signals


async def test_signals_that_fit_arrive_in_order(daemon: Daemon) -> None:
    async with open_bus(daemon.address) as bus, open_bus(daemon.address) as other:
        async with bus.subscribe(MatchRule(path=PATH, member="Tick")) as ticks:
            for n in range(100):
                await other.emit(PATH, INTERFACE, "Tick", "u", (n,))
                await other.emit(PATH, INTERFACE, "Tock", "u", (n,))
                await other.emit("/other", INTERFACE, "Tick", "u", (n,))
            for n in range(100):
                tick = await _next(ticks)
                assert (tick.member, tick.path, tick.body) == ("Tick", PATH, (n,))
                assert (tick.sender, tick.signature) == (other.unique_name, "u")
        with pytest.raises(StopAsyncIteration):
            await _next(ticks)


async def test_each_subscription_gets_its_own(daemon: Daemon) -> None:
    """Equal rules too; and one that is left takes nothing from another, nor is its rule left behind."""
    async with open_bus(daemon.address) as bus, open_bus(daemon.address) as other:
        async with bus.subscribe(MatchRule(member="Tick")) as first:
            async with bus.subscribe(MatchRule(member="Tick")) as second:
                await other.emit(PATH, INTERFACE, "Tick")
                assert (await _next(first)).serial == (await _next(second)).serial
            await other.emit(PATH, INTERFACE, "Tick", "s", ("again",))
            assert (await _next(first)).body == ("again",)
        await _sync(bus)  # its rules are gone
        seen: list[str | None] = []
        bus._take_signal = lambda message: seen.append(message.member)  # type: ignore[method-assign]
        await other.emit(PATH, INTERFACE, "Tick")
        await other.emit(PATH, INTERFACE, "Tock", destination=bus.unique_name)
        await _sync(other)
        await _sync(bus)
        assert seen == ["Tock"], "the daemon still sends what nobody asks for any more"


async def test_drop_oldest_keeps_the_newest_and_counts_the_rest(daemon: Daemon) -> None:
    async with (
        open_bus(daemon.address) as bus,
        open_bus(daemon.address) as other,
        bus.subscribe(MatchRule(member="Tick"), bound=10, overflow="drop_oldest") as ticks,
    ):
        for n in range(25):
            await other.emit(PATH, INTERFACE, "Tick", "u", (n,))
        await _sync(other)
        await _sync(bus)
        assert ticks.lost == 15
        assert [(await _next(ticks)).body[0] for _ in range(10)] == list(range(15, 25))
        await other.emit(PATH, INTERFACE, "Tick", "u", (99,))
        assert (await _next(ticks)).body == (99,)
        assert ticks.lost == 15


async def test_disconnect_ends_the_subscription_and_nothing_else(daemon: Daemon) -> None:
    async with open_bus(daemon.address) as bus, open_bus(daemon.address) as other:
        async with (
            bus.subscribe(MatchRule(member="Tick"), bound=3, overflow="disconnect") as slow,
            bus.subscribe(MatchRule(member="Tick")) as patient,
        ):
            for n in range(5):
                await other.emit(PATH, INTERFACE, "Tick", "u", (n,))
            assert [(await _next(patient)).body[0] for _ in range(5)] == list(range(5))
            assert [(await _next(slow)).body[0] for _ in range(3)] == list(range(3))
            with pytest.raises(SubscriptionLagged) as caught:
                await _next(slow)
            assert caught.value.last == 3
        await _sync(bus)


async def test_a_bound_is_needed(daemon: Daemon) -> None:
    async with open_bus(daemon.address) as bus:
        with pytest.raises(ConfigError):
            async with bus.subscribe(MatchRule(), bound=0):
                pass


async def test_a_reader_that_waits_is_woken(daemon: Daemon) -> None:
    seen: list[Any] = []

    async def read(ticks: SignalSubscription) -> None:
        async for tick in ticks:
            seen.append(tick.body[0])
            if len(seen) == 2:
                both.set()

    both = anyio.Event()
    async with (
        open_bus(daemon.address) as bus,
        open_bus(daemon.address) as other,
        anyio.create_task_group() as group,
        bus.subscribe(MatchRule(member="Tick")) as ticks,
    ):
        group.start_soon(read, ticks)
        await anyio.wait_all_tasks_blocked()
        await other.emit(PATH, INTERFACE, "Tick", "u", (1,))
        await other.emit(PATH, INTERFACE, "Tick", "u", (2,))
        with anyio.fail_after(20):
            await both.wait()
    assert seen == [1, 2]  # and its loop ended when the subscription was left


async def test_the_bus_going_ends_every_reader(daemon: Daemon) -> None:
    ended = []

    async def read(source: Any) -> None:
        with pytest.raises(ConnectionBroken):
            async for _ in source:
                pass
        ended.append(1)

    async with (
        open_bus(daemon.address) as bus,
        open_bus(daemon.address) as other,
        bus.subscribe(MatchRule(member="Tick")) as ticks,
        bus.subscribe(MatchRule(sender=SERVICE)) as more,
        bus.watch_name(SERVICE) as watch,
    ):
        await other.emit(PATH, INTERFACE, "Tick")
        await _sync(other)
        await _sync(bus)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                daemon.stop()
                for source in (more, watch):
                    group.start_soon(read, source)
                await bus.wait_broken()
                assert (await _next(ticks)).member == "Tick"  # what was there can still be read
                group.start_soon(read, ticks)
    assert len(ended) == 3


async def test_a_subscription_that_was_never_sent_takes_no_rule_away(folder: Path) -> None:
    """The daemon counts equal rules: a RemoveMatch without its AddMatch would silence another subscription."""

    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        await peer.reply(await peer.message())  # AddMatch of the first
        added.set()
        await stuffed.wait()
        while True:
            said.append((await peer.message()).member)
            if said[-1] == "Last":
                done.set()

    said: list[str | None] = []
    added, stuffed, done = anyio.Event(), anyio.Event(), anyio.Event()
    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(20):
            async with open_bus(listener.address) as bus, bus.subscribe(MatchRule(member="Tick")):
                await added.wait()
                with anyio.move_on_after(0.05):
                    await bus.call(SERVICE, PATH, INTERFACE, "Large", "ay", (bytes(5_000_000),))
                with anyio.move_on_after(0.05) as scope:
                    async with bus.subscribe(MatchRule(member="Tick")):
                        pass
                assert scope.cancelled_caught
                stuffed.set()
                await bus.emit(PATH, INTERFACE, "Last")
                await done.wait()
                assert said == ["Large", "Last"]


async def test_a_subscription_that_was_refused_is_not_taken_back(folder: Path) -> None:
    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        await peer.write(peer.bytes_of(Message.error_to(await peer.message(), Errors.LIMITS_EXCEEDED, "too many")))
        said.append((await peer.message()).member)
        done.set()

    said: list[str | None] = []
    done = anyio.Event()
    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(20):
            async with open_bus(listener.address) as bus:
                with pytest.raises(DBusError, match="too many"):
                    async with bus.subscribe(MatchRule()):
                        pass
                await bus.emit(PATH, INTERFACE, "Next")
                await done.wait()
    assert said == ["Next"]


async def test_a_subscription_that_was_sent_and_not_waited_for_is_taken_back(folder: Path) -> None:
    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        for event in (asked, taken_back):
            said.append((await peer.message()).member)
            event.set()

    said: list[str | None] = []
    asked, taken_back = anyio.Event(), anyio.Event()
    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(20):
            async with open_bus(listener.address) as bus, anyio.create_task_group() as callers:

                async def subscribe() -> None:
                    async with bus.subscribe(MatchRule(member="Tick")):
                        pass

                callers.start_soon(subscribe)
                await asked.wait()
                callers.cancel_scope.cancel()
                with anyio.CancelScope(shield=True):
                    await taken_back.wait()
    assert said == ["AddMatch", "RemoveMatch"]


# ---------------------------------------------------------------------------- names


async def test_a_service_that_restarts_is_seen(daemon: Daemon) -> None:
    async with (
        open_bus(daemon.address) as bus,
        bus.watch_name(SERVICE) as watch,
        bus.watch_name("org.example.Other") as other,
    ):
        assert watch.owner is None and await _next(watch) is None
        owners = []
        for _ in range(3):
            async with open_bus(daemon.address) as service:
                async with service.own_name(SERVICE):
                    owners.append(await _next(watch))
                    assert owners[-1] == service.unique_name == watch.owner
                    assert other.owner is None
                assert await _next(watch) is None
        assert len(set(owners)) == 3


async def test_a_watch_knows_the_owner_from_the_start(daemon: Daemon) -> None:
    async with open_bus(daemon.address) as service, service.own_name(SERVICE), open_bus(daemon.address) as bus:
        async with bus.watch_name(SERVICE) as watch, bus.watch_name("org.example.Other") as other:
            assert watch.owner == service.unique_name and other.owner is None
            assert await _next(watch) == service.unique_name
        with pytest.raises(StopAsyncIteration):
            await _next(watch)


async def test_a_slow_reader_of_a_watch_gets_the_latest_owner(daemon: Daemon) -> None:
    async with open_bus(daemon.address) as bus, bus.watch_name(SERVICE) as watch:
        assert await _next(watch) is None
        for _ in range(3):
            async with open_bus(daemon.address) as service, service.own_name(SERVICE):
                pass
        async with open_bus(daemon.address) as service, service.own_name(SERVICE):
            await _sync(bus)
            assert await _next(watch) == service.unique_name
            with anyio.move_on_after(0.05) as scope:
                await anext(watch)
            assert scope.cancelled_caught  # nothing more: it changed no more


async def test_a_watch_that_is_told_the_same_twice_tells_once() -> None:
    watch = NameWatch(SERVICE)
    watch.set_owner(":1.1")
    watch.set_owner(":1.1")
    assert await _next(watch) == ":1.1"
    watch.set_owner(":1.1")
    watch.end()
    with pytest.raises(StopAsyncIteration):
        await _next(watch)


async def test_signals_of_a_service_are_followed_through_its_restarts(daemon: Daemon) -> None:
    async with (
        open_bus(daemon.address) as bus,
        open_bus(daemon.address) as impostor,
        bus.subscribe(MatchRule(sender=SERVICE)) as signals,
        bus.subscribe(MatchRule(member="Tick")) as all_ticks,
    ):
        for n in range(3):
            await impostor.emit(PATH, INTERFACE, "Tick", "s", ("not of the service",))
            async with open_bus(daemon.address) as service:
                await service.emit(PATH, INTERFACE, "Tick", "s", ("not yet",))
                async with service.own_name(SERVICE):
                    await service.emit(PATH, INTERFACE, "Tick", "u", (n,))
                await service.emit(PATH, INTERFACE, "Tick", "s", ("no more",))
                await _sync(service)
        await _sync(bus)
        assert [(await _next(signals)).body[0] for _ in range(3)] == [0, 1, 2]
        assert not signals._queue and len(all_ticks._queue) == 12, "the others came here too, and were sorted out"


async def test_a_change_right_after_the_answer_is_not_undone_by_it(folder: Path) -> None:
    """The daemon's answer and the change come in one piece, and the caller wakes up only after both were read."""

    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        add = await peer.message()
        await peer.reply(add)
        who = await peer.message()
        changed = Message(
            type=MessageType.SIGNAL,
            sender=DAEMON,
            path=DAEMON_PATH,
            interface=DAEMON,
            member="NameOwnerChanged",
            signature="sss",
            body=(SERVICE, ":1.5", ":1.6"),
        )
        await peer.write(peer.bytes_of(Message.reply_to(who, "s", (":1.5",))) + peer.bytes_of(changed))

    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(20):
            async with open_bus(listener.address) as bus, bus.watch_name(SERVICE) as watch:
                assert watch.owner == ":1.6"


async def test_a_name_that_can_not_be_watched_is_told(daemon: Daemon) -> None:
    async with open_bus(daemon.address) as bus:
        with pytest.raises(DBusError) as caught:
            async with bus.watch_name("not\0a name"):
                pass
        assert caught.value.name == Errors.INVALID_ARGS
        await _sync(bus)
