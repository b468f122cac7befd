"""kill -9 the engine at random points while it works on real guests: the next one knows them all, and none is lost."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import anyio
import pytest
from support.qemu_domains import boot_sector_domain

from engine import DomainStopped, Engine, State
from engine.store import slot_of

pytestmark = pytest.mark.qemu

ROUNDS = 50
NAMES = ("db", "app", "web")
URI = "qemu:///session"
COMMANDS = ("define", "undefine", "start", "suspend", "resume", "save", "restore", "managed_save", "destroy")

WORKER = r"""
import os, random, sys
from pathlib import Path
import anyio
from engine import Engine, InvalidState
uri, path, seed, backend = sys.argv[1:5]
names, commands = (argument.split(",") for argument in sys.argv[5:])
rng = random.Random(int(seed))
def say(*words): os.write(1, (" ".join(words) + "\n").encode())
async def main():
    async with Engine(uri, state_dir=path, systemd=False) as engine:
        say("open", "-")
        while True:
            if rng.random() < 0.04:
                say("begin", "down", "-")
                await engine.down(deadline=5)
                say("done", "down", "-", "-")
                continue
            who = rng.choice(names)
            domain = {domain.name: domain for domain in engine.domains()}.get(who)
            file = Path(path, who + ".saved")
            possible = {"define"}
            if domain is not None:
                possible = {c.value.replace("managedsave", "managed_save") for c in domain.allowed}
                if not domain.persistent:
                    possible -= {"managed_save", "undefine"}
            if file.exists() and (domain is None or not domain.active):
                possible.add("restore")
            else:
                possible.discard("restore")
            name = rng.choice([name for name in commands if name in possible])
            say("begin", name, who)
            effect = name
            try:
                if name == "define":
                    defined = await engine.define(Path(path, who + ".xml").read_text())
                    assert domain is not None or not defined.saved, "it comes upon the save of an earlier one"
                    effect = "nothing" if domain is not None else name
                elif name == "undefine":
                    effect = "nothing" if domain.active else name
                    await domain.undefine(managed_save=True)
                elif name == "restore":
                    await engine.restore(file)
                else:
                    await getattr(domain, name)(*([file] if name == "save" else []))
            except InvalidState:
                effect = "unsure"  # a down that was killed had asked it to power off
            kept = [domain.persistent for domain in engine.domains() if domain.name == who]
            say("done", effect, who, "absent" if not kept else "persistent" if kept[0] else "transient")
