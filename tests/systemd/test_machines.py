"""The way into a scope against a systemd and machined made to misbehave, on a real bus of the test's own."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import anyio
import pytest
from support.dbus import Daemon, private_bus

from engine.errors import CommandTimeout, DBusError, ScopeError
from engine.systemd import machines
from engine.systemd.limits import Limits
from engine.systemd.machines import ScopeManager
from engine.systemd.scope import ScopeRequest, UnitOrder, scope_units
from engine.util.dbus import Bus, Message, Variant, open_bus

SYSTEMD = "org.freedesktop.systemd1"
MACHINED = "org.freedesktop.machine1"
PROPERTIES = "org.freedesktop.DBus.Properties"
ERROR = "org.freedesktop.DBus.Error."
URI = "qemu:///system"
UUID = "c7a5fdbd-edaf-9455-926a-d65c16db1809"

pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="dbus-daemon is not installed")


class FakeHost:
    """systemd and machined, as much of them as a scope needs; the attributes make them misbehave."""

    def __init__(self) -> None:
        self.units: dict[str, dict[str, Any]] = {}
        self.machines: dict[str, str] = {}
        self.calls: list[str] = []
        self.unknown: set[str] = set()  # members that are not there
        self.errors: dict[str, DBusError] = {}  # by member
        self.hung: set[str] = set()
        self.answer: anyio.Event | None = None  # ends the hanging
        self.unreadable: DBusError | Callable[[], None] | None = None  # what comes of reading a unit
        self.bad_properties: dict[str, str] = {}  # property: the words of the refusal
        self.job_result = "done"
        self.reached = anyio.Event()
        self.reloads = 0
        self.seconds = 0.0  # that a machine takes, one after the other
        self.busy = anyio.Lock()
        self._numbers = itertools.count()

    @asynccontextmanager
    async def serve(self, address: str, *, machined: bool = True, systemd: bool = True) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            self.bus: Bus = await stack.enter_async_context(open_bus(address))
            self.stack = stack
            export, own = self.bus.export, self.bus.own_name
            if systemd:
                await stack.enter_async_context(
                    export("/org/freedesktop/systemd1", f"{SYSTEMD}.Manager", self._manager)
                )
                await stack.enter_async_context(export("/org/freedesktop/systemd1", PROPERTIES, self._host))
                await stack.enter_async_context(own(SYSTEMD))
            if machined:
                await stack.enter_async_context(
                    export("/org/freedesktop/machine1", f"{MACHINED}.Manager", self._manager)
                )
                await stack.enter_async_context(own(MACHINED))
            yield

    async def _manager(self, call: Message) -> tuple[str, list[Any]] | None:
        member, body = str(call.member), call.body
        self.calls.append(member)
        if member in self.unknown:
            raise DBusError(ERROR + "UnknownMethod", f"Unknown method {member}")
        if member in self.errors:
            raise self.errors[member]
        if member in self.hung:
            self.reached.set()
            await (self.answer.wait() if self.answer else anyio.sleep_forever())
        return await getattr(self, member)(*body)

    async def CreateMachineWithNetwork(self, name: str, *rest: Any) -> tuple[str, list[Any]]:
        return await self._machine(name, rest[3], rest[-1])

    async def CreateMachine(self, name: str, *rest: Any) -> tuple[str, list[Any]]:
        return await self._machine(name, rest[3], rest[-1])

    async def GetMachine(self, name: str) -> tuple[str, list[Any]]:
        if name not in self.machines:
            raise DBusError(f"{MACHINED}.NoSuchMachine")
        return "o", ["/m"]

    async def _machine(self, name: str, leader: int, properties: list[Any]) -> tuple[str, list[Any]]:
        from engine.systemd.scope import scope_unit

        async with self.busy:
            await anyio.sleep(self.seconds)
        if name in self.machines:
            raise DBusError(f"{MACHINED}.MachineExists", f"Machine '{name}' already exists")
        await self._unit(scope_unit(name), [*properties, ("PIDs", Variant("au", [leader]))])
        self.machines[name] = unit = scope_unit(name)

        async def machine(_call: Message) -> tuple[str, list[Any]]:
            return "v", [Variant("s", unit)]

        path = f"/org/freedesktop/machine1/m{next(self._numbers)}"
        await self.stack.enter_async_context(self.bus.export(path, PROPERTIES, machine))
        return "o", [path]

    async def _unit(self, name: str, properties: list[Any]) -> str:
        if name in self.units:
            raise DBusError(f"{SYSTEMD}.UnitExists", f"Unit {name} was already loaded or has a fragment file.")
        given = {key: variant.value for key, variant in properties}
        for key, words in self.bad_properties.items():
            if key in given and given[key] != "machine.slice":
                raise DBusError(ERROR + "PropertyReadOnly", words)
        path = f"/org/freedesktop/systemd1/unit/u{next(self._numbers)}"
        self.units[name] = {"path": path, "ActiveState": "active", **given}

        async def unit(call: Message) -> tuple[str, list[Any]]:
            facts = self.units.get(name)
            if facts is None:
                raise DBusError(ERROR + "UnknownObject")
            if isinstance(self.unreadable, DBusError):
                raise self.unreadable
            if self.unreadable is not None:
                self.unreadable()
            if call.member == "GetAll":
                shown = {"Id": name, "LoadState": "loaded", "ActiveState": facts["ActiveState"]}
                lists = {key: facts.get(key, []) for key in ("After", "Before")}
                both = [(key, Variant("s", value)) for key, value in shown.items()]
                return "a{sv}", [dict([*both, *((key, Variant("as", value)) for key, value in lists.items())])]
            if call.body[1] == "ActiveState":
                return "v", [Variant("s", facts["ActiveState"])]
            return "v", [Variant("t", facts.get("TimeoutStopUSec", 90_000_000))]

        await self.stack.enter_async_context(self.bus.export(path, PROPERTIES, unit))
        return path

    async def StartTransientUnit(
        self, name: str, _mode: str, properties: list[Any], _aux: list[Any]
    ) -> tuple[str, list[Any]]:
        await self._unit(name, properties)
        # the noise of other jobs, before and after
        for job, result in (("/j/0", "failed"), (f"/j/{name.encode().hex()}", self.job_result), ("/j/2", "failed")):
            await self.bus.emit(
                "/org/freedesktop/systemd1", f"{SYSTEMD}.Manager", "JobRemoved", "uoss", [1, job, name, result]
            )
        if self.job_result != "done":
            del self.units[name]
        return "o", [f"/j/{name.encode().hex()}"]

    async def Subscribe(self) -> None:
        if self.calls.count("Subscribe") > 1:
            raise DBusError(f"{SYSTEMD}.AlreadySubscribed", "Client is already subscribed.")

    async def Reload(self) -> None:
        self.reloads += 1

    async def GetUnit(self, name: str) -> tuple[str, list[Any]]:
        if name not in self.units:
            raise DBusError(f"{SYSTEMD}.NoSuchUnit")
        return "o", [self.units[name]["path"]]

    LoadUnit = GetUnit

    async def GetUnitByPID(self, pid: int) -> tuple[str, list[Any]]:
        for facts in self.units.values():
            if pid in facts.get("PIDs", ()):
                return "o", [facts["path"]]
        raise DBusError(f"{SYSTEMD}.NoUnitForPID")

    async def GetUnitProcesses(self, name: str) -> tuple[str, list[Any]]:
        return "a(sus)", [[("/", pid, "qemu") for pid in self.units[name].get("PIDs", ())]]

    async def ResetFailedUnit(self, name: str) -> None:
        del self.units[name]

    async def ListUnitsByPatterns(self, _states: list[str], _patterns: list[str]) -> tuple[str, list[Any]]:
        rows = [
            (name, "", "loaded", "active", "running", "", facts["path"], 0, "", "/")
            for name, facts in self.units.items()
        ]
        return "a(ssssssouso)", [rows]

    async def _host(self, call: Message) -> tuple[str, list[Any]]:
        return "v", [Variant("t", 90_000_000)]

    async def end(self, name: str, unit: str) -> None:
        """A scope ends: systemd tells, then machined."""
        path = self.units.pop(unit)["path"]
        await self.bus.emit(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", [f"{SYSTEMD}.Unit", {}, []])
        self.machines.pop(name, None)
        await self.bus.emit("/org/freedesktop/machine1", f"{MACHINED}.Manager", "MachineRemoved", "so", [name, "/m"])


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(mkdtemp(prefix="sd-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    with private_bus(folder) as bus:
        yield bus


def manager(daemon: Daemon, folder: Path, **options: Any) -> ScopeManager:
    address = daemon.address.partition(",guid=")[0]  # a bus that was started again is another one
    return ScopeManager(**{"user": False, "address": address, "runtime_dir": folder, "timeout": 10.0, **options})


def request(name: str = "web", leader: int = 100, **fields: Any) -> ScopeRequest:
    return ScopeRequest(domain=name, uuid=UUID, connection=URI, leader=leader, **fields)


UNIT, SECOND = scope_units(URI, "web", UUID)
LIMITS = Limits(cpu_weight=200, memory_max=1 << 30)


@pytest.mark.parametrize(
    ("unknown", "machined", "method"),
    [
        (set(), True, "CreateMachineWithNetwork"),
        ({"CreateMachineWithNetwork"}, True, "CreateMachine"),
        ({"CreateMachineWithNetwork", "CreateMachine"}, True, "StartTransientUnit"),
        (set(), False, "StartTransientUnit"),
    ],
)
async def test_chain(daemon: Daemon, folder: Path, unknown: set[str], machined: bool, method: str) -> None:
    host = FakeHost()
    host.unknown = unknown
    async with host.serve(daemon.address, machined=machined), manager(daemon, folder) as scopes:
        info = await scopes.create(request(after=("a.scope",), before=("b.scope",), stop_timeout=5, limits=LIMITS))
        assert (info.unit, info.method, info.reason) == (UNIT, method, "")
        unit = host.units[UNIT]
        assert unit["After"] == ["a.scope"]
        assert unit["Before"] == ["virt-guest-shutdown.target", "b.scope"]
        assert unit["TimeoutStopUSec"] == 5_000_000
        assert unit["MemoryMax"] == 1 << 30
        assert unit["PIDs"] == [100]


async def test_the_user_manager_is_asked_for_a_transient_unit_only(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    async with host.serve(daemon.address), manager(daemon, folder, user=True) as scopes:
        assert (await scopes.create(request())).method == "StartTransientUnit"
        assert not {"CreateMachine", "CreateMachineWithNetwork"} & set(host.calls)


async def test_nobody_there_says_why(daemon: Daemon, folder: Path) -> None:
    async with manager(daemon, folder) as scopes:
        info = await scopes.create(request())
        assert (info.unit, info.method) == ("", "")
        assert "machined: " in info.reason
        assert "systemd: " in info.reason
    async with manager(daemon, folder, address=f"unix:path={folder}/nothing") as scopes:
        assert "nothing" in (await scopes.create(request())).reason
        with pytest.raises(ScopeError):
            await scopes.live_scopes()
    async with manager(daemon, folder, runtime_dir=folder / "unbooted") as scopes:
        assert "unbooted" in (await scopes.create(request())).reason
        with pytest.raises(ScopeError, match="unbooted"):
            await scopes.reload()


async def test_refused_everywhere(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    denied = DBusError(ERROR + "AccessDenied", "not you")
    host.errors = {"CreateMachineWithNetwork": denied, "StartTransientUnit": denied, "Reload": denied}
    async with host.serve(daemon.address), manager(daemon, folder) as scopes:
        info = await scopes.create(request())
        assert info.unit == ""
        assert info.reason.count("not you") == 2
        with pytest.raises(ScopeError, match="not you"):
            await scopes.reload()


async def test_a_hung_machined_holds_nothing_up(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    host.hung = {"CreateMachineWithNetwork"}
    async with host.serve(daemon.address), manager(daemon, folder, timeout=1.0) as scopes:
        assert (await scopes.create(request())).method == "StartTransientUnit"
        # the next does not wait for it at all
        assert (await scopes.create(request("db", leader=2))).method == "StartTransientUnit"
        assert host.calls.count("CreateMachineWithNetwork") == 1


async def test_all_hung(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    host.hung = {"CreateMachineWithNetwork", "StartTransientUnit", "ListUnitsByPatterns"}
    async with host.serve(daemon.address), manager(daemon, folder, timeout=0.4) as scopes:
        info = await scopes.create(request())
        assert info.unit == ""
        assert info.reason == "machined did not answer within 0.2 s; systemd did not answer within 0.2 s"
        with pytest.raises(CommandTimeout):
            await scopes.live_scopes()
        assert (await scopes.create(request())).reason.count("did not answer a moment ago") == 2


async def test_a_stall_is_soon_over(daemon: Daemon, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both hang for a moment: the guests that start after it have scopes again."""
    assert machines._PAUSE <= 5.0
    monkeypatch.setattr(machines, "_PAUSE", 0.05)
    host = FakeHost()
    host.hung = {"CreateMachineWithNetwork", "StartTransientUnit"}
    async with host.serve(daemon.address), manager(daemon, folder, timeout=1.0) as scopes:
        assert (await scopes.create(request())).unit == ""
        host.hung.clear()
        with anyio.fail_after(20):
            while not (info := await scopes.create(request())).unit:
                assert "a moment ago" in info.reason
        assert info.method == "CreateMachineWithNetwork"


