"""Order as an embedder meets it: up, down, gates and their record, on the in-memory driver."""

from __future__ import annotations

import os
from pathlib import Path

import anyio
import pytest

from engine import (
    Busy,
    ConfigError,
    ConnectionBroken,
    CycleError,
    DomainNotReady,
    DomainReady,
    DomainStarted,
    DomainStopped,
    DomainStopTried,
    Engine,
    Event,
    GateFailed,
    LifecycleEvent,
    NoSuchConnection,
    OrderError,
    PlanFinished,
    PlanStarted,
    State,
    UnknownDomain,
)
from engine.drivers.test import TestDriver
from engine.lifecycle import Report
from engine.shutdown.graph import Direction

DEFAULT = "test:///default"


def xml(name: str, order: str = "", guest: str = "") -> str:
    return f"""<domain type='test'><name>{name}</name><metadata>
<order:order xmlns:order="urn:virengine:order:1">{order}</order:order>
<test:guest xmlns:test="urn:virengine:test:1" {guest}/></metadata></domain>"""


def after(*names: str, kind: str = "after") -> str:
    return "".join(f"<order:{kind} domain='{name}'/>" for name in names)


def fresh(state_dir: Path | None = None, **options: object) -> Engine:
    return Engine(DEFAULT, state_dir=state_dir, on_close="leave", systemd=False, **options)  # type: ignore[arg-type]


async def stack(engine: Engine, **guests: str) -> None:
    """db; app1 and app2 after db; lb after both; a free-standing batch."""
    orders = {"db": "", "app1": after("db"), "app2": after("db"), "lb": after("app1", "app2"), "batch": ""}
    for name, order in orders.items():
        await engine.define(xml(name, order, guests.get(name, "")))
    await engine.domain("test").destroy()


STACK = ["db", "app1", "app2", "lb", "batch"]


def order_of(events: list[Event], event_type: type[LifecycleEvent]) -> list[str]:
    return [event.domain for event in events if isinstance(event, event_type)]


async def test_up_and_down_keep_the_order_and_tell_of_it() -> None:
    async with fresh() as engine:
        await stack(engine, lb="shutdown='0.02'", app1="shutdown='0.01'")
        async with engine.subscribe(Event) as subscription:
            up = await engine.up(STACK)
            assert up.ok
            assert [engine.domain(name).ready for name in STACK] == [True] * 5
            plan = engine.plan("down")
            assert {step.name for step in plan.steps} == set(STACK)
            assert [step.name for step in plan.steps][-1] == "db"
            down = await engine.down()
            assert down.ok, str(down)
            assert sorted(down.done) == sorted(STACK)
            events: list[Event] = []
            async for event in subscription:
                events.append(event)
                if isinstance(event, PlanFinished) and event.direction == "down":
                    break
        started, stopped = order_of(events, DomainStarted), order_of(events, DomainStopped)
        assert started.index("db") < min(started.index("app1"), started.index("app2"))
        assert started.index("lb") > max(started.index("app1"), started.index("app2"))
        assert stopped.index("lb") < min(stopped.index("app1"), stopped.index("app2"))
        assert stopped.index("db") > max(stopped.index("app1"), stopped.index("app2"))
        assert [e.direction for e in events if isinstance(e, PlanStarted)] == ["up", "down"]


async def test_a_guest_that_ignores_everything_is_saved_not_killed() -> None:
    ladder = "<order:stop><order:try method='acpi' timeout='0.05'/><order:try method='save' timeout='5'/></order:stop>"
    async with fresh() as engine:
        db = await engine.define(xml("db", ladder, "ignore='acpi agent' agent='no'"))
        await db.start()
        report = await engine.down(["db"])
        assert report["db"].outcome == "saved"
        assert [attempt.method for attempt in report["db"].tries] == ["acpi", "save"]
        assert (db.state, db.reason, db.saved) == (State.SHUTOFF, "saved", True)


