"""The program as a whole: help, usage, options, environment, errors."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from support.golden import check_golden

from engine import errors
from engine.cli import failures, places
from engine.cli.failures import report
from engine.cli.main import _COMMANDS, cli
from engine.cli.session import Interrupted, Session

ISSUED = [
    "define",
    "undefine",
    "start",
    "shutdown",
    "reboot",
    "reset",
    "suspend",
    "resume",
    "destroy",
    "save",
    "restore",
    "managedsave",
    "autostart",
    "list",
    "info",
    "dumpxml",
    "events",
    "order",
    "plan",
    "up",
    "down",
    "doctor",
    "install-units",
]


def invoke(*args, **more):
    return CliRunner().invoke(cli, args, **more)


def test_all_commands_are_there():
    assert set(ISSUED) <= set(_COMMANDS)


@pytest.mark.parametrize("command", ["", *_COMMANDS])
def test_help(command):
    """Golden: every option is seen in review."""
    result = invoke(*command.split(), "--help", env={"COLUMNS": "80"})
    assert result.exit_code == 0
    check_golden(f"cli/{command or 'virengine'}.txt", result.stdout)


def test_no_summary_in_the_help_is_cut_short():
    assert "..." not in invoke("--help").stdout.split("Domains:")[1]


def test_version():
    assert invoke("--version").stdout.startswith("virengine 0.")


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["strat"], "there is no command 'strat' (did you mean 'start'?)"),
        (["start"], "Missing argument 'DOMAIN...'"),
        (["list", "--nmae"], "No such option"),
        (["--backend", "curio", "list"], "'curio' is not one of"),
        (["--uri", "nonsense", "list"], "'nonsense' is not a connection URI"),
        (["--uri", "nosuch:///x", "list"], "no driver has the scheme 'nosuch'"),
        (["shutdown", "web", "--timeout", "0"], "--timeout"),
        (["plan", "sideways"], "'sideways' is not one of"),
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path, args, words):
    result = invoke("--state-dir", str(tmp_path / "state"), *args)
    assert result.exit_code == 2
    assert words in result.stderr
    assert result.stdout == ""


def test_the_environment_gives_the_defaults(virengine):
    virengine.define("web")
    variables = {"VIRENGINE_STATE_DIR": str(virengine.state_dir), "LIBVIRT_DEFAULT_URI": virengine.uri}
    assert invoke("list", "--all", "--name", env=variables).stdout == "web\n"
    variables["VIRENGINE_URI"] = "test:///default"
    assert invoke("list", "--all", "--name", env=variables).stdout == "test\n"
    assert invoke("--uri", virengine.uri, "list", "--all", "--name", env=variables).stdout == "web\n"


def test_default_directories_of_root(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    made = Session(uris=(), state_dir=None, backend="asyncio")
    assert (made.state_dir, made.runtime_dir) == (Path("/var/lib/virengine"), Path("/run/virengine"))
    # by its name it is the same
    made = Session(uris=(), state_dir="/var/lib/virengine", backend="asyncio")
    assert made.runtime_dir == Path("/run/virengine")
    assert made.uris == ("qemu:///system",)


def test_default_directories_of_a_user(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", "relative/is/ignored")
    assert places.state_dirs() == (f"{tmp_path}/.local/state/virengine", f"{tmp_path}/virengine")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    assert places.state_dirs() == (f"{tmp_path}/xdg/virengine", None)
    assert Session(uris=(), state_dir=None, backend="trio").uris == ("qemu:///session",)


def test_a_user_asks_roots_service_for_what_is_the_systems(monkeypatch, tmp_path):
    def asked(*uris, **more):
        return Session(uris=uris, backend="asyncio", **{"state_dir": None, **more}).service

    monkeypatch.setattr(places, "SYSTEM_SOCKET", str(tmp_path / "api.sock"))
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    assert asked("qemu:///system") is None  # there is none
    (tmp_path / "api.sock").touch()
    assert asked("qemu:///system") == str(tmp_path / "api.sock")
    assert asked("qemu:///system", service="https://host") == "https://host"
    for uris in ((), ("qemu:///session",), ("qemu:///system", "test:///default")):
        assert asked(*uris) is None
    assert asked("qemu:///system", state_dir=str(tmp_path)) is None
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert asked("qemu:///system") is None


def test_a_state_directory_that_can_not_be_made(tmp_path):
    (tmp_path / "file").touch()
    result = invoke("--uri", "test:///default", "--state-dir", str(tmp_path / "file" / "state"), "list")
    assert result.exit_code == 1
    assert result.stderr.endswith("not a directory: choose another place with --state-dir\n")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell):
    result = invoke("completion", shell)
    assert result.exit_code == 0
    assert "_VIRENGINE_COMPLETE" in result.stdout


def complete(virengine, shell, *words):
    """What is offered for the last word."""
    line = " ".join(["virengine", "--state-dir", str(virengine.state_dir), *words])
    variables = {"_VIRENGINE_COMPLETE": f"{shell}_complete", "COMP_WORDS": line, "COMP_CWORD": str(2 + len(words))}
    if shell == "fish":
        variables["COMP_CWORD"] = words[-1]
    result = CliRunner().invoke(cli, [], env=variables)
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    if shell == "zsh":
        return lines[1::3]
    return [line.partition(",")[2].partition("\t")[0] for line in lines if "," in line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_commands_options_and_domains(virengine, shell):
    virengine.define("web", "db", "we-ird+")
    assert complete(virengine, shell, "sta") == ["start"]
    assert complete(virengine, shell, "start", "w") == ["we-ird+", "web"]
    assert complete(virengine, shell, "start", "web", "w") == ["we-ird+"]
    assert complete(virengine, shell, "info", "d") == ["db"]
    assert complete(virengine, shell, "events", "--domain", "d") == ["db"]
    assert "--paused" in complete(virengine, shell, "start", "--p")
    assert "--state-paused" in complete(virengine, shell, "list", "--state-p")
    # only what is at the connection that is named
    first, virengine.options[1] = virengine.uri, "test:///default"
    virengine.define("worker")
    assert complete(virengine, shell, "--uri", first, "info", "wo") == []
    assert complete(virengine, shell, "--uri", "test:///default", "info", "w") == ["worker"]
    assert complete(virengine, shell, "info", "w") == ["we-ird+", "web", "worker"]


def test_completion_says_nothing_of_what_is_wrong(virengine):
    assert complete(virengine, "bash", "start", "w") == []
    virengine.state_dir.touch()
    assert complete(virengine, "bash", "start", "w") == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_completion_in_bash(virengine, tmp_path):
    virengine.define("web", "worker", "db")
    program = tmp_path / "bin" / "virengine"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m engine "$@"\n')
    program.chmod(0o755)
    script = f"""
        eval "$(virengine completion bash)"
        COMP_WORDS=(virengine --state-dir {virengine.state_dir} start w) COMP_CWORD=4
        _virengine_completion virengine
        printf '%s\n' "${{COMPREPLY[@]}}"
    """
    env = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(
        ["bash", "-c", script],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert (result.stdout.split(), result.stderr) == (["web", "worker"], "")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NoSuchDomain("web"), 3),
        (errors.InvalidState("start", "running", ["destroy"], domain="web"), 4),
        (errors.StateDirLocked("/x", "pid 1"), 5),
        (errors.Busy("busy"), 5),
        (errors.NoSuchDriver("x:///"), 2),
        (errors.NoSuchConnection("x:///"), 2),
        (errors.DomainExists("web", "uuid"), 1),
        (errors.MissingProgram("qemu-system-x86_64", "apt-get install qemu-system-x86"), 1),
        (errors.EngineError("it broke"), 1),
        (OSError(errno.ENOSPC, "No space left on device", "/x"), 1),
        (MemoryError(), 1),
        (ModuleNotFoundError("No module named 'httpx2'", name="httpx2"), 1),
        (click.ClickException("no"), 1),
        (KeyboardInterrupt(), 130),
        (Interrupted(15), 143),
        (ValueError("a\nbug"), 1),
    ],
)
def test_everything_is_one_sentence_and_a_code(capfd, error, code):
    assert report(error) == code
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("virengine: error: ")
    assert err.count("\n") == 1


def test_a_refusal_of_the_system_says_what_to_do(capfd):
    full = errors.StoreError("/x/journal.db", "no space left on device")
    full.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    report(full)
    report(OSError(errno.EACCES, "Permission denied", "/x"))
    lines = capfd.readouterr().err.splitlines()
    assert lines[0].endswith("/x/journal.db: no space left on device: free some space there and repeat the command")
    assert lines[1].endswith(
        "/x: permission denied: run it as a user who may, or choose another place with --state-dir"
    )


def test_a_defect_says_where_and_hides_its_traceback_unless_asked(capfd, monkeypatch):
    def broken():
        raise KeyError("x")

    monkeypatch.delenv("VIRENGINE_DEBUG", raising=False)
    for _ in range(2):
        try:
            broken()
        except KeyError as exc:
            assert report(exc) == 1
        monkeypatch.setenv("VIRENGINE_DEBUG", "1")
    quiet, _, loud = capfd.readouterr().err.partition("\n")
    assert "this is a defect of virengine: KeyError: 'x' at test_main.py:" in quiet
    assert "Traceback" in loud


def test_groups_tell_each_error_once_and_take_the_first_code(capfd):
    group = ExceptionGroup("", [errors.EngineError("a"), ExceptionGroup("", [errors.NoSuchDomain("b")])])
    assert report(group) == 1
    assert report(ExceptionGroup("", [errors.EngineError("a"), errors.EngineError("a")])) == 1
    assert capfd.readouterr().err.splitlines() == [
        "virengine: error: a",
        "virengine: error: no domain 'b'",
        "virengine: error: a",
    ]


def test_an_interruption_in_a_group_counts_before_all(capfd):
    assert report(BaseExceptionGroup("", [ValueError("x"), KeyboardInterrupt()])) == failures._SIGNALLED + 2
    assert capfd.readouterr().err == "virengine: error: interrupted\n"


def test_an_empty_state_directory_is_not_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke("--state-dir", "", "list")
    assert result.exit_code == 2
    assert "it is empty" in result.output
    assert not list(tmp_path.iterdir())
