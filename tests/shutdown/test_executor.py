from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from support import virtual_time
from support.order_world import NEVER, Guest, World

from engine.conf.order import DEFAULT_LADDER, Edge, Gate, Order, StopStep
from engine.errors import StoreError
from engine.shutdown.executor import Down, Up
from engine.shutdown.graph import Member, OrderGraph
from engine.shutdown.plan import Facts, Plan, make_plan
from engine.shutdown.report import Record, Report

ACPI = StopStep(method="acpi", timeout=100.0)


@pytest.fixture(params=virtual_time.BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """These tests run their own loop, in virtual time."""
    return str(request.param)


def member(name: str, *after: str, requires: bool = True, ladder: tuple[StopStep, ...] = (), **order: Any) -> Member:
    edges = tuple(Edge(domain=other, kind="requires" if requires else "after") for other in after)
    return Member(key=name, name=name, connection="test:///", order=Order(edges=edges, ladder=ladder, **order))


def plan_for(world: World, members: list[Member], direction: Any, **options: Any) -> Plan:
    facts = {
        key: Facts(active=guest.active, ready=guest.ready, refused=dict(guest.refused))
        for key, guest in world.guests.items()
    }
    return make_plan(OrderGraph.build(members), direction, facts, **options)


def down(
    backend: str,
    members: list[Member],
    guests: dict[str, Guest],
    during: Callable[[World], Awaitable[None]] | None = None,
    *,
    deadline: float | None = None,
    **options: Any,
) -> tuple[Report, World]:
    """Bring them down, from time 0 on."""
    world = World(guests)

    async def main() -> Report:
        async with world, anyio.create_task_group() as tasks:
            if during is not None:
                tasks.start_soon(during, world)
            start = anyio.current_time()
            until = None if deadline is None else start + deadline
            report = await Down(plan_for(world, members, "down", **options), world, deadline=until).run()
            tasks.cancel_scope.cancel()
            return report
        raise AssertionError

    report = virtual_time.run(backend, main)
    begin = world.log[0][0] if world.log else 0.0
    world.log = [(time - begin, what, key) for time, what, key in world.log]
    return report, world


def up(backend: str, members: list[Member], guests: dict[str, Guest], **options: Any) -> tuple[Report, World]:
    for guest in guests.values():
        guest.active = guest.ready = False
    world = World(guests)

    async def main() -> Report:
        async with world:
            return await Up(plan_for(world, members, "up"), world, **options).run()
        raise AssertionError

    return virtual_time.run(backend, main), world


STACK = [member("db"), member("app1", "db"), member("app2", "db"), member("lb", "app1", "app2"), member("batch")]


# ---------------------------------------------------------------------------- down


def test_a_domain_begins_to_stop_the_moment_the_last_dependent_is_gone(backend: str) -> None:
    guests = {
        "db": Guest(acpi=5.0),
        "app1": Guest(acpi=2.0),
        "app2": Guest(acpi=7.0),
        "lb": Guest(acpi=1.0),
        "batch": Guest(acpi=13.0),
    }
    report, world = down(backend, STACK, guests)
    assert report.ok
    assert world.times("ask acpi") == pytest.approx({"lb": 0, "batch": 0, "app1": 1, "app2": 1, "db": 8})
    assert report.seconds == pytest.approx(13.0)  # the critical path: lb, app2, db
    assert {entry.name: entry.outcome for entry in report.entries} == dict.fromkeys(guests, "stopped")
    assert report["app2"].method == "acpi"
    assert report["db"].began == pytest.approx(8.0)
    assert report["db"].seconds == pytest.approx(5.0)


def test_events_tell_the_beginning_each_step_and_the_end(backend: str) -> None:
    report, world = down(backend, [member("db"), member("web", "db")], {"db": Guest(), "web": Guest(acpi=NEVER)})
    told = [(key, name, facts.get("method")) for key, name, facts in world.events]
    assert told[0] == (None, "PlanStarted", None)
    assert ("web", "DomainStopTried", "agent") in told
    assert ("web", "DomainStopTried", "acpi") in told
    assert ("web", "DomainStopTried", "save") in told
    assert told[-1] == (None, "PlanFinished", None)
    assert set(world.events[-1][2]["done"]) == {"db", "web"}
    assert report["web"].outcome == "saved"


def test_an_agent_that_does_not_answer_is_skipped_after_a_short_share(backend: str) -> None:
    silent = {"a": Guest(silent=True, no_agent=False, agent=1.0, acpi=1.0)}
    report, world = down(backend, [member("a")], silent)
    assert world.asked("a") == ["ask acpi"]
    assert report.seconds == pytest.approx(4.0)  # 3 s for the answer, not the 30 s of the step
    assert report["a"].tries[0].result == "skipped: the agent did not answer within 3 s"


def test_a_missing_agent_is_skipped_at_once(backend: str) -> None:
    report, world = down(backend, [member("a")], {"a": Guest(acpi=2.0)})
    assert report.seconds == pytest.approx(2.0)
    assert report["a"].tries[0].result == "skipped: the guest has no agent"
    skipped = [
        facts for _, name, facts in world.events if name == "DomainStopTried" and facts.get("outcome") == "skipped"
    ]
    assert [facts["reason"] for facts in skipped] == ["the guest has no agent"]


def test_an_agent_that_answers_is_asked(backend: str) -> None:
    report, world = down(backend, [member("a")], {"a": Guest(no_agent=False, agent=2.0)})
    assert world.asked("a") == ["ask agent"]
    assert report["a"].method == "agent"


def test_the_time_an_agent_takes_to_answer_is_part_of_its_step(backend: str) -> None:
    ladder = (StopStep(method="agent", timeout=30.0), StopStep(method="save", timeout=10.0))
    report, world = down(backend, [member("a", ladder=ladder)], {"a": Guest(no_agent=False, sync=2.0)})
    assert report["a"].outcome == "saved"
    assert world.times("ask agent")["a"] + 28.0 == pytest.approx(world.times("ask save")["a"])
    assert report.seconds == pytest.approx(31.0)


def test_acpi_is_repeated_until_it_is_heard(backend: str) -> None:
    ladder = (StopStep(method="acpi", timeout=60.0, repeat=10.0),)
    report, world = down(backend, [member("a", ladder=ladder)], {"a": Guest(hears=3, acpi=1.0)})
    assert world.asked("a") == ["ask acpi"] * 3
    assert report.seconds == pytest.approx(21.0)


def test_acpi_without_repeat_is_asked_once(backend: str) -> None:
    report, world = down(backend, [member("a", ladder=(ACPI,))], {"a": Guest(hears=2)})
    assert world.asked("a") == ["ask acpi"]
    assert report["a"].outcome == "failed"
    assert report.seconds == pytest.approx(100.0)
    assert report["a"].tries[0].result == "it did not stop within 1 m 40 s"
    assert world.running == {"a"}


def test_no_ladder_ends_in_destroy_unless_it_says_so(backend: str) -> None:
    deaf = Guest(acpi=NEVER, save=NEVER)
    report, world = down(backend, [member("a")], {"a": deaf})
    assert world.asked("a") == ["ask acpi"] * 12 + ["ask save"]
    assert report["a"].outcome == "failed"
    assert world.running == {"a"}
    ladder = (*DEFAULT_LADDER, StopStep(method="destroy", timeout=10.0))
    report, world = down(backend, [member("a", ladder=ladder)], {"a": Guest(acpi=NEVER, save=NEVER)})
    assert world.asked("a")[-1] == "ask destroy"
    assert report["a"].outcome == "destroyed"


def test_a_paused_guest_is_saved_and_told_why(backend: str) -> None:
    report, world = down(backend, [member("a")], {"a": Guest(paused=True)})
    assert world.asked("a") == ["ask save"]
    assert report["a"].outcome == "saved"
    assert [attempt.result for attempt in report["a"].tries] == [
        "skipped: it is paused",
        "skipped: it is paused",
        "it stopped",
    ]


@pytest.mark.parametrize("moment", [0.5, 3.5, 20.0])
def test_a_guest_that_goes_by_itself_is_done_at_once(backend: str, moment: float) -> None:
    async def die(world: World) -> None:
        world.later(moment, "web")

    guests = {"db": Guest(acpi=1.0), "web": Guest(silent=True, acpi=NEVER)}
    report, _ = down(backend, [member("db"), member("web", "db")], guests, die)
    assert report.ok
    assert report.seconds == pytest.approx(moment + 1.0)
    assert report["web"].outcome == "stopped"
    assert report["web"].method == ("acpi" if moment > 3.0 else "")


def test_a_save_under_way_is_let_to_its_end(backend: str) -> None:
    """The report that it is gone comes before the save has done all it has to do."""
    ended: list[str] = []

    class Slow(World):
        async def ask_stop(self, key: str, method: str) -> None:
            await super().ask_stop(key, method)
            await anyio.sleep(1.0)
            ended.append(key)

    world = Slow({"a": Guest(save=2.0)})

    async def main() -> Report:
        async with world:
            plan = plan_for(world, [member("a", ladder=(StopStep(method="save", timeout=60.0),))], "down")
            return await Down(plan, world).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    assert report["a"].outcome == "saved"
    assert ended == ["a"]


def test_a_domain_that_does_not_stop_holds_back_only_what_depends_on_it(backend: str) -> None:
    guests = {"db": Guest(), "app1": Guest(acpi=NEVER), "app2": Guest(), "lb": Guest(), "batch": Guest()}
    members = [msg if msg.key != "app1" else member("app1", "db", ladder=(ACPI,)) for msg in STACK]
    report, world = down(backend, members, guests)
    assert world.running == {"db", "app1"}
    assert world.asked("db") == []
    assert report["db"].outcome == "held"
    assert report["db"].reason == "app1 did not stop"
    assert report["app1"].outcome == "failed"
    assert set(report.done) == {"app2", "lb", "batch"}
    assert ("db", "DomainStopFailed") in [(key, name) for key, name, _ in world.events]


def test_holding_back_reaches_on_to_what_is_held_back_behind(backend: str) -> None:
    members = [member("a"), member("b", "a"), member("c", "b", ladder=(ACPI,))]
    report, world = down(backend, members, {"a": Guest(), "b": Guest(), "c": Guest(acpi=NEVER)})
    assert {entry.name: entry.outcome for entry in report.entries} == {"a": "held", "b": "held", "c": "failed"}
    assert world.asked("a") == world.asked("b") == []


def test_what_is_held_back_holds_whatever_its_own_order_says(backend: str) -> None:
    """``go-on`` is about a failure of its own; here db's dependents run, and one of them was not even asked."""
    members = [member("db"), member("app", "db", on_stop_failure="go-on"), member("web", "app", ladder=(ACPI,))]
    report, world = down(backend, members, {"db": Guest(), "app": Guest(), "web": Guest(acpi=NEVER)})
    assert {entry.name: entry.outcome for entry in report.entries} == {"db": "held", "app": "held", "web": "failed"}
    assert world.asked("db") == []
    assert report["db"].reason == "app did not stop"


@pytest.mark.parametrize("moment", [50.0, 120.0])
def test_holding_back_passes_through_one_that_went_by_itself(backend: str, moment: float) -> None:
    """app powers off, before or after its turn; web still runs, and needs db through it."""

    async def die(world: World) -> None:
        world.later(moment, "app")

    slow = (StopStep(method="acpi", timeout=200.0),)
    members = [
        member("db"),
        member("app", "db"),
        member("web", "app", ladder=(ACPI,)),
        member("slow", "db", ladder=slow),
    ]
    guests = {"db": Guest(), "app": Guest(), "web": Guest(acpi=NEVER), "slow": Guest(acpi=160.0)}
    report, world = down(backend, members, guests, die)
    assert report["db"].outcome == "held"
    assert report["db"].reason == "web did not stop"
    assert world.running == {"db", "web"}


def test_go_on_stops_what_depends_on_it_all_the_same(backend: str) -> None:
    members = [member("db"), member("web", "db", ladder=(ACPI,), on_stop_failure="go-on")]
    report, world = down(backend, members, {"db": Guest(acpi=1.0), "web": Guest(acpi=NEVER)})
    assert report["web"].outcome == "failed"
    assert report["db"].outcome == "stopped"
    assert world.times("ask acpi")["db"] == pytest.approx(100.0)


def test_a_held_one_goes_on_if_the_one_that_failed_is_gone_by_then(backend: str) -> None:
    async def die(world: World) -> None:
        world.later(150.0, "web")

    slow = (StopStep(method="acpi", timeout=200.0),)
    members = [member("db"), member("web", "db", ladder=(ACPI,)), member("slow", "db", ladder=slow)]
    guests = {"db": Guest(acpi=1.0), "web": Guest(acpi=NEVER), "slow": Guest(acpi=160.0)}
    report, _ = down(backend, members, guests, die)
    assert report["db"].outcome == "stopped"
    assert report["web"].outcome == "stopped"  # late, but the report tells what is true at its end
    assert report.ok


def test_a_crashed_guest_holds_nobody_back(backend: str) -> None:
    members = [member("a"), member("b", "a"), member("c", "b", ladder=(ACPI,))]
    report, world = down(backend, members, {"a": Guest(), "b": Guest(), "c": Guest(crashed=True)})
    assert {entry.name: entry.outcome for entry in report.entries} == {"a": "stopped", "b": "stopped", "c": "failed"}
    assert report["c"].reason.endswith("it has crashed, and nothing waits for it")
    assert world.asked("c") == []


def test_a_guest_that_crashes_in_mid_step_is_not_waited_for(backend: str) -> None:
    async def crash(world: World) -> None:
        await world.crash_later(5.0, "web")

    ladder = (StopStep(method="acpi", timeout=120.0, repeat=10.0), StopStep(method="save", timeout=120.0))
    members = [member("db"), member("web", "db", ladder=ladder)]
    report, world = down(backend, members, {"db": Guest(), "web": Guest(acpi=NEVER)}, crash)
    assert report["web"].outcome == "failed"
    assert report["web"].reason.endswith("it has crashed, and nothing waits for it")
    assert [attempt.result for attempt in report["web"].tries] == ["it crashed", "skipped: it is crashed"]
    assert report["db"].outcome == "stopped"
    assert world.times("ask acpi")["db"] == pytest.approx(5.0)


def test_a_guest_that_crashes_in_mid_step_is_destroyed_where_its_ladder_says_so(backend: str) -> None:
    async def crash(world: World) -> None:
        await world.crash_later(5.0, "web")

    ladder = (ACPI, StopStep(method="destroy", timeout=10.0))
    report, _ = down(backend, [member("web", ladder=ladder)], {"web": Guest(acpi=NEVER)}, crash)
    assert (report["web"].outcome, report["web"].method) == ("destroyed", "destroy")
    assert report.seconds == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("how", "outcome"), [("crashed", "crashed"), ("failed", "crashed"), ("destroyed", "destroyed")]
)
def test_the_report_says_what_really_became_of_a_guest(backend: str, how: str, outcome: str) -> None:
    """It ended while it was asked to power off, but not because it was."""

    async def die(world: World) -> None:
        world.later(5.0, "web", how)

    members = [member("db"), member("web", "db", ladder=(ACPI,))]
    report, _ = down(backend, members, {"db": Guest(), "web": Guest(acpi=NEVER)}, die)
    assert (report["web"].outcome, report["web"].method) == (outcome, "")
    assert report["db"].outcome == "stopped"  # it is gone, and nobody waits for it
    assert report["db"].began == pytest.approx(5.0)
    assert ("it ended without having powered off" in str(report)) == (outcome == "crashed")


