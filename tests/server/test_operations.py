"""Plans as operations: seen by everybody, followed to their end, cancelled."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import httpx2
import pytest
from support.served import Served
from support.sse import Reader, reading

pytestmark = pytest.mark.anyio

GUEST = "<metadata><guest xmlns='urn:virengine:test:1' {}/>{}</metadata>"
ORDER = "<order:order xmlns:order='urn:virengine:order:1'>{}</order:order>"
STOP = "<order:stop><order:try method='acpi' timeout='60'/></order:stop>"
ASYNC = {"prefer": "respond-async"}


async def define(server: Served) -> None:
    """db, and web that requires it; db ignores its power button until it is destroyed."""
    assert (await server.http.post("/v1/domains/test/destroy")).status_code == 200
    answer = await server.define("db", GUEST.format("ignore='acpi' agent='no'", ORDER.format(STOP)))
    assert answer.status_code == 201, answer.text
    await server.define("web", GUEST.format("agent='no'", ORDER.format("<order:requires domain='db'/>")))


@asynccontextmanager
async def following(server: Served, id: str) -> AsyncIterator[Reader]:
    async with reading(server, f"/v1/operations/{id}/events") as events:
        yield events


async def until(events: Reader, step: str, name: str) -> dict[str, Any]:
    while True:
        found = await events.next()
        rows = {row["name"]: row["step"] for row in found["data"]["progress"]["domains"]}
        if rows.get(name) == step:
            return found["data"]
        assert found["event"] == "progress", found


async def test_a_plan_is_followed_to_its_end(server: Served) -> None:
    await define(server)
    answer = await server.http.post("/v1/up", json={"domains": ["web"]}, headers=ASYNC)
    assert answer.status_code == 202
    async with following(server, answer.json()["id"]) as events:
        while (found := await events.next())["event"] != "ended":
            assert found["event"] == "progress"
    ended = found["data"]
    assert (ended["state"], ended["result"]["ok"]) == ("done", True)
    progress = ended["progress"]
    assert (progress["direction"], progress["done"], progress["failed"], progress["total"]) == ("up", 2, 0, 2)
    assert [(row["name"], row["step"], row["what"]) for row in progress["domains"]] == [
        ("db", "done", "ready"),
        ("web", "done", "ready"),
    ]
    # and once more, for who comes later
    async with following(server, ended["id"]) as events:
        assert (await events.next())["event"] == "ended"


async def test_a_plan_that_somebody_waits_for_is_seen_and_cancelled_by_others(server: Served) -> None:
    await define(server)
    await server.http.post("/v1/up", json={"domains": ["web"]})
    answers: list[httpx2.Response] = []

    async def wait() -> None:
        answers.append(await server.http.post("/v1/down"))

    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            while True:
                [down, *_] = (await server.http.get("/v1/operations")).json()
                if down["what"] == "down":
                    break
            async with following(server, down["id"]) as events:
                told = await until(events, "under way", "db")
                assert {row["name"]: row["step"] for row in told["progress"]["domains"]}["web"] == "done"
                assert told["progress"]["done"] == 1
                await server.http.delete(f"/v1/operations/{down['id']}")
                while (found := await events.next())["event"] != "ended":
                    pass
    assert found["data"]["state"] == "cancelled"
    rows = {row["name"]: (row["step"], row["what"]) for row in found["data"]["progress"]["domains"]}
    assert rows["db"] == ("failed", "interrupted")
    assert answers[0].status_code == 409
    assert answers[0].json()["title"] == "Cancelled"


async def test_two_plans_at_once_are_told_apart(server: Served) -> None:
    """Both go on: neither guest's agent ever answers."""
    for name in ("a", "b"):
        gate = "<order:ready gate='agent' timeout='600'/>"
        answer = await server.define(name, GUEST.format("boot='600'", ORDER.format(gate)))
        assert answer.status_code == 201, answer.text
    ids = [
        (await server.http.post("/v1/up", json={"domains": [name]}, headers=ASYNC)).json()["id"] for name in ("a", "b")
    ]
    for id, name in zip(ids, ("a", "b"), strict=True):
        async with following(server, id) as events:
            told = await until(events, "under way", name)
        assert told["state"] == "running"
        assert [row["name"] for row in told["progress"]["domains"]] == [name]


async def test_whoever_looks_on_is_told_of_every_step(server: Served) -> None:
    await server.http.post("/v1/domains/test/destroy")
    for name in ("a", "b"):
        await server.define(name, GUEST.format("ignore='acpi' agent='no'", ORDER.format(STOP)))
        await server.http.post(f"/v1/domains/{name}/start")
    down = (await server.http.post("/v1/down", headers=ASYNC)).json()
    async with following(server, down["id"]) as events:
        await until(events, "under way", "b")
        await server.http.post("/v1/domains/a/destroy")
        told = await until(events, "done", "a")
        assert (told["state"], told["progress"]["done"], told["progress"]["total"]) == ("running", 1, 2)
        await server.http.post("/v1/domains/b/destroy")
        while (found := await events.next())["event"] != "ended":
            pass
        assert found["data"]["progress"]["done"] == 2


async def test_a_drill_tells_of_each_domain(server: Served) -> None:
    await define(server)
    await server.http.post("/v1/up", json={"domains": ["web"]})
    drill = (await server.http.post("/v1/drill", headers=ASYNC)).json()
    async with following(server, drill["id"]) as events:
        while (found := await events.next())["event"] != "ended":
            pass
    progress = found["data"]["progress"]
    assert (progress["direction"], progress["total"]) == ("drill", 2)
    assert {row["step"] for row in progress["domains"]} <= {"done", "failed"}
    assert progress["done"] + progress["failed"] == 2


async def test_what_a_plan_failed_with_is_answered_as_ever(server: Served) -> None:
    answer = await server.http.post("/v1/up", json={"domains": ["nobody"]})
    assert answer.status_code == 404
    [operation] = (await server.http.get("/v1/operations")).json()
    assert (operation["state"], operation["problem"]["status"]) == ("failed", 404)
