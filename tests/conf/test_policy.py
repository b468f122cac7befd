from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conf import policy as policy_module
from engine.conf.order import DEFAULT_LADDER, Edge, Gate, Order, StopStep
from engine.conf.policy import Match, Policy, Rule, parse_policy
from engine.errors import ConfigError, EngineError

WHOLE = """\
[budget]
seconds = 300

[defaults]
ready = {gate = "running", timeout = 30}
stop = [
  {method = "agent", timeout = 30},  # asked nicely
  {method = "acpi"},
]
on-stop-failure = "go-on"
parallel = 8
sleep = "nothing"

[[rule]]
match = {name = "web*", tag = "front", connection = "qemu:///*"}
requires = ["db", {domain = "qemu:///system#cache", when = "stop"}]
after = [
  "dns",
]
ready = [{gate = "agent"}, {gate = "tcp", host = "10.0.0.5", port = 80, timeout = 90, on-timeout = "go-on"}]

[[rule]]
match.name = "db"
stop = [{method = "acpi", timeout = 60, repeat = 10}, {method = "destroy"}]
on-stop-failure = "hold"
sleep = "save"
"""


def test_all_that_a_policy_can_say() -> None:
    found = parse_policy(WHOLE, source="order.toml")
    assert found == Policy(
        rules=(
            Rule(
                match=Match(name="web*", tag="front", connection="qemu:///*"),
                order=Order(
                    edges=(
                        Edge(domain="db", kind="requires", line=16),
                        Edge(domain="qemu:///system#cache", kind="requires", when="stop", line=16),
                        Edge(domain="dns", kind="after", line=18),
                    ),
                    gates=(
                        Gate(kind="agent", line=20),
                        Gate(kind="tcp", host="10.0.0.5", port=80, timeout=90.0, on_timeout="go-on", line=20),
                    ),
                ),
                line=14,
            ),
            Rule(
                match=Match(name="db"),
                order=Order(
                    ladder=(
                        StopStep(method="acpi", timeout=60.0, repeat=10.0, line=24),
                        StopStep(method="destroy", timeout=10.0, line=24),
                    ),
                    on_stop_failure="hold",
                    sleep="save",
                ),
                line=22,
            ),
        ),
        gates=(Gate(kind="running", timeout=30.0, line=5),),
        ladder=(
            StopStep(method="agent", timeout=30.0, line=7),
            StopStep(method="acpi", timeout=120.0, repeat=10.0, line=8),
        ),
        on_stop_failure="go-on",
        sleep="nothing",
        parallel=8,
        budget=300.0,
        source="order.toml",
    )


def test_the_example_in_the_documentation_is_a_policy() -> None:
    text = (policy_module.__doc__ or "").split("::\n", 1)[1].split("\nEdges add up")[0]
    found = parse_policy(re.sub(r"^    ", "", text, flags=re.MULTILINE))
    assert len(found.rules) == 1
    assert found.parallel == 8


def test_an_empty_policy_is_the_engines_own() -> None:
    assert parse_policy("# nothing\n") == Policy()
    assert Policy().ladder == DEFAULT_LADDER


