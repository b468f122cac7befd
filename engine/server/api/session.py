"""Who one is here; and for browsers, which can't say a token with every request, a cookie that holds it."""

from __future__ import annotations

import socket
from importlib.metadata import version

import msgspec
from starlette.requests import HTTPConnection

from engine.server.access.peers import Role
from engine.server.api.routes import Answer, Body, Call, Name, Route

__all__ = ["ROUTES", "cookie_name"]


def cookie_name(request: HTTPConnection) -> str:
    """Of what a browser keeps the token in; cookies are not told apart by ports, and services are."""
    return f"virengine-{request.url.port or 'web'}"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and whom.

    Attributes:
        name: ``user:ada``, ``token:ci``; role: None: nobody here. domains: patterns of those that it is for; none: all.
        host, version: of the service; None to nobody.
    """

    name: str
    role: Role | None
    domains: tuple[str, ...]
    host: str | None = None
    version: str | None = None


class LoginBody(Body, frozen=True, kw_only=True):
    """Attributes: token: the secret."""

    token: Name


async def who(call: Call) -> Answer:
    known = {"host": socket.gethostname(), "version": version("virengine")} if call.role is not None else {}
    return Answer(content=Session(name=call.peer.name, role=call.role, domains=call.domains, **known))


async def log_in(call: Call) -> Answer:
    """Raises Fault 401: no such token."""
    body: LoginBody = call.body
    await call.access.identify(call.peer, body.token)
    return Answer(status=204, headers={"set-cookie": _cookie(call, body.token)})


async def log_out(call: Call) -> Answer:
    return Answer(status=204, headers={"set-cookie": _cookie(call, "") + "; Max-Age=0"})


def _cookie(call: Call, value: str) -> str:
    secure = "; Secure" if call.request.url.scheme == "https" else ""
    return f"{cookie_name(call.request)}={value}; Path=/; HttpOnly; SameSite=Strict{secure}"


ROUTES = (
    Route(
        method="GET",
        path="/v1/session",
        handler=who,
        role=None,
        summary="Who asks, and what role that is.",
        answers={200: Session},
    ),
    Route(
        method="POST",
        path="/v1/session",
        handler=log_in,
        role=None,
        summary="For browsers: a cookie that holds the token.",
        body=LoginBody,
        answers={204: None},
        faults=(401,),
    ),
    Route(
        method="DELETE",
        path="/v1/session",
        handler=log_out,
        role=None,
        summary="For browsers: no cookie any more.",
        answers={204: None},
    ),
)
