"""The plan: what ``up`` or ``down`` will do, in which order, and how long it can take. Pure and immutable.

There are no waves in what is done: a domain begins the moment the last one it waits for is done. Waves are printed,
because people like to count; the time is that of the critical path.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from functools import cached_property
from typing import Literal

import msgspec

from engine.conf.order import Gate, StopStep
from engine.shutdown.graph import Direction, Kind, OrderGraph

__all__ = ["METHODS", "Facts", "Plan", "PlanStep", "Share", "SkippedStep", "Wait", "make_plan"]

METHODS = frozenset({"agent", "acpi", "save", "destroy"})


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the plan must know of a domain as it is now.

    Attributes:
        active: it has a process; ready: it has passed its gates.
        refused: stop methods that can't work now, each with the reason (``the driver has no such method``, ``it is
            paused``).
    """

    active: bool = False
    ready: bool = False
    refused: Mapping[str, str] = msgspec.field(default_factory=dict)


class Wait(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One domain that another waits for: up until it is ready, down until it is gone.

    Attributes:
        kind: ``requires`` or ``after``.
    """

    key: str
    name: str
    kind: Kind


class SkippedStep(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A step of the ladder that can't work now."""

    method: str
    reason: str


class PlanStep(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with one domain.

    Attributes:
        wave: from 1; one more than the highest it waits for.
        begin: seconds after the plan's beginning at which it begins, if everything before takes as long as it may.
        seconds: the longest it may take itself.
        waits_for: the domains that must be done first, by name.
        ladder: (down) the steps, in turn; skipped: the methods among them that can't work now.
        gates: (up) what makes it ready; all must pass.
        on_stop_failure: (down) ``hold`` or ``go-on`` with those that wait for it.
        critical: it is on the critical path.
        note: why nothing has to be done, or nothing can; "" otherwise.
    """

    key: str
    name: str
    connection: str
    wave: int
    begin: float
    seconds: float
    waits_for: tuple[Wait, ...] = ()
    ladder: tuple[StopStep, ...] = ()
    skipped: tuple[SkippedStep, ...] = ()
    gates: tuple[Gate, ...] = ()
    on_stop_failure: Literal["hold", "go-on"] = "hold"
    critical: bool = False
    note: str = ""

    @property
    def end(self) -> float:
        return self.begin + self.seconds

    @property
    def possible(self) -> tuple[StopStep, ...]:
        """The steps of the ladder that can work now."""
        skipped = {step.method for step in self.skipped}
        return tuple(step for step in self.ladder if step.method not in skipped)


# what killing a guest takes, hung ones aside: where time is short, it is the steps before which may save it from that
_DESTROYS = 1.0


class Share(msgspec.Struct, frozen=True):
    """A domain's part of the time, and the part of those that can only follow it (on the longest way).

    Attributes:
        full, last: seconds of its whole ladder, and of the last step alone; of a ``destroy`` what it is sure to need.
        full_after, last_after: the same, summed over what follows.
    """

    full: float
    last: float
    full_after: float
    last_after: float

    def crowded(self, parallel: int, left: float, busy: float, full: float, last: float) -> Share:
        """The same where no more than ``parallel`` may be under way: others that wait for a place take time, too.

        What all of them need is at most the longest way and, for each place, its part of the rest (Graham 1969); at
        least it is the longer of that way and each place's part of all. If the most is too much for last steps, yet the
        least is not, all time is theirs.

        Args:
            left: seconds for all; busy: those that the ones under way may still take, summed.
            full, last: of those that wait, summed: their whole ladders, their last steps.
        """

        def most(way: float, rest: float) -> float:
            return way + max(0.0, busy + rest - way) / parallel

        way = self.last + self.last_after
        last_all = most(way, self.last + last)
        if last_all > left:
            last_all = max(left, way, (busy + self.last + last) / parallel)
        full_all = max(last_all, most(self.full + self.full_after, self.full + full))
        return Share(self.full, self.last, full_all - self.full, last_all - self.last)

    def allot(self, left: float) -> tuple[float, float]:
        """Of ``left`` seconds for it and what follows: seconds it may take, and how many of them its last step keeps.

        Enough for all: it has its whole ladder. Else last steps keep their time, and the steps before share what is
        over; not even that: all of it is for last steps, and these shrink alike.
        """
        left = max(0.0, left)
        full, last = self.full + self.full_after, self.last + self.last_after
        if full <= left or full == 0:
            return left - self.full_after, self.last
        if last <= left:
            before = (left - last) * (self.full - self.last) / (full - last)
            return before + self.last, self.last
        seconds = self.last * left / last
        return seconds, seconds


class Plan(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """A computed schedule. ``str()`` is a text for people, ``to_json()`` for programs, ``to_svg()`` a picture.

    Attributes:
        direction: ``up`` or ``down``.
        steps: one a domain, each after those it waits for.
        critical_path: the domains whose times add up to the length of the whole, in turn, by name.
        seconds: the longest the whole may take; for ``up``, what gates allow (a start itself has no limit).
        budget: seconds the host gives; None: not known.
        parallel: domains that may be under way at the same time; None: no limit.
    """

    direction: Direction
    steps: tuple[PlanStep, ...] = ()
    critical_path: tuple[str, ...] = ()
    seconds: float = 0.0
    budget: float | None = None
    parallel: int | None = None

    @property
    def fits(self) -> bool | None:
        """Whether it fits the budget; None: no budget is known."""
        return None if self.budget is None else self.seconds <= self.budget

    @property
    def spare(self) -> float | None:
        """Seconds to spare; negative: too long by so much. None: no budget is known."""
        return None if self.budget is None else self.budget - self.seconds

    @property
    def because(self) -> tuple[tuple[str, float], ...]:
        """Those that make it as long as it is, and the seconds of each, the longest first."""
        critical = sorted((step for step in self.steps if step.critical), key=lambda step: (-step.seconds, step.name))
        return tuple((step.name, step.seconds) for step in critical if step.seconds > 0)

    @property
    def waves(self) -> tuple[tuple[str, ...], ...]:
        """The names in each wave."""
        waves: list[list[str]] = [[] for _ in range(max((step.wave for step in self.steps), default=0))]
        for step in self.steps:
            waves[step.wave - 1].append(step.name)
        return tuple(map(tuple, waves))

    @property
    def unstoppable(self) -> tuple[str, ...]:
        """(down) Domains that no step of their ladder can stop now."""
        return tuple(step.name for step in self.steps if self.direction == "down" and not step.possible)

    @cached_property
    def by_key(self) -> Mapping[str, PlanStep]:
        return {step.key: step for step in self.steps}

    @cached_property
    def shares(self) -> Mapping[str, Share]:
        """How time is to be shared out if it is short, by key."""
        after: dict[str, tuple[float, float]] = {}
        shares: dict[str, Share] = {}
        for step in reversed(self.steps):
            full_after, last_after = after.get(step.key, (0.0, 0.0))
            full, last = step.seconds, step.possible[-1].timeout if step.possible else step.seconds
            if step.possible and step.possible[-1].method == "destroy" and last > _DESTROYS:
                full, last = full - last + _DESTROYS, _DESTROYS
            share = shares[step.key] = Share(full, last, full_after, last_after)
            behind = (share.full + full_after, share.last + last_after)
            for wait in step.waits_for:
                after[wait.key] = max(after.get(wait.key, behind), behind)
        return shares

    def __str__(self) -> str:
        from engine.shutdown.render import plan_text

        return plan_text(self)

    def to_json(self) -> str:
        """All of it, indented; ``fits``, ``spare``, ``because`` and ``waves`` as well."""
        data = msgspec.structs.asdict(self) | {
            "fits": self.fits,
            "spare": self.spare,
            "because": [{"name": name, "seconds": seconds} for name, seconds in self.because],
            "waves": self.waves,
        }
        return msgspec.json.format(msgspec.json.encode(data), indent=2).decode()

    def to_svg(self) -> str:
        """A Gantt chart of the worst case; one self-contained SVG document."""
        from engine.shutdown.chart import plan_svg

        return plan_svg(self)


# ---------------------------------------------------------------------------- making it


def make_plan(
    graph: OrderGraph,
    direction: Direction,
    facts: Mapping[str, Facts],
    *,
    targets: Iterable[str] | None = None,
    budget: float | None = None,
    parallel: int | None = None,
) -> Plan:
    """Compute the plan.

    Args:
        facts: by key; a domain without any is shut off.
        targets: keys of the domains it is about, None: all. What they require (down: what requires them) is added. A
            ``down`` is about those that run.
        budget: seconds the host gives; None: the policy's.
        parallel: domains under way at the same time; None: the policy's.
    """
    chosen = set(graph.sorted(direction)) if targets is None else set(graph.closure(direction, targets))
    if direction == "down":
        chosen = {key for key in chosen if key in facts and facts[key].active}
    steps = [
        _step(graph, direction, facts.get(key, Facts()), key, waits)
        for key, waits in graph.waits(direction, chosen).items()
    ]
    budget = graph.policy.budget if budget is None and direction == "down" else budget
    parallel = graph.policy.parallel if parallel is None else parallel
    return _schedule(direction, steps, budget, parallel)


def _step(graph: OrderGraph, direction: Direction, facts: Facts, key: str, waits: Mapping[str, Kind]) -> PlanStep:
    member, order = graph.member(key), graph.order(key)
    waits_for = [Wait(key=other, name=graph.member(other).name, kind=kind) for other, kind in waits.items()]
    step = PlanStep(
        key=key,
        name=member.name,
        connection=member.connection,
        wave=1,
        begin=0.0,
        seconds=0.0,
        waits_for=tuple(sorted(waits_for, key=lambda wait: (wait.name, wait.key))),
    )
    replace = msgspec.structs.replace
    if direction == "up":
        if facts.active and facts.ready:
            return replace(step, note="ready already")
        return replace(step, gates=order.gates, seconds=max(map(_gate_seconds, order.gates), default=0.0))
    skipped = [SkippedStep(method=m, reason=facts.refused[m]) for m in _methods(order.ladder) if m in facts.refused]
    seconds = [rung.timeout for rung in order.ladder if rung.method not in facts.refused]
    return replace(
        step,
        ladder=order.ladder,
        skipped=tuple(skipped),
        seconds=sum(seconds),
        on_stop_failure=order.on_stop_failure or "hold",
        note="" if seconds else "nothing in its ladder can stop it now",
    )


def _methods(ladder: Iterable[StopStep]) -> Iterable[str]:
    return dict.fromkeys(rung.method for rung in ladder)


def _gate_seconds(gate: Gate) -> float:
    return gate.seconds if gate.kind == "delay" else gate.timeout


def _schedule(direction: Direction, steps: list[PlanStep], budget: float | None, parallel: int | None) -> Plan:
    """Set begin, wave and critical; the steps come in an order in which each is after those it waits for."""
    ends: dict[str, float] = {}
    waves: dict[str, int] = {}
    by_key = {step.key: step for step in steps}
    begins: dict[str, float] = {}
    for step in steps:
        begins[step.key] = max((ends[wait.key] for wait in step.waits_for), default=0.0)
        waves[step.key] = 1 + max((waves[wait.key] for wait in step.waits_for), default=0)
        ends[step.key] = begins[step.key] + step.seconds
    length = max(ends.values(), default=0.0)
    path = _critical_path(steps, by_key, begins, ends)
    if parallel is not None and parallel < len(steps):
        # what any schedule that never idles a free place needs at most (Graham 1969), whatever each domain really takes
        length += (sum(step.seconds for step in steps) - length) / parallel
        begins = _begins_limited(steps, parallel)
    critical = set(path)
    done = [
        msgspec.structs.replace(step, begin=begins[step.key], wave=waves[step.key], critical=step.key in critical)
        for step in steps
    ]
    done.sort(key=lambda step: (step.wave, step.begin, step.name, step.connection))
    return Plan(
        direction=direction,
        steps=tuple(done),
        critical_path=tuple(by_key[key].name for key in path),
        seconds=length,
        budget=budget,
        parallel=parallel,
    )


def _critical_path(
    steps: Iterable[PlanStep], by_key: Mapping[str, PlanStep], begins: Mapping[str, float], ends: Mapping[str, float]
) -> list[str]:
    last = max(steps, key=lambda step: (ends[step.key], -len(step.waits_for), step.name), default=None)
    if last is None or ends[last.key] == 0.0:
        return []
    path = [last.key]
    while begins[path[-1]] > 0:
        step = by_key[path[-1]]
        held_by = [wait.key for wait in step.waits_for if ends[wait.key] == begins[step.key]]
        path.append(min(held_by, key=lambda key: (by_key[key].seconds == 0, by_key[key].name)))
    return path[::-1]


def _begins_limited(steps: Iterable[PlanStep], parallel: int) -> dict[str, float]:
    """When each begins if only so many may be under way: the one with the longest way after it goes first."""
    plan = Plan(direction="down", steps=tuple(steps))
    followers: dict[str, list[str]] = {}
    missing: dict[str, int] = {}
    waiting: list[tuple[float, int, str]] = []
    place = {step.key: index for index, step in enumerate(plan.steps)}

    def ready(key: str) -> None:
        share = plan.shares[key]
        heapq.heappush(waiting, (-(share.full + share.full_after), place[key], key))

    for step in plan.steps:
        missing[step.key] = len(step.waits_for)
        for wait in step.waits_for:
            followers.setdefault(wait.key, []).append(step.key)
        if not step.waits_for:
            ready(step.key)
    begins: dict[str, float] = {}
    under_way: list[tuple[float, int, str]] = []
    now = 0.0
    while waiting or under_way:
        while waiting and len(under_way) < parallel:
            key = heapq.heappop(waiting)[2]
            begins[key] = now
            heapq.heappush(under_way, (now + plan.by_key[key].seconds, place[key], key))
        now, _, key = heapq.heappop(under_way)
        for follower in followers.get(key, ()):
            missing[follower] -= 1
            if not missing[follower]:
                ready(follower)
    return begins
