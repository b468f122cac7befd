"""The end of a server: nobody who waits for an answer is cut off, as far as that takes no longer than it may."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from support.served import Served, served
from support.sse import reading

from engine.errors import ConnectionBroken, EngineClosed
from engine.events.bus import CallNext
from engine.events.commands import DomainCommand
from engine.server.api.closing import ENDING
from engine.server.client import connect, error_of
from engine.server.client.doors import door_to
from engine.server.client.talking import SocketStream
from engine.server.limits import ServerLimits

pytestmark = pytest.mark.anyio


class Held:
    """Holds every command up until it is let ``go``."""

    def __init__(self, server: Served) -> None:
        self.begun, self.go = anyio.Event(), anyio.Event()
        server.engine.add_interceptor(self.hold)

    async def hold(self, command: DomainCommand, call_next: CallNext) -> Any:
        self.begun.set()
        await self.go.wait()
        return await call_next(command)


@pytest.mark.parametrize("prefer", ["wait", "respond-async"])
async def test_what_goes_on_is_answered_and_nobody_is_let_in(server: Served, prefer: str) -> None:
    held, answers = Held(server), list[httpx2.Response]()

    async def suspend() -> None:
        answers.append(await server.http.post("/v1/domains/test/suspend", headers={"prefer": prefer}))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(suspend)
            await held.begun.wait()
            server.end()
            await refused(server)
            held.go.set()
    assert answers[0].status_code == (202 if prefer == "respond-async" else 200)
    while server.engine.domain("test").state.value != "paused":
        await server.engine.domain("test").changed()


async def refused(server: Served) -> None:
    """Return once nobody is let in any more."""
    while True:
        try:
            async with await anyio.connect_unix(server.path) as stream:
                await stream.send(b"GET /healthz HTTP/1.0\r\n\r\n")
                await stream.receive()
        except (OSError, anyio.EndOfStream, anyio.BrokenResourceError):
            return


async def test_what_was_asked_in_that_very_moment_is_answered(server: Served) -> None:
    request = b"GET /healthz HTTP/1.1\r\nHost: virengine\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as asks, anyio.fail_after(10):
        asks.connect(server.path)
        asks.setblocking(False)
        for last in (False, True):
            asks.send(request)
            if last:
                server.end()
            await anyio.wait_readable(asks)
            assert asks.recv(65536).startswith(b"HTTP/1.1 200")
        await anyio.wait_readable(asks)
        assert asks.recv(1) == b""


async def test_what_takes_too_long_is_cut_off(tmp_path: Path) -> None:
    audit = tmp_path / "audit.log"
    async with served(tmp_path, limits=ServerLimits(grace_seconds=0.05), audit=audit) as server:
        held = Held(server)

        async def suspend() -> None:
            with pytest.raises(httpx2.TransportError):
                await server.http.post("/v1/domains/test/suspend")

        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(suspend)
                await held.begun.wait()
                server.end()
        assert server.engine.domain("test").state.value == "running"
    [entry] = [json.loads(line) for line in audit.read_text().splitlines()]
    assert (entry["path"], entry["status"], entry["problem"]) == ("/v1/domains/test/suspend", 503, "cut off")


async def test_what_lasts_ends_as_it_should(server: Served) -> None:
    """Streams at the end of a piece, with what tells that it is the end; who waits is told that nobody will answer."""
    waits: list[httpx2.Response] = []

    async def wait() -> None:
        waits.append(await server.http.get("/v1/domains/test/wait?until=stopped&timeout=60"))

    async def listen(client: httpx2.AsyncClient, listening: anyio.Event) -> None:
        async with client.stream("GET", "/v1/events") as answer:
            async for _ in answer.aiter_bytes():  # in chunks: were the last one missing, this would raise
                listening.set()

    listening = anyio.Event()
    console = await SocketStream.connect(door_to(server.path), "/v1/domains/test/console", error_of)
    transport = httpx2.AsyncHTTPTransport(uds=server.path)
    with anyio.fail_after(4):  # well before anybody is cut off
        async with (
            httpx2.AsyncClient(transport=transport, base_url="http://engine") as client,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(wait)
            tasks.start_soon(listen, client, listening)
            await listening.wait()
            server.end()
        with pytest.raises(anyio.EndOfStream):
            await console.receive()
        await console.aclose()
    assert (console.code, console.broken) == (ENDING, "the service ends")
    assert waits[0].status_code == 503
    assert isinstance(error_of(waits[0].content), EngineClosed)


async def test_a_plan_that_goes_on_is_left_to_the_next(server: Served) -> None:
    """Whoever waits for it is told so, or sees the stream end; never that somebody had cancelled it."""
    held, answers, errors = Held(server), list[httpx2.Response](), list[Exception]()

    async def down() -> None:
        answers.append(await server.http.post("/v1/down"))

    async def remote_down() -> None:
        async with connect(server.path) as engine:
            try:
                await engine.down()
            except (ConnectionBroken, EngineClosed) as exc:
                errors.append(exc)

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(down)
            await held.begun.wait()
            tasks.start_soon(remote_down)
            while len(found := (await server.http.get("/v1/operations")).json()) < 2:
                pass
            async with reading(server, f"/v1/operations/{found[0]['id']}/events"):
                server.end()
    assert answers[0].status_code == 503
    assert len(errors) == 1