async def test_no_guest_is_destroyed_unless_its_ladder_says_so() -> None:
    ladder = "<order:stop><order:try method='acpi' timeout='0.05'/></order:stop>"
    async with fresh() as engine:
        db = await engine.define(xml("db", ladder, "ignore='acpi'"))
        web = await engine.define(xml("web", after("db") + ladder, "ignore='acpi'"))
        await engine.up(["web", "db"])
        report = await engine.down(["db", "web"])
        assert not report.ok
        assert (report["web"].outcome, report["db"].outcome) == ("failed", "held")
        assert "web" in report["db"].reason
        assert db.state is web.state is State.RUNNING


SLOW_WAY = "<order:stop><order:try method='acpi' timeout='3600'/><order:try method='save' timeout='3600'/></order:stop>"


@pytest.mark.parametrize(("end", "outcome"), [("crash", "crashed"), ("preserve", "failed")])
async def test_a_guest_that_dies_while_it_is_waited_for_holds_nobody_up(end: str, outcome: str) -> None:
    async with fresh() as engine, engine.subscribe(DomainStopTried) as events:
        driver = engine.driver()
        assert isinstance(driver, TestDriver)
        await engine.define(xml("db"))
        web = await engine.define(xml("web", after("db") + SLOW_WAY, "ignore='acpi'"))
        await engine.up(["web", "db"])

        async def die() -> None:
            assert (await anext(events)).domain == "web"
            await anyio.wait_all_tasks_blocked()
            if end == "crash":
                driver.crash(web.handle)
            else:
                web.handle.report(Report.CRASHED, "panicked")

        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(die)
                report = await engine.down(["web", "db"])
        assert (report["web"].outcome, report["web"].method) == (outcome, "")
        assert report["web"].tries[0].result == "it crashed"
        assert report["db"].outcome == "stopped"


async def test_down_comes_back_to_a_guest_that_could_not_be_reached() -> None:
    async with fresh() as engine:
        driver = engine.driver()
        assert isinstance(driver, TestDriver)
        await engine.define(
            xml("web", "<order:stop><order:try method='acpi' timeout='60' repeat='0.01'/></order:stop>")
        )
        await engine.up(["web"])
        driver.fail("shutdown", domain="web", error=ConnectionBroken("its monitor is lost"), times=3)
        assert (await engine.down(["web"]))["web"].outcome == "stopped"


async def test_a_drill_tells_of_a_guest_that_can_not_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    async def lost(driver: TestDriver, domain: object) -> None:
        raise ConnectionBroken("its monitor is lost")

    async with fresh() as engine:
        monkeypatch.setattr(TestDriver, "reach", lost)
        found = await engine.drill(["test"])
        assert [check.detail for check in found.checks if check.what == "ladder"] == [
            "it can't be reached: its monitor is lost"
        ]
        assert not found.ok


async def test_a_failed_start_fails_what_requires_it_and_nothing_else() -> None:
    async with fresh() as engine:
        for name, order in {"db": "", "web": after("db", kind="requires"), "log": after("db")}.items():
            await engine.define(xml(name, order))
        driver = engine.driver()
        assert isinstance(driver, TestDriver)
        driver.fail("start", domain="db")
        report = await engine.up(["web", "log", "db"])
        assert {entry.name: entry.outcome for entry in report.entries} == {
            "db": "failed",
            "web": "failed",
            "log": "ready",
        }
        assert report["web"].error == "DependencyFailed"
        assert "'db'" in report["web"].reason


async def test_gates_make_ready_and_dependents_wait_for_them() -> None:
    async with fresh() as engine, engine.subscribe(Event) as subscription:
        await engine.define(xml("db", "<order:ready gate='agent' timeout='30'/>", "boot='0.02'"))
        await engine.define(xml("web", after("db")))
        assert (await engine.up(["web", "db"])).ok
        seen = []
        async for event in subscription:
            if isinstance(event, DomainStarted | DomainReady):
                seen.append(f"{type(event).__name__} {event.domain}")
            if isinstance(event, PlanFinished):
                break
        assert seen == ["DomainStarted db", "DomainReady db", "DomainStarted web", "DomainReady web"]


