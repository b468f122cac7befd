"""A server on a real UNIX socket, with an engine in memory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import httpx2

from engine import Engine
from engine.server.access.peers import Peer
from engine.server.access.roles import Access
from engine.server.listeners import listen, parse_address
from engine.server.serving import serve

DOMAIN = "<domain type='test'><name>{}</name><memory>1024</memory><os><type>hvm</type></os>{}</domain>"


class Served:
    """A server that runs: its engine, and a client of it; ``end`` asks it to end."""

    def __init__(self, engine: Engine, http: httpx2.AsyncClient, path: str, end: Callable[[], None]) -> None:
        self.engine, self.http, self.path, self.end = engine, http, path, end

    async def define(self, name: str, more: str = "", **headers: str) -> httpx2.Response:
        content = DOMAIN.format(name, more).encode()
        return await self.http.post(
            "/v1/domains", content=content, headers={"content-type": "application/xml", **headers}
        )


@contextlib.asynccontextmanager
async def served(folder: Path, *uris: str, **options: Any) -> AsyncIterator[Served]:
    path = str(folder / "engine.sock")
    async with Engine(*(uris or ("test:///default",)), systemd=False, on_close="leave") as engine:
        with listen(parse_address(f"unix:{path}")) as sock:
            async with anyio.create_task_group() as tasks:
                serving = anyio.CancelScope()

                async def run(*, task_status: Any) -> None:
                    with serving:
                        await serve(engine, [sock], task_status=task_status, **options)

                await tasks.start(run)
                transport = httpx2.AsyncHTTPTransport(uds=path)
                async with httpx2.AsyncClient(transport=transport, base_url="http://engine", timeout=10) as http:
                    yield Served(engine, http, path, serving.cancel)
                tasks.cancel_scope.cancel()


class Everybody(Access):
    """Gives everybody one role."""

    def __init__(self, role: Any) -> None:
        super().__init__()
        self._role = role

    async def role_of(self, peer: Peer) -> Any:
        return self._role
