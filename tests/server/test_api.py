"""The API as its clients see it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import anyio
import msgspec
import pytest
from support.served import DOMAIN, Everybody, Served, served

from engine.lifecycle import State
from engine.server.api.openapi import describe
from engine.server.api.table import ROUTES
from engine.server.limits import ServerLimits

pytestmark = pytest.mark.anyio


async def test_a_domain_from_its_document_to_its_end(server: Served) -> None:
    http = server.http
    defined = await server.define("web")
    assert defined.status_code == 201
    facts = defined.json()
    assert (facts["name"], facts["state"]) == ("web", "shut off")
    assert defined.headers["location"] == f"/v1/domains/{facts['uuid']}"
    assert [each["name"] for each in (await http.get("/v1/domains")).json()] == ["web", "test"][::-1]
    for command, state in (("start", "running"), ("suspend", "paused"), ("resume", "running"), ("destroy", "shut off")):
        answer = await http.post(f"/v1/domains/web/{command}")
        assert (answer.status_code, answer.json()["state"]) == (200, state)
    assert (await http.post("/v1/domains/web/start", json={"paused": True})).json()["state"] == "paused"
    await http.post("/v1/domains/web/destroy")
    assert (await http.delete("/v1/domains/web")).status_code == 204
    assert (await http.get("/v1/domains/web")).status_code == 404


async def test_a_domain_as_xml(server: Served) -> None:
    await server.define("web", "<description>x</description>")
    answer = await server.http.get("/v1/domains/web", headers={"accept": "application/xml"})
    assert answer.headers["content-type"] == "application/xml"
    assert "<description>x</description>" in answer.text


async def test_errors_are_problem_documents_with_facts(server: Served) -> None:
    answer = await server.http.post("/v1/domains/test/start")
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "urn:virengine:error:InvalidState"
    assert problem["facts"]["state"] == "running"
    assert "shutdown" in problem["facts"]["allowed"]
    assert "can't start it" in problem["detail"]


async def test_what_can_not_be_is_no_failure_of_the_server(server: Served, tmp_path: Path) -> None:
    post = server.http.post
    (tmp_path / "folder").mkdir()
    refused = {
        "nowhere": await post("/v1/domains/test/save", json={"path": f"{tmp_path}/none/file"}),
        "a folder": await post("/v1/domains/test/save", json={"path": f"{tmp_path}/folder"}),
        "agent": await post("/v1/domains/test/agent", json={"command": "guest-nonsense"}),
        "console": await server.http.get("/v1/domains/test/screenshot?connection=test:///other"),
    }
    assert (await server.http.delete("/v1/domains/test")).status_code == 204  # it goes on as a transient one
    refused["transient"] = await post("/v1/domains/test/set-autostart", json={})
    refused["saved"] = await post("/v1/domains/test/managed-save", json={})
    assert (await server.define("web")).status_code == 201
    refused["ready"] = await server.http.get("/v1/domains/web/wait?until=ready")
    assert {name: answer.status_code for name, answer in refused.items()} == {
        "nowhere": 400,
        "a folder": 400,
        "agent": 409,
        "console": 404,
        "transient": 409,
        "saved": 409,
        "ready": 409,
    }
    assert refused["nowhere"].json()["detail"] == f"{tmp_path}/none/file: no such file or directory"


async def test_all_that_is_wrong_with_a_document_is_told(server: Served) -> None:
    answer = await server.define("web", "<clok/><vcpu>none</vcpu>")
    assert answer.status_code == 422
    assert [each["xpath"] for each in answer.json()["problems"]] == ["/domain/clok", "/domain/vcpu"]
    content = "<domain type='test'><name>web</name><memory>1024</memory><clok/></domain>"
    xml = {"content-type": "application/xml"}
    assert (await server.http.post("/v1/domains?validate=false", content=content, headers=xml)).status_code == 201


@pytest.mark.parametrize(
    ("method", "path", "options", "status"),
    [
        ("GET", "/nowhere", {}, 404),
        ("GET", "/v1/domains/", {}, 404),
        ("PUT", "/v1/domains", {}, 405),
        ("GET", "/v1/domains?limit=0", {}, 400),
        ("GET", "/v1/domains?limit=x", {}, 400),
        ("GET", "/v1/domains?lmit=5", {}, 400),
        ("GET", "/v1/domains?limit=5&limit=6", {}, 400),
        ("GET", "/v1/domains?connection=nowhere:///", {}, 404),
        ("POST", "/v1/domains", {"content": b"<domain"}, 415),
        ("POST", "/v1/domains", {"content": b"<domain", "headers": {"content-type": "text/xml"}}, 400),
        ("POST", "/v1/domains/test/fly", {}, 404),
        ("POST", "/v1/domains/test/save", {"json": {}}, 400),
        ("POST", "/v1/domains/test/save", {"json": {"path": "here"}}, 400),
        ("POST", "/v1/restore", {"json": {"path": ""}}, 400),
        ("POST", "/v1/domains/test/start", {"json": {"pausd": True}}, 400),
        ("GET", "/v1/domains?connection=", {}, 400),
        ("POST", "/v1/domains/test/reboot", {"json": {"method": "shout"}}, 400),
        ("POST", "/v1/domains/test/reboot", {"content": b"{", "headers": {"content-type": "application/json"}}, 400),
        ("POST", "/v1/domains/test/reboot", {"content": b"a=b"}, 415),
        ("POST", "/v1/domains/nobody/start", {}, 404),
        ("GET", "/v1/plan/sideways", {}, 404),
        ("POST", "/v1/down", {"json": {"deadline": 0}}, 400),
        ("POST", "/v1/up", {"json": {"domains": ["nobody"]}}, 404),
        ("GET", "/v1/events?type=Nonsense", {}, 400),
        ("GET", "/v1/events?bound=0", {}, 400),
        ("GET", "/v1/events?since=x", {}, 400),
        ("GET", "/v1/events?since=999999", {}, 410),
        ("GET", "/v1/operations/x", {}, 404),
    ],
)
async def test_what_makes_no_sense_is_refused(
    server: Served, method: str, path: str, options: dict[str, Any], status: int
) -> None:
    answer = await server.http.request(method, path, **options)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["detail"]


async def test_domains_page_by_page(server: Served) -> None:
    for number in range(7):
        await server.define(f"web{number}")
    names, path = [], "/v1/domains?limit=3"
    while path:
        answer = await server.http.get(path)
        names += [each["name"] for each in answer.json()]
        link = answer.headers.get("link", "")
        path = f"/v1/domains{link.partition('>')[0].removeprefix('<')}" if link else ""
    assert names == ["test", *(f"web{number}" for number in range(7))]
    active = (await server.http.get("/v1/domains?active=true")).json()
    assert [each["name"] for each in active] == ["test"]


async def test_nobody_overwrites_what_he_has_not_seen(server: Served) -> None:
    first = await server.define("web", **{"if-none-match": "*"})
    assert first.status_code == 201
    assert (await server.define("web", **{"if-none-match": "*"})).status_code == 412
    uuid = f"<uuid>{first.json()['uuid']}</uuid>"
    changed = await server.define("web", uuid + "<title>a</title>", **{"if-match": first.headers["etag"]})
    assert changed.status_code == 201
    stale = await server.define("web", uuid + "<title>b</title>", **{"if-match": first.headers["etag"]})
    assert stale.status_code == 412
    assert (await server.http.get("/v1/domains/web")).headers["etag"] == changed.headers["etag"]
    refused = await server.http.delete("/v1/domains/web", headers={"if-match": first.headers["etag"]})
    assert refused.status_code == 412
    tag = {"if-match": changed.headers["etag"]}
    assert (await server.http.delete("/v1/domains/web", headers=tag)).status_code == 204


async def test_a_command_that_nobody_waits_for(server: Served) -> None:
    await server.define("web")
    answer = await server.http.post("/v1/domains/web/start", headers={"prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"
    operation = await ended(server, answer.headers["location"])
    assert (operation["state"], operation["result"]["state"], operation["domain"]) == ("done", "running", "web")
    again = await server.http.post("/v1/domains/web/start", headers={"prefer": "respond-async"})
    operation = await ended(server, again.headers["location"])
    assert (operation["state"], operation["problem"]["type"]) == ("failed", "urn:virengine:error:InvalidState")
    assert [each["what"] for each in (await server.http.get("/v1/operations")).json()] == ["start", "start"]


async def ended(server: Served, location: str) -> dict[str, Any]:
    with anyio.fail_after(5):
        while (operation := (await server.http.get(location)).json())["state"] == "running":
            await anyio.lowlevel.checkpoint()
    return dict(operation)


async def test_an_operation_is_cancelled(server: Served) -> None:
    """What waits for a gate that takes long; the guest is left as it is."""
    gate = "<o:order xmlns:o='urn:virengine:order:1'><o:ready gate='delay' seconds='600'/></o:order>"
    await server.define("web", f"<metadata>{gate}</metadata>")
    begun = await server.http.post("/v1/domains/web/start", json={"ready": True}, headers={"prefer": "respond-async"})
    location = begun.headers["location"]
    await server.engine.domain("web").wait_for(State.RUNNING)
    assert (await server.http.get(location)).json()["state"] == "running"
    assert (await server.http.delete(location)).status_code == 202
    assert (await ended(server, location))["state"] == "cancelled"
    assert server.engine.domain("web").state is State.RUNNING


async def test_the_order_is_planned_and_carried_out(server: Served) -> None:
    order = "<metadata><o:order xmlns:o='urn:virengine:order:1'><o:requires domain='db'/></o:order></metadata>"
    await server.define("db")
    await server.define("web", order)
    report = (await server.http.post("/v1/up", json={"domains": ["web"]})).json()
    assert {each["name"] for each in report["entries"]} == {"db", "web"}
    plan = (await server.http.get("/v1/plan/down")).json()
    assert [step["name"] for step in plan["steps"]].index("web") < [s["name"] for s in plan["steps"]].index("db")
    picture = await server.http.get("/v1/plan/down?domain=db", headers={"accept": "image/svg+xml"})
    assert picture.text.startswith("<svg")
    assert (await server.http.post("/v1/drill")).json()["ok"] is True
    assert (await server.http.post("/v1/down")).json()["ok"] is True
    assert not [domain for domain in server.engine.domains() if domain.active]


async def test_the_server_tells_of_itself(server: Served) -> None:
    assert (await server.http.get("/healthz")).json() == {"status": "ok"}
    [connection] = (await server.http.get("/v1/connections")).json()
    assert connection == {"uri": "test:///default", "domain_types": ["test"], "domains": 1, "active": 1}
    figures = (await server.http.get("/metrics")).text
    assert 'virengine_domains{connection="test:///default",state="running"} 1\n' in figures


async def test_the_description_is_of_every_route(server: Served) -> None:
    told = (await server.http.get("/v1/openapi.json")).json()
    assert told == json.loads(msgspec.json.encode(describe(ROUTES)))
    assert {(path, method) for path, methods in told["paths"].items() for method in methods} == {
        (route.path, route.method.lower()) for route in ROUTES
    }


async def test_a_body_has_its_bounds(tmp_path: Path) -> None:
    async with served(tmp_path, limits=ServerLimits(body_bytes=1000, body_seconds=0.1)) as server:
        assert (await server.define("web", "x" * 1000)).status_code == 413
        async with await anyio.connect_unix(server.path) as stream:
            head = b"POST /v1/domains HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: 100\r\n\r\n<"
            await stream.send(head)
            with anyio.fail_after(5):
                assert (await stream.receive()).startswith(b"HTTP/1.1 408")


async def test_a_command_that_is_sent_again_is_carried_out_once(server: Served) -> None:
    await server.define("web")
    key = {"idempotency-key": "a"}
    first = await server.http.post("/v1/domains/web/start", headers=key)
    again = await server.http.post("/v1/domains/web/start", headers=key)
    assert (again.status_code, again.json()) == (first.status_code, first.json()) == (200, first.json())
    other = await server.http.post("/v1/domains/web/start", headers={"idempotency-key": "b"})
    refused = await server.http.post("/v1/domains/web/start", headers={"idempotency-key": "b"})
    assert (other.status_code, refused.status_code, refused.json()) == (409, 409, other.json())
    assert (await server.http.post("/v1/domains/web/destroy", headers=key)).status_code == 422
    assert (
        await server.http.post("/v1/domains/web/destroy", headers={"idempotency-key": "x" * 256})
    ).status_code == 400


async def test_a_command_that_is_sent_again_while_it_goes_on_is_waited_for(server: Served) -> None:
    await server.define("web")
    await server.http.post("/v1/domains/web/start")
    answers = []

    async def ask() -> None:
        key = {"idempotency-key": "a"}
        answers.append(await server.http.post("/v1/domains/web/shutdown", json={"stopped": True}, headers=key))

    async with anyio.create_task_group() as tasks:
        for _ in range(5):
            tasks.start_soon(ask)
    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["state"] for answer in answers} == {"shut off"}


async def test_who_may_write_files_of_the_host(tmp_path: Path) -> None:
    """The service may be root."""
    async with served(tmp_path, access=Everybody("operator")) as server:
        path = str(tmp_path / "web.save")
        assert (await server.http.post("/v1/domains/test/save", json={"path": path})).status_code == 403
        assert (await server.http.post("/v1/restore", json={"path": path})).status_code == 403
        assert (await server.http.post("/v1/domains/test/reboot")).status_code == 200


@pytest.mark.parametrize("role", ["viewer", "operator"])
async def test_who_only_looks_sees_no_passwords(role: Any, tmp_path: Path) -> None:
    async with served(tmp_path, access=Everybody(role)) as server:
        graphics = "<devices><graphics type='vnc' passwd='hunter2'/></devices>"
        await server.engine.define(DOMAIN.format("web", graphics))
        text = (await server.http.get("/v1/domains/web", headers={"accept": "application/xml"})).text
        assert ("hunter2" in text) is (role != "viewer")
        assert "<graphics" in text


async def test_two_hundred_commands_at_once(server: Served) -> None:
    """None is lost, and each is answered with what became of it."""
    for number in range(100):
        await server.engine.define(DOMAIN.format(f"web{number}", ""))
    states: dict[str, list[str]] = {}

    async def life(name: str) -> None:
        for command in ("start", "suspend"):
            answer = await server.http.post(f"/v1/domains/{name}/{command}")
            states.setdefault(name, []).append(answer.json()["state"])

    async with anyio.create_task_group() as tasks:
        for number in range(100):
            tasks.start_soon(life, f"web{number}")
    assert len(states) == 100
    assert {tuple(each) for each in states.values()} == {("running", "paused")}
