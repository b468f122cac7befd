"""The hostbox is a host: it boots, answers, powers off in order, and never touches the machine it stands on."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.cache import TESTS
from support.guests import boot_sector
from support.hostbox import Hostbox, HostboxError, Layers, _within, cgroup_mount

pytestmark = pytest.mark.systemd

SERVICE = """
[Unit]
{unit}
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'echo {name} up >> /host/log'
ExecStop=/bin/sh -c 'echo {name} stopping >> /host/log; sleep 0.3; echo {name} down >> /host/log'
[Install]
WantedBy=multi-user.target
"""


@pytest.fixture
def anyio_backend() -> str:
    """One backend: the other is tried where it says so, a host is a host."""
    return "asyncio"


@pytest.mark.parametrize("layers", ["overlay", "binds"])
async def test_it_boots_whole_and_powers_off(tmp_path: Path, layers: Layers) -> None:
    async with Hostbox.boot(tmp_path, layers=layers) as box:
        assert (await box.run(["systemctl", "is-system-running"], check=False)).stdout == "running\n"
        failed = await box.run(["systemctl", "list-units", "--failed", "--output=json"])
        assert json.loads(failed.stdout) == []
        assert (await box.run(["hostname"])).stdout == "hostbox\n"
        assert await box.poweroff() == "poweroff"
        assert "Reached target poweroff.target" in await box.journal()
        assert "Powering off." in box.console()
        with pytest.raises(HostboxError):  # and not: run on this machine
            await box.run(["touch", "/host/it-ran", tmp_path / "it-ran"])
        assert not (box.share / "it-ran").exists()
        assert not (tmp_path / "it-ran").exists()


@pytest.mark.parametrize("anyio_backend", ["trio"])
async def test_it_serves_trio_as_well(tmp_path: Path) -> None:
    async with Hostbox.boot(tmp_path) as box:
        assert (await box.run(["cat"], input="words")).stdout == "words"
        assert await box.poweroff() == "poweroff"


async def test_machined_and_logind_answer(tmp_path: Path) -> None:
    async with Hostbox.boot(tmp_path) as box:
        for name, call in {"machine1": "ListMachines", "login1": "ListInhibitors"}.items():
            path = f"/org/freedesktop/{name}"
            address = [f"org.freedesktop.{name}", path, f"org.freedesktop.{name}.Manager", call]
            assert (await box.run(["busctl", "call", *address])).stdout.startswith("a(ss")


async def test_what_runs_in_a_scope_is_in_its_cgroup(tmp_path: Path) -> None:
    async with Hostbox.boot(tmp_path) as box:
        scope = ["systemd-run", "--scope", "--unit=it", "--slice=machine.slice", "--property=After=dbus.service"]
        shown = await box.run([*scope, "cat", "/proc/self/cgroup"])
        assert "0::/machine.slice/it.scope" in shown.stdout.splitlines()
        assert "0::/init.scope" in (await box.run(["cat", "/proc/self/cgroup"])).stdout.splitlines()


async def test_a_power_off_stops_the_units_in_order(tmp_path: Path) -> None:
    files = {
        "/etc/systemd/system/first.service": SERVICE.format(name="first", unit=""),
        "/etc/systemd/system/second.service": SERVICE.format(name="second", unit="After=first.service"),
    }
    async with Hostbox.boot(tmp_path, files=files) as box:
        await box.run(["systemctl", "enable", "--now", "first.service", "second.service"])
        assert await box.poweroff() == "poweroff"
        ups, downs = ["first up", "second up"], ["second stopping", "second down", "first stopping", "first down"]
        assert (box.share / "log").read_text().splitlines() == ups + downs
        assert "Stopped first.service" in await box.journal("--unit", "first.service")
        assert box.path("/etc/systemd/system/multi-user.target.wants/first.service").exists(), "its disk is readable"


async def test_it_says_how_it_ended(tmp_path: Path) -> None:
    (tmp_path / "reboot").mkdir()
    async with Hostbox.boot(tmp_path / "reboot") as box:
        await box.run(["systemctl", "reboot"], check=False)
        assert await box.wait() == "reboot"
    (tmp_path / "kill").mkdir()
    async with Hostbox.boot(tmp_path / "kill") as box:
        box.kill()
        assert await box.wait() == "killed"


async def test_a_host_that_does_not_come_up_shows_its_console(tmp_path: Path) -> None:
    broken = {"/lib/systemd/systemd": "#!/bin/sh\necho no init today\nexit 3\n"}
    with pytest.raises(HostboxError, match=r"(?s)exited 3.*no init today"):
        async with Hostbox.boot(tmp_path, files=broken):
            pass


async def test_a_failed_command_tells_what_it_said(tmp_path: Path) -> None:
    async with Hostbox.boot(tmp_path) as box:
        with pytest.raises(HostboxError, match="ended with 3:\nout\nerr"):
            await box.run(["sh", "-c", "echo out; echo err >&2; exit 3"])
        assert (await box.run(["sh", "-c", 'echo "$A $PWD"'], env={"A": "b"}, cwd="/etc")).stdout == "b /etc\n"
        with pytest.raises(TimeoutError):
            await box.run(["sh", "-c", "echo $$ > /run/it.pid; exec sleep 1000"], timeout=0.5)
        pid = box.read("/run/it.pid").strip()
        await box.run(["sh", "-c", f"while kill -0 {pid} 2>/dev/null; do :; done"])  # it was killed


async def test_nothing_it_does_leaves_it(tmp_path: Path) -> None:
    outside = tmp_path / "mine"
    outside.write_text("mine")
    async with Hostbox.boot(tmp_path) as box:
        listed = (await box.run(["ls", "-A", "/tmp", "/etc/systemd/system"])).stdout
        assert str(tmp_path.parts[2]) not in listed, "it has a /tmp of its own"
        box.put("/etc/hostbox-was-here", "x")
        box.put("/var/run/hostbox-was-here", "y")
        await box.run(["sh", "-c", "echo z > /usr/hostbox-was-here; rm /etc/passwd"])
        assert await box.run(["cat", "/etc/hostbox-was-here", "/run/hostbox-was-here", "/usr/hostbox-was-here"])
        for forbidden in ("/proc/sys/kernel/printk", "/sys/kernel/mm/ksm/run"):
            assert (await box.run(["sh", "-c", f"echo 1 > {forbidden}"], check=False)).returncode
        await box.run(["sh", "-c", "cat /proc/sys/net/ipv4/ip_forward > /proc/sys/net/ipv4/ip_forward"])
        assert (await box.run(["ls", "-A", "/sys/class/net"])).stdout == "lo\n"
        assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text(), "its mounts are not this machine's"
        assert await box.poweroff() == "poweroff"
        cgroup = box.cgroup
        assert cgroup.exists()
    assert outside.read_text() == "mine"
    assert Path("/etc/passwd").exists()
    assert not [place for place in ("/etc", "/run", "/usr") if Path(place, "hostbox-was-here").exists()]
    assert not cgroup.exists()


def test_a_link_in_a_path_does_not_lead_outside(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "up").symlink_to("../../../../etc")
    (tmp_path / "run").symlink_to("/var/run")
    assert _within(tmp_path, "/etc/up/passwd") == tmp_path / "etc" / "passwd"
    assert _within(tmp_path, "/run/it") == tmp_path / "var" / "run" / "it"
    assert _within(tmp_path, "/../..") == tmp_path


TESTER = """
import sys
from pathlib import Path
import anyio
from support.hostbox import Hostbox

