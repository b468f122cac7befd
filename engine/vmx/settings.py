"""The entries of a .vmx by what they mean, with an account of what has been made use of."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NoReturn

from engine.errors import ConfigError, Problem
from engine.vmx.document import Entry, VmxDocument
from engine.vmx.leftout import is_default, is_note

__all__ = ["Settings"]

_NUMBER = re.compile(r"[+-]?[0-9]{1,19}")
_HEX_PAIRS = re.compile(r"[0-9a-fA-F]{32}")
_WORDS = {
    **dict.fromkeys(("true", "t", "yes", "y", "on", "1"), True),
    **dict.fromkeys(("false", "f", "no", "n", "off", "0"), False),
}


class Settings:
    """What a .vmx says. Whatever is asked for counts as carried over, unless a warning says otherwise.

    Attributes:
        source: the file, for messages.
    """

    def __init__(self, document: VmxDocument, source: str | None = None) -> None:
        self.source = source
        self._document = document
        self._used: set[str] = {".encoding"}  # by which the text was decoded
        self._warnings: list[Problem] = []
        self._groups: dict[str, list[Entry]] = defaultdict(list)
        for entry in document.entries:
            group, dot, _ = entry.key.partition(".")
            if dot:
                self._groups[group.lower()].append(entry)

    # ------------------------------------------------------------------------ values

    def text(self, key: str) -> str | None:
        """The value; None: it is not there."""
        entry = self._take(key)
        return None if entry is None else entry.value

    def glance(self, key: str) -> str:
        """The value, or empty, of a key that is not carried over as such."""
        entry = self._document.get(key)
        return "" if entry is None else entry.value

    def word(self, key: str) -> str:
        """The value in lower case; empty: it is not there."""
        return (self.text(key) or "").strip().lower()

    def flag(self, key: str, *, default: bool = False) -> bool:
        word = self.word(key)
        if not word:
            return default
        if word not in _WORDS:
            self.refuse(key, "is neither true nor false")
        return _WORDS[word]

    def number(self, key: str) -> int | None:
        """The value as a whole number; None: it is not there, or empty; -1: ``unlimited``."""
        word = self.word(key)
        if not word:
            return None
        if word == "unlimited":
            return -1
        if not _NUMBER.fullmatch(word):
            self.refuse(key, "is no whole number")
        return int(word)

    def uuid(self, key: str) -> str | None:
        """The value, which VMware writes as ``56 4d ...-...``, as a UUID."""
        value = self.text(key)
        if value is None:
            return None
        digits = re.sub(r"[\s-]", "", value).lower()
        if not _HEX_PAIRS.fullmatch(digits):
            self.refuse(key, "is no UUID")
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))

    def numbers_of(self, pattern: str) -> Iterator[tuple[int, ...]]:
        """The numbers in the names of devices of that form, such as ``scsi(\\d+):(\\d+)``, in their order."""
        form = re.compile(pattern.replace(r"\d+", r"[0-9]{1,4}"))
        yield from sorted({tuple(map(int, match.groups())) for match in map(form.fullmatch, self._groups) if match})

    def _take(self, key: str) -> Entry | None:
        entry = self._document.get(key)
        if entry is not None:
            self._used.add(key.lower())
        return entry

    # ------------------------------------------------------------------------ what is lost

    def refuse(self, key: str, reason: str) -> NoReturn:
        """Raises ConfigError of the key's value."""
        entry = self._document.get(key)
        value, line = (entry.value, entry.line) if entry else ("", None)
        raise ConfigError(f"'{key}' {reason}: '{value[:60]}'", source=self.source, line=line)

    def line(self, key: str) -> int:
        """Where the key is; 0: it is not there."""
        entry = self._document.get(key)
        return entry.line if entry is not None else 0

    def warn_of_line(self, line: int, reason: str) -> None:
        """What became of the value in that line is no part of a domain."""
        key = next((entry.key for entry in self._document.entries if entry.line == line), "")
        self._warnings.append(_warning(line, key, reason))

    def warn(self, key: str, reason: str) -> None:
        """The key's value is not carried over, or not as it is."""
        entry = self._take(key)
        self._warnings.append(_warning(entry.line if entry else 0, entry.key if entry else key, reason))

    def skip(self, device: str, reason: str) -> None:
        """Nothing of the device is carried over; told once, and not at all if nothing but defaults is said of it."""
        entries = [entry for entry in self._groups.get(device.lower(), ()) if not is_default(entry.key, entry.value)]
        self._used.update(entry.key.lower() for entry in entries)
        entries = [entry for entry in entries if not _is_absence(entry)]
        if entries:
            self._warnings.append(_warning(entries[0].line, device, reason))

    def warnings(self) -> tuple[Problem, ...]:
        """All that is not carried over, by line."""
        left = [entry for entry in self._document.entries if entry.key.lower() not in self._used]
        left = [entry for entry in left if not is_default(entry.key, entry.value)]
        notes = [entry for entry in left if is_note(entry.key)]
        found = [_warning(e.line, e.key, "a domain has no place for it") for e in left if not is_note(e.key)]
        found += [
            _warning(e.line, e.key, "it is there already, so this has no effect") for e in self._document.repeated
        ]
        if notes:
            keys = ", ".join(entry.key for entry in notes)
            found.append(
                _warning(notes[0].line, notes[0].key, f"left out, since they say nothing of the guest: {keys}")
            )
        return tuple(sorted([*self._warnings, *found], key=lambda problem: problem.line))


def _is_absence(entry: Entry) -> bool:
    """Whether all it says is that there is no such device."""
    return entry.key.lower().endswith(".present") and _WORDS.get(entry.value.strip().lower()) is False


def _warning(line: int, key: str, reason: str) -> Problem:
    return Problem(line=line, xpath=key, reason=reason, severity="warning")
