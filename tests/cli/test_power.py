"""``start``, ``shutdown``, ``reboot``, ``reset``, ``suspend``, ``resume``, ``destroy``, and saving."""

from __future__ import annotations

import pytest


def test_a_life(virengine):
    virengine.define("web")
    assert virengine("start", "web").stdout == "Domain 'web' started\n"
    assert virengine.state("web") == "running"
    assert virengine("suspend", "web").stdout == "Domain 'web' suspended\n"
    assert virengine.state("web") == "paused"
    assert virengine("resume", "web").stdout == "Domain 'web' resumed\n"
    assert virengine("reboot", "web").stdout == "Domain 'web' is being rebooted\n"
    assert virengine("reset", "web").stdout == "Domain 'web' was reset\n"
    assert virengine.state("web") == "running"
    assert virengine("shutdown", "web").stdout == "Domain 'web' is being shutdown\n"
    assert virengine.state("web") == "shut off"
    virengine("start", "web")
    assert virengine("destroy", "web").stdout == "Domain 'web' destroyed\n"
    assert virengine.json("info", "web")["reason"] in ("destroyed", "unknown")


def test_start_paused(virengine):
    virengine.define("web")
    virengine("start", "web", "--paused")
    assert virengine.state("web") == "paused"


def ready(kind, **more):
    attributes = " ".join(f"{key.replace('_', '-')}='{value}'" for key, value in more.items())
    return f"<order:ready gate='{kind}' {attributes}/>"


def test_start_waits_until_it_is_ready_when_told(virengine):
    virengine.define("web", order=ready("delay", seconds="0.1"))
    lines = virengine("start", "web", "--wait").stdout.splitlines()
    assert lines == ["Domain 'web' started", "Domain 'web' is ready"]
    assert virengine.json("list")[0]["ready"] is True


def test_start_tells_of_a_gate_that_failed(virengine):
    virengine.define("web", order=ready("agent", timeout="0.1"))
    result = virengine("start", "web", "--wait", code=1)
    assert result.stdout == "Domain 'web' started\n"
    assert result.stderr.startswith("virengine: error: domain 'web' runs but was not ready within 0.1 s (gate agent)")
    assert virengine.state("web") == "running"


def test_start_waits_no_longer_than_told(virengine):
    virengine.define("web", order=ready("delay", seconds="3600"))
    result = virengine("start", "web", "--timeout", "0.1", code=1)
    assert result.stderr == "virengine: error: domain 'web' runs and is not ready: no answer within 0.1 s\n"
    assert virengine.state("web") == "running"


@pytest.mark.parametrize("number", ["nan", "inf", "-inf", "-1", "0", "1e9", "1e999", "soon"])
@pytest.mark.parametrize("command", [("start", "--timeout"), ("shutdown", "--timeout"), ("down", "--deadline")])
def test_what_is_no_time_is_refused_before_anything_is_done(virengine, command, number):
    name, option = command
    assert option in virengine(name, "web", option, number, code=2).stderr
    assert not virengine.state_dir.exists()


def test_uuid_serves_as_well(virengine):
    virengine.define("web")
    assert virengine("start", virengine.json("info", "web")["uuid"]).stdout == "Domain 'web' started\n"


def test_several_at_once_and_one_that_fails_keeps_no_other_from_it(virengine):
    virengine.define("a", "b", "c")
    virengine("start", "b")
    result = virengine("start", "a", "b", "c", code=4)
    assert sorted(result.stdout.splitlines()) == ["Domain 'a' started", "Domain 'c' started"]
    assert result.stderr.startswith("virengine: error: domain 'b' is running: can't start it (possible now: ")
    assert virengine("list", "--name").stdout.split() == ["a", "b", "c"]


def test_the_same_one_named_twice_is_done_once(virengine):
    virengine.define("a")
    assert virengine("start", "a", "a").stdout == "Domain 'a' started\n"


