"""What a domain declares about its order: edges, gate, ladder. Pure data; ``engine.shutdown.graph`` makes the graph."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["ORDER_NAMESPACE", "Edge", "Gate", "Order", "StopStep"]

#: The namespace of our elements inside ``<metadata>``.
ORDER_NAMESPACE = "urn:virengine:order:1"

When = Literal["both", "start", "stop"]


class Edge(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """``web after db``: the domain that declares it comes up after ``domain`` and goes down before it.

    Attributes:
        domain: the name it is ordered after.
        kind: ``requires`` (a failed start of it fails this one) or ``after`` (order only).
        when: ``both``, or only for ``start`` or ``stop``.
        line: of the XML or policy file, 0 if unknown.
    """

    domain: str
    kind: Literal["requires", "after"] = "after"
    when: When = "both"
    line: int = 0


class Gate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What makes a domain ready.

    Attributes:
        kind: ``running`` | ``agent`` | ``tcp`` | ``http`` | ``serial`` | ``delay``.
        timeout: seconds before it has failed.
        on_timeout: ``fail`` or ``go-on`` (dependents start all the same).
        host, port: for ``tcp``; url, status: for ``http``; pattern: regular expression for ``serial``;
        seconds: for ``delay``.
    """

    kind: Literal["running", "agent", "tcp", "http", "serial", "delay"] = "running"
    timeout: float = 60.0
    on_timeout: Literal["fail", "go-on"] = "fail"
    host: str = ""
    port: int = 0
    url: str = ""
    status: int = 200
    pattern: str = ""
    seconds: float = 0.0
    line: int = 0


class StopStep(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One step of a stop ladder.

    Attributes:
        method: ``agent`` | ``acpi`` | ``save`` | ``destroy``.
        timeout: seconds it is given; repeat: seconds after which it is asked again (0: once).
    """

    method: Literal["agent", "acpi", "save", "destroy"]
    timeout: float
    repeat: float = 0.0
    line: int = 0


class Order(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """All that one domain (or one rule of a policy) declares.

    Attributes:
        edges: see ``Edge``.
        gates: all must pass for the domain to be ready; empty: ``running``.
        ladder: stop steps in turn; empty: the default ladder.
        tags: names a policy can match by.
        on_stop_failure: ``hold`` keeps what depends on this domain's being gone from stopping; ``go-on`` does not.
            None: the engine's policy.
    """

    edges: tuple[Edge, ...] = ()
    gates: tuple[Gate, ...] = ()
    ladder: tuple[StopStep, ...] = ()
    tags: tuple[str, ...] = ()
    on_stop_failure: Literal["hold", "go-on"] | None = None


#: Without a ladder of its own a domain is stopped so: agent if it answers, acpi, save. Never destroy.
DEFAULT_LADDER = (
    StopStep(method="agent", timeout=30.0),
    StopStep(method="acpi", timeout=120.0, repeat=10.0),
    StopStep(method="save", timeout=120.0),
)
