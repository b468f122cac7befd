"""Calls, names and life on a real daemon, and on a false one where a real one is too well behaved."""

from __future__ import annotations

import fcntl
import os
import subprocess
import threading
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from support.dbus import DAEMON, DAEMON_PATH, GUID, Daemon, Listener, false_bus, signal

from engine.errors import Busy, CommandTimeout, ConfigError, ConnectionBroken, DBusError
from engine.util.dbus import Bus, Errors, MatchRule, Message, MessageType, UnixFd, Variant, codec, open_bus

PATH = "/org/example/Test"
INTERFACE = "org.example.Test"
SERVICE = "org.example.Service"


async def _echo(call: Message) -> tuple[str, Any]:
    return call.signature, call.body


async def _ask(bus: Bus) -> str:
    """Something that only a healthy connection answers."""
    (name,) = await bus.call(DAEMON, DAEMON_PATH, DAEMON, "GetId", timeout=20)
    return str(name)


def _open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


# ---------------------------------------------------------------------------- life


async def test_it_opens_and_closes(daemon: Daemon) -> None:
    before = _open_fds()
    async with open_bus(daemon.address) as bus:
        assert bus.unique_name.startswith(":1.")
        assert await _ask(bus)
        assert daemon.address.endswith(f"guid={bus.guid}")
        await bus.aclose()
        await bus.aclose()
        with pytest.raises(ConnectionBroken, match="was closed"):
            await _ask(bus)
        assert await bus.wait_broken() == "the connection was closed"
    assert _open_fds() <= before + 2  # asyncio and trio keep a few of their own once they ran


async def test_addresses_are_tried_in_turn(daemon: Daemon, folder: Path) -> None:
    async with open_bus(f"unix:path={folder}/none;{daemon.address}") as bus:
        assert await _ask(bus)


async def test_no_bus_is_told_with_each_reason(folder: Path) -> None:
    with pytest.raises(ConnectionBroken, match=r"one: No such file.*two: No such file"):
        async with open_bus(f"unix:path={folder}/one;unix:path={folder}/two"):
            pass
    with pytest.raises(ConfigError):
        open_bus("nonsense")


async def test_another_bus_than_the_one_wanted_is_not_taken(daemon: Daemon) -> None:
    wrong = daemon.address.rpartition("=")[0] + f"={GUID}"
    with pytest.raises(ConnectionBroken, match="another bus listens there"):
        async with open_bus(wrong):
            pass


async def test_a_bus_that_says_nothing_is_given_up(folder: Path) -> None:
    async with false_bus(folder / "s") as (listener, _):
        with pytest.raises(ConnectionBroken, match=r"no answer within 0\.1"):
            async with open_bus(listener.address, timeout=0.1):
                pass


async def test_errors_in_the_body_come_out_as_they_were_raised(daemon: Daemon) -> None:
    class Mine(Exception):
        pass

    with pytest.raises(Mine):  # and not inside an ExceptionGroup
        async with open_bus(daemon.address) as bus, bus.subscribe(MatchRule()):
            raise Mine


@pytest.mark.parametrize("turns", range(12))
async def test_opening_can_be_cancelled_at_any_await(daemon: Daemon, turns: int) -> None:
    before = _open_fds()

    async def cancel() -> None:
        for _ in range(turns):
            await checkpoint()
        group.cancel_scope.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(cancel)
        async with open_bus(daemon.address) as bus:
            await bus.wait_broken()
    assert _open_fds() <= before + 2


async def test_it_can_be_cancelled(daemon: Daemon) -> None:
    with anyio.move_on_after(0.05) as scope:
        async with open_bus(daemon.address) as bus:
            await bus.wait_broken()
    assert scope.cancelled_caught


# ---------------------------------------------------------------------------- calls


async def test_errors_carry_their_name_and_text(daemon: Daemon) -> None:
    async with open_bus(daemon.address) as bus:
        with pytest.raises(DBusError) as caught:
            await bus.call("org.example.Nobody", PATH, INTERFACE, "Nothing")
        assert caught.value.name == "org.freedesktop.DBus.Error.ServiceUnknown"
        assert "org.example.Nobody" in caught.value.message


