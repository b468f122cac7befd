"""The contract suite: what any driver must do, whatever it runs.

Each check opens an engine of its own on the driver, so what is tested is what a user gets. Use it in a test of yours,
on both backends::

    @pytest.mark.parametrize("check", checks_for(TestDriver), ids=lambda check: check.__name__)
    async def test_contract(check, tmp_path):
        await check(DriverSetup(uri="test:///default", xml=make_xml, folder=tmp_path))

or all at once with ``await check_driver(setup)``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import anyio
import anyio.lowlevel
from anyio.abc import ByteReceiveStream

from engine.abc import ConnectionURI, Driver, ShutdownMethod
from engine.conf import parse_domain
from engine.core import Engine
from engine.domain import Domain
from engine.errors import Busy, ConfigError, DriverError, InvalidState, NotSupported, UnsupportedConfig
from engine.events import types
from engine.lifecycle import Command, State, allowed
from engine.registry import find_driver

__all__ = ["CHECKS", "DriverSetup", "check_driver", "checks_for"]


@dataclass(frozen=True)
class DriverSetup:
    """What the suite needs to know about a driver.

    Attributes:
        uri: the connection to open.
        xml: makes a domain document for a name; its guest must obey ``shutdown`` and ``reboot``.
        folder: an empty folder of the test's own.
        patience: seconds a guest may take to boot, power off or reboot; only a broken driver ever takes as long.
        booted: waits until a started guest can hear a power button (e.g. for a word on its serial line).
        unsupported: a domain document that this driver can't build; None: there is none.
    """

    uri: str
    xml: Callable[[str], str]
    folder: Path
    patience: float = 30.0
    booted: Callable[[Domain], Awaitable[None]] | None = None
    unsupported: str | None = None

    @asynccontextmanager
    async def engine(self, *, persistent: bool = False) -> AsyncIterator[Engine]:
        """An engine on the driver that leaves no domain behind."""
        state_dir = self.folder / "state" if persistent else None
        async with Engine(self.uri, state_dir=state_dir, on_close="leave", systemd=False) as engine:
            mine = {domain.uuid for domain in engine.domains()}
            try:
                with anyio.fail_after(self.patience * 3):
                    yield engine
            finally:
                with anyio.CancelScope(shield=True):
                    for domain in engine.domains():
                        if domain.active and (domain.uuid not in mine or persistent):
                            await domain.destroy()

    async def wait_booted(self, domain: Domain) -> None:
        if self.booted is not None:
            with anyio.fail_after(self.patience):
                await self.booted(domain)


class _Record:
    """The lifecycle of one domain as a subscriber saw it."""

    def __init__(self, subscription: Any) -> None:
        self._subscription = subscription
        self.seen: list[types.Event] = []

    async def until(self, event_type: type[types.Event], patience: float) -> Any:
        """The next event of this type; those before it are recorded."""
        with anyio.fail_after(patience):
            async for event in self._subscription:
                self.seen.append(event)
                if isinstance(event, event_type):
                    return event
        raise AssertionError(f"the subscription ended before {event_type.__name__} came")

    def told(self) -> list[str]:
        return [f"{type(e).__name__} {e.detail}" for e in self.seen if isinstance(e, types.LifecycleEvent)]


def _watch(engine: Engine, name: str) -> AbstractAsyncContextManager[Any]:
    return engine.subscribe(types.DomainEvent, domain=name)


async def check_define_and_undefine(setup: DriverSetup) -> None:
    """A definition is kept word for word, told of, changed and forgotten."""
    async with setup.engine() as engine, _watch(engine, "web") as events:
        record = _Record(events)
        text = setup.xml("web")
        web = await engine.define(text)
        assert web.state is State.SHUTOFF
        assert web.persistent
        assert web.xml() == parse_domain(web.xml()).text
        assert engine.domain("web") is web is engine.domain(web.uuid)
        assert await engine.define(web.xml()) is web
        await web.undefine()
        await record.until(types.DomainUndefined, setup.patience)
        assert record.told() == ["DomainDefined added", "DomainDefined updated", "DomainUndefined removed"]
        assert web not in engine.domains()


async def check_start_and_destroy(setup: DriverSetup) -> None:
    """It starts, can't be started twice, and is gone when ``destroy`` returns; then it can start again."""
    async with setup.engine() as engine, _watch(engine, "web") as events:
        record = _Record(events)
        web = await engine.define(setup.xml("web"))
        for _ in range(2):
            await web.start()
            assert (web.state, web.reason) == (State.RUNNING, "booted")
            try:
                await web.start()
            except InvalidState as exc:
                assert exc.state == "running"
                assert set(exc.allowed) == {c.value for c in allowed(State.RUNNING)}
            else:
                raise AssertionError("a running domain was started again")
            await web.destroy()
            assert (web.state, web.reason) == (State.SHUTOFF, "destroyed")
            stopped = await record.until(types.DomainStopped, setup.patience)
            assert stopped.detail == "destroyed"
            assert stopped.cause is not None
        assert record.told()[1:] == ["DomainStarted booted", "DomainStopped destroyed"] * 2


