"""D-Bus: a call's round trip, ours against dbus-next's own asyncio bus, over a daemon that is started for this alone.

Peer: ``dbus_next.aio.MessageBus``. Floor: the same call as ready-made bytes over a blocking socket, its answer read and
not looked at: what the daemon and the kernel take. The three take turns, and each row is the best of its rounds: what
else runs on the machine only ever makes a round slower. Times are in microseconds a call.

The peer can't take 400 calls at once: it dies as soon as the socket is full (EAGAIN), which the row says in its place.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

import anyio
from dbus_next import Message as PeerMessage
from dbus_next.aio import MessageBus

from benchmarks.rows import absent
from engine.errors import DBusError
from engine.util.dbus import Bus, open_bus
from engine.util.dbus.address import parse_addresses
from engine.util.dbus.auth import AuthClient
from engine.util.dbus.message import Message, MessageType
from engine.util.dbus.protocol import Protocol as Wire

MUST = 2.0
ROUNDS = 7
CALLS = 400
DAEMON = "org.freedesktop.DBus"
PATH = "/org/freedesktop/DBus"
NAME = "org.freedesktop.systemd1"


@contextmanager
def daemon() -> Iterator[str]:
    """A bus of our own; its address."""
    with tempfile.TemporaryDirectory(prefix="dbus-") as folder:
        command = ["dbus-daemon", "--session", "--nofork", "--print-address", f"--address=unix:path={folder}/bus"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
            try:
                assert process.stdout is not None
                yield process.stdout.readline().strip()
            finally:
                process.terminate()


def run() -> list[dict[str, Any]]:
    """One row a measurement: what, unit, us, peer, floor (a call), ratio (us/peer) and what it must be."""
    if shutil.which("dbus-daemon") is None:
        return [absent("D-Bus: left out, there is no dbus-daemon here")]
    with daemon() as address:
        return [
            _measure(f"D-Bus {work.what}, {backend}", address, backend, work)
            for work in (OneByOne(), AtOnce(100), AtOnce(400), Large(64), Large(1024))
            for backend in ("asyncio", "trio")
        ]


class Work(Protocol):
    """The same calls in three ways; each gives how many it made."""

    what: str

    async def ours(self, bus: Bus) -> int: ...
    async def peer(self, bus: MessageBus) -> int: ...
    def floor(self, sock: socket.socket, wire: Wire) -> int: ...


def _measure(what: str, address: str, backend: str, work: Work) -> dict[str, Any]:
    us, peer, floor = [], [], []
    for _ in range(ROUNDS):
        us.append(anyio.run(_time_ours, address, work, backend=backend))
        floor.append(_time_floor(address, work))
        with suppress(BlockingIOError):
            peer.append(asyncio.run(_time_peer(address, work)))
    row: dict[str, Any] = {
        "what": what,
        "unit": "us",
        "us": round(min(us), 1),
        "peer": "can't: its socket is full (EAGAIN)",
        "floor": round(min(floor), 1),
    }
    if len(peer) < ROUNDS:
        return {**row, "ratio": None, "must": f"<= {MUST:g}x peer"}
    return {**row, "peer": round(min(peer), 1), "ratio": round(min(us) / min(peer), 2), "must": f"<= {MUST:g}x peer"}


async def _time_ours(address: str, work: Work) -> float:
    async with open_bus(address) as bus:
        await work.ours(bus)
        start = time.perf_counter()
        calls = await work.ours(bus)
        return (time.perf_counter() - start) / calls * 1e6


async def _time_peer(address: str, work: Work) -> float:
    # When it dies it says so once for each call under way; the row says it once.
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    bus = await MessageBus(bus_address=address).connect()
    try:
        await work.peer(bus)
        start = time.perf_counter()
        calls = await work.peer(bus)
        return (time.perf_counter() - start) / calls * 1e6
    finally:
        bus.disconnect()


def _time_floor(address: str, work: Work) -> float:
    (where,) = parse_addresses(address)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.connect(where.path)
        auth, wire = AuthClient(), Wire()
        sock.sendall(auth.start())
        while not auth.done:
            sock.sendall(auth.receive(sock.recv(4096)))
        sock.sendall(_raw(wire, "Hello"))
        for _ in range(2):  # the reply, and the signal NameAcquired
            _read_message(sock, wire)
        work.floor(sock, wire)
        start = time.perf_counter()
        calls = work.floor(sock, wire)
        return (time.perf_counter() - start) / calls * 1e6


class OneByOne:
    what = "round trip"

    async def ours(self, bus: Bus) -> int:
        for _ in range(CALLS):
            assert await bus.call(DAEMON, PATH, DAEMON, "NameHasOwner", "s", (NAME,)) == (False,)
        return CALLS

    async def peer(self, bus: MessageBus) -> int:
        for _ in range(CALLS):
            assert (await bus.call(_question("NameHasOwner", NAME))).body == [False]
        return CALLS

    def floor(self, sock: socket.socket, wire: Wire) -> int:
        question = _raw(wire, "NameHasOwner", NAME)
        for _ in range(CALLS):
            sock.sendall(question)
            assert sock.recv(4096)
        return CALLS


class AtOnce:
    def __init__(self, calls: int) -> None:
        self.what = f"{calls} calls at once"
        self._calls = calls

    async def ours(self, bus: Bus) -> int:
        async def ask() -> None:
            assert await bus.call(DAEMON, PATH, DAEMON, "NameHasOwner", "s", (NAME,)) == (False,)

        async with anyio.create_task_group() as group:
            for _ in range(self._calls):
                group.start_soon(ask)
        return self._calls

    async def peer(self, bus: MessageBus) -> int:
        async def ask() -> None:
            assert (await bus.call(_question("NameHasOwner", NAME))).body == [False]

        await asyncio.gather(*(ask() for _ in range(self._calls)))
        return self._calls

    def floor(self, sock: socket.socket, wire: Wire) -> int:
        question = _raw(wire, "NameHasOwner", NAME)
        sock.sendall(question)
        left = len(sock.recv(4096)) * (self._calls - 1)
        sock.sendall(question * (self._calls - 1))
        while left > 0:
            left -= len(sock.recv(65536))
        return self._calls


class Large:
    def __init__(self, kibibytes: int) -> None:
        self.what = f"argument of {kibibytes} KiB"
        self._text = "x" * (kibibytes * 1024)

    async def ours(self, bus: Bus) -> int:
        for _ in range(4):
            with suppress(DBusError):
                await bus.call(DAEMON, PATH, DAEMON, "NoSuchMethod", "s", (self._text,))
        return 4

    async def peer(self, bus: MessageBus) -> int:
        for _ in range(4):
            assert (await bus.call(_question("NoSuchMethod", self._text))).error_name
        return 4

    def floor(self, sock: socket.socket, wire: Wire) -> int:
        question = _raw(wire, "NoSuchMethod", self._text)
        for _ in range(4):
            sock.sendall(question)
            assert sock.recv(4096)
        return 4


def _question(member: str, text: str) -> PeerMessage:
    return PeerMessage(DAEMON, PATH, DAEMON, member, signature="s", body=[text])


def _raw(wire: Wire, member: str, *text: str) -> bytes:
    message = Message(
        type=MessageType.METHOD_CALL,
        destination=DAEMON,
        path=PATH,
        interface=DAEMON,
        member=member,
        signature="s" * len(text),
        body=text,
    )
    return wire.send(message, wire.next_serial())[0]


def _read_message(sock: socket.socket, wire: Wire) -> None:
    while wire.next_message() is None:
        wire.receive(sock.recv(4096))


if __name__ == "__main__":
    for row in run():
        print(json.dumps(row))
