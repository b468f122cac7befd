"""Buses for tests: a real daemon of one's own, and a false bus that does exactly what a test makes it do."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup

from engine.util.dbus.message import Message, MessageType
from engine.util.dbus.protocol import Protocol

GUID = "0123456789abcdef0123456789abcdef"
DAEMON = "org.freedesktop.DBus"
DAEMON_PATH = "/org/freedesktop/DBus"


class Daemon:
    """A real ``dbus-daemon``; ``restart`` and ``stop`` as a test needs them."""

    def __init__(self, folder: Path) -> None:
        self._listen = f"unix:path={folder}/bus"
        self._process: subprocess.Popen[str] | None = None
        self.address = ""
        self.start()

    def start(self) -> None:
        command = [
            "dbus-daemon",
            "--session",
            "--nofork",
            "--nopidfile",
            "--print-address",
            f"--address={self._listen}",
        ]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        assert self.address.startswith(self._listen), "the daemon did not start"

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None


@contextmanager
def private_bus(folder: Path) -> Iterator[Daemon]:
    daemon = Daemon(folder)
    try:
        yield daemon
    finally:
        daemon.stop()


class FalseBus:
    """The other end of one connection, by hand: says what it is told to, byte by byte if need be."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.protocol = Protocol()
        self._lines = b""

    async def read(self, size: int = 65536) -> bytes:
        await anyio.wait_readable(self.sock)
        data, control, _, _ = self.sock.recvmsg(size, socket.CMSG_SPACE(253 * 4))
        fds: list[int] = []
        for _, _, payload in control:
            fds += memoryview(payload).cast("i").tolist()
        self.protocol_fds = fds
        return data

    async def write(self, data: bytes) -> None:
        while data:
            await anyio.wait_writable(self.sock)
            data = data[self.sock.send(data) :]

    async def read_line(self) -> bytes:
        while b"\r\n" not in self._lines:
            data = await self.read()
            assert data, "the client hung up"
            self._lines += data
        line, self._lines = self._lines.split(b"\r\n", 1)
        return line

    async def authenticate(self, *, fds: bool = True) -> None:
        assert (await self.read_line()).startswith(b"\0AUTH EXTERNAL ")
        await self.write(f"OK {GUID}\r\n".encode())
        assert await self.read_line() == b"NEGOTIATE_UNIX_FD"
        await self.write(b"AGREE_UNIX_FD\r\n" if fds else b"ERROR no\r\n")
        assert await self.read_line() == b"BEGIN"
        self.protocol.receive(self._lines)

    async def message(self) -> Message:
        """The next message of the client."""
        while (message := self.protocol.next_message()) is None:
            data = await self.read()
            assert data, "the client hung up"
            self.protocol.receive(data, self.protocol_fds)
        return message

    async def reply(self, call: Message, signature: str = "", *body: Any) -> None:
        await self.write(self.bytes_of(Message.reply_to(call, signature, body)))

    def bytes_of(self, message: Message) -> bytes:
        return self.protocol.send(message, self.protocol.next_serial())[0]

    async def welcome(self, *, fds: bool = True) -> None:
        """Authenticate, and answer Hello."""
        await self.authenticate(fds=fds)
        hello = await self.message()
        assert hello.member == "Hello"
        await self.reply(hello, "s", ":1.1")

    def hang_up(self) -> None:
        self.sock.close()


def signal(
    member: str = "Happened", signature: str = "", *body: Any, sender: str = ":1.7", path: str = "/o"
) -> Message:
    return Message(
        type=MessageType.SIGNAL,
        sender=sender,
        path=path,
        interface="org.example.Test",
        member=member,
        signature=signature,
        body=body,
    )


class Listener:
    """Where false buses come from: ``accept`` gives the next connection."""

    def __init__(self, path: Path) -> None:
        self.address = f"unix:path={path}"
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._sock.setblocking(False)
        self._sock.bind(str(path))
        self._sock.listen(4)
        self._open: list[socket.socket] = []

    async def accept(self) -> FalseBus:
        await anyio.wait_readable(self._sock)
        sock, _ = self._sock.accept()
        sock.setblocking(False)
        self._open.append(sock)
        return FalseBus(sock)

    def close(self) -> None:
        for sock in (self._sock, *self._open):
            sock.close()


@asynccontextmanager
async def false_bus(path: Path) -> AsyncIterator[tuple[Listener, TaskGroup]]:
    """A listener, and a group for the task that plays the bus: it may still run when the test is over."""
    listener = Listener(path)
    try:
        async with anyio.create_task_group() as group:
            yield listener, group
            group.cancel_scope.cancel()
    finally:
        listener.close()