@pytest.mark.parametrize(("on_timeout", "web"), [("fail", "failed"), ("go-on", "ready")])
async def test_a_gate_that_stays_shut(on_timeout: str, web: str) -> None:
    gate = f"<order:ready gate='agent' timeout='0.05' on-timeout='{on_timeout}'/>"
    async with fresh() as engine, engine.subscribe(DomainNotReady) as events:
        db = await engine.define(xml("db", gate, "boot='3600'"))
        await engine.define(xml("web", after("db", kind="requires")))
        report = await engine.up(["web"])
        assert report["web"].outcome == web
        assert (await anext(events)).going_on is (on_timeout == "go-on")
        assert db.state is State.RUNNING
        with pytest.raises(GateFailed):
            await db.wait_ready()


async def test_a_domain_that_dies_before_it_is_ready_fails_its_gate_at_once() -> None:
    async with fresh() as engine:
        db = await engine.define(xml("db", "<order:ready gate='agent' timeout='3600'/>", "boot='3600'"))
        await db.start()
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(db.destroy)
                with pytest.raises(GateFailed):
                    await db.wait_ready()


async def test_down_ends_an_up_that_is_under_way() -> None:
    async with fresh() as engine:
        await engine.define(xml("db", "<order:ready gate='agent' timeout='3600'/>", "boot='3600' agent='yes'"))
        await engine.define(xml("web", after("db")))
        reports = []

        async def up() -> None:
            reports.append(await engine.up(["web", "db"]))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(up)
            await engine.domain("db").wait_for(State.RUNNING)
            await anyio.wait_all_tasks_blocked()
            ladder_report = await engine.down(["db"], deadline=5)
        assert ladder_report["db"].outcome in ("stopped", "saved")
        assert reports[0]["web"].outcome == "interrupted"


# ---------------------------------------------------------------------------- what makes no sense


async def test_a_circle_is_refused_when_it_would_be_closed() -> None:
    async with fresh() as engine:
        await engine.define(xml("db", after("web")))
        await engine.define(xml("app", after("db")))
        with pytest.raises(CycleError) as caught:
            await engine.define(xml("web", after("app")))
        assert set(caught.value.path) == {"web", "app", "db"}
        assert caught.value.path[0] == caught.value.path[-1]
        with pytest.raises(OrderError, match="after itself"):
            await engine.define(xml("self", after("self")))
        assert {domain.name for domain in engine.domains()} == {"test", "db", "app"}


async def test_opposite_edges_for_start_and_stop_are_no_circle() -> None:
    async with fresh() as engine:
        await engine.define(xml("a", "<order:after domain='b' when='start'/>"))
        await engine.define(xml("b", "<order:after domain='a' when='stop'/>"))
        await engine.up(["a", "b"])
        plan = engine.plan("down", ["a", "b"])
        assert [wait.name for step in plan.steps if step.name == "a" for wait in step.waits_for] == ["b"]


async def test_an_unknown_name_is_told_when_it_matters() -> None:
    async with fresh() as engine:
        await engine.define(xml("web", after("ghost")))
        with pytest.raises(UnknownDomain, match="the order of 'web' names 'ghost'"):
            engine.plan("up")


async def test_a_policy_and_code_feed_the_same_graph(tmp_path: Path) -> None:
    (tmp_path / "order.toml").write_text('[[rule]]\nmatch = {name = "app*"}\nrequires = ["db"]\n')
    async with fresh(tmp_path) as engine:
        for name in ("db", "app1", "lb"):
            await engine.define(xml(name))
        engine.order.add("lb", after="app1")
        plan = engine.plan("up", ["lb"])
        waits = {step.name: [(wait.name, wait.kind) for wait in step.waits_for] for step in engine.plan("up").steps}
        assert waits["app1"] == [("db", "requires")]
        assert waits["lb"] == [("app1", "after")]
        assert [step.name for step in plan.steps] == ["lb"]


async def test_a_wrong_policy_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "order.toml").write_text('[[rule]]\nmatch = {name = "a"}\n\nrequire = ["db"]\n')
    async with fresh(tmp_path) as engine:  # a file that someone broke keeps nobody from looking
        for plan in (lambda: engine.plan("up"), engine.order.graph):
            with pytest.raises(ConfigError, match=r"order\.toml:4: .*did you mean 'requires'"):
                plan()
        with pytest.raises(ConfigError, match=r"order\.toml:4: "):
            await engine.up(["test"])
    with pytest.raises(ConfigError, match=r"line 4: .*did you mean 'requires'"):
        async with fresh(policy=(tmp_path / "order.toml").read_text()):
            pass


