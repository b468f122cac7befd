"""An engine that is served, from the sockets to the answers."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from engine.core import Engine
from engine.server.access.audit import Audit
from engine.server.access.peers import Peer
from engine.server.access.roles import Access
from engine.server.access.secured import secure
from engine.server.app import Application
from engine.server.limits import ServerLimits
from engine.server.listeners import accept_from
from engine.server.metrics import Metrics
from engine.server.operations import Operations
from engine.server.transport import HttpConnections
from engine.server.webhooks.hooks import Webhooks
from engine.server.webhooks.settings import Webhook

__all__ = ["Service", "serve"]

_LIMITS = ServerLimits()


class Service:
    """Serves an open engine's API.

    Args:
        access: who may do what; root and this process's user may do everything.
        tls: for connections that come over TLS.
        audit: a file for who asked for what that changes something; None: it is only logged.

    Attributes:
        webhooks: who is told what happens; ``configure`` says who.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        access: Access | None = None,
        limits: ServerLimits = _LIMITS,
        tls: ssl.SSLContext | None = None,
        audit: Path | None = None,
    ) -> None:
        log = Audit(audit)
        self._operations = Operations(log.note_outcome, kept=limits.operations, running=limits.operations)
        self._engine, self._metrics, self.webhooks = engine, Metrics(engine), Webhooks(engine)
        engine.add_interceptor(self._metrics.measure)
        self._application = Application(
            engine, self._operations, access or Access(), limits, log, self._metrics, self.webhooks
        )
        self._ending = anyio.Event()
        self._connections = HttpConnections(self._application.asgi, limits, self._ending)
        self._tls = tls

    def change(self, *, access: Access, limits: ServerLimits, tls: ssl.SSLContext | None) -> None:
        """From now on this holds: access for every request, the rest for whoever connects. Nobody is cut off."""
        self._application.access, self._application.limits = access, limits
        self._connections = HttpConnections(self._application.asgi, limits, self._ending)
        self._tls = tls

    async def run(
        self,
        sockets: Sequence[socket.socket],
        *,
        secured: Sequence[socket.socket] = (),
        task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """Until it is cancelled. Then nobody is let in any more, streams end, and what else was asked for has some
        seconds left (``ServerLimits.grace_seconds``); plans, which may take long, are cancelled.

        Args:
            sockets: that are listened at (``engine.server.listeners``); they are closed when it ends. secured: for TLS.
        """
        doors = dict.fromkeys(sockets, self._serve) | dict.fromkeys(secured, self._serve_secured)
        async with anyio.create_task_group() as outer:
            outer.start_soon(self._notice_cancellation)
            with anyio.CancelScope(shield=True):
                async with anyio.create_task_group() as tasks:
                    self._operations.run_in(tasks)
                    await tasks.start(self._operations.follow, self._engine)
                    await tasks.start(self._metrics.follow)
                    self.webhooks.run_in(tasks)
                    tasks.start_soon(self._cut_off, tasks.cancel_scope)
                    task_status.started()
                    await accept_from(doors, lambda: self._application.limits, self._ending)
                    await self._operations.settled()
                    tasks.cancel_scope.cancel()
            outer.cancel_scope.cancel()

    async def _notice_cancellation(self) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            self._ending.set()

    async def _cut_off(self, scope: anyio.CancelScope) -> None:
        await self._ending.wait()
        await anyio.sleep(self._application.limits.grace_seconds)
        scope.cancel()

    async def _serve(self, stream: Any, peer: Peer) -> None:
        with self._metrics.connected():
            await self._connections.serve(stream, {"peer": peer, "ending": self._ending})

    async def _serve_secured(self, stream: Any, peer: Peer) -> None:
        assert self._tls is not None
        with self._metrics.connected():
            found = await secure(stream, self._tls, peer, self._application.limits.idle_seconds)
            if found is not None:
                inner, known, alpn = found
                state = {"peer": known, "ending": self._ending}
                await self._connections.serve(inner, state, tls=True, alpn=alpn)


async def serve(
    engine: Engine,
    sockets: Sequence[socket.socket],
    *,
    webhooks: Sequence[Webhook] = (),
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
    **options: Any,
) -> None:
    """Serve an open engine's API until it is cancelled (``Service.run``); the other options are those of ``Service``.

    Raises:
        ConfigError: a webhook makes no sense.
    """
    service = Service(engine, **options)
    await service.webhooks.configure(webhooks)
    await service.run(sockets, task_status=task_status)
