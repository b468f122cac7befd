"""Who may do what: every route, for every role, however it comes there."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from support.served import DOMAIN
from support.transports import TRANSPORTS, connect_as, everywhere

from engine.errors import NotAllowed
from engine.server.access.peers import ROLES
from engine.server.api.table import ROUTES
from engine.server.client import connect
from engine.util.unix import UnixStream

pytestmark = pytest.mark.anyio

RANKS = [None, *ROLES]
#: What stands for the parts of a path.
ASKED = {
    "{domain}": "test",
    "{command}": "start",
    "{direction}": "down",
    "{operation}": "x",
    "{name}": "x",
    "{webhook}": "x",
}


def asked(path: str) -> str:
    for part, value in ASKED.items():
        path = path.replace(part, value)
    assert "{" not in path, f"{path}: there is no row for that in ASKED"
    return path


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_who_may_do_what(transport: str, tmp_path: Path) -> None:
    async with everywhere(tmp_path) as server:
        for role in RANKS:
            for route in ROUTES:
                status = await server.status(transport, role, route.method, asked(route.path))  # type: ignore[arg-type]
                refused = status in (401, 403)
                wanted = RANKS.index(role) < RANKS.index(route.role)
                assert refused is wanted, f"{role}: {route.method} {route.path}: {status}"


async def test_nobody_else_is_let_in_by_a_certificate(tmp_path: Path) -> None:
    """One that another authority has made, and none at all."""
    (tmp_path / "other").mkdir()
    async with everywhere(tmp_path / "other") as other, everywhere(tmp_path) as server:
        stranger = other.certificates.client("admin")
        stranger.load_verify_locations(tmp_path / "ca.pem")
        with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream, OSError)):
            async with await anyio.connect_tcp(
                "127.0.0.1", server.tls, ssl_context=stranger, tls_hostname="localhost"
            ) as stream:
                await stream.send(b"GET /v1/domains HTTP/1.1\r\nHost: localhost\r\n\r\n")
                await stream.receive()
        async with httpx2.AsyncClient(verify=server.certificates.client(None)) as http:
            assert (await http.get(f"https://localhost:{server.tls}/v1/domains")).status_code == 401
        # a plain request at TLS, and half a handshake, hold up nobody
        async with await anyio.connect_tcp("127.0.0.1", server.tls) as stream:
            await stream.send(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises((anyio.BrokenResourceError, anyio.EndOfStream)):
                while True:
                    await stream.receive()
        assert await server.status("tls+token", "viewer", "GET", "/v1/domains") == 200


async def test_http_2_over_tls(tmp_path: Path) -> None:
    async with everywhere(tmp_path) as server:
        headers = {"authorization": f"Bearer {server.secrets['admin']}"}
        async with httpx2.AsyncClient(verify=server.certificates.client(None), http2=True, headers=headers) as http:
            answer = await http.get(f"https://localhost:{server.tls}/v1/domains")
            assert (answer.http_version, answer.status_code) == ("HTTP/2", 200)


async def test_a_token_that_expired_or_is_gone_is_none(tmp_path: Path) -> None:
    async with everywhere(tmp_path) as server:
        old = server.tokens.add("old", "admin", expires=time.time() - 1)
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.tcp}") as http:

            async def ask(secret: str) -> httpx2.Response:
                return await http.get("/v1/domains", headers={"authorization": f"Bearer {secret}"})

            answer = await ask(old)
            assert answer.status_code == 401
            assert answer.json()["detail"] == "this token has expired"
            assert answer.headers["www-authenticate"].startswith("Bearer")
            assert (await ask(server.secrets["viewer"])).status_code == 200
            server.tokens.remove("viewer")
            assert (await ask(server.secrets["viewer"])).status_code == 401
            server.tokens.path.write_text("{")
            assert (await ask(server.secrets["admin"])).status_code == 401
            basic = await http.get("/v1/domains", headers={"authorization": "Basic eDp5"})
            assert basic.status_code == 401


async def test_streams_end_when_the_token_is_taken_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of events, and of a plan that somebody waits for, which goes on."""
    monkeypatch.setattr("engine.server.api.streams.HEARTBEAT", 0.05)
    never = (
        "<metadata><guest xmlns='urn:virengine:test:1' boot='600'/>"
        "<order xmlns='urn:virengine:order:1'><ready gate='agent' timeout='600'/></order></metadata>"
    )
    async with everywhere(tmp_path) as server:
        await server.engine.define(DOMAIN.format("web", never))
        async with connect(f"http://127.0.0.1:{server.tcp}", token=server.secrets["operator"]) as engine:

            async def listen() -> None:
                with pytest.raises(NotAllowed, match="may not listen any more"):
                    async with engine.subscribe() as events:
                        async for _ in events:
                            pass

            async def up() -> None:
                with pytest.raises(NotAllowed, match="may not listen any more"):
                    await engine.up(["web"])

            admin = {"authorization": f"Bearer {server.secrets['admin']}"}
            with anyio.fail_after(10):
                async with (
                    httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.tcp}", headers=admin) as http,
                    anyio.create_task_group() as tasks,
                ):
                    tasks.start_soon(listen)
                    tasks.start_soon(up)
                    while "virengine_event_streams 2\n" not in (await http.get("/metrics")).text:
                        pass
                    server.tokens.remove("operator")
            assert server.engine.domain("web").active