SERIAL = '[[rule]]\nmatch = {name = "*"}\nready = {gate = "serial", pattern = "%s"}\n'


@pytest.mark.parametrize(
    "broken",
    [
        b"[[rule]\n",
        b"\xff\xfe",
        (SERIAL % "a{1,99999999999}").encode(),
        (SERIAL % ("(" * 3000 + ")" * 3000)).encode(),
        b"budget.seconds = " + b"9" * 5000,
        *(b"budget = " + b"[" * depth + b"]" * depth for depth in range(100, 1000, 50)),
    ],
    ids=lambda text: f"{text[:12]}-{len(text)}",
)
async def test_down_goes_on_without_a_policy_that_can_not_be_read(tmp_path: Path, broken: bytes) -> None:
    async with fresh(tmp_path) as engine:
        await stack(engine)
        await engine.up(STACK)
    (tmp_path / "order.toml").write_bytes(broken)
    async with fresh(tmp_path) as engine:
        report = await engine.down()
        assert sorted(report.done) == sorted(STACK)
        assert "order.toml" in report.problems[0]
        assert report.problems[0].endswith("the policy was passed over")
        assert report.problems[0] in str(report)


async def test_down_stops_all_whatever_the_order_says() -> None:
    async with fresh() as engine:
        await stack(engine)
        await engine.define(xml("ghost"))
        await engine.define(xml("web", after("ghost", "db")))
        await engine.up([*STACK, "web"])
        await engine.domain("ghost").undefine()
        engine.order.add("db", after="lb")  # with lb after app1 after db, a circle
        directions: tuple[Direction, ...] = ("up", "down")
        for direction in directions:
            with pytest.raises(OrderError):
                engine.plan(direction)
        with pytest.raises(OrderError):
            await engine.up()
        async with engine.subscribe(DomainStopped) as events:
            report = await engine.down()
            assert sorted(report.done) == sorted([*STACK, "web"])
            stopped = order_of([await anext(events) for _ in report.done], DomainStopped)
        assert stopped.index("web") < stopped.index("db")
        assert any("'ghost'" in problem for problem in report.problems)
        assert any("circle" in problem and "passed over" in problem for problem in report.problems)


# ---------------------------------------------------------------------------- the record


async def test_up_resume_brings_back_just_what_down_stopped(tmp_path: Path) -> None:
    async with fresh(tmp_path) as engine:
        await stack(engine)
        await engine.up(["lb", "app1", "db"])
        running = {domain.name for domain in engine.domains() if domain.active}
        assert (await engine.down()).ok
        assert (await engine.down()).ok  # nothing to stop: the record stays
    async with fresh(tmp_path) as engine:
        report = await engine.up(resume=True)
        assert set(report.done) == running
        assert {domain.name for domain in engine.domains() if domain.active} == running
        assert (await engine.up(resume=True)).entries == ()


async def test_an_interrupted_down_goes_on_with_the_next_engine(tmp_path: Path) -> None:
    async with fresh(tmp_path) as engine:
        await stack(engine, lb="shutdown='3600'")
        await engine.up(STACK)
        with anyio.move_on_after(0.5) as scope:
            await engine.down()
        assert scope.cancelled_caught
        assert engine.domain("db").state is State.RUNNING
        assert engine.domain("batch").state is State.SHUTOFF
    async with fresh(tmp_path) as engine:
        driver = engine.driver()
        assert isinstance(driver, TestDriver)
        driver.guest(engine.domain("lb").uuid).shutdown = 0.0
        with anyio.fail_after(30):
            await engine.domain("db").wait_stopped()
            for name in STACK:
                await engine.domain(name).wait_stopped()


async def test_engine_without_a_state_directory_stops_its_guests_in_order_when_it_closes() -> None:
    stopped: list[str] = []
    async with Engine(DEFAULT, systemd=False) as engine:
        await stack(engine)
        await engine.up(STACK)
        engine.subscribe(LifecycleEvent)

        async def note(command: object, call_next: object) -> object:
            stopped.append(command.domain)  # type: ignore[attr-defined]
            return await call_next(command)  # type: ignore[operator]

        engine.add_interceptor(note)
    assert stopped.index("lb") < stopped.index("app1") < stopped.index("db")