@pytest.mark.parametrize("method", ["agent", "acpi", "save"])
def test_a_guest_the_driver_can_not_reach_is_tried_again_within_its_step(backend: str, method: Any) -> None:
    ladder = (StopStep(method=method, timeout=60.0), StopStep(method="destroy", timeout=10.0))
    guest = Guest(no_agent=False, agent=1.0, acpi=1.0, save=1.0, unreached=20.5)
    report, world = down(backend, [member("a", ladder=ladder)], {"a": guest})
    assert report["a"].method == method
    assert world.asked("a") == [f"ask {method}"] * 22
    assert report.seconds == pytest.approx(22.0)


def test_a_guest_the_driver_never_reaches_takes_its_steps_to_their_ends(backend: str) -> None:
    report, world = down(backend, [member("a")], {"a": Guest(unreached=NEVER)})
    assert report["a"].outcome == "failed"
    assert report.seconds == pytest.approx(270.0)
    assert world.asked("a").count("ask acpi") == 12  # at its own repeat
    assert [attempt.result for attempt in report["a"].tries] == ["its monitor is lost"] * 3


def test_a_drivers_bug_ends_one_domain_only(backend: str) -> None:
    class Buggy(World):
        async def ask_stop(self, key: str, method: str) -> None:
            if key == "a":
                raise RuntimeError("a bug")
            await super().ask_stop(key, method)

    world = Buggy({"a": Guest(), "b": Guest()})

    async def main() -> Report:
        async with world:
            return await Down(plan_for(world, [member("a"), member("b")], "down"), world).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    assert report["a"].outcome == "failed"
    assert "a bug" in report["a"].reason
    assert report["b"].outcome == "stopped"


