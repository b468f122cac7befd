from __future__ import annotations

import time
from typing import Any

import pytest

from engine.conf.order import DEFAULT_LADDER, Edge, Gate, Order, StopStep
from engine.conf.policy import Match, Policy, Rule
from engine.errors import CycleError, OrderError, UnknownDomain
from engine.shutdown.graph import Declarations, Member, OrderGraph


def member(name: str, *edges: Edge, connection: str = "qemu:///system", **order: Any) -> Member:
    return Member(
        key=f"{connection}#{name}",
        name=name,
        connection=connection,
        order=Order(edges=edges, **order),
        source=f"{name}.xml",
    )


def after(domain: str, when: Any = "both", line: int = 0) -> Edge:
    return Edge(domain=domain, kind="after", when=when, line=line)


def requires(domain: str, when: Any = "both") -> Edge:
    return Edge(domain=domain, kind="requires", when=when)


def key(name: str, connection: str = "qemu:///system") -> str:
    return f"{connection}#{name}"


def test_stop_is_start_reversed() -> None:
    graph = OrderGraph.build([member("db"), member("web", requires("db"))])
    assert graph.start_after(key("web")) == {key("db"): "requires"}
    assert graph.stop_after(key("db")) == {key("web"): "requires"}
    assert graph.start_after(key("db")) == graph.stop_after(key("web")) == {}
    assert graph.sorted("up") == (key("db"), key("web"))
    assert graph.sorted("down") == (key("web"), key("db"))


def test_unless_an_edge_says_otherwise() -> None:
    """web starts after db and stops after it, too: the other way round needs an edge of db's."""
    graph = OrderGraph.build([member("db", after("web", "stop")), member("web", after("db", "start"))])
    assert graph.start_after(key("web")) == {key("db"): "after"}
    assert graph.stop_after(key("db")) == {}
    assert graph.stop_after(key("web")) == {key("db"): "after"}


def test_requires_wins_over_after() -> None:
    graph = OrderGraph.build([member("db"), member("web", after("db"), requires("db"), after("db"))])
    assert graph.start_after(key("web")) == {key("db"): "requires"}


def test_all_three_sources_feed_one_graph() -> None:
    rule = Rule(match=Match(name="web*"), order=Order(edges=(after("cache"),)))
    members = [member("db"), member("cache"), member("web1", requires("db")), member("batch")]
    graph = OrderGraph.build(members, Policy(rules=(rule,)), extra=[("batch", after("web1"))])
    assert graph.start_after(key("web1")) == {key("db"): "requires", key("cache"): "after"}
    assert graph.start_after(key("batch")) == {key("web1"): "after"}


def test_a_circle_names_its_path() -> None:
    members = [member("a", after("b")), member("b", after("c")), member("c", after("a")), member("d", after("a"))]
    with pytest.raises(CycleError) as caught:
        OrderGraph.build(members)
    assert caught.value.path == ("a", "b", "c", "a")
    assert caught.value.source == "a.xml"


def test_a_circle_points_to_the_edge_it_begins_with_wherever_that_stands() -> None:
    rule = Rule(match=Match(name="a"), order=Order(edges=(after("b", line=9),)))
    with pytest.raises(CycleError) as caught:
        OrderGraph.build([member("a"), member("b", after("a", line=3))], Policy(rules=(rule,), source="order.toml"))
    assert str(caught.value) == "order.toml:9: the order runs in a circle: a -> b -> a"
    with pytest.raises(CycleError) as caught:
        OrderGraph.build(
            [member("a", after("b", "start", line=4), after("b", "stop", line=5)), member("b", after("a", "stop"))]
        )
    assert str(caught.value) == "a.xml:5: the order runs in a circle: a -> b -> a"


def test_a_circle_of_stopping_alone() -> None:
    with pytest.raises(CycleError) as caught:
        OrderGraph.build([member("a", after("b", "stop")), member("b", after("a", "stop"))])
    assert caught.value.path == ("a", "b", "a")
    OrderGraph.build([member("a", after("b", "start")), member("b", after("a", "stop"))])


