"""Every command does and says the same with a service as it does with an engine of its own."""

from __future__ import annotations

import contextlib
import json
import re
import signal
import subprocess
from pathlib import Path

import pytest
from support.program import PROGRAM, client, printed, service

DOMAIN = """<domain type='test'>
  <name>{name}</name><uuid>00000000-0000-4000-8000-00000000000{number}</uuid><title>{name} it is</title>
  <memory unit='MiB'>16</memory><os><type>hvm</type></os>
  <metadata>
    <guest xmlns='urn:virengine:test:1' agent='no'/>
    <order:order xmlns:order='urn:virengine:order:1'>{order}</order:order>
  </metadata>
</domain>
"""
COMMANDS = (
    "define {0}/db.xml {0}/web.xml",
    "define {0}/broken.xml",
    "define {0}/none.xml",
    "list --all",
    "list --json",
    "info web",
    "info --json web",
    "info nobody",
    "info wbe",
    "domstate --reason web",
    "domuuid web",
    "dumpxml web",
    "dumpxml --inactive web",
    "order",
    "order --json web",
    "plan up",
    "plan up --json web",
    "plan up --svg -",
    "plan down",
    "start web --wait",
    "wait web --json",
    "wait web --for running",
    "wait web --for stopped --timeout 0.1",
    "wait web --for domain.started --timeout 0.1",
    "wait web --for DomainStrated",
    "start web",
    "suspend web --json",
    "domstate web",
    "resume web",
    "reboot web --mode acpi",
    "reset web",
    "autostart web",
    "autostart web --disable",
    "save web {0}/web.save",
    "restore {0}/web.save",
    "restore {0}/web.xml",
    "managedsave web",
    "start web",
    "shutdown web --wait",
    "destroy web",
    "up",
    "up nobody",
    "plan down db",
    "plan down --json",
    "down --drill",
    "down --drill --json",
    "down db",
    "down",
    "up --json web",
    "down --json",
    "up --resume",
    "destroy web",
    "events --domain web --type LifecycleEvent",
    "events --domain web --type domain.stopped --domain db",
    "events --since 999999",
    "events --since nonsense",
    "doctor",
    "doctor --json",
    "doctor --fix --dry-run",
    "wait web --timeout 0.1",
    "wait web --for stopped",
    "destroy db",
    "undefine web nobody",
    "undefine --json web",
    "list --all --name",
)
# what can't be the same: times, processes, where a directory is
CHANGING = (
    (re.compile(r"/[^ \n\"']*/(embedded|served)"), "FOLDER"),
    (re.compile(r"\d\d:\d\d:\d\d(\.\d+)?( [+-]\d{4})?"), "TIME"),
    (re.compile(r"\d{4}-\d\d-\d\d"), "DAY"),
    (re.compile(r"TIME +\d+ "), "TIME NUMBER "),
    (re.compile(r"the oldest kept is \d+"), "OLDEST"),
    (re.compile(r'("(?:began|started|seconds|cpu_time|resident)": )[0-9.e-]+'), r"\1NUMBER"),
    (re.compile(r"\b\d+(\.\d+)? m?s\b"), "SECONDS"),
    (re.compile(r" {2,}"), "  "),  # as wide as the numbers are
)


def run(folder: Path, command: str) -> tuple[int, str, str]:
    (folder / "node.xml").write_text("<node/>")
    options = ("--uri", f"test://{folder}/node.xml", "--state-dir", str(folder / "state"))
    words = command.format(folder).split()
    ended = subprocess.run([*PROGRAM, *options, *words], capture_output=True, text=True, timeout=60, check=False)
    texts = []
    for text in (ended.stdout, ended.stderr):
        for pattern, word in CHANGING:
            text = pattern.sub(word, text)
        texts.append(text)
    return ended.returncode, texts[0], texts[1]


def prepared(tmp_path: Path, name: str) -> Path:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "node.xml").write_text("<node/>")
    (folder / "db.xml").write_text(DOMAIN.format(name="db", number=1, order=""))
    (folder / "web.xml").write_text(
        DOMAIN.format(name="web", number=2, order="<order:requires domain='db'/><order:tag name='front'/>")
    )
    (folder / "broken.xml").write_text("<domain type='test'>\n<name>x</name><memory>1</memory>\n<clok/></domain>")
    return folder


