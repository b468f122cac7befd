"""The driver keeps the contract, with real guests."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.qemu_domains import boot_sector_domain, wait_said

from engine import Domain
from engine.testing import CHECKS, DriverSetup

pytestmark = pytest.mark.qemu


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_contract(check, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    async def booted(domain: Domain) -> None:
        await wait_said(domain, tmp_path)

    setup = DriverSetup(
        uri="qemu:///session",
        xml=lambda name: boot_sector_domain(name, tmp_path),
        folder=tmp_path,
        booted=booted,
        unsupported=boot_sector_domain("odd", tmp_path, devices="<sound model='ich9'/>"),
    )
    await check(setup)