def test_no_more_than_so_many_at_a_time_and_the_longest_way_first(backend: str) -> None:
    members = [member("db"), member("web", "db"), *(member(f"x{n}", ladder=(ACPI,)) for n in range(3))]
    guests = {key: Guest(acpi=2.0) for key in ("db", "web", "x0", "x1", "x2")}
    report, world = down(backend, members, guests, parallel=2)
    assert report.ok
    asked = world.times("ask acpi")
    assert asked["web"] == 0  # two ladders lie before the end of its way
    gone = world.times("gone")
    for time in asked.values():
        assert sum(asked[key] <= time < gone[key] for key in asked) <= 2


# ---------------------------------------------------------------------------- the deadline


def test_as_the_deadline_nears_ladders_skip_to_their_last_step(backend: str) -> None:
    """270 s of ladder in 150 s: the save keeps its 120 s, the 30 s before it go to the steps before."""
    report, world = down(backend, [member("a")], {"a": Guest(acpi=NEVER, save=100.0)}, deadline=150.0)
    assert report["a"].outcome == "saved"
    assert world.times("ask acpi")["a"] == 0.0
    assert world.times("ask save")["a"] == pytest.approx(30.0)
    assert not report.late


DESTROY = StopStep(method="destroy", timeout=30.0)


def test_a_guest_is_not_destroyed_while_there_is_time_to_stop_it(backend: str) -> None:
    """What its ladder gives to a destroy is more than that takes: all but a second goes to the steps before."""
    ladder = (ACPI, DESTROY)
    report, world = down(backend, [member("a", ladder=ladder)], {"a": Guest(acpi=20.0)}, deadline=32.0)
    assert report["a"].outcome == "stopped"
    report, world = down(backend, [member("a", ladder=ladder)], {"a": Guest(acpi=NEVER)}, deadline=32.0)
    assert report["a"].outcome == "destroyed"
    assert world.times("ask destroy")["a"] == pytest.approx(31.0)


