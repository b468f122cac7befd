"""``down --insist``: the stop of all guests, whatever becomes of the service that it was given to."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli.test_serve import serving

PROGRAM = (sys.executable, "-m", "engine")
DOMAIN = """<domain type='test'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os><metadata>
  <guest xmlns='urn:virengine:test:1' agent='no' shutdown='1'/>
  <order:order xmlns:order='urn:virengine:order:1'>{order}</order:order>
</metadata></domain>"""


FAR = "<node>" + DOMAIN.format(name="far", order="") + "</node>"


def virengine(folder: Path, *words: str) -> str:
    options = ("--state-dir", str(folder / "state"), "--uri", "test:///default")
    return subprocess.run([*PROGRAM, *options, *words], capture_output=True, text=True, check=True, timeout=60).stdout


def stack(folder: Path, first: str = "") -> None:
    """web after app after db after ``first``, all up; each takes a second to power off."""
    for name, after in {"db": first, "app": "db", "web": "app"}.items():
        order = f"<order:requires domain='{after}'/>" if after else ""
        (folder / f"{name}.xml").write_text(DOMAIN.format(name=name, order=order))
    virengine(folder, "define", *(str(folder / f"{name}.xml") for name in ("db", "app", "web")))
    virengine(folder, "up", "web")


def insisting(folder: Path, backend: str) -> subprocess.Popen[str]:
    options = ("--state-dir", str(folder / "state"), "--uri", "test:///default", "--backend", backend)
    command = [*PROGRAM, *options, "down", "--insist", "db"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stopped(folder: Path) -> list[str]:
    """In this order. A guest in memory runs again if it was told on, and not yet on disk, that it had stopped."""
    events = [json.loads(line) for line in virengine(folder, "events", "--json", "--since", "0").splitlines()]
    return list(dict.fromkeys(e["data"]["domain"] for e in events if e["type"].endswith("domain.stopped")))


@pytest.mark.parametrize(("number", "backend"), [(signal.SIGKILL, "asyncio"), (signal.SIGTERM, "trio")])
def test_it_goes_on_without_a_service_that_ends_in_its_midst(
    tmp_path: Path, number: signal.Signals, backend: str
) -> None:
    with serving(tmp_path) as service:
        stack(tmp_path)
        with insisting(tmp_path, backend) as down:
            assert down.stdout is not None
            for line in down.stdout:
                if "web" in line and "stopped" in line:
                    break
            os.kill(service.pid, number)
            out, err = down.communicate(timeout=60)
    assert down.returncode == 0, out + err
    assert "going on without it" in err
    assert stopped(tmp_path) == ["web", "app", "db"]
    assert json.loads(virengine(tmp_path, "list", "--json")) != []  # what is not ordered was not meant


def test_it_waits_for_an_engine_that_has_the_state_directory(tmp_path: Path) -> None:
    stack(tmp_path)
    holder = "import anyio, sys\nfrom engine import Engine\nasync def main():\n"
    holder += "    async with Engine('test:///default', state_dir=sys.argv[1]):\n"
    holder += "        print('open', flush=True)\n        await anyio.to_thread.run_sync(sys.stdin.readline)\n"
    holder += "anyio.run(main)\n"
    command = [sys.executable, "-c", holder, str(tmp_path / "state")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with insisting(tmp_path, "trio") as down:
            assert down.stderr is not None
            assert "waiting for it" in down.stderr.readline()
            other.communicate("end\n", timeout=60)
            assert down.wait(60) == 0
    assert stopped(tmp_path) == ["web", "app", "db"]


@pytest.mark.parametrize("broken", [False, True])
def test_it_goes_on_with_all_connections_of_the_service(tmp_path: Path, broken: bool) -> None:
    node = tmp_path / "node.xml"
    node.write_text(FAR)
    with serving(tmp_path, more=("--uri", f"test://{node}")) as service:
        stack(tmp_path, first="far")
        assert "far" in virengine(tmp_path, "--uri", f"test://{node}", "list", "--name")
        command = [*PROGRAM, "--state-dir", str(tmp_path / "state"), "--uri", "test:///default", "down", "--insist"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as down:
            assert down.stdout is not None
            for line in down.stdout:
                if "web" in line and "stopped" in line:
                    break
            service.kill()
            if broken:
                node.write_text("<node>")
            out, err = down.communicate(timeout=60)
    assert down.returncode == int(broken), out + err
    assert [name in stopped(tmp_path) for name in ("web", "app", "db", "far")] == [True, True, True, not broken]
    if broken:
        assert "going on with the other connections" in err
        assert str(node) in err.splitlines()[-1]
