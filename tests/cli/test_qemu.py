"""Real guests: each command is a process of its own, and the guest outlives them all."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest
from support.guests import boot_sector

ROOT = Path(__file__).parents[2]

GUEST = """
<domain type='qemu'>
  <name>{name}</name>
  <memory unit='MiB'>16</memory>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{image}'/><target dev='vda' bus='virtio'/>
    </disk>
    <serial type='file'><source path='{serial}'/></serial>
  </devices>
  <metadata>
    <order:order xmlns:order='urn:virengine:order:1'>
      {order}
      <order:ready gate='serial' pattern='ready' timeout='60'/>
      <order:stop><order:try method='acpi' timeout='60'/></order:stop>
    </order:order>
  </metadata>
</domain>
"""


class Shell:
    def __init__(self, folder: Path, backend: str) -> None:
        self.folder = folder
        self.options = ["--uri", "qemu:///session", "--state-dir", str(folder / "s"), "--backend", backend]

    def __call__(self, *args: str, code: int = 0) -> str:
        result = subprocess.run(
            [sys.executable, "-m", "engine", *self.options, *args],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert result.returncode == code, result.stderr + result.stdout
        return result.stdout

    def define(self, name: str, order: str = "") -> None:
        image = boot_sector(self.folder / f"{name}.img", delay=0.2)
        path = self.folder / f"{name}.xml"
        path.write_text(GUEST.format(name=name, image=image, serial=self.folder / f"{name}.serial", order=order))
        self("define", str(path))

    def json(self, *args: str) -> object:
        return json.loads(self(*args, "--json"))


@pytest.fixture
def shell(tmp_path, anyio_backend):
    made = Shell(tmp_path, anyio_backend)
    yield made
    names = made("list", "--name").split()
    if names:
        made("destroy", *names)


def alive(pid):
    return Path(f"/proc/{pid}").exists() and "(zombie)" not in Path(f"/proc/{pid}/status").read_text()


@pytest.mark.qemu
def test_a_guest_outlives_the_program_that_started_it(shell):
    shell.define("web")
    assert shell("start", "web") == "Domain 'web' started\n"
    [web] = shell.json("list")
    assert web["state"] == "running"
    assert alive(web["pid"])
    assert "qemu" in Path(f"/proc/{web['pid']}/cmdline").read_bytes().decode()
    assert f"{web['pid']}" in shell("list")
    shell("suspend", "web")
    assert shell.json("info", "web")["state"] == "paused"
    shell("resume", "web")
    assert shell("start", "web", code=4) == ""
    # it is still the very same guest; now it has had the time to listen to its button
    shell("up", "web")
    assert shell.json("info", "web")["pid"] == web["pid"]
    assert shell("shutdown", "web", "--timeout", "60").endswith("Domain 'web' is off (shutdown)\n")
    assert shell.json("info", "web")["state"] == "shut off"
    assert not alive(web["pid"])
    assert (shell.folder / "web.serial").read_text().split() == ["ready", "button", "off"]
    assert shell("events", "--type", "DomainStopped").count("stopped (shutdown)") == 1


@pytest.mark.qemu
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_what_stopped_while_nobody_looked_is_told_by_the_next_command(shell):
    shell.define("web")
    shell("start", "web")
    pid = shell.json("info", "web")["pid"]
    pidfd = os.pidfd_open(pid)
    os.kill(pid, 9)
    assert select.select([pidfd], [], [], 60)[0]
    os.close(pidfd)
    assert shell.json("info", "web")["state"] == "shut off"
    assert "stopped (" in shell("events", "--type", "DomainStopped")


@pytest.mark.qemu
@pytest.mark.parametrize("anyio_backend", ["trio"])
def test_up_and_down_of_real_guests_in_separate_processes(shell):
    shell.define("db")
    shell.define("web", "<order:requires domain='db'/>")
    assert "Up: 2 of 2 domains done" in shell("up")
    assert "Down: 2 of 2 domains done" in shell("down")
    lines = shell("events", "--type", "DomainStopped").splitlines()
    assert [line.split()[3] for line in lines] == ["web", "db"]
    assert shell("list", "--name") == ""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_a_missing_qemu_is_one_sentence(tmp_path, anyio_backend):
    path = tmp_path / "web.xml"
    path.write_text("<domain type='qemu'><name>web</name><memory>16384</memory><os><type>hvm</type></os></domain>")
    (tmp_path / "bin").mkdir()
    env = {**os.environ, "PATH": str(tmp_path / "bin")}
    options = Shell(tmp_path, anyio_backend).options
    command = [sys.executable, "-m", "engine", *options]
    subprocess.run([*command, "define", str(path)], cwd=ROOT, env=env, check=False, capture_output=True, timeout=60)
    result = subprocess.run(
        [*command, "start", "web"], cwd=ROOT, env=env, check=False, capture_output=True, text=True, timeout=60
    )
    assert result.returncode in (1, 3)
    assert result.stderr.startswith("virengine: error: ")
    assert result.stderr.count("\n") == 1
    assert "qemu-system-x86_64 is not installed" in result.stderr


@pytest.mark.qemu
def test_what_became_ready_while_nobody_looked_is_told_and_kept(shell):
    shell.define("web")
    shell("start", "web")
    # a gate that a busy host does not see through in one moment gets another one with each look
    deadline = time.monotonic() + 60
    while not shell.json("list")[0]["ready"]:
        assert time.monotonic() < deadline
    assert shell("events", "--type", "DomainReady").count("ready (serial ") == 1
    assert shell.json("list")[0]["ready"]
    assert shell.json("info", "web")["ready"]
    assert shell("events", "--type", "DomainReady").count("ready (serial ") == 1


@pytest.mark.qemu
def test_start_waits_until_it_is_ready_when_told(shell):
    shell.define("web")
    assert shell("start", "web", "--wait").splitlines() == ["Domain 'web' started", "Domain 'web' is ready"]
    assert (shell.folder / "web.serial").read_text().split() == ["ready"]
    [web] = shell.json("list")
    assert web["ready"]