def test_a_circle_across_connections_tells_them_apart() -> None:
    members = [
        member("web", after("test:///default#web")),
        member("web", after("qemu:///system#web"), connection="test:///default"),
    ]
    with pytest.raises(CycleError) as caught:
        OrderGraph.build(members)
    assert caught.value.path == ("qemu:///system#web", "test:///default#web", "qemu:///system#web")


def test_an_unknown_name_is_an_error_with_its_place() -> None:
    with pytest.raises(UnknownDomain) as caught:
        OrderGraph.build([member("web", after("dbb", line=7))])
    assert (caught.value.domain, caught.value.declared_by) == ("dbb", "web")
    assert str(caught.value).startswith("web.xml:7: ")


def test_an_unknown_name_in_a_rule_points_to_the_policy() -> None:
    rule = Rule(match=Match(name="*"), order=Order(edges=(after("dns", line=12),)))
    with pytest.raises(UnknownDomain) as caught:
        OrderGraph.build([member("web")], Policy(rules=(rule,), source="order.toml"))
    assert str(caught.value).startswith("order.toml:12: ")


def test_an_unknown_name_in_code_is_an_error_on_either_side() -> None:
    with pytest.raises(UnknownDomain, match="'nobody'"):
        OrderGraph.build([member("web")], extra=[("web", after("nobody"))])
    with pytest.raises(UnknownDomain, match="'nobody'"):
        OrderGraph.build([member("web")], extra=[("nobody", after("web"))])


def test_a_domain_after_itself() -> None:
    with pytest.raises(OrderError, match="'web' is ordered after itself"):
        OrderGraph.build([member("web", after("web"))])
    rule = Rule(match=Match(name="web"), order=Order(edges=(after("web"),)))
    with pytest.raises(OrderError, match="after itself"):
        OrderGraph.build([member("web")], Policy(rules=(rule,)))


def test_a_rule_for_many_leaves_out_the_one_it_names() -> None:
    rule = Rule(match=Match(name="*"), order=Order(edges=(after("dns"),)))
    graph = OrderGraph.build([member("dns"), member("web")], Policy(rules=(rule,)))
    assert graph.start_after(key("dns")) == {}
    assert graph.start_after(key("web")) == {key("dns"): "after"}


def test_a_lenient_graph_passes_over_what_makes_no_sense() -> None:
    rule = Rule(match=Match(name="db"), order=Order(edges=(after("lb", line=3),)))
    members = [
        member("db"),
        member("app", after("db"), after("gone", line=4)),
        member("lb", after("app"), after("lb", line=9)),
        member("alone", after("twin")),
        member("twin", connection="a:///"),
        member("twin", connection="b:///"),
    ]
    for order in (members, members[::-1]):  # the order they came in does not matter
        declarations = Declarations(Policy(rules=(rule,), source="order.toml"), [("nobody", after("db"))])
        for one in order:
            declarations.put(one)
        with pytest.raises(OrderError):
            declarations.graph()
        graph, problems = declarations.lenient_graph()
        # the walk begins at the least name, app, and what comes back to it is left out
        waits = {key(name): sorted(graph.stop_after(key(name))) for name in ("app", "db", "lb", "alone")}
        assert waits == {key("app"): [key("lb")], key("db"): [], key("lb"): [key("db")], key("alone"): []}
        assert sorted(problems) == sorted(
            [
                "the order of 'nobody after db' names 'nobody', and there is no such domain: it was passed over",
                "app.xml:4: the order of 'app' names 'gone', and there is no such domain: it was passed over",
                "lb.xml:9: 'lb' is ordered after itself: it was passed over",
                "alone.xml: the order of 'alone' names 'twin', and there are several: say 'a:///#twin', 'b:///#twin':"
                " it was passed over",
                "app.xml: the order runs in a circle: app -> db -> lb -> app: that 'app' stops before 'db' was passed"
                " over",
            ]
        )


def test_a_lenient_graph_of_what_makes_sense_is_the_graph() -> None:
    declarations = Declarations()
    for one in (member("db"), member("web", after("db"))):
        declarations.put(one)
    assert declarations.lenient_graph() == (declarations.graph(), ())


