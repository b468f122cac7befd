"""``console``, ``screenshot``, displays and agent commands, with a service and without."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import select
import subprocess
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.guests import echo_sector
from support.program import PROGRAM, service


@pytest.fixture(params=["embedded", "asyncio", "trio"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[list[str]]:
    """Of a program that has the test driver's one domain, by itself or through a service."""
    options = ["--state-dir", str(tmp_path / "state"), "--uri", "test:///default"]
    if request.param == "embedded":
        yield options
        return
    with service(tmp_path, request.param, uri="test:///default"):
        yield options


def run(options: list[str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *options, *arguments], capture_output=True, text=True, timeout=30, check=False)


class Seat:
    """A person at a terminal, where a program runs."""

    def __init__(self, command: list[str]) -> None:
        self.parent, self.child = pty.openpty()
        self.before = termios.tcgetattr(self.child)
        self.process = subprocess.Popen(command, stdin=self.child, stdout=self.child, stderr=self.child)
        self.seen = b""

    def type(self, text: bytes) -> None:
        os.write(self.parent, text)

    def until(self, text: bytes, again: bytes = b"") -> None:
        """Look until there is ``text``; ``again``: type that meanwhile, whenever nothing comes."""
        for _ in range(300):
            if text in self.seen:
                return
            if select.select([self.parent], [], [], 0.1)[0]:
                self.seen += os.read(self.parent, 65536)
            else:
                self.type(again)
        raise AssertionError(f"{text!r} is not in {self.seen!r}")

    def leave(self) -> int:
        code = self.process.wait(15)
        assert termios.tcgetattr(self.child) == self.before, "the terminal is as it was"
        return code


@contextlib.contextmanager
def seated(*command: str) -> Iterator[Seat]:
    seat = Seat(list(command))
    try:
        yield seat
    finally:
        seat.process.kill()
        seat.process.wait(10)
        os.close(seat.parent)
        os.close(seat.child)


def test_somebody_sits_at_a_console(options: list[str]) -> None:
    with seated(*PROGRAM, *options, "console", "test") as seat:
        seat.until(b"the escape is Ctrl-]")
        seat.type(b"hello\x03\r")  # not even Ctrl-C is taken from the guest
        seat.until(b"hello\x03\r")
        seat.type(b"\x1d")
        assert seat.leave() == 0


def test_consoles_that_can_not_be_had(options: list[str]) -> None:
    ended = run(options, "console", "test", "--devname", "serial9")
    assert ended.returncode == 1
    assert "has no console 'serial9': it has serial0" in ended.stderr
    run(options, "destroy", "test")
    ended = run(options, "console", "test")
    assert ended.returncode == 4
    assert "can't open the console of it" in ended.stderr


def test_a_console_is_taken_over(tmp_path: Path) -> None:
    options = ["--state-dir", str(tmp_path / "state")]
    with service(tmp_path, "trio", uri="test:///default"), seated(*PROGRAM, *options, "console", "test") as first:
        first.until(b"the escape is Ctrl-]")
        ended = run(options, "console", "test")
        assert (ended.returncode, ended.stdout) == (5, "")
        assert "somebody is at the console" in ended.stderr
        with seated(*PROGRAM, *options, "console", "test", "--force") as second:
            first.until(b"somebody else has taken it over")
            assert first.leave() == 1
            second.type(b"mine")
            second.until(b"mine")
            run(options, "destroy", "test")
            assert second.leave() == 0


def test_a_service_that_goes_away_is_told_at_the_console(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with service(tmp_path, "asyncio", uri="test:///default"):
            seat = stack.enter_context(seated(*PROGRAM, "--state-dir", str(tmp_path / "state"), "console", "test"))
            seat.until(b"the escape is Ctrl-]")
        seat.until(b"the console has ended: the service ends")
        assert seat.leave() == 1


def test_a_picture(options: list[str], tmp_path: Path) -> None:
    file = tmp_path / "screen.png"
    ended = run(options, "screenshot", "test", str(file))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert file.read_bytes().startswith(b"\x89PNG")
    assert str(file) in ended.stdout


def test_a_picture_in_a_pipe(options: list[str], tmp_path: Path) -> None:
    command = [*PROGRAM, *options, "screenshot", "test", "-"]
    ended = subprocess.run(command, capture_output=True, timeout=30, check=False, cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert ended.stdout.startswith(b"\x89PNG")
    assert ended.stdout.endswith(b"IEND\xaeB`\x82")
    refused = run(options, "screenshot", "test", str(tmp_path / "nowhere" / "file.png"))
    assert (refused.returncode, refused.stderr) == (
        1,
        f"virengine: error: {tmp_path}/nowhere/file.png: no such file or directory\n",
    )


def test_a_console_takes_no_file(options: list[str]) -> None:
    ended = subprocess.run(
        [*PROGRAM, *options, "console", "test"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    refusal = "virengine: error: standard input has to be a terminal or a pipe\n"
    assert (ended.returncode, ended.stdout, ended.stderr) == (1, "", refusal)


def test_the_agent_is_asked(options: list[str]) -> None:
    ended = run(options, "qemu-agent-command", "test", '{"execute": "guest-ping"}')
    assert (ended.returncode, json.loads(ended.stdout)) == (0, {"return": {}})
    ended = run(options, "qemu-agent-command", "test", '{"execute": "guest-dance"}')
    assert ended.returncode == 1
    assert "refused guest-dance" in ended.stderr
    for text in ("{", "[]", "{}", '{"execute": "a", "arguments": 1}', '{"execute": "a", "argument": {}}'):
        assert run(options, "qemu-agent-command", "test", text).returncode == 2


def test_displays_that_are_none(options: list[str]) -> None:
    for command in ("vncdisplay", "domdisplay"):
        ended = run(options, command, "test")
        assert ended.returncode == 1
        assert "that listens anywhere" in ended.stderr


@pytest.mark.qemu
def test_a_real_guest(tmp_path: Path) -> None:
    """Through a service: its console, its screen, and where that listens."""
    image = echo_sector(tmp_path / "echo.img")
    document = tmp_path / "echo.xml"
    document.write_text(f"""
<domain type='qemu'><name>echo</name><memory unit='MiB'>8</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>
<target dev='vda' bus='virtio'/></disk><console type='pty'/><graphics type='vnc' autoport='yes'/>
<video><model type='vga'/></video></devices></domain>""")
    options = ["--state-dir", str(tmp_path / "state")]
    with service(tmp_path, "trio", uri="qemu:///session"):
        try:
            assert run(options, "define", str(document)).returncode == 0
            assert run(options, "start", "echo").returncode == 0
            with seated(*PROGRAM, *options, "console", "echo") as seat:
                seat.until(b"xx", again=b"x")
                seat.type(b"\x1d")
                assert seat.leave() == 0
            assert run(options, "screenshot", "echo", str(tmp_path / "echo.png")).returncode == 0
            where = run(options, "vncdisplay", "echo").stdout.strip()
            host, _, number = where.partition(":")
            assert host == "127.0.0.1"
            assert run(options, "domdisplay", "echo").stdout.strip() == f"vnc://{host}:{5900 + int(number)}"
            [display] = json.loads(run(options, "domdisplay", "echo", "--json").stdout)
            assert display == {"scheme": "vnc", "place": host, "port": 5900 + int(number)}
        finally:
            run(options, "destroy", "echo")
