"""Golden files: what a renderer gives, kept in ``tests/golden`` and read in review."""

from __future__ import annotations

import os
from pathlib import Path

GOLDEN = Path(__file__).resolve().parent.parent / "golden"


def check_golden(name: str, text: str) -> None:
    """``text`` is what ``tests/golden/NAME`` holds; ``VIRENGINE_UPDATE_GOLDEN=1`` writes it there instead."""
    path = GOLDEN / name
    if os.environ.get("VIRENGINE_UPDATE_GOLDEN") == "1":
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert path.exists(), f"{path} is missing: VIRENGINE_UPDATE_GOLDEN=1 writes it"
    assert text == path.read_text()