def test_the_time_of_a_destroy_counts_for_nobody_else(backend: str) -> None:
    """Both have what they can use: 20 s for acpi and a second for each destroy are less than 100 s."""
    acpi = StopStep(method="acpi", timeout=20.0)
    front = member("front", "back", ladder=(acpi, StopStep(method="destroy", timeout=5.0)))
    back = member("back", ladder=(acpi, StopStep(method="destroy", timeout=120.0)))
    report, _ = down(backend, [front, back], {"front": Guest(acpi=16.0), "back": Guest(acpi=1.0)}, deadline=100.0)
    assert [entry.outcome for entry in (report["front"], report["back"])] == ["stopped", "stopped"]


def test_a_destroy_that_takes_long_is_not_given_up_while_there_is_time(backend: str) -> None:
    members = [member("base", ladder=(ACPI, DESTROY)), member("leaf", "base", ladder=(ACPI, DESTROY))]
    guests = {"base": Guest(acpi=1.0), "leaf": Guest(acpi=NEVER, destroy=11.0)}
    report, _ = down(backend, members, guests, deadline=72.0)
    assert [report[key].outcome for key in ("leaf", "base")] == ["destroyed", "stopped"]


def test_when_a_last_step_fails_at_once_its_time_goes_back(backend: str) -> None:
    """The steps before were skipped for the sake of a save, for which there is no room."""
    ladder = (StopStep(method="acpi", timeout=15.0), StopStep(method="save", timeout=30.0))
    members = [member("d", ladder=ladder), member("a", "d", ladder=ladder), member("w", "a", ladder=ladder)]
    guests = {key: Guest(acpi=1.0, no_room=True) for key in "daw"}
    report, world = down(backend, members, guests, deadline=20.0)
    assert report.ok
    assert world.asked("w") == ["ask save", "ask acpi"]


