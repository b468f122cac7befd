"""The in-memory driver keeps the contract."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.testing import CHECKS, DriverSetup
from engine.testing.contract import Check


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
