"""Every supported Python is looked for, and what became of each is told."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPT = str(Path(__file__).resolve().parents[2] / "scripts" / "pythons.py")


def test_a_python_is_found_only_by_what_it_says_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in = "#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2; exit 127\n"
    pretender = "#!/bin/sh\necho Python 3.1.4\n"
    real = "#!/bin/sh\necho Python 3.13.7\n"
    for name, text in {"a/python3.12": stand_in, "a/python3.13": pretender, "b/python3.13": real}.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/a:{tmp_path}/b")
    monkeypatch.setenv("PYENV_ROOT", f"{tmp_path}/none")
    found = runpy.run_path(SCRIPT)
    assert found["releases"]() == ["3.11", "3.12", "3.13", "3.14"]
    assert found["find"]("3.13") == f"{tmp_path}/b/python3.13"
    assert found["find"]("3.12") is None


@pytest.mark.parametrize(
    ("outcomes", "status"),
    [
        ({"3.11": "passed", "3.12": "passed"}, 0),
        ({"3.11": "passed", "3.12": "failed"}, 1),
        ({"3.11": "passed", "3.12": "could not be set up"}, 1),
        ({}, 1),
    ],
    ids=str,
)
def test_it_fails_with_any_and_with_none(
    outcomes: dict[str, str], status: int, capsys: pytest.CaptureFixture[str]
) -> None:
    main: Any = runpy.run_path(SCRIPT)["main"]
    main.__globals__["find"] = lambda release: sys.executable if release in outcomes else None
    main.__globals__["test"] = lambda release, python, arguments: outcomes[release]
    assert main([]) == status
    said = capsys.readouterr().out.splitlines()
    assert said == [f"Python 3.{minor}: {outcomes.get(f'3.{minor}', 'not found')}" for minor in range(11, 15)]
