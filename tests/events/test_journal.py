"""The journal: what is told as durable is there after a kill, and nothing that happens to the file is a crash."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest
from support.events import check_stream, facts, kept, numbers, read_available, read_until, start

from engine.errors import ConfigError, ResyncRequired, StoreError
from engine.events import journal_sqlite
from engine.events.bus import Bus
from engine.events.journal import Journal, MemoryJournal, event_id
from engine.events.journal_file import JournalDamaged, JournalFile, NoJournal, open_reader
from engine.events.journal_sqlite import SqliteJournal
from engine.events.types import DomainStarted, Event, JournalBegun


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


def aside(path: Path) -> list[str]:
    return sorted(entry.name for entry in path.parent.glob("*.corrupt-*") if not entry.name.endswith(("-wal", "-shm")))


def kill(journal: SqliteJournal, path: Path, folder: Path | None = None) -> Path:
    """A copy of the files as a kill at this moment leaves them, where another journal can open them."""
    assert not journal._limiter.borrowed_tokens, "the writer is in the middle of a commit"
    copy = (folder or path.parent.parent) / f"killed-{random.randrange(10**9)}" / path.name
    copy.parent.mkdir()
    for suffix in ("", "-wal"):
        if (source := Path(f"{path}{suffix}")).exists():
            shutil.copy(source, f"{copy}{suffix}")
    return copy


# ---------------------------------------------------------------------------- memory


async def test_a_journal_in_memory_keeps_so_many() -> None:
    async with Bus(MemoryJournal(keep=5)) as bus:
        start(bus, *"abcdefgh")
        journal = bus.journal
        assert (journal.oldest, journal.newest, journal.stable) == (5, 9, 9)
        assert numbers(await kept(journal)) == [5, 6, 7, 8, 9]
        assert numbers(await journal.read(6, 2)) == [7, 8]
        assert await journal.read(9, 10) == []
        assert not journal.durable
        async with bus.subscribe(durable=True) as events:  # as durable as it gets: at once
            assert await read_until(events, start(bus, "i")[0].sequence) is not None


def test_a_journal_keeps_something() -> None:
    with pytest.raises(ConfigError):
        MemoryJournal(keep=0)
    with pytest.raises(ConfigError):
        SqliteJournal("x", keep_count=0)


# ---------------------------------------------------------------------------- on disk


async def test_events_are_there_when_it_is_opened_again(path: Path) -> None:
    published: list[Event] = []
    epochs = set()
    for _ in range(3):
        async with SqliteJournal(path, "host", recent=4) as journal, Bus(journal) as bus:
            published += start(bus, *"abcdefgh")
            epochs.add(journal.epoch)
            if len(published) == 8:
                published = [*await journal.read(0, 1), *published]
        assert journal.error is None
    async with SqliteJournal(path) as journal:
        assert await kept(journal) == published
        assert numbers(published) == list(range(1, 26))
        assert isinstance(published[0], JournalBegun)
        assert published[0].reason == "new"
        # closed as it should be: it is one run of numbers
        assert len(epochs) == 1
    assert (path.stat().st_mode & 0o777) == 0o600


async def test_opening_and_closing_changes_nothing(path: Path) -> None:
    async with SqliteJournal(path):
        pass
    before = path.read_bytes()
    for _ in range(2):
        async with SqliteJournal(path) as journal:
            assert journal.newest == 1
    assert not list(path.parent.glob("*-wal"))
    async with SqliteJournal(path) as journal:
        assert len(await kept(journal)) == 1
    assert len(path.read_bytes()) == len(before)


async def test_aclose_twice(path: Path) -> None:
    journal = SqliteJournal(path)
    async with journal:
        await journal.aclose()
        await journal.aclose()
    await journal.flush()
    assert await kept(journal) != []


async def test_a_kill_begins_an_epoch_and_no_id_is_used_twice(path: Path) -> None:
    ids: dict[str, Event] = {}
    async with SqliteJournal(path, recent=2) as journal, Bus(journal) as bus, bus.subscribe() as live:
        safe = start(bus, *"abc")
        await journal.flush()
        told = start(bus, *"def")  # delivered, and then lost with the process
        for event in await read_until(live, told[-1].sequence):
            ids[event_id(event)] = event
        copy = kill(journal, path)
    async with SqliteJournal(copy, recent=2) as again, Bus(again) as bus:
        assert again.epoch != journal.epoch
        begun = (await again.read(safe[-1].sequence, 1))[0]
        assert isinstance(begun, JournalBegun)
        assert begun.reason == "unclean"
        assert begun.sequence == safe[-1].sequence + 1
        for event in start(bus, *"ghijkl"):
            assert event_id(event) not in ids
        assert numbers(await kept(again)) == list(range(1, 12))
        # who holds a number that was kept goes on; who holds one that was lost is told so, if it is named in full
        async with bus.subscribe(since=safe[-1]) as events:
            assert numbers(await read_available(events)) == list(range(5, 12))
        for lost in told:
            with pytest.raises(ResyncRequired):
                async with bus.subscribe(since=event_id(lost)):
                    pass


async def test_durable_readers_get_only_what_is_on_disk(path: Path) -> None:
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        await journal.flush()
        async with bus.subscribe(durable=True) as durable, bus.subscribe() as live:
            published = start(bus, *"abc")
            assert await anext(live) == published[0]
            for event in published:
                assert await anext(durable) == event
                with open_reader(path) as reader:
                    assert event in reader.read()
        copy = kill(journal, path)
    async with SqliteJournal(copy) as again:
        assert [event for event in await kept(again) if isinstance(event, DomainStarted)] == published


async def test_a_durable_reader_begins_now_not_with_what_is_on_its_way(path: Path) -> None:
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        before = start(bus, *"abc")
        assert journal.stable < before[0].sequence
        async with bus.subscribe(durable=True) as events:
            after = start(bus, *"de")
            assert await read_until(events, after[-1].sequence) == after


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
async def test_durable_readers_with_full_queues(path: Path, policy: str) -> None:
    async with SqliteJournal(path, recent=3) as journal, Bus(journal) as bus:
        await (
            journal.flush()
        )  # a durable reader that begins before all is on disk begins behind, and reads on from there
        async with bus.subscribe(domain="web", bound=2, policy=policy, durable=True) as events:  # type: ignore[arg-type]
            published = start(bus, *["web", "db"] * 10)
            await journal.flush()
            got = await read_available(events)
        wanted = numbers(event for event in published if event.domain == "web")  # type: ignore[attr-defined]
        assert numbers(got) == (wanted if policy == "block" else [-8, *wanted[-2:]])


async def test_a_replay_reads_from_the_disk_and_goes_on_live(path: Path) -> None:
    async with SqliteJournal(path, recent=10) as journal, Bus(journal) as bus:
        published = start(bus, *"ab" * 200)
        await journal.flush()
        async with bus.subscribe(domain="a", since=1, bound=16) as events:
            got = [await anext(events) for _ in range(50)]
            published += start(bus, *"ab" * 20)
            got += await read_until(events, published[-2].sequence)
        check_stream(published, lambda event: event.domain == "a", 1, got, 9999)  # type: ignore[attr-defined]
        assert not any(number < 0 for number in numbers(got))


async def test_a_cancelled_engine_still_writes_its_last_events(path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with SqliteJournal(path) as journal, Bus(journal) as bus:
            scope.cancel()
            published = start(bus, *"abc")
            await anyio.lowlevel.checkpoint()
    async with SqliteJournal(path) as again:
        assert (await kept(again))[1:] == published
        assert again.epoch == journal.epoch


async def test_an_error_in_the_body_is_not_wrapped(path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with SqliteJournal(path):
            raise ZeroDivisionError


# ---------------------------------------------------------------------------- retention


async def test_so_many_events_are_kept(path: Path) -> None:
    async with SqliteJournal(path, keep_count=20, recent=2) as journal, Bus(journal) as bus:
        for _ in range(30):
            start(bus, *"abc")
            await journal.flush()
        await anyio.wait_all_tasks_blocked()
        await journal.flush()
        assert 20 <= journal.newest - journal.oldest + 1 <= 23
        stored = await anyio.to_thread.run_sync(lambda: journal._file.read(0, 999))
        assert 20 <= len(stored) <= 23
        with pytest.raises(ResyncRequired) as error:
            async with bus.subscribe(since=1):
                pass
        async with bus.subscribe(since=error.value.oldest - 1) as events:
            got = await read_available(events)
            assert numbers(got) == list(range(journal.oldest, journal.newest + 1))


async def test_old_events_go_but_the_newest_holds_the_place(path: Path) -> None:
    await write_some(path, 5)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE events SET time = 1")
        db.commit()
    async with SqliteJournal(path, keep_age=100.0, recent=1) as journal, Bus(journal) as bus:
        recent = start(bus, "a")
        await journal.flush()
        await journal.aclose()
        assert journal.oldest == recent[0].sequence == 7
    for _ in range(2):  # nothing but old events: the last one stays
        async with SqliteJournal(path, keep_age=1e-9, recent=1) as journal, Bus(journal) as bus:
            start(bus, "b", "c")
    async with SqliteJournal(path) as journal:
        assert journal.newest == 11
        assert numbers(await kept(journal)) == [11]


async def test_what_is_told_late_is_kept_as_long_as_the_rest(path: Path) -> None:
    await write_some(path, 5)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE events SET time = 1")
        db.commit()
    async with SqliteJournal(path, keep_age=100.0, recent=1) as journal, Bus(journal) as bus:
        late = bus.publish(DomainStarted, time=2.0, **facts())  # it ran until long before this engine looked
        after = start(bus, "a", "b")
        await journal.flush()
        await journal.aclose()
        assert journal.oldest == late.sequence == 7
    async with SqliteJournal(path) as journal:
        assert await kept(journal, 6) == [late, *after]


async def test_a_slow_reader_counts_what_retention_deletes(path: Path) -> None:
    async with SqliteJournal(path, keep_count=10, recent=2) as journal, Bus(journal) as bus:
        async with bus.subscribe(domain="a", bound=2, policy="block") as slow:
            published = start(bus, *"aab")
            for _ in range(20):
                published += start(bus, *"aab")
                await journal.flush()
            await anyio.wait_all_tasks_blocked()
            got = await read_until(slow, published[-2].sequence)
        check_stream(published, lambda event: event.domain == "a", 1, got, 9999)  # type: ignore[attr-defined]
        assert min(numbers(got)) < 0, "nothing was lost: the test shows nothing"
        assert len(got) > 4


# ---------------------------------------------------------------------------- what can happen to the file


async def write_some(path: Path, count: int = 300) -> None:
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        start(bus, *["web"] * count)


def overwrite(path: Path) -> None:
    path.write_bytes(random.Random(1).randbytes(path.stat().st_size))


def empty_other_database(path: Path) -> None:
    path.unlink()
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE events (something TEXT)")


def newer_version(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")


def foreign_epochs(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE epochs SET first = 1000000")
        db.commit()


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    (path / "file").touch()


@pytest.mark.parametrize(
    "damage", [overwrite, empty_other_database, newer_version, foreign_epochs, folder], ids=lambda f: f.__name__
)
async def test_an_unreadable_journal_is_set_aside(path: Path, damage: object) -> None:
    await write_some(path)
    damage(path)  # type: ignore[operator]
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        assert (await journal.read(0, 1))[0].sequence == 1
        begun = (await journal.read(0, 1))[0]
        assert isinstance(begun, JournalBegun)
        assert begun.reason == "corrupt"
        start(bus, "web")
        await journal.flush()
        if journal.error is not None:  # what could not even be opened is set aside by the first write
            await journal.flush()
        assert journal.error is None
        with pytest.raises(ResyncRequired):
            async with bus.subscribe(since=300):
                pass
    assert aside(path) == ["journal.db.corrupt-1"]
    async with SqliteJournal(path) as journal:
        assert numbers(await kept(journal)) == [1, 2]
    assert aside(path) == ["journal.db.corrupt-1"]


async def test_the_newest_of_what_was_set_aside_are_kept(path: Path) -> None:
    path.parent.mkdir()
    (path.parent / "journal.db.corrupt-note").touch()
    for number in range(1, 12):
        path.write_text(f"no journal {number} " * 1000)
        Path(f"{path}-wal").touch()
        async with SqliteJournal(path) as journal:
            await journal.flush()
            assert journal.error is None
    assert aside(path) == [*(f"journal.db.corrupt-{number}" for number in (10, 11, 9)), "journal.db.corrupt-note"]
    assert Path(f"{path}.corrupt-9").read_text().startswith("no journal 9 ")
    assert not Path(f"{path}.corrupt-8-wal").exists()


async def test_a_missing_journal_begins_anew(path: Path) -> None:
    await write_some(path)
    path.unlink()
    async with SqliteJournal(path) as journal:
        begun = (await kept(journal))[0]
        assert isinstance(begun, JournalBegun)
        assert (begun.reason, begun.sequence) == ("new", 1)
    assert aside(path) == []


@pytest.mark.parametrize("seed", range(12))
async def test_no_damage_is_a_crash(path: Path, seed: int) -> None:
    """Cut it short or write garbage into it, open it, read it all, write to it, and do it again."""
    chance = random.Random(seed)
    await write_some(path)
    data = bytearray(path.read_bytes())
    if seed % 3 == 0:
        del data[chance.randrange(len(data)) :]
    else:
        for _ in range(seed):
            at = chance.randrange(len(data))
            data[at : at + 200] = chance.randbytes(200)
    path.write_bytes(data)
    for _ in range(2):
        async with SqliteJournal(path, recent=2) as journal, Bus(journal) as bus:
            with contextlib.suppress(StoreError):
                await kept(journal, journal.oldest - 1)
            published = start(bus, *"abc")
            await journal.flush()
            await journal.flush()
            assert journal.error is None
            # reading found the damage by now, at the latest; whatever it was, what follows is whole
            got = await kept(journal, published[0].sequence - 1)
            assert got == published


@pytest.mark.parametrize("seed", range(6))
async def test_a_damaged_log_beside_the_file_is_no_crash(path: Path, seed: int) -> None:
    """After a kill the newest events are in the -wal file only."""
    chance = random.Random(seed)
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        for name in "abcdefgh":
            start(bus, name)
            await journal.flush()
        copy = kill(journal, path)
    log = copy.with_name(f"{copy.name}-wal")
    data = bytearray(log.read_bytes())
    assert len(data) > 8 * 4096
    if seed % 2:
        del data[chance.randrange(len(data)) :]
    else:
        at = chance.randrange(len(data))
        data[at : at + 50] = chance.randbytes(50)
    log.write_bytes(data)
    async with SqliteJournal(copy) as again, Bus(again) as bus:
        published = start(bus, "z")
        got = await kept(again)
        assert numbers(got) == list(range(1, published[0].sequence + 1))
        assert again.epoch != journal.epoch
        assert again.newest <= 9 + 2


async def test_damage_met_while_reading_replaces_the_file(path: Path) -> None:
    await write_some(path, 2000)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2 // 4096 * 4096
    data[middle : middle + 4096] = b"\xff" * 4096
    path.write_bytes(data)
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        before = start(bus, *"abc")
        epoch = journal.epoch
        async with bus.subscribe(since=0, policy="block") as events:
            got = await read_until(events, before[-1].sequence)
        check_stream_with_holes(got, before[-1].sequence)
        assert aside(path) == ["journal.db.corrupt-1"]
        assert got[-3:] == before
        after = start(bus, "d")
        assert after[0].epoch == epoch
    async with SqliteJournal(path) as journal:
        assert numbers(await kept(journal)) == numbers([*before, *after])


async def test_a_text_that_is_no_unicode_damages_nothing(path: Path) -> None:
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        said = bus.publish(DomainStarted, **{**facts(), "reason": "/tmp/\udcff/x: no such file"})
        await journal.flush()
        assert (journal.error, journal.stable) == (None, said.sequence)
        assert aside(path) == []
    async with SqliteJournal(path) as journal:
        assert (await kept(journal))[-1] == msgspec.structs.replace(said, reason="/tmp/\\udcff/x: no such file")


@pytest.mark.parametrize("before", [3, 0])
async def test_a_file_is_not_set_aside_before_something_could_be_written(
    path: Path, before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever makes every file seem damaged: it must not fill the disk with files set aside."""
    attempts = 0

    def refuse(*_: object) -> None:
        nonlocal attempts
        attempts += 1
        raise JournalDamaged(str(path), "database disk image is malformed")

    if before:
        await write_some(path, before)
    else:
        path.parent.mkdir()
        path.write_bytes(b"no journal" * 1000)  # set aside when it is opened
    monkeypatch.setattr(journal_sqlite, "_LAST_RETRY", 0.01)
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        await journal.flush()
        assert journal.error is None
        with monkeypatch.context() as patch:
            patch.setattr(journal._file, "append", refuse)
            published = start(bus, *"abc")
            while attempts < 5:
                await journal.flush()
            assert len(aside(path)) == (1 if before else 2)
            assert "malformed" in str(journal.error)
        await journal.flush()
        assert (journal.error, journal.stable) == (None, published[-1].sequence)
        assert numbers(await kept(journal, published[0].sequence - 1)) == numbers(published)


