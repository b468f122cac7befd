from __future__ import annotations

import json
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from support.golden import check_golden

from engine.conf.order import Edge, Gate, Order, StopStep
from engine.conf.policy import Policy
from engine.shutdown.graph import Member, OrderGraph
from engine.shutdown.plan import Facts, Plan, Share, make_plan
from engine.shutdown.words import duration, gate_name, gate_words, listed, step_words

STEPS = {"agent": 0.0, "acpi": 10.0, "save": 0.0, "destroy": 0.0}


def ladder(**seconds: float) -> tuple[StopStep, ...]:
    return tuple(StopStep(method=method, timeout=time, repeat=STEPS[method]) for method, time in seconds.items())  # type: ignore[arg-type]


def member(name: str, *required: str, connection: str = "qemu:///system", **order: Any) -> Member:
    edges = tuple(Edge(domain=other, kind="requires") for other in required)
    return Member(key=f"{connection}#{name}", name=name, connection=connection, order=Order(edges=edges, **order))


STACK = [
    member("db", ladder=ladder(agent=30, acpi=120, save=180), gates=(Gate(kind="agent", timeout=45.0),)),
    member(
        "app1", "db", ladder=ladder(agent=20, acpi=60, save=60), gates=(Gate(kind="tcp", host="10.0.0.5", port=80),)
    ),
    member(
        "app2",
        "db",
        ladder=ladder(agent=20, acpi=45, save=30, destroy=10),
        gates=(Gate(kind="tcp", host="fd00::6", port=80, timeout=70.0, on_timeout="go-on"),),
        on_stop_failure="go-on",
    ),
    member("lb", "app1", "app2", ladder=ladder(agent=10, acpi=30, save=40), gates=(Gate(kind="delay", seconds=5.0),)),
    member("batch <nightly> & co", ladder=ladder(acpi=60, save=30)),
]


def plan(direction: Any, members: list[Member] = STACK, *, facts: Any = None, **options: Any) -> Plan:
    if facts is None:
        facts = {one.key: Facts(active=direction == "down") for one in members}
    return make_plan(OrderGraph.build(members), direction, facts, **options)


def test_worst_case_and_critical_path() -> None:
    found = plan("down")
    assert found.critical_path == ("lb", "app1", "db")
    assert found.seconds == 80 + 140 + 330
    assert {step.name: step.begin for step in found.steps}["db"] == 220
    assert found.fits is None
    assert found.spare is None


def test_a_budget_that_fits_and_one_that_does_not() -> None:
    roomy, tight = plan("down", budget=600.0), plan("down", budget=400.0)
    assert roomy.fits is True
    assert roomy.spare == 50
    assert tight.fits is False
    assert tight.spare == -150
    assert tight.because == (("db", 330), ("app1", 140), ("lb", 80))
    assert "too long by 2 m 30 s, because of db (5 m 30 s), app1 (2 m 20 s) and lb (1 m 20 s)" in str(tight)


def test_the_policys_budget_is_for_down() -> None:
    graph = OrderGraph.build(STACK, Policy(budget=400.0, parallel=2))
    facts = {one.key: Facts(active=True) for one in STACK}
    assert make_plan(graph, "down", facts).budget == 400.0
    assert make_plan(graph, "down", facts, budget=50.0).budget == 50.0
    assert make_plan(graph, "up", {}).budget is None
    assert make_plan(graph, "down", facts).parallel == 2


def test_down_is_about_those_that_run() -> None:
    facts = {one.key: Facts(active=one.name in ("db", "lb")) for one in STACK}
    found = plan("down", facts=facts)
    assert [step.name for step in found.steps] == ["lb", "db"]
    assert [wait.name for wait in found.steps[1].waits_for] == ["lb"]  # through those that don't
    assert not plan("down", facts={}).steps


def test_what_cant_work_now_is_left_out_and_told() -> None:
    facts = {
        one.key: Facts(
            active=True, refused={"agent": "it is paused", "acpi": "it is paused"} if one.name == "db" else {}
        )
        for one in STACK
    }
    db = plan("down", facts=facts).by_key[STACK[0].key]
    assert [step.method for step in db.possible] == ["save"]
    assert db.seconds == 180
    assert [skipped.method for skipped in db.skipped] == ["agent", "acpi"]


def test_a_domain_that_nothing_can_stop_is_told() -> None:
    lonely = [member("a", ladder=ladder(save=60))]
    found = plan("down", lonely, facts={lonely[0].key: Facts(active=True, refused={"save": "it is transient"})})
    assert found.unstoppable == ("a",)
    assert "Nothing can stop a" in str(found)


def test_up_leaves_alone_what_is_ready() -> None:
    facts = {STACK[0].key: Facts(active=True, ready=True)}
    found = plan("up", facts=facts)
    assert found.by_key[STACK[0].key].note == "ready already"
    assert found.by_key[STACK[0].key].seconds == 0.0
    assert found.seconds == 70 + 5


def test_several_gates_are_waited_for_at_once() -> None:
    gates = (Gate(kind="agent", timeout=20.0), Gate(kind="delay", seconds=30.0, timeout=1.0))
    assert plan("up", [member("a", gates=gates)]).seconds == 30.0


def test_a_limit_makes_it_longer_but_never_shorter_than_any_run() -> None:
    found = plan("down", parallel=1)
    total = sum(step.seconds for step in found.steps)
    assert found.seconds == total
    assert sorted(step.begin for step in found.steps)[0] == 0.0
    assert max(step.end for step in found.steps) == total
    assert plan("down", parallel=50).seconds == plan("down").seconds


