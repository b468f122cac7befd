"""The generated pages are those the code gives."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def test_the_generated_pages_are_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    pages = runpy.run_path(str(ROOT / "scripts" / "docs.py"))["pages"]()
    assert {"states.md", "events.md", "errors.md", "formats/README.md", "formats/domain.md"} <= set(pages)
    for name, text in pages.items():
        assert (ROOT / "docs" / name).read_text() == text, f"docs/{name}: run `make docs`"