async def test_a_file_refused_from_its_first_event_is_set_aside_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = 0

    def refuse(file: JournalFile, *_: object) -> None:
        nonlocal attempts
        attempts += 1
        raise JournalDamaged(str(path), "database disk image is malformed")

    path.parent.mkdir()
    path.write_bytes(b"no journal" * 1000)
    monkeypatch.setattr(journal_sqlite, "_LAST_RETRY", 0.01)
    monkeypatch.setattr(JournalFile, "append", refuse)
    async with SqliteJournal(path) as journal:
        while attempts < 5:
            await journal.flush()
        assert aside(path) == ["journal.db.corrupt-1"]


def check_stream_with_holes(events: list[Event], end: int) -> None:
    """Every number up to ``end`` was given, or counted as missed."""
    place = 0
    for number in numbers(events):
        place += -number if number < 0 else 1
        assert number < 0 or number == place
    assert place == end


# ---------------------------------------------------------------------------- a full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    mount = tmp_path / "disk"
    mount.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(mount)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small disk can be mounted by root only")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return filler


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
async def test_a_full_disk_holds_up_durable_readers_only(small_disk: Path, policy: str) -> None:
    path = small_disk / "journal.db"
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        await journal.flush()
        async with bus.subscribe(durable=True, policy=policy) as durable, bus.subscribe(policy=policy) as live:  # type: ignore[arg-type]
            filler = fill(small_disk)
            published: list[Event] = []
            while journal.error is None:
                published += start(bus, *["web"] * 50)
                await journal.flush()
            assert isinstance(journal.error, StoreError)
            published += start(bus, *"abc")
            # the others don't notice
            assert await read_until(live, published[-1].sequence) == published
            stable = journal.stable
            got = await read_available(durable)
            assert numbers(got) == list(range(2, stable + 1))
            assert stable < journal.newest
            filler.unlink()
            got += await read_until(durable, published[-1].sequence)  # nobody had to ask again
            assert got == published
            assert journal.error is None
    async with SqliteJournal(path) as again:
        assert (await kept(again))[1:] == published


