"""With CI=true a test of something real that was skipped has failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

REAL = """
import pytest
@pytest.mark.qemu
def test_marked(): pass
@pytest.mark.qemu
def test_skips_itself(): pytest.skip("no luck")
@pytest.mark.qemu
@pytest.mark.xfail(strict=True)
def test_known(): assert False
def test_plain(): pytest.skip("not real")
"""
MODULE = """
import pytest
pytest.skip("not today", allow_module_level=True)
"""


def outcome(folder: Path, source: str, *, ci: bool, path: str) -> str:
    """The closing line of a pytest that runs the source under this project's rules."""
    test = folder / "test_it.py"
    test.write_text(source)
    env = os.environ | {"CI": "true" if ci else "", "PATH": path}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "conftest", "-p", "no:cacheprovider", "-c", "pyproject.toml"]
    command += ["--rootdir", str(folder), str(test)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()[-1].rsplit(" in ", 1)[0]


def test_elsewhere_a_skip_is_a_skip(tmp_path: Path) -> None:
    assert outcome(tmp_path, REAL, ci=False, path="/nowhere") == "4 skipped"


def test_in_ci_a_skipped_real_test_has_failed(tmp_path: Path) -> None:
    assert outcome(tmp_path, REAL, ci=True, path="/nowhere") == "1 skipped, 3 errors"


@pytest.mark.qemu
def test_in_ci_a_real_test_that_runs_is_what_it_is(tmp_path: Path) -> None:
    path = os.environ["PATH"]
    assert outcome(tmp_path, REAL, ci=True, path=path) == "1 failed, 1 passed, 1 skipped, 1 xfailed"


def test_in_ci_a_module_may_not_skip_itself(tmp_path: Path) -> None:
    assert outcome(tmp_path, MODULE, ci=False, path="/nowhere") == "1 skipped"
    assert outcome(tmp_path, MODULE, ci=True, path="/nowhere") == "1 error"
