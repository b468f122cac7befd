"""What people do with a running domain: its console, its screen, its agent."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
from starlette.websockets import WebSocket

from engine.server.api.closing import DONE, NOT_ALLOWED, TAKEN
from engine.server.api.commands import OneQuery, domain_asked
from engine.server.api.routes import Answer, Body, Call, Name, Route, Talk
from engine.server.api.sockets import bridge, close, upgrade
from engine.server.api.streams import one_stream

__all__ = ["ROUTES"]

_LONGEST_WAIT = 300.0
_REASONS = {DONE: "it has ended", NOT_ALLOWED: "it is not allowed any more", TAKEN: "somebody else has taken it over"}


class ConsoleQuery(OneQuery, frozen=True, kw_only=True):
    """Attributes: device: which console; "": the first. force: whoever is at it already has to go."""

    device: str = ""
    force: bool = False


class AgentBody(Body, frozen=True, kw_only=True):
    """Attributes: command: of the agent's; arguments: its; timeout: seconds that it may take."""

    command: Name
    arguments: dict[str, Any] | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0, le=_LONGEST_WAIT)] = 30.0


class AgentAnswer(msgspec.Struct, frozen=True, kw_only=True, rename={"value": "return"}):
    """Attributes: value: what the agent returned."""

    value: Any


@asynccontextmanager
async def console(call: Call) -> AsyncIterator[Talk]:
    with one_stream(call):
        async with domain_asked(call).open_console(call.query.device, force=call.query.force) as stream:

            async def talk(socket: WebSocket) -> None:
                code = await bridge(socket, stream, call)
                await _end(socket, TAKEN if stream.taken else code)

            yield talk


@asynccontextmanager
async def vnc(call: Call) -> AsyncIterator[Talk]:
    with one_stream(call):
        async with await domain_asked(call).open_graphics() as stream:

            async def talk(socket: WebSocket) -> None:
                await _end(socket, await bridge(socket, stream, call))

            yield talk


async def _end(socket: WebSocket, code: int) -> None:
    await close(socket, code, _REASONS[code])


async def screenshot(call: Call) -> Answer:
    found = await domain_asked(call).screenshot()
    return Answer(content=found.data, media_type=found.media_type, headers={"cache-control": "no-store"})


async def agent(call: Call) -> Answer:
    body: AgentBody = call.body
    value = await domain_asked(call).agent_command(body.command, body.arguments, timeout=body.timeout)
    return Answer(content=AgentAnswer(value=value))


ROUTES = (
    Route(
        method="GET",
        path="/v1/domains/{domain}/console",
        handler=upgrade,
        socket=console,
        role="operator",
        acts=True,
        summary="A console of a domain as a WebSocket: bytes both ways. One at a time.",
        query=ConsoleQuery,
        faults=(404, 409, 422, 426, 429, 502, 503),
    ),
    Route(
        method="GET",
        path="/v1/domains/{domain}/vnc",
        handler=upgrade,
        socket=vnc,
        role="operator",
        acts=True,
        summary="The VNC display of a domain as a WebSocket: the bytes of RFC 6143. No password is asked.",
        query=OneQuery,
        faults=(404, 409, 422, 426, 429, 502, 503),
    ),
    Route(
        method="GET",
        path="/v1/domains/{domain}/screenshot",
        handler=screenshot,
        role="operator",
        summary="What the screen of a domain shows, as a picture.",
        query=OneQuery,
        answers={200: ("image/png", "image/x-portable-pixmap")},
        faults=(404, 409, 422, 502, 503, 504),
    ),
    Route(
        method="POST",
        path="/v1/domains/{domain}/agent",
        handler=agent,
        # guest-exec and the like are root in the guest
        role="admin",
        summary="A command of the guest agent's own, as guest-get-osinfo.",
        query=OneQuery,
        body=AgentBody,
        answers={200: AgentAnswer},
        faults=(404, 409, 422, 502, 503, 504),
    ),
)
