"""How long the program takes to be there: whole processes, from the start of Python to its end.

Floor: a Python that imports click and ends; all ratios are to it. Bytecode is there, as for any installed program. Each
is the best of its rounds, and they take turns: what else runs on the machine only makes a round slower. There is no
peer: virsh is C, and asks a daemon that runs already.

Each state directory is on disk and has a journal. ``list`` needs no engine, and no event loop, where all is as it was
left (``engine.glance``): ten defined domains of the in-memory driver and one that runs; or a real guest, whose monitor
is asked. Where a domain is not ready it opens an engine, and gives the domain half a second to become so, which is part
of its figure; ``info`` always opens one.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.bench_qemu import XML, boot_sector, boot_sector_unavailable
from benchmarks.rows import absent

ROOT = Path(__file__).resolve().parent.parent
MUST = 3.0
ROUNDS = 15
DOMAIN = "<domain type='test'><name>guest{}</name><memory>1024</memory></domain>"

NOT_READY = """<domain type='test'><name>slow</name><memory>1024</memory><metadata>
<order xmlns='urn:virengine:order:1'><ready gate='delay' seconds='36000' timeout='72000'/></order></metadata>
</domain>"""

FLOOR = ("-c", "import click")
PROGRAM = ("-m", "engine")


def run() -> list[dict[str, Any]]:
    """One row a command: what, us (ms), floor (ms), ratio and what it must be."""
    with tempfile.TemporaryDirectory(prefix="bench-start-") as name, _real_guest(Path(name)) as (real, why):
        folder = Path(name)
        documents = []
        for number in range(10):
            path = folder / f"{number}.xml"
            path.write_text(DOMAIN.format(number))
            documents.append(str(path))
        options = ("--uri", "test:///default", "--state-dir", str(folder / "state"))
        _time((*PROGRAM, *options, "define", *documents))
        slow = ("--uri", "test:///default", "--state-dir", str(folder / "slow"))
        (folder / "slow.xml").write_text(NOT_READY)
        _time((*PROGRAM, *slow, "define", str(folder / "slow.xml")))
        _time((*PROGRAM, *slow, "start", "slow"))
        commands = {
            "click": FLOOR,
            "virengine --help": (*PROGRAM, "--help"),
            "virengine list (asyncio)": (*PROGRAM, *options, "list"),
            "virengine list (trio)": (*PROGRAM, *options, "--backend", "trio", "list"),
            "virengine list, a domain not ready, given 0.5 s (asyncio)": (*PROGRAM, *slow, "list"),
            "virengine list, a domain not ready, given 0.5 s (trio)": (*PROGRAM, *slow, "--backend", "trio", "list"),
            "virengine info, with an engine (asyncio)": (*PROGRAM, *options, "info", "test"),
            "virengine info, with an engine (trio)": (*PROGRAM, *options, "--backend", "trio", "info", "test"),
            "virengine events --since 10": (*PROGRAM, *options, "events", "--since", "10"),
        }
        if real:
            commands["virengine list, beside a real guest (asyncio)"] = (*PROGRAM, *real, "list")
            commands["virengine list, beside a real guest (trio)"] = (*PROGRAM, *real, "--backend", "trio", "list")
        best = dict.fromkeys(commands, float("inf"))
        for _ in range(ROUNDS):
            for what, command in commands.items():
                best[what] = min(best[what], _time(command))
    floor = best.pop("click")
    rows = [
        {
            "what": what,
            "us": seconds * 1e3,
            "peer": None,
            "floor": floor * 1e3,
            "ratio": seconds / floor,
            "must": f"< {MUST:g}x" if what.startswith("virengine list") and "not ready" not in what else "-",
            "unit": "ms",
        }
        for what, seconds in best.items()
    ]
    return rows if real else [*rows, absent(f"virengine list, beside a real guest: left out, {why}")]


@contextmanager
def _real_guest(folder: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """The options that lead to a guest that runs, or none and why."""
    if shutil.which("qemu-system-x86_64") is None:
        yield (), "there is no qemu-system-x86_64 here"
    elif reason := boot_sector_unavailable():
        yield (), reason
    else:
        options = ("--uri", "qemu:///session", "--state-dir", str(folder / "real"))
        document = folder / "real.xml"
        document.write_text(XML.format(name="guest", image=boot_sector(folder / "guest.img")))
        _time((*PROGRAM, *options, "define", str(document)))
        _time((*PROGRAM, *options, "start", "guest"))
        try:
            yield options, ""
        finally:
            _time((*PROGRAM, *options, "destroy", "guest"))


def _time(arguments: Sequence[str]) -> float:
    """Seconds of one process; its output goes nowhere."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], cwd=ROOT, stdout=subprocess.DEVNULL, check=True, env=env)
    return time.perf_counter() - began
