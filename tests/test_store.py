"""What is kept on disk: atomic, locked, and readable even when parts of it are not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import anyio
import anyio.from_thread
import pytest

from engine.conf import parse_domain
from engine.errors import StateDirLocked, StoreError
from engine.store import DiskStore, MemoryStore, Status, slot_of

URI = "test:///default"


def definition(name: str = "web", extra: str = "") -> object:
    return parse_domain(f"<domain type='test'><name>{name}</name>{extra}</domain>")


async def reopened(path: Path) -> tuple[list, list, DiskStore]:
    store = DiskStore(path)
    stored, statuses = await store.open()
    await store.aclose()
    return stored, statuses, store


async def test_definitions_come_back_word_for_word(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    names = ["web", "we b", "ü-%2F", ".hidden", "ü" * 120]
    kept = {name: definition(name) for name in names}
    for item in kept.values():
        await store.save_definition(URI, item)
    await store.set_autostart(slot_of(URI, kept["web"].uuid), True)
    await store.aclose()
    stored, _, again = await reopened(tmp_path)
    assert {item.definition.name: item.definition for item in stored} == kept
    assert [item.definition.name for item in stored if item.autostart] == ["web"]
    assert not again.problems


async def test_a_deleted_definition_is_gone_with_its_autostart(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    web = definition()
    await store.save_definition(URI, web)
    await store.set_autostart(slot_of(URI, web.uuid), True)
    await store.delete_definition(URI, web)
    await store.delete_definition(URI, web)
    await store.aclose()
    assert (await reopened(tmp_path))[0] == []
    assert list((tmp_path / "autostart").iterdir()) == []


async def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    with pytest.raises(StateDirLocked) as caught:
        await DiskStore(tmp_path).open()
    assert f"pid {os.getpid()}" in str(caught.value)
    await store.aclose()
    await reopened(tmp_path)


async def test_a_killed_holder_leaves_no_lock(tmp_path: Path) -> None:
    program = (
        "import anyio, os, sys\nfrom engine.store import DiskStore\nfrom pathlib import Path\n"
        "async def main():\n await DiskStore(Path(sys.argv[1])).open()\n print('held', flush=True)\n sys.stdin.read()\n"
        "anyio.run(main)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StateDirLocked, match=f"pid {holder.pid}"):
            await DiskStore(tmp_path).open()
        holder.kill()
    await reopened(tmp_path)


FORKS = """import anyio, os, sys
from pathlib import Path
from engine.store import DiskStore
async def main():
    await DiskStore(Path(sys.argv[1])).open()
    if os.fork():
        print("held", flush=True)
    sys.stdin.read()
    os._exit(0)
