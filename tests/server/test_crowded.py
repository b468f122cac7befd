"""Many at once: none is lost, and none waits for all the others."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import anyio
import pytest
from support.served import DOMAIN, served

from engine.events.types import DomainStarted
from engine.server.limits import ServerLimits

pytestmark = pytest.mark.anyio

CLIENTS, EACH = 200, 5
LIMITS = ServerLimits(connections_each=1024)


async def test_200_commands_at_once_for_as_many_domains_and_then_for_one(tmp_path: Path) -> None:
    async with served(tmp_path, limits=LIMITS) as server:
        names = [f"d{number}" for number in range(CLIENTS)]
        for name in names:
            await server.engine.define(DOMAIN.format(name, ""))
        await server.engine.domain("test").destroy()
        async with server.engine.subscribe(DomainStarted, policy="block") as events:
            answers = await at_once(server.path, [f"/v1/domains/{name}/start" for name in names])
            assert answers == Counter({200: CLIENTS})
            # of one domain: whoever comes first starts it, all others are told that it runs
            answers = await at_once(server.path, ["/v1/domains/test/start"] * CLIENTS)
            assert answers == Counter({200: 1, 409: CLIENTS - 1})
            answers = await at_once(server.path, ["/v1/domains/test/reset"] * CLIENTS)
            assert answers == Counter({200: CLIENTS})
            assert all(domain.active for domain in server.engine.domains())
            await server.engine.domain("test").destroy()
            await server.engine.domain("test").start()  # the last
            started: Counter[str] = Counter()
            async for event in events:
                started[event.domain] += 1
                if started["test"] == 2:
                    break
        assert started == Counter({**dict.fromkeys(names, 1), "test": 2})


async def test_each_of_200_clients_gets_its_turn(tmp_path: Path) -> None:
    """When the first has all its answers, none is still waiting for the first of its own."""
    async with served(tmp_path, limits=LIMITS) as server:
        for number in range(CLIENTS):
            domain = await server.engine.define(DOMAIN.format(f"d{number}", ""))
            await domain.start()
        done: Counter[int] = Counter(dict.fromkeys(range(CLIENTS), 0))
        least: list[int] = []
        begin = anyio.Event()

        async def one(number: int, *, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with await anyio.connect_unix(server.path) as stream:
                task_status.started()
                await begin.wait()
                for _ in range(EACH):
                    assert await asked(stream, f"/v1/domains/d{number}/reset") == 200
                    done[number] += 1
                if not least:
                    least.append(min(done.values()))

        async with anyio.create_task_group() as tasks:
            for number in range(CLIENTS):
                await tasks.start(one, number)
            begin.set()
        assert set(done.values()) == {EACH}
        assert least[0] >= 1


async def test_a_command_that_takes_long_holds_up_nobody_else(tmp_path: Path) -> None:
    async with served(tmp_path, limits=LIMITS) as server:
        slow = "<metadata><guest xmlns='urn:virengine:test:1' start='3600'/></metadata>"
        await server.engine.define(DOMAIN.format("slow", slow))
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(at_once, server.path, ["/v1/domains/slow/start"])
            with anyio.fail_after(30):
                answers = await at_once(server.path, ["/v1/domains/test/reset"] * CLIENTS)
            assert answers == Counter({200: CLIENTS})
            tasks.cancel_scope.cancel()


async def at_once(path: str, targets: list[str]) -> Counter[int]:
    """What requests are answered that are all under way at once, each on a connection of its own."""
    found: Counter[int] = Counter()
    begin = anyio.Event()

    async def one(target: str, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with await anyio.connect_unix(path) as stream:
            task_status.started()
            await begin.wait()
            found[await asked(stream, target)] += 1

    async with anyio.create_task_group() as tasks:
        for target in targets:
            await tasks.start(one, target)
        begin.set()
    return found


async def asked(stream: anyio.abc.ByteStream, target: str) -> int:
    await stream.send(f"POST {target} HTTP/1.1\r\nHost: virengine\r\nContent-Length: 0\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        data += await stream.receive()
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    while len(body) < length:
        body += await stream.receive()
    return int(head.split()[1])
