"""What is done with domains: commands, restore; waited for, or as operations."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Literal

import msgspec

from engine.domain import Domain
from engine.errors import NoSuchDomain
from engine.server.access.tokens import in_scope
from engine.server.api.facts import DomainFacts, domain_facts
from engine.server.api.routes import AbsolutePath, Answer, Body, Call, Name, Route
from engine.server.operations import Operation, path_of
from engine.server.problems import Fault

__all__ = ["ROUTES", "OneQuery", "accepted", "answer_work", "domain_asked", "prefers_operation"]


class OneQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: connection: where the domain is, if several have one of its name."""

    connection: Name | None = None


class CommandBody(Body, frozen=True, kw_only=True):
    """What a command is told.

    Attributes:
        paused: (start) leave the CPUs stopped. force_boot: (start) discard a managed save.
        method: (shutdown, reboot) how the guest is asked. path: (save) where to, on the server's host.
        autostart: (set-autostart) start it with the host.
        ready: (start) answer when it is ready; stopped: (shutdown) answer when it is off.
    """

    paused: bool = False
    force_boot: bool = False
    method: Literal["default", "acpi", "agent"] = "default"
    path: AbsolutePath | None = None
    autostart: bool = True
    ready: bool = False
    stopped: bool = False


class RestoreBody(Body, frozen=True, kw_only=True):
    """Attributes: path: of the file; connection: where it is brought back; paused: leave the CPUs stopped."""

    path: AbsolutePath
    connection: Name | None = None
    paused: bool = False


def domain_asked(call: Call) -> Domain:
    """The one that the path names. Raises NoSuchDomain; ConfigError: there are several."""
    domain = call.engine.domain(call.path["domain"], connection=getattr(call.query, "connection", None))
    if not in_scope(call.domains, domain.name):
        raise NoSuchDomain(call.path["domain"])
    return domain


async def _start(domain: Domain, body: CommandBody) -> None:
    await domain.start(paused=body.paused, force_boot=body.force_boot)
    if body.ready:
        await domain.wait_ready()


async def _shutdown(domain: Domain, body: CommandBody) -> None:
    await domain.shutdown(method=body.method)
    if body.stopped:
        await domain.wait_stopped()


async def _save(domain: Domain, body: CommandBody) -> None:
    if body.path is None:
        raise Fault(400, "Bad request", "'save' needs a 'path'")
    await domain.save(body.path)


COMMANDS: dict[str, Callable[[Domain, CommandBody], Awaitable[Any]]] = {
    "start": _start,
    "shutdown": _shutdown,
    "reboot": lambda domain, body: domain.reboot(method=body.method),
    "reset": lambda domain, body: domain.reset(),
    "suspend": lambda domain, body: domain.suspend(),
    "resume": lambda domain, body: domain.resume(),
    "destroy": lambda domain, body: domain.destroy(),
    "save": _save,
    "managed-save": lambda domain, body: domain.managed_save(),
    "set-autostart": lambda domain, body: domain.set_autostart(body.autostart),
}


_WRITES_FILES = frozenset({"save"})


async def command(call: Call) -> Answer:
    name = call.path["command"]
    if name not in COMMANDS:
        raise Fault(404, "Not found", f"there is no command '{name[:40]}'; there are {', '.join(COMMANDS)}")
    if name in _WRITES_FILES and call.role != "admin":  # the file is written as the user that the service runs as
        raise Fault(403, "Not allowed", f"{call.peer.name} is {call.role}, and '{name}' is for admins")
    domain, body = domain_asked(call), call.body

    async def work() -> DomainFacts:
        await COMMANDS[name](domain, body)
        return domain_facts(domain)

    return await answer_work(call, name, work, domain=domain.name)


async def restore(call: Call) -> Answer:
    body: RestoreBody = call.body

    async def work() -> DomainFacts:
        domain = await call.engine.restore(body.path, connection=body.connection, paused=body.paused)
        return domain_facts(domain)

    return await answer_work(call, "restore", work)


async def answer_work(
    call: Call, what: str, work: Callable[[], Awaitable[Any]], *, domain: str | None = None
) -> Answer:
    """Answer with what it comes to, or at once, with the operation, where that is preferred (RFC 7240)."""
    if not prefers_operation(call):
        return Answer(content=await work())
    return accepted(call.operations.begin(what, work, by=call.peer.name, domain=domain))


def prefers_operation(call: Call) -> bool:
    return "respond-async" in call.request.headers.get("prefer", "")


def accepted(operation: Operation) -> Answer:
    headers = {"location": path_of(operation), "preference-applied": "respond-async"}
    return Answer(content=operation, status=202, headers=headers)


ROUTES = (
    Route(
        method="POST",
        path="/v1/restore",
        handler=restore,
        role="admin",
        summary="Bring back what 'save' wrote, from a file on the server's host.",
        body=RestoreBody,
        answers={200: DomainFacts, 202: Operation},
        faults=(404, 409, 422, 502, 503),
    ),
    Route(
        method="POST",
        path="/v1/domains/{domain}/{command}",
        parts={"command": tuple(COMMANDS)},
        handler=command,
        role="operator",
        summary="Carry out a command: start, shutdown, reboot, reset, suspend, resume, destroy, save, managed-save, "
        "set-autostart. With 'Prefer: respond-async' it is answered at once, with the operation.",
        query=OneQuery,
        body=CommandBody,
        answers={200: DomainFacts, 202: Operation},
        faults=(404, 409, 422, 502, 503, 504),
    ),
)
