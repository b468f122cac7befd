"""The engine behind a service, with the face of the engine itself: what programs do with one they do with the other.

What differs: ``plan`` is awaited, and what is told of a domain is as it was when it was last asked for.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Literal, TypeVar
from urllib.parse import quote, urlencode
from uuid import UUID

import anyio
import httpx2
import msgspec

from engine import errors
from engine.errors import ConfigError, ConnectionBroken, EngineError, InvalidDocument, NoSuchConnection, NoSuchDomain
from engine.lifecycle import ACTIVE, State
from engine.server.api.facts import DomainFacts
from engine.server.client.doors import Door, door_to, reason_of
from engine.server.problems import ProblemDocument
from engine.util.uuids import as_uuid

__all__ = ["RemoteDomain", "RemoteEngine", "connect"]

T = TypeVar("T")

# the rest is imported by what needs it: most commands of a script need little
if TYPE_CHECKING:
    from anyio.abc import ByteStream

    from engine.abc import JSON, DomainInfo, Screenshot
    from engine.conf import DomainDefinition
    from engine.events.filters import Patterns
    from engine.events.subscription import Policy
    from engine.events.types import Event
    from engine.server.api.declared import Declared
    from engine.server.client.messages import RemoteSubscription
    from engine.server.client.talking import SocketStream
    from engine.server.operations import Operation
    from engine.server.webhooks.hook import WebhookState
    from engine.shutdown.drill import Drill
    from engine.shutdown.plan import Plan
    from engine.shutdown.report import Report
    from engine.systemd.doctor import Diagnosis

XML = "application/xml"
_PAGE = 10_000
_LONGEST_LINE = 1024 * 1024
# seconds that one request for a wait may take; and that a service may take to say at all that it is there
_WAIT = 60.0
_GREETING = 10.0


@asynccontextmanager
async def connect(
    where: str | os.PathLike[str],
    *,
    token: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    certificate: tuple[str, str] | None = None,
) -> AsyncIterator[RemoteEngine]:
    """The engine that a service holds.

    Args:
        where: the path of its socket, or ``https://HOST:PORT``, or on this host ``http://127.0.0.1:PORT``.
        token: the secret of one that ``virengine token add`` has made.
        ca_file: certificates in PEM of authorities that are trusted, rather than the system's.
        certificate: files in PEM with a client's certificate and its key.

    Raises:
        ConnectionBroken: nobody answers there, or somebody who is not who it should be. ConfigError: that makes no
        sense. NotAllowed.
    """
    door = door_to(where, token=token, ca_file=ca_file, certificate=certificate)
    async with httpx2.AsyncClient(
        transport=door.transport(), base_url=door.url, headers=dict(door.headers), timeout=None, trust_env=False
    ) as http:
        engine = RemoteEngine(http, door)
        with anyio.move_on_after(_GREETING) as within:
            await engine.refresh()
        if within.cancelled_caught:
            raise ConnectionBroken(f"{door.what} does not answer")
        yield engine


class OperationCancelled(EngineError):
    """Somebody cancelled what the service carried out."""


class RemoteEngine:
    """An engine in another process.

    Attributes:
        operation: the plan that it carries out for us, or has last; None: there was none.
    """

    def __init__(self, http: httpx2.AsyncClient, door: Door) -> None:
        self._http, self.door = http, door
        self._domains: list[RemoteDomain] = []
        self.connections: tuple[str, ...] = ()
        self._domain_types: dict[str, Sequence[str]] = {}
        self._only = False
        self.operation: Operation | None = None

    async def ask(self, method: str, path: str, **options: Any) -> httpx2.Response:
        """Raises what the engine raised; ConnectionBroken: the service is not there, or gone."""
        try:
            answer = await self._http.request(method, path, **options)
        except (httpx2.RemoteProtocolError, httpx2.ReadError, httpx2.WriteError) as exc:
            raise ConnectionBroken(f"{self.door.what} went away before it answered") from exc
        except httpx2.TransportError as exc:
            raise ConnectionBroken(f"{self.door.what} does not answer: {reason_of(exc)}") from exc
        if answer.status_code >= 400:
            raise error_of(answer.content)
        return answer

    def only(self, uris: Sequence[str]) -> None:
        """From now on it has only these connections. Raises NoSuchConnection."""
        for uri in uris:
            if uri not in self.connections:
                raise NoSuchConnection(uri, f"{self.door.what} has {', '.join(self.connections)}")
        self.connections = tuple(uris)
        self._only = True
        self._domains = [domain for domain in self._domains if domain.connection in uris]

    async def refresh(self) -> None:
        """Ask anew which connections and domains there are."""
        there = (await self.ask("GET", "/v1/connections")).json()
        self.connections = tuple(each["uri"] for each in there)
        self._domain_types = {each["uri"]: each.get("domain_types", ()) for each in there}
        found: list[RemoteDomain] = []
        path = f"/v1/domains?limit={_PAGE}"
        while path:
            answer = await self.ask("GET", path)
            found += [
                RemoteDomain(self, facts) for facts in msgspec.json.decode(answer.content, type=list[DomainFacts])
            ]
            link = answer.headers.get("link", "")
            path = f"/v1/domains{link.partition('>')[0].removeprefix('<')}" if link else ""
        self._domains = found

    def domains(self, *, connection: str | None = None) -> list[RemoteDomain]:
        return [domain for domain in self._domains if connection in (None, domain.connection)]

    def domain(self, key: str, *, connection: str | None = None) -> RemoteDomain:
        """Raises NoSuchDomain; ConfigError: several connections have one of that name."""
        uuid = as_uuid(key)
        there = self.domains(connection=connection)
        found = [each for each in there if each.uuid == uuid] or [each for each in there if each.name == key]
        if not found:
            raise NoSuchDomain(key)
        if len(found) > 1:
            raise ConfigError(f"several connections have a domain '{key}': name one of them")
        return found[0]

    async def define(
        self,
        xml: str | bytes,
        *,
        connection: str | None = None,
        source: str | None = None,
        validate: bool = True,
    ) -> RemoteDomain:
        content = xml.encode() if isinstance(xml, str) else xml
        place = connection or self._place(content, source)
        query = {"validate": "true" if validate else "false"} | ({"connection": place} if place else {})
        try:
            answer = await self.ask("POST", "/v1/domains", params=query, content=content, headers={"content-type": XML})
        except ConfigError as exc:
            exc.source = exc.source or source
            raise
        return RemoteDomain(self, msgspec.json.decode(answer.content, type=DomainFacts))

    def _place(self, content: bytes, source: str | None) -> str | None:
        """Of the connections that were chosen the one for a definition, as ``Engine.define`` takes it of all."""
        if not self._only or len(self.connections) == 1:
            return self.connections[0] if self._only else None
        from engine.conf import parse_domain

        type_ = parse_domain(content, source=source).type
        fitting = (uri for uri in self.connections if type_ in self._domain_types.get(uri, ()))
        return next(fitting, self.connections[0])

    async def restore(
        self, path: str | os.PathLike[str], *, connection: str | None = None, paused: bool = False
    ) -> RemoteDomain:
        file = self.door.absolute(path)
        alone = self.connections[0] if self._only and len(self.connections) == 1 else None
        body = {"path": file, "paused": paused, "connection": connection or alone}
        answer = await self.ask("POST", "/v1/restore", json=body)
        return RemoteDomain(self, msgspec.json.decode(answer.content, type=DomainFacts))

    async def plan(
        self, direction: Literal["up", "down"], names: Iterable[str] | None = None, *, lenient: bool = False
    ) -> Plan:
        """``lenient``: (down) there is one whatever is declared."""
        from engine.shutdown.plan import Plan

        chosen = self._chosen(names)
        query = {"lenient": "true" if lenient else "false"} | (
            {"domain": ",".join(chosen)} if chosen is not None else {}
        )
        return msgspec.json.decode((await self.ask("GET", f"/v1/plan/{direction}", params=query)).content, type=Plan)

    async def declared_order(self) -> list[Declared]:
        from engine.server.api.declared import Declared

        return msgspec.json.decode((await self.ask("GET", "/v1/order")).content, type=list[Declared])

    def subscribe(
        self,
        *types: type[Event],
        domain: Patterns = None,
        connection: Patterns = None,
        bound: int = 1024,
        policy: Policy = "drop_oldest",
        since: str | int | None = None,
        snapshot: bool = False,
        lasting: bool = False,
        told: Callable[[bool], None] = lambda there: None,
    ) -> RemoteSubscription:
        """The events of these types, from ``async with`` on.

        Args:
            since: an id or a number: those after it; 0: all that are kept.
            policy: what becomes of those that this reader is too slow for.
            snapshot: how all domains are comes first.
            lasting, told: the service may go away and come back: see ``RemoteSubscription``.
        """
        from engine.server.client.messages import RemoteSubscription

        query = {
            "type": _names(types),
            "domain": ",".join(_texts(domain)),
            "connection": ",".join(_texts(connection)),
            "bound": bound,
            "policy": policy,
            "snapshot": "true" if snapshot else "false",
        }
        target = f"/v1/events?{urlencode(query)}"
        begin = "" if since is None else str(since)
        return RemoteSubscription(self.door, target, error_of, since=begin, lasting=lasting, told=told)

    async def past(
        self, *types: type[Event], domain: Patterns = None, since: str | int = ""
    ) -> AsyncGenerator[list[Event]]:
        """The events of the past that are kept, or those after an id or number."""
        from engine.events.encoding import from_cloudevent

        query = {"type": _names(types), "domain": ",".join(_texts(domain)), "since": since}
        path = f"/v1/journal?{urlencode(query)}"
        while path:
            answer = await self.ask("GET", path)
            yield [from_cloudevent(each) for each in answer.json()]
            link = answer.headers.get("link", "")
            path = f"/v1/journal{link.partition('>')[0].removeprefix('<')}" if link else ""

    async def doctor(self, *, fix: bool = False, dry_run: bool = False) -> Diagnosis:
        from engine.systemd.doctor import Diagnosis

        if not fix:
            answer = await self.ask("GET", "/v1/doctor")
        else:
            answer = await self.ask("POST", "/v1/doctor", json={"fix": fix, "dry_run": dry_run})
        return msgspec.json.decode(answer.content, type=Diagnosis)

    async def operations(self) -> list[Operation]:
        from engine.server.operations import Operation

        return msgspec.json.decode((await self.ask("GET", "/v1/operations")).content, type=list[Operation])

    async def cancel(self, operation: str) -> Operation:
        """Ask it to end. Raises NotFound: there is none of that id."""
        from engine.server.operations import Operation

        answer = await self.ask("DELETE", f"/v1/operations/{quote(operation, safe='')}")
        return msgspec.json.decode(answer.content, type=Operation)

    async def webhooks(self) -> list[WebhookState]:
        from engine.server.webhooks.hook import WebhookState

        return msgspec.json.decode((await self.ask("GET", "/v1/webhooks")).content, type=list[WebhookState])

    async def retry_webhook(self, name: str) -> WebhookState:
        """Try what waits at once, and dead letters once more. Raises NotFound: there is none of that name."""
        from engine.server.webhooks.hook import WebhookState

        answer = await self.ask("POST", f"/v1/webhooks/{quote(name, safe='')}/retry")
        return msgspec.json.decode(answer.content, type=WebhookState)

    async def _carry_out(self, what: str, body: Mapping[str, Any], type_: type[T]) -> T:
        """Begin an operation and look on until it has ended; whoever stops looking on leaves it alone."""
        from engine.server.client.messages import Messages
        from engine.server.operations import Operation

        answer = await self.ask("POST", f"/v1/{what}", json=body, headers={"prefer": "respond-async"})
        self.operation = ended = msgspec.json.decode(answer.content, type=Operation)
        async with Messages(self.door, f"/v1/operations/{ended.id}/events", error_of) as messages:
            async for message in messages:
                if message.kind == "problem":
                    raise error_of(message.data.encode())
                self.operation = ended = msgspec.json.decode(message.data, type=Operation)
                if message.kind == "ended":
                    break
        if ended.problem is not None:
            raise error_of(msgspec.json.encode(ended.problem))
        if ended.state == "cancelled":
            raise OperationCancelled(f"the operation {ended.id} was cancelled")
        return msgspec.convert(ended.result, type_)

    def _chosen(self, names: Iterable[str] | None) -> list[str] | None:
        """Those that are named; with none named all of the connections that were chosen, None being all there are."""
        if names is not None:
            return list(names)
        return [domain.uuid for domain in self._domains] if self._only else None

    def _at(self, connections: Iterable[str] | None) -> list[str] | None:
        """These connections; else those that were chosen, None being all there are."""
        return _listed(connections if connections is not None or not self._only else self.connections)

    async def up(
        self,
        names: Iterable[str] | None = None,
        *,
        connections: Iterable[str] | None = None,
        resume: bool = False,
        autostart: bool = False,
    ) -> Report:
        from engine.shutdown.report import Report

        at = self._at(connections)
        body = {"domains": _listed(names), "connections": at, "resume": resume, "autostart": autostart}
        return await self._carry_out("up", body, Report)

    async def down(
        self,
        names: Iterable[str] | None = None,
        *,
        connections: Iterable[str] | None = None,
        deadline: float | None = None,
    ) -> Report:
        from engine.shutdown.report import Report

        body = {"domains": _listed(names), "connections": self._at(connections), "deadline": deadline}
        return await self._carry_out("down", body, Report)

    async def drill(self, names: Iterable[str] | None = None) -> Drill:
        from engine.shutdown.drill import Drill

        return await self._carry_out("drill", {"domains": self._chosen(names)}, Drill)


def _listed(names: Iterable[str] | None) -> list[str] | None:
    return None if names is None else list(names)


def _names(types: Iterable[type[Event]]) -> str:
    return ",".join(each.__name__ for each in types)


def _texts(patterns: Patterns) -> list[str]:
    alone = isinstance(patterns, str | UUID)
    return [str(patterns)] if alone else [str(each) for each in patterns or ()]  # type: ignore[union-attr]


class RemoteDomain:
    """A domain of it: its facts as they were when it was last asked for, or commanded."""

    def __init__(self, engine: RemoteEngine, facts: DomainFacts) -> None:
        self._engine, self.facts = engine, facts

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def uuid(self) -> str:
        return self.facts.uuid

    @property
    def connection(self) -> str:
        return self.facts.connection

    @property
    def state(self) -> State:
        return State(self.facts.state)

    @property
    def reason(self) -> str:
        return self.facts.reason

    @property
    def ready(self) -> bool:
        return self.facts.ready

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def persistent(self) -> bool:
        return self.facts.persistent

    @property
    def autostart(self) -> bool:
        return self.facts.autostart

    @property
    def saved(self) -> bool:
        return self.facts.managed_save

    @property
    def started_at(self) -> float:
        return self.facts.started or 0.0

    @property
    def scope(self) -> str:
        return self.facts.scope or ""

    async def refresh(self) -> None:
        """Ask anew how it is. Raises NoSuchDomain: it is gone, and so it does not run."""
        try:
            answer = await self._ask("GET", "")
        except NoSuchDomain:
            off = {"state": State.SHUTOFF.value, "reason": "unknown", "ready": False, "pid": None, "started": None}
            self.facts = msgspec.structs.replace(self.facts, scope=None, **off)
            raise
        self.facts = msgspec.json.decode(answer.content, type=DomainFacts)

    async def info(self) -> DomainInfo:
        from engine.abc import DomainInfo

        answer = await self._ask("GET", "/info")
        return msgspec.json.decode(answer.content, type=DomainInfo, dec_hook=lambda type_, text: type_(text))

    async def xml(self, *, inactive: bool = False) -> str:
        query = {"inactive": "true" if inactive else "false"}
        text: str = (await self._ask("GET", "", params=query, headers={"accept": XML})).text
        return text

    async def definition(self) -> DomainDefinition:
        """As it runs."""
        from engine.conf import parse_domain

        return parse_domain(await self.xml())

    async def start(self, *, paused: bool = False, force_boot: bool = False) -> None:
        await self._command("start", paused=paused, force_boot=force_boot)

    async def shutdown(self, *, method: str = "default") -> None:
        await self._command("shutdown", method=method)

    async def reboot(self, *, method: str = "default") -> None:
        await self._command("reboot", method=method)

    async def reset(self) -> None:
        await self._command("reset")

    async def suspend(self) -> None:
        await self._command("suspend")

    async def resume(self) -> None:
        await self._command("resume")

    async def destroy(self) -> None:
        await self._command("destroy")

    async def save(self, path: str | os.PathLike[str]) -> None:
        await self._command("save", path=self._engine.door.absolute(path))

    async def managed_save(self) -> None:
        await self._command("managed-save")

    async def set_autostart(self, autostart: bool = True) -> None:
        await self._command("set-autostart", autostart=autostart)

    async def undefine(self, *, managed_save: bool = False) -> None:
        await self._ask("DELETE", "", params={"managed_save": "true" if managed_save else "false"})
        # an active one goes on as a transient domain; of another nothing is left
        state = self.facts.state if self.active else State.NOSTATE.value
        self.facts = msgspec.structs.replace(self.facts, persistent=False, autostart=False, state=state)

    async def agent_command(
        self, name: str, arguments: Mapping[str, JSON] | None = None, *, timeout: float = 30.0
    ) -> Any:
        body = {"command": name, "arguments": arguments, "timeout": timeout}
        return (await self._ask("POST", "/agent", json=body)).json()["return"]

    @asynccontextmanager
    async def open_console(self, device: str = "", *, force: bool = False) -> AsyncIterator[SocketStream]:
        query = {"device": device, "force": "true" if force else "false"}
        async with await self._socket("/console", query) as stream:
            yield stream

    async def open_graphics(self) -> ByteStream:
        return await self._socket("/vnc", {})

    async def screenshot(self) -> Screenshot:
        from engine.abc import Screenshot

        answer = await self._ask("GET", "/screenshot")
        return Screenshot(data=answer.content, media_type=answer.headers["content-type"])

    async def _socket(self, more: str, query: Mapping[str, str]) -> SocketStream:
        from engine.server.client.talking import SocketStream

        asked = urlencode({"connection": self.connection, **query})
        target = f"/v1/domains/{quote(self.uuid)}{more}?{asked}"
        return await SocketStream.connect(self._engine.door, target, error_of)

    async def wait_for(self, *states: State) -> State:
        """Wait until it is in one of ``states``; the one it is in. Raises as ``Domain.wait_for`` does."""
        from engine.events.types import LifecycleEvent

        async with self._engine.subscribe(LifecycleEvent, domain=self.uuid, connection=self.connection) as events:
            while True:
                try:
                    await self.refresh()
                except NoSuchDomain:
                    if State.SHUTOFF not in states:
                        raise
                if self.state in states:
                    return self.state
                await anext(events)

    async def wait_ready(self) -> None:
        await self._wait("ready")

    async def wait_stopped(self) -> None:
        await self._wait("stopped")

    async def _wait(self, until: str) -> None:
        while True:
            answer = await self._ask("GET", "/wait", params={"until": until, "timeout": str(_WAIT)})
            self.facts = msgspec.json.decode(answer.content, type=DomainFacts)
            if answer.status_code == 200:
                return

    async def _command(self, name: str, **body: Any) -> None:
        answer = await self._ask("POST", f"/{name}", json=body)
        self.facts = msgspec.json.decode(answer.content, type=DomainFacts)

    async def _ask(self, method: str, more: str, *, params: Mapping[str, str] | None = None, **options: Any) -> Any:
        path = f"/v1/domains/{quote(self.uuid)}{more}"
        query = {"connection": self.connection, **(params or {})}
        return await self._engine.ask(method, path, params=query, **options)


def error_of(content: bytes) -> EngineError:
    """The engine's error that a problem document tells of: of the same class, with the same words and facts."""
    try:
        problem = msgspec.json.decode(content, type=ProblemDocument)
    except msgspec.DecodeError:
        return ConnectionBroken("the service answers with nonsense")
    cls = getattr(errors, problem.type.rpartition(":")[2], None)
    if not (isinstance(cls, type) and issubclass(cls, EngineError)):
        refused = problem.status in (401, 403)
        return errors.NotAllowed(problem.detail) if refused else EngineError(problem.detail)
    if cls is InvalidDocument and problem.problems:
        return InvalidDocument(problem.problems, source=problem.facts.get("source"))
    error = cls.__new__(cls, problem.detail)
    error.args = (problem.detail,)
    missing = {"source": None, "line": None, "hint": ""}
    for name, fact in {**missing, **problem.facts}.items():
        setattr(error, name, tuple(fact) if isinstance(fact, list) else fact)
    return error


def is_absent(exc: BaseException) -> bool:
    """Nobody listens there: the socket is none, or was left by a service that was killed."""
    refused = _refusal(exc)
    return refused is not None and refused.errno in (errno.ENOENT, errno.ECONNREFUSED)


def _refusal(exc: BaseException | None) -> OSError | None:
    """What the operating system said that is behind it."""
    while exc is not None and not isinstance(exc, OSError):
        exc = exc.__cause__ or exc.__context__
    return exc
