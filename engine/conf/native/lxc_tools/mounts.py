"""What a container sees of file systems: its root, and the lines of ``lxc.mount.entry``, which are those of fstab(5).

Source: lxc.container.conf(5), "Mount points" and "Root file system".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from engine.conf.kinds.domain.filesystem import (
    BlockFilesystem,
    DeviceSource,
    FileFilesystem,
    Filesystem,
    FilesystemTarget,
    ImageSource,
    MountFilesystem,
    MountSource,
    RamFilesystem,
    RamSource,
)
from engine.conf.native.lxc_tools.text import Entries, Entry

__all__ = ["kibibytes", "read_mounts", "read_root", "size_in_bytes"]

#: File systems that libvirt mounts in every container itself.
OWN = {"proc": "/proc", "sysfs": "/sys"}
#: Options that say nothing more.
_USUAL = {"defaults", "bind", "rbind", "rw", "ro", "0"}
#: What fstab has for characters that would end a field or the line, or begin a comment or such a number.
ESCAPES = {"\\011": "\t", "\\012": "\n", "\\040": " ", "\\043": "#", "\\134": "\\"}
_SIZE = re.compile(r"([0-9]{1,18})([kKmMgGtT]?)[bB]?")
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


def size_in_bytes(entries: Entries, entry: Entry, text: str) -> int:
    """``8m`` is 8 MiB."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise entries.error(f"'{entry.written}': '{text[:40]}' is no size such as 512m", entry)
    return int(match[1]) * _UNITS[match[2].lower()]


def kibibytes(entries: Entries, entry: Entry, text: str) -> int:
    return size_in_bytes(entries, entry, text) // 1024


# ---------------------------------------------------------------------------- the root


def read_root(entries: Entries) -> tuple[Filesystem, str]:
    """The root and its path on the host."""
    entry = entries.last("lxc.rootfs.path")
    if entry is None:
        raise entries.error("a container needs 'lxc.rootfs.path'")
    kind, colon, path = entry.value.partition(":")
    if not colon or entry.value.startswith("/"):
        kind, path = "lvm" if entry.value.startswith("/dev/") else "dir", entry.value
    options = entries.last("lxc.rootfs.options")
    common = _common("/", entry.line, readonly=options is not None and "ro" in options.value.split(","))
    if options is not None:
        _tell_options(entries, options, options.value.split(","))
    match kind:
        case "dir" | "btrfs":
            return MountFilesystem(type_="mount", source=MountSource(dir=path), **common), path
        case "lvm":
            return BlockFilesystem(type_="block", source=DeviceSource(dev=path), **common), path
        case "loop":
            return FileFilesystem(type_="file", source=ImageSource(file=path), **common), path
    raise entries.error(f"a root of kind '{kind[:40]}' can't be said in a definition", entry)


def _common(target: str, line: int, *, readonly: bool) -> dict[str, Any]:
    where = FilesystemTarget(dir=target)
    return {"accessmode": "passthrough", "target": where, "readonly": readonly, "line": line}


def _tell_options(entries: Entries, entry: Entry, options: list[str]) -> None:
    for option in options:
        if option and option not in _USUAL:
            entries.warn(entry, part=option.partition("=")[0])


# ---------------------------------------------------------------------------- the others


def read_mounts(entries: Entries, root: str) -> Iterator[Filesystem]:
    """In order; a file of such lines can't be read here, so it is refused."""
    file = entries.last("lxc.mount.fstab")
    if file is not None:
        reason = f"the file that '{file.written}' names is not read; its lines can stand here as lxc.mount.entry"
        raise entries.error(reason, file)
    for entry in entries.take("lxc.mount.entry"):
        fields = [*(_plain(entries, entry, word) for word in entries.words(entry)), "", "", "", ""]
        if not fields[1]:
            raise entries.error(f"'{entry.written}' needs a source and a target", entry)
        found = _mount(entries, entry, root, *fields[:4])
        if found is not None:
            yield found


def _plain(entries: Entries, entry: Entry, field: str) -> str:
    """What separates fields stands as a number after a backslash; other numbers are no characters for getmntent(3)."""

    def character(match: re.Match[str]) -> str:
        if match[0] not in ESCAPES:
            raise entries.error(f"'{entry.written}' can have {', '.join(ESCAPES)}, not {match[0]}", entry)
        return ESCAPES[match[0]]

    return re.sub(r"\\[0-7]{3}", character, field)


def _mount(entries: Entries, entry: Entry, root: str, source: str, target: str, kind: str, text: str) -> Any:
    options = text.split(",") if text else []
    target = "/" + target.removeprefix(root.rstrip("/") + "/").lstrip("/")
    common = _common(target, entry.line, readonly="ro" in options)
    bound = "bind" in options or "rbind" in options
    if kind == "tmpfs":
        usage, rest = _usage(entries, entry, options)
        _tell_options(entries, entry, rest)
        return RamFilesystem(type_="ram", source=RamSource(usage=usage, units="KiB"), **common)
    if OWN.get(kind) == target:
        return None
    if bound and source.startswith("/"):
        _tell_options(entries, entry, options)
        return MountFilesystem(type_="mount", source=MountSource(dir=source), **common)
    if source.startswith("/dev/"):
        _tell_options(entries, entry, options)
        return BlockFilesystem(type_="block", source=DeviceSource(dev=source), **common)
    entries.warn(entry)
    return None


def _usage(entries: Entries, entry: Entry, options: list[str]) -> tuple[int, list[str]]:
    """How much it may hold, in KiB, 0: no limit; and the other options."""
    sizes = [option for option in options if option.startswith("size=")]
    rest = [option for option in options if option not in sizes]
    if len(sizes) > 1:
        entries.warn(entry, "of several sizes the last counts", part="size")
    size = sizes[-1].removeprefix("size=") if sizes else "0"
    if size.endswith("%"):
        entries.warn(entry, "how much of the host's memory that is can't be said in a definition", part="size")
        size = "0"
    return kibibytes(entries, entry, size), rest