@pytest.mark.parametrize(
    ("member", "signature", "body"),
    [
        ("bad name", "", ()),
        ("Echo", "s", (1,)),
        ("Echo", "s", ("a\0b",)),
        ("Echo", "h", (10**6,)),
        ("Echo", "ss", ("x",)),
    ],
)
async def test_what_can_not_be_sent_harms_nothing(daemon: Daemon, member: str, signature: str, body: Any) -> None:
    async with open_bus(daemon.address) as bus:
        with pytest.raises(DBusError) as caught:
            await bus.call(DAEMON, PATH, INTERFACE, member, signature, body)
        assert caught.value.name == Errors.INVALID_ARGS
        assert await _ask(bus)
        assert not bus._pending


async def test_400_calls_at_once(daemon: Daemon) -> None:
    answers: dict[int, Any] = {}

    async def ask(n: int) -> None:
        answers[n] = await bus.call(bus.unique_name, PATH, INTERFACE, "Echo", "us", (n, "x" * n))

    async def echo(call: Message) -> tuple[str, Any]:
        return call.signature, call.body

    async with open_bus(daemon.address) as bus, open_bus(daemon.address) as other:

        async def name(n: int) -> None:
            answers[-n] = await bus.call(DAEMON, DAEMON_PATH, DAEMON, "GetNameOwner", "s", (other.unique_name,))

        async with bus.export(PATH, INTERFACE, echo), anyio.create_task_group() as group:
            for n in range(1, 61):  # as many as are served at once
                group.start_soon(ask, n)
            for n in range(1, 341):
                group.start_soon(name, n)
        assert len(answers) == 400
        assert all(answers[n] == (n, "x" * n) for n in range(1, 61))
        assert all(answers[-n] == (other.unique_name,) for n in range(1, 341))
        assert not bus._pending


async def test_replies_in_any_order_find_their_callers(folder: Path) -> None:
    answers = {}

    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        calls = [await peer.message() for _ in range(400)]
        for call in calls[::2] + calls[::-2]:
            await peer.reply(call, "s", call.member)

    async def ask(member: str) -> None:
        answers[member] = await bus.call(SERVICE, PATH, INTERFACE, member)

    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(30):
            async with open_bus(listener.address) as bus, anyio.create_task_group() as callers:
                for n in range(400):
                    callers.start_soon(ask, f"M{n}")
    assert answers == {f"M{n}": (f"M{n}",) for n in range(400)}


async def test_ten_megabytes_go_both_ways(daemon: Daemon) -> None:
    large = os.urandom(10_000_000)
    async with (
        open_bus(daemon.address) as bus,
        open_bus(daemon.address) as other,
        other.export(PATH, INTERFACE, _echo),
    ):
        with anyio.fail_after(60):
            assert await bus.call(other.unique_name, PATH, INTERFACE, "Echo", "ay", (large,)) == (large,)


async def test_a_call_in_time_and_one_too_late(daemon: Daemon) -> None:
    release = anyio.Event()

    async def slow(call: Message) -> tuple[str, Any]:
        await release.wait()
        return "s", ("late",)

    async with (
        open_bus(daemon.address) as bus,
        open_bus(daemon.address) as other,
        other.export(PATH, INTERFACE, slow),
    ):
        with pytest.raises(CommandTimeout, match=r"Slow of :1\.\d+: no answer within 0.05 s"):
            await bus.call(other.unique_name, PATH, INTERFACE, "Slow", timeout=0.05)
        release.set()
        assert await bus.call(other.unique_name, PATH, INTERFACE, "Slow", timeout=20) == ("late",)


