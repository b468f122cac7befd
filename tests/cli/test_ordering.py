"""``order``, ``plan``, ``up``, ``down``."""

from __future__ import annotations

import socket
from xml.etree import ElementTree

import pytest


def happened(virengine, kind):
    """Names in the order of these events."""
    return [line.split()[3] for line in virengine("events", "--type", kind).stdout.splitlines()]


def test_up_and_down_in_order(stack):
    virengine = stack()
    result = virengine("up")
    assert "Up: 5 of 5 domains done" in result.stdout
    names = happened(virengine, "DomainStarted")
    assert names.index("db") < min(names.index("app1"), names.index("app2"))
    assert names.index("lb") > max(names.index("app1"), names.index("app2"))
    result = virengine("down")
    assert "Down: 5 of 5 domains done" in result.stdout
    assert "lb  stopped (shutdown)" in result.stdout
    names = happened(virengine, "DomainStopped")
    assert names.index("lb") < min(names.index("app1"), names.index("app2"))
    assert names.index("db") > max(names.index("app1"), names.index("app2"))


def test_up_of_one_brings_what_it_requires(stack):
    virengine = stack()
    virengine("up", "app1")
    assert virengine("list", "--name").stdout.split() == ["app1", "db"]


def test_down_of_one_takes_what_requires_it(stack):
    virengine = stack()
    virengine("up")
    virengine("down", "app1")
    assert virengine("list", "--all", "--name", "--inactive").stdout.split() == ["app1"]
    virengine("down", "db")
    assert virengine("list", "--name").stdout.split() == ["batch", "lb"]


def test_up_resume_brings_back_just_what_down_stopped(stack):
    virengine = stack()
    virengine("up", "app1")
    virengine("down")
    virengine("up", "--resume")
    assert virengine("list", "--name").stdout.split() == ["app1", "db"]


def test_up_autostart(stack):
    virengine = stack()
    virengine("autostart", "app2")
    virengine("up", "--autostart")
    assert virengine("list", "--name").stdout.split() == ["app2", "db"]


def test_resume_takes_no_names(stack):
    assert "--resume" in stack()("up", "db", "--resume", code=2).stderr


def test_nothing_to_do(virengine):
    assert virengine("up").stdout == "Nothing to start.\n"
    assert virengine("down").stdout == "Nothing to stop.\n"


def test_what_does_not_stop_is_exit_code_1_and_holds_back_what_waits(virengine):
    virengine.define("db")
    ladder = "<order:requires domain='db'/><order:stop><order:try method='acpi' timeout='0.1'/></order:stop>"
    virengine.define("web", order=ladder, guest="agent='no' ignore='acpi'")
    virengine("up")
    result = virengine("down", code=1)
    assert result.stderr.splitlines()[-1] == "virengine: error: web, db did not stop as it should"
    assert virengine("list", "--name").stdout.split() == ["db", "web"]


def test_report_as_json(stack):
    virengine = stack()
    up = virengine.json("up")
    assert up["ok"] is True
    assert {entry["name"] for entry in up["entries"]} == {"db", "app1", "app2", "lb", "batch"}
    down = virengine.json("down", "--deadline", "600")
    assert {entry["outcome"] for entry in down["entries"]} == {"stopped"}


def test_drill_changes_nothing(stack):
    virengine = stack()
    virengine("up")
    before = virengine("events").stdout.count("\n")
    assert "Checked, and nothing changed" in virengine("down", "--drill").stdout
    assert len(virengine("list", "--name").stdout.split()) == 5
    assert virengine.json("down", "--drill")["ok"] is True
    assert happened(virengine, "DomainStopped") == []
    assert before


def test_a_drill_that_finds_something_is_exit_code_1(virengine):
    ladder = "<order:stop><order:try method='acpi' timeout='1'/></order:stop>"
    virengine.define("web", order=ladder)
    virengine("start", "web", "--paused")
    virengine("down", "--drill", code=1)
    assert virengine.state("web") == "paused"