@pytest.mark.parametrize("policy", ["block", "drop_oldest"])
async def test_what_a_full_disk_and_a_full_backlog_lose_is_a_gap(small_disk: Path, policy: str) -> None:
    path = small_disk / "journal.db"
    async with SqliteJournal(path, recent=4, backlog=20) as journal, Bus(journal) as bus:
        await journal.flush()
        async with bus.subscribe(domain="a", durable=True, policy=policy) as durable:  # type: ignore[arg-type]
            published = start(bus, *"ab")
            await journal.flush()
            filler = fill(small_disk)
            while journal.error is None:
                published += start(bus, *"ab" * 5)
                await journal.flush()
            published += start(bus, *"ab" * 200)
            assert journal.lost > 300
            assert len(journal._ring) <= 20
            filler.unlink()
            with anyio.fail_after(20):
                while journal.stable < journal.newest:
                    await journal.flush()
            got = await read_available(durable)
            check_stream(published, lambda event: event.domain == "a", 1, got, 9999)  # type: ignore[attr-defined]
            assert min(numbers(got)) < 0
        # whoever replays the stretch later reads a gap too: of all numbers, nobody knows any more what they were
        async with bus.subscribe(since=0) as replay:
            check_stream_with_holes(await read_until(replay, journal.newest), journal.newest)


