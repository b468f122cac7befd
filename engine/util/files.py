"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

__all__ = ["PARTIAL", "absolute", "fsync_dir", "remove_file", "write_atomic"]

#: What a crash in ``write_atomic`` leaves beside a file is called so.
PARTIAL = ".*.new"


def absolute(path: str | os.PathLike[str]) -> Path:
    """The path from the root on; no link is followed, nothing on disk is looked at but the working directory."""
    return Path(path).absolute()


def write_atomic(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Put ``data`` at ``path``: write beside it, fsync, rename, fsync the folder. Blocking: call it in a thread.

    A crash at any point leaves the old file or the new one. On an error nothing is left behind.

    Raises:
        OSError: disk full, permission, ``path`` is there and no regular file (a device would be replaced), ...
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(path.lstat().st_mode) and not path.is_symlink():
            raise OSError(errno.EINVAL, "it is there already, and it is no regular file", str(path))
    beside = path.with_name(f".{path.name[:200]}.{os.getpid()}.new")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    except OSError as exc:
        exc.filename = str(path)  # whoever is told knows of no other
        raise
    try:
        with open(fd, "wb") as file:  # noqa: PTH123 - an open descriptor
            file.write(data)
            file.flush()
            os.fsync(fd)
        beside.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink()
        raise
    fsync_dir(path.parent)


def remove_file(path: Path) -> None:
    """Remove ``path`` for good; fine when it is not there."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        fsync_dir(path.parent)


def fsync_dir(path: Path) -> None:
    """Make the names in a folder durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
