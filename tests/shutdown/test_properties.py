"""What must hold for every order, every guest and every moment: on random graphs, in virtual time, on both backends.

The order is worked out here a second time, by brute force, from the edges alone.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import virtual_time
from support.order_world import NEVER, Guest, World

from engine.conf.order import Edge, Order, StopStep
from engine.conf.policy import Match, Policy, Rule
from engine.errors import CycleError
from engine.shutdown.executor import Down, Up
from engine.shutdown.graph import Declarations, Member, OrderGraph
from engine.shutdown.plan import Facts, Plan, make_plan
from engine.shutdown.report import DONE, Record, Report

LADDER = (StopStep(method="acpi", timeout=1000.0),)
RELAXED = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
backends = pytest.mark.parametrize("backend", virtual_time.BACKENDS)


@dataclass(frozen=True)
class Case:
    """A graph, given by (who, after whom, how, when), and who runs."""

    names: tuple[str, ...]
    edges: tuple[tuple[str, str, str, str], ...]
    running: frozenset[str]

    def members(self, ladder: tuple[StopStep, ...] = LADDER, going_on: Collection[str] = ()) -> list[Member]:
        return [
            Member(
                key=f"key of {name}",
                name=name,
                connection="test:///",
                order=Order(
                    edges=tuple(
                        Edge(domain=target, kind=kind, when=when)  # type: ignore[arg-type]
                        for who, target, kind, when in self.edges
                        if who == name
                    ),
                    ladder=ladder,
                    on_stop_failure="go-on" if name in going_on else "hold",
                ),
            )
            for name in self.names
        ]

    def before(self, side: str) -> dict[str, set[str]]:
        """All that each comes up after (goes down before), near and far."""
        near: dict[str, set[str]] = {name: set() for name in self.names}
        for who, target, _, when in self.edges:
            if when in ("both", side):
                near[who].add(target)
        far = {name: set(others) for name, others in near.items()}
        for _ in self.names:
            for name in self.names:
                for other in tuple(far[name]):
                    far[name] |= near[other]
        return far


@st.composite
def cases(draw: st.DrawFn, *, most: int = 7) -> Case:
    names = tuple(f"d{index}" for index in range(draw(st.integers(1, most))))
    pairs = [(who, target) for index, who in enumerate(names) for target in names[:index]]
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, max_size=12)) if pairs else []
    kinds = st.sampled_from(["requires", "after"])
    turned = draw(st.integers(0, 3)) == 0  # with no edge for both sides, stop may run quite another way than start
    whens = st.sampled_from(["start", "stop"] if turned else ["both", "both", "start", "stop"])
    edges = []
    for who, target in chosen:
        when = draw(whens)
        pair = (target, who) if turned and when == "stop" else (who, target)
        edges.append((*pair, draw(kinds), when))
    running = frozenset(name for name in names if draw(st.integers(0, 4)) > 0)
    return Case(names, tuple(edges), running)


times = st.sampled_from([0.0, 0.25, 1.0, 2.0, 5.0, 30.0])


def named(report_or_times: dict[str, float]) -> dict[str, float]:
    return {key.removeprefix("key of "): value for key, value in report_or_times.items()}


def plan_of(case: Case, world: World, direction: Any, members: list[Member] | None = None, **options: Any) -> Plan:
    facts = {key: Facts(active=guest.active, ready=guest.ready) for key, guest in world.guests.items()}
    return make_plan(OrderGraph.build(members or case.members()), direction, facts, **options)


def longest_way(case: Case, before: dict[str, set[str]], seconds: dict[str, float]) -> float:
    """The critical path over those in ``seconds``: brute force over the far order."""
    done: dict[str, float] = {}
    for name in sorted(seconds, key=lambda name: len(before[name] & seconds.keys())):
        done[name] = seconds[name] + max((done[other] for other in before[name] if other in seconds), default=0.0)
    return max(done.values(), default=0.0)


def turned(before: dict[str, set[str]]) -> dict[str, set[str]]:
    return {name: {other for other in before if name in before[other]} for name in before}


@backends
@RELAXED
@given(data=st.data(), case=cases())
def test_down_stops_nobody_before_its_dependents_and_takes_the_critical_path(
    backend: str, data: st.DataObject, case: Case
) -> None:
    seconds = {name: data.draw(times, name) for name in case.names}
    world = World({f"key of {name}": Guest(acpi=seconds[name], active=name in case.running) for name in case.names})

    async def main() -> Report:
        async with world:
            return await Down(plan_of(case, world, "down"), world).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    assert report.ok
    assert set(report.done) == case.running
    asked, gone = named(world.times("ask acpi")), named(world.times("gone"))
    before = case.before("stop")
    for name in case.running:
        for other in before[name] & case.running:
            assert asked[other] >= gone[name], f"{other} was asked while {name} still ran"
    expected = longest_way(case, turned(before), {name: seconds[name] for name in case.running})
    assert report.seconds == pytest.approx(expected, abs=1e-6)


@backends
@RELAXED
@given(data=st.data(), case=cases())
def test_up_starts_nobody_before_what_it_waits_for_and_takes_the_critical_path(
    backend: str, data: st.DataObject, case: Case
) -> None:
    seconds = {name: data.draw(times, name) for name in case.names}
    world = World({f"key of {name}": Guest(boot=seconds[name], active=False, ready=False) for name in case.names})

    async def main() -> Report:
        async with world:
            return await Up(plan_of(case, world, "up"), world).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    assert report.ok
    started, ready = named(world.times("start")), named(world.times("ready"))
    before = case.before("start")
    for name in case.names:
        for other in before[name]:
            assert started[name] >= ready[other]
    assert report.seconds == pytest.approx(longest_way(case, before, seconds), abs=1e-6)


def far(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Also those that follow from two others."""
    while more := {(x, z) for x, y in pairs for also_y, z in pairs if y == also_y} - pairs:
        pairs = pairs | more
    return pairs


