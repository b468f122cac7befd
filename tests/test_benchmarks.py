"""The runner of the benchmarks: what its table says, and what a run of a part leaves as it was."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from benchmarks import __main__ as runner

ROW = {"what": "one", "unit": "ms", "us": 2.0, "peer": "left out: there is none here", "floor": None}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two benchmarks, ``one`` and ``two``, each of one row; ``two`` has been run before."""
    for name in ("one", "two"):
        (tmp_path / f"bench_{name}.py").touch()
        module = ModuleType(f"benchmarks.bench_{name}")
        row = {**ROW, "what": name, "ratio": None, "must": "-"}
        monkeypatch.setattr(module, "run", lambda row=row: [row], raising=False)
        monkeypatch.setitem(sys.modules, module.__name__, module)
    before = {"two": [{**ROW, "what": "two, of old", "ratio": None, "must": "-"}]}
    (tmp_path / "results.json").write_text(json.dumps(before))
    (tmp_path / "README.md").write_text(f"before\n{runner.BEGIN}\nold\n{runner.END}\nafter\n")
    monkeypatch.setattr(runner, "HERE", tmp_path)
    return tmp_path


def test_a_missing_peer_is_told_in_its_place() -> None:
    assert runner.cells({**ROW, "ratio": None, "must": "<= 1"}) == [
        *("one", "2 ms", "left out: there is none here", "-", "-", "<= 1")
    ]


def test_a_part_is_run_and_the_rest_stays(folder: Path) -> None:
    runner.main(["one"])
    assert [row["what"] for row in json.loads((folder / "results.json").read_text())["one"]] == ["one"]
    text = (folder / "README.md").read_text()
    assert "| two, of old |" in text
    assert "| one | 2 ms | left out: there is none here | - | - | - |" in text
    assert text.startswith("before\n") and text.endswith("\nafter\n")
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "bench_one.py",
        "bench_two.py",
        "results.json",
    ]


def test_a_whole_run_keeps_nothing_of_old(folder: Path) -> None:
    runner.main([])
    assert set(json.loads((folder / "results.json").read_text())) == {"one", "two"}
    assert "of old" not in (folder / "README.md").read_text()


def test_a_name_that_is_none_is_refused_and_nothing_is_written(folder: Path) -> None:
    before = (folder / "README.md").read_bytes(), (folder / "results.json").read_bytes()
    with pytest.raises(SystemExit, match="no such benchmark: tow; there are one, two"):
        runner.main(["tow"])
    assert before == ((folder / "README.md").read_bytes(), (folder / "results.json").read_bytes())
