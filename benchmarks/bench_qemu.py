"""Real guests: how long from ``start`` to running, from ``destroy`` to the event, and for ten at once.

Floor: the same machine by hand, written out below: spawn, QMP handshake, ``cont``; kill and wait. Peer: a libvirtd of
its own through libvirt-python (``libvirt_peer.py``). Floor and engine take turns, and each figure is the best of
its rounds, as many on every side: what else runs on the machine only ever makes a round slower. The engine keeps its
state on disk.
"""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import anyio

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from support.guests import boot_sector, boot_sector_unavailable

from benchmarks.peer import ask_libvirt
from benchmarks.rows import absent
from engine import Domain, DomainStopped, Engine

# on every side, after one that only warms up
ROUNDS = 10
TEN = 3
BACKENDS = ("asyncio", "trio")
SETTLE = 0.15  # seconds a guest runs before it is destroyed: the firmware is through, as on every side

XML = """<domain type='qemu'><name>{name}</name><memory unit='MiB'>8</memory><os><type machine='pc'>hvm</type></os>
<features><acpi/></features><devices>
<disk type='file'><driver name='qemu' type='raw'/><source file='{image}'/><target dev='vda' bus='virtio'/></disk>
<serial type='file'><source path='{image}.serial'/></serial></devices></domain>"""


def run() -> list[dict[str, Any]]:
    """One row a measurement: what, us, peer, floor (ms), ratio (us/floor) and what it must be."""
    if shutil.which("qemu-system-x86_64") is None:
        return [absent("real guests: left out, there is no qemu-system-x86_64 here")]
    if reason := boot_sector_unavailable():
        return [absent(f"real guests: left out, {reason}")]
    with tempfile.TemporaryDirectory(prefix="bench-qemu-") as name:
        folder = Path(name)
        images = [boot_sector(folder / f"{number}.img") for number in range(10)]
        rows = []
        peer, why = _peer(folder, images)
        for backend in BACKENDS:
            found = anyio.run(_measure, folder / backend, images, backend=backend)
            for key, what, must, least in (
                ("start", "QEMU start to running", "<= 1.5, peer >= 4x", 4.0),
                ("destroy", "QEMU destroy to event", "<= 1.5", 0.0),
                ("ten", "10 QEMU guests started at once", "<= 1.5", 0.0),
            ):
                ours, floor = (min(found[side][key]) * 1e3 for side in ("engine", "floor"))
                theirs = min(peer[key]) * 1e3 if peer else None
                against = f" (libvirt / us: {theirs / ours:.1f})" if theirs else ""
                ratio = ours / floor
                met = ratio <= 1.5 and (theirs is None or theirs >= least * ours)
                rows.append(
                    {
                        "what": f"{what}, {backend}{against}",
                        "us": ours,
                        "peer": theirs if theirs else f"left out: {why}",
                        "floor": floor,
                        "ratio": ratio,
                        "unit": "ms",
                        "must": must + ("" if met else " (missed)"),
                    }
                )
        return rows


# ---------------------------------------------------------------------------- the floor


class Bare:
    """One QEMU by hand: spawned by ``Bare``, made to run by ``run``."""

    def __init__(self, image: Path) -> None:
        self.monitor, theirs = socket.socketpair()
        argv = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-S", "-display", "none", "-sandbox", "on"]
        argv += ["-machine", "pc,accel=tcg", "-m", "8", "-chardev", f"socket,id=m,fd={theirs.fileno()}"]
        argv += ["-mon", "chardev=m,mode=control", "-chardev", f"file,id=s,path={image}.serial"]
        argv += ["-device", "isa-serial,chardev=s", "-drive", f"if=none,id=d,file={image},format=raw"]
        argv += ["-device", "virtio-blk-pci,drive=d,bootindex=1"]
        with theirs:
            self.process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)

    def run(self) -> None:
        with self.monitor, self.monitor.makefile("rwb") as monitor:
            monitor.readline()
            for command in (b"qmp_capabilities", b"cont"):
                monitor.write(b'{"execute": "%s"}\n' % command)
                monitor.flush()
                while b'"return"' not in monitor.readline():
                    pass

    def end(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def _bare_round(found: dict[str, list[float]], image: Path) -> None:
    begin = time.perf_counter()
    bare = Bare(image)
    bare.run()
    found["start"].append(time.perf_counter() - begin)
    time.sleep(SETTLE)
    begin = time.perf_counter()
    bare.end()
    found["destroy"].append(time.perf_counter() - begin)


def _bare_ten(found: dict[str, list[float]], images: list[Path]) -> None:
    begin = time.perf_counter()
    all_of_them = [Bare(image) for image in images]
    for bare in all_of_them:
        bare.run()
    found["ten"].append(time.perf_counter() - begin)
    for bare in all_of_them:
        bare.end()


# ---------------------------------------------------------------------------- the engine


async def _measure(folder: Path, images: list[Path]) -> dict[str, dict[str, list[float]]]:
    found: dict[str, dict[str, list[float]]] = {
        side: {"start": [], "destroy": [], "ten": []} for side in ("engine", "floor")
    }
    async with Engine("qemu:///session", state_dir=folder, systemd=False, on_close="down") as engine:
        domains = [await engine.define(XML.format(name=image.stem, image=image)) for image in images]
        for number in range(ROUNDS + 1):
            if number % 2:
                _bare_round(found["floor"], images[0])
            await _engine_round(engine, domains[0], found["engine"])
            if not number % 2:
                _bare_round(found["floor"], images[0])
        for _ in range(TEN + 1):
            _bare_ten(found["floor"], images)
            await _engine_ten(domains, found["engine"])
    for side in found.values():
        del side["start"][0], side["destroy"][0], side["ten"][0]  # modules are imported, caches are warm
    return found


async def _engine_round(engine: Engine, domain: Domain, found: dict[str, list[float]]) -> None:
    begin = time.perf_counter()
    await domain.start()
    found["start"].append(time.perf_counter() - begin)
    await anyio.sleep(SETTLE)
    async with engine.subscribe(DomainStopped, domain=domain.name) as events:
        begin = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(domain.destroy)
            async for _ in events:
                found["destroy"].append(time.perf_counter() - begin)
                break


async def _engine_ten(domains: list[Domain], found: dict[str, list[float]]) -> None:
    begin = time.perf_counter()
    async with anyio.create_task_group() as tasks:
        for domain in domains:
            tasks.start_soon(domain.start)
    found["ten"].append(time.perf_counter() - begin)
    async with anyio.create_task_group() as tasks:
        for domain in domains:
            tasks.start_soon(domain.destroy)


# ---------------------------------------------------------------------------- the peer


def _peer(folder: Path, images: list[Path]) -> tuple[dict[str, list[float]], str]:
    documents = [XML.format(name=image.stem, image=image) for image in images]
    return ask_libvirt(folder, "guests", documents=documents, rounds=ROUNDS, ten=TEN, settle=SETTLE)


if __name__ == "__main__":
    for row in run():
        print(row)