async def test_a_token_for_some_domains(tmp_path: Path) -> None:
    async with everywhere(tmp_path) as server:
        for name in ("ci-1", "ci-2", "db"):
            await server.engine.define(DOMAIN.format(name, ""))
        secret = server.tokens.add("ci", "admin", domains=["ci-*"])
        options: dict[str, Any] = {"headers": {"authorization": f"Bearer {secret}"}, "timeout": 10}
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{server.tcp}", **options) as http:
            assert [each["name"] for each in (await http.get("/v1/domains")).json()] == ["ci-1", "ci-2"]
            assert (await http.post("/v1/domains/ci-1/start")).status_code == 200
            for method, path in (("GET", "/v1/domains/db"), ("POST", "/v1/domains/db/start")):
                assert (await http.request(method, path)).status_code == 404
            xml = {"content-type": "application/xml"}
            for name, status in (("ci-3", 201), ("db2", 403)):
                answer = await http.post("/v1/domains", content=DOMAIN.format(name, ""), headers=xml)
                assert answer.status_code == status
            prefer = {"prefer": "respond-async"}
            begun = await http.post("/v1/domains/ci-2/start", headers=prefer)
            admin = {"authorization": f"Bearer {server.secrets['admin']}"}
            other = await http.post("/v1/domains/db/start", headers={**prefer, **admin})
            assert (await http.get(begun.headers["location"])).status_code == 200
            assert (await http.get(other.headers["location"])).status_code == 404
            assert (await http.delete(other.headers["location"])).status_code == 404
            assert [each["domain"] for each in (await http.get("/v1/operations")).json()] == ["ci-2"]
            for route in ROUTES:
                if not route.for_some:
                    assert (await http.request(route.method, asked(route.path))).status_code == 403
            for word in ("db", "*", "[cd]*"):
                assert (await http.get("/v1/events", params={"domain": word})).status_code == 403
        async with await anyio.connect_tcp("127.0.0.1", server.tcp) as stream:
            lines = ("GET /v1/events?snapshot=true HTTP/1.0", "Host: localhost", f"Authorization: Bearer {secret}")
            await stream.send("\r\n".join([*lines, "", ""]).encode())
            told = b""
            while b"snapshot.complete" not in told.lower():
                told += await stream.receive()
        assert b"ci-1" in told
        assert b'"db"' not in told


async def test_a_browser_keeps_its_token_in_a_cookie(tmp_path: Path) -> None:
    async with everywhere(tmp_path) as server:
        verify, base = server.certificates.client(None), f"https://localhost:{server.tls}"
        async with httpx2.AsyncClient(verify=verify, timeout=10) as http:
            assert (await http.get(f"{base}/v1/session")).json()["role"] is None
            assert (await http.post(f"{base}/v1/session", json={"token": "x"})).status_code == 401
            assert (await http.post(f"{base}/v1/session")).status_code == 400
            answer = await http.post(f"{base}/v1/session", json={"token": server.secrets["operator"]})
            assert answer.status_code == 204
            assert {"HttpOnly", "SameSite=Strict", "Secure", "Path=/"} <= set(answer.headers["set-cookie"].split("; "))
            session = (await http.get(f"{base}/v1/session")).json()
            assert (session["name"], session["role"]) == ("token:operator", "operator")
            assert (await http.get(f"{base}/v1/domains")).status_code == 200
            # a page of another origin of the same site brings the cookie, too
            other = {"origin": "https://localhost:1"}
            assert (await http.post(f"{base}/v1/domains/test/reboot", headers=other)).status_code == 403
            server.tokens.remove("operator")
            assert (await http.get(f"{base}/v1/domains")).status_code == 401
            answer = await http.post(f"{base}/v1/session", json={"token": server.secrets["viewer"]})
            assert answer.status_code == 204
            assert (await http.delete(f"{base}/v1/session")).status_code == 204
            assert (await http.get(f"{base}/v1/domains")).status_code == 401


async def test_browsers_that_come_through_a_tunnel_to_the_socket(tmp_path: Path) -> None:
    """``ssh -L`` to the UNIX socket: a page of somebody else's must not use it, whatever its name says it is."""
    async with everywhere(tmp_path) as server:

        async def ask(*headers: str) -> int:
            async with UnixStream(connect_as(0, server.path)) as stream:
                await stream.send("\r\n".join(["GET /v1/domains HTTP/1.1", *headers, "", ""]).encode())
                return int((await stream.receive()).split()[1])

        assert await ask("Host: localhost:8080") == 200
        assert await ask("Host: virengine") == 200
        assert await ask("Host: localhost:8080", "Origin: http://localhost:8080") == 200
        assert await ask("Host: localhost:8080", "Origin: http://evil.example") == 403
        assert await ask("Host: evil.example:8080", "Origin: http://evil.example:8080") == 403
        assert await ask("Host: evil.example:8080") == 403
