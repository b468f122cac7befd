#!/usr/bin/env python3
"""Runs the tests that need no real guest or host on every Python: `pythons.py [PYTEST ARGUMENT...]`.

Behind `make test-pythons`. Each supported release that is on PATH or among pyenv's gets an environment of its own in
the cache, from the same pins. It fails if the tests fail on one, or if there is none, and says which were not found.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("VIRENGINE_CACHE") or ROOT / ".cache").absolute()
NOT_REAL = "not qemu and not systemd and not linux_guest"


def main(arguments: list[str]) -> int:
    said = {}
    for release in releases():
        python = find(release)
        said[release] = "not found" if python is None else test(release, python, arguments)
    for release, outcome in said.items():
        sys.stdout.write(f"Python {release}: {outcome}\n")
    return 0 if set(said.values()) <= {"passed", "not found"} and "passed" in said.values() else 1


def releases() -> list[str]:
    """The releases that the project says it supports."""
    classifiers = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    return re.findall(r"Python :: (3\.\d+)$", "\n".join(classifiers), re.MULTILINE)


def find(release: str) -> str | None:
    """A Python of that release that runs; pyenv's stand-ins on PATH are there for releases that are not."""
    for python in candidates(release):
        try:
            done = subprocess.run([python, "--version"], capture_output=True, text=True, check=False)
        except OSError:
            continue
        if done.returncode == 0 and done.stdout.startswith(f"Python {release}."):
            return python
    return None


def candidates(release: str) -> Iterator[str]:
    for folder in os.get_exec_path():
        yield f"{folder}/python{release}"
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(os.fspath, sorted(pyenv.glob(f"versions/{release}.*/bin/python")))


def test(release: str, python: str, arguments: list[str]) -> str:
    venv = CACHE / "pythons" / release
    venv.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.write(f"== Python {release} ({python})\n")
    sys.stdout.flush()
    env = os.environ | {"VIRENGINE_VENV": os.fspath(venv)}
    if subprocess.run([python, ROOT / "scripts" / "setup.py", "pure"], env=env, check=False).returncode:
        return "could not be set up"
    command = [os.fspath(venv / "bin" / "python"), "-m", "pytest", "-m", NOT_REAL, *arguments]
    return "failed" if subprocess.run(command, cwd=ROOT, check=False).returncode else "passed"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
