"""Whether a guest still is as an engine that is gone left it: two questions to its monitor, without an event loop."""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Any

from engine import State
from engine.abc import Run
from engine.drivers.qemu.facts import identity_of
from engine.drivers.qemu.launch import monitor_path
from engine.drivers.qemu.qmp.protocol import Greeting, Message, Protocol, Success, command
from engine.errors import ConnectionBroken, HostError
from engine.util.process import Process

__all__ = ["as_it_was"]

# Seconds; a QEMU that has nothing to do answers within one millisecond.
_PATIENCE = 0.5

# QEMU's run states (qapi/run-state.json) of a guest about which nothing is under way
_STATUS = {
    State.RUNNING: "running",
    State.PAUSED: "paused",
    State.PMSUSPENDED: "suspended",
    State.CRASHED: "guest-panicked",
}
# what an engine remembers while it does something to a guest: the next one has to see to it
_UNDER_WAY = ("restoring", "saving", "rebooting", "final", "restarting")


def as_it_was(run: Run) -> bool:
    """Blocking, for half a second at most."""
    if run.facts.get("phase") != "started" or any(run.facts.get(name) for name in _UNDER_WAY):
        return False
    identity = identity_of(run.facts, "process")
    try:
        process = Process.attach(identity) if identity is not None else None
    except HostError:
        return False
    if process is None:
        return False
    process.close()
    with contextlib.suppress(OSError, ConnectionBroken):
        return _status(str(monitor_path(run.runtime_dir))) == _STATUS.get(run.state, "?")
    return False


def _status(monitor: str) -> str:
    """What QEMU calls the guest's state. Raises OSError (it does not answer), ConnectionBroken (it makes no sense)."""
    deadline = time.monotonic() + _PATIENCE
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as sock:
        sock.settimeout(_PATIENCE)
        sock.connect(monitor)
        protocol = Protocol()
        while True:
            sock.settimeout(max(0.001, deadline - time.monotonic()))
            data = sock.recv(65536)
            if not data:
                raise ConnectionBroken("QEMU closed its monitor")
            for message in protocol.receive(data):
                if isinstance(message, Greeting):
                    sock.sendall(command("qmp_capabilities", {}, 1) + command("query-status", {}, 2))
                elif (status := _answer(message)) is not None:
                    return status


def _answer(message: Message) -> str | None:
    if isinstance(message, Success) and message.id == 2:
        value: Any = message.value
        return str(value.get("status", "")) if isinstance(value, dict) else ""
    return None
