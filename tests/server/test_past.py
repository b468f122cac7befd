"""``GET /v1/journal``: the events of the past, page by page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.served import Served

from engine import Engine
from engine.server.api import past
from engine.server.listeners import listen, parse_address

pytestmark = pytest.mark.anyio


async def lived(server: Served) -> list[str]:
    """The names of the types of all that happened: two domains that were defined, started and destroyed."""
    for name in ("a", "b"):
        await server.define(name)
        for command in ("start", "destroy"):
            await server.http.post(f"/v1/domains/{name}/{command}")
    return [event.type for event in await every(server)]


async def every(server: Served, **query: Any) -> list[Any]:
    """All pages."""
    found: list[Any] = []
    path = "/v1/journal"
    params: dict[str, Any] | None = query
    while path:
        answer = await server.http.get(path, params=params)
        assert answer.status_code == 200, answer.text
        found += [Told(each) for each in answer.json()]
        link = answer.headers.get("link", "")
        path, params = (f"/v1/journal{link.partition('>')[0].removeprefix('<')}" if link else ""), None
    return found


class Told:
    def __init__(self, event: dict[str, Any]) -> None:
        self.event = event
        self.id = event["id"]
        self.number = int(event["sequence"])
        self.type = event["type"].removeprefix("org.virengine.")
        self.domain = event["data"].get("domain", "")


async def test_all_that_is_kept_in_order(server: Served) -> None:
    types = await lived(server)
    assert [name for name in types if name.startswith("domain.")][-8:] == [
        "domain.defined",
        "domain.started",
        "domain.ready",
        "domain.stopped",
    ] * 2
    found = await every(server, limit=2)
    assert [each.type for each in found] == types
    assert [each.number for each in found] == list(range(1, len(types) + 1))


async def test_what_is_asked_for(server: Served) -> None:
    await lived(server)
    whole = await every(server)
    some = await every(server, domain="b", type="DomainStarted,domain.stopped", limit=1)
    assert [(each.domain, each.type) for each in some] == [("b", "domain.started"), ("b", "domain.stopped")]
    part = await every(server, since=whole[2].id, until=str(whole[5].number))
    assert [each.id for each in part] == [each.id for each in whole[3:6]]
    when = whole[4].event["time"]
    part = await every(server, since=when)
    assert [each.id for each in part] == [each.id for each in whole[5:]]
    part = await every(server, until=when)
    assert [each.id for each in part] == [each.id for each in whole[:5]]


async def test_few_among_many_come_in_several_pages(server: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    await lived(server)
    monkeypatch.setattr(past, "_MOST", 3)
    monkeypatch.setattr(past, "_PAGE", 3)
    assert [each.domain for each in await every(server, type="DomainStopped")] == ["a", "b"]


async def test_lines_for_who_wants_lines(server: Served) -> None:
    await lived(server)
    answer = await server.http.get("/v1/journal", headers={"accept": "application/x-ndjson"})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = answer.text.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [each.id for each in await every(server)]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("since=999", 410),
        ("since=gone/1", 410),
        ("since=yesterday", 400),
        ("until=x", 400),
        ("since=2026-01-01T00:00:00", 400),
        ("limit=0", 400),
        ("type=Nonsense", 400),
    ],
)
async def test_what_makes_no_sense(server: Served, query: str, status: int) -> None:
    answer = await server.http.get(f"/v1/journal?{query}")
    assert answer.status_code == status
    if status == 410:
        journal = server.engine.bus.journal
        assert answer.json()["facts"]["snapshot"] == f"{journal.epoch}/{journal.newest}"


async def test_whoever_is_told_410_takes_a_snapshot_and_goes_on(server: Served) -> None:
    await lived(server)
    gone = await server.http.get("/v1/events", headers={"last-event-id": "gone/1"})
    position = gone.json()["facts"]["snapshot"]
    domains = (await server.http.get("/v1/domains")).json()
    await server.http.post("/v1/domains/a/start")
    assert {each["name"] for each in domains} >= {"a", "b"}
    assert [each.domain for each in await every(server, since=position)] == ["a", "a"]


async def test_a_doctor_that_nobody_asked_to_mend_only_looks(tmp_path: Path) -> None:
    import httpx2

    from engine.server.serving import serve

    async with Engine("test:///default", state_dir=tmp_path / "state", systemd=False, on_close="leave") as engine:
        with listen(parse_address(f"unix:{tmp_path}/api.sock")) as sock:
            async with anyio.create_task_group() as tasks:
                await tasks.start(lambda *, task_status: serve(engine, [sock], task_status=task_status))
                transport = httpx2.AsyncHTTPTransport(uds=f"{tmp_path}/api.sock")
                async with httpx2.AsyncClient(transport=transport, base_url="http://engine") as http:
                    found = (await http.get("/v1/doctor")).json()
                    assert {"ok", "findings", "done", "stop_timeout"} == found.keys()
                    assert {"severity", "code", "subject", "what", "why"} <= found["findings"][0].keys()
                    would = (await http.post("/v1/doctor", json={"fix": True, "dry_run": True})).json()
                    assert would["findings"] == found["findings"]
                tasks.cancel_scope.cancel()


async def test_an_engine_in_memory_has_no_units_to_examine(server: Served) -> None:
    assert (await server.http.get("/v1/doctor")).status_code == 409
