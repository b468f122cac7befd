"""What reaches a terminal or a pipe, and what does when nobody reads."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import anyio
import pytest
from click.testing import CliRunner
from rich.console import Console
from support.processes import wait_handling

from engine import Engine
from engine.cli import output, progress
from engine.cli.main import cli
from engine.cli.progress import Progress
from engine.events.types import CommandFailed, DomainReady, DomainStopTried, PlanStarted
from engine.util.printable import printable, printable_json, printable_line

ROOT = Path(__file__).parents[2]
MANY = [f"domain-with-a-long-name-{number:03}" for number in range(100)]
STAMP = {"host": "h", "epoch": "e", "sequence": 1, "time": 0.0}


def full_pipe() -> tuple[int, int]:
    """A pipe that takes nothing more."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    os.write(write, bytes(4096))
    return read, write


@contextmanager
def unread(virengine, *args, terminal=False):
    """The program with its output and errors where nobody reads; and the end they could be read from."""
    read, write = pty.openpty() if terminal else full_pipe()
    env = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "LINES": "200"}
    command = [sys.executable, "-m", "engine", *virengine.options, *args]
    with subprocess.Popen(command, cwd=ROOT, env=env, stdout=write, stderr=write) as process:
        os.close(write)
        try:
            wait_handling(process)
            yield process, read
        finally:
            process.kill()
            os.close(read)


def define_many(virengine):
    virengine("define", *[virengine.document(name) for name in MANY])


def wait_running(virengine, number):
    """Look beside the program until so many run."""
    deadline = time.monotonic() + 60
    while len(virengine("list", "--name").stdout.split()) != number:
        assert time.monotonic() < deadline


def wait_closed(virengine):
    """Until the program has let go of the state directory."""
    deadline = time.monotonic() + 60
    while CliRunner().invoke(cli, [*virengine.options, "order"]).exit_code:
        assert time.monotonic() < deadline


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_who_does_not_read_holds_up_neither_the_plan_nor_a_signal(virengine, number, terminal):
    define_many(virengine)
    virengine.define("slow", order="<order:ready gate='delay' seconds='3600'/>")
    with unread(virengine, "up", terminal=terminal) as (process, _):
        wait_running(virengine, len(MANY) + 1)
        process.send_signal(number)
        assert process.wait(timeout=60) == 128 + number


def test_who_reads_late_reads_it_all(virengine):
    define_many(virengine)
    virengine("up")
    with unread(virengine, "down") as (process, read):
        wait_running(virengine, 0)
        wait_closed(virengine)
        assert process.poll() is None
        with os.fdopen(os.dup(read)) as file:
            text = file.read()
        assert process.wait(timeout=60) == 0
    assert text.count("stopped (shutdown)") == len(MANY)
    assert f"Down: {len(MANY)} of {len(MANY)} domains done" in text


@pytest.mark.parametrize("args", [("up",), ("events",), ("order",)])
def test_a_signal_ends_who_waits_for_its_reader(virengine, args):
    define_many(virengine)
    with unread(virengine, *args) as (process, _):
        if args == ("up",):
            wait_running(virengine, len(MANY))
        wait_closed(virengine)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 128 + signal.SIGTERM


