"""The units on disk; that systemd itself is content with them is checked by ``systemd-analyze verify``."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import HostError
from engine.systemd.install import (
    DELAY_DROPIN,
    TIMEOUT_DROPIN,
    Action,
    engine_command,
    install_units,
    quote_exec,
    render_timeout,
    render_units,
    uninstall_units,
    units_dir,
    write_delay,
    write_timeout,
)
from engine.systemd.scope import AUTOSTART_SERVICE, ENGINE_SERVICE, ENGINE_SOCKET, GUESTS_SERVICE, SHUTDOWN_TARGET

UNITS = render_units(["/usr/bin/true", "--state-dir", "/var/lib/virengine"])
SOCKET = Path("/run/virengine/api.sock")
SERVED = render_units(["/usr/bin/true"], state_dir=Path("/var/lib/virengine"), socket=SOCKET)


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}


def kinds(actions: list[Action]) -> list[str]:
    return [action.what for action in actions]


def test_install_twice_and_uninstall(tmp_path: Path) -> None:
    assert set(kinds(install_units(UNITS, tmp_path))) == {"write", "link"}
    link = tmp_path / "multi-user.target.wants" / GUESTS_SERVICE
    assert link.readlink() == tmp_path / GUESTS_SERVICE
    assert (tmp_path / GUESTS_SERVICE).read_text() == UNITS[GUESTS_SERVICE]
    assert (tmp_path / GUESTS_SERVICE).stat().st_mode & 0o777 == 0o644
    assert set(kinds(install_units(UNITS, tmp_path))) == {"keep"}
    write_timeout(tmp_path, 100)
    assert (tmp_path / TIMEOUT_DROPIN).read_text().endswith("[Service]\nTimeoutStopSec=110\n")
    assert write_timeout(tmp_path, 100).what == "keep"
    write_delay(tmp_path / "system", 100)
    assert (tmp_path / DELAY_DROPIN).read_text().endswith("[Login]\nInhibitDelayMaxSec=110\n")
    uninstall_units(tmp_path / "system")
    assert not (tmp_path / DELAY_DROPIN).exists()
    (tmp_path / DELAY_DROPIN).parent.rmdir()

    (tmp_path / "other.service").write_text("[Service]\n")
    assert set(kinds(uninstall_units(tmp_path))) == {"remove"}
    assert tree(tmp_path) == {"other.service"}
    assert uninstall_units(tmp_path) == []


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / SHUTDOWN_TARGET).write_text("[Unit]\nDescription=somebody else's\n")
    own = tmp_path / f"{GUESTS_SERVICE}.d" / "override.conf"
    own.parent.mkdir()
    own.write_text("[Service]\n")
    uninstall_units(tmp_path)
    assert tree(tmp_path) == {SHUTDOWN_TARGET, f"{GUESTS_SERVICE}.d/override.conf"}


def test_dry_run_changes_nothing(tmp_path: Path) -> None:
    actions = install_units(UNITS, tmp_path / "deep" / "folder", dry_run=True)
    assert set(kinds(actions)) == {"write", "link"}
    assert not (tmp_path / "deep").exists()
    install_units(UNITS, tmp_path)
    before = tree(tmp_path)
    assert uninstall_units(tmp_path, dry_run=True)
    assert tree(tmp_path) == before


def test_an_outdated_unit_is_replaced_and_a_wrong_link_put_right(tmp_path: Path) -> None:
    install_units(UNITS, tmp_path)
    (tmp_path / GUESTS_SERVICE).write_text("old")
    link = tmp_path / "multi-user.target.wants" / GUESTS_SERVICE
    link.unlink()
    link.symlink_to("/nowhere")
    actions = {action.path.name + ":" + action.what for action in install_units(UNITS, tmp_path)}
    assert actions == {
        f"{SHUTDOWN_TARGET}:keep",
        f"{GUESTS_SERVICE}:write",
        f"{GUESTS_SERVICE}:link",
        f"{AUTOSTART_SERVICE}:keep",
    }
    assert (tmp_path / GUESTS_SERVICE).read_text() == UNITS[GUESTS_SERVICE]


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HostError, match="units can't be put into"):
        install_units(UNITS, tmp_path / "file")
    with pytest.raises(HostError, match="Not a directory"):
        write_timeout(tmp_path / "file", 10)


def test_the_services_are_ordered() -> None:
    lines = UNITS[GUESTS_SERVICE].splitlines()
    assert f"Requires={SHUTDOWN_TARGET}" in lines
    assert f"After={SHUTDOWN_TARGET}" in lines
    assert "ExecStart=/bin/true" in lines  # whatever becomes of the guests: it is active, so its stop will run
    autostart = UNITS[AUTOSTART_SERVICE].splitlines()
    assert "ExecStart=/usr/bin/true --state-dir /var/lib/virengine up --resume" in autostart
    assert f"After={GUESTS_SERVICE}" in autostart
    assert f"Requires={GUESTS_SERVICE}" in autostart
    assert "WantedBy=multi-user.target" in autostart
    assert "ExecStop=/usr/bin/true --state-dir /var/lib/virengine down --insist" in lines
    assert "WantedBy=multi-user.target" in lines
    assert f"After={ENGINE_SERVICE} {ENGINE_SOCKET}" in lines  # it is still there while the guests are stopped
    assert "@" not in UNITS[GUESTS_SERVICE]
    user = render_units(["/usr/bin/true"], user=True, start=("up",), stop=("down", "--deadline", "60"), timeout=70.2)
    assert "WantedBy=default.target" in user[GUESTS_SERVICE]
    assert "TimeoutStopSec=71" in user[GUESTS_SERVICE]
    assert "ExecStop=/usr/bin/true down --deadline 60" in user[GUESTS_SERVICE]


def test_the_service() -> None:
    assert set(SERVED) == {*UNITS, ENGINE_SERVICE, ENGINE_SOCKET}
    lines = SERVED[ENGINE_SERVICE].splitlines()
    assert "ExecStart=/usr/bin/true serve" in lines
    assert "ExecStartPre=-/usr/bin/flock --wait 240 /var/lib/virengine/lock /bin/true" in lines
    assert "KillMode=process" in lines  # guests that got no scope are not killed with it
    assert "NoNewPrivileges=yes" in lines
    assert "ListenStream=/run/virengine/api.sock" in SERVED[ENGINE_SOCKET].splitlines()
    assert "SocketMode=0666" in SERVED[ENGINE_SOCKET].splitlines()
    user = render_units(["/usr/bin/true"], socket=Path("/run/user/7/50%/api.sock"), user=True)
    assert "ListenStream=/run/user/7/50%%/api.sock" in user[ENGINE_SOCKET].splitlines()
    assert "SocketMode=0600" in user[ENGINE_SOCKET].splitlines()
    assert "NoNewPrivileges" not in user[ENGINE_SERVICE]


def test_the_service_is_hardened(tmp_path: Path) -> None:
    """Its exposure is 3.0 at most; the program says so by its exit code."""
    path = tmp_path / ENGINE_SERVICE
    judge = ["systemd-analyze", "security", "--offline=true", "--threshold=30", str(path)]
    path.write_text(SERVED[ENGINE_SERVICE])
    good = subprocess.run(judge, capture_output=True, text=True)
    assert good.returncode == 0, good.stdout
    assert "Unknown" not in good.stderr
    path.write_text(SERVED[ENGINE_SERVICE].replace("NoNewPrivileges=yes", ""))
    assert subprocess.run(judge, capture_output=True).returncode != 0


def test_timeout() -> None:
    assert "TimeoutStopSec=1100" in render_timeout(1000)
    assert "TimeoutStopSec=60" in render_timeout(5)
    assert "TimeoutStopSec=60" in render_units(["/bin/true"], timeout=3)[GUESTS_SERVICE]
    assert "TimeoutStopSec=infinity" in render_timeout(float("inf"))


def test_units_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert units_dir(user=False) == Path("/etc/systemd/system")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert units_dir(user=True) == tmp_path / "systemd" / "user"
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert units_dir(user=True) == Path.home() / ".config" / "systemd" / "user"


def test_engine_command_can_be_run() -> None:
    assert Path(engine_command()[0]).is_absolute()
    assert shutil.which(engine_command()[0])


@given(st.lists(st.text(st.characters(blacklist_characters="\n\r\0", blacklist_categories=["Cs"])), min_size=1))
def test_quoted_arguments_read_back(arguments: list[str]) -> None:
    line = quote_exec(arguments)
    # the shell's rules within double quotes are those of systemd once specifiers and variables are undone
    assert [word.replace("%%", "%").replace("$$", "$") for word in shlex.split(line)] == arguments


@pytest.mark.parametrize("argument", ["a\nb", "a\rb", "a\0b"])
def test_what_no_unit_can_hold_is_refused(argument: str) -> None:
    with pytest.raises(ValueError, match="can't stand in a unit file"):
        quote_exec(["/bin/echo", argument])


@pytest.mark.parametrize(
    ("state_dir", "user"), [("/var/lib/virengine", False), ('/var/lib/my "vms" 100%; $HOME', True)]
)
def test_systemd_reads_the_units(tmp_path: Path, state_dir: str, user: bool) -> None:
    folder = Path(state_dir)
    units = render_units(
        ["/usr/bin/true", "--state-dir", state_dir], state_dir=folder, socket=folder / "api.sock", user=user
    )
    install_units(units, tmp_path)
    write_timeout(tmp_path, 30)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *(str(tmp_path / name) for name in units)],
        capture_output=True,
        text=True,
    )
    complaints = [line for line in done.stderr.splitlines() if "virengine" in line or "virt-guest" in line]
    assert complaints == []
    (tmp_path / GUESTS_SERVICE).write_text(UNITS[GUESTS_SERVICE].replace("Type=oneshot", "Type=nonsense"))
    bad = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / GUESTS_SERVICE)], capture_output=True, text=True
    )
    assert "nonsense" in bad.stderr  # it does tell when something is wrong