@pytest.mark.timeout(300)
def test_commands_do_the_same_with_a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the same on the other event loop, both at once: each command is a process, so that takes time enough."""
    alone, served = prepared(tmp_path, "embedded"), prepared(tmp_path, "served")
    monkeypatch.setenv("VIRENGINE_BACKEND", "asyncio")
    expected = [run(alone, command) for command in COMMANDS]
    monkeypatch.setenv("VIRENGINE_BACKEND", "trio")
    with service(served, "trio"):
        for command, told in zip(COMMANDS, expected, strict=True):
            assert run(served, command) == told, command


def test_a_connection_that_the_service_does_not_have(tmp_path: Path) -> None:
    folder = prepared(tmp_path, "served")
    with service(folder, "asyncio"):
        command = [*PROGRAM, "--uri", "test:///default", "--state-dir", str(folder / "state"), "info", "test"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert f"no connection 'test:///default': the service at {folder}/state/api.sock has test://" in ended.stderr


def test_a_service_that_hangs_is_told(tmp_path: Path) -> None:
    """Its socket takes who connects, and nobody answers."""
    folder = prepared(tmp_path, "served")
    command = [*PROGRAM, "--uri", f"test://{folder}/node.xml", "--state-dir", str(folder / "state"), "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
            asked = [*command[:-1], "info", "x"]
            ended = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
        finally:
            process.kill()
    assert ended.returncode == 1
    assert "does not answer" in ended.stderr


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_events_are_followed_across_a_restart_of_the_service(backend: str, tmp_path: Path) -> None:
    folder = prepared(tmp_path, "served")
    run(folder, "define {0}/db.xml")
    command = [*PROGRAM, "--state-dir", str(folder / "state"), "--backend", backend]
    with contextlib.ExitStack() as stack:
        with service(folder, backend):
            follow = [*command, "events", "--follow", "--type", "LifecycleEvent"]
            following = stack.enter_context(subprocess.Popen(follow, stdout=subprocess.PIPE, text=True))
            stack.callback(following.kill)
            assert following.stdout is not None
            with client(folder) as http:
                while "virengine_event_streams 1\n" not in http.get("/metrics").text:
                    assert following.poll() is None
        run(folder, "start db")  # while there is none
        with service(folder, backend):
            run(folder, "destroy db")
            lines = [following.stdout.readline().split("  ")[-1].strip() for _ in range(2)]
            following.send_signal(signal.SIGINT)
            assert following.wait(20) == 130
    assert lines == ["started (booted)", "stopped (destroyed)"]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_ctrl_c_ends_the_looking_on_and_says_so(backend: str, tmp_path: Path) -> None:
    folder = prepared(tmp_path, "served")
    (folder / "slow.xml").write_text(
        DOMAIN.format(
            name="slow", number=3, order="<order:stop><order:try method='acpi' timeout='600'/></order:stop>"
        ).replace("agent='no'", "agent='no' ignore='acpi'")
    )
    command = [*PROGRAM, "--state-dir", str(folder / "state"), "--backend", backend]
    with service(folder, backend):
        run(folder, "define {0}/slow.xml")
        run(folder, "start slow")
        with subprocess.Popen([*command, "down"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as down:
            assert down.stdout is not None
            while "stop tried: acpi" not in down.stdout.readline():
                assert down.poll() is None
            down.send_signal(signal.SIGINT)
            _, told = down.communicate(timeout=20)
        assert down.returncode == 130
        found = re.search(r"'virengine operations --cancel (\S+)' ends it", told)
        assert found is not None, told
        assert re.search(rf"{found[1]} +down +running +0 of 1 .* user:", printed(command, "operations"))
        assert "is being cancelled" in printed(command, "operations", "--cancel", found[1])
        with client(folder) as http:
            while (state := http.get(f"/v1/operations/{found[1]}").json()["state"]) == "running":
                pass
        assert state == "cancelled"
        assert run(folder, "domstate slow")[1] == "running\n"
        assert "ended already: cancelled" in printed(command, "operations", "--cancel", found[1])
        assert found[1] not in printed(command, "operations")
        assert json.loads(printed(command, "operations", "--json"))[0]["state"] == "cancelled"
    assert run(folder, "operations")[0] == 1


@pytest.mark.parametrize(
    ("wanted", "command"),
    [
        ("stopped", "destroy"),
        ("DomainStopped", "destroy"),
        ("domain.suspended", "suspend"),
        ("ready", "start"),
        ("running", "start"),
    ],
)
def test_wait_ends_when_it_comes(wanted: str, command: str, tmp_path: Path) -> None:
    folder = prepared(tmp_path, "served")
    with service(folder, "trio"):
        run(folder, "define {0}/db.xml")
        if command != "start":
            run(folder, "start db")
        assert waited(folder, wanted, command)[0] == 0


def waited(folder: Path, wanted: str, command: str) -> tuple[int, str, str]:
    """How ``wait --for wanted`` ends when it has begun and the command is then given."""
    options = [*PROGRAM, "--uri", f"test://{folder}/node.xml", "--state-dir", str(folder / "state")]
    words = [*options, "wait", "db", "--for", wanted, "--timeout", "30", "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as waiting:
        try:
            with client(folder) as http:
                while "virengine_event_streams 1\n" not in http.get("/metrics").text:
                    assert waiting.poll() is None
            assert run(folder, f"{command} db")[0] == 0
            out, err = waiting.communicate(timeout=30)
        finally:
            waiting.kill()
    return waiting.returncode, out, err


def test_a_domain_that_is_gone_is_off_and_nothing_else(tmp_path: Path) -> None:
    folder = prepared(tmp_path, "served")
    with service(folder, "asyncio"):
        run(folder, "define {0}/db.xml")
        run(folder, "start db")
        run(folder, "undefine db")  # while it runs: it is gone with its run
        code, out, err = waited(folder, "stopped", "destroy")
        assert (code, err) == (0, "")
        assert {name: json.loads(out)[name] for name in ("name", "state", "pid", "ready")} == {
            "name": "db",
            "state": "shut off",
            "pid": None,
            "ready": False,
        }
        run(folder, "define {0}/db.xml")
        gone = (1, "", "virengine: error: domain 'db' is not defined any more\n")
        assert waited(folder, "running", "undefine") == gone


def test_a_service_that_was_killed_is_in_nobodys_way(tmp_path: Path) -> None:
    folder = prepared(tmp_path, "served")
    command = [*PROGRAM, "--uri", f"test://{folder}/node.xml", "--state-dir", str(folder / "state"), "serve"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert run(folder, "define {0}/db.xml")[0] == 0
        process.kill()
    assert (folder / "state" / "api.sock").exists()
    assert run(folder, "domstate db") == (0, "shut off\n", "")
