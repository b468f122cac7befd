"""The Linux guest listens to its agent and to its power button, on QEMU alone."""

from __future__ import annotations

import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from support.bare_qemu import BareQemu, Line, bare_qemu
from support.guests import LinuxGuest, linux_guest

pytestmark = [pytest.mark.qemu, pytest.mark.linux_guest]


@contextmanager
def booted(guest: LinuxGuest, *arguments: str, agent: bool = False) -> Iterator[BareQemu]:
    kernel = ["-m", "96", "-kernel", str(guest.kernel), "-initrd", str(guest.initrd), "-append", guest.cmdline]
    with bare_qemu(*kernel, *arguments, agent=agent) as qemu:
        qemu.serial.expect("ready")
        yield qemu


def said(qemu: BareQemu) -> list[bytes]:
    """The lines of the guest; the kernel's own begin with a time in brackets."""
    return [line for line in qemu.serial.rest().splitlines() if line and not line.startswith(b"[")]


def ask(agent: Line, command: str, **arguments: object) -> Any:
    agent.send(json.dumps({"execute": command, "arguments": arguments}).encode())
    return json.loads(agent.expect(b"\n"))


def test_the_button_powers_it_off() -> None:
    with booted(linux_guest()) as qemu:
        qemu.qmp("system_powerdown")
        assert qemu.event("SHUTDOWN")["data"]["reason"] == "guest-shutdown"
        assert qemu.wait() == 0
        assert said(qemu) == [b"ready", b"button", b"off"]


def test_the_agent_answers_and_powers_it_off_in_its_time() -> None:
    with booted(linux_guest(delay=1, ignore_button=True), agent=True) as qemu:
        assert qemu.agent
        qemu.agent.send(b"\xff" + json.dumps({"execute": "guest-sync-delimited", "arguments": {"id": 41}}).encode())
        qemu.agent.expect(b"\xff{")  # what came before the mark answers nobody
        assert qemu.agent.expect(b"}") == b'"return": 41}'
        qemu.agent.expect(b"\n")
        assert ask(qemu.agent, "guest-ping") == {"return": {}}
        assert ask(qemu.agent, "guest-get-osinfo")["return"]["machine"] == "x86_64"
        qemu.qmp("system_powerdown")
        qemu.serial.expect("button")
        asked = time.monotonic()
        qemu.agent.send(b'{"execute": "guest-shutdown"}')
        assert qemu.event("SHUTDOWN")["data"]["reason"] == "guest-shutdown"
        assert qemu.wait() == 0
        assert time.monotonic() - asked >= 1
        assert said(qemu) == [b"ready", b"button", b"agent", b"off"], "the button alone did nothing"


def test_the_agent_reboots_it() -> None:
    with booted(linux_guest(), agent=True) as qemu:
        assert qemu.agent
        qemu.agent.send(b'{"execute": "guest-shutdown", "arguments": {"mode": "reboot"}}')
        assert qemu.event("RESET")["data"]["reason"] == "guest-reset"
        assert qemu.serial.expect("reboot").split() == [b"agent", b"reboot"]


def test_it_serves_a_page() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    network = ["-netdev", f"user,id=n,hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:8080", "-device", "virtio-net,netdev=n"]
    with (
        booted(linux_guest(http=8080), *network),
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer,
    ):
        assert (answer.status, answer.read()) == (200, b"ready\n")