async def interrupted(path: Path) -> None:
    """A down of db, app1, app2 and batch that an lb which does not listen has held up."""
    async with fresh(path) as engine:
        await stack(engine, lb="shutdown='3600'")
        await engine.up(STACK)
        with anyio.move_on_after(0.3) as scope:
            await engine.down()
        assert scope.cancelled_caught
        assert not engine.domain("batch").active


async def test_an_interrupted_down_leaves_those_alone_that_were_started_again(tmp_path: Path) -> None:
    await interrupted(tmp_path)
    async with fresh(tmp_path, resume=False) as engine:
        for name in ("lb", "app1", "app2", "db"):
            await engine.domain(name).destroy()
            await engine.domain(name).start()
    async with fresh(tmp_path) as engine:
        assert await engine.order.interrupted() is None
        assert all(engine.domain(name).active for name in ("lb", "app1", "app2", "db"))
        assert (await engine.up(resume=True)).done == ("batch",)


async def test_an_interrupted_down_leaves_alone_what_those_need_that_were_started_again(tmp_path: Path) -> None:
    async with fresh(tmp_path) as engine:
        for name, order in {"db": "", "web": after("db", kind="requires"), "log": ""}.items():
            await engine.define(xml(name, order, "shutdown='3600'"))
        await engine.up(["web", "log"])
        with anyio.move_on_after(0.3):
            await engine.down()
    async with fresh(tmp_path, resume=False) as engine:
        driver = engine.driver()
        assert isinstance(driver, TestDriver)
        for name in ("db", "web", "log"):
            driver.guest(engine.domain(name).uuid).shutdown = 0.0
        await engine.domain("web").destroy()
        await engine.domain("web").start()
        record = await engine.order.interrupted()
        assert record is not None
        report = await engine.order.down(record=record)
        assert [entry.name for entry in report.entries] == ["log"]
        assert engine.domain("db").active and engine.domain("web").active


async def test_a_record_whose_guests_were_all_started_again_is_dropped(tmp_path: Path) -> None:
    await interrupted(tmp_path)
    async with fresh(tmp_path, resume=False) as engine:
        for name in STACK:
            if engine.domain(name).active:
                await engine.domain(name).destroy()
        assert (await engine.up(STACK)).ok
        assert await engine.store.load_record("down") is None


async def test_a_start_by_hand_strikes_a_domain_off_what_down_stopped(tmp_path: Path) -> None:
    async with fresh(tmp_path) as engine:
        await stack(engine)
        await engine.up(STACK)
        assert (await engine.down()).ok
        await engine.domain("db").start()
        await engine.domain("db").destroy()
        await engine.up(["app1"])
        await engine.domain("app1").destroy()
        assert set((await engine.up(resume=True)).done) == {"app2", "lb", "batch"}


async def test_down_ends_every_up_and_none_begins_before_its_end() -> None:
    never = "<order:ready gate='agent' timeout='3600'/>"
    async with fresh() as engine:
        deaf = never + "<order:stop><order:try method='acpi' timeout='0.5'/><order:try method='destroy'/></order:stop>"
        for name in ("one", "two"):
            await engine.define(xml(name, deaf, "boot='3600' agent='yes' ignore='acpi'"))
            await engine.define(xml(f"after-{name}", after(name)))
        await engine.define(xml("three"))
        reports = {}

        async def up(name: str) -> None:
            reports[name] = await engine.up([name, f"after-{name}"])

        async def down() -> None:
            reports["down"] = await engine.down(["one"])

        async with anyio.create_task_group() as tasks:
            for name in ("one", "two"):
                tasks.start_soon(up, name)
                await engine.domain(name).wait_for(State.RUNNING)
            assert (await engine.up(["three"])).ok  # one that ends must not hide the others
            tasks.start_soon(down)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(Busy, match="being stopped"):
                await engine.up(["three"])
        assert reports["one"]["after-one"].outcome == reports["two"]["after-two"].outcome == "interrupted"
        assert reports["down"].ok
        assert (await engine.up(["three"])).ok


