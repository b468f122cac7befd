"""What is declared of the order in which domains start and stop, as it is told."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from engine.conf import Gate, StopStep

if TYPE_CHECKING:
    from engine.core import Engine
    from engine.shutdown.graph import Kind, OrderGraph

__all__ = ["Declared", "Wait", "declared_order"]


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """Attributes: name: of the domain that is waited for; kind: ``requires`` or ``after``."""

    name: str
    kind: str


class Declared(msgspec.Struct, frozen=True, kw_only=True):
    """What is declared of a domain's place in the order.

    Attributes:
        key: ``CONNECTION#UUID``. starts_after, stops_after: whom it waits for. gates: when it is ready.
        ladder: how it is stopped; on_stop_failure: what becomes of those that wait, if it can't be.
        sleep: what becomes of it while the host sleeps.
    """

    key: str
    name: str
    connection: str
    starts_after: tuple[Wait, ...]
    stops_after: tuple[Wait, ...]
    gates: tuple[Gate, ...]
    ladder: tuple[StopStep, ...]
    tags: tuple[str, ...]
    on_stop_failure: str
    sleep: str


def declared_order(engine: Engine) -> list[Declared]:
    """Of all domains, in the order of a start. Raises OrderError: it makes no sense."""
    graph = engine.order.graph()
    return [_declared(graph, key) for key in graph.sorted("up")]


def _declared(graph: OrderGraph, key: str) -> Declared:
    member, held = graph.member(key), graph.order(key)
    return Declared(
        key=key,
        name=member.name,
        connection=member.connection,
        starts_after=_waits(graph, graph.start_after(key)),
        stops_after=_waits(graph, graph.stop_after(key)),
        gates=tuple(held.gates),
        ladder=tuple(held.ladder),
        tags=tuple(held.tags),
        on_stop_failure=held.on_stop_failure or "hold",
        sleep=held.sleep or "pause",
    )


def _waits(graph: OrderGraph, found: Mapping[str, Kind]) -> tuple[Wait, ...]:
    told = [Wait(name=graph.member(other).name, kind=kind) for other, kind in found.items()]
    return tuple(sorted(told, key=lambda wait: wait.name))