def test_of_thousands_of_problems_the_first_are_told() -> None:
    """And a rule that closes as many circles costs no more than one walk along the edges."""
    rule = Rule(match=Match(name="d*"), order=Order(edges=(after("x"),)))
    declarations = Declarations(Policy(rules=(rule,)))
    declarations.put(member("x", *(after(f"d{n}") for n in range(3000)), after("nobody")))
    for n in range(3000):
        declarations.put(member(f"d{n}", after("who")))
    graph, problems = declarations.lenient_graph()
    assert len(problems) == 21
    assert problems[-1] == "there is more like this in the order"
    assert len(graph.sorted("down")) == 3001


def test_names_are_looked_for_at_the_own_connection_first() -> None:
    members = [
        member("db"),
        member("web", after("db")),
        member("db", connection="test:///default"),
        member("web", after("db"), connection="test:///default"),
        member("only"),
        member("far", after("only"), connection="test:///default"),
        member("named", after("test:///default#db")),
    ]
    graph = OrderGraph.build(members)
    assert graph.start_after(key("web")) == {key("db"): "after"}
    assert graph.start_after(key("web", "test:///default")) == {key("db", "test:///default"): "after"}
    assert graph.start_after(key("far", "test:///default")) == {key("only"): "after"}
    assert graph.start_after(key("named")) == {key("db", "test:///default"): "after"}


def test_an_ambiguous_name_is_an_error_that_says_what_to_write() -> None:
    members = [
        member("db"),
        member("db", connection="test:///default"),
        member("web", after("db"), connection="xen:///system"),
    ]
    with pytest.raises(OrderError, match="'qemu:///system#db', 'test:///default#db'"):
        OrderGraph.build(members)


def test_names_and_connections_may_hold_the_sign_between_them() -> None:
    members = [
        member("a#b", connection="test:///x#y"),
        member("c", after("test:///x#y#a#b")),
        member("d", after("a#b")),
    ]
    graph = OrderGraph.build(members)
    expected = {key("a#b", "test:///x#y"): "after"}
    assert graph.start_after(key("c")) == graph.start_after(key("d")) == expected


def test_order_passes_through_those_not_concerned() -> None:
    members = [member("db"), member("app", requires("db")), member("web", requires("app")), member("x", after("app"))]
    graph = OrderGraph.build(members)
    chosen = [key("db"), key("web"), key("x")]
    assert graph.waits("down", chosen)[key("db")] == {key("web"): "requires", key("x"): "after"}
    assert graph.waits("up", chosen) == {
        key("db"): {},
        key("web"): {key("db"): "requires"},
        key("x"): {key("db"): "after"},
    }


def test_closure_takes_in_what_must_go_along() -> None:
    members = [member("db"), member("app", requires("db")), member("web", requires("app")), member("x", after("db"))]
    graph = OrderGraph.build(members)
    assert graph.closure("up", [key("web")]) == {key("web"), key("app"), key("db")}
    assert graph.closure("down", [key("db")]) == {key("web"), key("app"), key("db")}


def test_scopes_are_after_all_that_lie_before_near_and_far() -> None:
    declarations = Declarations()
    for one in (member("db"), member("app", after("db")), member("web", after("app"), after("cache", "start"))):
        declarations.put(one)
    declarations.put(member("cache", after("nobody")))
    assert declarations.scopes_after(key("web")) == (key("app"), key("db"))
    assert declarations.scopes_after(key("cache")) == ()  # a scope is not denied for a name that is not there yet
    assert declarations.scopes_after("who?") == ()
    assert declarations.scopes_before(key("db")) == (key("app"), key("web"))


def test_scopes_on_a_circle_are_ordered_as_down_goes() -> None:
    declarations = Declarations(
        Policy(rules=tuple(Rule(match=Match(name=a), order=Order(edges=(after(b),))) for a, b in ("ab", "ba")))
    )
    declarations.put(member("a"))
    declarations.put(member("b"))
    graph, problems = declarations.lenient_graph()
    assert problems
    for one in map(key, "ab"):
        assert declarations.scopes_before(one) == tuple(graph.stop_after(one))
    assert sorted(len(declarations.scopes_after(key(name))) for name in "ab") == [0, 1]


