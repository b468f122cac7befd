"""The server itself: whether it lives, what it is connected to, what goes on, and its own description."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from engine.server.api.routes import Answer, Call, Route
from engine.server.exposition import OPENMETRICS, TEXT, expose

__all__ = ["ROUTES"]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: status: ``ok``."""

    status: Literal["ok"] = "ok"


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """A connection.

    Attributes:
        uri: of the hypervisor; domain_types: of definitions that it takes.
        domains: how many are known there, active: how many of them run.
    """

    uri: str
    domain_types: tuple[str, ...]
    domains: int
    active: int


async def health(call: Call) -> Answer:
    return Answer(content=Health())


async def connections(call: Call) -> Answer:
    found = []
    for uri in call.engine.connections:
        domains = call.engine.domains(connection=uri)
        active = sum(domain.active for domain in domains)
        types = tuple(sorted(call.engine.driver(uri).domain_types))
        found.append(Connected(uri=uri, domain_types=types, domains=len(domains), active=active))
    return Answer(content=found)


async def metrics(call: Call) -> Answer:
    families = call.metrics.families(streams=call.streams.total(), operations=call.operations, webhooks=call.webhooks)
    text, media_type = expose(families, call.request.headers.get("accept", ""))
    return Answer(content=text, media_type=media_type, headers={"vary": "accept"})


async def description(call: Call) -> Answer:
    return Answer(content=call.describe())


ROUTES = (
    Route(
        method="GET",
        path="/healthz",
        handler=health,
        role=None,
        summary="The server lives.",
        answers={200: Health},
    ),
    Route(
        method="GET",
        path="/readyz",
        handler=health,
        role=None,
        summary="The engine is open: what runs has been taken over.",
        answers={200: Health},
    ),
    Route(
        method="GET",
        path="/metrics",
        handler=metrics,
        role="viewer",
        summary="Figures for Prometheus; as OpenMetrics where that is accepted.",
        answers={200: (TEXT, OPENMETRICS)},
    ),
    Route(
        method="GET",
        path="/v1/openapi.json",
        handler=description,
        role=None,
        summary="This description.",
        answers={200: dict[str, Any]},
    ),
    Route(
        method="GET",
        path="/v1/connections",
        handler=connections,
        role="viewer",
        summary="The connections that are open.",
        answers={200: list[Connected]},
    ),
)
