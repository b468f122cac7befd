from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest
from support.dbus import Daemon, private_bus


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose name is short enough for a socket (108 bytes), which pytest's own may not be."""
    path = Path(mkdtemp(prefix="dbus-"))
    yield path
    shutil.rmtree(path)


@pytest.fixture
def daemon(folder: Path) -> Iterator[Daemon]:
    """A bus of the test's own."""
    if shutil.which("dbus-daemon") is None:
        missing = "no dbus-daemon here: apt-get install dbus"
        if os.environ.get("CI") == "true":  # a check that did not run has shown nothing
            pytest.fail(missing)
        pytest.skip(missing)
    with private_bus(folder) as bus:
        yield bus
