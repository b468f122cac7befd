"""What is handed on holds what its user needs: the wheel the units, schemas and types, the source all of a checkout."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build(target: str, folder: Path) -> Path:
    subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)], cwd=ROOT, check=True)
    (built,) = folder.iterdir()
    return built


def test_the_wheel(tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", tmp_path)) as wheel:
        names = set(wheel.namelist())
    units = {path.name for path in (ROOT / "engine" / "systemd" / "units").iterdir() if path.is_file()}
    assert {"engine/py.typed", "engine/schemas/order.xsd"} <= names
    assert units == {Path(name).name for name in names if name.startswith("engine/systemd/units/")}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"engine", "virengine"}


def test_the_source_can_do_what_a_checkout_can(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
    wanted = {".ci/run", "Makefile", "scripts/setup.py", "requirements/test.txt", "tests/conftest.py", "LICENSE"}
    assert wanted <= names
    assert {f"engine/{path.name}" for path in (ROOT / "engine").glob("*.py")} <= names
