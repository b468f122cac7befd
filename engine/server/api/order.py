"""The order: what is declared, what would be done, and doing it."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal

import msgspec

from engine.server.api.accepting import wants
from engine.server.api.commands import accepted, prefers_operation
from engine.server.api.declared import Declared, declared_order
from engine.server.api.routes import Answer, Body, Call, Route
from engine.server.api.streams import unless_it_ends
from engine.server.operations import Operation, path_of
from engine.server.problems import Fault
from engine.shutdown.drill import Check
from engine.shutdown.plan import PlanStep
from engine.shutdown.report import Report

__all__ = ["ROUTES"]


class PlanQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: domain: only these, separated by commas, and what goes with them; none at all if it is empty.

    lenient: (down) a plan whatever is declared: what makes no sense is left out.
    """

    domain: str | None = None
    lenient: bool = False


class UpBody(Body, frozen=True, kw_only=True):
    """Attributes: domains: these, and what they require; None: all. connections: of those only the ones at these.

    resume: those that the last ``down`` stopped. autostart: those that are to start with the host.
    """

    domains: tuple[str, ...] | None = None
    connections: tuple[str, ...] | None = None
    resume: bool = False
    autostart: bool = False


class DownBody(Body, frozen=True, kw_only=True):
    """Attributes: domains: these, and what requires them; None: all that run. deadline: seconds to be done in.

    connections: of those only the ones at these, and what requires them.
    """

    domains: tuple[str, ...] | None = None
    connections: tuple[str, ...] | None = None
    deadline: Annotated[float, msgspec.Meta(gt=0, lt=1e9)] | None = None


class DrillBody(Body, frozen=True, kw_only=True):
    """Attributes: domains: as for ``down``."""

    domains: tuple[str, ...] | None = None


async def plan(call: Call) -> Answer:
    direction: Literal["up", "down"]
    match call.path["direction"]:
        case "up" | "down" as direction:
            pass
        case other:
            raise Fault(404, "Not found", f"there is no plan '{other[:40]}'; there are up and down")
    chosen = call.query.domain
    names = None if chosen is None else [name for name in chosen.split(",") if name]
    lenient = call.query.lenient and direction == "down"
    made = call.engine.order.stop_plan(names) if lenient else call.engine.plan(direction, names)
    if wants(call, "image/svg+xml"):
        return Answer(content=made.to_svg().encode(), media_type="image/svg+xml", headers={"vary": "accept"})
    return Answer(content=msgspec.Raw(made.to_json().encode()), headers={"vary": "accept"})


async def declared(call: Call) -> Answer:
    return Answer(content=declared_order(call.engine))


async def answer_plan(call: Call, what: str, work: Callable[[Operation], Awaitable[Any]]) -> Answer:
    """As ``answer_work``; an operation in any case, so that others see it and can cancel it."""
    operation = call.operations.begin_plan(what, work, by=call.peer.name)
    if prefers_operation(call):
        return accepted(operation)
    result = await unless_it_ends(call.ending, partial(call.operations.result, operation))
    return Answer(content=result, headers={"location": path_of(operation)})


async def up(call: Call) -> Answer:
    body: UpBody = call.body
    if body.resume and body.domains:
        raise Fault(400, "Bad request", "'resume' brings back what the last 'down' stopped: it takes no domains")

    async def work(operation: Operation) -> msgspec.Raw:
        report = await call.engine.up(
            body.domains,
            connections=body.connections,
            resume=body.resume,
            autostart=body.autostart,
            cause=operation.id,
        )
        return _settled(operation, report)

    return await answer_plan(call, "up", work)


async def down(call: Call) -> Answer:
    body: DownBody = call.body

    async def work(operation: Operation) -> msgspec.Raw:
        report = await call.engine.down(
            body.domains, connections=body.connections, deadline=body.deadline, cause=operation.id
        )
        return _settled(operation, report)

    return await answer_plan(call, "down", work)


def _settled(operation: Operation, report: Report) -> msgspec.Raw:
    assert operation.progress is not None
    operation.progress.settle(report)
    return msgspec.Raw(report.to_json().encode())


async def drill(call: Call) -> Answer:
    body: DrillBody = call.body

    async def work(operation: Operation) -> msgspec.Raw:
        progress = operation.progress
        assert progress is not None
        steps = call.engine.plan("down", body.domains).steps
        progress.begin("drill", (step.name for step in steps))
        rows = {step.key: row for step, row in zip(steps, progress.domains, strict=True)}

        def told(step: PlanStep, checks: Sequence[Check]) -> None:
            wrong = [f"{check.what}: {check.detail}" for check in checks if not check.ok]
            rows[step.key].connection = step.connection
            progress.move(rows[step.key], "failed" if wrong else "done", "; ".join(wrong) or "fine", time.time())
            call.operations.changed(operation)

        return msgspec.Raw((await call.engine.drill(body.domains, told=told)).to_json().encode())

    return await answer_plan(call, "drill", work)


_ANSWERS: dict[int, Any] = {200: dict[str, Any], 202: Operation}

ROUTES = (
    Route(
        method="GET",
        path="/v1/order",
        handler=declared,
        role="viewer",
        summary="The order that is declared, from all sources, in the order of a start.",
        answers={200: list[Declared]},
        faults=(400,),
    ),
    Route(
        method="GET",
        path="/v1/plan/{direction}",
        parts={"direction": ("up", "down")},
        handler=plan,
        role="viewer",
        summary="What 'up' or 'down' would do now; as a picture where image/svg+xml is accepted.",
        query=PlanQuery,
        answers={200: dict[str, Any]},
        faults=(404,),
    ),
    Route(
        method="POST",
        path="/v1/up",
        handler=up,
        role="operator",
        summary="Start domains in order. The report tells how it went, also where some failed.",
        body=UpBody,
        answers=_ANSWERS,
        faults=(404, 409, 503),
    ),
    Route(
        method="POST",
        path="/v1/down",
        handler=down,
        role="operator",
        summary="Stop domains in order. The report tells how it went, also where some failed.",
        body=DownBody,
        answers=_ANSWERS,
        faults=(404, 409, 503),
    ),
    Route(
        method="POST",
        path="/v1/drill",
        handler=drill,
        role="operator",
        summary="Check on the live guests that 'down' would work; nothing is changed.",
        body=DrillBody,
        answers=_ANSWERS,
        faults=(404, 409, 503),
    ),
)