def test_a_chain_leaves_time_for_those_that_follow(backend: str) -> None:
    members = [member("a"), member("b", "a"), member("c", "b")]
    guests = {key: Guest(acpi=NEVER, save=100.0) for key in "abc"}
    report, world = down(backend, members, guests, deadline=400.0)
    assert [report[key].outcome for key in "cba"] == ["saved"] * 3
    assert not report.late
    # 40 s are over beside three saves: they are shared out
    assert world.times("ask save")["c"] == pytest.approx(40.0 / 3)


def test_with_too_little_for_even_the_last_steps_all_of_it_is_for_these(backend: str) -> None:
    members = [member("a"), member("b", "a"), member("c", "b")]
    guests = {key: Guest(acpi=2.0, save=20.0) for key in "abc"}
    report, world = down(backend, members, guests, deadline=81.0)
    assert report.ok
    assert [world.asked(key) for key in "abc"] == [["ask save"]] * 3
    assert report.seconds == pytest.approx(60.0)


@pytest.mark.parametrize(("failure", "cut"), [("hold", 5.0), ("go-on", 2.5)])
def test_a_last_step_takes_what_nobody_else_could_use(backend: str, failure: Any, cut: float) -> None:
    """If web is not saved db is held, and has no use for the rest; unless it goes on."""
    members = [member("db"), member("web", "db", on_stop_failure=failure)]
    guests = {"db": Guest(acpi=NEVER, save=1.5), "web": Guest(acpi=NEVER, save=3.0)}
    report, world = down(backend, members, guests, deadline=5.0)
    assert report["web"].tries[-1].seconds == pytest.approx(min(3.0, cut))
    assert report["web"].outcome == ("saved" if failure == "hold" else "failed")
    assert report["db"].outcome == "saved"
    assert world.times("ask save")["db"] == pytest.approx(min(3.0, cut))


