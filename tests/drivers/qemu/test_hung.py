"""A real QEMU that hangs holds up nothing but itself, and can always be destroyed."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

import anyio
import pytest
from support.qemu_domains import boot_sector_domain, wait_said

from engine import ConnectionBroken, Domain, Engine, EngineError, State
from engine.drivers.qemu import adoption

pytestmark = pytest.mark.qemu

QCOW2 = (
    "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='{}'/><target dev='vdb'/></disk>"
)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Engine]:
    with anyio.fail_after(60):
        async with Engine(
            "qemu:///session", state_dir=folder / "state", systemd=False, resume=False, on_close="leave"
        ) as engine:
            try:
                yield engine
            except BaseException:  # the next engine, which would end them, does not come
                with anyio.CancelScope(shield=True):
                    for domain in engine.domains():
                        if domain.active:
                            await domain.destroy()
                raise


async def pid_of(domain: Domain) -> int:
    pid = (await domain.info()).pid
    assert pid is not None
    return pid


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def test_a_hung_qemu_holds_up_no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adoption, "PATIENCE", 1.5)
    async with opened(tmp_path) as engine:
        for name in ("hung", "well"):
            await (await engine.define(boot_sector_domain(name, tmp_path))).start()
            await wait_said(name, tmp_path)
        pid = await pid_of(engine.domain("hung"))
    with stopped(pid):
        for _ in range(4):  # the first connections fill the queue of its monitor
            with anyio.fail_after(20):
                async with opened(tmp_path) as engine:
                    hung, well = engine.domain("hung"), engine.domain("well")
                    assert (hung.state, well.state) == (State.RUNNING, State.RUNNING)
                    for ask in (hung.shutdown, hung.suspend, hung.managed_save, hung.reset, hung.wait_agent):
                        with pytest.raises(ConnectionBroken, match=r"'hung' runs, but .*; it can only be destroyed$"):
                            await ask()
                    assert (await hung.info()).pid == pid
                    await well.suspend()
                    await well.resume()
        async with opened(tmp_path) as engine:
            hung, well = engine.domain("hung"), engine.domain("well")
            with anyio.fail_after(20):
                report = await engine.down(deadline=10)
            assert well.state is State.SHUTOFF
            assert report["well"].outcome == "saved"  # ten seconds are not even enough for last steps
            if hung.active:
                await hung.destroy()
            assert (hung.state, hung.reason) == (State.SHUTOFF, "destroyed")
            assert not Path(f"/proc/{pid}/exe").exists()


async def test_what_was_not_taken_over_is_killed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though its disk has a format, which a QEMU that is well is given time to write."""
    monkeypatch.setattr(adoption, "PATIENCE", 0.2)
    image = tmp_path / "second.qcow2"
    await anyio.run_process(["qemu-img", "create", "-f", "qcow2", str(image), "1M"])
    async with opened(tmp_path) as engine:
        web = await engine.define(boot_sector_domain("web", tmp_path, devices=QCOW2.format(image)))
        await web.start()
        pid = await pid_of(web)
    with stopped(pid):
        async with opened(tmp_path) as engine:
            with anyio.fail_after(5):
                await engine.domain("web").destroy()
            assert not Path(f"/proc/{pid}/exe").exists()


async def test_one_that_came_to_its_senses_is_taken_over_by_the_next_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(tmp_path) as engine:
        web = await engine.define(boot_sector_domain("web", tmp_path))
        await web.start()
        pid = await pid_of(web)
    with stopped(pid), monkeypatch.context() as impatient:
        impatient.setattr(adoption, "PATIENCE", 0.2)
        for _ in range(4):
            async with opened(tmp_path) as engine:
                with pytest.raises(EngineError):
                    await engine.domain("web").suspend()
    async with opened(tmp_path) as engine:
        web = engine.domain("web")
        await web.suspend()
        assert web.state is State.PAUSED
        await web.destroy()
