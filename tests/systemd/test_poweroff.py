"""A host with running guests is powered off: each is asked, takes its time, and is gone before what it depends on is
asked. Real QEMU guests on a host with a real systemd; the guests themselves (their serial lines) and systemd's journal
are the witnesses, not the engine alone.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from support.guests import boot_sector
from support.vm_host import PROJECT, STATE, Host, document, host

from engine.systemd.scope import AUTOSTART_SERVICE, GUESTS_SERVICE, scope_unit
from engine.util.inotify import Watcher

pytestmark = [pytest.mark.systemd, pytest.mark.qemu, pytest.mark.timeout(180)]

#: Seconds each guest takes from the button to its power-off, and those it is ordered after.
GUESTS: dict[str, tuple[float, tuple[str, ...]]] = {
    "db": (0.8, ()),
    "app1": (0.8, ("db",)),
    "app2": (0.9, ("db",)),
    "lb": (0.8, ("app1", "app2")),
    "batch": (1.0, ()),
}
EDGES = [(name, other) for name, (_, after) in GUESTS.items() for other in after]

#: An engine that a program embeds; it says so when the guests are up, and lives on. Told to end, it takes its time.
PROGRAM = f"""
import signal
import anyio
from engine import Engine

async def main():
    with anyio.open_signal_receiver(signal.SIGTERM) as signals:
        async with Engine("qemu:///system", state_dir="{STATE}") as engine:
            report = await engine.up()
            with open("/host/up", "w") as fifo:
                fifo.write(str(report))
            async for _ in signals:
                await anyio.sleep(3)
                break

anyio.run(main)
"""


@pytest.fixture
def anyio_backend() -> str:
    """One backend: what is tried here is the host's power-off; the engine inside is on asyncio either way."""
    return "asyncio"


def check_order(stack: Host) -> None:
    stack.check_order()
    # and nothing waited without need: batch is not ordered, the two apps are equals
    assert stack.witness.at("batch", "button") < stack.witness.at("lb", "off")
    assert stack.witness.at("app2", "button") < stack.witness.at("app1", "off")


async def test_a_powered_off_host_stops_its_guests_in_order(tmp_path: Path) -> None:
    async with host(tmp_path, GUESTS) as stack:
        await stack.install_units()
        await stack.virengine("up")
        assert await stack.running() == set(GUESTS)
        assert await stack.box.poweroff() == "poweroff"
        check_order(stack)
        await stack.check_nobody_was_killed()
        await stack.check_events()


async def test_an_order_that_makes_no_sense_costs_no_guest_its_life(tmp_path: Path) -> None:
    async with host(tmp_path, GUESTS) as stack:
        await stack.install_units()
        await stack.virengine("up")
        uuid = json.loads(await stack.virengine("info", "--json", "batch"))["uuid"]
        changed = document("batch", "nobody").replace("<name>", f"<uuid>{uuid}</uuid><name>")
        (stack.box.share / "batch.xml").write_text(changed)
        await stack.virengine("define", "/host/batch.xml")
        assert await stack.box.poweroff() == "poweroff"
        check_order(stack)
        await stack.check_nobody_was_killed()


async def test_without_the_service_they_are_killed(tmp_path: Path) -> None:
    """The control: what the test above sees is the service's doing. The scopes' own order holds even so."""
    async with host(tmp_path, GUESTS) as stack:
        await stack.virengine("up")
        assert await stack.box.poweroff() == "poweroff"
        assert {line for _, line in stack.witness.said} == {"ready"}
        assert stack.qemu_words().count("terminating on signal 15") == len(GUESTS)
        journal = (await stack.box.journal("--unit", "machine-*.scope", "--output=cat")).splitlines()

        def at(word: str, name: str) -> int:
            unit = scope_unit(f"qemu-{name}")
            return next(i for i, line in enumerate(journal) if line.startswith(word) and unit in line)

        for name, other in EDGES:
            assert at("Stopped", name) < at("Stopping", other), journal


async def test_the_service_does_it_when_the_engine_was_killed(tmp_path: Path) -> None:
    async with host(tmp_path, GUESTS) as stack:
        await stack.install_units()
        stack.box.put("/root/program.py", PROGRAM)
        await stack.box.run(["mkfifo", "/host/up"])
        start = f"setsid {sys.executable} /root/program.py </dev/null >/host/program.log 2>&1 & echo $!"
        engine = (await stack.box.run(["sh", "-c", start], env={"PYTHONPATH": str(PROJECT)})).stdout.strip()
        await stack.box.run(["cat", "/host/up"])
        await stack.box.run(["kill", "-9", engine])
        assert await stack.box.poweroff() == "poweroff"
        check_order(stack)
        await stack.check_nobody_was_killed()


async def test_what_was_stopped_comes_back(tmp_path: Path) -> None:
    """The services' stop and start, which are the host's power-off and boot."""
    async with host(tmp_path, GUESTS) as stack:
        await stack.virengine("up", "app1")  # and db, which it requires
        await stack.install_units()
        assert await stack.running() == {"app1", "db"}
        await stack.box.run(["systemctl", "stop", GUESTS_SERVICE])
        assert await stack.running() == set()
        assert stack.witness.at("app1", "off") < stack.witness.at("db", "button")
        await stack.box.run(["systemctl", "start", AUTOSTART_SERVICE])
        assert await stack.running() == {"app1", "db"}
        # also those started from within the service are in scopes of their own
        shown = await stack.box.run(["systemctl", "list-units", "--plain", "--no-legend", "machine-*.scope"])
        assert len(shown.stdout.splitlines()) == 2
        assert await stack.box.poweroff() == "poweroff"
        assert [line for name, line in stack.witness.said if name == "db"] == ["ready", "button", "off"] * 2