async def check_numbers(setup: DriverSetup) -> None:
    """Events are numbered without holes, and carry the command that caused them."""
    async with setup.engine() as engine, engine.subscribe(types.Event) as events:
        record = _Record(events)
        web = await engine.define(setup.xml("web"))
        await web.start()
        await web.destroy()
        await record.until(types.DomainStopped, setup.patience)
        numbers = [event.sequence for event in record.seen]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        assert all(e.cause for e in record.seen if isinstance(e, types.LifecycleEvent))


async def check_suspend_and_resume(setup: DriverSetup) -> None:
    async with setup.engine() as engine, _watch(engine, "web") as events:
        record = _Record(events)
        web = await engine.define(setup.xml("web"))
        await web.start(paused=True)
        assert web.state is State.PAUSED
        await web.resume()
        assert (web.state, web.reason) == (State.RUNNING, "unpaused")
        await web.suspend()
        assert (web.state, web.reason) == (State.PAUSED, "user")
        await web.destroy()
        await record.until(types.DomainStopped, setup.patience)
        assert record.told()[1:] == [
            "DomainStarted booted",
            "DomainSuspended paused",
            "DomainResumed unpaused",
            "DomainSuspended paused",
            "DomainStopped destroyed",
        ]


async def check_shutdown(setup: DriverSetup) -> None:
    """A guest that is asked powers off, and that is told as such."""
    async with setup.engine() as engine, _watch(engine, "web") as events:
        record = _Record(events)
        web = await engine.define(setup.xml("web"))
        await web.start()
        await setup.wait_booted(web)
        await _refuses_methods(web.shutdown)
        await web.shutdown()
        stopped = await record.until(types.DomainStopped, setup.patience)
        assert stopped.detail == "shutdown"
        assert (web.state, web.reason) == (State.SHUTOFF, "shutdown")
        assert stopped.cause is not None


async def _refuses_methods(command: Callable[..., Awaitable[None]]) -> None:
    try:
        await command(method="telepathy")
    except ConfigError as exc:
        assert "telepathy" in str(exc)
        assert all(method in str(exc) for method in get_args(ShutdownMethod))
    else:
        raise AssertionError("a method that is none was accepted")


async def check_reset(setup: DriverSetup) -> None:
    async with setup.engine() as engine, _watch(engine, "web") as events:
        record = _Record(events)
        web = await engine.define(setup.xml("web"))
        await web.start()
        await web.reset()
        rebooted = await record.until(types.DomainRebooted, setup.patience)
        assert rebooted.detail == "host"
        assert web.state is State.RUNNING


async def check_reboot(setup: DriverSetup) -> None:
    """A guest that is asked reboots: that is told as such, it runs all the while, and for the reason it had."""
    async with setup.engine() as engine, _watch(engine, "web") as events:
        record = _Record(events)
        web = await engine.define(setup.xml("web"))
        await web.start()
        await setup.wait_booted(web)
        await _refuses_methods(web.reboot)
        await web.reboot()
        rebooted = await record.until(types.DomainRebooted, setup.patience)
        assert (rebooted.detail, rebooted.state) == ("host", State.RUNNING)
        assert rebooted.cause is not None
        assert (web.state, web.reason) == (State.RUNNING, "booted")
        await web.destroy()
        await record.until(types.DomainStopped, setup.patience)
        assert record.told()[1:] == ["DomainStarted booted", "DomainRebooted host", "DomainStopped destroyed"]