def test_with_a_limit_a_last_step_leaves_time_to_those_that_wait_for_a_place(backend: str) -> None:
    members = [member("db"), member("web", "db"), member("other")]
    guests = {key: Guest(acpi=NEVER, save=NEVER) for key in ("db", "web", "other")}
    report, world = down(backend, members, guests, deadline=30.0, parallel=1)
    assert report["web"].tries[-1].seconds == pytest.approx(10.0)
    assert report["other"].tries[-1].seconds == pytest.approx(20.0)  # the last that has a use for it
    assert world.asked("db") == []


def test_at_the_deadline_it_ends_and_tells_who_is_left(backend: str) -> None:
    members = [member("a"), member("b", "a")]
    guests = {key: Guest(acpi=NEVER, save=NEVER) for key in "ab"}
    report, world = down(backend, members, guests, deadline=10.0)
    assert report.seconds <= 10.0 + 1e-6
    assert not report.ok
    assert {entry.name for entry in report.entries if entry.outcome in ("failed", "held")} == {"a", "b"}
    assert world.records[-1]["finished"]


def test_a_start_of_the_save_that_hangs_can_not_hold_the_deadline(backend: str) -> None:
    class Hangs(World):
        def refuses(self, key: str, method: str) -> str:
            return ""

        def is_active(self, key: str) -> bool:
            return True

        async def ask_stop(self, key: str, method: str) -> None:
            await anyio.sleep(NEVER)

    world = Hangs({"a": Guest(), "b": Guest()})

    async def main() -> Report:
        async with world:
            plan = plan_for(world, [member("a"), member("b", "a")], "down")
            return await Down(plan, world, deadline=anyio.current_time() + 20.0).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    assert report.seconds <= 20.0 + 1e-6
    assert report.failed == ("b", "a")


def test_one_that_went_while_its_end_was_waited_for_has_stopped(backend: str) -> None:
    """It heard the agent late, in the middle of its save; the deadline passes before the save gives up."""
    ladder = (StopStep(method="agent", timeout=10.0), StopStep(method="save", timeout=10.0))
    guests = {"a": Guest(no_agent=False, agent=5.0, save=50.0)}
    report, _ = down(backend, [member("a", ladder=ladder)], guests, deadline=12.0)
    assert report.late
    assert report["a"].outcome == "stopped"
    assert report.ok


@pytest.mark.parametrize(("count", "deadline"), [(5, 400.0), (6, 400.0), (5, 900.0), (7, 485.0)])
def test_with_a_limit_those_whose_turn_comes_last_still_have_their_last_step(
    backend: str, count: int, deadline: float
) -> None:
    """Two at a time, nobody hears acpi, and each save takes 110 of its 120 s."""
    names = [f"g{number}" for number in range(count)]
    guests = {name: Guest(acpi=NEVER, save=110.0) for name in names}
    report, _ = down(backend, [member(name) for name in names], guests, deadline=deadline, parallel=2)
    assert {entry.name: entry.outcome for entry in report.entries} == dict.fromkeys(names, "saved")
    assert not report.late


def test_with_a_limit_and_time_enough_ladders_are_not_cut_short(backend: str) -> None:
    names = ["a", "b", "c", "d"]
    guests = {name: Guest(acpi=100.0) for name in names}
    report, _ = down(backend, [member(name) for name in names], guests, deadline=700.0, parallel=2)
    assert {entry.outcome for entry in report.entries} == {"stopped"}
    assert report.seconds == pytest.approx(200.0)


# ---------------------------------------------------------------------------- the record


def test_the_record_is_written_before_anything_is_asked(backend: str) -> None:
    class Checks(World):
        async def ask_stop(self, key: str, method: str) -> None:
            assert self.records, "nothing was written down yet"
            await super().ask_stop(key, method)

    world = Checks({"a": Guest(), "off": Guest(active=False)})

    async def main() -> Report:
        async with world:
            return await Down(plan_for(world, [member("a"), member("off")], "down"), world).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    assert report.ok
    record = Record.load(world.records[-1])
    assert record is not None
    assert record.keys == ("a",)
    assert record.finished
    assert record.domains[0].outcome == "stopped"


