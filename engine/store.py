"""What the engine keeps: definitions, run-time state, records. In memory, or in a state directory it alone holds.

Layout of a state directory::

    lock                        held with flock; names the holder
    domains/CONNECTION/NAME.xml definitions; the name of the file only helps people, the text inside counts
    autostart/SLOT              empty; there: the domain is started with the host
    save/SLOT.save              managed saves
    state/SLOT/                 what else of a domain outlives its runs, e.g. its TPM
    log/CONNECTION/NAME.log     the hypervisors' own words
    records/NAME.json           small facts of the engine's own, e.g. what ``down`` stopped
    order.toml                  the order policy, written by the user
    journal.db                  the event journal
    ended/SLOT                  why its last run ended
    run/SLOT/                   a running domain: its sockets, and status.json

SLOT stands for one domain of one connection (``slot_of``): two connections may each have a domain of one UUID.
The run-time part lies elsewhere (``/run``) when the state directory's path is too long for a socket's address or the
caller says so.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import struct
import time
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, unquote

import anyio
import anyio.to_thread
import msgspec

from engine.conf import DomainDefinition, parse_domain
from engine.errors import ConfigError, StateDirLocked, StoreError
from engine.lifecycle import State
from engine.util.cancellation import cancel_by_scope
from engine.util.files import PARTIAL, fsync_dir, remove_file, write_atomic
from engine.util.savefile import read_header

__all__ = ["DiskStore", "Glimpse", "MemoryStore", "Status", "Store", "Stored", "read_saved", "slot_of"]

T = TypeVar("T")

# sun_path holds 108 bytes (unix(7)); what drivers add below a domain's folder fits in the rest
_SOCKET_PATH = 108
_LONGEST_SOCKET_NAME = 24
# seconds since 1970 that no clock shows
_FAR = 1e11
# of what ``slot_of`` gives
_SLOT = 41
# Seconds. An engine that is killed while it starts a process leaves its lock to that, until it runs another program.
_FORKED = 2.0
_FOLDERS = ("domains", "autostart", "save", "state", "ended", "log", "records")


async def _in_thread(function: Callable[..., T], path: Path, *args: object) -> T:
    """Run in a thread; what the disk refuses is a StoreError that names ``path``.

    Not abandoned on cancellation: a write that began ends, so what the engine believes is what is there.
    """
    try:
        return await anyio.to_thread.run_sync(function, *args)
    except OSError as exc:
        raise StoreError(str(exc.filename or path), (exc.strerror or str(exc)).lower()) from exc


async def read_saved(path: Path) -> DomainDefinition:
    """The definition that a saved domain ran with.

    Raises:
        ConfigError: not such a file, or a damaged one.
    """
    text, _ = await anyio.to_thread.run_sync(read_header, path)
    return parse_domain(text, source=str(path))


# These three modules take longer to import than all the rest of this one, and ``virengine list`` needs none of them.


def _temporary() -> Path:
    """The folder for temporary files."""
    import tempfile

    return Path(tempfile.gettempdir())


def _remove_tree(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _file_name(name: str, uuid: str) -> str:
    """What the files of a domain that people look at are called: its name, where that can be."""
    file = quote(name, safe=" +,=@()[]")
    return uuid if len(file) > 200 or file.startswith(".") else file


def _read_connection(folder: Path) -> str:
    """Whose definitions a folder holds: its file says so, and where that can't be read, the folder's own name."""
    try:
        text = (folder / "connection").read_text().strip()
    except (OSError, UnicodeDecodeError):
        text = ""
    return text or unquote(folder.name)


def _is_dead(holder: str) -> bool:
    """Of the process that a lock says it is held by. It may be one of another host: this is a guess."""
    pid = holder.removeprefix("pid ").partition(",")[0]
    return pid.isdigit() and not Path(f"/proc/{pid}").exists()


def _whole_file(kind: int) -> bytes:
    """A ``struct flock`` (fcntl(2)) over a whole file: type, whence, start, length, pid."""
    return struct.pack("hhqqi0q", kind, os.SEEK_SET, 0, 0, 0)


def slot_of(connection: str, uuid: str) -> str:
    """Names the files of the domain with this UUID at this connection."""
    return f"{uuid.replace('-', '')}-{zlib.crc32(connection.encode()):08x}"


class Status(msgspec.Struct, kw_only=True):
    """The run-time state of one active domain, as ``status.json`` holds it.

    Attributes:
        text: the definition it runs with; facts: what its driver remembered; started: when, seconds since 1970.
        state, reason, ready: what was told of it last; scope: the systemd scope that holds it, or "".
        active: False while it is only being started; restored: it goes on from a save.
        pid: the process that leads its scope, if it has one.
    """

    uuid: str
    connection: str
    text: str
    persistent: bool
    started: float
    state: State = State.RUNNING
    reason: str = "booted"
    ready: bool = False
    scope: str = ""
    active: bool = True
    restored: bool = False
    pid: int | None = None
    facts: Any = None


class Stored(msgspec.Struct, kw_only=True):
    """One definition as it was found.

    Attributes:
        connection: URI it belongs to. reason: why its last run ended, as far as that is known.
    """

    connection: str
    definition: DomainDefinition
    autostart: bool
    reason: str = "unknown"


class Glimpse(msgspec.Struct, frozen=True, kw_only=True):
    """What a state directory holds, read in passing.

    Attributes:
        held: an engine has it open just now: it keeps the statuses up to date.
        saved: slots of domains with a managed save; known: connections that were open before.
        problems: sentences about files that can't be used; leftovers: see ``Store.leftovers``.
    """

    held: bool
    stored: list[Stored]
    statuses: list[Status]
    saved: frozenset[str]
    known: frozenset[str]
    problems: list[str]
    leftovers: frozenset[str]


class Store(ABC):
    """Where an engine keeps things. All methods raise StoreError when the disk refuses."""

    #: It survives the engine.
    persistent: bool
    #: Human sentences about files that could not be used when the store was opened.
    problems: Sequence[str] = ()
    #: Slots of domains that may run though no status tells of it (it can't be read, or was never written).
    leftovers: frozenset[str] = frozenset()

    @abstractmethod
    async def open(self) -> tuple[list[Stored], list[Status]]:
        """Take hold of it and read what is there. Raises StateDirLocked."""

    @abstractmethod
    async def aclose(self) -> None: ...

    @abstractmethod
    async def knows(self, connection: str) -> bool:
        """Domains of this connection were kept here before (they may all be gone by now)."""

    @abstractmethod
    async def save_definition(self, connection: str, definition: DomainDefinition, *, anew: bool = False) -> None:
        """Keep a definition. ``anew``: none was kept, and what is there of one that was is removed."""

    @abstractmethod
    async def delete_definition(self, connection: str, definition: DomainDefinition) -> None: ...

    @abstractmethod
    async def set_autostart(self, slot: str, autostart: bool) -> None: ...

    @abstractmethod
    async def save_status(self, status: Status) -> None: ...

    @abstractmethod
    async def delete_status(self, slot: str, *, reason: str = "") -> None:
        """The domain has stopped: its run-time folder goes. ``reason``: to be given back as ``Stored.reason``."""

    @abstractmethod
    async def save_record(self, name: str, record: Any) -> None:
        """Keep a small JSON value under ``name``; None removes it."""

    @abstractmethod
    async def load_record(self, name: str) -> Any:
        """What was kept under ``name``, or None. Raises StoreError, also where it makes no sense."""

    @abstractmethod
    async def make_runtime_dir(self, slot: str) -> Path:
        """Make the domain's folder for sockets (``runtime_dir``)."""

    @abstractmethod
    async def has_leftovers(self, slot: str) -> bool:
        """The domain's folder for sockets is there already and holds something."""

    @abstractmethod
    def runtime_dir(self, slot: str) -> Path:
        """Where the domain's folder for sockets is, or would be."""

    @abstractmethod
    def state_dir(self, slot: str) -> Path:
        """Where the domain's folder for what outlives its runs is, or would be; made by whoever needs it."""

    @abstractmethod
    async def delete_state(self, slot: str) -> None:
        """Remove that folder, and its managed save."""

    async def make_save_dir(self) -> None:  # noqa: B027 - a state directory has it from the start
        """Make the folder for managed saves."""

    @abstractmethod
    def log_path(self, connection: str, name: str, uuid: str) -> Path:
        """Where the hypervisor's own words about the domain go; whoever writes there makes the folder."""

    @property
    @abstractmethod
    def save_dir(self) -> Path: ...

    def managed_save(self, slot: str) -> Path:
        """Where a domain's managed save lies, or would lie."""
        return self.save_dir / f"{slot}.save"

    async def has_save(self, slot: str) -> bool:
        return await anyio.Path(self.managed_save(slot)).exists()

    async def delete_save(self, slot: str) -> None:
        await _in_thread(remove_file, self.managed_save(slot), self.managed_save(slot))


