"""Requests over real sockets: whole, in pieces, slow, cut off, too many."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from engine.server.access.peers import Peer
from engine.server.limits import ServerLimits
from engine.server.listeners import accept_from, listen, parse_address
from engine.server.transport import HttpConnections

pytestmark = pytest.mark.anyio


async def hello(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"hello {request.state.peer.name}, {len(await request.body())} bytes")


class Endless(Response):
    """Says something for as long as it is listened to."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._talk, send)
            while (await receive())["type"] != "http.disconnect":
                pass
            tasks.cancel_scope.cancel()
        scope["app"].state.ended.set()

    async def _talk(self, send: Send) -> None:
        while True:
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})


async def endless(request: Request) -> Response:
    return Endless()


async def broken(request: Request) -> PlainTextResponse:
    raise ValueError("of no use")


@contextlib.asynccontextmanager
async def served(folder: Path, **limits: Any) -> AsyncIterator[tuple[str, Starlette]]:
    """Where a server listens, and its application."""
    app = Starlette(
        routes=[Route("/", hello, methods=["GET", "POST"]), Route("/endless", endless), Route("/broken", broken)]
    )
    app.state.ended = anyio.Event()
    bounds = ServerLimits(**limits)
    ending = anyio.Event()
    connections = HttpConnections(app, bounds, ending)

    async def serve(stream: Any, peer: Peer) -> None:
        await connections.serve(stream, {"peer": peer})

    path = str(folder / "socket")
    with listen(parse_address(f"unix:{path}")) as sock:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept_from, {sock: serve}, lambda: bounds, ending)
            yield path, app
            tasks.cancel_scope.cancel()


def client(path: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=path), base_url="http://engine")


async def test_a_request_knows_who_asks(tmp_path: Path) -> None:
    async with served(tmp_path) as (path, _), client(path) as http:
        for size in (0, 10, 1_000_000):
            assert (await http.post("/", content=b"x" * size)).text == f"hello user:root, {size} bytes"


async def test_a_request_in_the_smallest_pieces(tmp_path: Path) -> None:
    async with served(tmp_path) as (path, _), await anyio.connect_unix(path) as stream:
        for byte in b"GET / HTTP/1.1\r\nHost: x\r\n\r\n":
            await stream.send(bytes([byte]))
        assert b"hello user:root" in await read_until(stream, b"bytes")


async def read_until(stream: Any, end: bytes) -> bytes:
    data = b""
    while end not in data:
        data += await stream.receive()
    return data


async def ends(stream: Any) -> bytes:
    """What comes until the other side ends it."""
    data = b""
    with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
        while True:
            data += await stream.receive()
    return data


@pytest.mark.parametrize("begun", [b"", b"GET / HTTP/1.1\r\nHost:", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"])
async def test_whoever_does_not_ask_to_the_end_is_cut_off(begun: bytes, tmp_path: Path) -> None:
    async with served(tmp_path, idle_seconds=0.1) as (path, _), await anyio.connect_unix(path) as stream:
        if begun:
            await stream.send(begun)
        with anyio.fail_after(5):
            assert (b"hello" in await ends(stream)) is begun.endswith(b"\r\n\r\n")


async def test_whoever_reads_nothing_is_cut_off_and_what_is_made_for_it_ends(tmp_path: Path) -> None:
    async with served(tmp_path, send_seconds=0.1) as (path, app), await anyio.connect_unix(path) as stream:
        await stream.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        with anyio.fail_after(5):
            await app.state.ended.wait()


async def test_whoever_goes_ends_what_is_made_for_it(tmp_path: Path) -> None:
    async with served(tmp_path) as (path, app):
        async with await anyio.connect_unix(path) as stream:
            await stream.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
            await stream.receive()
        with anyio.fail_after(5):
            await app.state.ended.wait()


async def test_a_request_that_fails_ends_no_other(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with served(tmp_path) as (path, _), client(path) as http:
        assert (await http.get("/broken")).status_code == 500
        assert (await http.get("/")).status_code == 200
    assert "of no use" in caplog.text


@pytest.mark.parametrize("nonsense", [b"\0" * 100, b"GET\r\n\r\n", b"x" * 100_000])
async def test_nonsense_is_refused_and_cut_off(nonsense: bytes, tmp_path: Path) -> None:
    async with served(tmp_path, header_bytes=4096) as (path, _), await anyio.connect_unix(path) as stream:
        with contextlib.suppress(anyio.BrokenResourceError):
            await stream.send(nonsense)
        with anyio.fail_after(5):
            answer = await ends(stream)
        assert not answer or answer.startswith(b"HTTP/1.1 4")


async def test_more_than_may_be_are_turned_away(tmp_path: Path) -> None:
    async with served(tmp_path, connections_each=3) as (path, _), contextlib.AsyncExitStack() as stack:
        inside = [await stack.enter_async_context(await anyio.connect_unix(path)) for _ in range(3)]
        for stream in inside:
            await stream.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await read_until(stream, b"bytes")
        async with await anyio.connect_unix(path) as fourth:
            assert await ends(fourth) == b""
        await inside[0].aclose()
        with anyio.fail_after(5):
            while True:  # the server sees it go in its own time
                async with await anyio.connect_unix(path) as again:
                    with contextlib.suppress(anyio.BrokenResourceError, anyio.EndOfStream):
                        await again.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                        await read_until(again, b"bytes")
                        break


async def test_whoever_was_gone_before_he_was_let_in_is_no_error() -> None:
    connections = HttpConnections(Starlette(routes=[Route("/", hello)]), ServerLimits(), anyio.Event())
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.close()
    from engine.util.unix import UnixStream

    with anyio.fail_after(5):
        await connections.serve(UnixStream(ours), {"peer": Peer(name="nobody")})
