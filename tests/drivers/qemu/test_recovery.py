"""kill -9 the engine at random points while it works on real guests: the next one knows them all, and none is lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import anyio
import pytest
from support.qemu_domains import boot_sector_domain

from engine import DomainStopped, Engine, State

pytestmark = pytest.mark.qemu

ROUNDS = 50
NAMES = ("db", "app", "web")
COMMANDS = ("define", "start", "suspend", "resume", "save", "restore", "managed_save", "destroy")

WORKER = r"""
import os, random, sys
import anyio
from engine import Engine, InvalidState
path, seed, backend, commands = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4].split(",")
rng = random.Random(seed)
def say(*words): os.write(1, (" ".join(words) + "\n").encode())
async def main():
    async with Engine("qemu:///session", state_dir=path, systemd=False) as engine:
        say("open", "-")
        while True:
            if rng.random() < 0.04:
                say("begin", "down", "-")
                await engine.down(deadline=5)
                say("done", "down", "-")
                continue
            domain = rng.choice(sorted(engine.domains(), key=lambda domain: domain.name))
            file = os.path.join(path, domain.name + ".saved")
            possible = [c.value.replace("managedsave", "managed_save") for c in domain.allowed]
            possible = [name for name in commands if name in possible and (name != "restore" or os.path.exists(file))]
            name = rng.choice(possible)
            say("begin", name, domain.name)
            try:
                if name == "define":
                    await engine.define(domain.xml(inactive=True))
                elif name == "restore":
                    await engine.restore(file)
                else:
                    await getattr(domain, name)(*([file] if name == "save" else []))
            except InvalidState:
                name = "unsure"  # a down that was killed had asked it to power off
            # a definition changes nothing of what the domain does
            say("done", name if name != "define" else "nothing", domain.name)
anyio.run(main, backend=backend)
"""

AFTER = {
    "start": (State.RUNNING, State.PAUSED),  # paused if it was saved so
    "suspend": (State.PAUSED,),
    "resume": (State.RUNNING,),
    "destroy": (State.SHUTOFF,),
    "managed_save": (State.SHUTOFF,),
    "save": (State.SHUTOFF,),
    "restore": (State.RUNNING, State.PAUSED),
}


def run_and_kill(path: Path, rng: random.Random, backend: str) -> tuple[dict[str, str], tuple[str, str]]:
    """Run the worker and kill it a moment after a random word of it; the last command that was done with each domain,
    and the one that was under way."""
    argv = [sys.executable, "-c", WORKER, str(path), str(rng.random())[2:], backend, ",".join(COMMANDS)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done: dict[str, str] = {}
    under_way = ("", "")
    last, moment = rng.randrange(2, 24), rng.uniform(0.0, 0.06)
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) as worker:
        assert worker.stdout is not None
        try:
            for number, line in enumerate(worker.stdout):
                word, *rest = line.decode().split()
                if word == "begin":
                    under_way = (rest[0], rest[1])
                elif word == "done":
                    if rest[0] != "nothing":
                        done[rest[1]] = rest[0]
                    under_way = ("", "")
                if number == last:
                    time.sleep(moment)  # into the middle of a command
                    worker.kill()  # what it had said by then is still read
        finally:
            worker.kill()
            _, errors = worker.communicate()
    assert b"Traceback" not in errors, errors.decode()
    return done, under_way


def qemus(uuids: set[str]) -> Counter[str]:
    """How many QEMU processes each domain has."""
    found: Counter[str] = Counter()
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        if b"-uuid" in words:
            uuid = words[words.index(b"-uuid") + 1].decode()
            if uuid in uuids:
                found[uuid] += 1
    return found


async def define(path: Path, folder: Path) -> dict[str, str]:
    async with Engine("qemu:///session", state_dir=path, systemd=False) as engine:
        domains = [await engine.define(boot_sector_domain(name, folder)) for name in NAMES]
        return {domain.name: domain.uuid for domain in domains}


async def check(path: Path, uuids: dict[str, str], done: dict[str, str], under_way: tuple[str, str]) -> None:
    """The next engine knows what runs, and why the others do not."""
    command, touched = under_way
    with anyio.fail_after(60):
        async with Engine("qemu:///session", state_dir=path, systemd=False, resume=False) as engine:
            assert not engine.store.problems
            assert {domain.name: domain.uuid for domain in engine.domains()} == uuids
            left = {file.name for file in path.rglob(".*") if file.suffix in (".saving", ".new")}
            assert not [name for name in left if f".{os.getpid()}." not in name]  # our own is being written
            processes = qemus(set(uuids.values()))
            for domain in engine.domains():
                context = (domain, domain.reason, done.get(domain.name), under_way, processes)
                assert processes[domain.uuid] == (1 if domain.active else 0), context
                if domain.active:
                    pid = (await domain.info()).pid
                    assert f"{domain.uuid}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes(), context
                # memory that no longer fits the disks must never be restored
                assert not (domain.active and domain.saved), context
                last = done.get(domain.name)
                powered_off = (domain.state, domain.reason) == (State.SHUTOFF, "shutdown")  # as asked by such a down
                if (
                    last not in (None, "unsure")
                    and not powered_off
                    and command != "down"
                    and "-" not in done
                    and domain.name != touched
                ):
                    assert domain.state in AFTER[last], context
                    assert domain.saved == (last == "managed_save"), context
            assert all(reason for _, reason in await stops(engine))
            for domain in engine.domains():  # each is well enough to be worked with
                if domain.active:
                    await (domain.resume() if domain.state is State.PAUSED else domain.suspend())


async def stops(engine: Engine) -> list[tuple[str, str]]:
    """Every end that was ever told, with its reason."""
    found = []
    newest = engine.bus.journal.newest
    async with engine.subscribe(DomainStopped, since=0, bound=100_000) as events:
        with anyio.move_on_after(0.1):
            async for event in events:
                found.append((event.domain, event.reason))
                if event.sequence >= newest:
                    break
    return found


async def finish(path: Path, uuids: dict[str, str]) -> None:
    async with Engine("qemu:///session", state_dir=path, systemd=False, resume=False) as engine:
        for domain in engine.domains():
            if domain.active:
                await domain.destroy()
    assert not qemus(set(uuids.values()))


@pytest.mark.timeout(400)
def test_kills_of_an_engine_with_real_guests(tmp_path: Path) -> None:
    state = tmp_path / "state"
    uuids = anyio.run(define, state, tmp_path)
    rng = random.Random(20)
    points = set()
    try:
        for number in range(ROUNDS):
            backend = "trio" if number % 2 else "asyncio"
            done, under_way = run_and_kill(state, rng, backend)
            anyio.run(check, state, uuids, done, under_way, backend=backend)
            points.add(under_way[0])
    finally:
        anyio.run(finish, state, uuids)
    assert len(points - {""}) >= 4, "it was killed in the middle of something"
