"""The guest agent over a socket, with the guest played by the test."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import msgspec
import pytest
from anyio.abc import UNIXSocketStream

from engine.drivers.qemu.agent.connection import AgentConnection
from engine.errors import AgentError, AgentUnresponsive


class GuestEnd:
    """qemu-ga, as its reference says it behaves."""

    def __init__(self, stream: UNIXSocketStream) -> None:
        self.stream = stream
        self._buffer = b""

    async def hear(self) -> dict[str, Any]:
        while b"\n" not in self._buffer:
            self._buffer += await self.stream.receive()
        line, _, self._buffer = self._buffer.partition(b"\n")
        found: dict[str, Any] = json.loads(line.lstrip(b"\xff"))
        return found

    async def say(self, data: bytes) -> None:
        await self.stream.send(data)

    async def sync(self) -> None:
        """Answer a sync: the complaint about the mark first."""
        asked = await self.hear()
        assert asked["execute"] == "guest-sync-delimited"
        number = asked["arguments"]["id"]
        await self.say(b'{"error": {"class": "GenericError", "desc": "JSON parse error, Invalid JSON syntax"}}\n')
        await self.say(b'\xff{"return": %d}\n' % number)


@asynccontextmanager
async def channel(*, opened: bool = True) -> AsyncIterator[tuple[AgentConnection, GuestEnd]]:
    ours, theirs = socket.socketpair()
    stream = await UNIXSocketStream.from_socket(ours)

    async def connect() -> UNIXSocketStream:
        return stream

    guest = GuestEnd(await UNIXSocketStream.from_socket(theirs))
    agent = AgentConnection(connect)
    with anyio.fail_after(30):
        async with guest.stream, anyio.create_task_group() as tasks:
            tasks.start_soon(agent.run)
            agent.guest_opened(opened)
            yield agent, guest
            tasks.cancel_scope.cancel()


async def test_a_sync_waits_for_the_guest_to_open_its_end() -> None:
    async with channel(opened=False) as (agent, guest):
        with anyio.move_on_after(0.05) as waiting:
            await agent.sync()
        assert waiting.cancelled_caught
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(agent.sync)
            agent.guest_opened(True)
            await guest.sync()


async def test_a_sync_is_sent_anew_when_the_guest_opens_its_end_anew() -> None:
    async with channel() as (agent, guest), anyio.create_task_group() as tasks:
        tasks.start_soon(agent.sync)
        await guest.hear()  # lost with the agent that was stopped
        agent.guest_opened(False)
        agent.guest_opened(True)
        await guest.sync()


async def test_answers_to_others_are_not_taken() -> None:
    async with channel() as (agent, guest), anyio.create_task_group() as tasks:
        tasks.start_soon(agent.sync)
        asked = await guest.hear()
        number = asked["arguments"]["id"]
        await guest.say(b'{"return": %d}\n\xff{"return": %d}\n' % (number, number ^ 1))
        await anyio.wait_all_tasks_blocked()
        assert agent._lock.locked()
        await guest.say(b'\xff{"return": %d}\n' % number)


async def test_a_command() -> None:
    async with channel() as (agent, guest), anyio.create_task_group() as tasks:

        async def answer() -> None:
            await guest.sync()
            assert await guest.hear() == {"execute": "guest-info", "arguments": {}}
            await guest.say(b'{"return": {"version": "7.2"}}\n')
            await guest.sync()
            await guest.hear()
            await guest.say(b'{"error": {"class": "CommandNotFound", "desc": "not found"}}\n')

        tasks.start_soon(answer)
        assert await agent.execute("guest-info") == {"version": "7.2"}
        with pytest.raises(AgentError, match="refused guest-x: not found"):
            await agent.execute("guest-x")


async def test_silence() -> None:
    async with channel() as (agent, guest):
        with pytest.raises(AgentUnresponsive, match=r"within 0.05 s"):
            await agent.execute("guest-info", sync_timeout=0.05)
        with pytest.raises(AgentUnresponsive):
            await agent.ask_to_end("powerdown", lambda: False, sync_timeout=0.05)
        await guest.hear()
        await guest.hear()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(guest.sync)
            with pytest.raises(AgentUnresponsive, match="guest-info"):
                await agent.execute("guest-info", timeout=0.05)


@pytest.mark.parametrize("sign", ["answer", "closed", "gone"])
async def test_a_shutdown_has_no_answer(sign: str) -> None:
    async with channel() as (agent, guest), anyio.create_task_group() as tasks:
        gone = False

        async def answer() -> None:
            nonlocal gone
            await guest.sync()
            assert await guest.hear() == {"execute": "guest-shutdown", "arguments": {"mode": "powerdown"}}
            after = await guest.hear()
            if sign == "answer":
                await guest.say(b'{"return": %d}\n' % after["arguments"]["id"])
            elif sign == "closed":
                agent.guest_opened(False)
            else:
                gone = True
                agent.poke()

        tasks.start_soon(answer)
        await agent.ask_to_end("powerdown", lambda: gone)


async def test_a_shutdown_that_is_refused() -> None:
    async with channel() as (agent, guest), anyio.create_task_group() as tasks:

        async def answer() -> None:
            await guest.sync()
            await guest.hear()
            after = await guest.hear()
            number = after["arguments"]["id"]
            await guest.say(b'{"error": {"class": "GenericError", "desc": "no shutdown"}}\n{"return": %d}\n' % number)

        tasks.start_soon(answer)
        with pytest.raises(AgentError, match="no shutdown"):
            await agent.ask_to_end("powerdown", lambda: False)


@pytest.mark.parametrize("asked", ["command", "shutdown"])
async def test_a_refusal_is_short_and_plain(asked: str) -> None:
    async with channel() as (agent, guest), anyio.create_task_group() as tasks:

        async def answer() -> None:
            await guest.sync()
            await guest.hear()
            desc = "\x1b]0;pwned\x07\n\x9b\u202e" + "x" * 1_000_000
            await guest.say(msgspec.json.encode({"error": {"class": "GenericError", "desc": desc}}) + b"\n")

        tasks.start_soon(answer)
        with pytest.raises(AgentError, match=r"x{900}") as caught:
            if asked == "command":
                await agent.execute("guest-x")
            else:
                await agent.ask_to_end("powerdown", lambda: False)
        assert str(caught.value).isprintable()
        assert len(str(caught.value)) < 1100


async def test_the_end_of_the_channel_fails_who_waits() -> None:
    async with channel() as (agent, guest), anyio.create_task_group() as tasks:

        async def wait() -> None:
            with pytest.raises(AgentError, match="closed"):
                await agent.sync()

        tasks.start_soon(wait)
        await guest.hear()
        await guest.stream.aclose()


async def test_a_guest_that_floods_is_cut_off() -> None:
    async with channel() as (agent, guest), anyio.create_task_group() as tasks:

        async def flood() -> None:
            await guest.hear()
            with pytest.raises((anyio.BrokenResourceError, anyio.ClosedResourceError)):
                await guest.say(b"\xff")
                while True:
                    await guest.say(b"x" * (1 << 20))

        tasks.start_soon(flood)
        with pytest.raises(AgentError, match="closed"):
            await agent.sync()
