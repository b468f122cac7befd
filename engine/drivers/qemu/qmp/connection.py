"""Moves QMP over a stream: commands of any number of tasks at once, events to one callback."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import anyio
from anyio.abc import ByteStream

from engine.drivers.qemu.qmp.protocol import Failure, Greeting, Notice, Protocol, Success, command
from engine.errors import CommandTimeout, ConnectionBroken, DriverError, HostError
from engine.util.unix import UnixStream

__all__ = ["COMMAND_TIMEOUT", "QmpConnection", "QmpError"]

#: Seconds that QEMU has to answer a command.
COMMAND_TIMEOUT = 30.0


class QmpError(DriverError):
    """QEMU refused a command.

    Attributes:
        command: its name.
        kind: QEMU's error class, e.g. ``GenericError``.
        description: QEMU's sentence.
    """

    def __init__(self, command: str, kind: str, description: str) -> None:
        super().__init__(f"QEMU refused {command}: {description}")
        self.command = command
        self.kind = kind
        self.description = description


class _Pending:
    """A command that waits for its answer."""

    __slots__ = ("answer", "done")

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.answer: Success | Failure | ConnectionBroken | HostError | None = None

    def settle(self, answer: Success | Failure | ConnectionBroken | HostError) -> None:
        self.answer = answer
        self.done.set()


class QmpConnection:
    """One QMP conversation. ``run`` must be running in a task for anything else to work.

    Args:
        stream: closed when ``run`` ends.
        on_event: called for each event, in the reader's task; must not raise.
        timeout: seconds QEMU has for each command.
    """

    def __init__(
        self, stream: ByteStream, on_event: Callable[[Notice], None], *, timeout: float = COMMAND_TIMEOUT
    ) -> None:
        self._stream = stream
        self._on_event = on_event
        self._timeout = timeout
        self._protocol = Protocol()
        self._pending: dict[int, _Pending] = {}
        self._greeting = _Pending()
        self._next = 1
        self._closed: ConnectionBroken | None = None
        # a writer of its own: a command cancelled half-way through a send would cut the conversation's line in two
        self._outgoing, self._queue = anyio.create_memory_object_stream[tuple[bytes, int, _Pending]](16)
        self.version = (0, 0, 0)
        #: The other side went away, rather than that it talked nonsense.
        self.left = False

    async def run(self) -> None:
        """Read and write until the other side goes away or talks nonsense; then every waiting command fails."""
        reason = ConnectionBroken("QEMU closed its monitor")
        try:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._write)
                await self._read()
                tasks.cancel_scope.cancel()
        except ConnectionBroken as exc:
            reason = exc
        except ExceptionGroup as group:
            broken, rest = group.split(ConnectionBroken)
            if rest is not None:
                raise
            assert broken is not None
            reason = next(exc for exc in broken.exceptions if isinstance(exc, ConnectionBroken))
        finally:
            self._fail(reason)
            await anyio.aclose_forcefully(self._stream)

    async def aclose(self) -> None:
        """Close the stream of a conversation whose ``run`` never began."""
        await anyio.aclose_forcefully(self._stream)

    async def _read(self) -> None:
        while True:
            try:
                data = await self._stream.receive(65536)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                self.left = True
                return
            for message in self._protocol.receive(data):
                self._dispatch(message)
            self._protocol.check()  # nonsense came behind them: nobody may send anything more that would tell of it

    def _dispatch(self, message: Greeting | Success | Failure | Notice) -> None:
        if isinstance(message, Notice):
            self._on_event(message)
        elif isinstance(message, Greeting):
            self.version = message.version
            self._greeting.settle(Success(None, message))
        else:
            # an answer nobody waits for any more is dropped; an error without id means QEMU could not read us
            pending = self._pending.pop(message.id, None) if isinstance(message.id, int) else None
            if pending is not None:
                pending.settle(message)
            elif isinstance(message, Failure) and message.id is None:
                raise ConnectionBroken(f"QEMU did not understand the engine: {message.description}")

    async def _write(self) -> None:
        async for data, fd, pending in self._queue:
            try:
                if fd >= 0:
                    assert isinstance(self._stream, UnixStream)
                    await self._stream.send_fds(data, [fd])
                else:
                    await self._stream.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                return  # the reader, which may have more to read, will see the end
            except OSError as exc:  # it can't take the descriptor along; nothing was sent
                reason = (exc.strerror or str(exc)).lower()
                pending.settle(HostError(f"a descriptor can't be passed to QEMU: {reason}"))
            finally:
                if fd >= 0:
                    os.close(fd)

    def _fail(self, reason: ConnectionBroken) -> None:
        self._closed = reason
        self._outgoing.close()
        while True:
            try:
                _, fd, _ = self._queue.receive_nowait()
            except (anyio.WouldBlock, anyio.EndOfStream, anyio.ClosedResourceError):
                break
            if fd >= 0:
                os.close(fd)
        self._queue.close()
        for pending in (self._greeting, *self._pending.values()):
            if pending.answer is None:
                pending.settle(reason)
        self._pending.clear()

    async def negotiate(self, timeout: float | None = None) -> None:
        """Wait for the greeting and leave negotiation mode.

        Raises:
            CommandTimeout, ConnectionBroken, QmpError.
        """
        seconds = self._timeout if timeout is None else timeout
        with anyio.move_on_after(seconds):
            await self._greeting.done.wait()
        if self._greeting.answer is None:
            raise CommandTimeout("the greeting of QEMU's monitor", seconds)
        if isinstance(self._greeting.answer, ConnectionBroken):
            raise ConnectionBroken(str(self._greeting.answer)) from self._greeting.answer
        await self.execute("qmp_capabilities", timeout=seconds)

    async def execute(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *,
        fd: int = -1,
        timeout: float | None = None,
        settle: float = 0.0,
    ) -> Any:
        """Run one command; what it returned.

        Args:
            fd: a descriptor to send along (for ``getfd`` and ``add-fd``); the caller keeps and closes its own.
            timeout: seconds; None: the connection's.
            settle: seconds that a cancelled command which was sent is waited for all the same, so that what it brought
                about is known when this returns.

        Raises:
            QmpError: QEMU refused it. HostError: the descriptor can't be passed. CommandTimeout. ConnectionBroken.
        """
        identifier, self._next = self._next, self._next + 1
        seconds = self._timeout if timeout is None else timeout
        pending = self._pending[identifier] = _Pending()
        sent = False
        try:
            with anyio.move_on_after(seconds):
                await self._send(command(name, arguments or {}, identifier), fd, pending)
                sent = True
                await pending.done.wait()
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(settle if sent else 0.0, shield=True):
                await pending.done.wait()
            raise
        finally:
            self._pending.pop(identifier, None)
        match pending.answer:
            case Success(value=value):
                return value
            case Failure(kind=kind, description=description):
                raise QmpError(name, kind, description)
            case ConnectionBroken() | HostError():
                raise type(pending.answer)(str(pending.answer)) from pending.answer
        raise CommandTimeout(f"QEMU's command {name}", seconds)

    async def _send(self, data: bytes, fd: int, pending: _Pending) -> None:
        if self._closed is not None:
            raise ConnectionBroken(str(self._closed)) from self._closed
        own = os.dup(fd) if fd >= 0 else -1  # the caller may be gone before it is sent
        try:
            await self._outgoing.send((data, own, pending))
        except BaseException as exc:
            if own >= 0:
                os.close(own)
            if isinstance(exc, anyio.BrokenResourceError | anyio.ClosedResourceError):
                # it ended while this waited for its turn
                raise ConnectionBroken(str(self._closed or "QEMU closed its monitor")) from exc
            raise
