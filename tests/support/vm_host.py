"""A hostbox with guests on it that are stopped in order, and who says whether they were."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
from support.cache import TESTS
from support.guests import boot_sector
from support.hostbox import Hostbox

from engine.systemd.scope import AUTOSTART_SERVICE, ENGINE_SERVICE, GUESTS_SERVICE, scope_unit
from engine.util.inotify import Watcher

PROJECT = TESTS.parent
STATE = "/var/lib/vms"
#: Names of guests, with the seconds that each takes from the button to its power-off and those it is ordered after.
Guests = Mapping[str, tuple[float, tuple[str, ...]]]

DOCUMENT = """
<domain type='qemu'>
  <name>{name}</name>
  <metadata>
    <order:order xmlns:order='urn:virengine:order:1'>
      {edges}
      <order:ready gate='serial' pattern='ready' timeout='60'/>
    </order:order>
  </metadata>
  <memory unit='MiB'>16</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64' machine='pc'>hvm</type></os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/>
      <source file='/host/{name}.img'/>
      <target dev='hda' bus='ide'/>
    </disk>
    <serial type='file'><source path='/host/{name}.serial'/></serial>{devices}
  </devices>
</domain>
"""


def document(name: str, *after: str, devices: str = "") -> str:
    edges = "".join(f"<order:requires domain='{other}'/>" for other in after)
    return DOCUMENT.format(name=name, edges=edges, devices=devices)


class Witness:
    """What the guests said on their serial lines, in the order in which it was said."""

    def __init__(self) -> None:
        self.said: list[tuple[str, str]] = []

    async def follow(self, watcher: Watcher, name: str, path: Path) -> None:
        known = 0
        with watcher.watch(path) as changes:
            while True:
                lines = path.read_bytes().decode(errors="replace").split("\n")[:-1] if path.exists() else []
                # a start empties the file
                self.said += [(name, line.strip()) for line in lines[known if known <= len(lines) else 0 :]]
                known = len(lines)
                await changes.wait()

    def at(self, name: str, line: str) -> int:
        assert self.said.count((name, line)) == 1, f"{name} said {line} not once: {self.said}"
        return self.said.index((name, line))


class Host:
    """The box with guests defined."""

    def __init__(self, box: Hostbox, witness: Witness, guests: Guests) -> None:
        self.box = box
        self.witness = witness
        self.guests = guests

    async def virengine(self, *words: str, check: bool = True, **env: str) -> str:
        command = [sys.executable, "-m", "engine", "--uri", "qemu:///system", "--state-dir", STATE, *words]
        return (await self.box.run(command, check=check, env={"PYTHONPATH": str(PROJECT), **env})).stdout

    async def install_units(self, *options: str) -> None:
        for name in (
            GUESTS_SERVICE,
            AUTOSTART_SERVICE,
            ENGINE_SERVICE,
        ):  # this Python need not have the project installed
            path = f"/etc/systemd/system/{name}.d/python.conf"
            self.box.put(path, f"[Service]\nEnvironment=PYTHONPATH={PROJECT}\n")
        await self.virengine("install-units", "--now", *(options or ("--no-service",)))

    async def running(self) -> set[str]:
        domains = json.loads(await self.virengine("list", "--all", "--json"))
        return {domain["name"] for domain in domains if domain["state"] == "running"}

    async def events(self) -> list[dict[str, object]]:
        """The engine's journal as the host's disk holds it."""
        state = self.box.share / "state"
        shutil.copytree(self.box.path(STATE), state, ignore=lambda *_: {"run", "api.sock"})
        command = [sys.executable, "-m", "engine", "--uri", "qemu:///system", "--state-dir", str(state), "events"]
        done = await anyio.run_process([*command, "--json", "--since", "0"], env={"PYTHONPATH": str(PROJECT)})
        return [json.loads(line) for line in done.stdout.splitlines()]

    async def shown(self, unit: str, name: str) -> str:
        """A property of a unit, with the escaping undone that systemctl adds to the escaping of names."""
        return (await self.box.run(["systemctl", "show", "--property", name, "--", unit])).stdout.replace("\\\\", "\\")

    def qemu_words(self) -> str:
        return "".join(path.read_text(errors="replace") for path in self.box.path(STATE).rglob("*.log"))

    def check_order(self, *, again: bool = False) -> None:
        """Each guest was asked once (``again``: or more often) and went by itself, and only then was asked what it
        depends on."""
        said = self.witness.said

        def button(name: str) -> int:
            return said.index((name, "button")) if again else self.witness.at(name, "button")

        for name, (_, after) in self.guests.items():
            assert self.witness.at(name, "ready") < button(name) < self.witness.at(name, "off")
            assert all(self.witness.at(name, "off") < button(other) for other in after), said

    async def check_nobody_was_killed(self, *, but: str = "") -> None:
        """``but``: one that has no scope."""
        assert "terminating on signal" not in self.qemu_words()
        journal = await self.box.journal("--unit", "machine-*.scope", "--unit", GUESTS_SERVICE, "--output=cat")
        for name in set(self.guests) - {but}:
            assert f"{scope_unit(f'qemu-{name}')}: Deactivated successfully" in journal
        assert "Killing process" not in journal
        assert "timed out" not in journal
        assert f"{GUESTS_SERVICE}: Deactivated successfully" in journal, journal

    async def check_events(self) -> None:
        """The journal of the state directory tells the same: each stopped by itself, in order."""
        stopped: dict[str, int] = {}
        asked: dict[str, int] = {}
        for event in await self.events():
            data = event["data"]
            assert isinstance(data, dict)
            if event["type"] == "org.virengine.domain.stopped":
                stopped[data["domain"]] = int(str(event["sequence"]))
                assert data["detail"] == "shutdown"
            elif event["type"] == "org.virengine.domain.stop-tried" and data["outcome"] == "started":
                asked.setdefault(data["domain"], int(str(event["sequence"])))
        assert set(stopped) == set(asked) == set(self.guests)
        assert all(stopped[name] < asked[other] for name, (_, after) in self.guests.items() for other in after)


@asynccontextmanager
async def host(folder: Path, guests: Guests, **options: Any) -> AsyncIterator[Host]:
    witness = Witness()
    async with Hostbox.boot(folder, **options) as box, Watcher() as watcher, anyio.create_task_group() as tasks:
        stack = Host(box, witness, guests)
        for name, (seconds, after) in guests.items():
            boot_sector(box.share / f"{name}.img", delay=seconds)
            (box.share / f"{name}.xml").write_text(document(name, *after))
            tasks.start_soon(witness.follow, watcher, name, box.share / f"{name}.serial")
        await stack.virengine("define", *(f"/host/{name}.xml" for name in guests))
        yield stack
        tasks.cancel_scope.cancel()