@RELAXED
@given(data=st.data(), case=cases(most=9), turned_back=st.booleans())
def test_the_plan_and_the_edges_told_to_systemd_agree(data: st.DataObject, case: Case, turned_back: bool) -> None:
    """For whoever runs, wherever the order stands, on circles too: down waits for X before it stops Y exactly when X's
    scope is after Y's."""
    edges = [*case.edges]
    if turned_back and edges:
        edges += [
            (there, here, *rest) for here, there, *rest in data.draw(st.lists(st.sampled_from(edges), max_size=3))
        ]  # type: ignore[misc]
    sources = [data.draw(st.sampled_from(["own", "policy", "code"])) for _ in edges]

    def declared(source: str) -> list[tuple[str, Edge]]:
        return [
            (who, Edge(domain=target, kind=kind, when=when))  # type: ignore[arg-type]
            for (who, target, kind, when), where in zip(edges, sources, strict=True)
            if where == source
        ]

    rules = tuple(Rule(match=Match(name=who), order=Order(edges=(edge,))) for who, edge in declared("policy"))
    declarations = Declarations(Policy(rules=rules), declared("code"))
    for name in case.names:
        own = tuple(edge for who, edge in declared("own") if who == name)
        declarations.put(Member(key=f"key of {name}", name=name, connection="test:///", order=Order(edges=own)))
    graph, problems = declarations.lenient_graph()
    running = {f"key of {name}" for name in case.running}
    plan = make_plan(graph, "down", {key: Facts(active=True) for key in running})
    by_plan = far({(wait.key, step.key) for step in plan.steps for wait in step.waits_for})
    by_systemd = {(x, y) for x in running for y in declarations.scopes_after(x) if y in running}
    assert by_plan == by_systemd
    assert by_systemd == {(x, y) for y in running for x in declarations.scopes_before(y) if x in running}
    assert not any((y, x) in by_systemd for x, y in by_systemd)
    if not problems:
        by_force = far({(who, target) for who, target, _, when in edges if when != "start"})
        assert by_systemd == {
            (f"key of {x}", f"key of {y}") for x, y in by_force if x in case.running and y in case.running
        }


