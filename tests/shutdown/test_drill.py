from __future__ import annotations

import json

import anyio
from support.golden import check_golden
from support.order_world import NEVER, Guest, World

from engine.conf.order import Edge, Gate, Order, StopStep
from engine.shutdown.drill import drill
from engine.shutdown.graph import Member, OrderGraph
from engine.shutdown.plan import Facts, make_plan
from engine.shutdown.report import Entry, Report, Try


def member(name: str, *required: str, gates: tuple[Gate, ...] = (), ladder: tuple[StopStep, ...] = ()) -> Member:
    edges = tuple(Edge(domain=other, kind="requires") for other in required)
    return Member(key=name, name=name, connection="test:///", order=Order(edges=edges, gates=gates, ladder=ladder))


async def test_a_drill_asks_and_changes_nothing(free_tcp_port: int) -> None:
    closed = Gate(kind="tcp", host="127.0.0.1", port=free_tcp_port)
    agent_only = (StopStep(method="agent", timeout=30.0),)
    members = [
        member("db", gates=(Gate(kind="agent"), Gate(kind="delay", seconds=1e6))),
        member("web", "db", gates=(closed,)),
        member("old", ladder=agent_only),
        member("stuck", ladder=agent_only),
        member("off"),
    ]
    world = World(
        {
            "db": Guest(no_agent=False),
            "web": Guest(),
            "old": Guest(),
            "stuck": Guest(refused={"agent": "its driver has no such method"}),
            "off": Guest(active=False),
        }
    )
    facts = {key: Facts(active=guest.active, refused=guest.refused) for key, guest in world.guests.items()}
    graph = OrderGraph.build(members)
    plan = make_plan(graph, "down", facts, budget=60.0)
    gates = {step.key: graph.order(step.key).gates for step in plan.steps}
    with anyio.fail_after(20):
        found = await drill(plan, world, gates, seconds=1e6)
    assert world.log == world.events == world.records == []
    checks = {(check.name, check.what): (check.ok, check.detail) for check in found.checks}
    port = str(free_tcp_port)
    assert checks == {
        ("db", "agent"): (True, ""),
        ("db", "gate agent"): (True, ""),
        ("db", "ladder"): (True, "agent, acpi, save"),
        ("web", "agent"): (True, "the guest has no agent; acpi is tried at once"),
        ("web", f"gate tcp 127.0.0.1:{port}"): (False, "connection refused"),
        ("web", "ladder"): (True, "agent, acpi, save"),
        ("old", "agent"): (False, "the guest has no agent"),
        ("old", "ladder"): (True, "agent"),
        ("stuck", "ladder"): (False, "nothing in its ladder can stop it now"),
        ("", "budget"): (False, "budget 1 m: too long by 8 m, because of db (4 m 30 s) and web (4 m 30 s)"),
    }
    assert not found.ok
    assert json.loads(found.to_json())["plan"]["critical_path"] == ["web", "db"]
    text = str(found)
    assert "not all is well" in text
    assert "connection refused" in text


async def test_an_agent_that_does_not_answer_is_told() -> None:
    world = World({"a": Guest(silent=True)})
    plan = make_plan(OrderGraph.build([member("a")]), "down", {"a": Facts(active=True)})
    found = await drill(plan, world, {}, seconds=0.1)
    assert found.checks[0].detail == "it did not answer within 0.1 s; acpi is tried at once"


async def test_a_guest_that_can_not_be_reached_is_well_only_where_its_ladder_destroys_it() -> None:
    killed = (StopStep(method="acpi", timeout=30.0), StopStep(method="destroy", timeout=10.0))
    world = World({"a": Guest(unreached=NEVER), "b": Guest(unreached=NEVER)})
    members = [member("a"), member("b", ladder=killed)]
    plan = make_plan(OrderGraph.build(members), "down", dict.fromkeys("ab", Facts(active=True)))
    found = await drill(plan, world, {})
    told = {check.name: check.ok for check in found.checks if check.what == "ladder"}
    assert told == {"a": False, "b": True}
    assert "it can't be reached: its monitor is lost" in str(found)
    assert not found.ok


async def test_a_drill_of_up_looks_at_the_gates_of_those_that_run() -> None:
    members = [member("db", gates=(Gate(kind="agent"),)), member("web", "db", gates=(Gate(kind="agent"),))]
    world = World({"db": Guest(no_agent=False), "web": Guest(active=False)})
    graph = OrderGraph.build(members)
    plan = make_plan(graph, "up", {"db": Facts(active=True, ready=True)})
    found = await drill(plan, world, {key: graph.order(key).gates for key in ("db", "web")})
    assert [(check.name, check.what, check.ok) for check in found.checks] == [("db", "gate agent", True)]
    assert found.ok
    assert "all well" in str(found)


async def test_thousands_of_guests_are_not_all_asked_at_once() -> None:
    asked, most = 0, 0

    class Counting(World):
        def target(self, key: str):  # type: ignore[no-untyped-def]
            target = super().target(key)

            async def sync() -> None:
                nonlocal asked, most
                asked += 1
                most = max(most, asked)
                await anyio.sleep(0)
                asked -= 1

            target.agent_sync = sync
            return target

    names = [f"d{n}" for n in range(1000)]
    world = Counting({name: Guest() for name in names})
    plan = make_plan(OrderGraph.build(map(member, names)), "down", {name: Facts(active=True) for name in names})
    found = await drill(plan, world, {})
    assert len(found.checks) == 2000
    assert 1 < most <= 64


def test_golden_report() -> None:
    report = Report(
        direction="down",
        began=1_700_000_000.0,
        seconds=95.25,
        planned=550.0,
        budget=600.0,
        late=True,
        problems=("what was stopped could not be written down: /state/down.json: no space left on device",),
        entries=(
            Entry(
                key="1",
                name="lb",
                connection="qemu:///system",
                outcome="stopped",
                method="acpi",
                began=0.0,
                seconds=2.25,
                tries=[
                    Try(method="agent", result="skipped: the guest has no agent"),
                    Try(method="acpi", seconds=2.25, result="it stopped"),
                ],
            ),
            Entry(
                key="2",
                name="app",
                connection="qemu:///system",
                outcome="failed",
                began=2.25,
                seconds=93.0,
                reason="the deadline passed after 1 m 35 s",
                tries=[Try(method="acpi", seconds=93.0, result="given up")],
            ),
            Entry(key="3", name="db", connection="qemu:///system", outcome="held", reason="app did not stop"),
        ),
    )
    assert not report.ok
    assert report.done == ("lb",)
    assert report["2"] is report["app"]
    check_golden("shutdown/report.txt", str(report) + "\n")
    check_golden("shutdown/report.json", report.to_json() + "\n")