class MemoryStore(Store):
    """Keeps nothing on disk; a temporary folder for sockets and logs appears only when a driver asks for one."""

    persistent = False

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._making = anyio.Lock()
        self._records: dict[str, Any] = {}

    async def open(self) -> tuple[list[Stored], list[Status]]:
        return [], []

    def keep(self) -> Path | None:
        """Leave the temporary folder behind: something that still runs has its sockets there."""
        folder, self._folder = self._folder, None
        return folder

    async def aclose(self) -> None:
        folder = self.keep()
        if folder is not None:
            with anyio.CancelScope(shield=True):
                await anyio.to_thread.run_sync(_remove_tree, folder)

    async def make_save_dir(self) -> None:
        async with self._making:
            if self._folder is None:
                import tempfile

                made = await _in_thread(tempfile.mkdtemp, _temporary(), "", "virengine-")
                self._folder = Path(made)

    @property
    def folder(self) -> Path:
        """A temporary one, made by ``make_save_dir`` or ``make_runtime_dir``; before that a place where nothing is."""
        return self._folder or _temporary() / "virengine-none"

    async def knows(self, connection: str) -> bool:
        return False

    async def save_definition(self, connection: str, definition: DomainDefinition, *, anew: bool = False) -> None:
        pass

    async def delete_definition(self, connection: str, definition: DomainDefinition) -> None:
        pass

    async def set_autostart(self, slot: str, autostart: bool) -> None:
        pass

    async def save_status(self, status: Status) -> None:
        pass

    async def delete_status(self, slot: str, *, reason: str = "") -> None:
        if self._folder is not None:
            await anyio.to_thread.run_sync(_remove_tree, self._folder / "run" / slot)

    async def save_record(self, name: str, record: Any) -> None:
        self._records[name] = record

    async def load_record(self, name: str) -> Any:
        return self._records.get(name)

    async def make_runtime_dir(self, slot: str) -> Path:
        await self.make_save_dir()
        path = self.runtime_dir(slot)
        await _in_thread(lambda: path.mkdir(parents=True, exist_ok=True), path)
        return path

    async def has_leftovers(self, slot: str) -> bool:
        return False

    def runtime_dir(self, slot: str) -> Path:
        return self.folder / "run" / slot

    def state_dir(self, slot: str) -> Path:
        return self.folder / "state" / slot

    async def delete_save(self, slot: str) -> None:
        if self._folder is not None:
            await super().delete_save(slot)

    async def delete_state(self, slot: str) -> None:
        if self._folder is not None:
            await anyio.to_thread.run_sync(_remove_tree, self.state_dir(slot))
            await self.delete_save(slot)

    def log_path(self, connection: str, name: str, uuid: str) -> Path:
        return self.folder / "log" / quote(connection, safe="") / f"{_file_name(name, uuid)}.log"

    @property
    def save_dir(self) -> Path:
        return self.folder