def parent(pid):
    return Path(f"/proc/{pid}/status").read_text().split("PPid:")[1].split()[0]

async def main():
    async with Hostbox.boot(Path(sys.argv[1])) as box:
        print(box.pid, parent(box.pid), box.cgroup, flush=True)
        await anyio.sleep_forever()

anyio.run(main)
"""


@pytest.mark.parametrize("victim", ["tester", "launcher"])
def test_it_dies_with_whoever_is_killed(tmp_path: Path, victim: str) -> None:
    command = [sys.executable, "-c", TESTER, os.fspath(tmp_path)]
    tester = subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    said = tester.stdout
    assert said
    try:
        pid, launcher, cgroup = said.readline().split()
        host = os.pidfd_open(int(pid))
        supervisor = os.pidfd_open(int(launcher))
        os.kill(tester.pid if victim == "tester" else int(launcher), signal.SIGKILL)
        assert select.select([host], [], [], 30)[0], "the host is still running"
        assert select.select([supervisor], [], [], 30)[0]
        os.close(host)
        os.close(supervisor)
    finally:
        tester.kill()
        tester.wait()
        said.close()
    if victim == "tester":
        assert not Path(cgroup).exists()
    else:  # nobody was left to tidy up; what is left is empty
        for folder, _, _ in os.walk(cgroup, topdown=False):
            os.rmdir(folder)
    assert Path(cgroup).parent == cgroup_mount()


@pytest.mark.qemu
async def test_guests_run_in_it(tmp_path: Path) -> None:
    guest = ["qemu-system-x86_64", "-machine", "pc,accel=tcg", "-m", "4", "-nodefaults", "-display", "none"]
    guest += ["-drive", "file=/host/disk,format=raw,if=virtio", "-serial", "file:/host/serial"]
    async with Hostbox.boot(tmp_path) as box:
        boot_sector(box.share / "disk", exit_after=0.1)
        await box.run(["systemd-run", "--scope", "--unit=guest", *guest])
        assert (box.share / "serial").read_text().split() == ["ready", "off"]
