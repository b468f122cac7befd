"""The host goes down or sleeps, as a logind of the test's own says, on a real bus."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.dbus import Daemon, private_bus

from engine.core import Engine
from engine.errors import DBusError
from engine.events.types import DomainResumed, DomainStarted, DomainStopped, DomainSuspended, LifecycleEvent
from engine.hostpower import HostPower
from engine.lifecycle import State
from engine.util.dbus import Message, UnixFd, Variant, open_bus

LOGIND = "org.freedesktop.login1"
PATH = "/org/freedesktop/login1"
MANAGER = f"{LOGIND}.Manager"
DOMAIN = """<domain type='test'><name>{name}</name><memory>1024</memory><os><type>hvm</type></os><metadata>
  <guest xmlns='urn:virengine:test:1' agent='no'/>
  <order:order xmlns:order='urn:virengine:order:1'>{order}</order:order>
</metadata></domain>"""

pytestmark = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="dbus-daemon is not installed")


class Logind:
    """As much of it as inhibitors take."""

    def __init__(self) -> None:
        self.inhibitors: list[tuple[Any, ...]] = []
        self.ends: list[int] = []  # ours of the pipes whose other ends were given away
        self.taken = anyio.Event()
        self.preparing = {"PreparingForShutdown": False, "PreparingForSleep": False}

    @asynccontextmanager
    async def serve(self, address: str) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            self.bus = await stack.enter_async_context(open_bus(address))
            await stack.enter_async_context(self.bus.export(PATH, MANAGER, self._manager))
            await stack.enter_async_context(self.bus.export(PATH, "org.freedesktop.DBus.Properties", self._properties))
            await stack.enter_async_context(self.bus.own_name(LOGIND))
            yield
        while self.ends:
            os.close(self.ends.pop())

    async def _manager(self, call: Message) -> tuple[str, list[Any]]:
        if self.preparing["PreparingForShutdown"]:
            raise DBusError(f"{LOGIND}.OperationInProgress", "it is too late")
        self.inhibitors.append(call.body)
        read, write = os.pipe()
        os.set_blocking(read, False)
        self.ends.append(read)
        self.taken.set()
        return "h", [UnixFd(write)]  # closed here as soon as it has left

    async def _properties(self, call: Message) -> tuple[str, list[Any]]:
        return "v", [Variant("b", self.preparing[call.body[1]])]

    async def wait_taken(self) -> None:
        await self.taken.wait()
        self.taken = anyio.Event()

    async def wait_released(self) -> None:
        await anyio.wait_readable(self.ends[-1])
        assert os.read(self.ends[-1], 1) == b""

    async def prepare(self, what: str, begins: bool) -> None:
        self.preparing[f"PreparingFor{what}"] = begins
        await self.bus.emit(PATH, MANAGER, f"PrepareFor{what}", "b", [begins])


@pytest.fixture
def daemon(tmp_path: Path) -> Any:
    with private_bus(tmp_path) as found:
        yield found


@asynccontextmanager
async def host(daemon: Daemon, folder: Path, *defined: tuple[str, str]) -> AsyncIterator[tuple[Engine, Logind]]:
    """An engine with these domains, names and what they declare."""
    (folder / "node.xml").write_text("<node/>")
    logind = Logind()
    async with Engine(f"test://{folder}/node.xml", state_dir=folder / "state", systemd=False) as engine:
        for name, order in defined:
            if not any(domain.name == name for domain in engine.domains()):
                await engine.define(DOMAIN.format(name=name, order=order))
        with anyio.fail_after(30):
            async with logind.serve(daemon.address):
                yield engine, logind


async def until(engine: Engine, holds: Callable[[], bool]) -> None:
    async with engine.subscribe(LifecycleEvent) as changes:
        while not holds():
            await anext(changes)


def names(events: list[Any], kind: type[Any]) -> list[str]:
    return [event.domain for event in events if isinstance(event, kind)]


STACK = (("db", ""), ("app", "<order:requires domain='db'/>"), ("web", "<order:requires domain='app'/>"))


async def test_it_is_held_while_domains_run(daemon: Daemon, tmp_path: Path) -> None:
    async with host(daemon, tmp_path, *STACK) as (engine, logind), HostPower(engine, address=daemon.address) as power:
        db, app = engine.domain("db"), engine.domain("app")
        await db.start()
        await logind.wait_taken()
        ((what, who, why, mode),) = logind.inhibitors
        assert (what, who, mode) == ("shutdown:sleep", "virengine", "delay")
        assert why
        await app.start()
        await db.destroy()
        assert power.inhibitor.held
        await app.destroy()
        await logind.wait_released()
        assert len(logind.inhibitors) == 1


async def test_the_plan_begins_at_once_and_is_waited_for(daemon: Daemon, tmp_path: Path) -> None:
    async with host(daemon, tmp_path, *STACK) as (engine, logind), HostPower(engine, address=daemon.address):
        await engine.up()
        await logind.wait_taken()
        async with engine.subscribe(DomainStopped, DomainStarted) as seen:
            await logind.prepare("Shutdown", True)
            await logind.wait_released()
            assert not any(domain.active for domain in engine.domains())
            await logind.prepare("Shutdown", False)  # it did not come to it
            await logind.wait_taken()
            await until(engine, lambda: all(domain.active for domain in engine.domains()))
            events = [await anext(seen) for _ in range(6)]
        assert names(events[:3], DomainStopped) == ["web", "app", "db"]
        assert names(events[3:], DomainStarted) == ["db", "app", "web"]


async def test_domains_sleep_as_they_declare_and_are_brought_back_in_order(daemon: Daemon, tmp_path: Path) -> None:
    declared = (
        ("db", "<order:sleep method='save'/>"),
        ("app", "<order:requires domain='db'/>"),
        ("web", "<order:requires domain='app'/><order:sleep method='nothing'/>"),
        ("lb", "<order:requires domain='web'/>"),
        ("idle", ""),
    )
    async with host(daemon, tmp_path, *declared) as (engine, logind), HostPower(engine, address=daemon.address):
        await engine.up()
        await engine.domain("idle").suspend()
        await logind.wait_taken()
        async with engine.subscribe(LifecycleEvent) as seen:
            await logind.prepare("Sleep", True)
            await logind.wait_released()
            states = {domain.name: domain.state for domain in engine.domains()}
            assert states == {
                "db": State.SHUTOFF,
                "app": State.PAUSED,
                "web": State.RUNNING,
                "lb": State.PAUSED,
                "idle": State.PAUSED,
            }
            await logind.prepare("Sleep", False)
            await logind.wait_taken()
            await until(engine, lambda: engine.domain("lb").state is State.RUNNING)
            events = [await anext(seen) for _ in range(6)]
        assert names(events[:3], DomainSuspended) == ["lb", "app"]
        assert names(events[:3], DomainStopped) == ["db"]
        assert names(events[3:], DomainStarted) == ["db"]
        assert names(events[3:], DomainResumed) == ["app", "lb"]
        assert [event.domain for event in events[3:]] == ["db", "app", "lb"]
        assert engine.domain("idle").state is State.PAUSED  # it was so before


async def test_the_next_engine_wakes_what_the_last_one_put_to_sleep(daemon: Daemon, tmp_path: Path) -> None:
    async with host(daemon, tmp_path, *STACK) as (engine, logind), HostPower(engine, address=daemon.address):
        await engine.up()
        await logind.wait_taken()
        await logind.prepare("Sleep", True)
        await logind.wait_released()
    async with host(daemon, tmp_path) as (engine, logind):
        assert {domain.state for domain in engine.domains()} == {State.PAUSED}
        await engine.domain("web").resume()  # somebody did so meanwhile
        await engine.domain("web").suspend()
        async with HostPower(engine, address=daemon.address):
            await until(engine, lambda: all(domain.state is State.RUNNING for domain in engine.domains()))
            while await engine.store.load_record("sleep") is not None:
                await anyio.sleep(0.01)  # of a file nothing tells


async def test_a_bus_that_is_not_there_is_said_once_and_one_that_comes_is_used(
    daemon: Daemon, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.systemd.inhibitor._SOON", 0.01)
    monkeypatch.setattr("engine.systemd.inhibitor._LATE", 0.01)
    caplog.set_level(logging.INFO, "engine.systemd")
    place = daemon.address.partition(",guid=")[0]  # the next one is another
    async with host(daemon, tmp_path, *STACK) as (engine, logind), HostPower(engine, address=place):
        await engine.domain("db").start()
        await logind.wait_taken()
        daemon.stop()
        with anyio.fail_after(30):
            while not caplog.records:
                await anyio.sleep(0.01)  # of a log nothing tells
        daemon.start()
        again = Logind()
        again.preparing["PreparingForSleep"] = True  # meanwhile
        async with again.serve(daemon.address):
            await until(engine, lambda: engine.domain("db").state is State.PAUSED)
            await again.prepare("Sleep", False)
            await again.wait_taken()
        assert len([record for record in caplog.records if "won't wait for guests" in record.message]) == 1
