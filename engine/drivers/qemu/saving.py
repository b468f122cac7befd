"""A guest's memory to a file and back: QEMU's migration, over a descriptor.

The file is ``engine.util.savefile``'s. The driver's own data begin with a block of 16 bytes, which says whether the
guest was paused; QEMU's stream follows to the end.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import struct
from pathlib import Path

import anyio
import anyio.to_thread

from engine.conf import DomainDefinition
from engine.drivers.qemu.guest import UNDO, Guest
from engine.drivers.qemu.qmp.connection import QmpError
from engine.errors import CommandTimeout, ConfigError, DriverError, EngineError, HostError, StoreError
from engine.util.files import fsync_dir
from engine.util.savefile import pack_header, read_header

__all__ = ["SavedState", "open_saved", "partial_path", "restore", "save", "undo_save"]

log = logging.getLogger("engine.drivers.qemu")

_BLOCK = struct.Struct(">8sB7x")
_MAGIC = b"qemu-mig"
#: Seconds without any end of a migration: QEMU itself reports a failure, so this only bounds a QEMU that hangs.
_MIGRATION_TIMEOUT = 24 * 3600.0
# bytes a second: as fast as the disk can
_UNLIMITED = 1 << 50


class SavedState:
    """An opened save file; its descriptor stands where QEMU's stream begins. Close it."""

    def __init__(self, fd: int, *, paused: bool) -> None:
        self.fd = fd
        self.paused = paused

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def open_saved(path: Path) -> SavedState:
    """Blocking.

    Raises:
        ConfigError: not a file ``save`` of this driver made.
    """
    _, offset = read_header(path)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        block = os.pread(fd, _BLOCK.size, offset)
        if len(block) < _BLOCK.size or _BLOCK.unpack(block)[0] != _MAGIC:
            os.close(fd)
            raise ConfigError("the saved domain was not saved by the qemu driver, or is cut short", source=str(path))
        os.lseek(fd, offset + _BLOCK.size, os.SEEK_SET)
    except OSError as exc:
        raise ConfigError((exc.strerror or str(exc)).lower(), source=str(path)) from exc
    return SavedState(fd, paused=bool(_BLOCK.unpack(block)[1]))


def partial_path(path: Path) -> Path:
    """Where a save to ``path`` is written until it is whole."""
    return path.with_name(f".{path.name[:200]}.saving")


async def restore(guest: Guest, state: SavedState) -> None:
    """Feed the saved state to a QEMU started with ``-incoming defer``; returns when it is all in.

    Raises:
        DriverError: QEMU refused. ConnectionBroken: it ended (its words are in the log).
    """
    await _announce(guest)
    before = guest.mark()
    await guest.execute("getfd", {"fdname": "saved"}, fd=state.fd)
    await guest.execute("migrate-incoming", {"uri": "fd:saved"})
    await _finished(guest, before, "restored")


async def save(guest: Guest, definition: DomainDefinition, path: Path) -> None:
    """Stop the CPUs, write everything to ``path``, and end QEMU. If that fails or is cancelled, the guest goes on.

    Raises:
        HostError: the file can't be written. DriverError: QEMU can't be saved as it is.
    """
    was_running = not guest.paused
    try:
        # first the name, so that a later engine finds what there is to tidy up
        await guest.remember(saving=str(path), running=was_running)
        fd = await anyio.to_thread.run_sync(_create, path, definition, not was_running)
    except BaseException as exc:
        with anyio.CancelScope(shield=True):
            await guest.remember(saving=None, running=None)
        if isinstance(exc, OSError):
            raise HostError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
        raise
    try:
        await guest.remember(made=True)
        if was_running:
            await guest.execute("stop")
        else:
            await _take_disks_back(guest)
        await _announce(guest)
        await guest.execute("migrate-set-parameters", {"max-bandwidth": _UNLIMITED})
        before = guest.mark()
        await guest.execute("getfd", {"fdname": "saved"}, fd=fd)
        await guest.execute("migrate", {"uri": "fd:saved"})
        await _finished(guest, before, "saved")
        with anyio.CancelScope(shield=True):  # from here it is done
            await anyio.to_thread.run_sync(_complete, fd, path)
            await guest.end("saved", flush=False)
    except BaseException as exc:
        with anyio.CancelScope(shield=True):  # bounded: a QEMU that hangs must not hold up its being destroyed
            await anyio.to_thread.run_sync(_discard, path)
            if not guest.intent:
                try:
                    await undo_save(guest, was_running=was_running, patience=UNDO)
                except StoreError as failed:  # it goes on all the same
                    log.warning("the run-time state of domain %s is not kept: %s", guest.domain.name, failed)
                except EngineError as failed:
                    log.warning("domain %s stays paused: %s", guest.domain.name, failed)
        if isinstance(exc, OSError):
            raise HostError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc
        raise
    finally:
        os.close(fd)