def test_declarations_follow_what_comes_and_goes() -> None:
    declarations = Declarations()
    declarations.put(member("web", after("db")))
    with pytest.raises(UnknownDomain):
        declarations.graph()
    declarations.put(member("db"))
    first = declarations.graph()
    assert declarations.graph() is first
    declarations.add("db", after("dns"))
    with pytest.raises(UnknownDomain, match="'dns'"):
        declarations.graph()
    declarations.put(member("dns"))
    assert declarations.graph().start_after(key("db")) == {key("dns"): "after"}
    declarations.policy = Policy(rules=(Rule(match=Match(name="dns"), order=Order(edges=(after("web"),))),))
    with pytest.raises(CycleError):
        declarations.graph()
    declarations.policy = Policy()
    declarations.put(Member(key=key("web"), name="renamed"))
    assert len(declarations) == 3
    assert declarations.graph().member(key("web")).name == "renamed"
    declarations.discard(key("web"))
    declarations.discard(key("web"))
    assert key("web") not in declarations
    declarations.discard(key("dns"))
    with pytest.raises(UnknownDomain):
        declarations.graph()


def test_it_is_known_who_is_named() -> None:
    declarations = Declarations(Policy(rules=(Rule(match=Match(name="*"), order=Order(edges=(after("dns"),))),)))
    declarations.put(member("web", after("db")))
    declarations.add("web", after(f"{member('log').connection}#log"))
    named = {name for name in ("web", "db", "dns", "log") if declarations.is_named(member(name))}
    assert named == {"db", "dns", "log"}
    declarations.put(member("web"))
    assert not declarations.is_named(member("db"))


def test_a_domains_word_wins_over_rules_and_rules_over_defaults() -> None:
    acpi, save = StopStep(method="acpi", timeout=5.0), StopStep(method="save", timeout=6.0)
    agent = Gate(kind="agent")
    policy = Policy(
        rules=(
            Rule(match=Match(name="*"), order=Order(ladder=(acpi,), gates=(agent,), on_stop_failure="go-on")),
            Rule(match=Match(tag="safe"), order=Order(ladder=(save,))),
        ),
    )
    own = StopStep(method="destroy", timeout=1.0)
    members = [member("plain"), member("tagged", tags=("safe",)), member("own", ladder=(own,), on_stop_failure="hold")]
    graph = OrderGraph.build(members, policy)
    assert graph.order(key("plain")).ladder == (acpi,)
    assert graph.order(key("tagged")).ladder == (save,)  # the last rule that says something
    assert graph.order(key("tagged")).gates == (agent,)
    assert graph.order(key("own")).ladder == (own,)
    assert graph.order(key("own")).on_stop_failure == "hold"
    bare = OrderGraph.build([member("plain")]).order(key("plain"))
    assert bare.ladder == DEFAULT_LADDER
    assert bare.gates == (Gate(),)
    assert bare.on_stop_failure == "hold"


def test_stop_seconds_are_those_of_the_whole_ladder() -> None:
    declarations = Declarations()
    declarations.put(member("a"))
    assert declarations.stop_seconds(key("a")) == 270.0


def test_ten_thousand_domains_take_ten_times_what_a_thousand_take() -> None:
    """Counted in steps of the interpreter, not in seconds: a busy machine must not decide."""

    def steps(count: int) -> int:
        import sys

        members = [
            member(f"d{n}", *([after(f"d{n - 1}"), after(f"d{n // 2}")] if n % 3 and n > 1 else []))
            for n in range(count)
        ]
        calls = 0

        def trace(*_: Any) -> None:
            nonlocal calls
            calls += 1

        sys.setprofile(trace)
        try:
            OrderGraph.build(members)
        finally:
            sys.setprofile(None)
        return calls

    assert steps(10_000) <= 11 * steps(1_000)


def test_a_chain_of_ten_thousand_needs_no_stack() -> None:
    members = [member(f"d{n}", *([after(f"d{n - 1}")] if n else [])) for n in range(10_000)]
    began = time.monotonic()
    graph = OrderGraph.build(members)
    assert graph.sorted("down")[0] == key("d9999")
    assert len(graph.closure("up", [key("d9999")])) == 1  # nothing is required
    assert graph.waits("up", [key("d0"), key("d9999")])[key("d9999")] == {key("d0"): "after"}
    assert time.monotonic() - began < 60