async def check_reasons(setup: DriverSetup) -> None:
    """Every event carries the state the domain was in then and libvirt's reason for it, and both are the domain's."""
    async with setup.engine() as engine, _watch(engine, "web") as events:
        record = _Record(events)
        web = await engine.define(setup.xml("web"))
        expected = [(State.SHUTOFF, "unknown")]

        def comes_to(*states: tuple[State, str]) -> None:
            expected.extend(states)
            assert (web.state, web.reason) == states[-1]

        await web.start(paused=True)
        comes_to((State.RUNNING, "booted"), (State.PAUSED, "user"))
        await web.resume()
        comes_to((State.RUNNING, "unpaused"))
        await web.suspend()
        comes_to((State.PAUSED, "user"))
        await web.destroy()
        comes_to((State.SHUTOFF, "destroyed"))
        await record.until(types.DomainStopped, setup.patience)
        assert [(e.state, e.reason) for e in record.seen if isinstance(e, types.LifecycleEvent)] == expected


async def check_save_and_restore(setup: DriverSetup) -> None:
    """Memory goes to a file and comes back, by path and as a managed save."""
    async with setup.engine() as engine:
        web = await engine.define(setup.xml("web"))
        await web.start()
        file = setup.folder / "web.save"
        await web.save(file)
        assert (web.state, web.reason) == (State.SHUTOFF, "saved")
        assert await engine.restore(file) is web
        assert (web.state, web.reason) == (State.RUNNING, "restored")
        await web.managed_save()
        assert web.saved
        assert (web.state, web.reason) == (State.SHUTOFF, "saved")
        await web.start()
        assert (web.state, web.reason) == (State.RUNNING, "restored")
        assert not web.saved


async def check_unsupported(setup: DriverSetup) -> None:
    """What it can't build it refuses by name, when it is defined; what it can't do, it says."""
    async with setup.engine() as engine:
        if setup.unsupported is not None:
            before = engine.domains()
            try:
                await engine.define(setup.unsupported)
            except ConfigError as exc:
                assert str(exc)
                if isinstance(exc, UnsupportedConfig):
                    assert exc.element
            else:
                raise AssertionError("an unsupported definition was accepted")
            assert engine.domains() == before
        web = await engine.define(setup.xml("web"))
        missing = {Command.REBOOT, Command.RESET, Command.SUSPEND, Command.SHUTDOWN} - engine.driver().commands
        if missing:
            await web.start()
        for command in missing:
            try:
                await getattr(web, command.value)()
            except NotSupported as exc:
                assert exc.driver == engine.driver().scheme
            else:
                raise AssertionError(f"{command} is not among the driver's commands, yet it did something")


async def check_many_at_once(setup: DriverSetup) -> None:
    """Commands of different domains run side by side; each domain's own stay in order."""
    async with setup.engine() as engine:
        domains = [await engine.define(setup.xml(f"web{n}")) for n in range(3)]
        async with anyio.create_task_group() as tasks:
            for domain in domains:
                tasks.start_soon(domain.start)
        assert [domain.state for domain in domains] == [State.RUNNING] * 3
        outcomes: list[str] = []

        async def destroy() -> None:
            try:
                await domains[0].destroy()
                outcomes.append("destroyed")
            except InvalidState:
                outcomes.append("refused")

        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(destroy)
        assert sorted(outcomes) == ["destroyed", "refused", "refused"]
        assert domains[1].state is State.RUNNING