async def undo_save(guest: Guest, *, was_running: bool, patience: float = 30.0) -> None:
    """Give up a migration that may be under way, and let the guest run again if it did.

    Args:
        patience: seconds for each of the two, and for writing down that it is done.

    Raises:
        EngineError: it did not work; the guest stays paused.
    """
    try:
        try:
            with anyio.fail_after(patience):
                await _cancel_migration(guest)
            with anyio.fail_after(patience):
                await _migration_over(guest)
                await (guest.execute("cont") if was_running else _take_disks_back(guest))
        finally:  # else an older file of that name would be taken for this save
            with anyio.fail_after(patience):
                await guest.remember(saving=None, running=None, made=None)
    except TimeoutError as exc:
        raise CommandTimeout("giving up a save", patience) from exc
    except EngineError:
        if not guest.ending:
            raise


async def _cancel_migration(guest: Guest) -> None:
    before = guest.mark()
    status = (await guest.execute("query-migrate")).get("status")
    if status in ("setup", "active", "device", "cancelling", "pre-switchover"):
        await guest.execute("migrate_cancel")
        while (await guest.event("MIGRATION", after=before, timeout=30.0)).get("status") not in _ENDS:
            before = guest.mark()


async def _migration_over(guest: Guest) -> None:
    """QEMU tells of a migration's end a moment before it is through with it, and has no event for when it is."""
    while (await guest.execute("query-status")).get("status") == "finish-migrate":
        pass  # each answer waits for QEMU's main loop, and so does the end of the migration: a few will do


async def _take_disks_back(guest: Guest) -> None:
    """Of a paused guest: a migration that came to its end, or near it, leaves QEMU without its disks, and unwilling to
    begin another."""
    if (await guest.execute("query-status")).get("status") == "postmigrate":
        await guest.blink()


_ENDS = ("completed", "failed", "cancelled")


async def _announce(guest: Guest) -> None:
    await guest.execute("migrate-set-capabilities", {"capabilities": [{"capability": "events", "state": True}]})


async def _finished(guest: Guest, before: int, what: str) -> None:
    while True:
        status = (await guest.event("MIGRATION", after=before, timeout=_MIGRATION_TIMEOUT)).get("status")
        if status == "completed":
            return
        if status in _ENDS:
            raise DriverError(f"domain '{guest.domain.name}' can't be {what}: {await _why(guest, str(status))}")
        before = guest.mark()


async def _why(guest: Guest, status: str) -> str:
    try:
        found = await guest.execute("query-migrate")
    except QmpError:
        return status
    return str(found.get("error-desc") or status)


def _create(path: Path, definition: DomainDefinition, paused: bool) -> int:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode) and not path.is_symlink():
            raise OSError(errno.EINVAL, "it is there already, and it is no regular file", str(path))
    _discard(path)
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    fd = os.open(partial_path(path), flags, 0o600)
    try:
        header = memoryview(pack_header(definition.text) + _BLOCK.pack(_MAGIC, paused))
        while header:
            header = header[os.write(fd, header) :]
    except BaseException:
        os.close(fd)
        _discard(path)
        raise
    return fd


def _complete(fd: int, path: Path) -> None:
    os.fsync(fd)
    partial_path(path).rename(path)
    try:
        fsync_dir(path.parent)
    except OSError:
        path.unlink(missing_ok=True)  # the guest goes on: what was saved of it must never be restored
        raise


def _discard(path: Path) -> None:
    partial_path(path).unlink(missing_ok=True)