async def test_who_is_answered_ends_the_pause_for_all(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    host.hung = {"CreateMachineWithNetwork"}
    async with host.serve(daemon.address), manager(daemon, folder) as scopes:
        host.answer = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scopes.create, request())
            await host.reached.wait()
            scopes._passed_over["machined"] = anyio.current_time() + 3600  # another one gave up waiting
            host.answer.set()
        assert (await scopes.create(request("db", leader=2))).method == "CreateMachineWithNetwork"


@pytest.mark.parametrize("error", [DBusError(ERROR + "AccessDenied", "not you"), None])
async def test_units_that_can_not_be_read_are_one_error(daemon: Daemon, folder: Path, error: DBusError | None) -> None:
    """Refused, and with the bus lost: never a group of errors, which no ``except EngineError`` would see."""
    host = FakeHost()
    async with host.serve(daemon.address), manager(daemon, folder) as scopes:
        for number in range(3):
            await scopes.create(request(f"web{number}", leader=number + 1))
        host.unreadable = error or daemon.stop
        with pytest.raises(DBusError if error else ScopeError) as caught:
            await scopes.live_scopes()
        if error:
            assert str(caught.value).endswith("not you")


async def test_a_host_that_is_only_busy_is_waited_for(daemon: Daemon, folder: Path) -> None:
    """All together take longer than one is given."""
    host = FakeHost()
    host.seconds = 0.02
    found: list[str] = []

    async def start(number: int) -> None:
        found.append((await scopes.create(request(f"web{number}", leader=1000 + number))).method)

    async with (
        host.serve(daemon.address),
        manager(daemon, folder, timeout=2.0) as scopes,
        anyio.create_task_group() as tasks,
    ):
        for number in range(60):
            tasks.start_soon(start, number)
    assert found == ["CreateMachineWithNetwork"] * 60


