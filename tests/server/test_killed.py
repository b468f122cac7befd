"""The service is killed again and again while its clients work with it: none of them misses anything."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from support.program import PROGRAM

from engine.errors import EngineError
from engine.events.types import Event, Gap
from engine.server.client import connect

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(900)]

#: ``VIRENGINE_KILLS=50`` for a thorough look.
KILLS = int(os.environ.get("VIRENGINE_KILLS", "3"))
READERS, WORKERS = 4, 4
DOMAIN = "<domain type='test'><name>d{}</name><memory>1024</memory><os><type>hvm</type></os></domain>"


class Victim:
    """The service, which is there again a moment after it was killed."""

    def __init__(self, folder: Path, backend: str) -> None:
        self.state = folder / "state"
        self.socket = self.state / "api.sock"
        self._env = {**os.environ, "VIRENGINE_BACKEND": backend}
        self._process: subprocess.Popen[str] | None = None

    async def start(self) -> None:
        options = ("--uri", "test:///default", "--state-dir", str(self.state), "serve")
        self._process = subprocess.Popen([*PROGRAM, *options], stdout=subprocess.PIPE, text=True, env=self._env)
        assert self._process.stdout is not None
        line = await anyio.to_thread.run_sync(self._process.stdout.readline)
        assert line.startswith("Listening at ")

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await anyio.to_thread.run_sync(self._process.wait)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.asynccontextmanager
async def victim(folder: Path, backend: str) -> AsyncIterator[Victim]:
    found = Victim(folder, backend)
    await found.start()
    try:
        yield found
    finally:
        with anyio.CancelScope(shield=True):
            await found.kill()


async def test_no_client_misses_what_happened(tmp_path: Path, anyio_backend_name: str) -> None:
    async with victim(tmp_path, anyio_backend_name) as service:
        async with connect(service.socket) as engine:
            for number in range(WORKERS):
                await engine.define(DOMAIN.format(number))
        histories: list[list[Event]] = [[] for _ in range(READERS)]
        done = 0

        async def read(history: list[Event], *, task_status: Any) -> None:
            async with connect(service.socket) as engine, engine.subscribe(policy="block", lasting=True) as events:
                task_status.started()
                async for event in events:
                    history.append(event)

        async def work(number: int) -> None:
            nonlocal done
            while True:
                with contextlib.suppress(EngineError):  # the service is away, or came back in the midst of it
                    async with connect(service.socket) as engine:
                        domain = engine.domain(f"d{number}")
                        while True:
                            await (domain.destroy() if domain.active else domain.start())
                            done += 1
                await anyio.lowlevel.checkpoint()

        async with anyio.create_task_group() as readers:
            for history in histories:
                await readers.start(read, history)
            for _ in range(KILLS):
                async with anyio.create_task_group() as workers:
                    for number in range(WORKERS):
                        workers.start_soon(work, number)
                    wanted = done + 25
                    with anyio.fail_after(60):
                        while done < wanted:
                            await anyio.lowlevel.checkpoint()
                    await service.kill()
                    workers.cancel_scope.cancel()
                await service.start()
            async with connect(service.socket) as engine:
                kept = [(event.epoch, event.sequence) async for page in engine.past() for event in page]
            with anyio.fail_after(30):
                while not all(history and history[-1].sequence >= kept[-1][1] for history in histories):
                    await anyio.lowlevel.checkpoint()
            readers.cancel_scope.cancel()
    for history in histories:
        assert not [event for event in history if isinstance(event, Gap)]
        told = [(event.epoch, event.sequence) for event in history]
        assert told == kept[kept.index(told[0]) :][: len(told)]
        assert [number for _, number in told] == list(range(told[0][1], told[0][1] + len(told)))
    assert len(histories[0]) > 25 * KILLS