async def test_an_engine_starts_on_a_full_disk(small_disk: Path) -> None:
    path = small_disk / "journal.db"
    await write_some(path, 20)
    filler = fill(small_disk)
    async with SqliteJournal(path) as journal, Bus(journal) as bus, bus.subscribe() as live:
        published = start(bus, *"abc")
        assert await read_until(live, published[-1].sequence) == published
        await journal.flush()
        assert journal.error is not None
        # what is on disk is still known, so the numbers go on, in an epoch of their own
        assert published[0].sequence == 23
        filler.unlink()
        with anyio.fail_after(20):
            while journal.stable < journal.newest:
                await journal.flush()
        assert numbers(await kept(journal)) == list(range(1, 26))
    assert aside(path) == []


async def test_a_new_journal_on_a_full_disk_is_in_memory_until_there_is_room(small_disk: Path) -> None:
    path = small_disk / "journal.db"
    filler = fill(small_disk)
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        start(bus, *"abc")
        await journal.flush()
        assert journal.error is not None
        assert numbers(await kept(journal)) == [1, 2, 3, 4]
        filler.unlink()
        with anyio.fail_after(20):
            while journal.stable < journal.newest:
                await journal.flush()
    async with SqliteJournal(path) as journal:
        assert numbers(await kept(journal)) == [1, 2, 3, 4]


