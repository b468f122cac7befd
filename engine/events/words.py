"""Events in words, a line each."""

from __future__ import annotations

from datetime import datetime

from engine.events import types
from engine.events.encoding import type_name

__all__ = ["clock", "describe", "subject"]

_COMMON = frozenset(types.DomainEvent.__struct_fields__) | {"connection"}


def clock(event: types.Event, *, date: bool = True) -> str:
    """When it happened, in local time, to the millisecond."""
    when = datetime.fromtimestamp(event.time).astimezone()
    return when.isoformat(sep=" ", timespec="milliseconds")[0 if date else 11 : 23]


def subject(event: types.Event) -> str:
    """What it is about: a domain, a connection, or the engine itself."""
    name: str = getattr(event, "domain", "") or getattr(event, "connection", "") or "engine"
    return name


def describe(event: types.Event) -> str:
    """What happened, without when and to whom."""
    match event:
        case types.DomainReady(gate=gate, seconds=seconds):
            return f"ready ({gate}) {seconds:.1f} s after its start"
        case types.DomainNotReady(reason=reason, going_on=going_on):
            return f"not ready: {reason}" + ("; going on without" if going_on else "")
        case types.DomainStopTried(method=method, outcome="started", timeout=timeout):
            return f"stop tried: {method}, for at most {timeout:.3g} s"
        case types.DomainStopTried(method=method, outcome=outcome, reason=reason):
            return f"stop {outcome}: {method}" + (f": {reason}" if reason else "")
        case types.CommandFailed(command=command, error=error):
            return f"{command} failed: {error}"
        case types.AutostartChanged(autostart=autostart):
            return "is started with the host" if autostart else "is no longer started with the host"
        case types.PlanStarted(direction=direction, domains=domains, resumed=resumed):
            return f"{direction} {'goes on' if resumed else 'begins'}: {' '.join(domains) or 'nothing to do'}"
        case types.PlanFinished(direction=direction, done=done, failed=failed, seconds=seconds):
            trouble = f", failed: {' '.join(failed)}" if failed else ""
            return f"{direction} finished after {seconds:.1f} s: {len(done)} done{trouble}"
        case types.Gap(missed=missed):
            return f"{missed} events were lost here"
        case types.LifecycleEvent(detail=detail):
            return f"{_verb(event)} ({detail})"
    facts = ", ".join(
        f"{name}={getattr(event, name)}"
        for name in event.__struct_fields__
        if name not in _COMMON and getattr(event, name) != ""
    )
    return f"{_verb(event)}: {facts}" if facts else _verb(event)


def _verb(event: types.Event) -> str:
    """``DomainShuttingDown``: "shutting down"; ``ConnectionOpened``: "connection opened"."""
    kind = type_name(type(event)).removeprefix("org.virengine.")
    return kind.removeprefix("domain.").replace("-", " ").replace(".", " ")
