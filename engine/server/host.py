"""The server itself: whether it lives, what it is connected to, what goes on, and its own description."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import msgspec

from engine.lifecycle import State
from engine.server.operations import Operation
from engine.server.routes import Answer, Call, Route

__all__ = ["ROUTES"]


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: status: ``ok``."""

    status: Literal["ok"] = "ok"


class Connected(msgspec.Struct, frozen=True, kw_only=True):
    """A connection.

    Attributes:
        uri: of the hypervisor; domains: how many are known there, active: how many of them run.
    """

    uri: str
    domains: int
    active: int


async def health(call: Call) -> Answer:
    return Answer(content=Health())


async def connections(call: Call) -> Answer:
    found = []
    for uri in call.engine.connections:
        domains = call.engine.domains(connection=uri)
        found.append(Connected(uri=uri, domains=len(domains), active=sum(domain.active for domain in domains)))
    return Answer(content=found)


async def list_operations(call: Call) -> Answer:
    return Answer(content=call.operations.list())


async def get_operation(call: Call) -> Answer:
    return Answer(content=call.operations.get(call.path["operation"]))


async def cancel_operation(call: Call) -> Answer:
    return Answer(content=call.operations.cancel(call.path["operation"]), status=202)


async def metrics(call: Call) -> Answer:
    """Source: the OpenMetrics specification 1.0."""
    states = Counter((domain.connection, domain.state) for domain in call.engine.domains())
    lines = ["# TYPE virengine_domains gauge", "# HELP virengine_domains Domains by connection and state."]
    for uri in call.engine.connections:
        for state in State:
            labels = f'connection="{_escaped(uri)}",state="{state.value}"'
            lines.append(f"virengine_domains{{{labels}}} {states[uri, state]}")
    running = sum(operation.state == "running" for operation in call.operations.list())
    for name, help_, value in (
        ("operations_running", "Operations that go on.", running),
        ("event_streams", "Clients that listen to events.", call.streams.total()),
        ("journal_newest", "The number of the newest event.", call.engine.bus.journal.newest),
    ):
        lines += [f"# TYPE virengine_{name} gauge", f"# HELP virengine_{name} {help_}", f"virengine_{name} {value}"]
    text = "\n".join([*lines, "# EOF", ""])
    return Answer(content=text.encode(), media_type="application/openmetrics-text; version=1.0.0; charset=utf-8")


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


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
        summary="Figures for OpenMetrics.",
        answers={200: "application/openmetrics-text"},
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
    Route(
        method="GET",
        path="/v1/operations",
        handler=list_operations,
        role="viewer",
        summary="What goes on, and what ended of late; the newest first.",
        answers={200: list[Operation]},
    ),
    Route(
        method="GET",
        path="/v1/operations/{operation}",
        handler=get_operation,
        role="viewer",
        summary="One of them.",
        answers={200: Operation},
        faults=(404,),
    ),
    Route(
        method="DELETE",
        path="/v1/operations/{operation}",
        handler=cancel_operation,
        role="operator",
        summary="Cancel it: it tells when it has ended.",
        answers={202: Operation},
        faults=(404,),
    ),
)