async def test_what_a_full_disk_never_took_is_told_by_the_next(small_disk: Path) -> None:
    path = small_disk / "journal.db"
    await write_some(path, 20)
    filler = fill(small_disk)
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        lost = start(bus, *"abc")
    assert journal.error is not None
    filler.unlink()
    async with SqliteJournal(path) as again, Bus(again) as bus:
        await again.flush()
        assert again.error is None
        begun = (await kept(again))[-1]
        assert isinstance(begun, JournalBegun)
        assert (begun.reason, begun.sequence) == ("unclean", 22)
        assert {event.epoch for event in lost}.isdisjoint({again.epoch, (await kept(again))[0].epoch})
    async with SqliteJournal(path) as third:
        assert third.epoch == again.epoch, "it is told once"


@pytest.mark.parametrize("before", [0, 20], ids=["new", "there"])
@pytest.mark.parametrize("killed", [False, True], ids=["closed", "killed"])
async def test_whatever_room_there_is_no_id_names_two_facts_and_no_loss_goes_untold(
    small_disk: Path, tmp_path: Path, killed: bool, before: int
) -> None:
    untaken = 0
    for pages in range(0, 28, 2):  # up to all that opening and writing take
        path = small_disk / str(pages) / "journal.db"
        if before:
            await write_some(path, before)
        filler = fill(small_disk)
        os.truncate(filler, max(0, filler.stat().st_size - pages * 4096))
        ids: dict[str, Event] = {}
        epochs = set()
        for _ in range(3):
            async with SqliteJournal(path) as journal, Bus(journal) as bus:
                start(bus, *"abc")
                for _ in range(3):
                    await journal.flush()
                check_ids(ids, await kept(journal, journal.oldest - 1))
                epochs.add(journal.epoch)
                left = kill(journal, path, tmp_path) if killed else path
        filler.unlink()
        async with SqliteJournal(left) as again, Bus(again) as bus:
            await again.flush()
            assert again.error is None
            stored = await kept(again)
            if killed or ids.keys() - {event_id(event) for event in stored}:
                untaken += not killed
                assert again.epoch not in epochs, f"what did not fit into {pages} pages goes untold"
                assert isinstance(stored[-1], JournalBegun)
                assert stored[-1].reason == ("unclean" if len(stored) > 1 else "new")
            check_ids(ids, [*stored, *start(bus, *"abcdefgh")])
        assert aside(path) == aside(left) == []
        shutil.rmtree(path.parent)
    assert killed or 0 < untaken < 28, "with too much room, or too little, the test shows nothing"


