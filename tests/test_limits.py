"""A process that may open no more files: what fails says so in one sentence, nothing leaks, and later all works."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from support.qemu_domains import boot_sector_domain

from engine.util.process import find_process

#: Runs what it is given (``part``) with ever more descriptors to spare, and prints what became of each.
WORKER = """
import itertools, json, logging, os, resource, sys
import anyio
from engine import Engine, EngineError, State
from engine.events.bus import Bus
from engine.events.journal_sqlite import SqliteJournal
from engine.events.types import ConnectionOpened

backend, part, uri, folder, document = sys.argv[1:]
SOFT, HARD = resource.getrlimit(resource.RLIMIT_NOFILE)


def descriptors():
    return sorted(os.listdir("/proc/self/fd"), key=int)[:-1]  # the last one is the listing's own


def make_engine():
    return Engine(uri, state_dir=folder + "/state", systemd=False)


async def sweep(action, most):
    held = [os.open("/dev/null", os.O_RDONLY)]
    while held[-1] < max(map(int, descriptors())):  # so that no number is free below the limit
        held.append(os.open("/dev/null", os.O_RDONLY))
    for spare in range(most):
        before = descriptors()
        resource.setrlimit(resource.RLIMIT_NOFILE, (held[-1] + 1 + spare, HARD))
        try:
            try:
                outcome = await action()
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, HARD))
        except EngineError as exc:
            outcome = f"{type(exc).__name__}: {exc}"
        await anyio.wait_all_tasks_blocked()
        left = set(descriptors()) - set(before) if part != "start" else ()
        print(json.dumps([outcome, *left]), flush=True)
    for fd in held:
        os.close(fd)


async def opening():
    async with make_engine() as engine:
        domain = engine.domain("web")
        await domain.info()
        return "works"


async def journal_part():
    path = folder + "/journal.db"
    async with SqliteJournal(path):
        pass  # all is imported from here on

    async def write():
        async with SqliteJournal(path) as journal, Bus(journal) as bus:
            bus.publish(ConnectionOpened, connection=uri)
            await journal.flush()
            outcome = "works" if journal.error is None else str(journal.error)
            resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, HARD))
            await journal.flush()
            assert (journal.error, journal.stable) == (None, journal.newest), journal.error
            return outcome

    await sweep(write, 16)


async def opening_part():
    async with make_engine() as engine:
        web = await engine.define(document)
        await web.start()
        pid = (await web.info()).pid
    await sweep(opening, 24)
    async with make_engine() as engine:
        web = engine.domain("web")
        assert web.state is State.RUNNING, web
        assert (await web.info()).pid == pid
        await web.destroy()
        await web.start()
        await web.destroy()


async def starting_part():
    async with make_engine() as engine:
        web = await engine.define(document)
        await web.start()
        await web.destroy()

        async def start():
            try:
                await web.start()
                return "works"
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (SOFT, HARD))
                if web.active:
                    await web.destroy()

        await sweep(start, 24)
        await web.start()
        await web.destroy()


logging.disable(logging.CRITICAL)
anyio.run({"journal": journal_part, "open": opening_part, "start": starting_part}[part], backend=backend)
"""

TEST_DOMAIN = "<domain type='test'><name>web</name><memory>1024</memory></domain>"
SAYS_WHY = re.compile(r"too many open files", re.IGNORECASE)


def outcomes(
    part: str, folder: Path, backend: str, *, uri: str = "test:///default", document: str = TEST_DOMAIN
) -> Any:
    worker = subprocess.run(
        [sys.executable, "-W", "error", "-c", WORKER, backend, part, uri, str(folder), document],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (worker.returncode, worker.stderr) == (0, ""), worker.stderr
    return [json.loads(line) for line in worker.stdout.splitlines()]


def check(found: list[list[str]]) -> None:
    for outcome, *left in found:
        assert left == [], f"left open after: {outcome}"
        if outcome != "works":
            assert SAYS_WHY.search(outcome), outcome
            assert "\n" not in outcome
            assert "Errno" not in outcome, outcome
    said = [outcome for outcome, *_ in found]
    assert said[0] != "works", "with nothing to spare"
    assert said[-1] == "works", "with enough to spare"


@pytest.fixture(params=["asyncio", "trio"])
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_journal_waits_for_descriptors(tmp_path: Path, backend: str) -> None:
    """It keeps its events in memory meanwhile, and the file is not taken for damaged."""
    check(outcomes("journal", tmp_path, backend))
    assert list(tmp_path.glob("*.corrupt-*")) == []


def test_an_engine_opens_or_says_why_not(tmp_path: Path, backend: str) -> None:
    """What an earlier engine left running is still there when there are descriptors again."""
    check(outcomes("open", tmp_path, backend))
    assert list((tmp_path / "state").glob("*.corrupt-*")) == []


def test_a_domain_starts_or_says_why_not(tmp_path: Path, backend: str) -> None:
    check(outcomes("start", tmp_path, backend))


@pytest.mark.qemu
def test_an_engine_with_a_guest_opens_or_says_why_not(tmp_path: Path, backend: str) -> None:
    uuid = str(uuid4())
    document = boot_sector_domain("web", tmp_path, top=f"<uuid>{uuid}</uuid>")
    check(outcomes("open", tmp_path, backend, uri="qemu:///session", document=document))
    assert find_process("-uuid", uuid) is None


@pytest.mark.qemu
def test_a_guest_starts_or_says_why_not(tmp_path: Path, backend: str) -> None:
    uuid = str(uuid4())
    document = boot_sector_domain("web", tmp_path, top=f"<uuid>{uuid}</uuid>")
    check(outcomes("start", tmp_path, backend, uri="qemu:///session", document=document))
    assert find_process("-uuid", uuid) is None
