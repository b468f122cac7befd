"""QMP over a socket, with the other side played by the test."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import UNIXSocketStream

from engine.drivers.qemu.qmp.connection import QmpConnection, QmpError
from engine.drivers.qemu.qmp.protocol import Notice
from engine.errors import CommandTimeout, ConnectionBroken, HostError
from engine.util.unix import UnixStream

GREETING: dict[str, Any] = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}}, "capabilities": []}}


class Peer:
    """QEMU's side."""

    def __init__(self, stream: UNIXSocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def say(self, *messages: dict[str, Any]) -> None:
        await self.stream.send(b"".join(json.dumps(message).encode() + b"\r\n" for message in messages))

    async def hear(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            self._buffer += await self.stream.receive()
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line)
        return found


@asynccontextmanager
async def conversation(
    on_event: Callable[[Notice], None] = lambda notice: None, *, timeout: float = 20.0
) -> AsyncIterator[tuple[QmpConnection, Peer]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    stream = UnixStream(ours)
    peer = Peer(await UNIXSocketStream.from_socket(theirs))
    connection = QmpConnection(stream, on_event, timeout=timeout)
    with anyio.fail_after(30):
        async with peer.stream, anyio.create_task_group() as tasks:
            tasks.start_soon(connection.run)
            yield connection, peer
            tasks.cancel_scope.cancel()


async def test_it_negotiates() -> None:
    async with conversation() as (qmp, peer):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(qmp.negotiate)
            await peer.say(GREETING)
            asked = await peer.hear()
            assert asked["execute"] == "qmp_capabilities"
            await peer.say({"return": {}, "id": asked["id"]})
        assert qmp.version == (7, 2, 0)


async def test_answers_find_their_commands_in_any_order() -> None:
    async with conversation() as (qmp, peer):
        results: dict[str, Any] = {}

        async def ask(name: str) -> None:
            results[name] = await qmp.execute(name)

        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(ask, f"command-{number}")
            asked = [await peer.hear() for _ in range(40)]
            for message in reversed(asked):
                await peer.say({"return": message["execute"].upper(), "id": message["id"]})
        assert results == {f"command-{number}": f"COMMAND-{number}" for number in range(40)}


async def test_a_refusal_names_the_command() -> None:
    async with conversation() as (qmp, peer), anyio.create_task_group() as tasks:

        async def answer() -> None:
            asked = await peer.hear()
            await peer.say({"id": asked["id"], "error": {"class": "CommandNotFound", "desc": "no such command"}})

        tasks.start_soon(answer)
        with pytest.raises(QmpError, match="QEMU refused frobnicate: no such command") as caught:
            await qmp.execute("frobnicate")
        assert caught.value.kind == "CommandNotFound"


async def test_events_come_between_answers() -> None:
    seen: list[str] = []
    async with conversation(lambda notice: seen.append(notice.name)) as (qmp, peer), anyio.create_task_group() as tasks:

        async def answer() -> None:
            asked = await peer.hear()
            await peer.say({"event": "STOP"}, {"return": 1, "id": asked["id"]}, {"event": "RESUME"})

        tasks.start_soon(answer)
        assert await qmp.execute("stop") == 1
        assert seen == ["STOP", "RESUME"]


async def test_an_end_fails_every_command_at_once_and_later_ones() -> None:
    async with conversation() as (qmp, peer):
        broken = []

        async def ask() -> None:
            with pytest.raises(ConnectionBroken):
                await qmp.execute("query-status")
            broken.append(1)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(ask)
            for _ in range(5):
                await peer.hear()
            await peer.stream.aclose()
        assert len(broken) == 5
        with pytest.raises(ConnectionBroken):
            await qmp.execute("query-status")
        with pytest.raises(ConnectionBroken):
            await qmp.negotiate()


@pytest.mark.parametrize("nonsense", [b"SSH-2.0-OpenSSH\r\n", b"x" * (17 << 20), b'{"error": {"desc": "?"}}\n'])
async def test_nonsense_fails_every_command(nonsense: bytes) -> None:
    async with conversation() as (qmp, peer), anyio.create_task_group() as tasks:

        async def answer() -> None:
            await peer.hear()
            with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await peer.stream.send(nonsense)

        tasks.start_soon(answer)
        with pytest.raises(ConnectionBroken):
            await qmp.execute("query-status")


async def test_silence_is_a_timeout_and_a_late_answer_disturbs_nobody() -> None:
    async with conversation() as (qmp, peer):
        with pytest.raises(CommandTimeout, match="query-status"):
            await qmp.execute("query-status", timeout=0.05)
        late = await peer.hear()
        async with anyio.create_task_group() as tasks:

            async def answer() -> None:
                asked = await peer.hear()
                await peer.say({"return": "late", "id": late["id"]}, {"return": "right", "id": asked["id"]})

            tasks.start_soon(answer)
            assert await qmp.execute("query-name") == "right"


async def test_a_peer_that_does_not_read_blocks_nobody_for_ever() -> None:
    async with conversation() as (qmp, _):
        async with anyio.create_task_group() as tasks:
            for _ in range(40):
                tasks.start_soon(_ask_much, qmp)
            with pytest.raises(CommandTimeout):
                await qmp.execute("query-status", timeout=0.2)
            tasks.cancel_scope.cancel()
        assert not qmp._pending


async def _ask_much(qmp: QmpConnection) -> None:
    await qmp.execute("object-add", {"text": "x" * 500_000}, timeout=10)


async def test_a_cancelled_command_leaves_the_line_whole() -> None:
    async with conversation() as (qmp, peer):
        with anyio.move_on_after(0.05):
            await qmp.execute("object-add", {"text": "x" * 2_000_000})
        assert (await peer.hear())["execute"] == "object-add"
        async with anyio.create_task_group() as tasks:

            async def answer() -> None:
                asked = await peer.hear()
                await peer.say({"return": asked["execute"], "id": asked["id"]})

            tasks.start_soon(answer)
            assert await qmp.execute("query-name") == "query-name"


async def test_a_descriptor_goes_along_and_the_callers_own_stays_open() -> None:
    async with conversation() as (qmp, peer), anyio.create_task_group() as tasks:
        read, write = os.pipe()

        async def answer() -> None:
            data, fds = await peer.stream.receive_fds(65536, 4)
            asked = json.loads(data)
            os.write(fds[0], b"through it")
            os.close(fds[0])
            await peer.say({"return": {}, "id": asked["id"]})

        tasks.start_soon(answer)
        await qmp.execute("getfd", {"fdname": "saved"}, fd=write)
        os.close(write)  # raises if it was not ours any more
        assert os.read(read, 100) == b"through it"
        assert os.read(read, 100) == b""  # no copy was left open
        os.close(read)


async def test_a_descriptor_that_can_not_be_passed_fails_its_command_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object) -> int:
        raise OSError(errno.ETOOMANYREFS, os.strerror(errno.ETOOMANYREFS))

    async with conversation() as (qmp, peer), anyio.create_task_group() as tasks:

        async def answer() -> None:
            asked = await peer.hear()
            await peer.say({"return": {}, "id": asked["id"]})

        with monkeypatch.context() as patched, Path(os.devnull).open() as file:
            patched.setattr(socket, "send_fds", refuse)
            with pytest.raises(HostError, match="a descriptor can't be passed to QEMU: too many references"):
                await qmp.execute("getfd", {"fdname": "saved"}, fd=file.fileno())
        tasks.start_soon(answer)
        assert await qmp.execute("cont") == {}


async def test_a_cancelled_command_that_is_on_its_way_is_settled() -> None:
    told: list[str] = []
    async with conversation(lambda notice: told.append(notice.name)) as (qmp, peer):
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(qmp.execute, "stop", settle=60.0))
                asked = await peer.hear()
                scope.cancel()
                with anyio.CancelScope(shield=True):
                    await anyio.wait_all_tasks_blocked()
                    await peer.say({"event": "STOP"}, {"return": {}, "id": asked["id"]})
        assert scope.cancelled_caught
        assert told == ["STOP"]


async def test_a_cancelled_command_is_not_waited_for_without_end() -> None:
    async with conversation() as (qmp, peer):
        with anyio.fail_after(20), anyio.CancelScope() as scope:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(qmp.execute, "stop", settle=0.05))
                await peer.hear()
                scope.cancel()
        assert scope.cancelled_caught


async def test_an_event_before_nonsense_is_told_and_the_nonsense_is_noticed_at_once() -> None:
    told: list[str] = []
    async with conversation(lambda notice: told.append(notice.name)) as (qmp, peer):
        await peer.stream.send(b'{"event": "SHUTDOWN"}\n220 ready\n')
        with pytest.raises(ConnectionBroken, match="not QMP"):
            await qmp.execute("query-status")
        assert told == ["SHUTDOWN"]
