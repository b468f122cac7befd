"""Domains: list, define, look at, command."""

from __future__ import annotations

import hashlib
from typing import Annotated, Literal
from urllib.parse import urlencode

import anyio
import msgspec

from engine.abc import DomainInfo
from engine.conf import parse_domain
from engine.conf.documents import parse
from engine.conf.nodes.writing import text_of
from engine.domain import Domain
from engine.errors import NoSuchDomain
from engine.glance import by_activity, domain_table, view_of
from engine.server.access.tokens import in_scope
from engine.server.api.accepting import wants
from engine.server.api.commands import OneQuery, domain_asked
from engine.server.api.facts import DomainFacts, domain_facts
from engine.server.api.routes import Answer, Call, Name, Route
from engine.server.api.streams import unless_it_ends
from engine.server.problems import Fault
from engine.util.printable import printable
from engine.util.table import plain_table

__all__ = ["ROUTES"]

XML, TEXT = "application/xml", "text/plain"
# seconds
_LONGEST_WAIT = 300.0


class ListQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which domains.

    Attributes:
        connection: only of this one. active: only those that run, or that do not.
        lines: what those of an answer in text/plain are: a table as of ``virengine list``, names, or UUIDs.
        limit: so many at most; after, after_connection: only those that come after this one.
    """

    connection: Name | None = None
    active: bool | None = None
    lines: Literal["table", "name", "uuid"] = "table"
    limit: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1000
    after: str = ""
    after_connection: str = ""


class XmlQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: connection: as ever; inactive: the definition for the next start, also of one that runs."""

    connection: Name | None = None
    inactive: bool = False


class DefineQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: connection: where to define it; validate: hold the document to all that libvirt's are held to."""

    connection: Name | None = None
    validate: bool = True


class UndefineQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: connection: as ever; managed_save: discard its managed save, too."""

    connection: Name | None = None
    managed_save: bool = False


async def list_domains(call: Call) -> Answer:
    query: ListQuery = call.query
    found = sorted(call.engine.domains(connection=query.connection), key=_place)
    found = [domain for domain in found if in_scope(call.domains, domain.name)]
    if query.active is not None:
        found = [domain for domain in found if domain.active is query.active]
    if query.after:
        found = [domain for domain in found if _place(domain) > (query.after, query.after_connection)]
    page = found[: query.limit]
    headers = {"link": f'<{_next(call, page[-1])}>; rel="next"'} if len(found) > len(page) else {}
    headers["vary"] = "accept"
    if wants(call, TEXT):
        return Answer(content=_text(page, query.lines).encode(), media_type=f"{TEXT}; charset=utf-8", headers=headers)
    return Answer(content=[domain_facts(domain) for domain in page], headers=headers)


def _text(page: list[Domain], lines: str) -> str:
    """As ``virengine list`` has it in a pipe, those that run first."""
    views = sorted(
        (view_of(domain, domain.handle.leader if domain.active else None) for domain in page), key=by_activity
    )
    text = plain_table(*domain_table(views)) if lines == "table" else "\n".join(getattr(view, lines) for view in views)
    return f"{printable(text)}\n" if text else ""


def _next(call: Call, last: Domain) -> str:
    asked = dict(call.request.query_params) | {"after": last.name, "after_connection": last.connection}
    return f"?{urlencode(asked)}"


def _place(domain: Domain) -> tuple[str, str]:
    return domain.name, domain.connection


async def define(call: Call) -> Answer:
    query: DefineQuery = call.query
    headers = call.request.headers
    conditional = "if-match" in headers or "if-none-match" in headers
    if conditional or call.domains:
        name = parse_domain(call.body).name
        if not in_scope(call.domains, name):
            raise Fault(403, "Not allowed", f"{call.peer.name} may have nothing to do with domain '{name[:60]}'")
        if conditional:
            _check_unchanged(call, name, query.connection)
    domain = await call.engine.define(call.body, connection=query.connection, validate=query.validate)
    location = f"/v1/domains/{domain.uuid}"
    return Answer(content=domain_facts(domain), status=201, headers={"location": location, "etag": etag_of(domain)})


def etag_of(domain: Domain) -> str:
    return f'"{hashlib.sha256(domain.xml(inactive=True).encode()).hexdigest()[:32]}"'


def _check_unchanged(call: Call, name: str, connection: str | None) -> None:
    """Nobody's change is overwritten by somebody who has not seen it."""
    try:
        tag: str | None = etag_of(call.engine.domain(name, connection=connection))
    except NoSuchDomain:
        tag = None
    match, none_match = call.request.headers.get("if-match"), call.request.headers.get("if-none-match")
    if match is not None and (tag is None or (match != "*" and tag not in _tags(match))):
        raise Fault(412, "Precondition failed", f"domain '{name}' is not as it was when it was read")
    if none_match is not None and tag is not None and (none_match == "*" or tag in _tags(none_match)):
        raise Fault(412, "Precondition failed", f"domain '{name}' is there already")


