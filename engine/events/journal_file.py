"""The journal's file: an sqlite database in WAL mode. Everything here blocks and belongs in a thread.

Only one process writes it (the state directory's lock sees to that); any number may read it meanwhile. All sqlite and
OS errors become StoreError here, or JournalDamaged where another attempt can't help.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from engine.errors import EventError, StoreError
from engine.events.encoding import decode, encode
from engine.events.journal import now
from engine.events.types import Event
from engine.util.files import fsync_dir

__all__ = ["JournalDamaged", "JournalFile", "JournalReader", "NoDescriptors", "NoJournal", "Stored", "open_reader"]

_VERSION = 1
_APPLICATION = 0x76656A31  # "vej1": tells the file from any other database
_SCHEMA = f"""
    BEGIN;
    CREATE TABLE events (sequence INTEGER PRIMARY KEY, time REAL NOT NULL, body BLOB NOT NULL);
    CREATE TABLE epochs (first INTEGER PRIMARY KEY, epoch TEXT NOT NULL);
    CREATE TABLE closed (newest INTEGER NOT NULL);
    PRAGMA application_id = {_APPLICATION};
    PRAGMA user_version = {_VERSION};
    COMMIT;
"""
# the host's trouble, not the file's: https://www.sqlite.org/rescode.html
_HOST_TROUBLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_INTERRUPT,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOLFS,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_READONLY,
    }
)
_FILES = ("-wal", "-shm", "")
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})
#: The file, its -wal, its -shm, their folder, and a look at the file beside.
_DESCRIPTORS = 5
_BUSY_SECONDS = 5.0
#: A bit that means nothing for a file, so it is free to say that events were told which it does not hold. Unlike the
#: time of change, no write of sqlite's undoes it.
_HOLED = stat.S_ISVTX
#: How many files that were set aside are kept.
_ASIDE = 3


class JournalDamaged(StoreError):
    """The file is no journal, or not one this version can read: it must be set aside."""


class NoJournal(StoreError):
    """There is nothing to read: no engine has written an event there yet."""


class NoDescriptors(StoreError):
    """This process may open no more files. Nothing is known of the journal: it may well be whole."""


class Stored(NamedTuple):
    """What the file knows.

    Attributes:
        newest: the newest number used, 0 in a new file; after an unclean stop the newest that got to the disk.
        oldest: the oldest number kept.
        epochs: name and first number of each epoch of which something is kept.
        clean: it was closed as it should be, so ``newest`` is sure.
    """

    newest: int = 0
    oldest: int = 1
    epochs: tuple[tuple[str, int], ...] = ()
    clean: bool = False


class JournalFile:
    """The writer's side: one object, used by one thread at a time; ``read`` may be called beside it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db: sqlite3.Connection | None = None

    def open(self) -> Stored:
        """Open or create the file, tell what is in it, and note that it is in use.

        Raises:
            StoreError, JournalDamaged: it is not open then.
        """
        with self._translated():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            holed = self._has_hole()
            # its -wal and -shm files take over the mode
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = sqlite3.connect(self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(self._db)
                stored = _load(self._db, self.path)
                self._db.execute("DELETE FROM closed")
                if holed:  # from here on it is the missing note of a clean close that tells
                    self.path.chmod(stat.S_IMODE(self.path.stat().st_mode) & ~_HOLED)
                return stored._replace(clean=stored.clean and not holed)
            except BaseException:
                self.close()
                raise

    def mark_hole(self) -> None:
        """Events are told that may never get to the disk, which has no room for a note of it: the file's mode has.
        Best effort; ``open`` undoes it, and tells of it as of an unclean stop."""
        with contextlib.suppress(OSError):
            fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fchmod(fd, stat.S_IMODE(os.fstat(fd).st_mode) | _HOLED)
                os.fsync(fd)
            finally:
                os.close(fd)

    def _has_hole(self) -> bool:
        try:
            return bool(self.path.stat().st_mode & _HOLED)
        except FileNotFoundError:
            return False

    def peek(self) -> Stored | None:
        """What is in a file that can't be opened, e.g. as the disk is full; None: can't tell."""
        try:
            with self._translated(), contextlib.closing(_connect_reading(self.path, alone=True)) as db:
                return Stored() if _empty(db) else _load(db, self.path)
        except StoreError:
            return None

    def append(self, events: Sequence[Event], epochs: Sequence[tuple[str, int]]) -> None:
        """Put events on the disk, all or none; they are there when it returns.

        The file's time of change is set then: what another process can watch for (inotify's ``IN_ATTRIB``).
        """
        written = now()
        with self._transaction() as db:
            db.executemany("INSERT OR IGNORE INTO epochs (epoch, first) VALUES (?, ?)", epochs)
            db.executemany(
                "INSERT INTO events (sequence, time, body) VALUES (?, ?, ?)",
                # not ``event.time``: what is told late must not go before anybody could read it
                ((event.sequence, written, encode(event)) for event in events),
            )
        # who follows the file sleeps in inotify: sqlite's last write comes before what it wrote can be seen, this after
        with contextlib.suppress(OSError):
            os.utime(self.path)

    def expired(self, before: float) -> int:
        """The newest number of which it and all older ones were written before that time; 0: none."""
        with self._translated():
            row = self._opened.execute(
                "SELECT sequence - 1 FROM events WHERE time >= ? ORDER BY sequence LIMIT 1", (before,)
            ).fetchone()
            if row is None:
                row = self._opened.execute("SELECT coalesce(max(sequence), 0) FROM events").fetchone()
            return int(row[0])

    def forget(self, up_to: int) -> None:
        """Delete all events up to that number, and the epochs that end before it (who has read just it may go on)."""
        with self._transaction() as db:
            db.execute("DELETE FROM events WHERE sequence <= ?", (up_to,))
            db.execute("DELETE FROM epochs WHERE first < (SELECT max(first) FROM epochs WHERE first <= ?)", (up_to,))

    def read(self, since: int, limit: int, up_to: int | None = None) -> list[Event]:
        """Up to ``limit`` events after ``since``; on a connection of its own, so a commit doesn't hold it up."""
        with self._translated(), contextlib.closing(_connect_reading(self.path)) as db:
            return _read(db, since, limit, up_to)

    def set_aside(self) -> Path:
        """Move the file out of the way, to ``NAME.corrupt-N``. Of those before it the newest are kept."""
        self.close()
        with self._translated():
            earlier = self._aside()
            number = earlier[-1] + 1 if earlier else 1
            for suffix in _FILES:
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self.path}{suffix}").rename(f"{self.path}.corrupt-{number}{suffix}")
            for old in earlier[: 1 - _ASIDE]:
                for suffix in _FILES:
                    with contextlib.suppress(OSError):  # a folder in the journal's place is not the engine's to destroy
                        Path(f"{self.path}.corrupt-{old}{suffix}").unlink()
            fsync_dir(self.path.parent)
            return Path(f"{self.path}.corrupt-{number}")

    def _aside(self) -> list[int]:
        """The numbers of what was set aside, oldest first."""
        begin = f"{self.path.name}.corrupt-"
        ends = (entry.name.removeprefix(begin) for entry in self.path.parent.glob(f"{begin}*"))
        return sorted(int(end) for end in ends if end.isascii() and end.isdecimal())

    def close(self, newest: int | None = None) -> None:
        """Close it; ``newest``: everything up to this number is in it, so the next one can go on from there."""
        db, self._db = self._db, None
        if db is None:
            return
        with self._translated(), contextlib.closing(db):
            if newest is not None:
                db.execute("INSERT INTO closed (newest) VALUES (?)", (newest,))

    @property
    def is_open(self) -> bool:
        """Whether ``append`` can work."""
        return self._db is not None

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            raise StoreError(str(self.path), "the journal is not open")
        return self._db

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute("PRAGMA synchronous = FULL")
        version, application = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id")
        )
        if version == 0 and _empty(db):
            db.execute("PRAGMA journal_mode = WAL")
            db.executescript(_SCHEMA)
            fsync_dir(self.path.parent)
        elif version != _VERSION or application != _APPLICATION:
            raise JournalDamaged(str(self.path), "not a journal, or one of another version")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._translated():
            db = self._opened
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                # sqlite has rolled back by itself after a full disk
                if db.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        with _translated(self.path):
            yield