def check_ids(known: dict[str, Event], events: Iterable[Event]) -> None:
    for event in events:
        assert known.setdefault(event_id(event), event) == event, f"{event_id(event)} names two facts"


@pytest.mark.parametrize("missing", [(), ("-shm",)], ids=["all", "no-shm"])
async def test_a_kill_on_a_full_disk_hides_nothing_from_the_next(small_disk: Path, missing: tuple[str, ...]) -> None:
    """After a kill all is in the -wal file, and reading that takes room as a rule."""
    async with SqliteJournal(small_disk / "before" / "journal.db") as journal, Bus(journal) as bus:
        published = start(bus, *"abc")
        await journal.flush()
        path = small_disk / "journal.db"
        for suffix in ("", "-wal", "-shm"):
            if suffix not in missing:
                shutil.copy(f"{journal.path}{suffix}", f"{path}{suffix}")
    filler = fill(small_disk)
    async with SqliteJournal(path) as again, Bus(again) as bus:
        assert again.error is not None
        assert again.newest == published[-1].sequence + 1
        assert again.epoch != journal.epoch
        published += start(bus, *"def")
        filler.unlink()
        with anyio.fail_after(20):
            while again.stable < again.newest:
                await again.flush()
        assert numbers(await kept(again)) == list(range(1, 9))
        assert aside(path) == []


