from __future__ import annotations

import os
import socket
import sys
import time
from pathlib import Path

import pytest
from support.cache import TESTS
from support.hostbox import Hostbox

from engine.systemd.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def listener(request: pytest.FixtureRequest, tmp_path: Path):
    name = str(tmp_path / "notify") if request.param == "path" else f"@virengine-test-{tmp_path}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name if name.startswith("/") else "\0" + name[1:])
        sock.settimeout(5)
        yield name, sock


def test_messages(listener: tuple[str, socket.socket]) -> None:
    name, sock = listener
    notifier = Notifier({"NOTIFY_SOCKET": name})
    assert notifier.active
    notifier.status("two lines\nin one")
    assert sock.recv(4096) == b"STATUS=two lines in one"
    notifier.extend_timeout(12.5)
    assert sock.recv(4096) == b"EXTEND_TIMEOUT_USEC=12500000"
    notifier.alive()
    assert sock.recv(4096) == b"WATCHDOG=1"
    before = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    with notifier.reloads():
        reloading, _, since = sock.recv(4096).partition(b"\nMONOTONIC_USEC=")
        assert reloading == b"RELOADING=1"
        assert before <= int(since) <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert sock.recv(4096) == b"READY=1"


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "1500000"}, 1.5),
        ({"WATCHDOG_USEC": "1500000", "WATCHDOG_PID": "1"}, None),  # it is for who started us
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_how_often_systemd_wants_to_hear_of_it(given: dict[str, str], seconds: float | None) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/run/notify", **given}).watchdog == seconds
    assert Notifier(given).watchdog is None


def test_a_full_or_absent_listener_neither_blocks_nor_raises(
    listener: tuple[str, socket.socket], tmp_path: Path
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": listener[0]})
    for _ in range(5000):  # far more than a socket's queue holds
        notifier.status("x" * 1000)
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).status("x")


def test_without_a_socket_nothing_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not Notifier().active
    assert not Notifier({"NOTIFY_SOCKET": "vsock:2:1234"}).active
    Notifier().status("x")


SLOW_STOP = """
[Service]
Type=oneshot
RemainAfterExit=yes
NotifyAccess=all
Environment=PYTHONPATH={project}
ExecStart=/bin/true
ExecStop={python} -c "from engine.systemd.notify import Notifier; Notifier().extend_timeout({seconds}); \
    import time; time.sleep(6)"
TimeoutStopSec=5
"""


@pytest.mark.systemd
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_systemd_gives_the_time_that_is_asked_for(tmp_path: Path) -> None:
    facts = {"project": TESTS.parent, "python": sys.executable}
    files = {
        "/etc/systemd/system/patient.service": SLOW_STOP.format(seconds=30, **facts),
        "/etc/systemd/system/hasty.service": SLOW_STOP.format(seconds=0, **facts),
    }
    async with Hostbox.boot(tmp_path, files=files) as box:
        await box.run(["systemctl", "start", "patient", "hasty"])
        await box.run(["systemctl", "stop", "patient", "hasty"])
        for unit, result in (("patient", "success"), ("hasty", "timeout")):
            shown = await box.run(["systemctl", "show", "--value", "--property", "Result", unit])
            assert shown.stdout.strip() == result
