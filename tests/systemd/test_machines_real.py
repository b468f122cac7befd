"""Scopes on a host with a real systemd and machined: created, ordered, mended, gone again."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.cache import TESTS
from support.hostbox import Hostbox

from engine.systemd import doctor, install
from engine.systemd.limits import Limits
from engine.systemd.machines import ScopeManager
from engine.systemd.scope import GUESTS_SERVICE, SHUTDOWN_TARGET, ScopeRequest, UnitOrder, scope_units

pytestmark = pytest.mark.systemd

URI = "qemu:///system"
MACHINED = "systemd-machined.service"


def manager(box: Hostbox, **options: object) -> ScopeManager:
    """A manager outside the box that speaks to the systemd inside."""
    address = f"unix:path={box.path('/run/dbus/system_bus_socket')}"
    return ScopeManager(user=False, address=address, runtime_dir=box.path("/run/systemd"), **options)  # type: ignore[arg-type]


@asynccontextmanager
async def booted(folder: Path, **options: object) -> AsyncIterator[tuple[Hostbox, ScopeManager]]:
    async with Hostbox.boot(folder) as box, manager(box, **options) as scopes:
        yield box, scopes


async def process(box: Hostbox) -> int:
    """A process in the box that would live for ever; its PID as the box has it."""
    done = await box.run(["sh", "-c", "setsid sleep infinity </dev/null >/dev/null 2>&1 & echo $!"])
    return int(done.stdout)


async def gone(box: Hostbox, pid: int, unit: str) -> None:
    """Kill the process and wait until its scope has ended."""
    script = f"kill -9 {pid}; while systemctl is-active --quiet '{unit}'; do :; done"
    await box.run(["sh", "-c", script.replace("\\", "\\\\")])


def request(name: str, leader: int, **fields: object) -> ScopeRequest:
    uuid = f"00000000-0000-0000-0000-{sum(name.encode()):012d}"
    return ScopeRequest(domain=name, uuid=uuid, connection=URI, leader=leader, **fields)  # type: ignore[arg-type]


def units(name: str) -> tuple[str, ...]:
    return scope_units(URI, name, f"00000000-0000-0000-0000-{sum(name.encode()):012d}")


async def show(box: Hostbox, unit: str, name: str) -> str:
    return (await box.run(["systemctl", "show", "--value", "--property", name, "--", unit])).stdout.strip()


async def test_scopes_hold_the_order_and_the_limits(tmp_path: Path) -> None:
    async with booted(tmp_path) as (box, scopes):
        # web first: its After names a scope that is not there yet
        web = await scopes.create(
            request(
                "web",
                await process(box),
                after=units("db"),
                partition="/machine/pre-prod",
                stop_timeout=61.5,
                limits=Limits(memory_max=64 << 20, cpu_weight=200, cpu_quota=500_000),
                interfaces=(1,),
            )
        )
        assert (web.unit, web.method, web.reason) == (units("web")[0], "CreateMachineWithNetwork", "")
        db = await scopes.create(request("db", leader := await process(box)))
        assert db.unit == units("db")[0]
        assert db.unit.encode().decode("unicode_escape") == "machine-qemu-db.scope"

        live = {state.name: state for state in await scopes.live_scopes()}
        assert set(live) == {web.unit, db.unit}
        assert db.unit in live[web.unit].after
        assert web.unit in live[db.unit].before
        assert SHUTDOWN_TARGET in live[web.unit].before
        assert SHUTDOWN_TARGET in live[db.unit].before
        assert live[web.unit].stop_timeout == 61.5
        assert live[web.unit].active
        assert await show(box, web.unit, "Slice") == r"machine-pre\x2dprod.slice"
        assert await show(box, web.unit, "MemoryMax") == str(64 << 20)
        assert await show(box, web.unit, "CPUWeight") == "200"
        assert await show(box, web.unit, "CPUQuotaPerSecUSec") == "500ms"
        assert await show(box, web.unit, "Delegate") == "yes"
        machines = (await box.run(["busctl", "call", *_MACHINES, "ListMachines"])).stdout
        assert '"qemu-web" "vm" "virengine-qemu"' in machines
        assert db.unit in (await box.run(["cat", f"/proc/{leader}/cgroup"])).stdout.replace("\\\\", "\\")

        again = await scopes.create(request("db", leader))  # a repair: it is there already
        assert again.unit == db.unit


_MACHINES = ("org.freedesktop.machine1", "/org/freedesktop/machine1", "org.freedesktop.machine1.Manager")


async def test_names_are_found_again_and_clashes_avoided(tmp_path: Path) -> None:
    async with booted(tmp_path) as (box, scopes):
        first = await scopes.create(request("db", pid := await process(box)))
        # killed and started at once, as a restart does: the old scope is only about to go, and is waited for
        await box.run(["sh", "-c", f"kill -9 {pid}; while kill -0 {pid} 2>/dev/null; do :; done"])
        db = await scopes.create(request("db", pid := await process(box)))
        assert db.unit == first.unit

        # a foreign machine has the name
        other = await scopes.create(
            ScopeRequest(
                domain="db", uuid="1" * 8 + "-1111" * 3 + "-" + "1" * 12, connection=URI, leader=await process(box)
            )
        )
        assert other.unit != db.unit
        assert other.unit.startswith(r"machine-qemu\x2ddb\x2d")

        # systemd starts no scope twice while a living unit is ordered by it
        web = await scopes.create(request("web", await process(box), after=units("db")))
        await gone(box, pid, db.unit)
        back = await scopes.create(request("db", pid := await process(box), before=(web.unit,)))
        assert back.unit == units("db")[1], back.reason
        await gone(box, pid, back.unit)
        third = await scopes.create(request("db", await process(box), before=(web.unit,)))
        assert third.unit not in units("db")
        assert third.unit
        live = {state.name: state for state in await scopes.live_scopes()}
        assert third.unit in live[web.unit].after  # told from the other side
        assert set(live) == {web.unit, third.unit, other.unit}


async def test_any_name_can_be_had(tmp_path: Path) -> None:
    async with booted(tmp_path) as (box, scopes):
        for name in ("my vm_1", "é%n$", "a--b..c", ".hidden", "x" * 200, "web.example.org", "q\"u'o\\te", "-"):
            info = await scopes.create(request(name, await process(box)))
            assert (info.unit, info.method, info.reason) == (units(name)[0], "CreateMachineWithNetwork", "")
            assert await show(box, info.unit, "Description") == f"Virtual machine {name} ({URI})"


async def test_what_the_host_refuses_is_left_out(tmp_path: Path) -> None:
    async with booted(tmp_path) as (box, scopes):
        limits = Limits(cpu_weight=20_000, memory_max=1 << 30)  # out of range
        info = await scopes.create(request("web", await process(box), limits=limits))
        assert info.unit == units("web")[0]
        assert "CPUWeight" in info.reason
        assert await show(box, info.unit, "MemoryMax") == str(1 << 30)

        gone_already = await scopes.create(request("late", 4_000_000))
        assert gone_already.unit == ""
        assert "4000000" in gone_already.reason


async def test_machined_missing_restarted_and_hung(tmp_path: Path) -> None:
    async with booted(tmp_path, timeout=4.0) as (box, scopes):
        assert (await scopes.create(request("a", await process(box)))).method == "CreateMachineWithNetwork"
        await box.run(["systemctl", "kill", "--signal=KILL", MACHINED])
        assert (await scopes.create(request("b", await process(box)))).method == "CreateMachineWithNetwork"

        await box.run(["systemctl", "kill", "--signal=STOP", MACHINED])
        hung = await scopes.create(request("c", await process(box), after=units("b"), limits=Limits(cpu_weight=300)))
        assert hung.method == "StartTransientUnit"
        assert hung.unit == units("c")[0]
        assert await show(box, hung.unit, "CPUWeight") == "300"
        assert await show(box, hung.unit, "Slice") == "machine.slice"
        assert units("b")[0] in (await show(box, hung.unit, "After")).replace("\\\\", "\\")

        await box.run(["systemctl", "kill", "--signal=KILL", MACHINED])
        await box.run(["systemctl", "mask", "--runtime", "--now", MACHINED])
        masked = await scopes.create(request("d", leader := await process(box)))
        assert masked.method == "StartTransientUnit"
        assert (await scopes.create(request("d", leader))).unit == masked.unit


async def test_a_lost_bus_is_opened_again(tmp_path: Path) -> None:
    async with booted(tmp_path) as (box, scopes):
        assert (await scopes.create(request("a", await process(box)))).unit
        await box.run(["systemctl", "restart", "dbus.service"])
        assert (await scopes.create(request("b", await process(box)))).unit
        assert len(await scopes.live_scopes()) == 2


async def test_order_is_mended_in_live_scopes(tmp_path: Path) -> None:
    async with booted(tmp_path) as (box, scopes):
        web = await scopes.create(request("web", pid := await process(box)))
        db = await scopes.create(request("db", await process(box)))
        await scopes.reorder({web.unit: UnitOrder(after=(db.unit,), stop_timeout=77)})
        live = {state.name: state for state in await scopes.live_scopes()}
        assert db.unit in live[web.unit].after
        assert live[web.unit].stop_timeout == 77
        # and taken back: nobody is ordered by db any more
        await scopes.reorder({web.unit: UnitOrder()})
        live = {state.name: state for state in await scopes.live_scopes()}
        assert db.unit not in live[web.unit].after

        dropin = box.path(f"/run/systemd/system/{web.unit}.d/50-virengine-order.conf")
        assert dropin.exists()
        await gone(box, pid, web.unit)
        await scopes.forget(web.unit)
        assert not dropin.parent.exists()
        again = await scopes.create(request("web", await process(box)))
        assert again.unit == web.unit

        # what an engine that died left behind goes with the next change
        stray = box.path("/run/systemd/system/machine-gone.scope.d/50-virengine-order.conf")
        stray.parent.mkdir()
        stray.write_text("[Unit]\n")
        await scopes.reorder({})
        assert not stray.parent.exists()


async def test_doctor_finds_and_mends(tmp_path: Path) -> None:
    async with booted(tmp_path) as (box, scopes):
        expected = install.render_units(["/bin/true"], socket=Path("/run/virengine/api.sock"))
        folder = box.path(install.SYSTEM_DIR)
        web = await scopes.create(request("web", web_pid := await process(box)))
        db = await scopes.create(request("db", db_pid := await process(box)))
        domains = [
            doctor.DomainFacts(
                name="web", unit=web.unit, request=request("web", web_pid, after=(db.unit,), stop_timeout=100)
            ),
            doctor.DomainFacts(name="db", unit=db.unit, request=request("db", db_pid, stop_timeout=10)),
            doctor.DomainFacts(name="free", request=request("free", await process(box)), reason="it was too early"),
        ]

        async def codes(worst_case: float) -> dict[str, list[doctor.Finding]]:
            found: dict[str, list[doctor.Finding]] = {}
            host = await doctor.gather(scopes, expected, folder)
            for finding in doctor.examine(domains, host, worst_case=worst_case):
                found.setdefault(finding.code, []).append(finding)
            return found

        sick = await codes(1000)
        assert {"no-service", "scope-order", "scope-timeout", "no-scope"} <= set(sick)
        assert [finding.subject for finding in sick["scope-order"]] == ["web"]

        host = await doctor.gather(scopes, expected, folder)
        findings = [finding for group in sick.values() for finding in group]
        assert await doctor.repair(findings, domains, host, scopes, worst_case=1000, dry_run=True)
        assert set(await codes(1000)) == set(sick)  # a dry run mends nothing
        done = await doctor.repair(findings, domains, host, scopes, worst_case=1000)
        assert f"scope for free: {units('free')[0]}" in done
        domains[2] = doctor.DomainFacts(name="free", unit=units("free")[0], request=domains[2].request)
        assert set(await codes(1000)) == {"budget", "inhibit-delay"}
        host = await doctor.gather(scopes, expected, folder)
        await doctor.repair(doctor.examine(domains, host, worst_case=1000), domains, host, scopes, worst_case=1000)
        assert set(await codes(1000)) == set()  # logind has read it
        assert await show(box, GUESTS_SERVICE, "TimeoutStopUSec") == "18min 20s"
        assert set(await codes(1101)) == {"budget", "inhibit-delay"}
        await box.run(["systemctl", "stop", GUESTS_SERVICE])
        assert set(await codes(1)) == {"service-inactive"}
        host = await doctor.gather(scopes, expected, folder)
        await doctor.repair(doctor.examine(domains, host, worst_case=1), domains, host, scopes, worst_case=1)
        assert set(await codes(1)) == set()
        await box.run(["systemctl", "disable", GUESTS_SERVICE])
        (folder / GUESTS_SERVICE).write_text("[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/bin/true\n")
        await scopes.reload()
        assert {"service-disabled", "units-outdated", "no-target"} <= set(await codes(1))


#: Run as the user: its bus takes nobody else.
USERS_ENGINE = f"""
import anyio, json, subprocess
from engine.systemd.machines import ScopeManager
from engine.systemd.scope import ScopeRequest, UnitOrder, scope_units

