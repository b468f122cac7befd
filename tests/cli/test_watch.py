"""``watch`` on a terminal of its own: what it shows, that it goes on, and how it leaves the terminal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

PROGRAM = (sys.executable, "-m", "engine")
DOMAIN = """<domain type='test'><name>{}</name><memory unit='MiB'>16</memory><os><type>hvm</type></os>
<metadata><order:order xmlns:order='urn:virengine:order:1'>{}</order:order></metadata></domain>"""
SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
LEAVES = "\x1b[?25h\x1b[?1049l"


class Terminal:
    """The other end of a terminal, and the screen of the program that runs there."""

    def __init__(self, command: list[str], columns: int = 100, lines: int = 30) -> None:
        self._fd, self._theirs = pty.openpty()
        self.resize(columns, lines)
        self.before = termios.tcgetattr(self._theirs)
        env = {**os.environ, "TERM": "xterm"}
        self.process = subprocess.Popen(
            command,
            stdin=self._theirs,
            stdout=self._theirs,
            stderr=self._theirs,
            env=env,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.seen = ""

    def resize(self, columns: int, lines: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("4H", lines, columns, 0, 0))

    @property
    def screen(self) -> str:
        """The last whole frame."""
        frames = self.seen.split("\x1b[H")
        whole = [frame for frame in frames[1:] if "\x1b[J" in frame]
        return SEQUENCE.sub("", whole[-1].partition("\x1b[J")[0]) if whole else ""

    def until(self, pattern: str) -> str:
        """The screen once there is that on it."""
        deadline = time.monotonic() + 30
        while not re.search(pattern, self.screen):
            assert time.monotonic() < deadline, f"no {pattern!r} on\n{self.screen}\n{self.seen[-2000:]!r}"
            self._read()
        return self.screen

    def _read(self) -> None:
        if select.select([self._fd], [], [], 0.2)[0]:
            self.seen += os.read(self._fd, 65536).decode(errors="replace")

    def press(self, keys: bytes) -> None:
        os.write(self._fd, keys)

    def ended(self) -> int:
        deadline = time.monotonic() + 30
        while self.process.poll() is None:
            assert time.monotonic() < deadline
            self._read()
        while select.select([self._fd], [], [], 0)[0]:
            self._read()
        return self.process.returncode

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._fd)
        os.close(self._theirs)


@pytest.fixture(params=["asyncio", "trio"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    (tmp_path / "node.xml").write_text("<node/>")
    where = ["--uri", f"test://{tmp_path}/node.xml", "--state-dir", str(tmp_path / "state")]
    options = [*PROGRAM, *where, "--backend", request.param]
    for name, order in (("db", ""), ("web", "<order:requires domain='db'/>")):
        (tmp_path / f"{name}.xml").write_text(DOMAIN.format(name, order))
        run(options, "define", str(tmp_path / f"{name}.xml"))
    return options


def run(options: list[str], *words: str) -> None:
    subprocess.run([*options, *words], capture_output=True, timeout=60, check=True)


@contextlib.contextmanager
def service(options: list[str]) -> Iterator[None]:
    with subprocess.Popen([*options, "serve"], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Listening at ")
            yield
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(20)


@contextlib.contextmanager
def watching(options: list[str]) -> Iterator[Terminal]:
    terminal = Terminal([*options, "watch"])
    try:
        yield terminal
    finally:
        terminal.close()


def test_with_a_service_and_the_next_one(options: list[str]) -> None:
    with contextlib.ExitStack() as stack:
        with service(options):
            terminal = stack.enter_context(watching(options))
            screen = terminal.until(r"web +shut off +- +2")
            assert re.search(r"db +shut off +- +1", screen)
            assert "2 domains, 0 running" in screen
            run(options, "up")
            screen = terminal.until(r"web +running +yes +2 +ready")
            assert "up: 2 of 2 done" in screen
            assert re.search(r"web  started \(booted\)", screen)
        terminal.until("the service is away: waiting for it")
        with service(options):
            terminal.until(r"2 domains, 2 running")
            run(options, "destroy", "web")
            terminal.until(r"web +shut off")
            terminal.resize(40, 12)
            terminal.process.send_signal(signal.SIGWINCH)
            screen = terminal.until(r"(?s)^.{1,40}…\r\n")
            assert max(map(len, screen.split("\r\n"))) <= 40
            assert len(screen.split("\r\n")) <= 12
            terminal.press(b"q")
            assert terminal.ended() == 0
    assert terminal.seen.endswith(LEAVES)


def test_beside_whoever_has_the_state_directory(options: list[str], tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:  # by a service that was killed
        left.bind(str(tmp_path / "state" / "api.sock"))
    with watching(options) as terminal:
        terminal.until(r"web +shut off +- +2")
        run(options, "up", "db")  # which is not held up
        screen = terminal.until(r"db +running +yes +1")
        assert "up: 1 of 1 done" in screen
        run(options, "destroy", "db")
        terminal.until(r"db +shut off")
        assert termios.tcgetattr(terminal._theirs) != terminal.before
        terminal.press(b"\x03")
        assert terminal.ended() == 130
        assert termios.tcgetattr(terminal._theirs) == terminal.before
    assert LEAVES in terminal.seen


def test_without_a_terminal_it_says_what_to_use(tmp_path: Path) -> None:
    command = [*PROGRAM, "--state-dir", str(tmp_path), "watch"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 2
    assert "'virengine events --follow'" in ended.stderr