async def check_two_at_once(setup: DriverSetup) -> None:
    """Two commands for one domain: one after the other, each is done, refused or given up, and the state is true."""
    async with setup.engine() as engine, _watch(engine, "web") as events:
        record = _Record(events)
        web = await engine.define(setup.xml("web"))
        assert await _at_once(web.start, web.start) == ["done", "refused"]
        if Command.SUSPEND in engine.driver().commands:
            assert await _at_once(web.suspend, web.suspend) == ["done", "refused"]
            assert await _at_once(web.resume, web.resume) == ["done", "refused"]
            assert await _at_once(web.suspend, web.resume) in (["done", "done"], ["done", "refused"])
            # pulling the plug waits for nobody
            assert "done" in await _at_once(web.suspend, web.destroy)
        else:
            await web.destroy()
        assert web.state is State.SHUTOFF
        await _at_once(web.start, web.destroy)
        if web.active:
            await web.destroy()
        await web.start()
        await web.undefine()
        await web.destroy()
        told: list[types.LifecycleEvent] = []
        while len(told) < 2 or not isinstance(told[-2], types.DomainUndefined):
            await record.until(types.DomainEvent, setup.patience)
            told = [event for event in record.seen if isinstance(event, types.LifecycleEvent)]
        names = [type(event).__name__ for event in told]
        assert names.count("DomainStarted") == names.count("DomainStopped")
        for before, after in pairwise(told):
            if isinstance(after, types.DomainStarted | types.DomainStopped | types.DomainSuspended):
                assert after.state is not before.state, f"told twice: {names}"


async def _at_once(*commands: Callable[[], Awaitable[None]]) -> list[str]:
    """What became of each, sorted: done, refused (the state was another by then), given up."""
    outcomes: list[str] = []

    async def carry_out(command: Callable[[], Awaitable[None]]) -> None:
        try:
            await command()
            outcomes.append("done")
        except InvalidState:
            outcomes.append("refused")
        except DriverError:
            outcomes.append("given up")

    async with anyio.create_task_group() as tasks:
        for command in commands:
            tasks.start_soon(carry_out, command)
    return sorted(outcomes)


async def check_console(setup: DriverSetup) -> None:
    """A console, of a guest that has one, has one user at a time, and ends with its guest."""
    async with setup.engine() as engine:
        web = await engine.define(setup.xml("web"))
        await _refused(web)
        await web.start()
        try:
            async with web.open_console() as console:
                try:
                    async with web.open_console():
                        raise AssertionError("two are at one console")
                except Busy:
                    pass
                async with web.open_console(force=True) as other:
                    await _ends(console)
                    await web.destroy()
                    await _ends(other)
        except DriverError:  # it has none
            await web.destroy()
        await _refused(web)


async def _refused(domain: Domain) -> None:
    try:
        async with domain.open_console():
            raise AssertionError("a domain that does not run has a console")
    except InvalidState:
        pass


async def _ends(stream: ByteReceiveStream) -> None:
    try:
        while True:
            await stream.receive()
    except anyio.EndOfStream:
        pass


async def check_cancelled_start(setup: DriverSetup) -> None:
    """A start that is cancelled at any await leaves a domain that runs, or one that can be started."""
    async with setup.engine() as engine:
        web = await engine.define(setup.xml("web"))
        for steps in (0, 1, 2, 3, 5, 8, 13, 21, 34):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(_start_quietly, web)
                for _ in range(steps):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            assert web.state in (State.RUNNING, State.SHUTOFF), web.state
            if web.active:
                await web.destroy()
            assert not web.active
        await web.start()
        assert web.state is State.RUNNING


async def check_cancelled_commands(setup: DriverSetup) -> None:
    """Commands that are cancelled at any await leave a domain that is in the state it says: what that allows, works."""
    async with setup.engine() as engine:
        web = await engine.define(setup.xml("web"))
        commands = (Command.SUSPEND, Command.RESUME, Command.RESET, Command.DESTROY)
        for command in (command for command in commands if command in engine.driver().commands):
            for turns in (0, 1, 2, 5, 13, 34, 89):
                await web.start(paused=command is Command.RESUME)
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(getattr(web, command.value))
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                assert not web.busy
                if command is not Command.DESTROY:  # which may be carried out yet
                    await (web.resume() if web.state is State.PAUSED else web.suspend())
                if web.active:
                    await web.destroy()
                assert web.state is State.SHUTOFF, web.state


async def _start_quietly(domain: Domain) -> None:
    await domain.start()


