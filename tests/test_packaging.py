"""What is handed on holds what its user needs: the wheel the units, schemas and types, the source all of a checkout."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def build(target: str, folder: Path, *, source: Path = ROOT) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True)
    (built,) = folder.iterdir()
    return built


def wheel_names(folder: Path, *, source: Path = ROOT) -> set[str]:
    with zipfile.ZipFile(build("wheel", folder, source=source)) as wheel:
        return set(wheel.namelist())


def test_the_wheel(tmp_path: Path) -> None:
    names = wheel_names(tmp_path)
    units = {path.name for path in (ROOT / "engine" / "systemd" / "units").iterdir() if path.is_file()}
    assert {"engine/py.typed", "engine/schemas/order.xsd"} <= names
    assert units == {Path(name).name for name in names if name.startswith("engine/systemd/units/")}
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"engine", "virengine"}


def test_the_source_can_do_what_a_checkout_can(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path / "sdist")) as source:
        source.extractall(
            tmp_path / "unpacked", **({"filter": "data"} if hasattr(tarfile, "data_filter") else {})
        )  # not before 3.11.4
    (unpacked,) = (tmp_path / "unpacked").iterdir()
    wanted = {".ci/run", ".pre-commit-config.yaml", "Makefile", "requirements/test.txt", "tests/conftest.py", "LICENSE"}
    assert {name for name in wanted if not (unpacked / name).exists()} == set()
    for folder in ("engine", "scripts", "schemas"):
        assert files(unpacked / folder) == files(ROOT / folder)
    assert wheel_names(tmp_path / "of-it", source=unpacked) == wheel_names(tmp_path / "of-us")
    setup = [sys.executable, unpacked / "scripts" / "setup.py"]
    asked = subprocess.run(setup, capture_output=True, text=True, check=False)
    assert asked.stderr.startswith("usage: setup.py demo|test|")


def files(folder: Path) -> set[Path]:
    found = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    return {path for path in found if "__pycache__" not in path.parts}
