"""Guests that sleep (ACPI S3): they can be reset, saved and stopped in order."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.qemu_domains import boot_sector_domain, engine_in, said, wait_said

from engine import Domain, Engine, State

pytestmark = pytest.mark.qemu

PM = "<pm><suspend-to-mem enabled='yes'/></pm>"
LADDER = """<order:order xmlns:order='urn:virengine:order:1'>
  <order:stop><order:try method='acpi' timeout='30' repeat='0.5'/></order:stop>
</order:order>"""


async def asleep(engine: Engine, folder: Path) -> Domain:
    text = boot_sector_domain("web", folder, top=PM, metadata=LADDER, exit_after=1.5, ending="sleep")
    web = await engine.define(text)
    await web.start()
    assert await web.wait_for(State.PMSUSPENDED) is State.PMSUSPENDED
    return web


async def test_it_wakes_to_be_stopped(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        web = await asleep(engine, tmp_path)
        report = await engine.down()
        assert report["web"].outcome == "stopped"
        assert said("web", tmp_path)[-2:] == ["button", "off"]
        assert (web.state, web.reason) == (State.SHUTOFF, "shutdown")


async def test_it_wakes_to_be_saved(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        web = await asleep(engine, tmp_path)
        await web.managed_save()
        assert (web.state, web.reason) == (State.SHUTOFF, "saved")
        await web.start()
        assert (web.state, web.reason) == (State.RUNNING, "restored")


async def test_a_reset_wakes_it(tmp_path: Path) -> None:
    async with engine_in(tmp_path) as engine:
        web = await asleep(engine, tmp_path)
        await web.reset()
        assert web.state is State.RUNNING
        await wait_said(web, tmp_path, times=2)


async def test_the_next_engine_finds_it_asleep(tmp_path: Path) -> None:
    async with engine_in(tmp_path, leave=True) as engine:
        await asleep(engine, tmp_path)
    async with engine_in(tmp_path) as engine:
        web = engine.domain("web")
        assert web.state is State.PMSUSPENDED
        assert (await engine.down())["web"].outcome == "stopped"