class DiskStore(Store):
    """A state directory, locked as long as it is open."""

    persistent = True

    def __init__(self, path: Path, *, runtime: Path | None = None) -> None:
        self.path = path.absolute()
        self.run = runtime.absolute() if runtime is not None else self._runtime_path()
        self._lock: int | None = None
        self._status_locks: dict[str, anyio.Lock] = {}
        self._problems: list[str] = []

    @property
    def problems(self) -> Sequence[str]:  # type: ignore[override]
        return self._problems

    def _runtime_path(self) -> Path:
        path = self.path / "run"
        if len(os.fsencode(path)) + 1 + _SLOT + 1 + _LONGEST_SOCKET_NAME < _SOCKET_PATH:
            return path
        import hashlib

        base = Path(os.environ.get("XDG_RUNTIME_DIR") or ("/run" if os.geteuid() == 0 else _temporary()))
        return base / f"virengine-{hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]}"

    # ------------------------------------------------------------------ open and close

    async def open(self) -> tuple[list[Stored], list[Status]]:
        return await _in_thread(self._open, self.path)

    def _open(self) -> tuple[list[Stored], list[Status]]:
        for folder in (self.path, self.run, *(self.path / name for name in _FOLDERS)):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.run.lstat().st_uid != os.geteuid():
            raise StoreError(str(self.run), "belongs to another user")
        self._take_lock()
        try:
            self._sweep()
            return self._read_definitions(), self._read_statuses()
        except BaseException:
            self._release()
            raise

    def _take_lock(self) -> None:
        path = self.path / "lock"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + _FORKED
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as exc:
                locked = exc.errno in (errno.EWOULDBLOCK, errno.EACCES)
                holder = os.pread(fd, 400, 0).decode(errors="replace").strip()
                if locked and _is_dead(holder) and time.monotonic() < deadline:
                    time.sleep(0.01)  # nothing tells of it
                    continue
                os.close(fd)
                if locked:
                    raise StateDirLocked(str(self.path), holder or "another engine") from exc
                raise
        self._lock = fd
        with contextlib.suppress(OSError):  # a file system without them: nobody can peek while it is held
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_WRLCK))
        with contextlib.suppress(OSError):  # a full disk: it is held all the same, only nobody can read by whom
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"pid {os.getpid()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}\n".encode(), 0)

    async def aclose(self) -> None:
        # whoever opens it next must find it free, also when asyncio's own cancellation comes in between
        await cancel_by_scope(self._close)

    async def _close(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self._release)

    def _release(self) -> None:
        if self._lock is not None:
            if self.run.parent != self.path:
                with contextlib.suppress(OSError):  # not empty: something runs
                    self.run.rmdir()
            os.close(self._lock)  # closing gives the lock up
            self._lock = None

    def _sweep(self) -> None:
        """Remove what whoever was killed in the midst of writing left beside the files."""
        for folder in (*(self.path / name for name in ("domains", "ended", "records")), self.run):
            for pattern in (PARTIAL, f"*/{PARTIAL}"):
                for path in folder.glob(pattern):
                    path.unlink(missing_ok=True)

    def peek(self) -> Glimpse:
        """What is there, without taking hold of it: whoever has it open, or opens it now, is not disturbed. Blocking.

        Raises:
            OSError: it can't be read, or there is none.
        """
        fd = os.open(self.path / "lock", os.O_RDONLY | os.O_CLOEXEC)
        try:
            # flock can only be asked about by trying to take it, which would refuse an engine that opens just now
            found = fcntl.fcntl(fd, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
        finally:
            os.close(fd)
        held = struct.unpack_from("h", found)[0] != fcntl.F_UNLCK
        stored, statuses = self._read_definitions(), self._read_statuses()
        return Glimpse(
            held=held,
            stored=stored,
            statuses=statuses,
            saved=frozenset(path.stem for path in self.save_dir.glob("*.save")),
            known=frozenset(
                _read_connection(folder)
                for folder in (self.path / "domains").iterdir()
                if (folder / "connection").exists()
            ),
            problems=self._problems,
            leftovers=self.leftovers,
        )

    def _read_definitions(self) -> list[Stored]:
        found: list[Stored] = []
        for folder in sorted((self.path / "domains").iterdir()):
            connection = _read_connection(folder)
            for path in sorted(folder.glob("*.xml")):
                try:
                    definition = parse_domain(path.read_bytes(), source=str(path))
                except FileNotFoundError:
                    continue  # whoever holds the directory has just removed it
                except (ConfigError, OSError) as exc:
                    self._problems.append(f"{exc} (the domain was left out, the file was left alone)")
                    continue
                definition = msgspec.structs.replace(definition, source=None)
                slot = slot_of(connection, definition.uuid)
                autostart = (self.path / "autostart" / slot).exists()
                found.append(
                    Stored(connection=connection, definition=definition, autostart=autostart, reason=self._end(slot))
                )
        return found

    def _read_statuses(self) -> list[Status]:
        found: dict[str, Status] = {}
        folders = sorted(
            path for path in self.run.glob("*") if path.is_dir() and path.name != "ended"
        )  # none where it is gone, too
        for path in (folder / "status.json" for folder in folders):
            try:
                status = msgspec.json.decode(path.read_bytes(), type=Status)
                if slot_of(status.connection, status.uuid) != path.parent.name or not 0 <= status.started < _FAR:
                    raise msgspec.ValidationError("it is not of this domain, or of no time there was")
                found[path.parent.name] = status
            except FileNotFoundError:
                continue
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OSError) as exc:
                self._problems.append(f"{path}: {exc} (the run-time state of one domain can't be read)")
        self.leftovers = frozenset(folder.name for folder in folders) - found.keys()
        return list(found.values())

    # ------------------------------------------------------------------ writing

    def _definition_path(self, connection: str, name: str, uuid: str) -> Path:
        return self.path / "domains" / quote(connection, safe="") / f"{_file_name(name, uuid)}.xml"

    async def knows(self, connection: str) -> bool:
        return await anyio.Path(self.path / "domains" / quote(connection, safe="") / "connection").exists()

    async def save_definition(self, connection: str, definition: DomainDefinition, *, anew: bool = False) -> None:
        path = self._definition_path(connection, definition.name, definition.uuid)

        def write() -> None:
            if anew:  # an ``undefine`` that was cut short forgets these last
                remove_file(self.path / "autostart" / slot_of(connection, definition.uuid))
            if not path.parent.exists():
                path.parent.mkdir(mode=0o700)
                fsync_dir(path.parent.parent)
            if not (about := path.parent / "connection").exists():
                write_atomic(about, f"{connection}\n".encode())
            write_atomic(path, definition.text.encode() + b"\n")

        await _in_thread(write, path)

    async def delete_definition(self, connection: str, definition: DomainDefinition) -> None:
        path = self._definition_path(connection, definition.name, definition.uuid)

        def remove() -> None:
            slot = slot_of(connection, definition.uuid)
            remove_file(path)
            remove_file(self.path / "autostart" / slot)
            self._note_end(slot, "")

        await _in_thread(remove, path)

    async def set_autostart(self, slot: str, autostart: bool) -> None:
        path = self.path / "autostart" / slot
        if autostart:
            await _in_thread(write_atomic, path, path, b"")
        else:
            await _in_thread(remove_file, path, path)

    async def save_status(self, status: Status) -> None:
        slot = slot_of(status.connection, status.uuid)
        path = self.runtime_dir(slot) / "status.json"
        data = msgspec.json.encode(status)

        def write() -> None:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            write_atomic(path, data)
            self._note_end(slot, "")

        # one at a time, in the order asked for: the driver and the gate may both have something to keep just now
        async with self._status_locks.setdefault(slot, anyio.Lock()):
            await _in_thread(write, path)

    async def delete_status(self, slot: str, *, reason: str = "") -> None:
        folder = self.run / slot

        def remove() -> None:
            # status.json first: without it the rest is only litter
            if folder.exists():
                remove_file(folder / "status.json")
            _remove_tree(folder)
            self._note_end(slot, reason)

        lock = self._status_locks.setdefault(slot, anyio.Lock())
        async with lock:
            await _in_thread(remove, folder)
            if not lock.statistics().tasks_waiting:
                self._status_locks.pop(slot, None)

    def _note_end(self, slot: str, reason: str) -> None:
        """Keep why a run ended; "": it is no longer true."""
        path = self.path / "ended" / slot
        with contextlib.suppress(OSError):  # a pity, no more
            if reason:
                write_atomic(path, reason.encode())
            else:
                path.unlink(missing_ok=True)

    def _end(self, slot: str) -> str:
        try:
            return (self.path / "ended" / slot).read_text()
        except (OSError, UnicodeDecodeError):
            return "unknown"

    async def save_record(self, name: str, record: Any) -> None:
        path = self.path / "records" / f"{name}.json"
        if record is None:
            await _in_thread(remove_file, path, path)
        else:
            await _in_thread(write_atomic, path, path, msgspec.json.encode(record))

    async def load_record(self, name: str) -> Any:
        path = self.path / "records" / f"{name}.json"

        def read() -> Any:
            try:
                return msgspec.json.decode(path.read_bytes())
            except FileNotFoundError:
                return None
            except (msgspec.DecodeError, RecursionError) as exc:
                raise StoreError(str(path), f"it can't be read: {exc}") from exc

        return await _in_thread(read, path)

    async def make_runtime_dir(self, slot: str) -> Path:
        path = self.runtime_dir(slot)
        await _in_thread(lambda: path.mkdir(mode=0o700, parents=True, exist_ok=True), path)
        return path

    async def has_leftovers(self, slot: str) -> bool:
        path = self.runtime_dir(slot)
        return await _in_thread(lambda: path.exists() and any(path.iterdir()), path)

    def runtime_dir(self, slot: str) -> Path:
        return self.run / slot

    def state_dir(self, slot: str) -> Path:
        return self.path / "state" / slot

    async def delete_state(self, slot: str) -> None:
        def remove() -> None:
            remove_file(self.managed_save(slot))
            _remove_tree(self.state_dir(slot))

        await _in_thread(remove, self.state_dir(slot))

    def log_path(self, connection: str, name: str, uuid: str) -> Path:
        return self.path / "log" / quote(connection, safe="") / f"{_file_name(name, uuid)}.log"

    @property
    def save_dir(self) -> Path:
        return self.path / "save"