async def main():
    uuid = "{"0" * 8 + "-0000" * 3 + "-" + "0" * 12}"
    processes = [subprocess.Popen(["sleep", "infinity"]) for _ in range(2)]
    async with ScopeManager() as scopes:
        given = await scopes.session_timeout()
        made = []
        for name, after in (("web", scope_units("{URI}", "db", uuid)), ("db", ())):
            leader = processes[len(made)].pid
            facts = {{"domain": name, "uuid": uuid, "connection": "{URI}", "leader": leader, "after": after}}
            made.append(await scopes.create(ScopeRequest(stop_timeout=33, **facts)))
        live = {{state.name: state for state in await scopes.live_scopes()}}
        await scopes.reorder({{made[1].unit: UnitOrder(after=("x.scope",))}})
        mended = {{state.name: state for state in await scopes.live_scopes()}}
    web, db = (info.unit for info in made)
    with open(f"/proc/{{processes[0].pid}}/cgroup") as cgroup:
        where = cgroup.read()
    for process in processes:
        process.kill()
    print(json.dumps([[info.unit, info.method, info.reason] for info in made]))
    print(json.dumps([live[web].stop_timeout, db in live[web].after, "x.scope" in mended[db].after, where, given]))

anyio.run(main)
"""


async def test_a_users_own_service_manager(tmp_path: Path) -> None:
    async with Hostbox.boot(tmp_path) as box:
        await box.run(["useradd", "--create-home", "--uid", "4711", "guestkeeper"])
        await box.run(["systemctl", "start", "user@4711.service"])
        run = "/run/user/4711"
        env = {
            "PYTHONPATH": str(TESTS.parent),
            "XDG_RUNTIME_DIR": run,
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={run}/bus",
        }
        user = ["setpriv", "--reuid=4711", "--regid=4711", "--clear-groups"]
        done = await box.run([*user, sys.executable, "-c", USERS_ENGINE], env=env)
        made, (timeout, ordered, mended, where, given) = map(json.loads, done.stdout.splitlines())
        assert made == [[units(name)[0], "StartTransientUnit", ""] for name in ("web", "db")]
        assert timeout == 33
        assert given == 120  # as systemd's own user@.service says
        assert ordered
        assert mended
        assert "/user@4711.service/machine.slice/machine-" in where