def test_an_interrupted_down_goes_on_and_up_brings_back_just_that(backend: str) -> None:
    guests = {key: Guest(acpi=10.0) for key in ("db", "app1", "app2", "lb", "batch")}
    guests["batch"].active = False
    world = World(guests)

    async def main() -> None:
        async with world:
            with anyio.move_on_after(15.0):
                await Down(plan_for(world, STACK, "down"), world).run()
            record = Record.load(world.records[-1])
            assert record is not None and not record.finished
            assert set(record.keys) == {"db", "app1", "app2", "lb"}
            assert set(record.left) == {"db", "app1", "app2"}
            await anyio.sleep(30.0)  # what was asked goes down meanwhile
            assert world.running == {"db"}
            again = Down(plan_for(world, STACK, "down"), world, record=record)
            report = await again.run()
            assert report.ok
            assert not world.running
            assert [facts["resumed"] for _, name, facts in world.events if name == "PlanStarted"] == [False, True]
            record = Record.load(world.records[-1])
            assert record is not None and record.finished
            assert set(record.keys) == {"db", "app1", "app2", "lb"}
            plan = plan_for(world, STACK, "up", targets=record.keys)
            report = await Up(plan, world, record=record).run()
            assert report.ok
            assert world.running == {"db", "app1", "app2", "lb"}
            assert world.records[-1] is None

    virtual_time.run(backend, main)


def test_what_could_not_be_brought_back_stays_in_the_record(backend: str) -> None:
    record = Record.load({"domains": [{"key": key, "name": key, "connection": ""} for key in ("a", "b")]})
    assert record is not None
    report, world = up(backend, [member("a"), member("b")], {"a": Guest(breaks=True), "b": Guest()}, record=record)
    assert report.failed == ("a",)
    assert [entry["key"] for entry in world.records[-1]["domains"]] == ["a"]


def test_a_disk_that_is_full_does_not_keep_guests_from_being_stopped(backend: str) -> None:
    world = World({"a": Guest(), "b": Guest()})
    world.broken = StoreError("/state/records/down.json", "no space left on device")

    async def main() -> Report:
        async with world:
            return await Down(plan_for(world, [member("a"), member("b", "a")], "down"), world).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    assert report.ok
    assert len(report.problems) == 1
    assert "no space left" in report.problems[0]


def test_a_record_knows_each_run_by_its_start(backend: str) -> None:
    world = World({"a": Guest(started_at=5.0), "b": Guest(started_at=6.0)})

    async def main() -> None:
        async with world:
            await Down(plan_for(world, [member("a"), member("b")], "down"), world).run()

    virtual_time.run(backend, main)
    record = Record.load(world.records[-1])
    assert record is not None
    assert not record.strike_anew({"a": 5.0})
    assert record.strike_anew({"a": 5.5, "x": 1.0})
    assert record.keys == ("b",)


def test_damaged_records_are_no_records() -> None:
    assert Record.load(None) is None
    assert Record.load({"domains": 3}) is None
    assert Record.load({"version": 2}) is None
    assert Record.load({"version": 1}) is not None


def test_cancelling_tells_each_domain_in_report_and_record(backend: str) -> None:
    world = World({key: Guest(acpi=10.0) for key in ("db", "app1", "app2", "lb", "batch")})

    async def main() -> Report:
        async with world:
            run = Down(plan_for(world, STACK, "down"), world)
            with anyio.move_on_after(12.0):
                await run.run()
            return run.report
        raise AssertionError

    report = virtual_time.run(backend, main)
    assert report.interrupted
    assert {entry.name: entry.outcome for entry in report.entries} == {
        "lb": "stopped",
        "batch": "stopped",
        "app1": "interrupted",
        "app2": "interrupted",
        "db": "interrupted",
    }
    assert report["app1"].reason == "it was interrupted"
    assert report["db"].reason == "it was interrupted, and its turn had not come"
    assert {entry["key"] for entry in world.records[-1]["domains"]} == set(world.guests)
    assert not world.records[-1]["finished"]
    assert world.events[-1][1] == "PlanFinished"


def test_a_plan_runs_in_its_own_direction_only() -> None:
    plan = make_plan(OrderGraph.build([member("a")]), "up", {})
    with pytest.raises(ValueError, match="'up'"):
        Down(plan, World({}))


# ---------------------------------------------------------------------------- up


