"""The engine behind a service has the engine's face."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anyio
import pytest
from support.served import DOMAIN, Served, served

from engine import Engine, errors
from engine.errors import (
    ConfigError,
    ConnectionBroken,
    CycleError,
    EngineError,
    InvalidDocument,
    InvalidState,
    NoSuchDomain,
    Problem,
)
from engine.events.types import DomainDefined, Gap
from engine.lifecycle import State
from engine.server.client import RemoteEngine, connect, error_of
from engine.server.listeners import listen, parse_address
from engine.server.problems import problem_of
from engine.server.serving import serve

pytestmark = pytest.mark.anyio

ORDER = "<metadata><o:order xmlns:o='urn:virengine:order:1'><o:requires domain='db'/></o:order></metadata>"


async def test_a_domain_as_the_engine_has_it(server: Served) -> None:
    async with connect(server.path) as engine:
        web = await engine.define(DOMAIN.format("web", "<title>x</title>"))
        assert (web.state, web.persistent, web.connection) == (State.SHUTOFF, True, "test:///default")
        await web.start()
        assert (web.state, web.active) == (State.RUNNING, True)
        await web.wait_ready()
        await web.suspend()
        assert web.state is State.PAUSED
        await web.resume()
        await web.set_autostart()
        assert web.autostart
        assert (await web.definition()).title == "x"
        assert (await web.info()).log is None
        await web.shutdown()
        await web.wait_stopped()
        assert web.state is State.SHUTOFF
        await web.undefine()
        await engine.refresh()
        assert [domain.name for domain in engine.domains()] == ["test"]


async def test_what_goes_wrong_is_the_same_error(server: Served) -> None:
    async with connect(server.path) as engine:
        test = engine.domain("test")
        with pytest.raises(InvalidState) as refused:
            await test.start()
        with pytest.raises(InvalidState) as local:
            await server.engine.domain("test").start()
        assert str(refused.value) == str(local.value)
        assert refused.value.allowed == local.value.allowed
        with pytest.raises(InvalidDocument) as invalid:
            await engine.define(DOMAIN.format("a", "<clok/><clock offset='x'/>"), source="a.xml")
        assert len(invalid.value.problems) == 2
        with pytest.raises(NoSuchDomain):
            engine.domain("nobody")
        with pytest.raises(ConfigError, match=r"a.xml:1: .*not well-formed"):
            await engine.define("<domain", source="a.xml")


async def test_the_order_as_the_engine_has_it(server: Served) -> None:
    async with connect(server.path) as engine:
        await engine.define(DOMAIN.format("db", ""))
        await engine.define(DOMAIN.format("web", ORDER))
        report = await engine.up(["web"])
        assert report.ok
        assert report.done == ("db", "web")
        plan = await engine.plan("down", ["db"])
        assert str(plan) == str(server.engine.plan("down", ["db"]))
        assert plan.to_svg() == server.engine.plan("down", ["db"]).to_svg()
        declared = {each.name: each for each in await engine.declared_order()}
        assert [wait.name for wait in declared["web"].starts_after] == ["db"]
        assert (await engine.drill()).ok
        assert (await engine.down()).ok


async def test_where_nobody_listens(tmp_path: Path) -> None:
    with pytest.raises(ConnectionBroken, match="no such file or directory"):
        async with connect(tmp_path / "none.sock"):
            pass


async def test_a_service_that_goes_away_is_told(tmp_path: Path) -> None:
    async with served(tmp_path) as server:
        path = server.path
        async with connect(path) as engine:
            assert engine.connections == ("test:///default",)
    with pytest.raises(ConnectionBroken):
        async with connect(path):
            pass


async def test_many_domains_of_several_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.server.client.remote._PAGE", 2)
    other = tmp_path / "node.xml"
    other.write_text("<node><domain type='test'><name>test</name><memory>1</memory></domain></node>")
    async with served(tmp_path, "test:///default", f"test://{other}") as server:
        for name in ("a", "b", "c"):
            await server.engine.define(DOMAIN.format(name, ""), connection="test:///default")
            await server.engine.define(DOMAIN.format(name, ""), connection=server.engine.connections[1])
        async with connect(server.path) as engine:
            assert sorted(each.name for each in engine.domains()) == sorted([*"aabbcc", "test", "test"])
            with pytest.raises(ConfigError, match="several connections"):
                engine.domain("a")
            assert engine.domain("a", connection=engine.connections[0]).connection == "test:///default"
            await server.engine.up()
            assert (await engine.down(connections=[f"test://{other}"])).ok
            active = [domain.connection for domain in server.engine.domains() if domain.active]
            assert set(active) == {"test:///default"}
            await server.engine.down()
            assert (await engine.up(connections=[f"test://{other}"])).done == ("a", "b", "c", "test")


async def test_a_state_is_waited_for(server: Served) -> None:
    async with connect(server.path) as engine:
        domain, found = engine.domain("test"), list[State]()

        async def wait(*states: State) -> None:
            found.append(await domain.wait_for(*states))

        mine = server.engine.domain("test")
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait, State.PAUSED, State.SHUTOFF)
                await mine.suspend()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait, State.RUNNING)
                await mine.resume()
            await mine.undefine()  # it is gone with its run
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait, State.SHUTOFF)
                await mine.destroy()
            assert found == [State.PAUSED, State.RUNNING, State.SHUTOFF]
            with pytest.raises(NoSuchDomain):
                await domain.wait_for(State.RUNNING)


SAMPLES: dict[type[EngineError], EngineError] = {
    errors.ConfigError: errors.ConfigError("is wrong", source="a.xml", line=3),
    errors.InvalidDocument: errors.InvalidDocument([Problem(line=2, xpath="/domain", reason="no")], source="b.xml"),
    errors.UnsupportedConfig: errors.UnsupportedConfig("<sound>", "not here"),
    errors.CycleError: CycleError(["a", "b", "a"]),
    errors.UnknownDomain: errors.UnknownDomain("db", "web"),
    errors.NoSuchDomain: NoSuchDomain("web", "at test:///default"),
    errors.DomainExists: errors.DomainExists("web", "u-u-i-d"),
    errors.InvalidState: InvalidState("start", "running", ["shutdown", "destroy"], domain="web"),
    errors.StateDirLocked: errors.StateDirLocked("/var", "pid 5"),
    errors.StoreError: errors.StoreError("/var", "disk full"),
    errors.StartFailed: errors.StartFailed("web", "no disk"),
    errors.NotSupported: errors.NotSupported("test", "save"),
    errors.DependencyFailed: errors.DependencyFailed("web", "db", "no disk"),
    errors.GateFailed: errors.GateFailed("web", "tcp", 30.0, "refused"),
    errors.CommandTimeout: errors.CommandTimeout("web", 3.0),
    errors.ResyncRequired: errors.ResyncRequired(5, 9),
    errors.EngineClosed: errors.EngineClosed(),
}


@pytest.mark.parametrize("cls", SAMPLES)
async def test_every_error_comes_over_the_wire_as_it_was(cls: Any) -> None:
    import msgspec

    sample = SAMPLES[cls]
    again = error_of(msgspec.json.encode(problem_of(sample)))
    assert type(again) is cls
    assert str(again) == str(sample)


async def test_a_wait_is_cancelled(server: Served) -> None:
    async with connect(server.path) as engine:
        with anyio.move_on_after(0.05) as within:
            await engine.domain("test").wait_stopped()
        assert within.cancelled_caught
        assert isinstance(engine, RemoteEngine)
        await engine.refresh()


async def test_a_subscription_that_lasts_goes_on_with_the_next_service(tmp_path: Path) -> None:
    """Nothing is missed and nothing told twice, though nothing had been told yet when the first one went."""
    there: list[bool] = []
    path = tmp_path / "api.sock"
    state: dict[str, Any] = {"state_dir": tmp_path / "state", "systemd": False, "on_close": "leave"}

    @contextlib.asynccontextmanager
    async def service() -> AsyncIterator[Engine]:
        async with Engine("test:///default", **state) as engine:
            with listen(parse_address(f"unix:{path}")) as sock:
                async with anyio.create_task_group() as tasks:
                    await tasks.start(lambda *, task_status: serve(engine, [sock], task_status=task_status))
                    yield engine
                    tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks, contextlib.AsyncExitStack() as stack:
        async with service() as first:
            remote = await stack.enter_async_context(connect(path))
            events = await stack.enter_async_context(
                remote.subscribe(DomainDefined, policy="block", lasting=True, told=there.append)
            )
            await first.define(DOMAIN.format("a", ""))
            assert (await anext(events)).domain == "a"  # type: ignore[attr-defined]
            await first.define(DOMAIN.format("b", ""))
            await first.bus.journal.flush()
        found: list[str] = []

        async def read() -> None:
            while len(found) < 3:
                found.append((await anext(events)).domain)  # type: ignore[attr-defined]

        tasks.start_soon(read)
        async with Engine("test:///default", **state) as quiet:  # nobody is served meanwhile
            await quiet.define(DOMAIN.format("c", ""))
        async with service() as second:
            await second.define(DOMAIN.format("d", ""))
            with anyio.fail_after(10):
                while len(found) < 3:
                    await anyio.sleep(0.01)
    assert found == ["b", "c", "d"]
    assert there == [True, False, True]


async def test_what_is_no_longer_kept_is_told_as_a_gap_to_who_comes_back(server: Served) -> None:
    async with connect(server.path) as engine, engine.subscribe(DomainDefined, policy="block", lasting=True) as events:
        events._since = "gone/3"
        await events._close()
        gap = await anext(events)
        assert isinstance(gap, Gap)
        assert gap.missed == 1  # one at least: how many nobody knows
        with pytest.raises(errors.ResyncRequired) as raised:
            async with engine.subscribe(since="gone/3"):
                pass
    journal = server.engine.bus.journal
    assert raised.value.snapshot == f"{journal.epoch}/{journal.newest}"
