"""Clients that mean no good, and a disk that is full: refused or shed, and everybody else is served as ever."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from support.program import PROGRAM
from support.qemu_domains import boot_sector_domain
from support.served import Served, served
from support.transports import connect_as, everywhere

from engine.errors import ConnectionBroken
from engine.server.client import connect
from engine.server.limits import ServerLimits
from engine.util.unix import UnixStream

pytestmark = pytest.mark.anyio

NONSENSE = {
    "nothing but line ends": b"\r\n" * 1000,
    "no HTTP": b"\x00\xff\xfe" * 1000,
    "a TLS hello": bytes.fromhex("160301020001000001fc0303") + bytes(500),
    "HTTP/2 of which nobody spoke": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 200,
    "a method of all signs": b"\xc3\xa4\xc3\xb6 / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no host": b"GET / HTTP/1.1\r\n\r\n",
    "two lengths": b"POST /v1/up HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
    "a length below nothing": b"POST /v1/up HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    "chunks that are none": b"POST /v1/up HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    "a header without end": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000,
    "headers without end": b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 50_000,
    "a path of half signs": b"GET /v1/domains/%ff%fe HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    "a body that is no UTF-8": b"POST /v1/up HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b'Connection: close\r\nContent-Length: 16\r\n\r\n{"domains":["\xff"]}',
    "a WebSocket without a key": b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
    b"Connection: upgrade\r\n\r\n",
}


async def rest(stream: Any) -> bytes:
    """What comes until the other side ends it."""
    data = b""
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            data += await stream.receive()
    return data


async def is_well(server: Served) -> bool:
    return bool((await server.http.get("/v1/domains/test")).json()["state"] == "running")


@pytest.mark.parametrize("words", NONSENSE.values(), ids=NONSENSE)
async def test_nonsense_is_refused(words: bytes, tmp_path: Path) -> None:
    async with served(tmp_path, limits=ServerLimits(idle_seconds=0.5)) as server:
        async with await anyio.connect_unix(server.path) as stream:
            with contextlib.suppress(anyio.BrokenResourceError):
                await stream.send(words)
            with anyio.fail_after(10):
                told = await rest(stream)
        assert not told or told.split()[1][:1] == b"4"
        assert await is_well(server)


async def test_whoever_closes_one_half_is_let_go(server: Served) -> None:
    """Nobody can tell that from somebody who went away, and whoever did must not keep a console, say."""
    for path in ("/healthz", "/v1/events", "/v1/domains/test/wait?until=stopped"):
        async with await anyio.connect_unix(server.path) as stream:
            await stream.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await stream.send_eof()
            with anyio.fail_after(10):
                await rest(stream)
    assert await is_well(server)


async def test_whoever_does_not_stay_for_the_answer_takes_no_room(server: Served) -> None:
    for _ in range(20):
        async with await anyio.connect_unix(server.path) as stream:
            await stream.send(b"GET /v1/domains HTTP/1.1\r\nHost: virengine\r\n\r\n")
            await stream.receive(1)
    with anyio.fail_after(10):  # far less than whoever is idle may be
        while "virengine_connections_open 1\n" not in (await server.http.get("/metrics")).text:
            pass


async def test_a_hundred_who_never_finish_their_request(tmp_path: Path) -> None:
    async with served(tmp_path, limits=ServerLimits(idle_seconds=0.5)) as server:
        ended = 0

        async def dawdle(*, task_status: Any) -> None:
            nonlocal ended
            async with await anyio.connect_unix(server.path) as stream:
                await stream.send(b"GET /v1/domains HTTP/1.1\r\nHost: x\r\nX-Slow: ")
                task_status.started()
                with contextlib.suppress(anyio.BrokenResourceError):
                    while True:  # a sign now and then, which never ends
                        await stream.send(b"x")
                        with anyio.move_on_after(0.01):
                            await rest(stream)
                            break
                ended += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(100):
                await tasks.start(dawdle)
            assert await is_well(server)
            with anyio.fail_after(30):
                while ended < 100:
                    assert await is_well(server)


async def test_idle_connections_of_one_keep_out_no_other(tmp_path: Path) -> None:
    """``VIRENGINE_IDLE=10000`` for a thorough look."""
    many = int(os.environ.get("VIRENGINE_IDLE", "600"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(hard, max(soft, many * 2 + 1000))
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    try:
        async with everywhere(tmp_path) as server, anyio.create_task_group() as tasks:
            idle: list[socket.socket] = []
            for _ in range(many):
                with contextlib.suppress(BlockingIOError):
                    idle.append(connect_as(65534, server.path))
                await anyio.lowlevel.checkpoint()
            assert len(idle) > min(many, 1024) * 0.9
            assert await server.status("tcp+token", "viewer", "GET", "/v1/domains") == 200
            async with UnixStream(connect_as(0, server.path)) as stream:
                await stream.send(b"GET /v1/domains HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert (await stream.receive()).startswith(b"HTTP/1.1 200")
            for sock in idle:
                sock.close()
            tasks.cancel_scope.cancel()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.asynccontextmanager
async def cramped(folder: Path, backend: str, size: int) -> AsyncIterator[subprocess.Popen[str]]:
    """The service, whose files may be so large and no larger, as on a disk that is full."""
    options = ("--uri", "qemu:///session", "--state-dir", str(folder / "state"), "serve")
    command = ["prlimit", f"--fsize={size}:unlimited", *PROGRAM, *options]
    env = {**os.environ, "VIRENGINE_BACKEND": backend}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            line = await anyio.to_thread.run_sync(process.stdout.readline)
            assert line.startswith("Listening at ")
            yield process
        finally:
            process.terminate()
            await anyio.to_thread.run_sync(process.wait)


@pytest.mark.qemu
async def test_a_disk_that_is_full_costs_no_guest_its_life(tmp_path: Path, anyio_backend_name: str) -> None:
    document = boot_sector_domain("db", tmp_path)
    path = tmp_path / "state" / "api.sock"
    async with cramped(tmp_path, anyio_backend_name, 400_000) as process, connect(path) as engine:
        db = await engine.define(document)
        await db.start()
        pid = (await db.info()).pid
        full = False
        with anyio.fail_after(60):
            while not full:  # each time two events for the journal, which has nowhere to put them in the end
                await db.suspend()
                await db.resume()
                largest = max((tmp_path / "state").glob("journal.db*"), key=lambda path: path.stat().st_size)
                full = largest.stat().st_size > 360_000
        for _ in range(40):
            await db.suspend()
            await db.resume()
        assert (db.state.value, (await db.info()).pid) == ("running", pid)
        subprocess.run(["prlimit", f"--pid={process.pid}", "--fsize=unlimited:unlimited"], check=True)
        with anyio.fail_after(30):  # what it could not write down it does now
            while True:
                kept = [event async for page in engine.past() for event in page]
                await db.suspend()
                await db.resume()
                newer = [event async for page in engine.past(since=str(kept[-1].sequence)) for event in page]
                if newer:
                    break
        await db.destroy()
    with pytest.raises(ConnectionBroken):
        async with connect(path):
            pass
