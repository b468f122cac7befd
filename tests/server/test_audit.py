"""Who asked for what."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.served import Everybody, served
from support.sse import reading

pytestmark = pytest.mark.anyio

ASYNC = {"prefer": "respond-async"}


def entries(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_what_changes_something_is_written_down_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    async with served(tmp_path, audit=path) as server:
        await server.http.get("/v1/domains")
        await server.define("web", "<description>hunter2</description>")
        await server.http.post("/v1/domains/web/start?connection=test:///default")
        await server.http.post("/v1/domains/web/start")
    told = entries(path)
    assert [(each["method"], each["path"], each["status"]) for each in told] == [
        ("POST", "/v1/domains", 201),
        ("POST", "/v1/domains/web/start?connection=test:///default", 200),
        ("POST", "/v1/domains/web/start", 409),
    ]
    assert [each.get("domain") for each in told] == ["web", "web", None]
    assert {each["who"] for each in told} == {"user:root"}
    assert {each["pid"] for each in told} == {os.getpid()}
    assert told[2]["problem"] == "urn:virengine:error:InvalidState"
    assert "hunter2" not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


async def test_who_was_refused_is_written_down(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    async with served(tmp_path, audit=path, access=Everybody("viewer")) as server:
        await server.http.post("/v1/domains/test/destroy")
    [entry] = entries(path)
    assert (entry["status"], entry["role"]) == (403, "viewer")


async def test_what_came_of_an_operation_is_written_down(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    async with served(tmp_path, audit=path) as server:
        await server.define("web")
        for _ in range(2):
            answer = await server.http.post("/v1/domains/web/start", headers=ASYNC)
            async with reading(server, f"{answer.headers['location']}/events") as events:
                while (await events.next())["event"] != "ended":
                    pass
            assert entries(path)[-1]["location"] == answer.headers["location"]
        await server.http.post("/v1/down", json={"domains": ["web"]})
    begun = [each for each in entries(path) if "method" in each][1:]
    assert [each.get("domain") for each in begun] == ["web", "web", None]
    ended = {each["location"]: each for each in entries(path) if "outcome" in each}
    words = ("what", "domain", "outcome", "problem", "who")
    assert [[ended[each["location"]].get(word) for word in words] for each in begun] == [
        ["start", "web", "done", None, "user:root"],
        ["start", "web", "failed", "urn:virengine:error:InvalidState", "user:root"],
        ["down", None, "done", None, "user:root"],
    ]


async def test_a_plan_that_ends_with_the_service_is_written_down(tmp_path: Path) -> None:
    path = tmp_path / "audit.log"
    never = (
        "<metadata><guest xmlns='urn:virengine:test:1' boot='600'/>"
        "<order xmlns='urn:virengine:order:1'><ready gate='agent' timeout='600'/></order></metadata>"
    )
    async with served(tmp_path, audit=path) as server:
        await server.define("web", never)
        answer = await server.http.post("/v1/up", json={"domains": ["web"]}, headers=ASYNC)
        async with reading(server, f"{answer.headers['location']}/events") as events:
            while not (await events.next())["data"]["progress"]["domains"]:
                pass
    [outcome] = [each for each in entries(path) if "outcome" in each]
    assert outcome["location"] == answer.headers["location"]
    assert (outcome["what"], outcome["outcome"], outcome["failed"]) == ("up", "cancelled", ["web"])


async def test_it_does_not_grow_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.server.access.audit._LONGEST", 1000)
    path = tmp_path / "audit.log"
    async with served(tmp_path, audit=path) as server:
        for _ in range(60):
            await server.http.post("/v1/domains/test/reboot")
    files = sorted(file.name for file in tmp_path.glob("audit.log*"))
    assert [name for name in files if name != "audit.log"] == ["audit.log.1", "audit.log.2", "audit.log.3"]
    assert all(len(file.read_bytes()) < 1500 for file in tmp_path.glob("audit.log*"))


async def test_commands_are_carried_out_though_it_can_not_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with served(tmp_path, audit=tmp_path / "nowhere" / "audit.log") as server:
        assert (await server.http.post("/v1/domains/test/destroy")).status_code == 200
    assert "is not written down" in caplog.text