@pytest.mark.parametrize(
    ("left", "expected"),
    [
        (1000.0, (1000.0 - 200.0, 20.0)),  # plenty: all that the rest does not need
        (300.0, (100.0, 20.0)),
        (180.0, (20.0 + 80.0 * 100.0 / 220.0, 20.0)),  # last steps keep 80, 100 are shared out as 80 to 140
        (80.0, (20.0, 20.0)),
        (32.0, (8.0, 8.0)),  # not enough for last steps: they have all of it
        (-5.0, (0.0, 0.0)),
    ],
)
def test_how_time_is_shared_out(left: float, expected: tuple[float, float]) -> None:
    share = Share(full=100.0, last=20.0, full_after=200.0, last_after=60.0)
    assert share.allot(left) == pytest.approx(expected)


def test_json_holds_all_of_it() -> None:
    found = json.loads(plan("down", budget=400.0).to_json())
    assert found["fits"] is False
    assert found["spare"] == -150
    assert found["because"][0] == {"name": "db", "seconds": 330}
    assert found["waves"] == [["batch <nightly> & co", "lb"], ["app1", "app2"], ["db"]]
    assert found["critical_path"] == ["lb", "app1", "db"]
    assert [step["name"] for step in found["steps"]] == ["batch <nightly> & co", "lb", "app1", "app2", "db"]


# ---------------------------------------------------------------------------- text and picture


@pytest.mark.parametrize(
    ("name", "made"),
    [
        ("down", plan("down", budget=600.0)),
        ("down-late", plan("down", budget=300.0)),
        ("up", plan("up")),
        ("nothing", plan("down", [], facts={})),
        ("limited", plan("down", parallel=2, budget=10_000.0)),
        (
            "two-connections",
            plan("down", [member("web"), member("web", connection="test:///default"), member("x" * 60)], budget=1.0),
        ),
    ],
)
def test_golden(name: str, made: Plan) -> None:
    check_golden(f"shutdown/{name}.txt", str(made) + "\n")
    check_golden(f"shutdown/{name}.svg", made.to_svg())
    check_golden(f"shutdown/{name}.json", made.to_json() + "\n")


@pytest.mark.parametrize("direction", ["up", "down"])
def test_the_picture_is_well_formed_escaped_and_named(direction: str) -> None:
    svg = plan(direction, budget=600.0).to_svg()
    root = ElementTree.fromstring(svg)
    spaced = {"svg": "http://www.w3.org/2000/svg"}
    assert root.get("role") == "img"
    ids = {element.get("id") for element in root.iter() if element.get("id")}
    assert set((root.get("aria-labelledby") or "").split()) <= ids
    assert root.find("svg:title", spaced) is not None
    assert "Critical path" in (root.findtext("svg:desc", namespaces=spaced) or "")
    texts = "".join(root.itertext())
    assert "batch <nightly> & co" in texts
    assert "prefers-color-scheme:dark" in texts
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", svg.split("<desc")[0])


def test_what_no_terminal_and_no_picture_can_hold_is_neither_in_text_nor_picture() -> None:
    made = plan("up", [member("a", gates=(Gate(kind="serial", pattern="\x1b\\[0m é"),)), member("b\x07\ufffe")])
    assert "serial /\\x1b\\[0m é/" in str(made)
    assert "\x1b" not in str(made)
    texts = "".join(ElementTree.fromstring(made.to_svg()).itertext())
    assert "serial /\\x1b\\[0m é/" in texts
    assert "b\ufffd\ufffd" in texts


def test_every_bar_lies_in_the_picture_and_begins_where_the_plan_says() -> None:
    made = plan("down", budget=300.0)
    root = ElementTree.fromstring(made.to_svg())
    bars = [
        element
        for element in root.iter()
        if element.tag.endswith("rect") and element.get("class") in ("s1", "s2", "s3")
    ]
    assert len(bars) == sum(len(step.possible) for step in made.steps) - 1  # the destroy has its own class
    for bar in bars:
        x, width = float(bar.get("x") or 0), float(bar.get("width") or 0)
        assert x >= 24
        assert x + width <= 640 - 24 + 0.01


def test_a_huge_plan_draws_no_web() -> None:
    many = [member(f"a{n}") for n in range(40)]
    many += [member(f"b{n}", *(f"a{m}" for m in range(40))) for n in range(40)]
    svg = plan("down", many).to_svg()
    assert svg.count('class="line critical"') == 1
    assert svg.count('class="line"') == 0


# ---------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"),
        (0.04, "0 s"),
        (0.44, "0.4 s"),
        (9.9, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 m"),
        (61, "1 m 1 s"),
        (120, "2 m"),
        (3599.6, "1 h"),
        (3600, "1 h"),
        (3900, "1 h 5 m"),
        (7199, "2 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_gates_in_words() -> None:
    assert gate_name(Gate(kind="tcp", host="::1", port=80)) == "tcp [::1]:80"
    assert gate_name(Gate(kind="http", url="http://user:secret@host/x", status=204)) == "http://host/x = 204"
    assert gate_words(Gate(kind="agent", on_timeout="go-on")) == "agent within 1 m, or go on"
    assert gate_words(Gate(kind="delay", seconds=2.0)) == "delay 2 s"
    assert gate_name(Gate(kind="serial", pattern="login:")) == "serial /login:/"


def test_lists_and_steps_in_words() -> None:
    assert listed([]) == ""
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefghij")) == "a, b, c, d, e, f, g and 3 more"
    assert step_words(StopStep(method="acpi", timeout=60.0, repeat=10.0)) == "acpi 1 m (every 10 s)"
    assert step_words(StopStep(method="acpi", timeout=5.0, repeat=10.0)) == "acpi 5 s"
