"""The text of LXC's configurations: a setting a line, of which many may be said several times.

Source: lxc.container.conf(5); which names of version 2 became which of version 3 in the notes on LXC 2.1.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import msgspec

from engine.errors import ConfigError, Problem

__all__ = ["Entries", "Entry"]

#: Names of version 2, and what they are called since.
RENAMED = {
    "lxc.aa_allow_incomplete": "lxc.apparmor.allow_incomplete",
    "lxc.aa_profile": "lxc.apparmor.profile",
    "lxc.console": "lxc.console.path",
    "lxc.devttydir": "lxc.tty.dir",
    "lxc.haltsignal": "lxc.signal.halt",
    "lxc.id_map": "lxc.idmap",
    "lxc.init_cmd": "lxc.init.cmd",
    "lxc.init_gid": "lxc.init.gid",
    "lxc.init_uid": "lxc.init.uid",
    "lxc.limit": "lxc.prlimit",
    "lxc.logfile": "lxc.log.file",
    "lxc.loglevel": "lxc.log.level",
    "lxc.mount": "lxc.mount.fstab",
    "lxc.pts": "lxc.pty.max",
    "lxc.rebootsignal": "lxc.signal.reboot",
    "lxc.rootfs": "lxc.rootfs.path",
    "lxc.se_context": "lxc.selinux.context",
    "lxc.seccomp": "lxc.seccomp.profile",
    "lxc.stopsignal": "lxc.signal.stop",
    "lxc.tty": "lxc.tty.max",
    "lxc.utsname": "lxc.uts.name",
}
_KEY = re.compile(r"lxc(\.[A-Za-z0-9_-]+)+", re.ASCII)
_LONGEST_SHOWN = 60
NO_EQUIVALENT = "there is nothing like it in a definition of a container"


class Entry(msgspec.Struct, frozen=True):
    """One line.

    Attributes:
        key: as it is called since version 3; written: as it is there.
    """

    key: str
    value: str
    line: int
    written: str


class Entries:
    """The settings while they are read: each is taken once, and what nobody takes is told.

    Attributes:
        warnings: what could not be carried over so far.
    """

    def __init__(self, text: str, source: str | None) -> None:
        self.warnings: list[Problem] = []
        self._source = source
        self._entries: dict[str, list[Entry]] = {}
        for entry in self._read(text):
            # what is set to nothing is as if it was not set before
            if entry.value:
                self._entries.setdefault(entry.key, []).append(entry)
            else:
                self._entries.pop(entry.key, None)

    def take(self, key: str) -> list[Entry]:
        """All of that name, in order."""
        return self._entries.pop(key, [])

    def last(self, key: str) -> Entry | None:
        """The one that counts of a setting that has one value."""
        return self.counting(self.take(key))

    def counting(self, entries: list[Entry]) -> Entry | None:
        """The last, which the others are told to lose to."""
        for each in entries[:-1]:
            self.warn(each, f"it is set again in line {entries[-1].line}, which counts")
        return entries[-1] if entries else None

    def words(self, entry: Entry) -> list[str]:
        """Of its value, at least one: what is in quotes may be blank."""
        words = entry.value.split()
        if not words:
            raise self.error(f"'{entry.written}' is blank", entry)
        return words

    def number(self, key: str) -> int | None:
        entry = self.last(key)
        return None if entry is None else self.as_number(entry, entry.value)

    def as_number(self, entry: Entry, text: str) -> int:
        if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
            raise self.error(f"'{entry.written}' needs a number", entry)
        return int(text)

    def beginning(self, prefix: str) -> Iterator[Entry]:
        """Takes all whose names begin so, in order."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            yield from self.take(key)

    def warn(self, entry: Entry, reason: str = NO_EQUIVALENT, *, part: str = "") -> None:
        place = f"{entry.written}/{part}" if part else entry.written
        self.warnings.append(Problem(line=entry.line, xpath=place, reason=reason, severity="warning"))

    def error(self, reason: str, entry: Entry | None = None) -> ConfigError:
        return ConfigError(reason, source=self._source, line=entry.line if entry else None)

    def finish(self) -> tuple[Problem, ...]:
        """All warnings by line, those of what was never taken too."""
        for entries in self._entries.values():
            for entry in entries:
                self.warn(entry)
        return tuple(sorted(self.warnings, key=lambda problem: problem.line))

    def _read(self, text: str) -> Iterator[Entry]:
        for line, raw in enumerate(text.split("\n"), 1):
            stripped = raw.strip()
            if not stripped or stripped.startswith("#"):
                continue
            key, equals, value = stripped.partition("=")
            key = key.strip()
            if not equals or not _KEY.fullmatch(key):
                reason = f"'{stripped[:_LONGEST_SHOWN]}' is no setting such as lxc.uts.name = box"
                raise ConfigError(reason, source=self._source, line=line)
            yield Entry(RENAMED.get(key, key), _unquoted(value.strip()), line, key)


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value
