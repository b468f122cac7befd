"""The wire: bytes and descriptors both ways, a full socket, an end at any byte."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import socket
from contextlib import ExitStack
from pathlib import Path

import anyio
import pytest
from anyio.lowlevel import checkpoint
from support.dbus import GUID, FalseBus, Listener

from engine.errors import ConnectionBroken, DBusError
from engine.util.dbus.address import BusAddress
from engine.util.dbus.auth import AuthClient
from engine.util.dbus.connection import Connection

TALK = f"OK {GUID}\r\nAGREE_UNIX_FD\r\n".encode()


def _pair(*, fds: bool = True) -> tuple[Connection, socket.socket]:
    """A connection past its authentication, and its other end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    auth = AuthClient()
    auth.receive(TALK if fds else TALK.replace(b"AGREE_UNIX_FD", b"ERROR"))
    return Connection(ours, auth), theirs


async def _read(sock: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        await anyio.wait_readable(sock)
        piece = sock.recv(min(size - len(data), 1024 * 1024))
        assert piece
        data += piece
    return data


def _open_fds() -> int:
    return len(os.listdir("/proc/self/fd"))


# ---------------------------------------------------------------------------- opening


async def _serve(listener: Listener, said: bytes, *, byte_by_byte: bool = False) -> None:
    """Say all that at once, whatever the client says, and hang up."""
    bus = await listener.accept()
    for piece in [bytes([byte]) for byte in said] if byte_by_byte else [said]:
        await bus.write(piece)
        await checkpoint()
    if said.count(b"\r\n") < 2:
        bus.hang_up()


@pytest.mark.parametrize("byte_by_byte", [True, False])
async def test_it_opens(folder: Path, byte_by_byte: bool) -> None:
    listener = Listener(folder / "s")
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: _serve(listener, TALK + b"l", byte_by_byte=byte_by_byte))
            with anyio.fail_after(10):
                connection = await Connection.open(BusAddress(bytes(folder / "s"), GUID))
                assert connection.unix_fds and connection.guid == GUID
                assert await connection.receive() == (b"l", [])
            connection.close()
            connection.close()
    finally:
        listener.close()


async def test_an_end_at_any_byte_of_the_authentication_is_told(folder: Path) -> None:
    before = _open_fds()
    listener = Listener(folder / "s")
    try:
        for size in range(len(TALK)):
            async with anyio.create_task_group() as group:
                group.start_soon(_serve, listener, TALK[:size])
                with anyio.fail_after(10), pytest.raises(ConnectionBroken):
                    await Connection.open(BusAddress(bytes(folder / "s")))
    finally:
        listener.close()
    assert _open_fds() == before


async def test_nobody_there_is_told(folder: Path) -> None:
    before = _open_fds()
    with pytest.raises(ConnectionBroken, match=os.strerror(errno.ENOENT)):
        await Connection.open(BusAddress(bytes(folder / "none")))
    with pytest.raises(ConnectionBroken, match="too long"):
        await Connection.open(BusAddress(b"/" + b"x" * 200))
    assert _open_fds() == before


async def test_an_abstract_socket_will_do(folder: Path) -> None:
    name = f"\0virengine-test-{folder.name}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        sock.bind(name)
        sock.listen(1)

        async def serve() -> None:
            await anyio.wait_readable(sock)
            with sock.accept()[0] as end:
                end.setblocking(False)
                await FalseBus(end).authenticate()

        async with anyio.create_task_group() as group:
            group.start_soon(serve)
            with anyio.fail_after(10):
                (await Connection.open(BusAddress(name.encode()))).close()