def test_nothing_is_done_when_a_name_is_wrong(virengine):
    virengine.define("web")
    result = virengine("start", "web", "wbe", code=3)
    assert result.stderr == f"virengine: error: no domain 'wbe': at {virengine.uri} (did you mean 'web'?)\n"
    assert virengine.state("web") == "shut off"


def test_an_unknown_domain_says_where_to_look(virengine):
    assert "virengine define FILE" in virengine("start", "web", code=3).stderr
    virengine.define("web")
    assert "virengine list --all" in virengine("start", "something", code=3).stderr


@pytest.mark.parametrize("command", ["shutdown", "reboot", "reset", "suspend", "resume", "destroy", "managedsave"])
def test_what_the_state_makes_impossible_is_exit_code_4(virengine, command):
    virengine.define("web")
    result = virengine(command, "web", code=4)
    assert result.stderr.startswith("virengine: error: domain 'web' is shut off: can't ")
    assert result.stdout == ""


def test_shutdown_waits_when_told(virengine):
    virengine.define("web", guest="agent='no' shutdown='0.2'")
    virengine("start", "web")
    lines = virengine("shutdown", "web", "--wait").stdout.splitlines()
    assert lines == ["Domain 'web' is being shutdown", "Domain 'web' is off (shutdown)"]


def test_shutdown_waits_no_longer_than_told(virengine):
    virengine.define("web", guest="agent='no' ignore='acpi'")
    virengine("start", "web")
    result = virengine("shutdown", "web", "--timeout", "0.1", code=1)
    assert "domain 'web' is asked to power off and still running: no answer within 0.1 s" in result.stderr
    assert virengine.state("web") == "running"


def test_shutdown_by_a_way_the_guest_has_not(virengine):
    virengine.define("web", guest="agent='no'")
    virengine("start", "web")
    assert "agent" in virengine("shutdown", "web", "--mode", "agent", code=1).stderr
    assert virengine("shutdown", "web", "--mode", "acpi").exit_code == 0


def test_save_and_restore(virengine):
    virengine.define("web")
    virengine("start", "web")
    file = virengine.folder / "web.save"
    assert virengine("save", "web", str(file)).stdout == f"Domain 'web' saved to {file}\n"
    assert virengine.state("web") == "shut off"
    assert virengine("restore", str(file), "--paused").stdout == f"Domain restored from {file}\n"
    assert virengine.state("web") == "paused"


def test_restore_refuses_another_file(virengine):
    path = virengine.document("web")
    assert "not a saved domain" in virengine("restore", path, code=1).stderr
    assert "o such file" in virengine("restore", "/nowhere/at-all", code=1).stderr


def test_save_puts_nothing_in_the_place_of_a_folder(virengine):
    virengine.define("web")
    virengine("start", "web")
    assert "is no regular file" in virengine("save", "web", str(virengine.folder), code=1).stderr
    assert virengine.state("web") == "running"


def test_managed_save_is_restored_by_start_or_discarded(virengine):
    virengine.define("web")
    virengine("start", "web")
    assert virengine("managedsave", "web").stdout == "Domain 'web' state saved by virengine\n"
    assert virengine.json("info", "web")["managed_save"] is True
    virengine("start", "web")
    assert virengine("events", "--type", "DomainStarted").stdout.splitlines()[-1].endswith("started (restored)")
    virengine("managedsave", "web")
    virengine("start", "web", "--force-boot")
    assert virengine("events", "--type", "DomainStarted").stdout.splitlines()[-1].endswith("started (booted)")


def test_a_start_that_fails_is_one_sentence(virengine):
    virengine.options[1] = virengine.uri + "?fail=start:web"
    virengine.define("web")
    result = virengine("start", "web", code=1)
    assert result.stderr == "virengine: error: start failed, as it was told to\n"


def test_quiet_prints_no_remarks(virengine):
    virengine.define("web")
    virengine.options.append("--quiet")
    assert virengine("start", "web").output == ""
    assert virengine("list", "--name").stdout == "web\n"
