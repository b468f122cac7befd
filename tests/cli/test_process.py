"""The program as a process of its own: pipes, terminals, signals, a second one at the same time."""

from __future__ import annotations

import contextlib
import os
import pty
import random
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.processes import wait_handling

from engine import Engine

ROOT = Path(__file__).parents[2]


def command(virengine, *args):
    return [sys.executable, "-m", "engine", *virengine.options, *args]


def run(virengine, *args, **more):
    return subprocess.run(
        command(virengine, *args), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False, **more
    )


@contextmanager
def started(virengine, *args, **more) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command(virengine, *args), cwd=ROOT, text=True, **more) as process:
        try:
            yield process
        finally:
            process.kill()


def on_terminal(virengine, *args, **variables):
    """What a person sees on a terminal, and the exit code."""
    parent, child = pty.openpty()
    env = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", **variables}
    with subprocess.Popen(
        command(virengine, *args), cwd=ROOT, stdin=child, stdout=child, stderr=child, env=env
    ) as process:
        os.close(child)
        seen = b""
        while True:
            try:
                data = os.read(parent, 65536)
            except OSError:  # EIO: nobody has the other end any more
                break
            if not data:
                break
            seen += data
    os.close(parent)
    return seen.decode(), process.returncode


def test_lines_in_a_pipe(virengine):
    virengine.define("web")
    assert run(virengine, "start", "web").stdout == "Domain 'web' started\n"
    result = run(virengine, "list")
    assert result.returncode == 0
    assert result.stdout.isascii()
    assert "\x1b" not in result.stdout


def test_a_table_on_a_terminal(virengine):
    virengine.define("web")
    virengine("start", "web")
    seen, code = on_terminal(virengine, "list")
    assert code == 0
    assert "─" in seen
    assert re.search(r"\x1b\[[0-9;]*32m *running", seen)


def test_no_color_and_dumb_terminals(virengine):
    virengine.define("web")
    virengine("start", "web")
    seen, _ = on_terminal(virengine, "list", NO_COLOR="1")
    assert "─" in seen
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", seen)
    seen, _ = on_terminal(virengine, "list", TERM="dumb")
    assert "\x1b" not in seen
    assert "─" not in seen


def test_live_progress_on_a_terminal(virengine):
    virengine.define("web", guest="agent='no' shutdown='0.3'")
    virengine("up")
    seen, code = on_terminal(virengine, "down")
    assert code == 0
    assert "stop tried: acpi" in seen
    assert "\x1b[?25l" in seen  # drawn in place
    assert "\x1b[?25h" in seen  # and the cursor is given back
    assert "Down: 1 of 1 domain done" in seen


def test_an_error_goes_to_stderr_alone(virengine):
    result = run(virengine, "start", "web")
    assert result.returncode == 3
    assert result.stdout == ""
    assert result.stderr.startswith("virengine: error: no domain 'web'")


