"""An engine that is served, from the sockets to the answers."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskStatus

from engine.core import Engine
from engine.server.access import Access
from engine.server.app import Application
from engine.server.audit import Audit
from engine.server.limits import ServerLimits
from engine.server.listeners import accept_from
from engine.server.operations import Operations
from engine.server.peers import Peer
from engine.server.transport import HttpConnections

__all__ = ["serve"]

_LIMITS = ServerLimits()


async def serve(
    engine: Engine,
    sockets: Sequence[socket.socket],
    *,
    access: Access | None = None,
    limits: ServerLimits = _LIMITS,
    audit: Path | None = None,
    task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED,
) -> None:
    """Serve an open engine's API until it is cancelled; operations that go on then are cancelled, too.

    Args:
        sockets: that are listened at (``engine.server.listeners``); they are left open.
        access: who may do what; root and this process's user may do everything.
        audit: a file for who asked for what that changes something; None: it is only logged.
    """
    operations = Operations(kept=limits.operations, running=limits.operations)
    application = Application(engine, operations, access or Access(), limits, Audit(audit))
    connections = HttpConnections(application.asgi, limits)

    async def connected(stream: Any, peer: Peer) -> None:
        await connections.serve(stream, {"peer": peer})

    async with anyio.create_task_group() as tasks:
        operations.run_in(tasks)
        task_status.started()
        await accept_from(sockets, limits, connected)
