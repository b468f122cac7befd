"""The demonstration does what it says, as a user runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).parents[2]


def run(*args):
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), *args],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def check(result, picture):
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stderr == ""
    assert "Up: 5 of 5 domains done" in result.stdout
    assert "Down: 5 of 5 domains done" in result.stdout
    down = result.stdout.split("== down")[1]
    stopped = [line.split()[2] for line in down.splitlines() if "DomainStopped" in line]
    assert stopped.index("lb") < stopped.index("app1") < stopped.index("db")
    assert stopped.index("lb") < stopped.index("app2") < stopped.index("db")
    assert ElementTree.parse(picture).getroot().tag.endswith("svg")


@pytest.mark.parametrize("anyio_backend", ["trio"])
def test_in_memory(tmp_path, anyio_backend):
    check(run("test", "--backend", anyio_backend, "--svg", str(tmp_path / "plan.svg")), tmp_path / "plan.svg")


@pytest.mark.qemu
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
def test_with_real_guests(tmp_path, anyio_backend):
    check(run("qemu", "--backend", anyio_backend, "--svg", str(tmp_path / "plan.svg")), tmp_path / "plan.svg")


def test_says_so_where_there_is_no_qemu(tmp_path):
    result = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), "--svg", str(tmp_path / "plan.svg")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": str(tmp_path)},
    )
    assert result.stdout.startswith("No QEMU here (apt-get install qemu-system-x86 brings it)")
    check(result, tmp_path / "plan.svg")
