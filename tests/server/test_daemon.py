"""The service as a program, as far as it takes no process of its own; else see ``tests/cli/test_serve.py``."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
import msgspec
import pytest

from engine import Engine
from engine.server.daemon import Daemon
from engine.server.settings import Settings


@asynccontextmanager
async def running(folder: Path, runtime: Path | None, settings: list[Settings]) -> AsyncIterator[list[str]]:
    """What it says. ``settings``: the first holds; when it is asked to read them again, the next."""
    state = folder / "state"
    engine = Engine("test:///default", state_dir=state, runtime_dir=runtime, systemd=False, on_close="leave")
    socket, listening = (runtime or state) / "api.sock", anyio.Event()
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        listening.set()

    daemon = Daemon(lambda: settings.pop(0), state_dir=state, socket=socket, say=say)
    async with engine, anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run, engine)
        await listening.wait()
        yield said
        tasks.cancel_scope.cancel()


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


async def test_others_come_to_the_socket_once_one_of_them_has_a_role(tmp_path: Path) -> None:
    run = tmp_path / "run"
    nobody_else = Settings().with_more()
    some = Settings().with_more(viewer=["user:nobody"])
    async with running(tmp_path, run, [_without_polkit(nobody_else), _without_polkit(some)]):
        assert (mode(run), mode(run / "api.sock")) == (0o700, 0o600)
        async with client(run / "api.sock") as http:
            os.kill(os.getpid(), signal.SIGHUP)
            while mode(run / "api.sock") != 0o666:
                await http.get("/healthz")
        assert mode(run) == 0o711
        assert all(mode(each) == 0o700 for each in run.iterdir() if each.is_dir())


async def test_a_port_that_the_system_chooses_is_told(tmp_path: Path) -> None:
    async with running(tmp_path, None, [_without_polkit(Settings().with_more(listen=["tcp:127.0.0.1:0"]))]) as said:
        [line] = said
        port = int(line.rpartition("tcp:127.0.0.1:")[2])
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}") as http:
            assert (await http.get("/healthz")).status_code == 200


async def test_where_they_can_not_come_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with running(tmp_path, None, [_without_polkit(Settings().with_more(viewer=["user:nobody"]))]):
            pass
    assert [record.getMessage() for record in caplog.records if "others can't come there" in record.getMessage()]
    assert mode(tmp_path / "state") == 0o700


async def test_a_socket_that_somebody_has_removed_ends_no_service(tmp_path: Path) -> None:
    some = _without_polkit(Settings().with_more(viewer=["user:nobody"]))
    run, other = tmp_path / "run", tmp_path / "other.sock"
    settings = [some.with_more(listen=[f"unix:{other}"])] * 3
    async with running(tmp_path, run, settings):
        (run / "api.sock").unlink()
        os.kill(os.getpid(), signal.SIGHUP)
        async with client(other) as http:
            while len(settings) == 2:
                assert (await http.get("/healthz")).status_code == 200
            assert (await http.get("/healthz")).status_code == 200


def client(path: Path) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(transport=httpx2.AsyncHTTPTransport(uds=str(path)), base_url="http://virengine")


def _without_polkit(settings: Settings) -> Settings:
    return msgspec.structs.replace(settings, access=msgspec.structs.replace(settings.access, polkit=False))