WRONG = [
    ("a = [", 1, "not well-formed TOML"),
    ("a = 1\nb = = 2\n", 2, "not well-formed TOML"),
    ("[budget]\nsecond = 3\n", 2, "did you mean 'seconds'"),
    ("[budget]\nseconds = 'x'\n", 2, "budget.seconds: expected 'float', got 'str'"),
    ("[budget]\nseconds = -1\n", 2, "budget.seconds"),
    ("rules = []\n", 1, "did you mean 'rule'"),
    ("[[rule]]\n", 1, "there has to be 'match'"),
    ("[[rule]]\nmatch = {}\n", 2, "at least one of"),
    ("[[rule]]\nmatch = {nam = 'x'}\n", 2, "did you mean 'name'"),
    ("[[rule]]\nmatch.name = 'a'\n[[rule]]\nmatch.name = 'b'\nafter = [1]\n", 5, "rule[2].after"),
    ("[[rule]]\nmatch.name = 'a'\nafter = ['x',\n\n  {domain = 'y', wen = 'stop'}]\n", 5, "rule[1].after[2]"),
    ("[[rule]]\nmatch.name = 'a'\nafter = ['']\n", 3, "empty"),
    ("[[rule]]\nmatch.name = 'a'\nstop = [\n  {method = 'acpi'},\n  {method = 'kill'},\n]\n", 5, "one of acpi, agent"),
    (
        "[[rule]]\nmatch.name = 'a'\n\n[[rule.stop]]\nmethod = 'acpi'\n[[rule.stop]]\nmethod = 'x'\n",
        7,
        "stop[2].method",
    ),
    ("[[rule]]\nmatch.name = 'a'\non-stop-failure = 'wait'\n", 3, "one of go-on, hold"),
    ("[[rule]]\nmatch.name = 'a'\nready = {gate = 'tcp', host = 'h'}\n", 3, "gate 'tcp' needs port"),
    ("[[rule]]\nmatch.name = 'a'\nready = {gate = 'tcp', port = 1}\n", 3, "gate 'tcp' needs host"),
    ("[[rule]]\nmatch.name = 'a'\nready = [{gate = 'agent'},\n {gate = 'agent', port = 1}]\n", 4, "takes no port"),
    ("[[rule]]\nmatch.name = 'a'\nready = {gate = 'http', url = 'ftp://x'}\n", 3, "http:// or https://"),
    ("[[rule]]\nmatch.name = 'a'\nready = {gate = 'http', url = 'http://h:99999/'}\n", 3, "Port out of range"),
    ("[[rule]]\nmatch.name = 'a'\nready = {gate = 'tcp', host = 'a..ü', port = 1}\n", 3, "'a..ü' is neither"),
    ("[[rule]]\nmatch.name = 'a'\nready = {gate = 'serial', pattern = '('}\n", 3, "not a regular expression"),
    ("[defaults]\nready = {gate = 'serial', pattern = 'a{1,99999999999}'}\n", 2, "not a regular expression"),
    (f"[defaults]\nready = {{gate = 'serial', pattern = '{'(' * 3000}{')' * 3000}'}}\n", 2, "nested too deeply"),
    ("[[rule]]\nmatch.name = 'a'\nready = {gate = 'delay'}\n", 3, "needs seconds"),
    ("[[rule]]\nmatch.name = 'a'\n[rule.ready]\ngate = 'tcp'\nhost = 'h'\nport = 70000\n", 6, "port"),
    ("[defaults]\nparallel = 0\n", 2, "parallel"),
    ('x = """\n[[rule]]\n"""\n[[rule]]\nmatch = 3\n', 1, "unknown key"),
]


@pytest.mark.parametrize(("text", "line", "reason"), WRONG)
def test_what_is_wrong_is_told_with_its_line(text: str, line: int, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_policy(text, source="order.toml")
    assert caught.value.line == line
    assert reason in str(caught.value)
    assert str(caught.value).startswith(f"order.toml:{line}: ")


def test_a_delay_may_be_nothing() -> None:
    found = parse_policy("[defaults]\nready = {gate = 'delay', seconds = 0}\n")
    assert found.gates == (Gate(kind="delay", line=2),)


@pytest.mark.parametrize(
    ("match", "matches"),
    [
        (Match(name="web*"), True),
        (Match(name="web"), False),
        (Match(name="WEB*"), False),
        (Match(tag="front"), True),
        (Match(tag="fr*"), False),
        (Match(connection="qemu:///*"), True),
        (Match(connection="test:///*"), False),
        (Match(name="w?b[12]", tag="front", connection="*"), True),
        (Match(name="web1", tag="back"), False),
    ],
)
def test_all_that_is_given_must_match(match: Match, matches: bool) -> None:
    assert match.matches("web1", "qemu:///system", ("front",)) is matches


@given(st.text(alphabet="[]{}=.,\"'#\n abc1-\\", max_size=60))
def test_whatever_the_text_it_is_a_policy_or_a_config_error(text: str) -> None:
    try:
        parse_policy(text)
    except EngineError as error:
        assert isinstance(error, ConfigError)
        assert error.line is None or 1 <= error.line <= text.count("\n") + 1
