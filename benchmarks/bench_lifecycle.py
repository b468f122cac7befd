"""A domain's life in memory, and ten thousand domains: ours beside libvirt's in-process ``test:///default``.

Each measurement is a process of its own, ours and libvirt's in turn, the median of the rounds counts. What the first
document loads (some 0.1 s) is loaded before. Peer: the bare calls of libvirt-python, without events. Ours: with every
event delivered to a subscriber. Floor: what can't be left out: the document parsed by libxml2, and the events made and
queued.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROUNDS = 3
LIVES = 500
MANY = 10_000
ROOT = Path(__file__).resolve().parent.parent
DOMAIN = (ROOT / "benchmarks" / "domain-42.xml").read_text()
SYSTEM_PYTHON = "/usr/bin/python3"  # Debian's libvirt binding belongs to Debian's Python

COMMON = """
import json, os, sys, time, uuid
TEMPLATE = sys.argv[1]
def document(name): return TEMPLATE.replace("@NAME@", name).replace("@UUID@", str(uuid.uuid4()))
def rss(): return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
"""

OURS = (
    COMMON
    + """
import anyio
from engine import DomainEvent, Engine
async def main():
    lives, many = int(sys.argv[2]), int(sys.argv[3])
    result = {}
    async with Engine("test:///default", on_close="leave", systemd=False) as engine:
        await (await engine.define(document("first"))).undefine()
        async with engine.subscribe(DomainEvent, bound=1_000_000) as events:
            texts = [document(f"web{n}") for n in range(lives)]
            before = engine.bus.journal.newest
            begun = time.perf_counter()
            for text in texts:
                domain = await engine.define(text)
                await domain.start()
                await domain.shutdown()
                await domain.undefine()
            due = engine.bus.journal.newest - before
            async for batch in events.batches():
                due -= len(batch)
                if not due:
                    break
            result["life"] = (time.perf_counter() - begun) / lives
        for have, count in ((0, many // 10), (many // 10, many)):
            texts = [document(f"many{n}") for n in range(have, count)]
            before, begun = rss(), time.perf_counter()
            for text in texts:
                await engine.define(text)
            result[f"define-{count}"] = (time.perf_counter() - begun) / len(texts)
            result[f"memory-{count}"] = (rss() - before) / len(texts)
            begun = time.perf_counter()
            names = sorted(domain.name for domain in engine.domains())
            result[f"list-{count}"] = time.perf_counter() - begun
    print(json.dumps(result))
anyio.run(main, backend=sys.argv[4])
"""
)

PEER = (
    COMMON
    + """
import libvirt
lives, many = int(sys.argv[2]), int(sys.argv[3])
result = {}
conn = libvirt.open("test:///default")
conn.defineXML(document("first")).undefine()
texts = [document(f"web{n}") for n in range(lives)]
begun = time.perf_counter()
for text in texts:
    domain = conn.defineXML(text)
    domain.create()
    domain.shutdown()
    domain.undefine()
result["life"] = (time.perf_counter() - begun) / lives
for have, count in ((0, many // 10), (many // 10, many)):
    texts = [document(f"many{n}") for n in range(have, count)]
    before, begun = rss(), time.perf_counter()
    for text in texts:
        conn.defineXML(text)
    result[f"define-{count}"] = (time.perf_counter() - begun) / len(texts)
    result[f"memory-{count}"] = (rss() - before) / len(texts)
    begun = time.perf_counter()
    names = sorted(domain.name() for domain in conn.listAllDomains())
    result[f"list-{count}"] = time.perf_counter() - begun
print(json.dumps(result))
"""
)

FLOOR = (
    COMMON
    + """
import asyncio
from collections import deque
from lxml import etree
from engine.events.types import DomainStarted
from engine.lifecycle import State
lives = int(sys.argv[2])
async def main():
    queue, wake = deque(), asyncio.Event()
    parser = etree.XMLParser(resolve_entities=False, no_network=True)
    texts = [document(f"web{n}") for n in range(lives)]
    begun = time.perf_counter()
    for text in texts:
        root = etree.fromstring(text.encode(), parser)
        facts = dict(connection="test:///default", domain=root.findtext("name"), uuid=root.findtext("uuid"))
        for number in range(5):  # defined, started, ready, stopped, undefined
            queue.append(DomainStarted(host="h", epoch="e", sequence=number, time=time.time(), detail="booted",
                                       state=State.RUNNING, reason="booted", **facts))
        wake.set()
        queue.clear()
    print(json.dumps({"life": (time.perf_counter() - begun) / lives}))
asyncio.run(main())
"""
)


def measure(python: str, program: str, *arguments: object) -> dict[str, float] | str:
    """What one process measured, or why it could not."""
    if not Path(python).exists():
        return f"there is no {python} here"
    command = [python, "-c", program, DOMAIN, *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": str(ROOT)} if python == sys.executable else None
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    if done.returncode:
        return (done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"])[-1]
    return dict(json.loads(done.stdout))


def medians(results: list[dict[str, float]]) -> dict[str, float]:
    return {name: statistics.median(result[name] for result in results) for name in results[0]}


FIGURES = (
    ("define + start + shutdown + undefine, events delivered", "life", "us", 1e6, "<= 1.0x libvirt"),
    ("memory of a defined domain, 1,000 of them", f"memory-{MANY // 10}", "KiB", 1 / 1024, "<= 9.5 KiB"),
    ("memory of a defined domain, 10,000 of them", f"memory-{MANY}", "KiB", 1 / 1024, "<= 9.5 KiB"),
    ("define one, of 1,000", f"define-{MANY // 10}", "us", 1e6, "-"),
    ("define one, of 10,000", f"define-{MANY}", "us", 1e6, "-"),
    ("list 1,000 names", f"list-{MANY // 10}", "ms", 1e3, "-"),
    ("list 10,000 names", f"list-{MANY}", "ms", 1e3, "<= 26 ms"),
)


def run() -> list[dict[str, Any]]:
    """Rows: what, unit, us, peer, floor, ratio (us/peer), must."""
    rows: list[dict[str, Any]] = []
    for backend in ("asyncio", "trio"):
        results: dict[str, list[dict[str, float]]] = {"us": [], "peer": [], "floor": []}
        missing: dict[str, str] = {}
        for _ in range(ROUNDS):
            for name, result in (
                ("us", measure(sys.executable, OURS, LIVES, MANY, backend)),
                ("peer", measure(SYSTEM_PYTHON, PEER, LIVES, MANY)),
                ("floor", measure(sys.executable, FLOOR, LIVES)),
            ):
                if isinstance(result, str):
                    missing[name] = f"left out: {result}"
                else:
                    results[name].append(result)
        found = {name: medians(measured) if measured else {} for name, measured in results.items()}
        rows += [figure(found, missing, f"{what} ({backend})", *rest) for what, *rest in FIGURES]
        if ours := found["us"]:
            rows += [
                linear(f"define one, 10,000 beside 1,000 ({backend})", ours, "define", of=(1, 1)),
                linear(f"list one name, 10,000 beside 1,000 ({backend})", ours, "list", of=(MANY // 10, MANY)),
            ]
    return rows


def figure(
    found: dict[str, dict[str, float]],
    missing: dict[str, str],
    what: str,
    name: str,
    unit: str,
    scale: float,
    must: str,
) -> dict[str, Any]:
    us, peer = (found[who].get(name) for who in ("us", "peer"))
    figures = {who: measured[name] * scale if name in measured else missing.get(who) for who, measured in found.items()}
    if name != "life":
        figures["floor"] = None  # only a life is made of bare operations
    return {"what": what, "unit": unit, **figures, "ratio": us / peer if us and peer else None, "must": must}


def linear(what: str, ours: dict[str, float], name: str, *, of: tuple[int, int]) -> dict[str, Any]:
    """Ours for each of many, and, in the place of the floor, for each of a tenth of them."""
    few, many = (ours[f"{name}-{count}"] / by * 1e6 for count, by in zip((MANY // 10, MANY), of, strict=True))
    return {"what": what, "unit": "us", "us": many, "peer": None, "floor": few, "ratio": many / few, "must": "linear"}


if __name__ == "__main__":
    print(json.dumps(run(), indent=2))