class JournalReader:
    """Reads a journal that another process may be writing. Blocking; a context manager.

    Attributes:
        oldest, newest: the numbers kept when it was opened.
        epochs: name and first number of each epoch.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _translated(path):
            self._db = _connect_reading(path)
            try:
                stored = Stored() if _empty(self._db) else _load(self._db, path)
                if not stored.newest:
                    raise NoJournal(str(path), "there is no journal to read: no event was written to it yet")
                self.newest, self.oldest, self.epochs, _ = stored
            except BaseException:
                self._db.close()
                raise

    def read(self, since: int = 0, limit: int = 1024) -> list[Event]:
        """Up to ``limit`` events after number ``since``; none: there is nothing newer at the moment.

        A number missing in between is an event that could not be kept.

        Raises:
            StoreError: the journal can't be read.
        """
        with _translated(self.path):
            return _read(self._db, since, limit, None)

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def open_reader(path: str | os.PathLike[str]) -> JournalReader:
    """A reader of the journal at ``path``, whether an engine holds it or not.

    Raises:
        NoJournal: there is none, or nothing in it. StoreError: it can't be read.
    """
    if not Path(path).exists():
        raise NoJournal(os.fspath(path), "there is no journal (nothing has been done with this state directory yet)")
    return JournalReader(Path(path))


def _connect_reading(path: Path, *, alone: bool = False) -> sqlite3.Connection:
    """``alone``: nobody else uses the file, so that it can be read whatever is missing beside it."""
    uri = path.absolute().as_uri()
    db = sqlite3.connect(
        f"{uri}?mode=ro", uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.OperationalError:
        db.close()
    except BaseException:
        db.close()
        raise
    else:
        return db
    # nothing can be written, and reading as usual would have to create the -shm file
    wal = Path(f"{path}-wal")
    if not wal.exists() or not wal.stat().st_size:
        return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    _check_descriptors(path)
    if not alone:
        raise StoreError(str(path), "can't be read without write permission and room on the disk")
    db = sqlite3.connect(f"{uri}?mode=rw", uri=True, isolation_level=None, check_same_thread=False)
    # keeps in memory what the -shm file is for: https://www.sqlite.org/wal.html#use_of_wal_without_shared_memory
    db.execute("PRAGMA locking_mode = EXCLUSIVE")
    return db


def _empty(db: sqlite3.Connection) -> bool:
    return bool(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0)


def _load(db: sqlite3.Connection, path: Path) -> Stored:
    # two queries take one look each at an end of the tree, one for both walks through all of it
    oldest = db.execute("SELECT min(sequence) FROM events").fetchone()[0]
    newest = db.execute("SELECT max(sequence) FROM events").fetchone()[0]
    closed = db.execute("SELECT max(newest) FROM closed").fetchone()[0]
    epochs = tuple(
        (str(epoch), int(first)) for epoch, first in db.execute("SELECT epoch, first FROM epochs ORDER BY first")
    )
    newest = max(newest or 0, closed or 0)
    if newest and (not epochs or newest < epochs[-1][1] or (oldest is not None and oldest < 1)):
        raise JournalDamaged(str(path), "its epochs and its events don't fit together")
    return Stored(newest, oldest if oldest is not None else newest + 1, epochs, closed is not None)


def _read(db: sqlite3.Connection, since: int, limit: int, up_to: int | None) -> list[Event]:
    # numbers are 64 bits signed in sqlite
    rows = db.execute(
        "SELECT sequence, body FROM events WHERE sequence > ? AND sequence <= ? ORDER BY sequence LIMIT ?",
        (since, up_to if up_to is not None else 2**63 - 1, limit),
    ).fetchall()
    events = [decode(body) for _, body in rows]
    if any(event.sequence != sequence for event, (sequence, _) in zip(events, rows, strict=True)):
        raise EventError("an event is not where its number says")
    return events


def _check_descriptors(path: Path) -> None:
    """Raise NoDescriptors unless this process may open as many more files as a journal takes."""
    opened: list[int] = []
    try:
        for _ in range(_DESCRIPTORS):
            opened.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
    except OSError as exc:
        raise NoDescriptors(str(path), (exc.strerror or str(exc)).lower()) from exc
    finally:
        for fd in opened:
            os.close(fd)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as exc:
        code = getattr(exc, "sqlite_errorcode", None)
        if code is not None and code & 0xFF == sqlite3.SQLITE_CANTOPEN:
            _check_descriptors(path)  # sqlite does not say why
        kind = StoreError if code is not None and code & 0xFF in _HOST_TROUBLE else JournalDamaged
        raise kind(str(path), str(exc)) from exc
    except OSError as exc:
        kind = NoDescriptors if exc.errno in _NO_DESCRIPTORS else StoreError
        raise kind(str(path), (exc.strerror or str(exc)).lower()) from exc
    except (EventError, TypeError, ValueError, OverflowError) as exc:
        raise JournalDamaged(str(path), str(exc)) from exc
