"""A service on another host: by TLS with a token or a certificate, or by TCP; from Python and the command line."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
import trustme
from support.program import PROGRAM
from support.served import DOMAIN
from support.transports import Everywhere, everywhere

from engine.errors import ConfigError, ConnectionBroken, NotAllowed
from engine.events.types import DomainStarted
from engine.server.client import connect
from engine.server.client.doors import door_to

pytestmark = pytest.mark.anyio


def doors(there: Everywhere, folder: Path) -> Iterator[dict[str, Any]]:
    """All ways to get in as an admin."""
    key = folder / "client.key"
    issued = there.certificates.issue("admin")
    key.write_bytes(issued.private_key_pem.bytes())
    chain = folder / "client.pem"
    chain.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    token, ca_file = there.secrets["admin"], folder / "ca.pem"
    yield {"where": there.path, "token": token}
    yield {"where": f"http://127.0.0.1:{there.tcp}", "token": token}
    yield {"where": f"https://127.0.0.1:{there.tls}", "token": token, "ca_file": ca_file}
    yield {"where": f"https://localhost:{there.tls}/", "certificate": (str(chain), str(key)), "ca_file": ca_file}


async def test_all_that_the_engine_can_through_each_door(tmp_path: Path) -> None:
    async with everywhere(tmp_path) as there:
        for number, door in enumerate(doors(there, tmp_path)):
            async with connect(**door) as engine:
                name = f"d{number}"
                domain = await engine.define(DOMAIN.format(name, ""))
                async with engine.subscribe(DomainStarted, domain=name, policy="block") as events:
                    await domain.start()
                    assert (await anext(events)).domain == name
                async with domain.open_console() as console:
                    await console.send(b"echo")
                    assert await console.receive() == b"echo"
                report = await engine.down([name])
                assert report.ok
                assert [event.domain async for page in engine.past(DomainStarted, domain=name) for event in page] == [
                    name
                ]


async def test_who_has_no_proof_is_refused_and_who_is_not_the_service_is_not_believed(tmp_path: Path) -> None:
    async with everywhere(tmp_path) as there:
        tcp, tls = f"http://127.0.0.1:{there.tcp}", f"https://127.0.0.1:{there.tls}"
        for where, options in (
            (tcp, {}),
            (tcp, {"token": "virengine_wrong"}),
            (tls, {"ca_file": tmp_path / "ca.pem"}),
            (tls, {"ca_file": tmp_path / "ca.pem", "token": "virengine_wrong"}),
        ):
            with pytest.raises(NotAllowed, match="token") as caught:
                async with connect(where, **options):
                    pass
            assert "virengine_wrong" not in str(caught.value)
        other = tmp_path / "other.pem"
        trustme.CA().cert_pem.write_to_path(str(other))
        for options in ({}, {"ca_file": other}):
            with pytest.raises(ConnectionBroken, match="certificate verify failed"):
                async with connect(tls, token=there.secrets["admin"], **options):
                    pass
        with pytest.raises(ConnectionBroken, match="does not answer"):
            async with connect(f"https://127.0.0.1:{there.tcp}", token=there.secrets["admin"]):  # which knows no TLS
                pass
    with pytest.raises(ConnectionBroken, match=r"does not answer: .*refused"):
        async with connect(f"http://127.0.0.1:{there.tcp}", token="x"):
            pass


async def test_files_of_another_host_are_named_as_they_are_there(tmp_path: Path) -> None:
    async with (
        everywhere(tmp_path) as there,
        connect(f"http://127.0.0.1:{there.tcp}", token=there.secrets["admin"]) as engine,
    ):
        with pytest.raises(ConfigError, match="say its absolute path"):
            await engine.domain("test").save("here.save")
        with pytest.raises(ConfigError, match="say its absolute path"):
            await engine.restore("here.save")
        await engine.domain("test").save(tmp_path / "there.save")
        assert (tmp_path / "there.save").exists()


@pytest.mark.parametrize(
    ("where", "options", "reason"),
    [
        ("ftp://host", {}, "no address of a service"),
        ("https://", {}, "no address of a service"),
        ("https://host:port", {}, "no address of a service"),
        ("https://host/path", {}, "no address of a service"),
        ("https://me:secret@host", {}, "holds no user and password"),
        ("http://192.0.2.1:8470", {"token": "x"}, "without TLS only"),
        ("https://host", {"ca_file": "/nonexistent"}, "certificates can't be read: /nonexistent"),
        ("https://host", {"certificate": ("/nonexistent", "/none")}, "certificates can't be read: /nonexistent, /none"),
        ("https://host", {"token": "a\r\nb"}, "the token is none"),
        ("/socket", {"token": ""}, "the token is none"),
    ],
)
def test_addresses_that_make_no_sense(where: str, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        door_to(where, **options)
    assert "secret" not in str(caught.value)


async def test_the_command_line_asks_it_too(tmp_path: Path) -> None:
    async with everywhere(tmp_path) as there:
        secret = tmp_path / "token"
        secret.write_text(there.secrets["operator"] + "\n")
        clean = {name: value for name, value in os.environ.items() if not name.startswith("VIRENGINE_")}

        async def run(*words: str, code: int = 0, **env: str) -> str:
            command = [*PROGRAM, "--service", f"https://localhost:{there.tls}", *words]
            env = {**clean, "SSL_CERT_FILE": str(tmp_path / "ca.pem"), "VIRENGINE_TOKEN_FILE": str(secret), **env}
            ended = await anyio.to_thread.run_sync(
                lambda: subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
            )
            assert ended.returncode == code, ended.stderr
            assert there.secrets["operator"] not in ended.stderr
            return ended.stdout + ended.stderr

        assert "test   running" in await run("list")
        assert "suspended" in await run("suspend", "test")
        assert await run("domstate", "test") == "paused\n"
        assert "suspended" in await run("events", "--type", "LifecycleEvent")
        assert "and this is for admins" in await run("undefine", "test", code=1)
        assert "may do nothing here without a token" in await run("list", code=1, VIRENGINE_TOKEN_FILE="")
        assert "there is no such token" in await run("list", code=1, VIRENGINE_TOKEN="virengine_wrong")
        assert "the token can't be read" in await run("list", code=1, VIRENGINE_TOKEN_FILE="/nonexistent")
        assert "certificate verify failed" in await run(
            "list", code=1, SSL_CERT_FILE="/etc/ssl/certs/ca-certificates.crt"
        )
        for words in (["serve"], ["token", "list"], ["install-units"], ["down", "--insist"]):
            assert "it takes no --service" in await run(*words, code=2)
        assert "1 of 1 domain done" in await run("down", "test")