anyio.run(main)
"""


async def test_the_lock_of_one_that_was_killed_while_it_started_a_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    argv = [sys.executable, "-c", FORKS, str(tmp_path)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()
        holder.wait()
        with monkeypatch.context() as patched, pytest.raises(StateDirLocked, match=f"pid {holder.pid}"):
            patched.setattr("engine.store._FORKED", 0.0)
            await DiskStore(tmp_path).open()
        sleep, stdin, slept = time.sleep, holder.stdin, []

        def asleep(seconds: float) -> None:
            slept.append(seconds)
            stdin.close()  # now it runs another program
            sleep(seconds)

        monkeypatch.setattr("engine.store._FORKED", 60.0)
        monkeypatch.setattr(time, "sleep", asleep)
        await reopened(tmp_path)
        assert slept


async def test_an_unreadable_definition_is_told_and_left_alone(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    await store.save_definition(URI, definition("good"))
    await store.save_definition(URI, definition("bad"))
    await store.aclose()
    bad = next(tmp_path.glob("domains/*/bad.xml"))
    bad.write_text("<domain type='test'>\n<name>bad</name")
    stored, _, again = await reopened(tmp_path)
    assert [item.definition.name for item in stored] == ["good"]
    assert len(again.problems) == 1
    assert f"{bad}:2" in again.problems[0]
    assert bad.exists()


async def test_status_goes_with_its_folder(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    web = definition()
    status = Status(
        uuid=web.uuid, connection=URI, text=web.text, persistent=True, started=1.5, facts={"pid": 7, "list": [1, "a"]}
    )
    await store.save_status(status)
    (await store.make_runtime_dir(slot_of(URI, web.uuid)) / "qmp.sock").touch()
    await store.aclose()
    assert (await reopened(tmp_path))[1] == [status]
    await store.open()
    await store.delete_status(slot_of(URI, web.uuid))
    await store.delete_status(slot_of(URI, web.uuid))
    await store.aclose()
    assert (await reopened(tmp_path))[1] == []
    assert not store.run.exists() or not list(store.run.iterdir())


async def test_a_status_kept_many_times_at_once_is_the_last_one(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    web = definition()

    def status(number: int) -> Status:
        return Status(uuid=web.uuid, connection=URI, text=web.text, persistent=True, started=number)

    async with anyio.create_task_group() as tasks:
        for number in range(30):
            tasks.start_soon(store.save_status, status(number))
            await anyio.lowlevel.checkpoint()  # each is asked for before the next
    await store.aclose()
    assert (await reopened(tmp_path))[1] == [status(29)]


@pytest.mark.parametrize("garbage", [b"", b"{", b"\xff\xfe", b'{"uuid": 5}', b"[]"])
async def test_an_unreadable_status_is_told(tmp_path: Path, garbage: bytes) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    (await store.make_runtime_dir(slot_of(URI, definition().uuid)) / "status.json").write_bytes(garbage)
    await store.aclose()
    _, statuses, again = await reopened(tmp_path)
    assert statuses == []
    assert len(again.problems) == 1


async def test_a_long_path_gets_short_sockets(tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 100)
    store = DiskStore(deep)
    await store.open()
    try:
        assert len(str(await store.make_runtime_dir(slot_of(URI, definition().uuid)) / "a-socket-of-some-length")) < 108
        assert DiskStore(deep).run == store.run
    finally:
        await store.aclose()
        for folder in store.run.iterdir():
            folder.rmdir()
        store.run.rmdir()


async def test_records_are_kept_and_dropped(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    assert await store.load_record("down") is None
    await store.save_record("down", {"stopped": ["a"]})
    assert await store.load_record("down") == {"stopped": ["a"]}
    (tmp_path / "records" / "down.json").write_bytes(b"{")
    with pytest.raises(StoreError, match=r"down\.json: it can't be read"):
        await store.load_record("down")
    await store.save_record("down", None)
    await store.save_record("down", None)
    await store.aclose()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
async def test_a_full_disk_is_one_sentence_and_loses_nothing(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], check=True)
    try:
        store = DiskStore(tmp_path)
        await store.open()
        await store.save_definition(URI, definition("small"))
        with pytest.raises(StoreError, match="no space left on device"):
            await store.save_definition(URI, definition("big", f"<title>{'x' * 100_000}</title>"))
        await store.aclose()
        stored, _, again = await reopened(tmp_path)
        assert [item.definition.name for item in stored] == ["small"]
        assert not again.problems
        assert not list(tmp_path.glob("domains/*/.*"))
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


async def test_memory_leaves_no_trace() -> None:
    store = MemoryStore()
    await store.open()
    folder = await store.make_runtime_dir(slot_of(URI, definition().uuid))
    assert folder.is_dir()
    await store.aclose()
    await store.aclose()
    assert not folder.exists()
    assert not folder.parent.parent.exists()


async def test_one_folder_however_many_ask_at_once() -> None:
    store = MemoryStore()
    await store.open()
    folders: set[Path] = set()

    async def make(number: int) -> None:
        folders.add((await store.make_runtime_dir(f"{number}")).parent)

    async with anyio.create_task_group() as tasks:
        for number in range(5):
            tasks.start_soon(make, number)
    await store.aclose()
    assert len(folders) == 1


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
async def test_definitions_are_found_without_the_file_that_names_their_connection(
    tmp_path: Path, content: bytes | None
) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    await store.save_definition(URI, definition("one"))
    [about] = tmp_path.glob("domains/*/connection")
    about.unlink()
    await store.save_definition(URI, definition("two"))
    assert about.exists()
    about.unlink()
    if content is not None:
        about.write_bytes(content)
    await store.aclose()
    stored, _, again = await reopened(tmp_path)
    assert sorted((item.connection, item.definition.name) for item in stored) == [(URI, "one"), (URI, "two")]
    assert not again.problems


async def test_what_a_killed_writer_left_is_removed(tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    web = definition()
    await store.save_definition(URI, web)
    running = await store.make_runtime_dir(slot_of(URI, web.uuid))
    await store.aclose()
    folder = next((tmp_path / "domains").iterdir())
    left = [folder / ".web.xml.12.new", tmp_path / "records" / ".down.json.12.new", running / ".status.json.12.new"]
    for path in left:
        path.write_bytes(b"half")
    stored, _, _ = await reopened(tmp_path)
    assert [item.definition.name for item in stored] == ["web"]
    assert not [path for path in left if path.exists()]


@pytest.mark.parametrize("garbage", [b'{"a":' * 3000, b"[" * 100_000])
async def test_what_is_nested_too_deeply_is_damage_as_any_other(garbage: bytes, tmp_path: Path) -> None:
    store = DiskStore(tmp_path)
    await store.open()
    (await store.make_runtime_dir(slot_of(URI, definition().uuid)) / "status.json").write_bytes(garbage)
    (tmp_path / "records" / "down.json").write_bytes(garbage)
    with pytest.raises(StoreError):
        await store.load_record("down")
    await store.aclose()
    assert len((await reopened(tmp_path))[2].problems) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_closing_that_asyncio_cancels_has_given_up_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``Task.cancel`` breaks through shields, and does not wait for threads."""
    store = DiskStore(tmp_path)
    await store.open()
    release = store._release

    def releasing() -> None:
        anyio.from_thread.run_sync(task.cancel)
        if ended.wait(0.2):  # it did not wait for this thread
            opened.wait(5)
        release()

    monkeypatch.setattr(store, "_release", releasing)
    ended, opened = threading.Event(), threading.Event()
    task = asyncio.ensure_future(store.aclose())
    task.add_done_callback(lambda _: ended.set())
    with pytest.raises(asyncio.CancelledError):
        await task
    try:
        await reopened(tmp_path)
    finally:
        opened.set()
