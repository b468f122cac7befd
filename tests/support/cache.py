"""What the tests make once and keep: the folder, and how a file gets into it whole."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent


class GuestUnavailable(RuntimeError):
    """This machine cannot make that guest; the message says what is missing and how to get it."""


def cache_dir() -> Path:
    """The folder that set-up and the tests keep what they made in; made if it is not there."""
    cache = Path(os.environ.get("VIRENGINE_CACHE") or TESTS.parent / ".cache").absolute()
    cache.mkdir(parents=True, exist_ok=True)
    return cache


@contextmanager
def made(target: Path) -> Iterator[Path]:
    """A scratch folder whose file ``made`` becomes ``target`` in one step: tests side by side share one cache."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".making-") as work:
        yield Path(work)
        (Path(work) / "made").replace(target)
