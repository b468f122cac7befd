"""The drill: what would be done, checked against the live host. It asks, and changes nothing."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeAlias

import anyio
import msgspec

from engine.conf.order import Gate
from engine.errors import EngineError
from engine.shutdown.controls import Controls
from engine.shutdown.gates import GateTarget, probe_gate
from engine.shutdown.ladder import AGENT_ANSWERS
from engine.shutdown.plan import Plan, PlanStep
from engine.shutdown.render import budget_words
from engine.shutdown.words import duration, gate_name

__all__ = ["Check", "Drill", "Told", "drill"]

# domains asked at the same time: a drill of ten thousand must not open ten thousand sockets
_AT_ONCE = 64


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Attributes:
        key, name: of the domain; "" for the plan as a whole.
        what: e.g. ``agent``, ``gate tcp 10.0.0.5:80``, ``ladder``, ``budget``.
        ok: it is as it should be; detail: a clause that says more.
    """

    key: str = ""
    name: str = ""
    what: str
    ok: bool
    detail: str = ""


class Drill(msgspec.Struct, frozen=True, kw_only=True):
    """What a drill found: the plan, and every check in the plan's order."""

    plan: Plan
    checks: tuple[Check, ...] = ()

    @property
    def ok(self) -> bool:
        """All is as it should be."""
        return all(check.ok for check in self.checks)

    def __str__(self) -> str:
        from engine.shutdown.render import drill_text

        return drill_text(self)

    def to_json(self) -> str:
        """All of it, indented."""
        data = {"plan": msgspec.Raw(self.plan.to_json().encode()), "checks": self.checks, "ok": self.ok}
        return msgspec.json.format(msgspec.json.encode(data), indent=2).decode()


#: Called with a step of the plan and all that was found about it.
Told: TypeAlias = Callable[[PlanStep, Sequence[Check]], None]


async def drill(
    plan: Plan,
    controls: Controls,
    gates: Mapping[str, tuple[Gate, ...]],
    *,
    seconds: float = AGENT_ANSWERS,
    told: Told | None = None,
) -> Drill:
    """Check a plan against the domains that run: do agents answer, are gates reachable, can every guest be stopped.

    Args:
        gates: of the domains, by key.
        seconds: each may take to answer.
        told: called for each domain when all about it was looked at.
    """
    found: dict[str, list[Check]] = {step.key: [] for step in plan.steps}
    limit = anyio.CapacityLimiter(_AT_ONCE)

    async def ask(step: PlanStep, look: Callable[..., Awaitable[Check]], *args: object) -> None:
        found[step.key].append(await look(step, *args))

    async def look_at(step: PlanStep) -> None:
        target = controls.target(step.key)
        async with limit, anyio.create_task_group() as looks:
            if plan.direction == "down":
                looks.start_soon(ask, step, _ladder, controls, seconds)
                if any(rung.method == "agent" for rung in step.possible):
                    looks.start_soon(ask, step, _agent, target, seconds)
            if controls.is_active(step.key):
                for gate in gates.get(step.key, ()):
                    if gate.kind not in ("running", "delay"):
                        looks.start_soon(ask, step, _gate, target, gate, seconds)
        if told is not None:
            told(step, found[step.key])

    async with anyio.create_task_group() as tasks:
        for step in plan.steps:
            tasks.start_soon(look_at, step)
    checks = [check for step in plan.steps for check in sorted(found[step.key], key=lambda check: check.what)]
    if plan.budget is not None:
        checks.append(Check(what="budget", ok=bool(plan.fits), detail=budget_words(plan).rstrip(".")))
    return Drill(plan=plan, checks=tuple(checks))


async def _ladder(step: PlanStep, controls: Controls, seconds: float) -> Check:
    methods = [rung.method for rung in step.possible]
    reason = f"it can't be reached: no answer within {duration(2 * seconds)}"
    with anyio.move_on_after(2 * seconds):  # a driver takes its own time until it says so
        try:
            await controls.reach(step.key)
            reason = ""
        except EngineError as exc:
            reason = f"it can't be reached: {exc}"
    ok = bool(methods) and (not reason or "destroy" in methods)
    return Check(key=step.key, name=step.name, what="ladder", ok=ok, detail=reason or ", ".join(methods) or step.note)


async def _agent(step: PlanStep, target: GateTarget, seconds: float) -> Check:
    others = [rung.method for rung in step.possible if rung.method != "agent"]
    reason = f"it did not answer within {duration(seconds)}"
    with anyio.move_on_after(seconds):
        try:
            await target.agent_sync()
            reason = ""
        except EngineError as exc:
            reason = str(exc)
    if reason and others:
        reason += f"; {others[0]} is tried at once"
    return Check(key=step.key, name=step.name, what="agent", ok=not reason or bool(others), detail=reason)


async def _gate(step: PlanStep, target: GateTarget, gate: Gate, seconds: float) -> Check:
    reason = await probe_gate(target, gate, seconds)
    return Check(key=step.key, name=step.name, what=f"gate {gate_name(gate)}", ok=reason is None, detail=reason or "")