def test_a_domain_starts_the_moment_what_it_waits_for_is_ready(backend: str) -> None:
    guests = {
        "db": Guest(start=1.0, boot=4.0),
        "app1": Guest(boot=2.0),
        "app2": Guest(boot=7.0),
        "lb": Guest(boot=1.0),
        "batch": Guest(boot=3.0),
    }
    report, world = up(backend, STACK, guests)
    assert report.ok
    begin = world.log[0][0]
    started = {key: time - begin for key, time in world.times("start").items()}
    assert started == pytest.approx({"db": 0, "batch": 0, "app1": 5, "app2": 5, "lb": 12})
    assert report.seconds == pytest.approx(13.0)
    assert {entry.outcome for entry in report.entries} == {"ready"}


def test_a_start_that_fails_fails_what_requires_it_and_names_it(backend: str) -> None:
    guests = {key: Guest() for key in ("db", "app1", "app2", "lb", "batch")}
    guests["app1"].breaks = True
    report, world = up(backend, STACK, guests)
    assert report["app1"].error == "StartFailed"
    assert report["lb"].outcome == "failed"
    assert report["lb"].error == "DependencyFailed"
    assert "'app1'" in report["lb"].reason
    assert "it broke" in report["lb"].reason
    assert "lb" not in world.times("start")
    assert set(report.done) == {"db", "app2", "batch"}
    assert ("lb", "CommandFailed") in [(key, name) for key, name, _ in world.events]


def test_after_is_order_only(backend: str) -> None:
    members = [member("cache"), member("web", "cache", requires=False)]
    report, world = up(backend, members, {"cache": Guest(breaks=True, start=3.0), "web": Guest()})
    assert report["web"].outcome == "ready"
    assert world.times("start")["web"] - world.times("start")["cache"] == pytest.approx(3.0)


def test_a_gate_that_fails_fails_what_requires_it(backend: str) -> None:
    members = [member("db"), member("web", "db")]
    report, world = up(backend, members, {"db": Guest(boot=5.0, never_ready=True), "web": Guest()})
    assert report["db"].error == "GateFailed"
    assert report["web"].error == "DependencyFailed"
    assert world.running == {"db"}


def test_a_gate_that_fails_and_goes_on_lets_what_waits_start(backend: str) -> None:
    members = [member("db"), member("web", "db")]
    report, _ = up(backend, members, {"db": Guest(boot=5.0, never_ready=True, going_on=True), "web": Guest()})
    assert report["db"].outcome == "started"
    assert report["web"].outcome == "ready"
    assert report.ok


def test_those_that_run_already_are_left_as_they_are(backend: str) -> None:
    world = World({"db": Guest(), "web": Guest(active=False, ready=False)})

    async def main() -> Report:
        async with world:
            return await Up(plan_for(world, [member("db"), member("web", "db")], "up"), world).run()
        raise AssertionError

    report = virtual_time.run(backend, main)
    assert report["db"].outcome == "already"
    assert report["web"].outcome == "ready"
    assert set(world.times("start")) == {"web"}


def test_one_that_someone_else_has_just_started_is_as_good(backend: str) -> None:
    class Raced(World):
        async def start(self, key: str) -> None:
            self.guests[key].active = self.guests[key].ready = True
            await super().start(key)

    world = Raced({"db": Guest(active=False, ready=False)})

    async def main() -> Report:
        async with world:
            return await Up(plan_for(world, [member("db")], "up"), world).run()
        raise AssertionError

    assert virtual_time.run(backend, main).ok


def test_cancelling_an_up_accounts_for_everyone(backend: str) -> None:
    world = World({key: Guest(active=False, ready=False, boot=10.0) for key in ("db", "app1", "app2", "lb", "batch")})

    async def main() -> Report:
        async with world:
            run = Up(plan_for(world, STACK, "up"), world)
            with anyio.move_on_after(12.0):
                await run.run()
            return run.report
        raise AssertionError

    report = virtual_time.run(backend, main)
    assert {entry.name: entry.outcome for entry in report.entries} == {
        "db": "ready",
        "batch": "ready",
        "app1": "interrupted",
        "app2": "interrupted",
        "lb": "interrupted",
    }


def test_up_takes_in_what_is_required_and_gates_bound_its_worst_case() -> None:
    members = [member("db", gates=(Gate(kind="agent", timeout=40.0),)), member("web", "db"), member("other")]
    plan = make_plan(OrderGraph.build(members), "up", {}, targets=["web"])
    assert [step.name for step in plan.steps] == ["db", "web"]
    assert plan.seconds == pytest.approx(100.0)
