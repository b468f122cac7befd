"""A domain document of 42 elements: validated, defined, written; beside libvirt's in-process ``test:///default``.

Each measurement is a process of its own, ours and libvirt's in turn, the median of the rounds counts. The floor of
validation is libxml2's parser.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from benchmarks.bench_lifecycle import COMMON, DOMAIN, ROUNDS, SYSTEM_PYTHON, measure, medians
from benchmarks.peer import ask_libvirt

TIMES = 1000

OURS = (
    COMMON
    + """
import anyio
from engine import Engine
from engine.conf import format, parse
from engine.conf.document import parse_document
from engine.conf.schemas import schema_for
times, result = int(sys.argv[2]), {}
def seconds(call, *arguments):
    begun = time.perf_counter()
    for argument in arguments:
        call(argument)
    return (time.perf_counter() - begun) / len(arguments)
async def define():
    async with Engine("test:///default", on_close="leave", systemd=False) as engine:
        texts = [document(f"web{n}") for n in range(times)]
        await engine.define(document("first"))
        begun = time.perf_counter()
        for text in texts:
            await engine.define(text)
        return (time.perf_counter() - begun) / times
texts = [document("web") for _ in range(times)]
parse(texts[0])
result["parse"] = seconds(parse, *texts)
result["format"] = seconds(format, *map(parse, texts))
result["floor"] = seconds(parse_document, *texts)
result["validate"] = seconds(schema_for("domain").validate, *map(parse_document, texts))
result["define"] = anyio.run(define, backend=sys.argv[3])
print(json.dumps(result))
"""
)

PEER = (
    COMMON
    + """
import libvirt
times, result = int(sys.argv[2]), {}
conn = libvirt.open("test:///default")
for name, flags in (("define", 0), ("validated", libvirt.VIR_DOMAIN_DEFINE_VALIDATE)):
    texts = [document(f"{name}{n}") for n in range(times)]
    begun = time.perf_counter()
    for text in texts:
        domain = conn.defineXMLFlags(text, flags)
    result[name] = (time.perf_counter() - begun) / times
begun = time.perf_counter()
for _ in range(times):
    domain.XMLDesc(0)
result["format"] = (time.perf_counter() - begun) / times
print(json.dumps(result))
"""
)

FIGURES = (
    ("validate it by its schema, parsed", "validate", None, "floor", "<= 25 us"),
    ("parse and validate it to a definition", "parse", None, "floor", "-"),
    ("parse, validate and define it, beside defineXML without", "define", "define", "floor", "<= 1.0x"),
    ("the same, beside defineXML that validates", "define", "validated", "floor", "<= 0.7x"),
    ("write it, beside XMLDesc in the process", "format", "format", None, "-"),
    ("write it, beside XMLDesc from a daemon", "format", "written", None, "<= 1.0x"),
)


def run() -> list[dict[str, Any]]:
    """Rows: what, unit, us, peer, floor, ratio (us/peer, else us/floor), must."""
    rows: list[dict[str, Any]] = []
    for backend in ("asyncio", "trio"):
        ours: list[dict[str, float]] = []
        theirs: list[dict[str, float]] = []
        missing = ""
        for _ in range(ROUNDS):
            mine = measure(sys.executable, OURS, TIMES, backend)
            peer = measure(SYSTEM_PYTHON, PEER, TIMES)
            assert not isinstance(mine, str), mine
            ours.append(mine)
            if isinstance(peer, str):
                missing = f"left out: {peer}"
            else:
                theirs.append(peer | daemon())
        us, them = medians(ours), medians(theirs) if theirs else {}
        rows += [row(us, them, missing, backend, *figure) for figure in FIGURES]
    return [*rows, imports()]


def daemon() -> dict[str, float]:
    """What a libvirtd takes to write it."""
    document = DOMAIN.replace("@NAME@", "web").replace("@UUID@", str(uuid4()))
    with TemporaryDirectory() as folder:
        answer, _ = ask_libvirt(Path(folder), "written", document=document, times=TIMES)
    return answer


def row(
    us: dict[str, float], them: dict[str, float], missing: str, backend: str, what: str, name: str, *rest: str | None
) -> dict[str, Any]:
    against, floor, must = rest
    peer = them.get(against) if against is not None else None
    base = peer if against is not None else us["floor"]
    return {
        "what": f"{what} ({backend})",
        "unit": "us",
        "us": us[name] * 1e6,
        "peer": (peer * 1e6 if peer is not None else missing) if against is not None else None,
        "floor": us[floor] * 1e6 if floor is not None else None,
        "ratio": us[name] / base if base else None,
        "must": must,
    }


def imports() -> dict[str, Any]:
    """Python's own start taken off."""

    def seconds(program: str) -> float:
        times = []
        for _ in range(9):
            begun = time.perf_counter()
            subprocess.run([sys.executable, "-c", program], check=True)
            times.append(time.perf_counter() - begun)
        return statistics.median(times)

    bare = seconds("pass")
    us, peer = seconds("import engine") - bare, seconds("import anyio") - bare
    return {
        "what": "import engine, beside anyio",
        "unit": "ms",
        "us": us * 1e3,
        "peer": peer * 1e3,
        "floor": None,
        "ratio": us / peer,
        "must": "<= 2x",
    }