async def check_cancelled_save(setup: DriverSetup) -> None:
    """A save that is cancelled at any moment leaves a guest that runs, or one that is saved: it is never lost."""
    async with setup.engine() as engine:
        web = await engine.define(setup.xml("web"))
        file = setup.folder / "web.save"
        await web.start()
        for managed in (False, True):
            for turns in (0, 1, 2, 3, 5, 8, 13, 34, 89):
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(web.managed_save if managed else lambda: web.save(file))
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                    tasks.cancel_scope.cancel()
                await _is_not_lost(engine, web, file, managed)
            for seconds in (0.002, 0.01, 0.05, 0.2):
                # only where it hits is a matter of time
                with anyio.move_on_after(seconds):
                    await (web.managed_save() if managed else web.save(file))
                await _is_not_lost(engine, web, file, managed)


async def _is_not_lost(engine: Engine, domain: Domain, file: Path, managed: bool) -> None:
    """It runs, or what was saved brings it back; then it runs."""
    if domain.active:
        assert domain.state is State.RUNNING, domain.state
        assert not domain.saved
        return
    assert domain.reason == "saved", domain.reason
    assert domain.saved is managed
    if managed:
        await domain.start()
    else:
        assert await engine.restore(file) is domain
    assert (domain.state, domain.reason) == (State.RUNNING, "restored")


async def check_adoption(setup: DriverSetup) -> None:
    """A domain outlives its engine; the next one finds it, tells of it, and starts nothing twice."""
    async with Engine(setup.uri, state_dir=setup.folder / "state", systemd=False) as engine:
        kept = await engine.define(setup.xml("kept"))
        await kept.start()
        before = await kept.info()
        uuid = kept.uuid
    async with setup.engine(persistent=True) as engine:
        kept = engine.domain(uuid)
        assert kept.state is State.RUNNING
        assert (await kept.info()).pid == before.pid
        async with engine.subscribe(types.LifecycleEvent, domain="kept", since=0) as events:
            record = _Record(events)
            await record.until(types.DomainAdopted, setup.patience)
        assert record.told() == ["DomainDefined added", "DomainStarted booted", "DomainAdopted reconnected"]
        await kept.destroy()
        assert not kept.active
    async with setup.engine(persistent=True) as engine:
        assert engine.domain(uuid).state is State.SHUTOFF


async def check_closed_connection(setup: DriverSetup) -> None:
    """Closing the engine twice is fine, and a transient domain goes when it stops."""
    async with setup.engine() as engine:
        web = await engine.define(setup.xml("web"))
        await web.start()
        await web.undefine()
        assert web.state is State.RUNNING
        assert not web.persistent
        await web.destroy()
        assert web not in engine.domains()
    await engine.aclose()


Check = Callable[[DriverSetup], Awaitable[None]]

#: Every check, to be run one by one.
CHECKS: tuple[Check, ...] = (
    check_define_and_undefine,
    check_start_and_destroy,
    check_numbers,
    check_suspend_and_resume,
    check_shutdown,
    check_reset,
    check_reboot,
    check_reasons,
    check_save_and_restore,
    check_unsupported,
    check_many_at_once,
    check_two_at_once,
    check_console,
    check_cancelled_start,
    check_cancelled_commands,
    check_cancelled_save,
    check_adoption,
    check_closed_connection,
)

_NEEDS: dict[Check, Command] = {
    check_suspend_and_resume: Command.SUSPEND,
    check_shutdown: Command.SHUTDOWN,
    check_reset: Command.RESET,
    check_reboot: Command.REBOOT,
    check_reasons: Command.SUSPEND,
    check_cancelled_commands: Command.SUSPEND,
    check_cancelled_save: Command.SAVE,
    check_save_and_restore: Command.SAVE,
}


def checks_for(driver: type[Driver]) -> tuple[Check, ...]:
    """The checks that apply to a driver: all but those of commands it says it does not have (``Driver.commands``)."""
    return tuple(check for check in CHECKS if _NEEDS.get(check, Command.START) in driver.commands | {Command.START})


async def check_driver(setup: DriverSetup) -> None:
    """Run every check that applies to the driver; the first that fails raises AssertionError."""
    for check in checks_for(find_driver(ConnectionURI.parse(setup.uri))):
        await check(setup)
