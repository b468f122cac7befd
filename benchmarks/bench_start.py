"""How long the program takes to be there: whole processes, from the start of Python to its end.

Floor: a Python that imports click and ends; all ratios are to it. Bytecode is there, as for any installed program. Each
is the best of its rounds, and they take turns: what else runs on the machine only makes a round slower. There is no
peer: virsh is C, and asks a daemon that runs already.

``list`` has a state directory on disk with ten defined domains of the in-memory driver, one more that runs, and a
journal. It needs no engine, and no event loop, where all is as it was left (``engine.glance``); ``info`` opens one.
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
            "virengine --help": (*PROGRAM, "--help"),
            "virengine list (asyncio)": (*PROGRAM, *options, "list"),
            "virengine list (trio)": (*PROGRAM, *options, "--backend", "trio", "list"),
            "virengine info, with an engine (asyncio)": (*PROGRAM, *options, "info", "test"),
            "virengine info, with an engine (trio)": (*PROGRAM, *options, "--backend", "trio", "info", "test"),
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
