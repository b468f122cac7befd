from __future__ import annotations

import ctypes
import errno
import gc
import os
from pathlib import Path

import anyio
import pytest

from engine.errors import HostError
from engine.util import inotify
from engine.util.inotify import Watcher


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_tells_of_what_is_written(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("")
    with anyio.fail_after(10):
        async with Watcher() as watcher:
            with watcher.watch(path) as changes:
                path.write_text("a")
                await changes.wait()
                with path.open("a") as file:
                    file.write("b")
                await changes.wait()


async def test_tells_of_a_file_that_appears_and_of_what_is_written_to_it_then(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with anyio.fail_after(10):
        async with Watcher() as watcher:
            with watcher.watch(path) as changes:
                path.touch()
                await changes.wait()
                path.write_text("a")
                await changes.wait()


async def test_follows_the_name_not_the_file(tmp_path: Path) -> None:
    path, other = tmp_path / "log", tmp_path / "other"
    path.write_text("old")
    with anyio.fail_after(10):
        async with Watcher() as watcher:
            with watcher.watch(path) as changes:
                other.write_text("new")
                other.rename(path)
                await changes.wait()
                path.write_text("more")
                await changes.wait()


async def test_other_files_of_the_folder_do_not_wake(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    async with Watcher() as watcher:
        with watcher.watch(path) as changes, watcher.watch(tmp_path / "last") as last:
            (tmp_path / "other").write_text("a")
            (tmp_path / "last").write_text("b")
            with anyio.fail_after(10):
                await last.wait()  # the kernel tells in turn: the other was told by now
            with anyio.move_on_after(0):
                await changes.wait()
                pytest.fail("it was told of another file")


async def test_many_waiters_share_one_descriptor_that_goes_with_the_last(tmp_path: Path) -> None:
    paths = [tmp_path / f"log{n}" for n in range(300)]
    woken: list[Path] = []

    async def wait(path: Path, watcher: Watcher, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        with watcher.watch(path) as changes:
            task_status.started()
            await changes.wait()
            woken.append(path)

    gc.collect()
    async with Watcher() as watcher:
        before = descriptors()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for path in paths:
                    await tasks.start(wait, path, watcher)
                assert descriptors() == before + 1
                for path in paths:
                    path.write_text("x")
        assert sorted(woken) == sorted(paths)
        await anyio.wait_all_tasks_blocked()
        assert descriptors() == before


async def test_two_waiters_for_one_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.touch()
    with anyio.fail_after(10):
        async with Watcher() as watcher:
            with watcher.watch(path) as first:
                with watcher.watch(path) as second:
                    path.write_text("a")
                    await first.wait()
                    await second.wait()
                path.write_text("b")
                await first.wait()


async def test_lost_events_wake_everyone(tmp_path: Path) -> None:
    async with Watcher() as watcher:
        with watcher.watch(tmp_path / "log") as changes:
            watcher._dispatch(inotify._HEAD.pack(-1, inotify._LOST, 0, 0))
            with anyio.fail_after(10):
                await changes.wait()


async def test_a_missing_folder_and_a_closed_watcher_are_refused(tmp_path: Path) -> None:
    async with Watcher() as watcher:
        with pytest.raises(HostError, match="not there"), watcher.watch(tmp_path / "no" / "log"):
            pass
    with pytest.raises(HostError, match="closed"), watcher.watch(tmp_path / "log"):
        pass


async def test_the_hosts_limit_is_an_error_that_says_what_to_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Exhausted:
        def inotify_init1(self, flags: int) -> int:
            ctypes.set_errno(errno.EMFILE)
            return -1

    monkeypatch.setattr(inotify, "_libc", Exhausted)
    async with Watcher() as watcher:
        with pytest.raises(HostError, match="max_user_instances"), watcher.watch(tmp_path / "log"):
            pass


async def test_leaving_while_others_wait_leaves_no_descriptor(tmp_path: Path) -> None:
    gc.collect()
    before = descriptors()
    with anyio.move_on_after(0.05):
        async with Watcher() as watcher:
            with watcher.watch(tmp_path / "log") as changes:
                await changes.wait()
    assert descriptors() <= before + 2  # a loop may have opened one of its own
    assert watcher._fd == -1
