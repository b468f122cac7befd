"""The other side of bench_server: a server in a process of its own. ``server_child.py KIND BACKEND SOCKET``.

It serves until its standard input ends. A line ``RATE SECONDS DOMAINS`` there has it publish events, of so many domains
in turn; it answers with a line of JSON: what it published, the CPU seconds and the resident KiB that it took.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from engine import Engine
from engine.events.types import DomainStarted
from engine.lifecycle import State
from engine.server.limits import ServerLimits
from engine.server.listeners import accept_from, listen, parse_address
from engine.server.serving import Service
from engine.server.transport import HttpConnections

LIMITS = ServerLimits(connections=4096, connections_each=4096, subscriptions_each=4096, idle_seconds=300)
FACTS: dict[str, Any] = {"detail": "booted", "state": State.RUNNING, "reason": "booted"}
TICK = 0.01


class Floor:
    """What there is at least: bytes that are made once, put into a deque for each client, sent by bare starlette."""

    def __init__(self) -> None:
        self.readers: dict[str, list[tuple[deque[bytes], list[anyio.Event]]]] = {}
        self.app = Starlette(routes=[Route("/v1/domains/test", self.domain), Route("/v1/events", self.events)])

    async def domain(self, request: Request) -> JSONResponse:
        return JSONResponse({"name": "test", "state": "running"})

    async def events(self, request: Request) -> StreamingResponse:
        queue: deque[bytes] = deque()
        ready = [anyio.Event()]
        self.readers.setdefault(request.query_params.get("domain", ""), []).append((queue, ready))

        async def pieces() -> AsyncIterator[bytes]:
            yield b": here\n\n"
            while True:
                while not queue:
                    await ready[0].wait()
                    ready[0] = anyio.Event()
                body = b"".join(queue)
                queue.clear()
                yield body

        return StreamingResponse(pieces(), media_type="text/event-stream")

    def publish(self, domain: str) -> None:
        now = time.time()
        message = f'id: x/1\nevent: org.virengine.domain.started\ndata: {{"at":{now},"domain":"{domain}"}}\n\n'.encode()
        message += b" " * 0
        padded = message[:-2] + b"\n: " + b"x" * max(0, 480 - len(message)) + b"\n\n"  # as long as ours are
        for key in ("", domain):
            for queue, ready in self.readers.get(key, ()):
                if not queue:
                    ready[0].set()
                queue.append(padded)


async def publish(one: Any, rate: float, seconds: float, domains: int) -> int:
    """Evenly, in a few at a time."""
    begin, done = anyio.current_time(), 0
    while (passed := anyio.current_time() - begin) < seconds:
        due = int(passed * rate) + 1
        while done < due:
            one(f"d{done % domains}")
            done += 1
        await anyio.sleep(TICK)
    return done


async def obey(one: Any) -> None:
    while True:
        await anyio.wait_readable(sys.stdin.fileno())
        line = sys.stdin.readline()
        if not line:
            return
        rate, seconds, domains = line.split()
        before = time.process_time()
        done = await publish(one, float(rate), float(seconds), int(domains))
        await anyio.sleep(0.5)  # what is still to be sent
        cpu = time.process_time() - before
        told = {"published": done, "cpu": cpu, "rss": _resident()}
        print(json.dumps(told), flush=True)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() // 1024


async def main(kind: str, path: str) -> None:
    with listen(parse_address(f"unix:{path}")) as sock:
        async with anyio.create_task_group() as tasks:
            if kind == "floor":
                floor, ending = Floor(), anyio.Event()
                connections = HttpConnections(floor.app, LIMITS, ending)

                async def serve(stream: Any, peer: Any) -> None:
                    await connections.serve(stream, {"peer": peer})

                tasks.start_soon(accept_from, {sock: serve}, lambda: LIMITS, ending)
                print("up", flush=True)
                await obey(floor.publish)
                tasks.cancel_scope.cancel()
                return
            async with Engine("test:///default", systemd=False, on_close="leave") as engine:
                await tasks.start(
                    lambda *, task_status: Service(engine, limits=LIMITS).run([sock], task_status=task_status)
                )
                print("up", flush=True)

                def one(domain: str) -> None:
                    engine.bus.publish(
                        DomainStarted, connection="test:///default", domain=domain, uuid=f"uuid-of-{domain}", **FACTS
                    )

                await obey(one)
                tasks.cancel_scope.cancel()


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    anyio.run(main, sys.argv[1], sys.argv[3], backend=sys.argv[2])