def _tags(text: str) -> set[str]:
    return {part.strip() for part in text.split(",")}


async def get_domain(call: Call) -> Answer:
    domain = domain_asked(call)
    headers = {"etag": etag_of(domain), "vary": "accept"}
    if wants(call, XML):
        text = domain.xml(inactive=call.query.inactive)
        if call.role == "viewer":
            text = _without_secrets(text)
        return Answer(content=text.encode(), media_type=XML, headers=headers)
    return Answer(content=domain_facts(domain, pid=(await domain.info()).pid), headers=headers)


def _without_secrets(text: str) -> str:
    """For those who may only look: no passwords of screens."""
    definition = parse(text, validate=False)
    return text_of(definition.kind, definition, hide=True)


async def undefine(call: Call) -> Answer:
    domain = domain_asked(call)
    if "if-match" in call.request.headers:
        _check_unchanged(call, domain.name, domain.connection)
    await domain.undefine(managed_save=call.query.managed_save)
    return Answer(status=204)


async def get_info(call: Call) -> Answer:
    return Answer(content=await domain_asked(call).info())


class WaitQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: connection: as ever; until: what is waited for; timeout: seconds that it may take, 300 at most."""

    connection: Name | None = None
    until: Literal["ready", "stopped"] = "ready"
    timeout: Annotated[float, msgspec.Meta(gt=0, le=_LONGEST_WAIT)] = 60.0


async def wait(call: Call) -> Answer:
    domain, query = domain_asked(call), call.query
    with anyio.move_on_after(query.timeout) as within:
        await unless_it_ends(call.ending, domain.wait_ready if query.until == "ready" else domain.wait_stopped)
    # whoever waits longer asks again: 202 is no failure
    return Answer(content=domain_facts(domain), status=202 if within.cancelled_caught else 200)


ROUTES = (
    Route(
        method="GET",
        path="/v1/domains",
        handler=list_domains,
        role="viewer",
        summary="The domains, by name.",
        query=ListQuery,
        answers={200: (list[DomainFacts], TEXT)},
        faults=(404,),
        scoped=True,
    ),
    Route(
        method="POST",
        path="/v1/domains",
        handler=define,
        role="admin",
        summary="Define a domain: the XML is the body. With If-Match only if it is as it was.",
        query=DefineQuery,
        body="xml",
        answers={201: DomainFacts},
        faults=(404, 409, 412, 422),
        scoped=True,
    ),
    Route(
        method="GET",
        path="/v1/domains/{domain}",
        handler=get_domain,
        role="viewer",
        summary="One domain, by its name or UUID; as XML where that is accepted.",
        query=XmlQuery,
        answers={200: (DomainFacts, XML)},
        faults=(404,),
    ),
    Route(
        method="GET",
        path="/v1/domains/{domain}/info",
        handler=get_info,
        role="viewer",
        summary="What a domain uses now.",
        query=OneQuery,
        answers={200: DomainInfo},
        faults=(404, 502, 504),
    ),
    Route(
        method="GET",
        path="/v1/domains/{domain}/wait",
        handler=wait,
        role="viewer",
        summary="Answer when the domain is ready, or off; with 202 if that takes longer.",
        query=WaitQuery,
        answers={200: DomainFacts, 202: DomainFacts},
        faults=(404, 409, 502, 503),
    ),
    Route(
        method="DELETE",
        path="/v1/domains/{domain}",
        handler=undefine,
        role="admin",
        summary="Forget the definition of a domain.",
        query=UndefineQuery,
        answers={204: None},
        faults=(404, 409, 412),
    ),
)
