"""The contract of the drivers forbids all that is not meant for them, also what was added since it was written."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOR_DRIVERS = {"engine.abc", "engine.errors", "engine.conf", "engine.vmx", "engine.util", "engine.drivers"}


def test_drivers_are_forbidden_all_that_is_not_meant_for_them() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = [
        contract
        for contract in settings["tool"]["importlinter"]["contracts"]
        if contract["type"] == "forbidden" and contract["source_modules"] == ["engine.drivers"]
    ]
    here = {
        f"engine.{path.stem}"
        for path in (ROOT / "engine").iterdir()
        if path.stem != "__init__" and (path.suffix == ".py" or (path / "__init__.py").exists())
    }
    assert here - FOR_DRIVERS == set(contract["forbidden_modules"])
