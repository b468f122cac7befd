"""Connecting to sockets whose owner accepts nobody."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from engine.errors import ConnectionBroken
from engine.util.unix import UnixStream, connect_unix


@contextlib.contextmanager
def full_queue(path: Path) -> Iterator[socket.socket]:
    """A listener that nobody can connect to any more."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket(socket.AF_UNIX))
        listener.bind(str(path))
        listener.listen(1)
        while True:
            waiting = stack.enter_context(socket.socket(socket.AF_UNIX))
            waiting.setblocking(False)
            try:
                waiting.connect(str(path))
            except BlockingIOError:
                break
        yield listener


async def test_bytes_and_descriptors_go_through(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        listener.listen()
        async with await connect_unix(tmp_path / "s", 5, what="it") as stream:
            accepted, _ = listener.accept()
            with accepted, (tmp_path / "file").open("w") as file:
                await stream.send(b"hello")
                assert accepted.recv(10) == b"hello"
                await stream.send_fds(b"x", [file.fileno()])
                _, fds, _, _ = socket.recv_fds(accepted, 10, 1)
                assert len(fds) == 1
                os.close(fds[0])


def pair() -> tuple[UnixStream, socket.socket]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    return UnixStream(ours), theirs


async def test_one_who_gives_up_as_something_arrives_leaves_nothing_behind() -> None:
    stream, theirs = pair()
    with theirs:
        async with stream:
            for _ in range(20):
                with anyio.CancelScope() as scope:
                    async with anyio.create_task_group() as tasks:
                        tasks.start_soon(stream.receive)
                        await anyio.wait_all_tasks_blocked()
                        theirs.send(b"x")
                        scope.cancel()
                assert await stream.receive() == b"x"


async def test_more_than_there_is_room_for() -> None:
    stream, theirs = pair()
    with theirs:
        async with stream:
            heard = bytearray()
            theirs.setblocking(False)

            async def hear() -> None:
                while len(heard) < 3_000_000:
                    await anyio.wait_readable(theirs)
                    heard.extend(theirs.recv(100_000))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(hear)
                await stream.send(b"0123456789" * 300_000)
            assert heard == b"0123456789" * 300_000


async def test_the_ends_of_a_stream() -> None:
    stream, theirs = pair()
    await stream.send_eof()
    assert theirs.recv(1) == b""
    theirs.send(b"last")
    theirs.close()
    assert await stream.receive(2) == b"la"
    assert await stream.receive() == b"st"
    with pytest.raises(anyio.EndOfStream):
        await stream.receive()
    with pytest.raises(anyio.BrokenResourceError):
        await stream.send(b"x")
    await stream.aclose()
    await stream.aclose()
    for use in (stream.receive, partial(stream.send, b"x"), stream.send_eof):
        with pytest.raises(anyio.ClosedResourceError):
            await use()


async def test_who_waits_is_told_that_it_was_closed() -> None:
    stream, theirs = pair()
    with theirs:

        async def receive() -> None:
            with pytest.raises(anyio.ClosedResourceError):
                await stream.receive()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receive)
            await anyio.wait_all_tasks_blocked()
            await stream.aclose()


async def test_one_that_accepts_nobody_is_given_up(tmp_path: Path) -> None:
    said = r"the monitor is busy or hangs: it accepted nobody for 0.1 s"
    with full_queue(tmp_path / "s"), anyio.fail_after(10), pytest.raises(ConnectionBroken, match=said):
        await connect_unix(tmp_path / "s", 0.1, what="the monitor")


async def test_the_others_go_on_meanwhile(tmp_path: Path) -> None:
    with full_queue(tmp_path / "s"), anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(connect_unix, tmp_path / "s", 1000, what="it"))
            for _ in range(100):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()


async def test_it_waits_for_its_turn(tmp_path: Path) -> None:
    with full_queue(tmp_path / "s") as listener, anyio.fail_after(10):
        streams = []

        async def connect() -> None:
            streams.append(await connect_unix(tmp_path / "s", 1000, what="it"))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(connect)
            await anyio.lowlevel.checkpoint()
            assert streams == []
            listener.accept()[0].close()
        (stream,) = streams
        async with stream:
            await stream.send(b"hello")


async def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await connect_unix(tmp_path / "s", 5, what="it")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
    with pytest.raises(ConnectionRefusedError):
        await connect_unix(tmp_path / "s", 5, what="it")
