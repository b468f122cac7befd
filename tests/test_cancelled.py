"""Commands that are cancelled wherever they wait for the disk, by a scope or in asyncio's own way: the engine, the disk
and the driver agree on what came of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import anyio.to_thread
import pytest
from support.cancelling import Canceller

from engine import Domain, Engine, State
from engine.drivers.test import TestDriver
from engine.glance import DomainView, glance

URI = "test:///default"
MOST = 50  # calls into threads that a command makes; in truth there are some ten

Prepare = Callable[[Engine], Awaitable[object]]


def document(name: str = "web") -> str:
    return f"<domain type='test'><name>{name}</name><memory>1024</memory></domain>"


async def nothing(engine: Engine) -> None:
    pass


async def defined(engine: Engine) -> None:
    await engine.define(document())


async def running(engine: Engine) -> None:
    await (await engine.define(document())).start()


async def paused(engine: Engine) -> None:
    await (await engine.define(document())).start(paused=True)


async def saved(engine: Engine) -> None:
    await running(engine)
    await engine.domain("web").managed_save()


async def saved_to_file(engine: Engine) -> None:
    await running(engine)
    await engine.domain("web").save(folder_of(engine) / "web.save")


def folder_of(engine: Engine) -> Path:
    return engine.store.save_dir.parent


COMMANDS: dict[str, tuple[Prepare, Prepare]] = {
    "define": (nothing, lambda engine: engine.define(document())),
    "undefine": (defined, lambda engine: engine.domain("web").undefine()),
    "undefine what was saved": (saved, lambda engine: engine.domain("web").undefine(managed_save=True)),
    "start": (defined, lambda engine: engine.domain("web").start()),
    "start what was saved": (saved, lambda engine: engine.domain("web").start()),
    "start anew": (saved, lambda engine: engine.domain("web").start(force_boot=True)),
    "shutdown": (running, lambda engine: engine.domain("web").shutdown()),
    "reboot": (running, lambda engine: engine.domain("web").reboot()),
    "reset": (running, lambda engine: engine.domain("web").reset()),
    "suspend": (running, lambda engine: engine.domain("web").suspend()),
    "resume": (paused, lambda engine: engine.domain("web").resume()),
    "destroy": (running, lambda engine: engine.domain("web").destroy()),
    "save": (running, lambda engine: engine.domain("web").save(folder_of(engine) / "web.save")),
    "restore": (saved_to_file, lambda engine: engine.restore(folder_of(engine) / "web.save")),
    "managed save": (running, lambda engine: engine.domain("web").managed_save()),
    "autostart": (defined, lambda engine: engine.domain("web").set_autostart()),
    "up": (defined, lambda engine: engine.up()),
    "down": (running, lambda engine: engine.down()),
}


def facts(domain: Domain | DomainView) -> dict[str, object]:
    return {name: getattr(domain, name) for name in ("state", "reason", "persistent", "autostart", "saved", "ready")}


def opened(folder: Path) -> Engine:
    return Engine(URI, state_dir=folder, systemd=False, resume=False)


def check_agreement(engine: Engine) -> None:
    """Of the engine that saw it with what its driver runs."""
    driver = engine.driver()
    assert isinstance(driver, TestDriver)
    for domain in engine.domains():
        assert domain.active == (domain.uuid in driver._guests), domain
        if domain.active:
            assert driver.guest(domain.uuid).paused == (domain.state is State.PAUSED)


@pytest.mark.parametrize("how", ["by_scope", "by_task"])
@pytest.mark.parametrize("where", ["before", "while", "after"])
@pytest.mark.parametrize("name", COMMANDS)
async def test_all_agree_on_what_came_of_it(
    name: str, where: str, how: str, tmp_path: Path, anyio_backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if (how, anyio_backend) == ("by_task", "trio"):
        return  # it has no such thing
    prepare, command = COMMANDS[name]
    for call in range(1, MOST):
        folder = tmp_path / str(call)
        canceller = Canceller(call, where)
        async with opened(folder) as engine:
            await engine.domain("test").destroy()
            await engine.domain("test").undefine()
            await prepare(engine)
            with monkeypatch.context() as patched:
                patched.setattr(anyio.to_thread, "run_sync", canceller.run_sync)
                await getattr(canceller, how)(partial(command, engine))
            check_agreement(engine)
            known = {domain.name: facts(domain) for domain in engine.domains()}
            assert not any(domain.busy for domain in engine.domains())
        views = glance((URI,), folder)
        if views is not None:  # it is None only where an engine may find something new
            assert {view.name: facts(view) for view in views} == known
        async with opened(folder) as engine:
            assert {domain.name: facts(domain) for domain in engine.domains()} == known
        assert not [path for path in folder.rglob("*") if path.suffix == ".new"]
        if not canceller.came:
            assert call > 1 or name in ("shutdown", "reboot", "reset"), f"{name} never waits for a thread"
            return
    raise AssertionError(f"{name} makes more than {MOST} calls")
