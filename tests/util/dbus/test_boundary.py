"""dbus-next stays behind its one file, and costs nothing to those who open no bus."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import engine.util.dbus

FOLDER = Path(engine.util.dbus.__file__).parent


def test_one_file_knows_dbus_next() -> None:
    files = [path for path in FOLDER.parent.parent.rglob("*.py") if "import dbus_next" in path.read_text()]
    files += [path for path in FOLDER.parent.parent.rglob("*.py") if "from dbus_next" in path.read_text()]
    assert set(files) == {FOLDER / "codec.py"}


def test_importing_the_client_does_not_import_the_codec() -> None:
    script = "import sys, engine.util.dbus; sys.exit('dbus_next' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)
    script = "import sys, engine.util.dbus.codec; sys.exit('dbus_next' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script]).returncode == 1