def test_a_reader_that_goes_away_ends_it_quietly(virengine):
    virengine.define("web")
    read, write = os.pipe()
    os.close(read)
    with started(virengine, "list", "--json", stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        assert process.communicate(timeout=60)[1] == ""
    assert process.returncode == 128 + signal.SIGPIPE


def test_work_goes_on_when_the_reader_of_its_remarks_goes_away(virengine):
    virengine.define("a", "b", guest="agent='no' shutdown='0.1'")
    virengine("up")
    read, write = os.pipe()
    os.close(read)
    with started(virengine, "down", stdout=write, stderr=subprocess.PIPE) as process:
        os.close(write)
        process.communicate(timeout=60)
    assert virengine("list", "--name").stdout == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_that_can_not_be_written(virengine):
    virengine.define("web")
    with open("/dev/full", "w") as full, started(virengine, "list", stdout=full, stderr=subprocess.PIPE) as process:
        error = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert error == "virengine: error: the output can't be written: no space left on device\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(virengine, number):
    virengine.define("web", guest="agent='no' ignore='acpi'")
    virengine("start", "web")
    with started(
        virengine, "shutdown", "web", "--wait", stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_ctrl_c
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "Domain 'web' is being shutdown\n"
        process.send_signal(number)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert error == f"virengine: error: {'interrupted' if number == signal.SIGINT else 'ended by SIGTERM'}\n"
    assert virengine.state("web") == "running"


def _ctrl_c():
    # a shell's background jobs ignore it, and so would what they start
    signal.signal(signal.SIGINT, signal.default_int_handler)


def test_an_interrupted_down_is_gone_on_with(virengine):
    ladder = "<order:stop><order:try method='acpi' timeout='60'/></order:stop>"
    virengine.define("db", order=ladder, guest="agent='no' shutdown='60'")
    virengine.define("web", order="<order:requires domain='db'/>" + ladder)
    virengine("up")
    with started(virengine, "down", stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_ctrl_c) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "db  stop tried: acpi" in line:
                break
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert virengine("list", "--name").stdout == "db\n"
    virengine("down", "--deadline", "0.1", code=1)
    virengine("destroy", "db")
    # what the first one stopped is not forgotten
    virengine("up", "--resume")
    assert virengine("list", "--name").stdout.split() == ["db", "web"]


async def test_a_state_directory_in_use_is_exit_code_5_and_names_the_holder(virengine):
    async with Engine(virengine.uri, state_dir=virengine.state_dir):
        result = run(virengine, "list")
    assert result.returncode == 5
    assert result.stderr.startswith(
        f"virengine: error: state directory {virengine.state_dir} is in use by pid {os.getpid()}"
    )
    assert "--state-dir" in result.stderr


async def test_events_can_be_read_while_it_is_in_use(virengine):
    async with Engine(virengine.uri, state_dir=virengine.state_dir) as engine:
        await engine.define(Path(virengine.document("web")).read_text())
        await engine.bus.journal.flush()
        result = run(virengine, "events", "--type", "DomainDefined")
    assert result.returncode == 0
    assert result.stdout.endswith("web  defined (added)\n")


def test_python_m_engine_is_the_program():
    result = subprocess.run(
        [sys.executable, "-m", "engine", "--version"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert result.stdout.startswith("virengine ")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_is_one_sentence(virengine):
    virengine.state_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(virengine.state_dir)], check=True)
    try:
        virengine.define("web")
        filler = virengine.state_dir / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        result = run(virengine, "define", virengine.document("db"))
        assert result.returncode == 1
        error = result.stderr.splitlines()[-1]
        assert error.startswith(f"virengine: error: {virengine.state_dir}/domains/")
        assert error.endswith("no space left on device: free some space there and repeat the command")
        filler.unlink()
        assert virengine("list", "--all", "--name").stdout == "web\n"
    finally:
        subprocess.run(["umount", str(virengine.state_dir)], check=True)


def test_a_place_that_is_refused_is_one_sentence(virengine):
    virengine.state_dir = Path("/sys/virengine")  # not even root may make that
    virengine.options[virengine.options.index("--state-dir") + 1] = "/sys/virengine"
    result = run(virengine, "list")
    assert result.returncode == 1
    assert result.stderr.startswith("virengine: error: /sys/virengine: ")
    assert "choose another place with --state-dir" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "args",
    [("events", "--follow"), ("up",), ("down",), ("start", "slow", "--wait"), ("list", "--all")],
    ids=lambda args: args[0],
)
def test_whenever_a_signal_comes_it_ends_in_order(virengine, args):
    virengine.define("slow", order="<order:ready gate='delay' seconds='0.3'/>", guest="agent='no' shutdown='0.3'")
    moments = random.Random(args[0])
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        if (virengine.state("slow") == "running") != (args[0] == "down"):
            virengine("start" if args[0] == "down" else "destroy", "slow")
        with started(virengine, *args, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=_ctrl_c) as process:
            wait_handling(process)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=moments.uniform(0, 0.6))  # at any moment: none may matter
            process.send_signal(number)
            _, error = process.communicate(timeout=60)
        assert process.returncode in ((128 + number,) if "--follow" in args else (0, 128 + number)), error
        assert "Traceback" not in error
        assert "defect" not in error


@pytest.mark.parametrize(
    ("module", "words", "extra"),
    [("httpx2", ["operations"], "client"), ("starlette", ["serve"], "server"), ("hypercorn", ["serve"], "server")],
)
def test_what_takes_an_extra_says_which(tmp_path, module, words, extra):
    """As if it were not installed."""
    hide = f"import sys; sys.modules[{module!r}] = None; from engine.cli.main import run; run()"
    (tmp_path / "api.sock").touch()
    command = [sys.executable, "-c", hide, "--uri", "test:///default", "--state-dir", str(tmp_path), *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr == f"virengine: error: {module} is not installed: pip install 'virengine[{extra}]'\n"
