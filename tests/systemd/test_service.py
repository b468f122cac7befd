"""The engine as a hardened service of a host with guests: it comes and goes, and guests stay; the host goes, and guests
are stopped in order, with the service, without it, and when it dies in their midst.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable
from pathlib import Path

import anyio
import pytest
from support.vm_host import PROJECT, STATE, Host, document, host

from engine.systemd.scope import ENGINE_SERVICE, GUESTS_SERVICE

pytestmark = [pytest.mark.systemd, pytest.mark.qemu, pytest.mark.timeout(180)]

GUESTS: dict[str, tuple[float, tuple[str, ...]]] = {
    "db": (0.5, ()),
    "cache": (0.5, ()),
    "app1": (0.5, ("db", "cache")),
    "app2": (0.6, ("db", "cache")),
    "app3": (0.7, ("db",)),
    "web1": (0.5, ("app1", "app2")),
    "web2": (0.6, ("app2", "app3")),
    "lb": (0.5, ("web1", "web2")),
    "mail": (0.8, ("db",)),
    "batch": (1.0, ()),
}
TAP = "<interface type='ethernet'><target dev='tap-batch'/></interface>"

UNASKED = ["systemctl", "start", "poweroff.target", "--job-mode=replace-irreversibly", "--no-block"]


@pytest.fixture
def anyio_backend() -> str:
    """One backend: what is tried here is the host."""
    return "asyncio"


async def pids(stack: Host) -> dict[str, int]:
    """The process of each guest, as the host has it."""
    lines = (await stack.box.run(["pgrep", "--list-full", "qemu-system"])).stdout.splitlines()
    return {name: int(line.split()[0]) for name in GUESTS for line in lines if f"/host/{name}.img" in line}


async def main_pid(stack: Host) -> str:
    return (await stack.box.run(["systemctl", "show", "--value", "--property=MainPID", ENGINE_SERVICE])).stdout.strip()


async def next_pid(stack: Host, before: str) -> str:
    """Of the service that follows; it answers. Its socket was there all along."""
    with anyio.fail_after(60):
        while (pid := await main_pid(stack)) in ("0", before):
            pass
    assert (await stack.virengine("domstate", "db")).strip() == "running"
    return pid


async def kill_service(stack: Host, number: str = "KILL") -> None:
    await stack.box.run(["systemctl", "kill", "--kill-whom=main", f"--signal={number}", ENGINE_SERVICE])


async def serving(stack: Host) -> None:
    """With ten guests, all up."""
    await stack.install_units("--service")
    await stack.virengine("up")
    assert set(await pids(stack)) == set(GUESTS)


async def until_said(stack: Host, name: str, line: str) -> None:
    with anyio.fail_after(60):
        while (name, line) not in stack.witness.said:
            await anyio.sleep(0.02)  # the witness has it from inotify


async def test_guests_outlive_the_service_and_are_stopped_through_it(tmp_path: Path) -> None:
    async with host(tmp_path, GUESTS) as stack:
        (stack.box.share / "batch.xml").write_text(document("batch", devices=TAP))
        await stack.virengine("undefine", "batch")
        await stack.virengine("define", "/host/batch.xml")
        await serving(stack)
        guests = await pids(stack)
        for pid in guests.values():  # each in a scope of its own, with less than root could do
            assert "/machine.slice/machine-qemu" in stack.box.read(f"/proc/{pid}/cgroup")
            status = dict(line.split(":\t", 1) for line in stack.box.read(f"/proc/{pid}/status").splitlines())
            assert (status["NoNewPrivs"], status["Seccomp"], status["CapBnd"]) == ("1", "2", "0000000000001002")

        first = await main_pid(stack)
        await stack.box.run(["systemctl", "reload", ENGINE_SERVICE])
        assert await main_pid(stack) == first
        stack.box.put(f"/etc/systemd/system/{ENGINE_SERVICE}.d/watchdog.conf", "[Service]\nWatchdogSec=3\n")
        await stack.box.run(["systemctl", "daemon-reload"])
        await stack.box.run(["systemctl", "restart", ENGINE_SERVICE])
        second = await next_pid(stack, first)
        await kill_service(stack)
        third = await next_pid(stack, second)
        await kill_service(stack, "STOP")  # it hangs, until the watchdog has it
        await next_pid(stack, third)
        assert await pids(stack) == guests
        assert "watchdog" in (await stack.box.journal("--unit", ENGINE_SERVICE)).lower()

        held = await stack.box.run(["systemd-inhibit", "--list", "--no-pager"])
        assert "virengine" in held.stdout
        assert await stack.box.poweroff() == "poweroff"
        stack.check_order()
        await stack.check_nobody_was_killed()
        await stack.check_events()
        journal = (await stack.box.journal("--output=cat")).splitlines()
        # logind has waited for the plan; the guests service had nothing left to do, and asked the service about it
        gone = [index for index, line in enumerate(journal) if line.endswith(".scope: Deactivated successfully.")]
        assert max(gone) < last(journal, f"Stopping {GUESTS_SERVICE}")
        check_ends(journal)


def check_ends(journal: list[str]) -> None:
    """The service is there until the guests service is done."""
    assert last(journal, f"Stopped {GUESTS_SERVICE}") < last(journal, f"Stopping {ENGINE_SERVICE}")


def last(journal: list[str], words: str) -> int:
    return max(index for index, line in enumerate(journal) if line.startswith(words))


async def test_a_host_that_asks_nobody_before_it_goes_down(tmp_path: Path) -> None:
    """As ``systemctl start poweroff.target``, which logind never hears of: units are stopped, in their order."""
    async with host(tmp_path, GUESTS) as stack:
        await serving(stack)
        await stack.box.run(UNASKED)
        assert await stack.box.wait() == "poweroff"
        stack.check_order()
        await stack.check_nobody_was_killed()
        await stack.check_events()
        check_ends((await stack.box.journal("--output=cat")).splitlines())


async def test_a_service_that_dies_while_it_stops_them(tmp_path: Path) -> None:
    """And logind waits no longer: the guests service goes on with the plan that the service began."""
    delay = {"/etc/systemd/logind.conf.d/delay.conf": "[Login]\nInhibitDelayMaxSec=1\n"}
    async with host(tmp_path, GUESTS, files=delay) as stack:
        await serving(stack)
        await stack.box.run(["systemctl", "poweroff"])
        await until_said(stack, "app1", "button")
        await kill_service(stack)
        assert await stack.box.wait() == "poweroff"
        stack.check_order(again=True)  # who goes on asks anew
        await stack.check_nobody_was_killed()
        await stack.check_events()


async def test_a_service_that_died_before(tmp_path: Path) -> None:
    """And a guest lives in its group, since no scope was to be had when it was started."""
    async with host(tmp_path, GUESTS) as stack:
        await stack.install_units("--service")
        await stack.virengine("up", "lb", "mail")
        settings = "[Service]\nRestart=no\nEnvironment=DBUS_SYSTEM_BUS_ADDRESS=unix:path=/nowhere\n"
        stack.box.put(f"/etc/systemd/system/{ENGINE_SERVICE}.d/alone.conf", settings)
        await stack.box.run(["systemctl", "daemon-reload"])
        await stack.box.run(["systemctl", "restart", ENGINE_SERVICE])
        await stack.virengine("up", "batch")
        guests = await pids(stack)
        assert f"/system.slice/{ENGINE_SERVICE}\n" in stack.box.read(f"/proc/{guests['batch']}/cgroup")
        await stack.box.run(["systemctl", "restart", ENGINE_SERVICE])
        await kill_service(stack)
        assert await pids(stack) == guests
        assert set(guests) == set(GUESTS)
        await stack.box.run(UNASKED)
        assert await stack.box.wait() == "poweroff"
        stack.check_order()
        await stack.check_nobody_was_killed(but="batch")
        await stack.check_events()


async def test_a_host_that_sleeps(tmp_path: Path) -> None:
    """All of it is systemd's and logind's own, but for the file at which the kernel is told, which is a file here."""
    async with host(tmp_path, {"db": (0.5, ()), "app1": (0.5, ("db",)), "mail": (0.5, ())}) as stack:
        for name, says in {"state": "freeze mem", "mem_sleep": "[s2idle]", "disk": "[disabled]"}.items():
            stack.box.put(f"/run/power/{name}", f"{says}\n")
        await stack.box.run(["mount", "--bind", "/run/power", "/sys/power"])
        await stack.box.run(["systemctl", "restart", "systemd-logind"])
        saved = "<order:sleep method='save'/><order:ready"
        (stack.box.share / "mail.xml").write_text(document("mail").replace("<order:ready", saved))
        await stack.virengine("undefine", "mail")
        await stack.virengine("define", "/host/mail.xml")
        await stack.install_units("--service")
        look = f"PYTHONPATH={PROJECT} {sys.executable} -m engine --state-dir {STATE} list --all --json"
        stack.box.put(
            "/etc/systemd/system/systemd-suspend.service.d/witness.conf",
            f"[Service]\nExecStartPre=/bin/sh -c '{look} >/host/asleep.json'\n",
        )
        await stack.box.run(["systemctl", "daemon-reload"])
        await stack.virengine("up")
        guests = await pids(stack)
        woken = [stack.virengine("wait", name, "--for", "domain.resumed", "--timeout", "60") for name in ("db", "app1")]
        woken.append(stack.virengine("wait", "mail", "--for", "domain.started", "--timeout", "60"))
        async with anyio.create_task_group() as tasks:
            for each in woken:
                tasks.start_soon(_awaited, each)
            await until_they_wait(stack, len(woken))
            await stack.box.run(["systemctl", "suspend"])
        assert stack.box.read("/run/power/state").strip() == "mem"
        asleep = {each["name"]: each["state"] for each in json.loads((stack.box.share / "asleep.json").read_text())}
        assert asleep == {"db": "paused", "app1": "paused", "mail": "shut off"}
        assert await stack.running() == {"db", "app1", "mail"}
        after = await pids(stack)
        assert [after["db"], after["app1"]] == [guests["db"], guests["app1"]]
        await stack.box.poweroff()
        stack.check_order()
        told = [(str(each["type"]).rpartition(".")[2], each["data"]) for each in await stack.events()]
        slept = [f"{what} {data['domain']}" for what, data in told if what in ("suspended", "resumed")]
        slept.remove("suspended mail")  # while it is saved
        assert slept == ["suspended app1", "suspended db", "resumed db", "resumed app1"]


async def _awaited(work: Awaitable[object]) -> None:
    await work


async def until_they_wait(stack: Host, number: int) -> None:
    command = ["curl", "--silent", "--unix-socket", f"{STATE}/api.sock", "http://virengine/metrics"]
    with anyio.fail_after(60):
        while f"virengine_event_streams {number}\n" not in (await stack.box.run(command)).stdout:
            pass
