"""What a start that does not work out leaves behind: nothing."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from engine.drivers.qemu.driver import _handed_over
from engine.drivers.qemu.launch import Log


def test_a_log_that_a_full_disk_refuses_is_closed() -> None:
    open_before = list(Path("/proc/self/fd").iterdir())
    for _ in range(3):
        with pytest.raises(OSError, match="No space left"):
            Log(Path("/dev/full")).open("starting")
    assert len(list(Path("/proc/self/fd").iterdir())) == len(open_before)


def test_what_a_thread_has_started_for_nobody_is_undone_in_a_thread() -> None:
    """asyncio's own cancellation does not wait for a thread."""
    at_work, given_up, undone = threading.Event(), threading.Event(), threading.Event()
    where: list[threading.Thread] = []

    def undo() -> None:
        where.append(threading.current_thread())
        undone.set()

    def start() -> Any:
        at_work.set()
        assert given_up.wait(30)
        return SimpleNamespace(undo=undo)

    async def main() -> None:
        task = asyncio.ensure_future(_handed_over(start))
        await anyio.to_thread.run_sync(at_work.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        given_up.set()
        assert await anyio.to_thread.run_sync(undone.wait, 30)

    anyio.run(main)
    assert where != [threading.main_thread()]