async def test_an_order_that_changes_while_they_run_holds(tmp_path: Path) -> None:
    """batch gets its place at the very front, db is started anew: both are in the scopes' order."""
    async with host(tmp_path, GUESTS) as stack:
        await stack.install_units()
        await stack.virengine("up")
        await stack.virengine("doctor")  # fails unless all is well
        uuid = json.loads(await stack.virengine("info", "--json", "batch"))["uuid"]
        changed = document("batch", "lb").replace("<name>", f"<uuid>{uuid}</uuid><name>")
        (stack.box.share / "batch.xml").write_text(changed)
        await stack.virengine("define", "/host/batch.xml")
        batch = scope_unit("qemu-batch")
        assert scope_unit("qemu-lb") in await stack.shown(batch, "After")

        await stack.box.run(["systemctl", "kill", "--signal=KILL", scope_unit("qemu-db")])
        await stack.virengine("start", "db")
        scopes = (await stack.box.run(["systemctl", "list-units", "--plain", "--no-legend", "machine-*.scope"])).stdout
        (db,) = (line.split()[0] for line in scopes.splitlines() if line.startswith("machine-qemu\\x2ddb"))
        assert db != scope_unit("qemu-db")  # systemd starts no scope twice while others are ordered by it
        for name in ("app1", "app2", "lb", "batch"):
            assert db in await stack.shown(scope_unit(f"qemu-{name}"), "After")

        await stack.virengine("doctor", "--fix")  # the longest way down has become longer
        await stack.virengine("doctor")
        assert await stack.box.poweroff() == "poweroff"
        said = [line for line in stack.witness.said if line[1] != "ready"]
        assert said[:4] == [("batch", "button"), ("batch", "off"), ("lb", "button"), ("lb", "off")]
        assert said[-2:] == [("db", "button"), ("db", "off")]


async def test_a_guest_that_got_no_scope_is_given_one(tmp_path: Path) -> None:
    async with host(tmp_path, GUESTS) as stack:
        await stack.install_units()
        await stack.virengine("up", "app1", DBUS_SYSTEM_BUS_ADDRESS="unix:path=/nowhere")
        assert await stack.running() == {"app1", "db"}  # a guest runs all the same
        findings = json.loads(await stack.virengine("doctor", "--json", check=False))["findings"]
        assert [found["subject"] for found in findings if found["code"] == "no-scope"] == ["app1", "db"]
        await stack.virengine("doctor", "--fix")
        await stack.virengine("doctor")
        assert scope_unit("qemu-db") in await stack.shown(scope_unit("qemu-app1"), "After")
        assert await stack.box.poweroff() == "poweroff"
        assert stack.witness.at("app1", "off") < stack.witness.at("db", "button")


async def test_a_host_that_goes_down_while_guests_come_up(tmp_path: Path) -> None:
    """db is up and app1 waits for it to be ready, which it never is: both services are told to stop just then."""
    async with host(tmp_path, GUESTS) as stack:
        (stack.box.share / "late.xml").write_text(document("late").replace("pattern='ready'", "pattern='never'"))
        boot_sector(stack.box.share / "late.img", delay=0.5)
        (stack.box.share / "next.xml").write_text(document("next", "late"))
        boot_sector(stack.box.share / "next.img")
        await stack.virengine("define", "/host/late.xml", "/host/next.xml")
        await stack.virengine("autostart", "late")
        await stack.virengine("autostart", "next")
        await stack.install_units()
        await stack.box.run(["systemctl", "start", "--no-block", AUTOSTART_SERVICE])
        serial = stack.box.share / "late.serial"
        async with Watcher() as watcher:
            with watcher.watch(serial) as changes:
                while not serial.exists() or b"ready" not in serial.read_bytes():
                    await changes.wait()
        assert await stack.box.poweroff() == "poweroff"
        assert serial.read_text().split() == ["ready", "button", "off"]
        assert not (stack.box.share / "next.serial").exists()


async def test_an_engine_that_runs_as_a_service_lets_go_of_its_guests(tmp_path: Path) -> None:
    """It is told to end at the same time as the guests service, which waits for the state directory."""
    async with host(tmp_path, GUESTS) as stack:
        await stack.install_units()
        stack.box.put("/root/program.py", PROGRAM)
        await stack.box.run(["mkfifo", "/host/up"])
        python = ["systemd-run", "--unit=app.service", f"--setenv=PYTHONPATH={PROJECT}", sys.executable]
        await stack.box.run([*python, "/root/program.py"])
        await stack.box.run(["cat", "/host/up"])
        assert "pid" in (await stack.box.run(["cat", f"{STATE}/lock"])).stdout
        assert await stack.box.poweroff() == "poweroff"
        check_order(stack)
        await stack.check_nobody_was_killed()
