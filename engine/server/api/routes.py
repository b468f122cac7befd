"""What the API is made of: a table of routes, from which the application, its description and its tests follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Annotated, Any, Literal, TypeAlias

import anyio
import msgspec
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from engine.core import Engine
from engine.server.access.peers import Peer, Role
from engine.server.access.roles import Access
from engine.server.limits import ServerLimits
from engine.server.metrics import Metrics
from engine.server.operations import Operations
from engine.server.webhooks.hooks import Webhooks

__all__ = ["AbsolutePath", "Answer", "Body", "Call", "Name", "Route", "Talk"]

#: What is not empty; a file on the server's host.
Name = Annotated[str, msgspec.Meta(min_length=1)]
AbsolutePath = Annotated[str, msgspec.Meta(pattern="^/[^\\x00]+$")]


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A body in JSON. What it does not know it refuses: a word that is misspelt must not be one that was not said."""


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, as a handler sees it.

    Attributes:
        path: the parts of the path that are named; query, body: as the route declares them.
        allowed: whether the caller may still ask this: tokens expire, and rules change.
        domains: patterns of those that the caller may have to do with; none: all.
        ending: set when the service ends: what takes long is given up then.
        streams: how many streams of events each peer has. describe: gives the OpenAPI document.
    """

    engine: Engine
    operations: Operations
    access: Access
    streams: Counter[str]
    limits: ServerLimits
    metrics: Metrics
    webhooks: Webhooks
    describe: Callable[[], dict[str, Any]]
    ending: anyio.Event
    peer: Peer
    role: Role | None
    domains: tuple[str, ...] = ()
    request: HTTPConnection
    allowed: Callable[[], Awaitable[bool]]
    path: Mapping[str, str]
    query: Any = None
    body: Any = None


#: Talks over a WebSocket that is accepted, until one side ends it; it closes it.
Talk: TypeAlias = Callable[[WebSocket], Awaitable[None]]


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler answers with.

    Attributes:
        content: a value that becomes JSON, or bytes, which are of the ``media_type``.
    """

    content: Any = None
    status: int = 200
    headers: Mapping[str, str] = {}
    media_type: str = "application/json"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One route.

    Attributes:
        method, path: as OpenAPI writes them: ``/v1/domains/{domain}``.
        handler: gives an Answer, or something that is an ASGI application, as a stream is.
        socket: of a path that can be a WebSocket, too: what is refused is so on entering; it gives what then talks.
        acts: although it is a GET, something may come of it.
        parts: what may stand for a part of the path, where that is not just anything.
        role: who may ask it at least; None: everybody.
        summary: one sentence.
        query: a struct of the parameters, all of which have defaults. body: a struct, or "xml".
        answers: by status, of what type the content is; a text: of which media type; a tuple: one of these.
        faults: further statuses that are problem documents.
        scoped: it gives those who may have to do with some domains only what is of these.
    """

    method: Literal["GET", "POST", "DELETE"]
    path: str
    handler: Callable[[Call], Awaitable[Any]]
    role: Role | None
    summary: str
    query: type[msgspec.Struct] | None = None
    body: type[msgspec.Struct] | Literal["xml"] | None = None
    answers: Mapping[int, Any] = {}
    faults: tuple[int, ...] = ()
    scoped: bool = False
    parts: Mapping[str, tuple[str, ...]] = {}
    socket: Callable[[Call], AbstractAsyncContextManager[Talk]] | None = None
    acts: bool = False

    @property
    def changes(self) -> bool:
        """Whether it may change something."""
        return self.acts or self.method != "GET"

    @property
    def for_some(self) -> bool:
        """Whether those may ask it who may have to do with some domains only."""
        return self.scoped or self.role is None or "{domain}" in self.path
