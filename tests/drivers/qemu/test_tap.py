"""Tap devices on a bridge, in a network namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from engine.drivers.qemu.network import Tap
from engine.drivers.qemu.tap import open_taps
from engine.errors import HostError

_PROGRAM = """
import fcntl, os, socket, struct, subprocess, sys
from pathlib import Path
from engine.drivers.qemu.network import Tap
from engine.drivers.qemu.tap import close_taps, open_taps
from engine.errors import HostError

subprocess.run(["mount", "-t", "sysfs", "sysfs", "/sys"], check=True)
with socket.socket() as control:
    fcntl.ioctl(control, 0x89A0, b"br0")  # SIOCBRADDBR
fds, indexes = open_taps([Tap(index=0, bridge="br0"), Tap(index=2, name="mine")], ["52:54:00:01:02:03"] * 2)
assert sorted(fds) == [0, 2] and len(set(indexes)) == 2
names = {index: name for index, name in socket.if_nameindex()}
first = names[indexes[0]]
assert names[indexes[1]] == "mine"
assert Path(f"/sys/class/net/{first}/brport").exists()
assert not Path("/sys/class/net/mine/brport").exists()
assert Path(f"/sys/class/net/{first}/address").read_text().strip() == "fe:54:00:01:02:03"
assert int(Path(f"/sys/class/net/{first}/flags").read_text(), 16) & 1, "it is up"
assert all(not os.get_inheritable(fd) for fd in fds.values())
try:
    open_taps([Tap(index=0, name="more"), Tap(index=1, bridge="mine")], ["52:54:00:01:02:03"] * 2)
except HostError as exc:
    assert "there is no bridge 'mine'" in str(exc)
else:
    raise AssertionError("a tap device was taken for a bridge")
assert not Path("/sys/class/net/more").exists(), "what was made is gone again"
close_taps(fds)
assert not Path(f"/sys/class/net/{first}").exists()
print("good")
"""


def _namespace() -> list[str] | None:
    command = ["unshare", "--net", "--mount", "--propagation", "private"]
    if os.geteuid() == 0 and Path("/dev/net/tun").exists() and not subprocess.run([*command, "true"]).returncode:
        return command
    return None


@pytest.mark.skipif(_namespace() is None, reason="needs root, network namespaces and /dev/net/tun")
def test_tap_devices_come_and_go() -> None:
    command = _namespace()
    assert command is not None
    root = str(Path(__file__).resolve().parents[3])
    ended = subprocess.run(
        [*command, sys.executable, "-c", _PROGRAM],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert (ended.returncode, ended.stdout) == (0, "good\n"), ended.stderr


def test_a_bridge_that_is_not_there() -> None:
    with pytest.raises(HostError, match="there is no bridge 'no-such'"):
        open_taps([Tap(index=0, bridge="no-such")], ["52:54:00:01:02:03"])
    with pytest.raises(HostError, match="there is no network device 'no-tap'"):
        open_taps([Tap(index=0, name="no-tap", existing=True)], ["52:54:00:01:02:03"])