async def test_a_read_only_disk_hides_nothing(small_disk: Path) -> None:
    async with SqliteJournal(small_disk / "before" / "journal.db") as journal, Bus(journal) as bus:
        published = start(bus, *"abc")
        await journal.flush()
        path = small_disk / "journal.db"
        for suffix in ("", "-wal", "-shm"):
            shutil.copy(f"{journal.path}{suffix}", f"{path}{suffix}")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    async with SqliteJournal(path) as first, Bus(first) as bus:
        assert first.error is not None
        told = start(bus, "d")
        assert told[0].sequence == published[-1].sequence + 2
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    async with SqliteJournal(path) as again:
        assert again.epoch not in {journal.epoch, first.epoch}
        assert numbers(await kept(again)) == list(range(1, 6))
    assert aside(path) == []


@pytest.mark.parametrize("size", ["16k", "48k", "64k"])
async def test_a_disk_that_never_had_room_has_no_damaged_journals(tmp_path: Path, size: str) -> None:
    disk = tmp_path / "tiny"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=True)
    path = disk / "journal.db"
    try:
        for _ in range(4):
            async with SqliteJournal(path) as journal, Bus(journal) as bus:
                start(bus, *"abc")
            assert journal.error is not None
        assert aside(path) == []
        with pytest.raises(NoJournal, match="there is no journal to read"):
            open_reader(path)
        subprocess.run(["mount", "-o", "remount,size=2m", str(disk)], check=True)
        async with SqliteJournal(path) as journal:
            await journal.flush()
            assert [type(event) for event in await kept(journal)] == [JournalBegun]
        assert aside(path) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_a_journal_that_could_not_be_read_is_not_written_over(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_some(path, 5)
    monkeypatch.setattr(journal_sqlite, "_LAST_RETRY", 0.01)

    def refuse(self: JournalFile) -> None:
        raise StoreError(str(path), "database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(JournalFile, "open", refuse)
        patched.setattr(JournalFile, "peek", lambda self: None)
        journal = SqliteJournal(path)
        await journal.__aenter__()
    async with Bus(journal) as bus:
        published = start(bus, *"abc")
        with anyio.fail_after(20):
            while journal.stable < published[-1].sequence:
                await journal.flush()
        assert numbers(await kept(journal)) == [1, 2, 3, 4]
    await journal.aclose()
    assert aside(path) == ["journal.db.corrupt-1"]


async def test_a_full_database_is_retried_by_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same without a small disk: sqlite's own limit gives the same error."""
    monkeypatch.setattr(journal_sqlite, "_LAST_RETRY", 0.1)
    async with SqliteJournal(path) as journal, Bus(journal) as bus, bus.subscribe(durable=True) as durable:
        await journal.flush()
        limit = "PRAGMA max_page_count = {}".format
        await anyio.to_thread.run_sync(journal._file._opened.execute, limit(8))
        published = start(bus, *["web"] * 500)
        await journal.flush()
        assert journal.error is not None
        assert "full" in str(journal.error)
        assert await read_available(durable) == []
        await journal._in_thread(journal._file._opened.execute, limit(100000))
        assert await read_until(durable, published[-1].sequence) == published


async def test_what_could_not_be_written_until_the_end_is_no_clean_close(path: Path) -> None:
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        await journal.flush()
        await anyio.to_thread.run_sync(journal._file._opened.execute, "PRAGMA max_page_count = 8")
        lost = start(bus, *["web"] * 500)
    assert journal.error is not None
    async with SqliteJournal(path) as again:
        assert again.epoch != journal.epoch
        assert again.newest < lost[-1].sequence
        assert numbers(await kept(again)) == list(range(1, again.newest + 1))


# ---------------------------------------------------------------------------- other processes


async def test_the_command_line_reads_beside_the_engine(path: Path) -> None:
    with pytest.raises(StoreError):
        open_reader(path)
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        published = start(bus, *"abc")
        await journal.flush()
        code = (
            "import sys; from engine.events.journal_file import JournalDamaged, JournalFile, NoJournal, open_reader\n"
            "with open_reader(sys.argv[1]) as r: print(r.oldest, r.newest, [e.sequence for e in r.read(2, 1)])"
        )
        command = [sys.executable, "-c", code, str(path)]
        done = await anyio.run_process(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
        assert done.stdout.decode().split() == ["1", "4", "[3]"]
        with open_reader(path) as reader:
            assert reader.read()[1:] == published
            published += start(bus, "d")
            await journal.flush()
            assert reader.read(4) == published[-1:]
            assert reader.read(5) == []
    with open_reader(path) as reader:  # nobody holds it
        assert reader.read()[1:] == published


async def test_a_commit_shows_in_the_file_s_time(path: Path) -> None:
    async with SqliteJournal(path) as journal, Bus(journal) as bus:
        await journal.flush()
        for _ in range(2):
            os.utime(path, (1, 1))
            start(bus, "a")
            await journal.flush()
            assert path.stat().st_mtime > 1


async def test_a_read_only_folder_can_be_read_when_closed(path: Path) -> None:
    await write_some(path, 3)
    path.chmod(0o400)
    path.parent.chmod(0o500)
    try:
        with open_reader(path) as reader:
            assert len(reader.read()) == 4
    finally:
        path.parent.chmod(0o700)


WRITER = """
import sys, anyio
from engine.events.bus import Bus
from engine.events.journal_sqlite import SqliteJournal
from engine.events.journal import event_id
from engine.events.types import ConnectionOpened

async def tell(bus, durable):
    async with bus.subscribe(durable=durable, policy="block") as events:
        async for event in events:
            print("durable" if durable else "live", event_id(event), getattr(event, "connection", ""), flush=True)

async def main():
    count = 0
    async with SqliteJournal(sys.argv[1], "host", recent=8, keep_count=200) as journal, Bus(journal) as bus:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(tell, bus, True)
            tasks.start_soon(tell, bus, False)
            await anyio.wait_all_tasks_blocked()
            while True:
                for _ in range(int(sys.argv[2])):
                    count += 1
                    bus.publish(ConnectionOpened, connection=f"test:///{sys.argv[3]}-{count}")
                await anyio.sleep(0.001)

anyio.run(main, backend=sys.argv[4])
"""


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_kill_at_random_points(path: Path, anyio_backend: str) -> None:
    """What a durable reader was told is there afterwards, as it was told; no id ever names two facts."""
    chance = random.Random(7)
    ids: dict[str, str] = {}
    path.parent.mkdir()
    for round_ in range(8):
        backend = ("asyncio", "trio")[round_ % 2]
        output = path.parent / "told"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-c", WRITER, str(path), str(chance.choice([1, 7, 60])), str(round_), backend],
                stdout=file,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            )
        # it runs for as long as it takes to have told something, and then for a random while
        with anyio.fail_after(30):
            while not output.stat().st_size:
                await anyio.sleep(0.01)
        await anyio.sleep(chance.uniform(0, 0.15))
        process.send_signal(signal.SIGKILL)
        process.wait()
        told = [line.split() for line in output.read_text().splitlines() if line.count(" ") == 2]
        last_line_whole = output.read_bytes().endswith(b"\n")
        if not last_line_whole:
            told.pop()
        with open_reader(path) as reader:
            stored = reader.read(0, 10**6)
        assert numbers(stored) == list(range(stored[0].sequence, stored[-1].sequence + 1)), "a hole"
        facts = {event_id(event): getattr(event, "connection", "") for event in stored}
        for kind, name, fact in told:
            assert ids.setdefault(name, fact) == fact, f"{name} names two facts"
            if kind == "durable" and int(name.partition("/")[2]) >= stored[0].sequence:
                assert facts[name] == fact, f"{name} was told as durable and is not there"
        for name, fact in facts.items():
            assert ids.setdefault(name, fact) == fact, f"{name} names two facts"
    assert len(ids) > 100
    assert aside(path) == []


def test_the_interface_is_one() -> None:
    assert issubclass(MemoryJournal, Journal)
    assert issubclass(SqliteJournal, Journal)
    assert SqliteJournal.durable


def test_the_epoch_of_the_newest_event_that_is_gone_is_kept(path: Path) -> None:
    """Whoever has read just that one, and names it in full, has missed nothing."""
    facts = {"host": "h", "time": 1.0, "reason": "new"}
    events = [JournalBegun(epoch=epoch, sequence=number, **facts) for number, epoch in ((1, "a"), (2, "b"), (3, "b"))]
    epochs = [("a", 1), ("b", 2)]
    path.parent.mkdir(exist_ok=True)
    file = JournalFile(path)
    file.open()
    file.append(events, epochs)
    for up_to, expected in ((1, epochs), (2, epochs[1:])):
        file.forget(up_to)
        file.close(3)
        assert list(file.open().epochs) == expected
    file.close(3)
