"""Events: fan-out to 100 subscribers, and durable events a second, beside the bare operations they are made of.

Every figure is the best of several rounds, with us, the peer and the floor taking turns, so that a busy machine hits
all alike.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import anyio.lowlevel

from engine.events.bus import Bus
from engine.events.encoding import encode
from engine.events.journal import MemoryJournal
from engine.events.journal_sqlite import SqliteJournal
from engine.events.types import DomainStarted
from engine.lifecycle import State

READERS = 100
BURST = 50  # events published before the readers get to run
BURSTS = 40
ROUNDS = 5
FACTS: dict[str, Any] = {
    "connection": "test:///default",
    "domain": "web",
    "uuid": "6695eb01-f6a4-8304-79aa-97f2502e193f",
    "detail": "booted",
    "state": State.RUNNING,
    "reason": "booted",
}
EVENT = DomainStarted(host="host", epoch="epoch", sequence=1, time=1.0, **FACTS)


async def fan_out() -> float:
    """Us: the bus, with everything it does for an event (make it, number it, journal it, deliver it)."""
    total = BURST * BURSTS
    async with Bus(MemoryJournal("host")) as bus, anyio.create_task_group() as tasks:
        everyone = Barrier(READERS)

        async def read(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with bus.subscribe() as events:
                task_status.started()
                seen = 0
                async for batch in events.batches():
                    seen += len(batch)
                    if seen % BURST == 0:
                        everyone.arrive()
                    if seen == total:
                        return

        for _ in range(READERS):
            await tasks.start(read)
        begun = time.perf_counter()
        for _ in range(BURSTS):
            for _ in range(BURST):
                bus.publish(DomainStarted, **FACTS)
            await everyone.wait()
        return (time.perf_counter() - begun) / total


async def fan_out_floor() -> float:
    """The floor: an event that is there already, appended to each reader's deque; readers woken once a burst."""
    total = BURST * BURSTS
    async with anyio.create_task_group() as tasks:
        everyone = Barrier(READERS)
        readers: list[tuple[deque[DomainStarted], list[anyio.Event]]] = []

        async def read(queue: deque[DomainStarted], ready: list[anyio.Event]) -> None:
            seen = 0
            while seen < total:
                if not queue:
                    await ready[0].wait()
                    ready[0] = anyio.Event()
                batch = list(queue)
                queue.clear()
                seen += len(batch)
                if seen and seen % BURST == 0:
                    everyone.arrive()

        for _ in range(READERS):
            readers.append((deque(), [anyio.Event()]))
            tasks.start_soon(read, *readers[-1])
        await anyio.wait_all_tasks_blocked()
        begun = time.perf_counter()
        for _ in range(BURSTS):
            for _ in range(BURST):
                for queue, ready in readers:
                    if not queue:
                        ready[0].set()
                    queue.append(EVENT)
            await everyone.wait()
        return (time.perf_counter() - begun) / total


async def fan_out_streams() -> float:
    """The peer: one memory object stream for each reader."""
    total = BURST * BURSTS
    async with anyio.create_task_group() as tasks:
        everyone = Barrier(READERS)
        senders = []

        async def read(receiver: Any) -> None:
            seen = 0
            async with receiver:
                async for _ in receiver:
                    seen += 1
                    if seen % BURST == 0:
                        everyone.arrive()
                    if seen == total:
                        return

        for _ in range(READERS):
            sender, receiver = anyio.create_memory_object_stream[DomainStarted](BURST)
            senders.append(sender)
            tasks.start_soon(read, receiver)
        await anyio.wait_all_tasks_blocked()
        begun = time.perf_counter()
        for _ in range(BURSTS):
            for _ in range(BURST):
                for sender in senders:
                    sender.send_nowait(EVENT)
            await everyone.wait()
        took = time.perf_counter() - begun
        for sender in senders:
            sender.close()
        return took / total


class Barrier:
    """Lets the publisher wait until every reader has read the burst; the same for all three."""

    def __init__(self, parties: int) -> None:
        self._parties = self._missing = parties
        self._event: anyio.Event | None = None

    def arrive(self) -> None:
        self._missing -= 1
        if not self._missing and self._event is not None:
            self._event.set()

    async def wait(self) -> None:
        if self._missing:
            self._event = anyio.Event()
            await self._event.wait()
            self._event = None
        self._missing = self._parties


async def journal(folder: Path) -> float:
    """Us: publish, and be done when the last event is on disk."""
    count = 20_000
    async with SqliteJournal(folder / f"journal-{time.monotonic_ns()}.db", "host") as kept, Bus(kept) as bus:
        await kept.flush()
        begun = time.perf_counter()
        for _ in range(count // 100):
            for _ in range(100):
                bus.publish(DomainStarted, **FACTS)
            await anyio.lowlevel.checkpoint()
        await kept.flush()
        return (time.perf_counter() - begun) / count


async def journal_floor(folder: Path) -> float:
    """One fsync for each event: the bare file operations."""
    count = 500
    path = folder / "floor"
    data = encode(EVENT) + b"\n"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    begun = time.perf_counter()
    for _ in range(count):
        os.write(fd, data)
        os.fsync(fd)
    took = time.perf_counter() - begun
    os.close(fd)
    path.unlink()
    return took / count


def best(backend: str, *functions: Callable[..., Awaitable[float]], args: tuple[Any, ...] = ()) -> list[float]:
    """Microseconds an event, for each function: the best of the rounds."""
    rounds = [[anyio.run(function, *args, backend=backend) * 1e6 for function in functions] for _ in range(ROUNDS)]
    return [min(column) for column in zip(*rounds, strict=True)]


def run() -> list[dict[str, Any]]:
    """The rows of this benchmark: microseconds an event."""
    rows: list[dict[str, Any]] = []
    for backend in ("asyncio", "trio"):
        us, peer, floor = best(backend, fan_out, fan_out_streams, fan_out_floor)
        what = f"event fan-out to {READERS} subscribers ({backend})"
        rows += [
            {
                "what": what,
                "unit": "us",
                "us": us,
                "peer": None,
                "floor": floor,
                "ratio": us / floor,
                "must": "<= 2x floor",
            },
            {
                "what": f"{what}, beside {READERS} memory object streams",
                "unit": "us",
                "us": us,
                "peer": peer,
                "floor": None,
                "ratio": us / peer,
                "must": "<= 0.1x peer",
            },
        ]
    # beside this file, not in /tmp, which may be memory, where an fsync costs nothing
    with tempfile.TemporaryDirectory(dir=Path(__file__).parent) as folder:
        us, floor = best("asyncio", journal, journal_floor, args=(Path(folder),))
    rows.append(
        {
            "what": "journal, durable events, beside one fsync an event",
            "unit": "us",
            "us": us,
            "peer": None,
            "floor": floor,
            "ratio": us / floor,
            "must": "<= 0.2x floor",
        }
    )
    return rows


if __name__ == "__main__":
    for row in run():
        other = row["floor"] if row["floor"] is not None else row["peer"]
        print(f"{row['what']}: {row['us']:.2f} us, {other:.2f} us, {row['ratio']:.3f} ({row['must']})")