anyio.run(main, backend=backend)
"""

AFTER = {
    "define": (State.SHUTOFF,),
    "start": (State.RUNNING, State.PAUSED),  # paused if it was saved so
    "suspend": (State.PAUSED,),
    "resume": (State.RUNNING,),
    "destroy": (State.SHUTOFF,),
    "managed_save": (State.SHUTOFF,),
    "save": (State.SHUTOFF,),
    "restore": (State.RUNNING, State.PAUSED),
}


class Told(NamedTuple):
    """What a worker had told by its death.

    Attributes:
        done: the last command that was done with each domain; under_way: the one that was not, and its domain.
        kept: whether each is persistent, transient, or absent.
    """

    done: dict[str, str]
    kept: dict[str, str]
    under_way: tuple[str, str]


def run_and_kill(path: Path, rng: random.Random, backend: str) -> Told:
    """Run the worker and kill it a moment after a random word of it."""
    seed = str(rng.randrange(1 << 30))
    argv = [sys.executable, "-c", WORKER, URI, str(path), seed, backend, ",".join(NAMES), ",".join(COMMANDS)]
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    done: dict[str, str] = {}
    kept: dict[str, str] = {}
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
                    kept[rest[1]] = rest[2]
                    under_way = ("", "")
                if number == last:
                    time.sleep(moment)  # into the middle of a command
                    worker.kill()  # what it had said by then is still read
        finally:
            worker.kill()
            _, errors = worker.communicate()
    assert b"Traceback" not in errors, errors.decode()
    return Told(done, kept, under_way)


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
    async with Engine(URI, state_dir=path, systemd=False) as engine:
        domains = [await engine.define(boot_sector_domain(name, folder)) for name in NAMES]
        for domain in domains:
            (path / f"{domain.name}.xml").write_text(domain.xml())
        return {domain.name: domain.uuid for domain in domains}


async def check(path: Path, uuids: dict[str, str], told: Told, before: dict[str, str]) -> dict[str, str]:
    """The next engine knows what runs, and why the others do not; how each is kept.

    Args:
        before: how each was kept when the worker began.
    """
    command, touched = told.under_way
    kept = {}
    with anyio.fail_after(60):
        async with Engine(URI, state_dir=path, systemd=False, resume=False) as engine:
            assert not engine.store.problems
            known = {domain.name: domain for domain in engine.domains()}
            left = {file.name for file in path.rglob(".*") if file.suffix in (".saving", ".new")}
            assert not [name for name in left if f".{os.getpid()}." not in name]  # our own is being written
            processes = qemus(set(uuids.values()))
            reasons = dict(await stops(engine))
            assert all(reasons.values())
            downed = command == "down" or "-" in told.done
            for name, uuid in uuids.items():
                domain = known.pop(name, None)
                last, how = told.done.get(name), told.kept.get(name, before[name])
                context = (name, domain, domain and domain.reason, last, how, told.under_way, processes)
                kept[name] = "absent" if domain is None else "persistent" if domain.persistent else "transient"
                if name != touched and kept[name] != how:  # a transient one is gone when it stops
                    assert (how, kept[name]) == ("transient", "absent"), context
                    assert downed or reasons[name] == "shutdown", context
                if domain is None:
                    assert not processes[uuid], context
                    continue
                assert domain.uuid == uuid, context
                assert processes[uuid] == (1 if domain.active else 0), context
                if domain.active:
                    pid = (await domain.info()).pid
                    assert uuid.encode() in Path(f"/proc/{pid}/cmdline").read_bytes(), context
                # memory that no longer fits the disks must never be restored
                assert not (domain.active and domain.saved), context
                powered_off = (domain.state, domain.reason) == (State.SHUTOFF, "shutdown")  # as asked by such a down
                if last not in (None, "unsure") and not powered_off and not downed and name != touched:
                    assert domain.state in AFTER[last], context
                    assert domain.saved == (last == "managed_save"), context
                if domain.active:  # each is well enough to be worked with
                    await (domain.resume() if domain.state is State.PAUSED else domain.suspend())
            assert not known
    for name, how in kept.items():
        if how == "absent":  # nor is there anything that the next domain of its UUID would come upon
            slot = slot_of(URI, uuids[name])
            assert not [file for folder in ("save", "state") for file in (path / folder).glob(f"*{slot}*")], name
    return kept


async def stops(engine: Engine) -> list[tuple[str, str]]:
    """Every end that was ever told, with its reason."""
    found = []
    newest = engine.bus.journal.newest
    async with engine.subscribe(since=0, bound=100_000) as events:
        async for event in events:
            if isinstance(event, DomainStopped):
                found.append((event.domain, event.reason))
            if event.sequence >= newest:
                break
    return found


async def finish(path: Path, uuids: dict[str, str]) -> None:
    async with Engine(URI, state_dir=path, systemd=False, resume=False) as engine:
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
    kept = dict.fromkeys(NAMES, "persistent")
    try:
        for number in range(ROUNDS):
            backend = "trio" if number % 2 else "asyncio"
            told = run_and_kill(state, rng, backend)
            kept = anyio.run(check, state, uuids, told, kept, backend=backend)
            points.add(told.under_way[0])
    finally:
        anyio.run(finish, state, uuids)
    assert len(points - {""}) >= 4, "it was killed in the middle of something"