def test_plan_as_text_json_and_picture(stack):
    virengine = stack()
    virengine("up")
    text = virengine("plan").stdout
    assert text == virengine("plan", "down").stdout
    assert "critical path: lb -> app1 -> db" in text
    plan = virengine.json("plan", "down", "app1")
    assert [step["name"] for step in plan["steps"]] == ["app1"]
    picture = virengine.folder / "plan.svg"
    assert virengine("plan", "down", "--svg", str(picture)).stdout == text
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")
    assert ElementTree.fromstring(virengine("plan", "--svg", "-").stdout).tag.endswith("svg")
    up = virengine.json("plan", "up")
    assert up["direction"] == "up"


def test_a_picture_that_can_not_be_written(stack):
    virengine = stack()
    result = virengine("plan", "--svg", "/nowhere/plan.svg", code=1)
    assert result.stderr == "virengine: error: /nowhere/plan.svg: no such file or directory\n"


def test_order_shows_what_is_declared(stack):
    virengine = stack()
    lines = {line.split()[0]: line for line in virengine("order").stdout.splitlines()[2:]}
    assert "db (requires)" in lines["app1"]
    assert "app1, app2" in lines["lb"]
    [lb] = virengine.json("order", "lb")
    assert lb["starts_after"] == [{"name": "app1", "kind": "after"}, {"name": "app2", "kind": "after"}]
    assert [step["method"] for step in lb["ladder"]] == ["agent", "acpi", "save"]


@pytest.mark.parametrize("command", ["order", "plan", "up"])
def test_an_order_that_makes_no_sense_is_told(virengine, command):
    virengine.define("web", order="<order:after domain='nobody'/>")
    result = virengine(command, code=1)
    assert "names 'nobody', and there is no such domain" in result.stderr
    assert virengine(command, *(["down"] if command == "plan" else []), "nobody", code=3)


def test_down_goes_on_whatever_is_declared_and_tells(virengine):
    virengine.define("web", order="<order:after domain='nobody'/>")
    virengine("start", "web")
    result = virengine("down")
    assert "there is no such domain" in result.stdout + result.stderr
    [web] = [domain for domain in virengine.json("list") if domain["name"] == "web"]
    assert web["state"] == "shut off"


@pytest.fixture
def listener(tmp_path, monkeypatch):
    """The service manager's end, where ``down`` is the stop of a service."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(tmp_path / "notify"))
        sock.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        yield sock


@pytest.mark.parametrize("policy", ["", "[[rule", '[[rule]]\nmatch = {name = "web"}\nafter = ["web"]\n'])
def test_down_as_the_stop_of_a_service_goes_on_whatever_is_declared(virengine, listener, policy):
    virengine.define("web", order="<order:after domain='nobody'/>")
    virengine("start", "web")
    (virengine.state_dir / "order.toml").write_text(policy)
    virengine("down")
    assert virengine.state("web") == "shut off"
    assert listener.recv(4096) == b"STATUS=stopping 1 domains in order, at most 270 s"
    assert listener.recv(4096) == b"EXTEND_TIMEOUT_USEC=280000000"


def test_nothing_that_is_wrong_with_telling_the_service_manager_ends_down(virengine, listener, monkeypatch):
    def broken(*_):
        raise RuntimeError("a bug")

    virengine.define("web")
    virengine("start", "web")
    monkeypatch.setattr("engine.ordering.Ordering.stop_plan", broken)
    virengine("down")
    assert virengine.state("web") == "shut off"


def test_the_policy_of_the_state_directory_counts(virengine):
    virengine.define("db", "web")
    policy = virengine.state_dir / "order.toml"
    policy.write_text('[[rule]]\nmatch = { name = "web" }\nafter = ["db"]\n')
    [web] = virengine.json("order", "web")
    assert web["starts_after"] == [{"name": "db", "kind": "after"}]
    policy.write_text("[[rule\n")
    assert str(policy) in virengine("order", code=1).stderr
