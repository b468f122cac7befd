"""``down`` of five real guests that take 2 s each to power off, three of them in a chain: beside the critical path.

Floor: the guests' own time along the longest chain, 3 x 2 s. Peer: libvirt-guests, which knows no order: it stops the
same guests one after the other (any order, if by luck), or all at once (the database before its clients).
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio

from benchmarks.peer import ask_libvirt
from benchmarks.rows import absent
from engine import Engine

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

SECONDS = 2.0
CHAIN = {"db": (), "app": ("db",), "lb": ("app",), "batch": (), "cron": ()}

DOMAIN = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>16</memory>
<metadata><order:order xmlns:order="urn:virengine:order:1">{after}<order:ready gate="serial" pattern="ready"/>
<order:stop><order:try method="acpi" timeout="60" repeat="10"/></order:stop></order:order></metadata>
<os><type arch='x86_64' machine='pc'>hvm</type><boot dev='hd'/></os><features><acpi/></features>
<devices><disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{image}'/>
<target dev='hda' bus='ide'/></disk><serial type='file'><source path='{serial}'/></serial></devices></domain>"""


async def measure(folder: Path) -> float:
    from support.guests import boot_sector

    async with Engine("qemu:///session", on_close="down", systemd=False) as engine:
        for name, after in CHAIN.items():
            image = boot_sector(folder / f"{name}.img", delay=SECONDS)
            edges = "".join(f"<order:after domain='{other}'/>" for other in after)
            text = DOMAIN.format(name=name, after=edges, image=image, serial=folder / f"{name}.log")
            await engine.define(text)
        report = await engine.up()
        assert report.ok, str(report)
        begun = time.perf_counter()
        report = await engine.down()
        seconds = time.perf_counter() - begun
        assert report.ok, str(report)
        return seconds


def run() -> list[dict[str, Any]]:
    """Rows: what, unit, us, peer, floor, ratio (us/floor), must."""
    from support.guests import boot_sector_unavailable

    if shutil.which("qemu-system-x86_64") is None:
        return [absent("down: left out, there is no qemu-system-x86_64 here")]
    if reason := boot_sector_unavailable():
        return [absent(f"down: left out, {reason}")]
    rows: list[dict[str, Any]] = []
    floor = SECONDS * 3
    with tempfile.TemporaryDirectory() as folder:
        peer, why = _peer(Path(folder))
    theirs = {how: f"left out: {why}" if why else peer[how] for how in ("one by one", "at once")}
    for backend in ("asyncio", "trio"):
        with tempfile.TemporaryDirectory() as folder:
            seconds = anyio.run(measure, Path(folder), backend=backend)
        rows.append(
            {
                "what": f"down, five guests of {SECONDS:g} s, a chain of three; libvirt-guests one by one ({backend})",
                "unit": "s",
                "us": seconds,
                "peer": theirs["one by one"],
                "floor": floor,
                "ratio": seconds / floor,
                "must": "<= 1.05x critical path",
            }
        )
    parallel = absent("the same five by libvirt-guests all at once, in no order")
    return [*rows, {**parallel, "unit": "s", "peer": theirs["at once"]}]


def _peer(folder: Path) -> tuple[dict[str, float], str]:
    from support.guests import boot_sector

    documents, serials = [], []
    for name in CHAIN:
        image = boot_sector(folder / f"{name}.img", delay=SECONDS)
        serials.append(str(folder / f"{name}.log"))
        documents.append(DOMAIN.format(name=name, after="", image=image, serial=serials[-1]))
    return ask_libvirt(folder, "down", documents=documents, serials=serials)


if __name__ == "__main__":
    for row in run():
        print(row)
