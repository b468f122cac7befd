"""Who is let in: what a request says of whom it comes from, held against what it asks for."""

from __future__ import annotations

from starlette.requests import HTTPConnection

from engine.server.access.peers import ROLES, Peer
from engine.server.access.roles import Caller
from engine.server.api.routes import Route
from engine.server.api.session import cookie_name
from engine.server.problems import Fault

__all__ = ["check_origin", "check_role", "secret_of"]

_LOCAL = frozenset({"localhost", "127.0.0.1", "[::1]"})
#: Of a page that asks; a WebSocket's origin is its page's.
_SCHEMES = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


def secret_of(request: HTTPConnection) -> str | None:
    """The token that a request brings; a browser's is in a cookie."""
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind and kind.lower() != "bearer":
        raise Fault(401, "Not allowed", "only tokens are taken", headers={"www-authenticate": "Bearer"})
    return secret.strip() if kind else request.cookies.get(cookie_name(request))


def check_role(route: Route, caller: Caller) -> None:
    name = caller.peer.name
    if route.role is not None:
        if caller.role is None and caller.peer.uid is None:
            headers = {"www-authenticate": "Bearer"}
            raise Fault(401, "Not allowed", f"{name} may do nothing here without a token", headers=headers)
        if caller.role is None:
            raise Fault(403, "Not allowed", f"{name} may do nothing here")
        if ROLES.index(caller.role) < ROLES.index(route.role):
            raise Fault(403, "Not allowed", f"{name} is {caller.role}, and this is for {route.role}s")
    if caller.domains and not route.for_some:
        raise Fault(403, "Not allowed", f"{name} may have to do with some domains only, and this is about all")


def check_origin(request: HTTPConnection, peer: Peer) -> None:
    """A page in a browser can make it ask; it can't make it say so falsely.

    A UNIX socket is no shelter: ``ssh -L`` brings browsers to it. Names without a dot are nobody's on the Internet, so
    no page of somebody else's can have come from there (DNS rebinding); a certificate says the same by itself.
    """
    host = request.headers.get("host", "")
    name = host if host.endswith("]") else host.rpartition(":")[0] or host
    known = name in _LOCAL or (peer.uid is not None and "." not in name and ":" not in name)
    scheme = _SCHEMES[request.scope["scheme"]]
    if scheme != "https" and not known:
        raise Fault(403, "Not allowed", "the host that is asked for is not this one")
    origin = request.headers.get("origin")
    if origin is not None and origin != f"{scheme}://{host}":
        raise Fault(403, "Not allowed", "pages of other sites may ask nothing here")
