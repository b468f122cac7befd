"""``doctor`` and ``install-units``, where there is no systemd; with one they are tested in the hostbox."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_systemd(monkeypatch, tmp_path):
    """Whatever runs on the machine the tests are on, it is not theirs to ask or change."""
    monkeypatch.setattr("engine.systemd.install.SYSTEM_DIR", tmp_path / "units")
    monkeypatch.setattr("engine.systemd.install.POLKIT_ACTIONS", tmp_path / "org.virengine.policy")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setattr("engine.systemd.machines.ScopeManager.missing", lambda self: "no systemd in this test")


def test_doctor_says_what_why_and_what_to_do(virengine):
    virengine.define("web")
    virengine("start", "web")
    lines = virengine("doctor").stdout.splitlines()
    assert lines[0].startswith("warning: no systemd to hold the guests")
    assert lines[1].startswith("  why: ")
    assert lines[2] == "  do:  run 'virengine down' before the host goes down"


def test_doctor_fails_when_a_guest_can_not_be_stopped(virengine):
    ladder = "<order:stop><order:try method='acpi' timeout='1'/></order:stop>"
    virengine.define("web", order=ladder)
    virengine("start", "web", "--paused")
    assert "no step of its ladder can stop 'web'" in virengine("doctor", code=1).stdout
    told = virengine.json("doctor", code=1)
    assert told["ok"] is False
    assert [finding["code"] for finding in told["findings"] if finding["severity"] == "error"] == ["no-ladder"]


@pytest.mark.parametrize("options", [(), ("--fix",)])
def test_doctor_tells_of_an_order_that_makes_no_sense_among_the_rest(virengine, options):
    virengine.define("web", order="<order:after domain='nobody'/>")
    virengine("start", "web")
    (virengine.state_dir / "order.toml").write_text("[[rule")
    shown = virengine("doctor", *options, code=1).stdout
    assert "order.toml" in shown
    assert "names 'nobody'" in shown
    assert "warning: no systemd" in shown
    told = virengine.json("doctor", *options, code=1)
    assert [finding["code"] for finding in told["findings"]] == ["order", "order", "no-systemd"]


def test_doctor_fix_without_systemd_changes_nothing(virengine, tmp_path):
    told = virengine.json("doctor", "--fix")
    assert told["done"] == []
    assert not (tmp_path / "units").exists()


def test_install_units_name_this_engine(virengine, tmp_path):
    folder = tmp_path / "units"
    virengine.define("web")
    result = virengine("install-units", "--dir", str(folder))
    assert f"write {folder}/virengine-guests.service" in result.stdout
    service = (folder / "virengine-guests.service").read_text()
    options = f"--state-dir {virengine.state_dir} --uri {virengine.uri} --backend {virengine.options[-1]}"
    assert f"{options} up --resume --autostart" in (folder / "virengine-autostart.service").read_text()
    assert f"{options} down --insist" in service
    assert "TimeoutStopSec=300" in service
    assert (folder / "virt-guest-shutdown.target").exists()
    # what is right already is left alone
    assert "keep " in virengine("install-units", "--dir", str(folder)).stdout


def test_install_units_gives_the_stop_the_time_the_plan_may_take(virengine, tmp_path):
    virengine.define("db")
    virengine.define("web", order="<order:after domain='db'/>")  # 270 s each by the default ladder
    virengine("install-units", "--dir", str(tmp_path / "units"))
    assert "TimeoutStopSec=594" in (tmp_path / "units" / "virengine-guests.service").read_text()


def test_install_units_dry_run_and_uninstall(virengine, tmp_path):
    folder = tmp_path / "units"
    assert "would write" in virengine("install-units", "--dir", str(folder), "--dry-run").stdout
    assert not folder.exists()
    virengine("install-units", "--dir", str(folder))
    virengine("install-units", "--dir", str(folder), "--uninstall")
    assert not list(folder.glob("*.service"))


def test_install_units_where_systemd_can_not_be_told(virengine, tmp_path):
    result = virengine("install-units", "--system")
    assert "systemd was not told of them" in result.stderr
    assert (tmp_path / "units" / "virengine-guests.service").exists()
    assert "no systemd in this test" in virengine("install-units", "--system", "--now", code=1).stderr


@pytest.mark.parametrize("line_end", ["\n", "\r"])
@pytest.mark.parametrize("command", ["install-units", "doctor"])
def test_a_path_that_no_unit_file_can_hold_is_wrong_usage(virengine, tmp_path, line_end, command):
    virengine.options[virengine.options.index("--state-dir") + 1] = str(tmp_path / f"a{line_end}b")
    result = virengine(command, code=2)
    assert (
        result.stderr.splitlines()[-1]
        == "Error: Invalid value for --state-dir: a unit file can't hold a path with a line end"
    )
    assert not (tmp_path / "units").exists()


def test_only_after_an_install_is_there_something_to_start(virengine, monkeypatch):
    async def reload(self):
        pass

    monkeypatch.setattr("engine.systemd.machines.ScopeManager.reload", reload)
    told = virengine("install-units", "--system").stdout
    assert "then: systemctl start virengine.socket virengine.service virengine-guests.service" in told
    told = virengine("install-units", "--system", "--no-service").stdout
    assert "then: systemctl start virengine-guests.service" in told
    assert "then:" not in virengine("install-units", "--system", "--uninstall").stdout


def test_polkit_is_told_of_the_actions_where_it_is(virengine, tmp_path, monkeypatch):
    actions = tmp_path / "actions" / "org.virengine.policy"
    monkeypatch.setattr("engine.systemd.install.POLKIT_ACTIONS", actions)
    virengine("install-units", "--system", "--service")
    assert not actions.parent.exists()
    actions.parent.mkdir()
    assert f"write {actions}" in virengine("install-units", "--system", "--service").stdout
    assert "org.virengine.operator" in actions.read_text()
    virengine("install-units", "--dir", str(tmp_path / "else"), "--uninstall")
    assert actions.exists()
    assert f"remove {actions}" in virengine("install-units", "--system", "--uninstall").stdout
    assert not actions.exists()


def test_the_service_is_installed_or_not(virengine, tmp_path):
    folder = tmp_path / "units"
    virengine("install-units", "--dir", str(folder), "--no-service")
    assert not list(folder.glob("virengine.s*"))
    virengine("install-units", "--dir", str(folder))
    service = (folder / "virengine.service").read_text()
    assert f"{' '.join(virengine.options)}".split()[-1] in service
    assert " serve\n" in service
    assert f"ListenStream={virengine.state_dir}/api.sock" in (folder / "virengine.socket").read_text()
    assert (folder / "sockets.target.wants" / "virengine.socket").is_symlink()
    virengine("install-units", "--dir", str(folder), "--uninstall")
    assert not list(folder.rglob("virengine*"))


def test_install_units_into_a_folder_that_can_not_be_written(virengine, tmp_path):
    (tmp_path / "file").touch()
    result = virengine("install-units", "--dir", str(tmp_path / "file" / "units"), code=1)
    assert "units can't be put into" in result.stderr


def test_install_units_goes_on_with_an_order_that_makes_no_sense(virengine, tmp_path):
    virengine.define("db")
    virengine.define("web", order="<order:after domain='nobody'/><order:after domain='db'/>")
    virengine("install-units", "--dir", str(tmp_path / "units"))
    assert "TimeoutStopSec=594" in (tmp_path / "units" / "virengine-guests.service").read_text()