async def test_a_cancelled_call_leaves_the_connection_healthy(daemon: Daemon) -> None:
    started, release, served = anyio.Event(), anyio.Event(), anyio.Event()

    async def slow(call: Message) -> tuple[str, Any]:
        started.set()
        await release.wait()
        served.set()
        return "h", (0,)

    before = _open_fds()
    async with open_bus(daemon.address) as bus, open_bus(daemon.address) as other:
        during = _open_fds()
        async with other.export(PATH, INTERFACE, slow), anyio.create_task_group() as group:
            group.start_soon(bus.call, other.unique_name, PATH, INTERFACE, "Slow")
            with anyio.fail_after(20):
                await started.wait()
            group.cancel_scope.cancel()
        assert not bus._pending
        release.set()
        with anyio.fail_after(20):
            await served.wait()
        await other.call(DAEMON, DAEMON_PATH, DAEMON, "GetId")  # the late reply is on its way now
        assert await _ask(bus)  # and here
        assert _open_fds() == during, "the descriptor in the late reply is still open"
    assert _open_fds() <= before + 2


async def test_the_bus_going_fails_every_call_at_once(daemon: Daemon) -> None:
    failed = []
    held = 0
    all_held = anyio.Event()

    async def hold(call: Message) -> None:
        nonlocal held
        held += 1
        if held == 50:
            all_held.set()
        await anyio.sleep_forever()

    async def ask() -> None:
        with pytest.raises(ConnectionBroken):
            await bus.call(other.unique_name, PATH, INTERFACE, "Hold")
        failed.append(1)

    async with open_bus(daemon.address) as bus, open_bus(daemon.address) as other:
        async with other.export(PATH, INTERFACE, hold):
            with anyio.fail_after(20):
                async with anyio.create_task_group() as group:
                    for _ in range(50):
                        group.start_soon(ask)
                    await all_held.wait()
                    daemon.stop()
                assert "closed the connection" in await bus.wait_broken()
            assert len(failed) == 50
        with pytest.raises(ConnectionBroken):
            await bus.emit(PATH, INTERFACE, "Happened")
        with pytest.raises(ConnectionBroken):
            async with bus.subscribe(MatchRule()):
                pass
        with pytest.raises(ConnectionBroken):
            async with bus.watch_name(SERVICE):
                pass


async def test_an_end_at_any_byte_of_a_message_is_told(folder: Path) -> None:
    async def play(listener: Listener, size: int) -> None:
        peer = await listener.accept()
        await peer.welcome()
        call = await peer.message()
        reply = peer.bytes_of(Message.reply_to(call, "s", ("x",)))
        lengths.append(len(reply))
        await peer.write(reply[:size])
        peer.hang_up()

    async def ask() -> tuple[Any, ...]:
        async with open_bus(listener.address) as bus:
            try:
                return await bus.call(SERVICE, PATH, INTERFACE, "M")
            finally:
                await bus.wait_broken()

    lengths = [1]
    async with false_bus(folder / "s") as (listener, group):
        with anyio.fail_after(30):
            for size in range(60):
                group.start_soon(play, listener, size)
                if size < lengths[-1]:
                    with pytest.raises(ConnectionBroken):
                        await ask()
                else:
                    assert await ask() == ("x",)
    assert 30 < lengths[-1] < 59


@pytest.mark.parametrize("noise", [b"noise", b"l\7\0\2" + bytes(12), b"l\1\0\1" + b"\xff" * 12, b"l\2\0\1" + bytes(99)])
async def test_nonsense_breaks_the_connection_and_nothing_else(folder: Path, noise: bytes) -> None:
    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        await peer.message()
        await peer.write(noise)

    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(10):
            async with open_bus(listener.address) as bus:
                with pytest.raises(ConnectionBroken, match="bus"):
                    await bus.call(SERVICE, PATH, INTERFACE, "M")


async def test_a_large_malformed_message_breaks_the_connection(folder: Path) -> None:
    """It is decoded in a thread; the error comes from there all the same."""

    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        data = bytearray(peer.bytes_of(signal("Large", "s", "x" * 3_000_000)))
        data[-2] = 0
        await peer.write(bytes(data))

    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(10):
            async with open_bus(listener.address) as bus:
                assert "zero byte" in await bus.wait_broken()