@backends
@RELAXED
@given(data=st.data(), case=cases())
def test_cancelling_at_any_moment_leaves_nobody_unaccounted_for_and_it_can_go_on(
    backend: str, data: st.DataObject, case: Case
) -> None:
    guests = {f"key of {name}": Guest(acpi=data.draw(times, name), active=name in case.running) for name in case.names}
    moment = data.draw(st.floats(0.0, 40.0, allow_nan=False), "cancelled at")
    world = World(guests)
    began_with = set(world.running)

    async def main() -> None:
        async with world:
            run = Down(plan_of(case, world, "down"), world)
            with anyio.move_on_after(moment):
                await run.run()
            assert {entry.key for entry in run.report.entries} == began_with
            for entry in run.report.entries:
                assert entry.outcome in DONE | {"interrupted"}
                if entry.outcome in DONE:
                    assert not world.is_active(entry.key)
            record = Record.load(world.records[-1])
            assert record is not None
            assert set(record.keys) == began_with
            assert world.running <= set(record.left)
            report = await Down(plan_of(case, world, "down"), world, record=record).run()
            assert report.ok
            assert not world.running
            record = Record.load(world.records[-1])
            assert record is not None
            assert set(record.keys) == began_with
            assert record.finished

    virtual_time.run(backend, main)
    asked, gone = named(world.times("ask acpi")), named(world.times("gone"))
    before = case.before("stop")
    for name in case.running:
        for other in before[name] & case.running:
            assert asked[other] >= gone[name]


@backends
@RELAXED
@given(data=st.data(), case=cases())
def test_failing_anywhere_leaves_nobody_unaccounted_for(backend: str, data: st.DataObject, case: Case) -> None:
    going_on = data.draw(st.sets(st.sampled_from(case.names)), "go on")
    deaf = {name for name in case.running if data.draw(st.integers(0, 3), name) == 0}
    guests = {
        f"key of {name}": Guest(acpi=NEVER if name in deaf else 1.0, active=name in case.running) for name in case.names
    }
    world = World(guests)

    async def main() -> Report:
        async with world:
            return await Down(plan_of(case, world, "down", case.members(going_on=going_on)), world).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    outcome = {entry.name: entry.outcome for entry in report.entries}
    assert set(outcome) == case.running
    before = case.before("stop")
    for name in case.running:
        # a domain that is held back passes that on, whatever its own policy is
        blocked = any(name in before[other] for other in deaf - going_on)
        assert outcome[name] == ("held" if blocked else "failed" if name in deaf else "stopped")
        assert world.is_active(f"key of {name}") == (blocked or name in deaf)
        if blocked:
            assert world.asked(f"key of {name}") == []


@backends
@RELAXED
@given(data=st.data(), case=cases())
def test_a_start_that_fails_anywhere_fails_exactly_those_that_require_it(
    backend: str, data: st.DataObject, case: Case
) -> None:
    broken = {name for name in case.names if data.draw(st.integers(0, 3), name) == 0}
    world = World({f"key of {name}": Guest(breaks=name in broken, active=False, ready=False) for name in case.names})

    async def main() -> Report:
        async with world:
            return await Up(plan_of(case, world, "up"), world).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    failed = set(broken)
    for _ in case.names:
        failed |= {
            who for who, target, kind, when in case.edges if kind == "requires" and when != "stop" and target in failed
        }
    assert set(report.failed) == failed
    assert {entry.name for entry in report.entries} == set(case.names)
    for entry in report.entries:
        if entry.name in failed - broken:
            assert entry.error == "DependencyFailed"
            assert any(f"'{name}'" in entry.reason for name in failed - {entry.name})
    assert world.running == {f"key of {name}" for name in case.names if name not in failed}


ladders = st.lists(
    st.builds(
        StopStep,
        method=st.sampled_from(["agent", "acpi", "save"]),
        timeout=st.sampled_from([0.0, 1.0, 10.0, 60.0]),
        repeat=st.sampled_from([0.0, 3.0]),
    ),
    min_size=1,
    max_size=4,
).map(tuple)