async def test_a_crashed_guest_holds_nobody_back() -> None:
    async with fresh() as engine:
        await stack(engine)
        await engine.up(STACK)
        domain = engine.domain("lb")
        domain.report(Report.CRASHED, "panicked")  # and its process is kept
        assert domain.state is State.CRASHED
        report = await engine.down()
        assert report.failed == ("lb",)
        assert "crashed" in report["lb"].reason
        assert set(report.done) == set(STACK) - {"lb"}


async def test_a_guest_that_nothing_stops_holds_back_those_it_needs_unless_its_order_says_to_go_on() -> None:
    for policy, expected in (("hold", "held"), ("go-on", "stopped")):
        ladder = f"<order:stop on-failure='{policy}'><order:try method='acpi' timeout='5'/></order:stop>"
        async with fresh() as engine:
            await engine.define(xml("db"))
            await engine.define(xml("web", after("db") + ladder))
            await engine.up(["web", "db"])
            await engine.domain("web").suspend()
            report = await engine.down(["web", "db"])
            assert (report["web"].outcome, report["db"].outcome) == ("failed", expected)


async def test_names_at_two_connections_are_told_apart(tmp_path: Path) -> None:
    node = tmp_path / "node.xml"
    node.write_text("<node/>")
    other = f"test://{node}"
    async with Engine(DEFAULT, other, on_close="leave", systemd=False) as engine:
        await engine.define(xml("a", after("b")), connection=DEFAULT)
        await engine.define(xml("a"), connection=other)
        await engine.define(xml("b", after("a")), connection=other)  # after the a beside it: no circle
        with pytest.raises(CycleError) as caught:
            await engine.define(xml("a", after(f"{other}#b")), connection=other)
        assert set(caught.value.path) == {"a", "b"}
        with pytest.raises(OrderError, match="after itself"):
            await engine.define(xml("c", after(f"{DEFAULT}#c")), connection=DEFAULT)


async def test_drill_changes_nothing() -> None:
    async with fresh() as engine:
        await stack(engine, app1="agent='no'")
        await engine.up(STACK)
        before = engine.bus.journal.newest
        drill = await engine.drill()
        assert {check.name for check in drill.checks if not check.ok} <= {"app1"}
        assert engine.bus.journal.newest == before
        assert all(engine.domain(name).active for name in STACK)


async def test_order_crosses_connections(tmp_path: Path) -> None:
    node = tmp_path / "node.xml"
    node.write_text("<node/>")
    other = f"test://{node}"
    async with Engine(DEFAULT, other, on_close="leave", systemd=False) as engine:
        await engine.define(xml("db"), connection=other)
        await engine.define(xml("web", after("db", kind="requires")), connection=DEFAULT)
        assert (await engine.up(["web"])).ok
        assert engine.domain("db").active
        assert [step.name for step in engine.plan("down", ["db"]).steps] == ["web", "db"]


async def test_up_and_down_of_one_connection_take_along_only_what_must_be(tmp_path: Path) -> None:
    node = tmp_path / "node.xml"
    node.write_text("<node/>")
    other = f"test://{node}"
    async with Engine(DEFAULT, other, state_dir=tmp_path / "state", on_close="leave", systemd=False) as engine:
        await engine.domain("test").destroy()
        await engine.define(xml("db"), connection=other)
        await engine.define(xml("idle"), connection=other)
        await engine.define(xml("web", after("db", kind="requires")), connection=DEFAULT)

        def active() -> set[str]:
            return {domain.name for domain in engine.domains() if domain.active}

        for name in ("web", "idle"):
            await engine.domain(name).set_autostart()
        await engine.up(connections=[DEFAULT], autostart=True)
        assert active() == {"web", "db"}  # which web requires
        await engine.domain("idle").start()
        await engine.down(connections=[DEFAULT])
        assert active() == {"db", "idle"}
        await engine.up(connections=[DEFAULT], resume=True)
        assert active() == {"web", "db", "idle"}
        await engine.down(connections=[other])
        assert active() == set()  # web can't be without db
        await engine.up(["idle"], connections=[DEFAULT])
        assert active() == set()
        await engine.up(connections=[DEFAULT])
        assert active() == {"test", "web", "db"}
        with pytest.raises(NoSuchConnection):
            await engine.down(connections=["test:///none"])
        assert active() == {"test", "web", "db"}


