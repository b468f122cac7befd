"""WebSockets: events, consoles, displays."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.served import DOMAIN, Everybody, Served, served
from support.transports import everywhere

from engine import Domain
from engine.errors import Busy, EngineError, NoSuchDomain
from engine.server.api.closing import NOT_ALLOWED, TAKEN
from engine.server.client import RemoteDomain, connect, error_of
from engine.server.client.doors import door_to
from engine.server.client.talking import SocketStream
from engine.server.limits import ServerLimits
from engine.util.unix import connect_unix

pytestmark = pytest.mark.anyio


async def opened(server: Served, target: str) -> SocketStream:
    return await SocketStream.connect(door_to(server.path), target, error_of)


async def ends(stream: SocketStream) -> int:
    with anyio.fail_after(10), pytest.raises(anyio.EndOfStream):
        while True:
            await stream.receive()
    return stream.code


async def message(stream: SocketStream) -> dict[str, Any]:
    """The next, which is a whole document."""
    text = b""
    with anyio.fail_after(10):
        while True:
            text += await stream.receive(1 << 20)
            try:
                return dict(json.loads(text))
            except ValueError:
                continue


async def test_a_console_through_the_service(server: Served) -> None:
    async with connect(server.path) as engine:
        domain = engine.domain("test")
        async with domain.open_console() as console:
            sent = bytes(range(256)) * 1000
            heard = b""
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(console.send, sent)
                with anyio.fail_after(10):
                    while len(heard) < len(sent):
                        heard += await console.receive()
            assert heard == sent
            with pytest.raises(Busy):
                async with domain.open_console():
                    pass
            async with domain.open_console(force=True) as other:
                assert await ends(console) == TAKEN
                assert console.taken
                await domain.destroy()
                await ends(other)
                assert other.reason == "it has ended"
        with pytest.raises(EngineError, match="can't open the console of it"):
            async with domain.open_console():
                pass


async def test_whoever_leaves_a_console_makes_room(server: Served) -> None:
    """Also by going away without a word."""

    async def seated() -> SocketStream:
        with anyio.fail_after(10):
            while True:
                try:
                    return await opened(server, "/v1/domains/test/console")
                except Busy:  # the server has not seen yet that the other has gone
                    await anyio.lowlevel.checkpoint()

    for politely in (True, False, True, False):
        console = await seated()
        await console.send(b"x")
        assert await console.receive() == b"x"
        await (console.aclose() if politely else console._stream.aclose())


async def test_what_is_refused_is_told_before_it_begins(server: Served) -> None:
    with pytest.raises(NoSuchDomain):
        await opened(server, "/v1/domains/nobody/console")
    with pytest.raises(EngineError, match="the test driver does not support displays"):
        await opened(server, "/v1/domains/test/vnc")
    with pytest.raises(EngineError, match="there is no parameter 'fource'"):
        await opened(server, "/v1/domains/test/console?fource=true")
    with pytest.raises(EngineError, match="there is no WebSocket at this path"):
        await opened(server, "/v1/domains/test/consoles")
    answer = await server.http.get("/v1/domains/test/console")
    assert (answer.status_code, answer.headers["upgrade"]) == (426, "websocket")


async def test_pages_of_other_sites_get_no_socket(server: Served) -> None:
    """There is no CORS for WebSockets: the server has to look."""
    key = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
    for host, origin, status in (
        ("localhost", "http://evil.example", b"403"),
        ("evil.example", "http://evil.example", b"403"),
        ("localhost", "http://localhost", b"101"),
    ):
        async with await anyio.connect_unix(server.path) as stream:
            head = f"GET /v1/domains/test/console HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n"
            await stream.send(f"{head}Connection: Upgrade\r\nUpgrade: websocket\r\n{key}\r\n\r\n".encode())
            assert (await stream.receive()).split()[1] == status


async def test_a_console_is_for_operators_and_written_down(tmp_path: Path) -> None:
    audit = tmp_path / "audit.log"
    for role in ("viewer", "operator"):
        async with served(tmp_path, access=Everybody(role), audit=audit) as server:
            try:
                async with await opened(server, "/v1/domains/test/console"):
                    pass
            except EngineError as exc:
                assert "this is for operators" in str(exc)
    noted = [json.loads(line) for line in audit.read_text().splitlines()]
    assert [(each["path"], each["role"], each["status"]) for each in noted] == [
        ("/v1/domains/test/console", "viewer", 403),
        ("/v1/domains/test/console", "operator", 101),
    ]


async def test_so_many_at_once(tmp_path: Path) -> None:
    limits = ServerLimits(subscriptions_each=1)
    async with served(tmp_path, limits=limits) as server, events(server):
        with pytest.raises(EngineError, match="listens to 1 streams already"):
            await opened(server, "/v1/domains/test/console")


async def test_a_token_that_is_taken_away_ends_what_it_began(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sockets", "events"):
        monkeypatch.setattr(f"engine.server.api.{module}.HEARTBEAT", 0.05)
    async with everywhere(tmp_path) as server:
        secret = server.secrets["operator"]
        talks = []
        for target in ("/v1/events", "/v1/domains/test/console"):
            talk = SocketStream(await connect_unix(server.path, 5.0, what="it"), error_of)
            await talk.open(target, headers={"authorization": f"Bearer {secret}"})
            talks.append(talk)
        server.tokens.remove("operator")
        for talk in talks:
            assert await ends(talk) == NOT_ALLOWED
            await talk.aclose()


@asynccontextmanager
async def events(server: Served, query: str = "") -> AsyncIterator[SocketStream]:
    async with await opened(server, f"/v1/events?{query}") as stream:
        yield stream


async def test_events_are_messages(server: Served) -> None:
    await server.engine.define(DOMAIN.format("web", ""))
    web: Domain | RemoteDomain = server.engine.domain("web")
    async with events(server, "domain=web&snapshot=true") as stream:
        assert (await message(stream))["data"]["state"] == "shut off"
        assert (await message(stream))["type"].endswith("snapshot.complete")
        await web.start()
        started = await message(stream)
        assert started["type"] == "org.virengine.domain.started"
    await web.destroy()
    async with events(server, f"domain=web&since={started['id']}&type=domain.stopped") as stream:
        assert (await message(stream))["data"]["detail"] == "destroyed"
    with pytest.raises(EngineError, match="there was no event 999999"):
        async with events(server, "since=999999"):
            pass
