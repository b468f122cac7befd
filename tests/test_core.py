"""The engine as an embedder meets it, on the in-memory driver."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from engine import (
    CommandFailed,
    ConfigError,
    Domain,
    DomainDefined,
    DomainEvent,
    DomainExists,
    DomainHandle,
    DomainStarted,
    DomainStopped,
    DriverError,
    Engine,
    EngineClosed,
    EngineError,
    InvalidState,
    LifecycleEvent,
    NoSuchConnection,
    NoSuchDomain,
    NoSuchDriver,
    State,
)
from engine.drivers.test import TestDriver
from engine.errors import InvalidDocument, Problem
from engine.events.commands import DomainCommand, StartDomain

DEFAULT = "test:///default"


def xml(name: str, extra: str = "", type: str = "test") -> str:
    return f"<domain type='{type}'><name>{name}</name>{extra}</domain>"


def memory(*uris: str) -> Engine:
    return Engine(*(uris or (DEFAULT,)), on_close="leave", systemd=False)


def the_driver(engine: Engine) -> TestDriver:
    driver = engine.driver()
    assert isinstance(driver, TestDriver)
    return driver


# ---------------------------------------------------------------------------- open and close


async def test_an_error_in_the_body_comes_out_as_it_is() -> None:
    with pytest.raises(NoSuchDomain, match="no domain 'ghost'"):
        async with memory() as engine:
            engine.domain("ghost")


async def test_a_closed_engine_says_so() -> None:
    engine = memory()
    with pytest.raises(EngineClosed):
        engine.domain("test")
    async with engine:
        test = engine.domain("test")
    await engine.aclose()
    for use in (lambda: engine.domain("test"), lambda: engine.subscribe(DomainEvent)):
        with pytest.raises(EngineClosed):
            use()
    with pytest.raises(EngineClosed):
        await engine.define(xml("web"))
    with pytest.raises(EngineClosed):
        await test.suspend()
    with pytest.raises(EngineClosed):
        async with engine:
            pass


async def test_a_wrong_document_is_explained_beside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """That loads a library, and takes a second the first time."""
    asked: list[bool] = []

    def explain(root: object, kind: str) -> list[Problem]:
        asked.append(threading.current_thread() is threading.main_thread())
        return []

    monkeypatch.setattr("engine.conf.examining.why_refused", explain)
    async with memory() as engine:
        await engine.define(xml("web"))
        with pytest.raises(InvalidDocument, match="unknown <clok>"):
            await engine.define(xml("odd").replace("</name>", "</name><clok/>"))
    assert asked == [False]


async def test_closing_is_prompt_when_the_caller_is_cancelled() -> None:
    with anyio.move_on_after(5) as scope:
        async with memory() as engine:
            await engine.define(xml("web"))
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    with pytest.raises(EngineClosed):
        engine.domain("web")


@pytest.mark.parametrize(
    ("uris", "error", "says"),
    [
        (("tset:///default",), NoSuchDriver, "did you mean 'test'?"),
        (("default",), ConfigError, "it has no scheme"),
        (("test:///",), ConfigError, "names neither /default nor a file"),
        (("test:///no/such/file",), ConfigError, "/no/such/file: no such file"),
        ((DEFAULT, DEFAULT), ConfigError, "named twice"),
        (("test:///default?latency=soon",), ConfigError, "latency=soon"),
        (("test:///default?colour=red",), ConfigError, "no URI parameter 'colour'"),
    ],
)
async def test_a_wrong_uri_is_one_sentence(uris: tuple[str, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error) as caught:
        async with memory(*uris):
            pass
    assert says in str(caught.value)


async def test_several_connections_hold_domains_of_the_same_name(tmp_path: Path) -> None:
    node = tmp_path / "node.xml"
    node.write_text(
        "<node><domain type='test'><name>test</name><runstate xmlns='http://libvirt.org/schemas/domain/test/1.0'>5"
        "</runstate></domain></node>"
    )
    other = f"test://{node}"
    async with memory(DEFAULT, other) as engine:
        assert engine.connections == (DEFAULT, other)
        with pytest.raises(ConfigError, match="say which connection"):
            engine.domain("test")
        assert engine.domain("test", connection=DEFAULT).state is State.RUNNING
        assert engine.domain("test", connection=other).state is State.SHUTOFF
        web = await engine.define(xml("web"), connection=other)
        assert web.connection == other
        with pytest.raises(NoSuchConnection):
            await engine.define(xml("web"), connection="test:///elsewhere")


# ---------------------------------------------------------------------------- definitions


async def test_a_name_or_uuid_of_another_is_refused() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        with pytest.raises(DomainExists, match="'web' is already defined"):
            await engine.define(xml("web"))  # makes up another UUID
        with pytest.raises(DomainExists):
            await engine.define(xml("other", f"<uuid>{web.uuid}</uuid>"))
        assert [domain.name for domain in engine.domains()] == ["test", "web"]


async def test_one_name_is_defined_once_however_many_ask() -> None:
    async with memory() as engine:
        outcomes: list[str] = []

        async def define() -> None:
            try:
                await engine.define(xml("web"))
                outcomes.append("defined")
            except DomainExists:
                outcomes.append("refused")

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(define)
        assert sorted(outcomes) == ["defined"] + ["refused"] * 4


async def test_redefining_a_running_domain_counts_from_its_next_start() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        await web.start()
        changed = web.xml().replace("</domain>", "<title>new</title></domain>")
        await engine.define(changed)
        assert "new" not in web.xml()
        assert "new" in web.xml(inactive=True)
        await web.destroy()
        assert "new" in web.xml()


async def test_a_domain_that_could_not_be_defined_never_was(tmp_path: Path) -> None:
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        shutil.rmtree(tmp_path / "domains")
        (tmp_path / "domains").touch()  # a file: nothing can be written below it
        with pytest.raises(Exception, match="domains"):
            await engine.define(xml("web"))
        with pytest.raises(NoSuchDomain):
            engine.domain("web")


# ---------------------------------------------------------------------------- commands


async def test_a_failed_command_is_told_with_its_cause_and_changes_nothing() -> None:
    async with memory() as engine, engine.subscribe(DomainEvent, domain="web") as events:
        web = await engine.define(xml("web"))
        the_driver(engine).fail("start", domain="we*", error=DriverError("no luck"))
        with pytest.raises(DriverError, match="no luck"):
            await web.start()
        assert web.state is State.SHUTOFF
        defined, failed = await anext(events), await anext(events)
        assert isinstance(defined, DomainDefined)
        assert isinstance(failed, CommandFailed)
        assert (failed.command, failed.error) == ("start", "no luck")
        assert failed.cause
        await web.start()


async def test_destroy_ends_a_start_that_hangs() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        the_driver(engine).latency["start"] = 3600
        errors: list[Exception] = []

        async def start() -> None:
            try:
                await web.start()
            except DriverError as exc:
                errors.append(exc)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(start)
            await anyio.wait_all_tasks_blocked()
            with pytest.raises(InvalidState):  # it never ran; but the start is over
                await web.destroy()
        assert "was given up" in str(errors[0])
        assert web.state is State.SHUTOFF


async def test_destroy_ends_the_commands_that_wait_too() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        await web.start()
        the_driver(engine).latency |= {"suspend": 3600, "save": 3600}
        errors: list[str] = []

        async def doomed(command: Callable[[], Awaitable[None]]) -> None:
            with pytest.raises(DriverError, match="was destroyed"):
                await command()
            errors.append("given up")

        async with anyio.create_task_group() as tasks:
            for command in (web.suspend, web.managed_save, web.managed_save):
                tasks.start_soon(doomed, command)
            await anyio.wait_all_tasks_blocked()
            await web.destroy()
        assert len(errors) == 3
        assert (web.state, web.reason) == (State.SHUTOFF, "destroyed")


async def test_closing_ends_a_command_that_is_under_way() -> None:
    errors: list[Exception] = []

    async def start(domain: Domain) -> None:
        try:
            await domain.start()
        except EngineError as exc:
            errors.append(exc)

    async with anyio.create_task_group() as tasks, memory() as engine:
        web = await engine.define(xml("web"))
        the_driver(engine).latency["start"] = 3600
        tasks.start_soon(start, web)
        await anyio.wait_all_tasks_blocked()
    assert isinstance(errors[0], EngineClosed)


async def test_waiting_for_a_transient_domain_to_stop_ends() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        await web.start()
        await web.undefine()
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(web.destroy)
                assert await web.wait_for(State.SHUTOFF) is State.SHUTOFF


async def test_a_cause_holds_until_its_effect_and_no_longer() -> None:
    async with memory() as engine, engine.subscribe(LifecycleEvent, domain="web") as events:
        web = await engine.define(xml("web"))
        await web.start()
        await web.reboot()
        the_driver(engine).fail("shutdown")
        with pytest.raises(DriverError):
            await web.shutdown()
        the_driver(engine).crash(web.handle)
        causes = {type(event).__name__: event.cause for event in [await anext(events) for _ in range(4)]}
        assert causes["DomainRebooted"] is not None
        assert causes["DomainStopped"] is None


async def test_a_define_that_waits_while_the_domain_goes_makes_it_anew() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        text = web.xml()
        async with anyio.create_task_group() as tasks, web._turns.free():
            tasks.start_soon(web.undefine)
            await anyio.wait_all_tasks_blocked()
            tasks.start_soon(engine.define, text)
            await anyio.wait_all_tasks_blocked()
        assert engine.domain("web").uuid == web.uuid
        await engine.domain("web").start()


async def test_a_restored_file_makes_the_managed_save_worthless(tmp_path: Path) -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        await web.start()
        await web.save(tmp_path / "web.save")
        await web.start()
        await web.managed_save()
        await engine.restore(tmp_path / "web.save")
        await web.destroy()
        await web.start()
        assert web.reason == "booted"


async def test_a_defect_in_the_background_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def defect() -> None:
        raise ZeroDivisionError

    async with memory() as engine:
        engine.start_soon(defect, name="a defect")
        await anyio.wait_all_tasks_blocked()
        await engine.define(xml("web"))
    assert "a defect failed" in caplog.text


async def test_cancelling_one_caller_leaves_the_others() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        the_driver(engine).latency["start"] = 3600
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(web.start)
            await anyio.wait_all_tasks_blocked()
            tasks.cancel_scope.cancel()
        the_driver(engine).latency.clear()
        await web.start()
        assert web.state is State.RUNNING


async def test_interceptors_wrap_commands_and_may_refuse() -> None:
    seen: list[str] = []

    async def audit(command: DomainCommand, call_next: object) -> object:
        seen.append(f"> {command.kind.value}")
        try:
            return await call_next(command)  # type: ignore[operator]
        finally:
            seen.append(f"< {command.kind.value}")

    async def guard(command: DomainCommand, call_next: object) -> object:
        if isinstance(command, StartDomain):
            raise DriverError("not today")
        return await call_next(command)  # type: ignore[operator]

    async with memory() as engine:
        engine.add_interceptor(audit)
        engine.add_interceptor(guard)
        web = await engine.define(xml("web"))
        with pytest.raises(DriverError, match="not today"):
            await web.start()
    assert seen == ["> define", "< define", "> start", "< start"]


async def test_a_shutdown_carries_its_command_to_the_event_that_comes_later() -> None:
    guest = "<metadata><g:guest xmlns:g='urn:virengine:test:1' shutdown='0.01'/></metadata>"
    async with memory() as engine:
        web = await engine.define(xml("web", guest))
        commands: list[DomainCommand] = []

        async def note(command: DomainCommand, call_next: object) -> object:
            commands.append(command)
            return await call_next(command)  # type: ignore[operator]

        engine.add_interceptor(note)
        await web.start()
        async with engine.subscribe(DomainStopped, domain=web.uuid) as events:
            await web.shutdown()
            assert web.state is State.RUNNING
            stopped = await anext(events)
        assert stopped.cause == commands[-1].id
        assert (stopped.detail, web.reason) == ("shutdown", "shutdown")


async def test_a_guest_that_stops_by_itself_has_no_cause() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        await web.start()
        async with engine.subscribe(LifecycleEvent, domain="web") as events:
            the_driver(engine).crash(web.handle)
            stopped = await anext(events)
        assert (stopped.detail, stopped.cause) == ("crashed", None)
        assert (web.state, web.reason) == (State.SHUTOFF, "crashed")


async def test_a_managed_save_must_be_dealt_with() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        await web.start()
        await web.managed_save()
        with pytest.raises(DriverError, match="has a managed save"):
            await web.undefine()
        async with engine.subscribe(DomainStarted) as events:
            await web.start(force_boot=True)
            assert (await anext(events)).detail == "booted"
        await web.managed_save()
        await web.undefine(managed_save=True)


async def test_a_save_that_is_cancelled_at_its_very_end_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        await web.start()
        driver = the_driver(engine)
        save = driver.save

        async def slow_to_return(domain: DomainHandle, path: Path) -> None:
            await save(domain, path)
            await anyio.sleep_forever()

        monkeypatch.setattr(driver, "save", slow_to_return)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(web.managed_save)
            await web.wait_stopped()
            tasks.cancel_scope.cancel()
        assert web.saved
        await web.start()
        assert web.reason == "restored"


async def test_a_transient_domain_is_restored_from_a_file(tmp_path: Path) -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        await web.start()
        await web.save(tmp_path / "web.save")
        await web.undefine()
        back = await engine.restore(tmp_path / "web.save")
        assert (back.persistent, back.state) == (False, State.RUNNING)
        with pytest.raises(InvalidState):
            await engine.restore(tmp_path / "web.save")
        with pytest.raises(DriverError, match="is transient"):
            await back.managed_save()
        await back.destroy()
        with pytest.raises(NoSuchDomain):
            engine.domain("web")
        (tmp_path / "no.save").write_text("no")
        with pytest.raises(ConfigError, match=r"no\.save: not a saved domain"):
            await engine.restore(tmp_path / "no.save")


async def test_thousands_of_domains_at_once() -> None:
    async with memory() as engine, engine.subscribe(DomainStarted, bound=4096) as events:
        domains = [await engine.define(xml(f"web{n}")) for n in range(2000)]
        async with anyio.create_task_group() as tasks:
            for domain in domains:
                tasks.start_soon(domain.start)
        got = 0
        async for batch in events.batches():
            got += len(batch)
            if got == 2000:
                break
        assert all(domain.state is State.RUNNING for domain in domains)


# ---------------------------------------------------------------------------- persistence


async def test_all_comes_back_with_the_state_directory(tmp_path: Path) -> None:
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        web = await engine.define(xml("web"))
        idle = await engine.define(xml("idle"))
        await web.start()
        await web.suspend()
        await idle.set_autostart()
        await idle.start()
        await idle.managed_save()
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        web, idle = engine.domain("web"), engine.domain("idle")
        assert web.state is State.PAUSED
        assert idle.state is State.SHUTOFF
        assert (idle.autostart, idle.saved, web.autostart) == (True, True, False)
        await idle.start()
        assert idle.reason == "restored"
        await web.destroy()
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        assert engine.domain("web").state is State.SHUTOFF
        assert not engine.domain("idle").saved


async def test_what_a_connection_begins_with_is_kept_like_any_other(tmp_path: Path) -> None:
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        assert engine.domain("test").active
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        await engine.domain("test").destroy()
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        assert not engine.domain("test").active
        await engine.domain("test").undefine()
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        assert engine.domains() == []


async def test_without_a_state_directory_no_trace_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    async with memory() as engine:
        web = await engine.define(xml("web"))
        await web.start()
        await web.managed_save()
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


async def test_what_was_told_is_not_told_again_when_the_engine_opens_anew(tmp_path: Path) -> None:
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        for name in ("web", "idle"):
            domain = await engine.define(xml(name))
            await domain.start()
        await engine.domain("web").suspend()
        newest = engine.bus.journal.newest
    for _ in range(3):
        async with Engine(DEFAULT, state_dir=tmp_path, systemd=False, quiet=True) as engine:
            web = engine.domain("web")
            assert (web.state, web.reason, web.ready) == (State.PAUSED, "user", True)
            assert engine.bus.journal.newest <= newest + 1  # the first engine's ConnectionClosed


async def test_what_happened_while_nobody_looked_is_told(tmp_path: Path) -> None:
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        web = await engine.define(xml("web"))
        await web.start()
        await web.suspend()
        status = engine.store.runtime_dir(web.slot) / "status.json"
    text = status.read_text()
    status.write_text(text.replace('"facts":{"paused":true}', '"facts":{"paused":false}'))
    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine:
        web = engine.domain("web")
        assert (web.state, web.reason) == (State.RUNNING, "unpaused")
        async with engine.subscribe(LifecycleEvent, domain="web", since=0) as events:
            told = [type(await anext(events)).__name__ for _ in range(5)]
        assert told == ["DomainDefined", "DomainStarted", "DomainSuspended", "DomainResumed", "DomainAdopted"]


# ---------------------------------------------------------------------------- the loop stays free


async def test_no_command_holds_up_the_loop(tmp_path: Path) -> None:
    """A ticker that counts turns of the loop makes progress during every command that goes to disk."""
    turns = 0

    async def tick() -> None:
        nonlocal turns
        while True:
            await anyio.lowlevel.checkpoint()
            turns += 1

    async with Engine(DEFAULT, state_dir=tmp_path, systemd=False) as engine, anyio.create_task_group() as tasks:
        tasks.start_soon(tick)
        web = await engine.define(xml("web"))
        for command in (
            web.start,
            web.suspend,
            web.resume,
            web.managed_save,
            web.start,
            web.destroy,
            web.set_autostart,
        ):
            before = turns
            await command()
            assert turns > before + 1, command
        tasks.cancel_scope.cancel()


# ---------------------------------------------------------------------------- what outlives a run


def on_disk(folder: Path, *uris: str) -> Engine:
    return Engine(*(uris or (DEFAULT,)), state_dir=folder, systemd=False)


async def test_one_uuid_at_two_connections_is_two_domains(tmp_path: Path) -> None:
    node = tmp_path / "my node.xml"
    node.write_text("<node/>")
    uris = (DEFAULT, f"test://{tmp_path}/my%20node.xml")
    text = xml("web", "<uuid>11111111-1111-1111-1111-111111111111</uuid>")
    async with on_disk(tmp_path / "state", *uris) as engine:
        for uri in uris:
            await engine.define(text, connection=uri)
        first, second = (engine.domain("web", connection=uri) for uri in uris)
        await first.start()
        await first.managed_save()
        await first.set_autostart()
        await second.start()
    async with on_disk(tmp_path / "state", *uris) as engine:
        first, second = (engine.domain("web", connection=uri) for uri in uris)
        assert (first.state, first.saved, first.autostart) == (State.SHUTOFF, True, True)
        assert (second.state, second.saved, second.autostart) == (State.RUNNING, False, False)
        await second.destroy()
        await second.undefine()
    async with on_disk(tmp_path / "state", *uris) as engine:
        first = engine.domain("web", connection=DEFAULT)
        assert (first.saved, first.autostart) == (True, True)
        await first.start()
        assert first.reason == "restored"


async def test_what_was_saved_goes_on_as_what_it_was_saved_as() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web", "<memory>2048</memory>"))
        await web.start()
        await web.managed_save()
        await engine.define(web.xml().replace("2048", "4096"))
        await web.start()
        assert web.reason == "restored"
        assert (web.live_definition.memory, web.definition.memory) == (2048, 4096)
        await web.destroy()
        await web.start()
        assert web.live_definition.memory == 4096


async def test_a_stray_save_is_never_restored(tmp_path: Path) -> None:
    """As a crash in the midst of ``undefine`` or of a save may leave one."""
    async with on_disk(tmp_path) as engine:
        web = await engine.define(xml("web"))
        await web.start()
        await web.managed_save()
        kept = engine.store.managed_save(web.slot)
        stray = kept.read_bytes()
        await web.start()
        assert web.reason == "restored"
        kept.write_bytes(stray)
        await web.destroy()
        await web.start()
        assert web.reason == "booted"
        assert not kept.exists()


async def test_what_is_undefined_leaves_nothing_to_the_next_of_its_uuid(tmp_path: Path) -> None:
    async with on_disk(tmp_path) as engine:
        web = await engine.define(xml("web"))
        await web.set_autostart()
        kept = web.handle.state_dir / "tpm"
        kept.mkdir(parents=True)
        await web.start()
        await web.undefine()
        assert kept.exists(), "it still runs"
        await web.destroy()
        assert not kept.parent.exists()
        again = await engine.define(web.xml())
        assert not again.autostart
        kept.mkdir(parents=True)
        await again.undefine()
        assert not kept.parent.exists()


async def test_an_undefine_that_is_cut_short_takes_the_definition_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*arguments: object) -> None:
        raise DriverError("the engine dies here")

    async with on_disk(tmp_path) as engine:
        web = await engine.define(xml("web"))
        await web.start()
        await web.managed_save()
        with monkeypatch.context() as patched:
            patched.setattr(type(engine.store), "delete_definition", dies)
            with pytest.raises(DriverError, match="dies here"):
                await web.undefine(managed_save=True)
        assert not engine.store.managed_save(web.slot).exists()
    async with on_disk(tmp_path) as engine:
        await engine.domain("web").start()
        assert engine.domain("web").reason == "booted"


async def test_why_it_is_off_is_known_to_the_next_engine(tmp_path: Path) -> None:
    async with on_disk(tmp_path) as engine:
        for name in ("asleep", "crashed", "new"):
            await engine.define(xml(name))
        await engine.domain("asleep").start()
        await engine.domain("asleep").managed_save()
        await engine.domain("crashed").start()
        the_driver(engine).crash(engine.domain("crashed").handle)
    async with on_disk(tmp_path) as engine:
        reasons = {domain.name: domain.reason for domain in engine.domains() if not domain.active}
        assert reasons == {"asleep": "saved", "crashed": "crashed", "new": "unknown"}
        await engine.domain("crashed").start()
        ended = {path.name for path in (tmp_path / "ended").iterdir()}
        assert ended == {engine.domain("asleep").slot}, "what runs anew is told of no more"


# ---------------------------------------------------------------------------- finding, waiting, causes


async def test_a_uuid_finds_its_domain_whatever_others_are_called() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        other = await engine.define(xml(web.uuid))
        assert engine.domain(web.uuid) is web
        assert engine.domain(other.uuid) is other


async def test_a_domain_is_not_renamed() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        with pytest.raises(DomainExists, match="'web', which can't be renamed to 'new'"):
            await engine.define(web.xml().replace("<name>web", "<name>new"))


async def test_nobody_waits_for_a_domain_that_is_no_more() -> None:
    async with memory() as engine:
        web = await engine.define(xml("web"))
        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_wait_in_vain, web)
                await anyio.wait_all_tasks_blocked()
                await web.undefine()
            with pytest.raises(NoSuchDomain):
                await web.wait_for(State.RUNNING)
            assert await web.wait_for(State.SHUTOFF) is State.SHUTOFF


async def _wait_in_vain(web: Domain) -> None:
    with pytest.raises(NoSuchDomain):
        await web.wait_for(State.RUNNING)


async def test_what_happens_meanwhile_is_not_caused_by_paperwork(monkeypatch: pytest.MonkeyPatch) -> None:
    async with memory() as engine, engine.subscribe(DomainEvent, domain="web") as events:
        web = await engine.define(xml("web"))
        await web.start()

        async def crash(*arguments: object) -> None:
            the_driver(engine).crash(web.handle)

        monkeypatch.setattr(type(engine.store), "set_autostart", crash)
        await web.set_autostart()
        causes = {}
        async for event in events:
            causes[type(event).__name__] = event.cause
            if type(event).__name__ == "AutostartChanged":
                break
        assert causes["DomainStopped"] is None
        assert causes["AutostartChanged"] is not None
