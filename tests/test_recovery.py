"""kill -9 the engine at random points: nothing is lost, nothing is done twice, and the next engine knows all."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import anyio
import pytest

from engine import Engine, Event, State

WORKER = r"""
import os, random, sys
import anyio
from engine import Engine
path, seed, backend = sys.argv[1], int(sys.argv[2]), sys.argv[3]
rng = random.Random(seed)
def say(*words): os.write(1, (" ".join(words) + "\n").encode())
XML = ("<domain type='test'><name>{}</name><metadata><o:order xmlns:o='urn:virengine:order:1'>{}</o:order></metadata>"
       "<memory>1024</memory></domain>")
async def main():
    async with Engine("test:///default", state_dir=path, systemd=False) as engine:
        for problem in engine.store.problems:
            say("problem", problem)
        say("open", "-")
        while True:
            names = [domain.name for domain in engine.domains() if domain.name != "test"]
            if not names or (len(names) < 12 and rng.random() < 0.3):
                name = f"d{rng.randrange(10**9)}"
                after = f"<o:after domain='{rng.choice(names)}'/>" if names else ""
                say("begin define", name)
                await engine.define(XML.format(name, after))
                say("done define", name)
                continue
            domain = engine.domain(rng.choice(names))
            if rng.random() < 0.05:
                say("begin down -")
                report = await engine.down()
                assert report.ok, str(report)
                say("done down -")
                continue
            possible = {"start", "suspend", "resume", "destroy", "managed_save"}
            name = rng.choice(sorted(c.value for c in domain.allowed if c.value in possible | {"managedsave"}))
            say("begin", name, domain.name)
            await getattr(domain, "managed_save" if name == "managedsave" else name)()
            say("done", name, domain.name)
anyio.run(main, backend=backend)
"""

AFTER = {
    "define": State.SHUTOFF,
    "start": State.RUNNING,
    "suspend": State.PAUSED,
    "resume": State.RUNNING,
    "destroy": State.SHUTOFF,
    "managedsave": State.SHUTOFF,
}


class Expected:
    """What must be true of the domains after what the worker said it had done."""

    def __init__(self) -> None:
        self.states: dict[str, State] = {}
        self.saved: set[str] = set()

    def done(self, command: str, name: str) -> None:
        if command == "down":
            # a paused guest hears neither agent nor button
            self.saved |= {name for name, state in self.states.items() if state is State.PAUSED}
            self.states = dict.fromkeys(self.states, State.SHUTOFF)
            return
        if command == "start":
            self.saved.discard(name)
        if command == "managedsave":
            self.saved.add(name)
        self.states[name] = AFTER[command]


def run_and_kill(path: Path, seed: int, backend: str, expected: Expected) -> tuple[str, str] | None:
    """Run the worker, kill it after a random number of words; the command that was under way."""
    rng = random.Random(seed)
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(path), str(seed), backend], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert worker.stdout is not None
    under_way: tuple[str, str] | None = None
    last = rng.randrange(2, 60)
    try:
        for number, line in enumerate(worker.stdout):
            word, *rest = line.decode().split()
            assert word != "problem", line
            if word == "begin":
                under_way = (rest[0], rest[1])
            elif word == "done":
                expected.done(rest[0], rest[1])
                under_way = None
            if number == last:
                worker.kill()  # what it had said by then is still read
    finally:
        worker.kill()
        _, errors = worker.communicate()
    assert b"Traceback" not in errors, errors.decode()
    return under_way


async def check(path: Path, expected: Expected, under_way: tuple[str, str] | None) -> None:
    """The next engine finds what was done, and of what was under way either all or nothing."""
    async with Engine("test:///default", state_dir=path, systemd=False, resume=False) as engine:
        assert not engine.store.problems
        found = {domain.name: domain for domain in engine.domains() if domain.name != "test"}
        command, name = under_way or ("", "")
        if command == "define" and name in found:
            expected.done(command, name)
        assert set(found) == set(expected.states)
        for domain in found.values():
            was = expected.states[domain.name]
            if domain.name == name:
                assert domain.state in (was, AFTER[command]), (domain, was, under_way)
            elif command == "down":
                assert domain.state in (was, State.SHUTOFF)
            else:
                assert domain.state is was, (domain, under_way)
            # memory that no longer fits the disks must never be restored
            assert not (domain.active and domain.saved)
            if domain.name != name and command != "down":
                assert domain.saved == (domain.name in expected.saved), domain
            expected.states[domain.name] = domain.state
            (expected.saved.add if domain.saved else expected.saved.discard)(domain.name)
        # what an interrupted down had not come to is still to be done
        record = await engine.order.interrupted()
        if command == "down" and record is not None:
            assert (await engine.order.down(record=record)).ok
        for domain in found.values():
            expected.states[domain.name] = domain.state
            (expected.saved.add if domain.saved else expected.saved.discard)(domain.name)
        await check_journal(engine)


async def check_journal(engine: Engine) -> None:
    """Numbers without hole or double, over all the kills."""
    oldest, newest = engine.bus.journal.oldest, engine.bus.journal.newest
    async with engine.subscribe(Event, since=oldest - 1, bound=100_000) as events:
        numbers: list[int] = []
        async for event in events:
            numbers.append(event.sequence)
            if event.sequence >= newest:
                break
    assert numbers == list(range(oldest, newest + 1))


@pytest.mark.timeout(300)
def test_fifty_kills(tmp_path: Path) -> None:
    expected = Expected()
    for seed in range(50):
        backend = "trio" if seed % 2 else "asyncio"
        under_way = run_and_kill(tmp_path, seed, backend, expected)
        anyio.run(check, tmp_path, expected, under_way, backend=backend)
    assert len(expected.states) >= 3