@backends
@RELAXED
@given(data=st.data(), case=cases(), ladder=ladders, deadline=st.sampled_from([1.0, 7.0, 50.0, 300.0]))
def test_whatever_guests_do_the_deadline_is_kept_and_nobody_is_destroyed(
    backend: str, data: st.DataObject, case: Case, ladder: tuple[StopStep, ...], deadline: float
) -> None:
    answers = st.sampled_from([0.0, 0.5, 5.0, 40.0, NEVER])
    guests = {
        f"key of {name}": Guest(
            agent=data.draw(answers),
            acpi=data.draw(answers),
            save=data.draw(answers),
            sync=data.draw(st.sampled_from([0.0, 0.3, 2.9])),
            silent=data.draw(st.booleans()),
            no_agent=data.draw(st.booleans()),
            paused=data.draw(st.integers(0, 5)) == 0,
            active=name in case.running,
        )
        for name in case.names
    }
    world = World(guests)

    async def main() -> tuple[Report, float]:
        async with world:
            plan = plan_of(case, world, "down", case.members(ladder))
            report = await Down(plan, world, deadline=anyio.current_time() + deadline).run()
            return report, plan.seconds
        raise AssertionError

    report, planned = virtual_time.run(backend, main)
    assert report.seconds <= min(deadline, planned) + 1e-6
    assert {entry.name for entry in report.entries} == case.running
    assert not any(what == "ask destroy" for _, what, _ in world.log)
    for entry in report.entries:
        assert (entry.outcome in DONE) == (not world.is_active(entry.key))
        methods, once = [attempt.method for attempt in entry.tries], [step.method for step in ladder]
        assert methods[: len(once)] == once[: len(methods)]
        rest = iter(once)  # those that were cut short for a last step that failed before its time, again
        assert all(method in rest for method in methods[len(once) :])


@backends
@RELAXED
@given(
    data=st.data(),
    case=cases(),
    ladder=ladders.map(lambda ladder: tuple(step for step in ladder if step.method != "agent")).filter(bool),
    deadline=st.sampled_from([1.0, 7.0, 50.0, 300.0]),
    limit=st.sampled_from([None, 1, 2]),
)
def test_no_last_step_is_cut_while_nobody_else_could_use_the_time(
    backend: str, data: st.DataObject, case: Case, ladder: tuple[StopStep, ...], deadline: float, limit: int | None
) -> None:
    going_on = data.draw(st.sets(st.sampled_from(case.names)), "go on")
    saves = {name: data.draw(st.sampled_from([0.3, 4.0, NEVER]), name) for name in case.names}
    guests = {f"key of {name}": Guest(acpi=NEVER, save=saves[name], active=name in case.running) for name in case.names}
    world = World(guests)

    async def main() -> Report:
        async with world:
            plan = plan_of(case, world, "down", case.members(ladder, going_on), parallel=limit)
            return await Down(plan, world, deadline=anyio.current_time() + deadline).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    before = case.before("stop")
    by_name = {entry.name: entry for entry in report.entries}

    failed_at = {
        name: entry.began + entry.seconds
        for name, entry in by_name.items()
        if entry.outcome == "failed" and entry.began is not None and name not in going_on
    }

    def has_a_use(other: str, name: str, moment: float) -> bool:
        """It has not begun by then, nothing holds it back, and it waits for the one that ends, or for a place."""
        began = by_name[other].began
        held = any(other in before[holder] and ended <= moment + 1e-6 for holder, ended in failed_at.items())
        return not held and (began is None or began >= moment - 1e-6) and (limit is not None or other in before[name])

    for entry in report.entries:
        if entry.outcome != "failed" or entry.began is None:
            continue
        end = entry.began + entry.seconds
        cut = len(entry.tries) < len(ladder) or entry.tries[-1].seconds < ladder[-1].timeout - 1e-6
        if cut and end < deadline - 1e-6:
            others = by_name.keys() - {entry.name}
            assert any(has_a_use(other, entry.name, end) for other in others), f"{entry.name} was cut at {end}"


