"""The application: from requests to calls of the table's handlers, and from what these give to answers."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from functools import cache, partial
from typing import Any

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, WebSocketRoute
from starlette.routing import Route as Path
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketState

from engine.core import Engine
from engine.errors import EngineClosed, EngineError
from engine.server.access.audit import Audit
from engine.server.access.roles import Access, Caller
from engine.server.api.closing import ENDING, FAILED
from engine.server.api.facts import DomainFacts
from engine.server.api.openapi import describe
from engine.server.api.routes import Answer, Call, Route
from engine.server.api.sockets import close
from engine.server.api.streams import unless_it_ends
from engine.server.api.table import ROUTES
from engine.server.gate import check_origin, check_role, secret_of
from engine.server.limits import ServerLimits
from engine.server.metrics import Metrics
from engine.server.operations import Operation, Operations
from engine.server.pages import PAGES
from engine.server.problems import MEDIA_TYPE, Fault, ProblemDocument, problem_of
from engine.server.replays import Replays
from engine.server.webhooks.hooks import Webhooks

__all__ = ["Application"]

log = logging.getLogger(__name__)

_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")
_XML = ("application/xml", "text/xml")
_NOTHING = Answer()


class Application:
    """The API of one engine.

    Attributes:
        asgi: the ASGI application. access, limits: what holds for requests from now on.
    """

    def __init__(
        self,
        engine: Engine,
        operations: Operations,
        access: Access,
        limits: ServerLimits,
        audit: Audit,
        metrics: Metrics,
        webhooks: Webhooks,
    ) -> None:
        self._engine, self._operations = engine, operations
        self.access, self.limits = access, limits
        self._audit, self._metrics, self._webhooks = audit, metrics, webhooks
        self._streams: Counter[str] = Counter()
        self._replays = Replays()
        by_path: dict[str, list[Route]] = {}
        for route in ROUTES:
            by_path.setdefault(route.path, []).append(route)
        paths: list[BaseRoute] = [
            # any method: the path that comes first decides, and not a later one that happens to know the method
            Path(path, self._endpoint(routes), methods=_METHODS)
            for path, routes in by_path.items()
        ]
        paths += [WebSocketRoute(route.path, self._socket_endpoint(route)) for route in ROUTES if route.socket]
        paths += [*PAGES, WebSocketRoute("/{path:path}", _no_socket)]
        self.asgi = Starlette(routes=paths, exception_handlers={404: _not_found, 405: _no_method})
        self.asgi.router.redirect_slashes = False

    def _endpoint(self, routes: list[Route]) -> Callable[[Request], Awaitable[ASGIApp]]:
        by_method: dict[str, Route] = {route.method: route for route in routes}
        if "GET" in by_method:
            by_method |= {"HEAD": by_method["GET"]}

        async def endpoint(request: Request) -> ASGIApp:
            route = by_method.get(request.method)
            return _not_allowed(request, by_method) if route is None else await self._answer(route, request)

        return endpoint

    async def _answer(self, route: Route, request: Request) -> ASGIApp:
        answer, problem, caller = await self._handled(route, request)
        if not isinstance(answer, Answer):
            await self._note(route, request, caller, getattr(answer, "status_code", 200), problem)
            return answer
        await self._note(route, request, caller, answer.status, problem, answer)
        return _response(answer)

    async def _note(
        self,
        route: Route,
        request: HTTPConnection,
        caller: Caller,
        status: int,
        problem: str,
        answer: Answer = _NOTHING,
    ) -> None:
        self._metrics.requests[route.method, route.path, status] += 1
        if route.changes:
            path = f"{request.url.path}?{request.url.query}".rstrip("?")
            await self._audit.note(
                caller.peer,
                caller.role,
                method=request.scope.get("method", "GET"),
                path=path,
                status=status,
                problem=problem,
                location=answer.headers.get("location", ""),
                domain=_domain_of(answer),
            )

    def _socket_endpoint(self, route: Route) -> Callable[[WebSocket], Awaitable[None]]:
        async def endpoint(socket: WebSocket) -> None:
            await self._serve_socket(route, socket)

        return endpoint

    async def _serve_socket(self, route: Route, socket: WebSocket) -> None:
        """What can be refused is, as a request is, before the socket is accepted."""
        assert route.socket is not None
        caller = Caller(peer=socket.state.peer, role=None)
        try:
            caller = await self._identify(route, socket)
            check_role(route, caller)
            async with route.socket(await self._call(route, socket, caller)) as talk:
                await self._note(route, socket, caller, 101, "")
                await socket.accept()
                try:
                    await unless_it_ends(socket.state.ending, partial(talk, socket))
                except EngineClosed as exc:
                    await close(socket, ENDING, str(exc))
        except Exception as exc:  # the boundary
            if not isinstance(exc, Fault | EngineError):
                log.exception("%s failed", socket.url.path)
            problem = problem_of(exc)
            if socket.application_state is WebSocketState.CONNECTING:
                headers = exc.headers if isinstance(exc, Fault) else None
                await self._note(route, socket, caller, problem.status, problem.type)
                await socket.send_denial_response(_problem(problem, headers))
            else:
                await close(socket, FAILED, problem.detail)

    async def _handled(self, route: Route, request: Request) -> tuple[Answer | ASGIApp, str, Caller]:
        """The answer, of which type the problem is that it tells of, and who asked."""
        caller = Caller(peer=request.state.peer, role=None)
        try:
            self._check_headers(request)
            caller = await self._identify(route, request)
            check_role(route, caller)
            call = await self._call(route, request, caller)
            key = request.headers.get("idempotency-key") if route.changes else None
            if key is None:
                answer = await route.handler(call)
            else:
                asked = f"{request.method} {request.url}".encode() + b"\n" + msgspec.json.encode(call.body)
                answer = await self._replays.once(call.peer.name, key, asked, lambda: route.handler(call))
        except ClientDisconnect:
            return Response(status_code=400), "gone", caller  # which nobody reads
        except anyio.get_cancelled_exc_class():  # the service ends, and it took too long
            with anyio.CancelScope(shield=True):
                await self._note(route, request, caller, 503, "cut off")
            raise
        except (Fault, EngineError) as exc:
            problem = problem_of(exc)
            return _problem(problem, exc.headers if isinstance(exc, Fault) else None), problem.type, caller
        except Exception as exc:  # the boundary: a defect is told to nobody but the log
            log.exception("%s %s failed", request.method, request.url.path)
            problem = problem_of(exc)
            return _problem(problem), problem.type, caller
        return answer, "", caller

    def _check_headers(self, request: HTTPConnection) -> None:
        """Of those that came in whole, what the protocol's parser takes may be more."""
        if sum(len(name) + len(value) + 4 for name, value in request.headers.raw) > self.limits.header_bytes:
            raise Fault(431, "Header fields too large", f"headers have {self.limits.header_bytes} bytes at most")

    async def _identify(self, route: Route, request: HTTPConnection) -> Caller:
        check_origin(request, request.state.peer)
        try:
            return await self.access.identify(request.state.peer, secret_of(request))
        except Fault:
            if route.role is not None:
                raise
            return Caller(peer=request.state.peer, role=None)  # with a token that is none any more one can log in anew

    async def _allowed(self, route: Route, request: HTTPConnection) -> bool:
        try:
            check_role(route, await self._identify(route, request))
        except Fault:
            return False
        return True

    async def _call(self, route: Route, request: HTTPConnection, caller: Caller) -> Call:
        return Call(
            engine=self._engine,
            operations=self._operations,
            access=self.access,
            streams=self._streams,
            limits=self.limits,
            metrics=self._metrics,
            webhooks=self._webhooks,
            describe=_describe,
            ending=request.state.ending,
            peer=caller.peer,
            role=caller.role,
            domains=caller.domains,
            request=request,
            allowed=partial(self._allowed, route, request),
            path=request.path_params,
            query=_query(route, request),
            body=await self._body(route, request) if isinstance(request, Request) else None,
        )

    async def _body(self, route: Route, request: Request) -> Any:
        if route.body is None:
            return None
        data = await self._read(request)
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if route.body == "xml":
            if kind not in _XML:
                raise Fault(415, "Unsupported media type", "the body is a document: application/xml")
            return data
        if data and kind != "application/json":  # which no form of another page can send
            raise Fault(415, "Unsupported media type", "the body is application/json")
        try:
            return msgspec.json.decode(data or b"{}", type=route.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise Fault(400, "Bad request", f"the body is not what it should be: {exc}") from exc

    async def _read(self, request: Request) -> bytes:
        most = self.limits.body_bytes
        too_much = Fault(413, "Content too large", f"a body has {most} bytes at most")
        if (told := request.headers.get("content-length", "")).isdigit() and int(told) > most:
            raise too_much
        data = bytearray()
        with anyio.move_on_after(self.limits.body_seconds):
            async for part in request.stream():
                data += part
                if len(data) > most:
                    raise too_much
            return bytes(data)
        raise Fault(408, "Request timeout", f"the body did not arrive within {self.limits.body_seconds:g} s")


@cache
def _describe() -> dict[str, Any]:
    return describe(ROUTES)


def _query(route: Route, request: HTTPConnection) -> Any:
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise Fault(400, "Bad request", f"the parameter '{name[:40]}' is there twice")
        given[name] = value
    known = route.query.__struct_fields__ if route.query is not None else ()
    unknown = [name for name in given if name not in known]
    if unknown:
        raise Fault(400, "Bad request", f"there is no parameter '{unknown[0][:40]}'")
    if route.query is None:
        return None
    try:
        return msgspec.convert(given, route.query, strict=False)
    except msgspec.ValidationError as exc:
        raise Fault(400, "Bad request", f"a parameter is not what it should be: {exc}") from exc


def _problem(problem: ProblemDocument, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(problem), problem.status, headers, MEDIA_TYPE)


def _domain_of(answer: Answer) -> str:
    match answer.content:
        case DomainFacts(name=name) | Operation(domain=str(name)):
            return name
    return ""


def _response(answer: Answer) -> Response:
    if answer.status == 204:
        return Response(status_code=204, headers=dict(answer.headers))
    content = answer.content
    if not isinstance(content, bytes):
        content = msgspec.json.encode(content, enc_hook=str)  # a Path
    return Response(content, answer.status, dict(answer.headers), answer.media_type)


async def _not_found(request: Request, exc: Exception) -> Response:
    return _problem(problem_of(Fault(404, "Not found", "there is nothing at this path")))


async def _no_socket(socket: WebSocket) -> None:
    problem = problem_of(Fault(404, "Not found", "there is no WebSocket at this path"))
    await socket.send_denial_response(_problem(problem))


async def _no_method(request: Request, exc: Exception) -> Response:
    return _not_allowed(request, ())


def _not_allowed(request: Request, methods: Iterable[str]) -> Response:
    fault = Fault(405, "Method not allowed", f"{request.method} makes no sense here")
    return _problem(problem_of(fault), {"allow": ", ".join(sorted(methods))})
