"""A service that is killed while it tells: what it had not told is told by the next."""

from __future__ import annotations

import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import anyio
import httpx2
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from support.receiver import SECRET, Receiver, receiving
from support.served import DOMAIN

pytestmark = pytest.mark.anyio
KILLS, ROUNDS = 3, 15


@asynccontextmanager
async def service(folder: Path, backend: str) -> AsyncIterator[tuple[Process, httpx2.AsyncClient]]:
    options = ("--uri", f"test://{folder}/node.xml", "--state-dir", str(folder / "state"), "--backend", backend)
    command = [sys.executable, "-m", "engine", *options, "serve", "--config", str(folder / "virengine.toml")]
    async with await anyio.open_process(command, stderr=None) as process:
        try:
            assert process.stdout is not None
            await BufferedByteReceiveStream(process.stdout).receive_until(b"\n", 4096)
            transport = httpx2.AsyncHTTPTransport(uds=str(folder / "state" / "api.sock"))
            async with httpx2.AsyncClient(transport=transport, base_url="http://engine", timeout=10) as http:
                yield process, http
        finally:
            with suppress(ProcessLookupError):
                process.kill()


def configure(folder: Path, receiver: Receiver) -> None:
    (folder / "node.xml").write_text("<node/>")
    (folder / "secret").write_bytes(SECRET)
    (folder / "secret").chmod(0o600)
    (folder / "virengine.toml").write_text(
        f"[[webhook]]\nname = 'hook'\nurl = '{receiver.url}'\nsecret-file = '{folder}/secret'\n"
        "type = ['LifecycleEvent']\n"
    )


async def test_another_receiver_takes_a_signal_and_no_restart(tmp_path: Path, anyio_backend_name: str) -> None:
    async with receiving() as first, receiving() as second:
        configure(tmp_path, first)
        async with service(tmp_path, anyio_backend_name) as (process, http):
            xml = {"content-type": "application/xml"}
            await http.post("/v1/domains", content=DOMAIN.format("web", ""), headers=xml)
            await first.until(lambda: len(first.taken) == 1)
            configure(tmp_path, second)
            process.send_signal(signal.SIGHUP)
            there = second.url.partition("/hook")[0]
            while [each["receiver"] for each in (await http.get("/v1/webhooks")).json()] != [there]:
                pass
            await http.post("/v1/domains/web/start")
            await second.until(lambda: len(second.taken) == 1)
    assert [request.told for request in (*first.taken, *second.taken)] == [("web", "defined"), ("web", "started")]


async def test_nothing_is_lost(tmp_path: Path, anyio_backend_name: str) -> None:
    async with receiving() as receiver:
        configure(tmp_path, receiver)
        done: list[str] = []
        for number in range(KILLS):
            async with service(tmp_path, anyio_backend_name) as (process, http):
                if not number:
                    xml = {"content-type": "application/xml"}
                    await http.post("/v1/domains", content=DOMAIN.format("web", ""), headers=xml)
                    done.append("defined")
                for _ in range(ROUNDS):
                    await http.post("/v1/domains/web/start")
                    await http.post("/v1/domains/web/destroy")
                    done += ["started", "stopped"]
                # an event that is not on disk yet is none: nobody was told of it
                while "virengine_journal_unwritten 0\n" not in (await http.get("/metrics")).text:
                    pass
                process.send_signal(signal.SIGKILL)
                await process.wait()
        async with service(tmp_path, anyio_backend_name) as (_, http):
            # what was told twice has the number that it had before
            await receiver.until(
                lambda: len({request.headers["webhook-id"] for request in receiver.taken}) >= len(done)
            )
            [state] = (await http.get("/v1/webhooks")).json()
    assert state["gaps"] == 0
    first = {request.headers["webhook-id"]: request for request in reversed(receiver.taken)}
    in_order = sorted(first.values(), key=lambda request: request.event["sequence"])
    assert [request.told[1] for request in in_order] == done
