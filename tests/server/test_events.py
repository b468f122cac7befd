"""Events as a client reads them: live, resumed, filtered, too slow."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import ByteStream
from anyio.streams.buffered import BufferedByteReceiveStream
from support.served import Served, served

from engine.server.limits import ServerLimits

pytestmark = pytest.mark.anyio


class Reader:
    """Reads Server-Sent Events from a bare connection: what is left unread of a client's stream is none of ours."""

    def __init__(self, stream: ByteStream) -> None:
        self._bytes = BufferedByteReceiveStream(stream)

    async def line(self) -> str:
        with anyio.fail_after(5):
            return (await self._bytes.receive_until(b"\n", 65536)).decode().rstrip("\r")

    async def next(self) -> dict[str, Any]:
        """The next event, comments left out: ``id``, ``event`` and its decoded ``data``."""
        found: dict[str, Any] = {}
        while (line := await self.line()) or "data" not in found:
            name, _, value = line.partition(": ")
            found = {**found, name: value} if line else {}
        return {**found, "data": json.loads(found["data"])}


@contextlib.asynccontextmanager
async def reading(server: Served, query: str = "", since: str = "") -> AsyncIterator[Reader]:
    async with await anyio.connect_unix(server.path) as stream:
        more = f"Last-Event-ID: {since}\r\n" if since else ""
        await stream.send(f"GET /v1/events{query} HTTP/1.0\r\n{more}\r\n".encode())
        reader = Reader(stream)
        head = [await reader.line()]
        while head[-1]:
            head.append(await reader.line())
        assert " 200 " in head[0]
        assert "content-type: text/event-stream" in head
        yield reader


async def test_events_come_as_they_happen(server: Served) -> None:
    async with reading(server, "?domain=web&type=DomainStarted,DomainStopped") as events:
        await server.define("web")
        await server.define("other")
        for name in ("other", "web"):
            await server.http.post(f"/v1/domains/{name}/start")
        await server.http.post("/v1/domains/web/destroy")
        first, second = await events.next(), await events.next()
    assert [first["event"], second["event"]] == ["org.virengine.domain.started", "org.virengine.domain.stopped"]
    assert first["data"]["id"] == first["id"]
    assert first["data"]["subject"].startswith("web/")
    assert first["data"]["specversion"] == "1.0"


async def test_a_client_that_comes_back_misses_nothing(server: Served) -> None:
    async with reading(server, "?type=DomainDefined") as events:
        await server.define("a")
        last = (await events.next())["id"]
    for name in ("b", "c", "d"):
        await server.define(name)
    async with reading(server, "?type=DomainDefined", since=last) as events:
        await server.define("e")
        found = [(await events.next())["data"]["data"]["domain"] for _ in range(4)]
    assert found == ["b", "c", "d", "e"]


async def test_how_things_are_comes_first_where_it_is_asked_for(server: Served) -> None:
    await server.define("web")
    async with reading(server, "?snapshot=true") as events:
        found = [await events.next() for _ in range(3)]
        await server.http.post("/v1/domains/web/start")
        live = await events.next()
    assert [each["event"].rpartition(".")[2] for each in found] == ["snapshot", "snapshot", "complete"]
    assert "id" not in found[0]
    assert live["data"]["data"]["domain"] == "web"


async def test_what_is_no_longer_kept_is_told_with_where_to_begin(server: Served) -> None:
    answer = await server.http.get("/v1/events", headers={"last-event-id": "another-epoch/5"})
    assert answer.status_code == 410
    assert answer.json()["facts"]["oldest"] >= 0


async def test_whoever_is_gone_is_forgotten(server: Served) -> None:
    async with reading(server):
        assert "virengine_event_streams 1\n" in (await server.http.get("/metrics")).text
    with anyio.fail_after(5):
        while "virengine_event_streams 0\n" not in (await server.http.get("/metrics")).text:
            await anyio.lowlevel.checkpoint()


async def test_streams_have_a_bound(tmp_path: Path) -> None:
    async with served(tmp_path, limits=ServerLimits(subscriptions_each=1)) as server, reading(server):
        answer = await server.http.get("/v1/events")
        assert answer.status_code == 429


async def test_a_quiet_stream_shows_that_it_stands(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.server.api.streams.HEARTBEAT", 0.05)
    async with reading(server, "?type=DomainCrashed") as events:
        while await events.line() != ": still here":
            pass


async def test_a_slow_client_slows_nobody_and_is_told_what_it_missed(tmp_path: Path) -> None:
    async with served(tmp_path, limits=ServerLimits(send_seconds=5)) as server:
        await server.define("web")
        request = b"GET /v1/events?policy=drop_oldest&bound=8 HTTP/1.1\r\nHost: x\r\n\r\n"
        async with await anyio.connect_unix(server.path) as slow, reading(server, "?type=DomainStopped") as quick:
            await slow.send(request)
            data = b""
            while b"here begins" not in data:
                data += await slow.receive()
            domain = server.engine.domain("web")
            for _ in range(300):
                await domain.start()
                await domain.destroy()
                await quick.next()
            data = b""
            with anyio.fail_after(10):
                while b"org.virengine.gap" not in data:
                    data += await slow.receive()


async def test_a_stream_says_where_to_go_on_before_anything_happens(
    server: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And while what happens is none of what it asked for: that may be long gone when it comes back."""
    monkeypatch.setattr("engine.server.api.streams.HEARTBEAT", 0.05)
    journal = server.engine.bus.journal
    async with reading(server, "?type=DomainCrashed") as events:
        assert await events.line() == ": here begins the stream"
        assert await events.line() == f"id: {journal.epoch}/{journal.newest}"
        await server.define("web")
        while await events.line() != f"id: {journal.epoch}/{journal.newest}":
            pass
