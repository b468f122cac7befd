"""How long the program takes to be there: whole processes, from the start of Python to its end.

Floor: a Python that imports click and ends; all ratios are to it. The first row is no command: it is what the libraries
cost that ``list`` can't do without (the event loop, anyio, msgspec, lxml, sqlite3), and nothing of ours. Bytecode is
there, as it is for any installed program. Each is the best of its rounds, and they take turns: what else runs on the
machine only ever makes a round slower. There is no peer: virsh is C, and asks a daemon that runs already.

``list`` opens an engine on a state directory on disk with ten defined domains of the in-memory driver, and a journal.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MUST = 3.0
ROUNDS = 15
DOMAIN = "<domain type='test'><name>guest{}</name><memory>1024</memory></domain>"

FLOOR = ("-c", "import click")
LIBRARIES = ("-c", "import click, asyncio, anyio._backends._asyncio, msgspec, lxml.etree, sqlite3")
PROGRAM = ("-m", "engine")


def run() -> list[dict[str, Any]]:
    """One row a command: what, us (ms), floor (ms), ratio and what it must be."""
    with tempfile.TemporaryDirectory(prefix="bench-start-") as name:
        folder = Path(name)
        documents = []
        for number in range(10):
            path = folder / f"{number}.xml"
            path.write_text(DOMAIN.format(number))
            documents.append(str(path))
        options = ("--uri", "test:///default", "--state-dir", str(folder / "state"))
        _time((*PROGRAM, *options, "define", *documents))
        commands = {
            "click": FLOOR,
            "the libraries that list needs, imported": LIBRARIES,
            "virengine --help": (*PROGRAM, "--help"),
            "virengine list, asyncio": (*PROGRAM, *options, "list"),
            "virengine list, trio": (*PROGRAM, *options, "--backend", "trio", "list"),
            "virengine events --since 10": (*PROGRAM, *options, "events", "--since", "10"),
        }
        best = dict.fromkeys(commands, float("inf"))
        for _ in range(ROUNDS):
            for what, command in commands.items():
                best[what] = min(best[what], _time(command))
    floor = best.pop("click")
    return [
        {
            "what": what,
            "us": seconds * 1e3,
            "peer": None,
            "floor": floor * 1e3,
            "ratio": seconds / floor,
            "must": f"< {MUST:g}x" if what.startswith("virengine list") else "-",
            "unit": "ms",
        }
        for what, seconds in best.items()
    ]


def _time(arguments: Sequence[str]) -> float:
    """Seconds of one process; its output goes nowhere."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True, env=env)
    return time.perf_counter() - began
