"""The service: ``virengine list`` beside ``virsh list``, as whole processes; one request, beside a bare starlette
handler on the same transport; and events to 1,000 clients, beside a bare loop that sends bytes which are made once.

All servers are processes of their own. What a delivery costs is the server's CPU time; what a client waits is told by
the time in each event. ``VIRENGINE_BENCH_SECONDS`` says for how long events are published, 60 unless it does.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.peer import ask_libvirt

BACKENDS = ("asyncio", "trio")
REQUESTS, ROUNDS = 500, 7
CALLS = 40
CLIENTS = 1000
SECONDS = float(os.environ.get("VIRENGINE_BENCH_SECONDS", "60"))
#: Events a second that all get: what two cores bear, clients included.
ALL_RATE = 15
ONE_RATE = 1000

_TIME = re.compile(rb'"(?:at":([0-9.]+)|time":"([^"]+)")')


class Child:
    def __init__(self, kind: str, backend: str, folder: Path) -> None:
        self.path = str(folder / f"{kind}-{backend}.sock")
        command = [sys.executable, "-m", "benchmarks.server_child", kind, backend, self.path]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "up\n"

    def publish(self, rate: float, seconds: float, domains: int) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{rate} {seconds} {domains}\n")
        self.process.stdin.flush()
        told: dict[str, Any] = json.loads(self.process.stdout.readline())
        return told

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.connect(self.path)
        return sock


@contextlib.contextmanager
def child(kind: str, backend: str, folder: Path) -> Iterator[Child]:
    found = Child(kind, backend, folder)
    try:
        yield found
    finally:
        assert found.process.stdin is not None
        found.process.stdin.close()
        found.process.wait(20)
        assert found.process.stdout is not None
        found.process.stdout.close()


def request(sock: socket.socket) -> None:
    sock.sendall(b"GET /v1/domains/test HTTP/1.1\r\nHost: localhost\r\n\r\n")
    data = b""
    while b"}" not in data:
        data += sock.recv(65536)


def latency(server: Child) -> float:
    with contextlib.closing(server.connect()) as sock:
        for _ in range(50):
            request(sock)
        begin = time.perf_counter()
        for _ in range(REQUESTS):
            request(sock)
        return (time.perf_counter() - begin) / REQUESTS


class Crowd:
    """Clients that read all that they are told, in a thread of their own."""

    def __init__(self, server: Child, domains: int) -> None:
        self.delivered, self.gaps = 0, 0
        self.waited: list[float] = []
        self._ready = selectors.DefaultSelector()
        self._sockets = []
        self._over = False
        for number in range(CLIENTS):
            sock = server.connect()
            query = f"?domain=d{number % domains}" if domains > 1 else ""
            sock.sendall(f"GET /v1/events{query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            sock.recv(65536)
            sock.setblocking(False)
            self._ready.register(sock, selectors.EVENT_READ)
            self._sockets.append(sock)
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        while not self._over:
            for key, _ in self._ready.select(0.1):
                data = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
                now = time.time()
                self.delivered += data.count(b"\ndata: ")
                self.gaps += data.count(b"org.virengine.gap")
                if (found := _TIME.search(data)) is not None:
                    at = float(found[1]) if found[1] else datetime.fromisoformat(found[2].decode()).timestamp()
                    self.waited.append(now - at)

    def end(self) -> None:
        self._over = True
        self._thread.join()
        for sock in self._sockets:
            sock.close()


def crowd(server: Child, rate: float, seconds: float, domains: int) -> dict[str, Any]:
    readers = Crowd(server, domains)
    try:
        first = server.publish(rate, 2, domains)  # all have had some
        begun, waited = readers.delivered, len(readers.waited)
        told = server.publish(rate, seconds, domains)
        wanted = told["published"] * (CLIENTS if domains == 1 else CLIENTS // domains)
        deadline = time.monotonic() + 20
        while readers.delivered - begun < wanted and time.monotonic() < deadline:
            time.sleep(0.05)
        lost = wanted - (readers.delivered - begun)
    finally:
        readers.end()
    late = sorted(readers.waited[waited:])
    return {
        "cost": told["cpu"] / max(1, readers.delivered - begun),
        "p99": late[int(len(late) * 0.99)] if late else 0.0,
        "lost": lost,
        "gaps": readers.gaps,
        "grown": told["rss"] / first["rss"],
    }


def calls(folder: Path, backend: str) -> tuple[float, float]:
    """Seconds of ``virengine list`` as a script calls it, with a service; and of a Python that does nothing."""
    program = [str(Path(sys.executable).with_name("virengine")), "--state-dir", str(folder / f"list-{backend}")]
    serve = [*program, "--uri", "test:///default", "--backend", backend, "serve"]
    listed, bare = [], []
    with subprocess.Popen(serve, stdout=subprocess.PIPE) as service:
        assert service.stdout is not None
        service.stdout.readline()
        for _ in range(CALLS):
            for command, found in (([*program, "list"], listed), ([sys.executable, "-c", "pass"], bare)):
                begin = time.perf_counter()
                told = subprocess.run(command, stdout=subprocess.PIPE, check=True)
                found.append(time.perf_counter() - begin)
                assert command[-1] == "pass" or b"running" in told.stdout
        service.terminate()
    return statistics.median(listed), statistics.median(bare)


def whole_processes(folder: Path) -> Iterator[dict[str, Any]]:
    peer, why = ask_libvirt(folder, "listed", rounds=CALLS)
    for backend in BACKENDS:
        ours, floor = calls(folder, backend)
        theirs = statistics.median(peer["listed"]) if peer else None
        against = f"; {ours / theirs:.2f} of virsh list with a libvirtd" if theirs else ""
        yield {
            "what": f"virengine list with a service, as a whole process, beside a bare Python ({backend}){against}",
            "us": ours * 1e3,
            "peer": theirs * 1e3 if theirs else f"left out: {why}",
            "floor": floor * 1e3,
            "ratio": ours / floor,
            "unit": "ms",
            "must": "<= 1.5x peer" + (" (missed)" if theirs and ours > 1.5 * theirs else ""),
        }


def run() -> list[dict[str, Any]]:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows += whole_processes(folder)
        for backend in BACKENDS:
            with child("us", backend, folder) as us, child("floor", backend, folder) as floor:
                pairs = [(latency(us), latency(floor)) for _ in range(ROUNDS)]
                rows.append(
                    {
                        "what": f"GET /v1/domains/NAME, beside a bare starlette handler ({backend})",
                        "us": min(each for each, _ in pairs) * 1e6,
                        "floor": min(each for _, each in pairs) * 1e6,
                        "ratio": statistics.median(each / other for each, other in pairs),
                        "unit": "us",
                        "must": "<= 3x floor",
                    }
                )
        for backend in BACKENDS:
            for what, rate, domains in (
                (f"{ALL_RATE} events a second, each to all of {CLIENTS} clients", ALL_RATE, 1),
                (f"{ONE_RATE} events a second, each to one of {CLIENTS} clients", ONE_RATE, CLIENTS),
            ):
                with child("us", backend, folder) as us:
                    mine = crowd(us, rate, SECONDS, domains)
                with child("floor", backend, folder) as floor:
                    bare = crowd(floor, rate, min(SECONDS, 20), domains)
                told = f"{what}, for {SECONDS:g} s ({backend})"
                rows += [
                    {
                        "what": f"{told}: the server's CPU time for one delivery",
                        "us": mine["cost"] * 1e6,
                        "floor": bare["cost"] * 1e6,
                        "ratio": mine["cost"] / bare["cost"],
                        "unit": "us",
                        "must": "<= 2x floor",
                    },
                    {
                        "what": f"{told}: 99 of 100 are there within; lost: {mine['lost']}, gaps: {mine['gaps']}, "
                        f"memory: {mine['grown']:.2f} of what it was",
                        "us": mine["p99"] * 1e3,
                        "floor": bare["p99"] * 1e3,
                        "unit": "ms",
                        "must": "<= 50 ms",
                    },
                ]
    return rows
