"""What systemd is told of a service."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from engine.core import Engine
from engine.server.supervision import supervised
from engine.systemd.notify import Notifier

DOMAIN = "<domain type='test'><name>{}</name><memory>1024</memory><os><type>hvm</type></os></domain>"


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
        sock.bind(str(tmp_path / "notify"))
        yield sock


async def heard(systemd: socket.socket) -> str:
    await anyio.wait_readable(systemd)
    return systemd.recv(4096).decode()


async def test_it_is_told_when_it_is_up_how_many_run_and_when_it_ends(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname()})
    async with Engine("test:///default") as engine:  # with a domain of its own, that runs
        web, db = [await engine.define(DOMAIN.format(name)) for name in ("web", "db")]
        await web.start()
        with anyio.fail_after(20):
            async with supervised(engine, notifier):
                assert await heard(systemd) == "READY=1\nSTATUS=3 domains, 2 running"
                await db.start()
                assert await heard(systemd) == "STATUS=3 domains, 3 running"
                await web.destroy()
                await db.destroy()
                while await heard(systemd) != "STATUS=3 domains, 1 running":
                    pass
            assert (await heard(systemd)).startswith("STOPPING=1")


async def test_its_heart_beats_in_its_loop(systemd: socket.socket) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": systemd.getsockname(), "WATCHDOG_USEC": "40000"})
    async with Engine("test:///default") as engine, supervised(engine, notifier):
        with anyio.fail_after(20):
            assert [(await heard(systemd)).partition("\n")[0] for _ in range(4)] == ["READY=1", *3 * ["WATCHDOG=1"]]