def test_what_a_slow_reader_misses_is_told(tmp_path, anyio_backend, monkeypatch):
    monkeypatch.setattr(progress, "_BOUND", 4)
    read, write = full_pipe()

    async def main():
        async with Engine("test:///default", state_dir=tmp_path / "state", systemd=False) as engine:
            for name in MANY[:5]:
                await engine.define(f"<domain type='test'><name>{name}</name><memory>1024</memory></domain>")
            async with anyio.create_task_group() as tasks:
                for stream in streams:
                    tasks.start_soon(stream.pump)
                async with progress.shown(engine, quiet=False):
                    await engine.up(MANY[:5])
                tasks.cancel_scope.cancel()

    with os.fdopen(write, "w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        with output.beside_loop() as streams:
            anyio.run(main, backend=anyio_backend)
            assert os.read(read, 4096) == bytes(4096)
            output.finish()
    lines = os.read(read, 4096).decode().splitlines()
    os.close(read)
    assert "up begins" in lines[0]
    assert lines[1].endswith("events were lost here")
    assert len(lines) == 5  # and the last four but the end of the plan, which the report tells


def test_work_is_told_while_it_is_done(virengine):
    """Nothing waits for the end of the command but what can't be written."""
    virengine.define("web", order="<order:ready gate='delay' seconds='3600'/>")
    command = [sys.executable, "-m", "engine", *virengine.options, "start", "web", "--wait"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Domain 'web' started\n"
        process.terminate()
        assert process.wait(timeout=60) == 128 + signal.SIGTERM


# ---------------------------------------------------------------------------- what is not printable


@pytest.mark.parametrize("evil", ["\x1b]0;pwned\x07", "\x9b31m", "\u202egnp.exe", "\u2066", "\x7f", "\r", "\udc80"])
def test_what_is_not_printable_is_escaped(evil):
    for text in (printable(evil), printable_line(evil), printable_json(json.dumps(evil, ensure_ascii=False))):
        assert text.isprintable()
    assert printable(f"a\n{evil}\tb").split("\n")[0] == "a"
    assert json.loads(printable_json(json.dumps(evil, ensure_ascii=False))) == evil


def test_lines_are_kept_where_text_is_made_of_them():
    assert printable("a\nb\tü") == "a\nb\tü"
    assert printable_line("a\nb\tü") == "a\\nb\tü"


def test_what_a_document_holds_is_shown_and_not_obeyed(virengine):
    evil = "a\x9b31m\u202eb"
    xml = f"<domain type='test'><name>web</name><title>{evil}\nState: fine</title><memory>1024</memory></domain>"
    virengine("define", "--no-validate", "-", input=xml.encode())  # libvirt's titles are one line
    told = virengine("info", "web").stdout
    assert "a\\x9b31m\\u202eb\\nState: fine" in told
    assert "\x9b" not in virengine("info", "web", "--json").stdout
    assert virengine.json("info", "web")["title"] == f"{evil}\nState: fine"
    assert evil in virengine("dumpxml", "web").stdout


async def test_what_an_event_holds_is_shown_and_not_obeyed(virengine):
    async with Engine(virengine.uri, state_dir=virengine.state_dir, systemd=False) as engine:
        web = await engine.define(Path(virengine.document("web")).read_text())
        web.publish(CommandFailed, command="shutdown", error="a\x9b31m\u202eb\nweb  ready")
    for told in (virengine("events").stdout, virengine("events", "--json").stdout):
        assert told.replace("\n", "").isprintable()
    last = virengine("events", "--type", "CommandFailed").stdout
    assert last.endswith("web  shutdown failed: a\\x9b31m\\u202eb\\nweb  ready\n")


def test_an_error_is_shown_and_not_obeyed(capfd):
    output.error("\x1b[2Jgone\x9b")
    output.warning("\u202e")
    assert capfd.readouterr().err == "virengine: error: \\x1b[2Jgone\\x9b\nvirengine: warning: \\u202e\n"


# ---------------------------------------------------------------------------- the live table


def drawn(table):
    file = io.StringIO()
    Console(file=file, width=120).print(table)
    return file.getvalue()


def test_names_are_no_markup():
    live = Progress()
    live.take(PlanStarted(**STAMP, direction="up", domains=("web[red]x", "a[@x=(]", "b\x9b")))
    live.take(DomainReady(**STAMP, connection="c", domain="a[@x=(]", uuid="1", gate="[bold]", seconds=1.0))
    text = drawn(live.table())
    assert "web[red]x" in text
    assert "a[@x=(]" in text
    assert "ready ([bold])" in text
    assert "b\\x9b" in text


def test_domains_of_one_name_at_two_connections_have_a_row_each():
    live = Progress()
    live.take(PlanStarted(**STAMP, direction="down", domains=("web", "db", "web")))
    for uri, method in (("a", "acpi"), ("b", "agent"), ("a", "save")):
        live.take(DomainStopTried(**STAMP, connection=uri, domain="web", uuid=uri, method=method, timeout=1.0))
    live.take(DomainStopTried(**STAMP, connection="c", domain="web", uuid="c", method="destroy", timeout=1.0))
    rows = [line.split()[:4] for line in drawn(live.table()).splitlines() if line.strip().startswith(("web", "db"))]
    assert rows == [["web", "stop", "tried:", "save,"], ["db", "waiting"], ["web", "stop", "tried:", "agent,"]]