@backends
@RELAXED
@given(data=st.data(), case=cases(), limit=st.integers(1, 3))
def test_with_a_limit_it_holds_the_limit_the_order_and_the_bound(
    backend: str, data: st.DataObject, case: Case, limit: int
) -> None:
    seconds = {name: data.draw(times, name) for name in case.names}
    slow = {name: data.draw(times.filter(bool), name) for name in case.names}  # what each is planned with
    members = [
        Member(
            key=member.key,
            name=member.name,
            connection=member.connection,
            order=Order(
                edges=member.order.edges, ladder=(StopStep(method="acpi", timeout=max(slow[member.name], 1.0)),)
            ),
        )
        for member in case.members()
    ]
    guests = {
        f"key of {name}": Guest(acpi=min(seconds[name], slow[name]) * 0.9, active=name in case.running)
        for name in case.names
    }
    world = World(guests)

    async def main() -> tuple[Report, Plan]:
        async with world:
            plan = plan_of(case, world, "down", members, parallel=limit)
            return await Down(plan, world).run(), plan
        raise AssertionError

    report, plan = virtual_time.run(backend, main)
    assert report.ok
    assert report.seconds <= plan.seconds + 1e-6
    assert max((step.end for step in plan.steps), default=0.0) <= plan.seconds + 1e-6
    asked, gone = named(world.times("ask acpi")), named(world.times("gone"))
    for time in asked.values():
        assert sum(asked[name] <= time < gone[name] for name in asked) <= limit
    before = case.before("stop")
    for name in case.running:
        for other in before[name] & case.running:
            assert asked[other] >= gone[name]


@RELAXED
@given(case=cases(), running=st.booleans())
def test_the_plan_is_the_critical_path_and_its_steps_add_up(case: Case, running: bool) -> None:
    facts = {f"key of {name}": Facts(active=True) for name in case.running}
    plan = make_plan(OrderGraph.build(case.members()), "down", facts)
    before = turned(case.before("stop"))
    assert plan.seconds == longest_way(case, before, dict.fromkeys(case.running, 1000.0))
    by_name = {step.name: step for step in plan.steps}
    assert sum(by_name[name].seconds for name in plan.critical_path) == plan.seconds
    assert {step.name for step in plan.steps if step.critical} == set(plan.critical_path)
    for first, then in pairwise(plan.critical_path):
        assert first in before[then]
        assert by_name[then].begin == by_name[first].end
    seen: set[str] = set()
    for step in plan.steps:
        assert {wait.key for wait in step.waits_for} <= seen
        assert step.wave == 1 + max((by_name[wait.name].wave for wait in step.waits_for), default=0)
        seen.add(step.key)
    assert [name for wave in plan.waves for name in wave] == [step.name for step in plan.steps]


@RELAXED
@given(
    names=st.integers(2, 8).map(lambda count: [f"d{index}" for index in range(count)]),
    data=st.data(),
)
def test_a_circle_is_always_found_and_its_path_is_true(names: list[str], data: st.DataObject) -> None:
    pairs = [(who, target) for who in names for target in names if who != target]
    edges = data.draw(
        st.lists(st.tuples(st.sampled_from(pairs), st.sampled_from(["both", "start", "stop"])), max_size=14)
    )
    members = [
        Member(
            key=f"key of {name}",
            name=name,
            order=Order(edges=tuple(Edge(domain=pair[1], when=when) for pair, when in edges if pair[0] == name)),  # type: ignore[arg-type]
        )
        for name in names
    ]

    def reaches_itself(side: str) -> bool:
        near = {name: {pair[1] for pair, when in edges if pair[0] == name and when in ("both", side)} for name in names}
        far = {name: set(others) for name, others in near.items()}
        for _ in names:
            for name in names:
                far[name] |= {further for other in far[name] for further in near[other]}
        return any(name in far[name] for name in names)

    circular = reaches_itself("start") or reaches_itself("stop")
    try:
        OrderGraph.build(members)
    except CycleError as error:
        assert circular
        assert error.path[0] == error.path[-1]
        assert len(set(error.path[:-1])) == len(error.path) - 1 >= 2
        for side in ("start", "stop"):
            known = {pair for pair, when in edges if when in ("both", side)}
            if all(step in known for step in pairwise(error.path)):
                break
        else:
            pytest.fail(f"{error.path} is not a path along the edges {edges}")
        assert " -> ".join(error.path) in str(error)
    else:
        assert not circular