async def test_one_name_may_come_as_it_is_and_a_direction_must_be_one() -> None:
    async with fresh() as engine:
        await engine.define(xml("web"))
        assert [step.name for step in engine.plan("up", "web").steps] == ["web"]
        assert (await engine.up("web")).done == ("web",)
        assert (await engine.down("web")).done == ("web",)
        with pytest.raises(ConfigError, match="none for 'sideways'"):
            engine.plan("sideways")  # type: ignore[arg-type]


async def test_doctor_tells_of_an_unsound_order(tmp_path: Path) -> None:
    async with fresh() as engine:
        await engine.define(xml("web", after("nobody")))
        findings, _ = await engine.doctor(units={}, folder=tmp_path)
        [order] = [finding for finding in findings if finding.code == "order"]
        assert order.severity == "error"
        assert "'nobody'" in order.what


SERIAL = "<order:ready gate='serial' pattern='ready' timeout='0.2'/>"


async def test_a_guest_that_was_saved_is_ready_when_it_is_restored(tmp_path: Path) -> None:
    """It does not boot, so it does not say again what it said when it did."""
    save = "<order:stop><order:try method='save' timeout='5'/></order:stop>"
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        await engine.define(xml("db", SERIAL + save))
        await engine.define(xml("web", after("db", kind="requires")))
        db = engine.domain("db")
        await db.start()
        db.passed_gate("serial /ready/")
        await engine.domain("web").start()
        report = await engine.down(["db", "web"])
        assert report["db"].outcome == "saved"
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        report = await engine.up(resume=True)
        assert report.ok, str(report)
        assert engine.domain("db").restored
        await engine.domain("db").destroy()
        await engine.domain("db").start()
        with pytest.raises(GateFailed):
            await engine.domain("db").wait_ready()


async def test_what_could_not_be_brought_back_is_not_forgotten_over_the_next_down(tmp_path: Path) -> None:
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        for name in ("web", "db"):
            await engine.define(xml(name))
            await engine.domain(name).start()
        assert (await engine.down(["web", "db"])).ok
        driver = engine.driver()
        assert isinstance(driver, TestDriver)
        driver.fail("start", domain="web")
        assert (await engine.up(resume=True)).failed == ("web",)
        assert (await engine.down(["db"])).ok
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        assert set((await engine.up(resume=True)).done) == {"web", "db"}
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        assert (await engine.down(["web"])).ok
        assert (await engine.down(["db"])).ok
        assert (await engine.up(resume=True)).done == ("db",), "what was stopped by itself is not brought back later"


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "huge", "number"])
async def test_an_engine_opens_whatever_lies_where_the_policy_should(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "order.toml"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "huge":
            with path.open("wb") as file:
                file.truncate(1 << 30)
        case "number":
            path.write_text("[budget]\nseconds = " + "9" * 5000)
    with anyio.fail_after(10):
        async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
            with pytest.raises(ConfigError, match=r"order\.toml"):
                engine.plan("down")
            assert (await engine.down()).ok


async def test_a_second_try_of_down_forgets_nothing_that_the_first_one_stopped(tmp_path: Path) -> None:
    deaf = "<order:stop><order:try method='acpi' timeout='0.1'/></order:stop>"
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        await engine.define(xml("web"))
        await engine.define(xml("x1", deaf, "ignore='acpi' agent='no'"))
        await engine.up(["web", "x1"])
        assert (await engine.down(["web", "x1"])).failed == ("x1",)
        await engine.domain("x1").destroy()
        await engine.domain("x1").start()
        assert (await engine.down(["x1"])).failed == ("x1",)
        assert "web" in (await engine.up(resume=True)).done
        assert engine.domain("web").active


async def test_a_crashed_guest_is_not_up_until_it_is_reset() -> None:
    async with fresh() as engine:
        web = await engine.define(xml("web"))
        await web.start()
        web.report(Report.CRASHED, "panicked")
        assert not web.ready
        assert (await engine.up(["web"])).failed == ("web",)
        await web.reset()
        await web.wait_ready()
        assert (await engine.up(["web"])).ok