async def test_only_large_messages_are_decoded_in_a_thread(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(frame: bytearray, take_fds: Any) -> Message | None:
        threads[len(frame) > 1_000_000].add(threading.get_ident())
        return codec_decode(frame, take_fds)

    codec_decode = codec.decode
    monkeypatch.setattr(codec, "decode", decode)
    threads: dict[bool, set[int]] = {True: set(), False: set()}
    async with open_bus(daemon.address) as bus, bus.export(PATH, INTERFACE, _echo):
        await bus.call(bus.unique_name, PATH, INTERFACE, "Echo", "s", ("x" * 2_000_000,))
    assert threads[False] == {threading.get_ident()}
    assert threads[True] and threading.get_ident() not in threads[True]


@pytest.mark.parametrize("answer", ["error", "empty", "hang up"])
async def test_a_bus_that_does_not_take_us_on_is_told(folder: Path, answer: str) -> None:
    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.authenticate()
        hello = await peer.message()
        if answer == "error":
            await peer.write(peer.bytes_of(Message.error_to(hello, Errors.LIMITS_EXCEEDED, "full")))
        elif answer == "empty":
            await peer.reply(hello)
        else:
            peer.hang_up()

    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(10), pytest.raises(ConnectionBroken):
            async with open_bus(listener.address):
                pass


async def test_a_bus_that_does_not_read_blocks_the_caller_and_only_until_it_is_cancelled(folder: Path) -> None:
    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        await reading.wait()
        while True:
            call = await peer.message()
            await peer.reply(call, "s", call.member)

    reading = anyio.Event()
    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(20):
            async with open_bus(listener.address) as bus:
                for member in ("First", "Second"):
                    with anyio.move_on_after(0.05) as scope:
                        await bus.call(SERVICE, PATH, INTERFACE, member, "ay", (bytes(5_000_000),))
                    assert scope.cancelled_caught
                assert not bus._pending
                reading.set()
                assert await bus.call(SERVICE, PATH, INTERFACE, "Third") == ("Third",)


async def test_nonsense_also_fails_those_who_still_send(folder: Path) -> None:
    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        await sending.wait()
        await peer.write(b"noise")

    sending = anyio.Event()
    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(20):
            async with open_bus(listener.address) as bus, anyio.create_task_group() as callers:

                async def send() -> None:
                    with pytest.raises(ConnectionBroken, match="no byte order"):
                        await bus.call(SERVICE, PATH, INTERFACE, "M", "ay", (bytes(5_000_000),))

                callers.start_soon(send)
                await anyio.wait_all_tasks_blocked()
                sending.set()


async def test_serials_in_use_are_not_given_out_again(folder: Path) -> None:
    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        calls = [await peer.message() for _ in range(2)]
        assert calls[0].serial != calls[1].serial
        for call in calls:
            await peer.reply(call, "s", call.member)

    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(10):
            async with open_bus(listener.address) as bus, anyio.create_task_group() as callers:

                async def ask(member: str) -> None:
                    assert await bus.call(SERVICE, PATH, INTERFACE, member) == (member,)

                callers.start_soon(ask, "First")
                await anyio.wait_all_tasks_blocked()
                bus._protocol._serial -= 1  # as after four thousand million calls
                callers.start_soon(ask, "Second")


# ---------------------------------------------------------------------------- descriptors and properties


async def test_descriptors_travel_both_ways_with_cloexec_set(daemon: Daemon) -> None:
    async def swap(call: Message) -> tuple[str, Any]:
        (came,) = call.body
        assert isinstance(came, UnixFd) and fcntl.fcntl(came.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        os.write(came.fileno(), b"from the service")
        return "vh", (Variant("h", read), came)

    read, write = os.pipe()
    async with open_bus(daemon.address) as bus, open_bus(daemon.address) as other:
        during = _open_fds()
        async with other.export(PATH, INTERFACE, swap):
            variant, back = await bus.call(other.unique_name, PATH, INTERFACE, "Swap", "h", (write,))
        assert fcntl.fcntl(back.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC
        kept = variant.value.claim()
        assert os.read(kept, 100) == b"from the service"
        child = subprocess.run(["ls", "/proc/self/fd"], capture_output=True, text=True, close_fds=False, check=True)
        assert str(kept) not in child.stdout.split()
        del variant, back
        os.close(kept)
        assert _open_fds() == during, "descriptors that nobody claimed are still open"
    os.close(read)
    os.close(write)


async def test_properties_come_without_variants(daemon: Daemon) -> None:
    async def properties(call: Message) -> tuple[str, Any]:
        if call.member == "GetAll":
            return "a{sv}", ({"A": Variant("as", ["x"]), "B": Variant("v", Variant("u", 7))},)
        if call.body == (INTERFACE, "A"):
            return "v", (Variant("as", ["x"]),)
        raise DBusError("org.freedesktop.DBus.Error.UnknownProperty", call.body[1])

    async with (
        open_bus(daemon.address) as bus,
        open_bus(daemon.address) as other,
        other.export(PATH, "org.freedesktop.DBus.Properties", properties),
    ):
        assert await bus.get_property(other.unique_name, PATH, INTERFACE, "A") == ["x"]
        assert await bus.get_properties(other.unique_name, PATH, INTERFACE) == {"A": ["x"], "B": 7}
        with pytest.raises(DBusError, match="UnknownProperty: Z"):
            await bus.get_property(other.unique_name, PATH, INTERFACE, "Z")


# ---------------------------------------------------------------------------- names


async def test_a_name_is_held_as_long_as_it_is_entered(daemon: Daemon) -> None:
    async with open_bus(daemon.address) as bus, open_bus(daemon.address) as other:
        assert not await bus.name_has_owner(SERVICE)
        async with other.own_name(SERVICE):
            assert await bus.name_has_owner(SERVICE)
            for holder in (bus, other):
                with pytest.raises(Busy, match=SERVICE):
                    async with holder.own_name(SERVICE):
                        pass
            assert await bus.name_has_owner(SERVICE)
        await _ask(other)
        assert not await bus.name_has_owner(SERVICE)


async def test_a_name_asked_for_and_not_waited_for_is_given_back(folder: Path) -> None:
    said: list[str | None] = []
    asked, released = anyio.Event(), anyio.Event()

    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        while not released.is_set():
            said.append((await peer.message()).member)
            (asked if len(said) == 1 else released).set()

    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(10):
            async with open_bus(listener.address) as bus:
                async with anyio.create_task_group() as callers:

                    async def own() -> None:
                        async with bus.own_name(SERVICE):
                            pass

                    callers.start_soon(own)
                    await asked.wait()
                    callers.cancel_scope.cancel()
                await released.wait()
    assert said == ["RequestName", "ReleaseName"]


# ---------------------------------------------------------------------------- serving


async def test_peers_are_answered(daemon: Daemon) -> None:
    async with open_bus(daemon.address) as bus, open_bus(daemon.address) as other:
        assert await bus.call(other.unique_name, "/any", "org.freedesktop.DBus.Peer", "Ping") == ()
        for path, interface, member in [
            ("/any", "org.freedesktop.DBus.Peer", "Pong"),
            (PATH, "org.example.Other", "Echo"),
            ("/other", INTERFACE, "Echo"),
        ]:
            async with other.export(PATH, INTERFACE, _echo):
                with pytest.raises(DBusError) as caught:
                    await bus.call(other.unique_name, path, interface, member)
            assert caught.value.name == Errors.UNKNOWN_METHOD


async def test_an_interface_may_be_left_out_if_there_is_one(daemon: Daemon) -> None:
    async with (
        open_bus(daemon.address) as bus,
        open_bus(daemon.address) as other,
        other.export(PATH, INTERFACE, _echo),
    ):
        assert await bus.call(other.unique_name, PATH, None, "Echo", "s", ("x",)) == ("x",)
        async with other.export(PATH, "org.example.Second", _echo):
            with pytest.raises(DBusError, match="UnknownMethod"):
                await bus.call(other.unique_name, PATH, None, "Echo", "s", ("x",))


async def test_one_handler_an_interface(daemon: Daemon) -> None:
    async with open_bus(daemon.address) as bus, bus.export(PATH, INTERFACE, _echo):
        with pytest.raises(Busy):
            async with bus.export(PATH, INTERFACE, _echo):
                pass


async def test_what_a_handler_raises_becomes_an_error_reply(daemon: Daemon, caplog: pytest.LogCaptureFixture) -> None:
    async def handler(call: Message) -> Any:
        match call.member:
            case "Refuse":
                raise DBusError("org.example.Error.No", "not today")
            case "Crash":
                raise RuntimeError("secret")
            case "Wrong":
                return "u", ("x",)
            case "Shapeless":
                return 7
            case "Unnameable":
                raise DBusError("no name", "x")
        return None

    async with (
        open_bus(daemon.address) as bus,
        open_bus(daemon.address) as other,
        other.export(PATH, INTERFACE, handler),
    ):
        names = {}
        for member in ("Refuse", "Crash", "Wrong", "Shapeless", "Unnameable"):
            with pytest.raises(DBusError) as caught:
                await bus.call(other.unique_name, PATH, INTERFACE, member, timeout=20)
            names[member] = caught.value.name
            assert "secret" not in caught.value.message
        assert names == {
            "Refuse": "org.example.Error.No",
            "Crash": Errors.FAILED,
            "Wrong": Errors.INVALID_ARGS,
            "Shapeless": Errors.FAILED,
            "Unnameable": Errors.FAILED,
        }
        assert await bus.call(other.unique_name, PATH, INTERFACE, "Fine") == ()
    assert "secret" in caplog.text


async def test_too_many_calls_at_once_are_refused(daemon: Daemon) -> None:
    release = anyio.Event()
    outcome: list[str] = []

    async def hold(call: Message) -> None:
        await release.wait()

    async def ask() -> None:
        try:
            await bus.call(other.unique_name, PATH, INTERFACE, "Hold")
        except DBusError as exc:
            outcome.append(exc.name)
            release.set()
        else:
            outcome.append("served")

    async with (
        open_bus(daemon.address) as bus,
        open_bus(daemon.address) as other,
        other.export(PATH, INTERFACE, hold),
    ):
        async with anyio.create_task_group() as group:
            for _ in range(65):
                group.start_soon(ask)
        assert await bus.call(other.unique_name, PATH, INTERFACE, "Hold") == ()  # there is room again
    assert sorted(outcome) == [Errors.LIMITS_EXCEEDED] + ["served"] * 64


async def test_the_bus_going_ends_what_is_served(daemon: Daemon) -> None:
    started, ended = anyio.Event(), anyio.Event()

    async def hold(call: Message) -> None:
        started.set()
        try:
            await anyio.sleep_forever()
        finally:
            ended.set()

    async def ask() -> None:
        with pytest.raises(ConnectionBroken):
            await bus.call(bus.unique_name, PATH, INTERFACE, "Hold")

    async with open_bus(daemon.address) as bus, bus.export(PATH, INTERFACE, hold), anyio.create_task_group() as group:
        group.start_soon(ask)
        with anyio.fail_after(20):
            await started.wait()
            daemon.stop()
            await ended.wait()


async def test_who_wants_no_reply_gets_none(folder: Path) -> None:
    async def play(listener: Listener) -> None:
        peer = await listener.accept()
        await peer.welcome()
        for member, flags in (("Unknown", 1), ("Echo", 1), ("Ping", 1), ("Ping", 0)):
            interface = "org.freedesktop.DBus.Peer" if member == "Ping" else INTERFACE
            call = Message(
                type=MessageType.METHOD_CALL,
                sender=":1.9",
                flags=flags,  # type: ignore[arg-type]
                path=PATH,
                interface=interface,
                member=member,
            )
            await peer.write(peer.bytes_of(call))
        replies.append(await peer.message())
        done.set()

    replies: list[Message] = []
    done = anyio.Event()
    async with false_bus(folder / "s") as (listener, group):
        group.start_soon(play, listener)
        with anyio.fail_after(10):
            async with open_bus(listener.address) as bus, bus.export(PATH, INTERFACE, _echo):
                await done.wait()
    assert replies[0].reply_serial == 5  # the fifth message of the bus: Hello's reply was its first
