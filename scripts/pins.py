#!/usr/bin/env python3
"""Writes requirements/*.txt anew from pyproject.toml: `pins.py [--upgrade]`, behind `make pins`.

Run it on the oldest Python that is supported: what only that one needs (backports) does no harm on the newer ones. The
files hold every hash of a release, so one file serves all the wheels, and no address of where it was found.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = Path(os.environ.get("VIRENGINE_CACHE") or ROOT / ".cache").absolute() / "pip-tools"

QUIET = ["--no-emit-index-url", "--no-emit-find-links", "--no-emit-trusted-host", "--no-header", "--no-annotate"]


def main(upgrade: list[str]) -> None:
    if not (TOOLS / "bin" / "pip-compile").exists():
        venv.create(TOOLS, with_pip=True)
        subprocess.run([TOOLS / "bin" / "pip", "install", "--quiet", "pip-tools"], check=True)
    # pip's own settings may add places of this machine, whose hashes would be of no use elsewhere
    env = {name: value for name, value in os.environ.items() if not name.startswith("PIP_") or name == "PIP_CERT"}
    env["PIP_CONFIG_FILE"] = os.devnull
    compiler = [
        os.fspath(TOOLS / "bin" / "pip-compile"),
        "--quiet",
        "--generate-hashes",
        "--strip-extras",
        *QUIET,
        *upgrade,
    ]
    for name, (asked, base) in sets().items():
        constraint = ["--constraint", f"requirements/{base}.txt"] if base else []
        command = [*compiler, *constraint, "--output-file", f"requirements/{name}.txt", "-"]
        subprocess.run(command, cwd=ROOT, env=env, input="\n".join(asked), text=True, check=True)


def sets() -> dict[str, tuple[list[str], str | None]]:
    """What each file is asked to hold, and the file written before it whose versions it keeps."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = [*settings["build-system"]["requires"], "editables"]  # hatchling asks for editables only when it is run
    runtime = settings["project"]["dependencies"]
    extras = settings["project"]["optional-dependencies"]
    return {
        "build": (build, None),
        "runtime": (runtime, None),
        "test": (runtime + extras["server"] + extras["test"], "runtime"),
        "check": (runtime + extras["server"] + extras["test"] + extras["check"], "test"),
    }


if __name__ == "__main__":
    main(sys.argv[1:])
