"""The in-memory driver keeps the contract."""

from __future__ import annotations

from pathlib import Path

import anyio.lowlevel
import pytest

from engine import Command, DomainHandle, DriverError
from engine.drivers.test import TestDriver
from engine.testing import CHECKS, DriverSetup, check_driver, checks_for
from engine.testing.contract import Check, check_cancelled_commands


def make_xml(name: str) -> str:
    return f"<domain type='test'><name>{name}</name><memory>1024</memory></domain>"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_contract(check: Check, tmp_path: Path) -> None:
    await check(
        DriverSetup(
            uri="test:///default",
            xml=make_xml,
            folder=tmp_path,
            unsupported="<domain type='kvm'><name>other</name></domain>",
        )
    )


async def test_all_of_it_at_once(tmp_path: Path) -> None:
    assert checks_for(TestDriver) == CHECKS
    await check_driver(DriverSetup(uri="test:///default", xml=make_xml, folder=tmp_path))


def test_a_driver_is_not_held_to_what_it_does_not_offer() -> None:
    class Plain(TestDriver):
        commands = frozenset({Command.START, Command.DESTROY})

    names = {check.__name__ for check in checks_for(Plain)}
    assert "check_start_and_destroy" in names
    assert names.isdisjoint({"check_suspend_and_resume", "check_shutdown", "check_reset", "check_save_and_restore"})


async def test_a_driver_that_takes_a_cancelled_command_for_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, half_done = TestDriver.suspend, []

    async def suspend(driver: TestDriver, domain: DomainHandle) -> None:
        if half_done:
            raise DriverError("it is being suspended")
        half_done.append(domain)
        for _ in range(100):
            await anyio.lowlevel.checkpoint()
        await original(driver, domain)
        half_done.clear()

    monkeypatch.setattr(TestDriver, "suspend", suspend)
    with pytest.raises(DriverError, match="being suspended"):
        await check_cancelled_commands(DriverSetup(uri="test:///default", xml=make_xml, folder=tmp_path))
