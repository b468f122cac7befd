"""Talks to the guest agent over its channel, and waits for it without asking again and again.

QEMU tells when the guest opens and closes its end of the channel (event ``VSERPORT_CHANGE``); what is sent to a closed
end would lie about until some agent comes, so nothing is.
"""

from __future__ import annotations

import contextlib
import secrets
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from anyio.abc import ByteStream

from engine.drivers.qemu.agent.protocol import AgentProtocol, Answer
from engine.errors import AgentError, AgentUnresponsive, ConnectionBroken

__all__ = ["AgentConnection"]

#: Characters of a refusal that anybody reads.
_LONGEST_REFUSAL = 1000


def _harmless(refusal: str) -> str:
    """What a guest says goes into messages and logs: no controls, and not without end."""
    return "".join(mark if mark.isprintable() else " " for mark in refusal[:_LONGEST_REFUSAL])


class AgentConnection:
    """One domain's agent. ``run`` must be running in a task for anything else to work; one request at a time.

    Args:
        connect: opens the host's end of the channel.
    """

    def __init__(self, connect: Callable[[], Awaitable[ByteStream]]) -> None:
        self._connect = connect
        self._stream: ByteStream | None = None
        self._protocol = AgentProtocol()
        self._lock = anyio.Lock()
        # of one request there are two answers at the most; what a guest makes up beyond that may push itself out
        self._answers: deque[Answer] = deque(maxlen=64)
        self._changed = anyio.Event()
        self._open = False
        self._generation = 0
        self._ended = False

    @property
    def open(self) -> bool:
        """The guest has opened its end."""
        return self._open

    def guest_opened(self, is_open: bool) -> None:
        """What QEMU told about the guest's end."""
        if is_open and not self._open:
            self._generation += 1
        self._open = is_open
        self._wake()

    async def run(self) -> None:
        """Read until QEMU closes the channel."""
        try:
            self._stream = await self._connect()
            self._wake()
            while True:
                for answer in self._protocol.receive(await self._stream.receive(65536)):
                    self._answers.append(answer)
                    self._wake()
        except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ConnectionBroken, OSError):
            pass  # whoever waits is told below
        finally:
            self.end()
            if self._stream is not None:
                await anyio.aclose_forcefully(self._stream)

    def end(self) -> None:
        """The guest is gone: whoever waits is told, and whoever asks later."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()

    async def _ready(self) -> ByteStream:
        while self._stream is None or not self._open:
            self._alive()
            await self._changed.wait()
        self._alive()
        return self._stream

    def _alive(self) -> None:
        if self._ended:
            raise AgentError("the channel of the guest agent is closed")

    async def _send(self, data: bytes) -> int:
        """Send once the guest's end is open; which opening of it that was."""
        stream = await self._ready()
        generation = self._generation  # before the send: the guest may close its end while that is under way
        try:
            # half a request is no harm: every request begins with a sync, which clears it away
            await stream.send(data)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError) as exc:
            raise AgentError("the channel of the guest agent is closed") from exc
        return generation

    async def sync(self) -> None:
        """Return once the agent answers; wait for it as long as the caller allows.

        Raises:
            AgentError: the channel was closed.
        """
        async with self._lock:
            await self._sync()

    async def _sync(self) -> None:
        while True:
            number = secrets.randbelow(2**31)
            self._answers.clear()
            generation = await self._send(AgentProtocol.sync(number))
            while generation == self._generation:
                self._alive()
                while self._answers:
                    answer = self._answers.popleft()
                    if answer.synced and answer.value == number:
                        return
                await self._changed.wait()
            # the guest closed its end and opened it again: what was sent is lost

    async def execute(
        self, name: str, arguments: dict[str, Any] | None = None, *, sync_timeout: float = 5.0, timeout: float = 30.0
    ) -> Any:
        """Run one command; what it returned.

        Args:
            sync_timeout: seconds the agent has to show that it is there; timeout: seconds it has for the command.

        Raises:
            AgentUnresponsive, AgentError: it is not there, or refused.
        """
        async with self._lock:
            await self._begin(name, arguments, sync_timeout)
            with anyio.move_on_after(timeout):
                return self._value(name, await self._next())
        raise AgentUnresponsive(f"the guest agent did not answer {name} within {timeout:g} s")

    async def ask_to_end(
        self, mode: str, gone: Callable[[], bool], *, sync_timeout: float = 5.0, timeout: float = 10.0
    ) -> None:
        """Send ``guest-shutdown``, which has no answer when it works; return once it has not been refused.

        The agent carries out one request after the other, so an answer to a request sent after it shows that it went
        through; so does a guest that closes its end, or is ``gone``. After ``timeout`` it is taken to be under way.

        Raises:
            AgentUnresponsive, AgentError: as in ``execute``.
        """
        async with self._lock:
            generation = await self._begin("guest-shutdown", {"mode": mode}, sync_timeout)
            number = secrets.randbelow(2**31)
            with anyio.move_on_after(timeout):
                if self._open and self._stream is not None:
                    with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                        await self._stream.send(AgentProtocol.command("guest-sync", {"id": number}))
                while not (gone() or self._ended or not self._open or generation != self._generation):
                    while self._answers:
                        answer = self._answers.popleft()
                        if answer.error is not None:
                            raise AgentError(f"the guest agent refused to do it: {_harmless(answer.error)}")
                        if answer.value == number:
                            return
                    await self._changed.wait()

    def poke(self) -> None:
        """Let ``ask_to_end`` look at ``gone`` again."""
        self._wake()

    async def _begin(self, name: str, arguments: dict[str, Any] | None, sync_timeout: float) -> int:
        with anyio.move_on_after(sync_timeout):
            await self._sync()
            self._answers.clear()
            return await self._send(AgentProtocol.command(name, arguments or {}))
        raise AgentUnresponsive(f"the guest agent did not answer within {sync_timeout:g} s")

    async def _next(self) -> Answer:
        while not self._answers:
            self._alive()
            await self._changed.wait()
        return self._answers.popleft()

    @staticmethod
    def _value(name: str, answer: Answer) -> Any:
        if answer.error is not None:
            raise AgentError(f"the guest agent refused {name}: {_harmless(answer.error)}")
        return answer.value
