"""Rows of the table that hold no figure."""

from __future__ import annotations

from typing import Any

__all__ = ["absent"]


def absent(sentence: str) -> dict[str, Any]:
    """A row that says why there are no others."""
    return {"what": sentence, "us": None, "peer": None, "floor": None, "ratio": None, "must": "-"}