async def test_a_failed_job_is_told(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    host.job_result = "failed"
    async with host.serve(daemon.address, machined=False), manager(daemon, folder) as scopes:
        assert "the job ended as 'failed'" in (await scopes.create(request())).reason


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        ("Cannot set property CPUWeight, or unknown property.", {"CPUWeight"}),
        ("no", {"CPUWeight", "MemoryMax", "Description", "Delegate", "CollectMode", "TasksMax"}),
    ],
)
async def test_a_refused_property_is_left_out(daemon: Daemon, folder: Path, words: str, left_out: set[str]) -> None:
    host = FakeHost()
    host.bad_properties = {"CPUWeight": words}
    async with host.serve(daemon.address, machined=False), manager(daemon, folder) as scopes:
        info = await scopes.create(request(limits=LIMITS, after=("db.scope",)))
        assert info.unit == UNIT
        assert info.reason == f"made without {', '.join(sorted(left_out))}: the host refuses it"
        assert not left_out & set(host.units[UNIT])
        assert host.units[UNIT]["After"] == ["db.scope"]


async def test_a_refused_slice_falls_back_to_machine_slice(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    host.bad_properties = {"Slice": "Slice is not for you"}
    async with host.serve(daemon.address), manager(daemon, folder) as scopes:
        info = await scopes.create(request(partition="/machine/x"))
        assert info.reason == "made without Slice: the host refuses it"
        assert host.units[UNIT]["Slice"] == "machine.slice"


async def test_what_can_not_be_done_without_is_not_left_out(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    host.bad_properties = {"After": "After can't be"}
    async with host.serve(daemon.address), manager(daemon, folder) as scopes:
        assert "After can't be" in (await scopes.create(request())).reason


async def test_a_name_in_use_gives_another(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    async with host.serve(daemon.address), manager(daemon, folder) as scopes:
        assert (await scopes.create(request(leader=1))).unit == UNIT
        assert (await scopes.create(request(leader=2))).unit == SECOND
        third = await scopes.create(request(leader=3))
        assert third.unit.startswith(r"machine-virengine\x2d")
        assert (await scopes.create(request(leader=2))).unit == SECOND  # in it already
        taken = await scopes.create(request(leader=3, interfaces=(1,)))
        assert taken.unit == third.unit


async def test_a_scope_about_to_go_is_waited_for(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    async with host.serve(daemon.address), manager(daemon, folder) as scopes, anyio.create_task_group() as tasks:
        await scopes.create(request(leader=1))
        host.units[UNIT].update(PIDs=[], ActiveState="deactivating")
        found = []

        async def start() -> None:
            found.append((await scopes.create(request(leader=2))).unit)

        tasks.start_soon(start)
        while "GetUnit" not in host.calls:
            await anyio.wait_all_tasks_blocked()
        await host.end("qemu-web", UNIT)
    assert found == [UNIT]


async def test_a_failed_scope_is_cleared_away(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    async with host.serve(daemon.address, machined=False), manager(daemon, folder) as scopes:
        await scopes.create(request(leader=1))
        host.units[UNIT].update(PIDs=[], ActiveState="failed")
        assert (await scopes.create(request(leader=2))).unit == UNIT


async def test_the_bus_is_lost_and_opened_again(daemon: Daemon, folder: Path) -> None:
    async with manager(daemon, folder) as scopes:
        async with FakeHost().serve(daemon.address):
            assert (await scopes.create(request())).unit == UNIT
        daemon.stop()
        assert (await scopes.create(request())).unit == ""
        (folder / "bus").unlink(missing_ok=True)
        daemon.start()
        async with FakeHost().serve(daemon.address):
            assert (await scopes.create(request())).unit == UNIT


async def test_the_bus_is_lost_while_it_answers(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    host.hung = {"CreateMachineWithNetwork"}
    found = []

    async def start() -> None:
        found.append(await scopes.create(request()))

    async with host.serve(daemon.address), manager(daemon, folder) as scopes, anyio.create_task_group() as tasks:
        tasks.start_soon(start)
        await host.reached.wait()
        daemon.stop()
    assert found[0].unit == ""
    assert "bus" in found[0].reason


async def test_a_cancelled_start_leaves_the_manager_whole(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    host.hung = {"CreateMachineWithNetwork"}
    async with host.serve(daemon.address), manager(daemon, folder) as scopes:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scopes.create, request())
            await host.reached.wait()
            tasks.cancel_scope.cancel()
        host.hung.clear()
        assert (await scopes.create(request())).unit == UNIT


async def test_many_at_once(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    found: set[str] = set()

    async def start(number: int) -> None:
        found.add((await scopes.create(request(f"web{number}", leader=1000 + number))).unit)

    async with host.serve(daemon.address, machined=False), manager(daemon, folder) as scopes:
        async with anyio.create_task_group() as tasks:
            for number in range(40):
                tasks.start_soon(start, number)
        assert found == set(host.units)
        assert len(found) == 40
        assert len(await scopes.live_scopes()) == 40
        assert await scopes.inhibit_delay() is None


async def test_reorder_writes_drop_ins_and_reloads_once(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    async with host.serve(daemon.address), manager(daemon, folder) as scopes:
        for number, name in enumerate(("a", "b")):
            await scopes.create(request(name, leader=number + 1))
        units = list(host.units)
        await scopes.reorder({unit: UnitOrder(after=("x.scope",)) for unit in units})
        dropins = [folder / "system" / f"{unit}.d" / "50-virengine-order.conf" for unit in units]
        assert all("After=x.scope" in path.read_text() for path in dropins)
        assert host.reloads == 1
        await scopes.forget(units[0])
        await scopes.forget("")
        assert not dropins[0].parent.exists()
        assert dropins[1].exists()


async def test_scopes_are_ordered_after_the_engines_own_service(daemon: Daemon, folder: Path) -> None:
    host = FakeHost()
    async with host.serve(daemon.address), manager(daemon, folder, engine_unit="virengined.service") as scopes:
        await scopes.create(request(after=("db.scope",)))
        assert host.units[UNIT]["After"] == ["virengined.service", "db.scope"]


async def test_closed_twice_and_asked_afterwards(daemon: Daemon, folder: Path) -> None:
    scopes = manager(daemon, folder)
    async with FakeHost().serve(daemon.address):
        async with scopes:
            assert (await scopes.create(request())).unit == UNIT
        await scopes.aclose()
        assert "closed" in (await scopes.create(request())).reason