async def test_a_listener_that_is_busy_is_waited_for(folder: Path) -> None:
    with ExitStack() as stack:
        sock = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        sock.setblocking(False)
        sock.bind(str(folder / "s"))
        sock.listen(0)
        queued = 0
        with pytest.raises(BlockingIOError):
            while True:
                client = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
                client.setblocking(False)
                client.connect(str(folder / "s"))
                queued += 1

        async def connect() -> None:
            (await Connection.open(BusAddress(bytes(folder / "s")))).close()

        with anyio.move_on_after(0.05) as scope:
            await connect()
        assert scope.cancelled_caught  # it was waiting, and could be cancelled
        with anyio.fail_after(10):
            async with anyio.create_task_group() as group:
                group.start_soon(connect)
                for _ in range(queued):
                    sock.accept()[0].close()
                await anyio.wait_readable(sock)
                end = stack.enter_context(sock.accept()[0])
                end.setblocking(False)
                await FalseBus(end).authenticate()


# ---------------------------------------------------------------------------- sending


async def test_what_does_not_fit_is_sent_as_there_is_room_and_never_mixed() -> None:
    connection, theirs = _pair()
    letters = [bytes([65 + n]) * (300_000 + n) for n in range(20)]
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run_writer)
        async with anyio.create_task_group() as senders:
            for letter in letters:
                senders.start_soon(connection.send, letter)
            with anyio.fail_after(30):
                data = await _read(theirs, sum(map(len, letters)))
        group.cancel_scope.cancel()
    connection.close()
    theirs.close()
    runs = [data[0:1]] + [data[n : n + 1] for n in range(1, len(data)) if data[n] != data[n - 1]]
    assert sorted(runs) == [letter[:1] for letter in letters], "the bytes of two messages are mixed"


async def test_nobody_jumps_the_queue() -> None:
    """There is room again, and the writer did not have its turn yet."""
    connection, theirs = _pair()
    assert connection.post(b"a" * 1_000_000) is not None
    data = b""
    while len(data) < 100_000:
        data += theirs.recv(65536)
    assert connection.post(b"b") is not None
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run_writer)
        with anyio.fail_after(10):
            data += await _read(theirs, 1_000_001 - len(data))
        group.cancel_scope.cancel()
    assert data == b"a" * 1_000_000 + b"b"
    connection.close()
    theirs.close()


async def test_a_sender_waits_for_room() -> None:
    """And the kernel has room for less than this: otherwise the test above would show nothing."""
    connection, theirs = _pair()
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run_writer)
        with anyio.move_on_after(0.2) as scope:
            await connection.send(b"x" * 10_000_000)
        assert scope.cancelled_caught
        group.cancel_scope.cancel()
    connection.close()
    theirs.close()


async def test_cancelled_before_its_first_byte_left_none_ever_will() -> None:
    before = _open_fds()
    connection, theirs = _pair()
    large = b"x" * 1_000_000
    read, write = os.pipe()
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run_writer)
        with anyio.move_on_after(0.05) as started:
            await connection.send(large)  # part of it has left: the rest must follow
        with anyio.move_on_after(0.05) as waiting:
            await connection.send(b"never", [read])
        assert started.cancelled_caught and waiting.cancelled_caught
        assert _open_fds() == before + 4  # no copy of the descriptor is left
        with anyio.fail_after(10):
            last = connection.post(b"last")
            assert last is not None
            assert await _read(theirs, len(large) + 4) == large + b"last"
            await connection.wait_sent(last)
        group.cancel_scope.cancel()
    connection.close()
    for fd in (read, write):
        os.close(fd)
    theirs.close()
    assert _open_fds() == before


async def test_the_other_end_going_fails_all_that_wait_to_send() -> None:
    connection, theirs = _pair()
    failed = []

    async def send() -> None:
        with pytest.raises(ConnectionBroken):
            await connection.send(b"x" * 1_000_000)
        failed.append(1)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(connection.run_writer)
            for _ in range(5):
                group.start_soon(send)
            await anyio.wait_readable(theirs)
            theirs.close()
    assert len(failed) == 5
    with pytest.raises(ConnectionBroken):
        await connection.send(b"x")
    with pytest.raises(ConnectionBroken):
        await connection.receive()
    connection.close()


