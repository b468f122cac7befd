"""QEMU by hand: a process, its monitor, its serial line and its agent channel, with nothing of the engine in between.

The guests are tested through this, so a test of the engine that fails on one of them says something about the engine.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

TIMEOUT = 60.0
"""Seconds that any single wait may take; a wait that reaches it raises TimeoutError."""


class Line:
    """One end of a byte stream whose other end a QEMU character device holds; keeps all it has read in ``seen``."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self.seen = b""
        self._at = 0

    def send(self, data: bytes) -> None:
        self._end.sendall(data)

    def expect(self, mark: str | bytes, timeout: float = TIMEOUT) -> bytes:
        """Reads until ``mark`` comes, beginning after the mark found last; returns what came up to and with it."""
        wanted = mark.encode() if isinstance(mark, str) else mark
        deadline = time.monotonic() + timeout
        while (found := self.seen.find(wanted, self._at)) < 0:
            if not self._fill(deadline):
                raise EOFError(f"{mark!r} never came; the line said {self.seen!r}")
        begin, self._at = self._at, found + len(wanted)
        return self.seen[begin : self._at]

    def rest(self, timeout: float = TIMEOUT) -> bytes:
        """Reads to the end of the stream, which is the death of the process; returns all that was ever read."""
        deadline = time.monotonic() + timeout
        while self._fill(deadline):
            pass
        return self.seen

    def _fill(self, deadline: float) -> bool:
        self._end.settimeout(max(deadline - time.monotonic(), 0.001))
        try:
            data = self._end.recv(65536)
        except ConnectionResetError:
            return False
        except TimeoutError:
            raise TimeoutError(f"nothing more came; the line said {self.seen!r}") from None
        self.seen += data
        return bool(data)


class BareQemu:
    """A running QEMU; ``serial`` is its COM1, ``agent`` the port org.qemu.guest_agent.0 where one was asked for."""

    def __init__(
        self, process: subprocess.Popen[bytes], monitor: Line, serial: Line, agent: Line | None, started: float
    ) -> None:
        self.process = process
        self.serial = serial
        self.agent = agent
        self.started = started
        self.events: list[dict[str, Any]] = []
        self._monitor = monitor

    def qmp(self, command: str, **arguments: object) -> Any:
        """Runs one monitor command and returns what it returned; events that come meanwhile go to ``events``."""
        self._monitor.send(json.dumps({"execute": command, "arguments": arguments}).encode())
        while True:
            message = self._message()
            if "error" in message:
                raise RuntimeError(f"{command}: {message['error']['desc']}")
            if "return" in message:
                return message["return"]
            self.events.append(message)

    def event(self, name: str) -> dict[str, Any]:
        """The next event of this name, which may already have come; it is taken out of ``events``."""
        while True:
            for at, message in enumerate(self.events):
                if message["event"] == name:
                    return self.events.pop(at)
            self.events.append(self._message())

    def wait(self) -> int:
        """Waits for the process to end; returns its exit status."""
        return self.process.wait(TIMEOUT)

    def _message(self) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._monitor.expect(b"\r\n"))
        return message


@contextmanager
def bare_qemu(*arguments: str | os.PathLike[str], agent: bool = False, machine: str = "pc") -> Iterator[BareQemu]:
    """A TCG guest with a serial line, a monitor and whatever ``arguments`` add; it is killed when the block is left."""
    with _pair() as (monitor, qemu_monitor), _pair() as (serial, qemu_serial), _pair() as (channel, qemu_channel):
        command = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"]
        command += ["-machine", f"{machine},accel=tcg", "-sandbox", "on"]
        command += ["-chardev", f"socket,id=qmp,fd={qemu_monitor.fileno()}", "-mon", "chardev=qmp,mode=control"]
        command += ["-chardev", f"socket,id=com1,fd={qemu_serial.fileno()}", "-serial", "chardev:com1"]
        if agent:
            command += ["-device", "virtio-serial", "-chardev", f"socket,id=agent,fd={qemu_channel.fileno()}"]
            command += ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
        command += [os.fspath(argument) for argument in arguments]
        fds = [end.fileno() for end in (qemu_monitor, qemu_serial, qemu_channel)]
        started = time.monotonic()
        process = subprocess.Popen(command, pass_fds=fds, stdin=subprocess.DEVNULL)
        for end in (qemu_monitor, qemu_serial, qemu_channel):
            end.close()
        try:
            line = Line(monitor)
            line.expect(b"\r\n")  # the greeting
            qemu = BareQemu(process, line, Line(serial), Line(channel) if agent else None, started)
            qemu.qmp("qmp_capabilities")
            yield qemu
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()


@contextmanager
def _pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs
