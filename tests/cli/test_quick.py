"""``virengine list`` for scripts takes a way of its own, and prints what the program prints."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.program import PROGRAM, service

DOMAIN = "<domain type='test'><name>{}</name><memory>1024</memory><os><type>hvm</type></os></domain>"
# the program without the quick way
WHOLE = (sys.executable, "-c", "import sys; from engine.cli.main import run; sys.argv[0] = 'virengine'; run()")


@pytest.fixture(scope="module")
def state(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quick")
    (folder / "node.xml").write_text("<node/>")
    with service(folder, "asyncio"):
        for name in ("web", "db", "ünï\u202ecode"):
            (folder / "domain.xml").write_text(DOMAIN.format(name))
            run([*PROGRAM, "define", str(folder / "domain.xml")], folder)
        run([*PROGRAM, "start", "web"], folder)
        yield folder


def run(command, folder, **env):
    env = {**os.environ, "VIRENGINE_STATE_DIR": str(folder / "state"), "PYTHONPROFILEIMPORTTIME": "1", **env}
    ended = subprocess.run(command, capture_output=True, env=env, timeout=60)
    imported = {line.rpartition(b"|")[2].strip() for line in ended.stderr.splitlines() if line.startswith(b"import ")}
    said = b"\n".join(line for line in ended.stderr.splitlines() if not line.startswith(b"import "))
    return (ended.returncode, ended.stdout, said), b"click" not in imported


@pytest.mark.parametrize(
    "words",
    [
        "list",
        "list --all",
        "list --inactive",
        "list --all --name",
        "list --uuid --inactive",
        "list --table",
        "-q list --all",
        "--uri {uri} list --all",
        "-c {uri} list",
    ],
)
def test_what_is_ordinary_is_printed_without_the_program(state, words):
    words = words.format(uri=f"test://{state}/node.xml").split()
    told, quick = run([*PROGRAM, *words], state)
    assert quick
    assert told == run([*WHOLE, *words], state)[0]
    assert told[0] == 0
    assert b"web" in told[1] or "--inactive" in words


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("list --json", 0),
        ("list --all --inactive", 0),
        ("list --name --uuid", 0),
        ("list --state-paused", 0),
        ("list --al", 2),
        ("list web", 2),
        ("list --help", 0),
        ("--backend curio list", 2),
        ("--uri nonsense list", 2),
        ("--uri test:///other list", 2),
        ("--uri", 2),
        ("--state-dir", 2),
        ("--state-dir= list", 2),
    ],
)
def test_what_is_not_is_left_to_the_program(state, words, code):
    told, quick = run([*PROGRAM, *words.split()], state)
    assert not quick
    assert told == run([*WHOLE, *words.split()], state)[0]
    assert told[0] == code


@pytest.mark.parametrize(
    "env",
    [
        {"VIRENGINE_BACKEND": "curio"},
        {"VIRENGINE_URI": "test:///default test:///other"},
        {"PYTHONIOENCODING": "ascii"},
        {"VIRENGINE_STATE_DIR": ""},
    ],
)
def test_so_is_what_the_environment_makes_different(state, env):
    told, quick = run([*PROGRAM, "list", "--all"], state, **env)
    assert not quick
    assert told == run([*WHOLE, "list", "--all"], state, **env)[0]


def test_without_a_service_or_with_one_that_was_killed(tmp_path):

    assert not run([*PROGRAM, "--uri", "test:///default", "list"], tmp_path)[1]
    (tmp_path / "state").mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "state" / "api.sock"))
    told, quick = run([*PROGRAM, "--uri", "test:///default", "list", "--name"], tmp_path)
    assert not quick
    assert told == (0, b"test\n", b"")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"nonsense\r\nwithout colons\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 20\r\n\r\ncut off",
        b"HTTP/1.1 503 Busy\r\ncontent-type: text/plain\r\ncontent-length: 4\r\n\r\nbusy",
        b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nlink: <?after=x>\r\ncontent-length: 4\r\n\r\npage",
    ],
)
def test_an_answer_that_is_not_the_whole_list_is_none(tmp_path, answer):
    import threading

    from engine.cli.quick import _ask

    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(tmp_path / "api.sock"))
        sock.listen()

        def serve():
            with sock.accept()[0] as peer:
                peer.recv(4096)
                peer.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            found = _ask(str(tmp_path / "api.sock"), "lines=table")
        except ValueError:
            found = None
        thread.join()
    assert found is None


def test_a_terminal_gets_colours_from_the_program(state):
    parent, child = pty.openpty()
    env = {**os.environ, "VIRENGINE_STATE_DIR": str(state / "state"), "TERM": "xterm-256color"}
    assert subprocess.run([*PROGRAM, "list"], stdout=child, env=env, timeout=60).returncode == 0
    os.close(child)
    assert b"\x1b[32mrunning" in os.read(parent, 65536)
    os.close(parent)


def test_a_reader_that_goes_away_and_a_full_disk(state):
    env = {**os.environ, "VIRENGINE_STATE_DIR": str(state / "state")}
    for command in (PROGRAM, WHOLE):
        with Path("/dev/full").open("wb") as full:
            ended = subprocess.run([*command, "list"], stdout=full, stderr=subprocess.PIPE, env=env, timeout=60)
        assert (ended.returncode, ended.stderr.count(b"\n")) == (1, 1)
        assert b"the output can't be written: no space left on device" in ended.stderr
        reading, writing = os.pipe()
        os.close(reading)
        ended = subprocess.run([*command, "list"], stdout=writing, stderr=subprocess.PIPE, env=env, timeout=60)
        os.close(writing)
        assert (ended.returncode, ended.stderr) == (141, b"")


def test_a_service_that_hangs_is_passed_over_and_can_be_interrupted(tmp_path):
    (tmp_path / "node.xml").write_text("<node/>")
    with socket.socket(socket.AF_UNIX) as hangs:
        (tmp_path / "state").mkdir()
        hangs.bind(str(tmp_path / "state" / "api.sock"))
        hangs.listen()
        env = {**os.environ, "VIRENGINE_STATE_DIR": str(tmp_path / "state")}
        with subprocess.Popen([*PROGRAM, "list"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as process:
            with hangs.accept()[0] as asked:
                assert asked.recv(4096).startswith(b"GET /v1/domains?")
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 130
            assert process.stderr.read() == b"virengine: error: interrupted\n"