# ---------------------------------------------------------------------------- descriptors


async def test_descriptors_arrive_with_cloexec_set() -> None:
    connection, theirs = _pair()
    read, write = os.pipe2(0)
    socket.send_fds(theirs, [b"x"], [write, read])
    with anyio.fail_after(10):
        data, fds = await connection.receive()
    assert data == b"x" and len(fds) == 2
    assert all(fcntl.fcntl(fd, fcntl.F_GETFD) & fcntl.FD_CLOEXEC for fd in fds)
    assert not fcntl.fcntl(write, fcntl.F_GETFD) & fcntl.FD_CLOEXEC  # it is not because they were sent so
    os.write(fds[0], b"through")
    assert os.read(read, 100) == b"through"
    for fd in (read, write, *fds):
        os.close(fd)
    connection.close()
    theirs.close()


@pytest.mark.parametrize("full", [False, True])
async def test_descriptors_are_sent_even_if_their_owner_closes_them(full: bool) -> None:
    connection, theirs = _pair()
    read, write = os.pipe()
    filler = b"y" * 2_000_000 if full else b""
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run_writer)
        group.start_soon(connection.send, filler or b"y")
        await anyio.wait_readable(theirs)
        parcel = connection.post(b"z", [write])
        os.close(write)
        assert (parcel is not None) is full
        with anyio.fail_after(10):
            await _read(theirs, len(filler or b"y"))
            await anyio.wait_readable(theirs)
            data, fds, _, _ = socket.recv_fds(theirs, 10, 5)
        group.cancel_scope.cancel()
    assert data == b"z" and len(fds) == 1
    os.write(fds[0], b"through")
    assert os.read(read, 100) == b"through"
    for fd in (read, *fds):
        os.close(fd)
    connection.close()
    theirs.close()


async def test_descriptors_travel_once_with_a_message_that_is_cut() -> None:
    connection, theirs = _pair()
    parcel = connection.post(b"x" * 1_000_000, [0])
    assert parcel is not None and parcel.started
    came: list[int] = []
    left = 1_000_000
    async with anyio.create_task_group() as group:
        group.start_soon(connection.run_writer)
        with anyio.fail_after(10):
            while left:
                await anyio.wait_readable(theirs)
                data, fds, _, _ = socket.recv_fds(theirs, 65536, 5)
                left -= len(data)
                came += fds
        group.cancel_scope.cancel()
    assert len(came) == 1
    os.close(came[0])
    connection.close()
    theirs.close()


async def test_bad_descriptors_are_the_senders_mistake_and_break_nothing() -> None:
    connection, theirs = _pair()
    closed = os.dup(0)
    os.close(closed)
    with pytest.raises(DBusError, match="descriptors"):
        await connection.send(b"x", [closed])
    await connection.send(b"y")
    assert await _read(theirs, 1) == b"y"
    connection.close()
    theirs.close()


async def test_a_bus_that_passes_no_descriptors_is_not_sent_any() -> None:
    connection, theirs = _pair(fds=False)
    with pytest.raises(DBusError, match="no descriptors"):
        await connection.send(b"x", [0])
    connection.close()
    theirs.close()


async def test_lost_descriptors_break_the_connection() -> None:
    """More than this process may open: the kernel drops them, and the next message would be given those of another."""
    connection, theirs = _pair()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = _open_fds()
    socket.send_fds(theirs, [b"x"], [0, 1, 2])
    holders = [os.dup(0)]
    while holders[-1] < before + 10:  # until no number is free below the last, and one above it
        holders.append(os.dup(0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (holders[-1] + 2, hard))
    try:
        with anyio.fail_after(10), pytest.raises(ConnectionBroken, match="too many open"):
            await connection.receive()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in holders:
            os.close(fd)
    assert _open_fds() == before
    connection.close()
    theirs.close()
