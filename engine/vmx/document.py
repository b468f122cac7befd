"""The text of a .vmx: ``key = "value"``, one a line. Nothing here knows what a key means.

Sources: VMware's public lists of .vmx parameters, and the files that its products write.

- A line that is empty, or whose first character is ``#``, says nothing; so does what follows a value after a ``#``.
- Keys are the same in upper and lower case. One that is there already is not taken again.
- Values may stand without quotes if they have no spaces. In a value ``|22`` is the character of that hexadecimal code
  (in UTF-8, where it has several); a ``|`` before anything else is itself.
- ``.encoding`` says in which encoding the bytes of the file are; without it they are UTF-8.
- Lines end with LF, or CR and LF.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from engine.errors import ConfigError

__all__ = ["Entry", "VmxDocument", "format_vmx", "parse_vmx", "unescaped", "unspeakable"]

_BLANK = " \t"
_KEY = re.compile("[!$-<>-~]+")  # what is printable in ASCII, but for quotes, # and =
_ESCAPED = {marker: re.compile(f"(?:{re.escape(marker)}[0-9A-Fa-f]{{2}})+") for marker in "|%"}
_TO_ESCAPE = re.compile(r'["|\x00-\x1f\x7f]')
_BARE = re.compile(r'[^\s"#]*')
#: What can't stand in an XML document, and so in no definition.
_UNSPEAKABLE = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
_DECLARED = re.compile(rb'^[ \t]*\.encoding[ \t]*=[ \t]*"?([^"\r\n]*)', re.IGNORECASE | re.MULTILINE)
#: How VMware calls an encoding, in lower case, and how Python does.
_ENCODINGS = {
    "utf-8": "utf-8",
    "us-ascii": "ascii",
    "shift_jis": "cp932",
    "gbk": "gbk",
    "gb18030": "gb18030",
    "big5": "big5",
    "euc-jp": "euc_jp",
    "euc-kr": "euc_kr",
    "windows-932": "cp932",
    "windows-936": "gbk",
    "windows-949": "cp949",
    "windows-950": "cp950",
    **{f"windows-125{number}": f"cp125{number}" for number in range(9)},
    **{f"iso-8859-{number}": f"iso8859_{number}" for number in (*range(1, 12), *range(13, 17))},
}


class Entry(msgspec.Struct, frozen=True):
    """One line that says something.

    Attributes:
        key: as it was written; value: without quotes and escapes.
        line: from 1; 0: it was not read from a text.
    """

    key: str
    value: str
    line: int = 0


class VmxDocument:
    """The entries of a .vmx, in order.

    Attributes:
        entries: one for each key.
        repeated: those whose key was there already, in any case: they have no effect.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_key: dict[str, Entry] = {}
        again = []
        for entry in entries:
            if self._by_key.setdefault(entry.key.lower(), entry) is not entry:
                again.append(entry)
        self.entries = tuple(self._by_key.values())
        self.repeated = tuple(again)

    def get(self, key: str) -> Entry | None:
        """The entry of that key, in whatever case it is."""
        return self._by_key.get(key.lower())


# ---------------------------------------------------------------------------- reading


def parse_vmx(text: str | bytes, *, source: str | None = None) -> VmxDocument:
    """The text as entries; bytes are decoded as their own ``.encoding`` says.

    Raises:
        ConfigError: a line is none of a .vmx, or the encoding is not known, or not that of the bytes.
    """
    if isinstance(text, bytes):
        text = _decoded(text, source)
    lines = text.removeprefix("\ufeff").split("\n")
    found = (_entry(line.removesuffix("\r"), number, source) for number, line in enumerate(lines, 1))
    return VmxDocument(entry for entry in found if entry is not None)


def _decoded(data: bytes, source: str | None) -> str:
    declared = _DECLARED.search(data)
    name = declared[1].decode("ascii", "replace").strip() if declared else "UTF-8"
    line = data.count(b"\n", 0, declared.start()) + 1 if declared else None
    encoding = _ENCODINGS.get(name.lower())
    if encoding is None:
        raise ConfigError(f"the encoding '{name[:40]}' is not known", source=source, line=line)
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as exc:
        where = data.count(b"\n", 0, exc.start) + 1
        raise ConfigError(f"the text is not in the encoding {name}", source=source, line=where) from None


def _entry(line: str, number: int, source: str | None) -> Entry | None:
    line = line.strip(_BLANK)
    if not line or line.startswith("#"):
        return None
    key = _KEY.match(line)
    rest = line[key.end() :].lstrip(_BLANK) if key else ""
    if key is None or not rest.startswith("="):
        raise ConfigError('the line is not of the form: key = "value"', source=source, line=number)
    value = unescaped(_value(rest[1:].lstrip(_BLANK), key[0], number, source), "|")
    if wrong := unspeakable(value):
        raise ConfigError(f"the value of '{key[0]:.60}' {wrong}", source=source, line=number)
    return Entry(key[0], value, number)


def _value(rest: str, key: str, line: int, source: str | None) -> str:
    """What follows the ``=``, without its quotes."""
    if rest.startswith('"'):
        value, closed, after = rest[1:].partition('"')
        if not closed:
            raise ConfigError(f"the value of '{key:.60}' lacks its closing quote", source=source, line=line)
    else:
        bare: Any = _BARE.match(rest)
        value, after = bare[0], rest[bare.end() :]
    after = after.lstrip(_BLANK)
    if after and not after.startswith("#"):
        raise ConfigError(f"there is something after the value of '{key:.60}'", source=source, line=line)
    return value


def unescaped(value: str, marker: str) -> str:
    """With each ``marker`` and two hexadecimal digits, ``|`` or ``%``, as the byte that they are."""
    return _ESCAPED[marker].sub(lambda match: _characters(match[0], marker), value) if marker in value else value


def _characters(escaped: str, marker: str) -> str:
    try:
        return bytes.fromhex(escaped.replace(marker, "")).decode()
    except UnicodeDecodeError:
        return escaped


def unspeakable(value: str) -> str:
    """What of it no document of a domain can hold, as a clause; empty: it can hold it all."""
    found = _UNSPEAKABLE.search(value)
    return f"holds U+{ord(found[0]):04X}, which no document can" if found else ""


# ---------------------------------------------------------------------------- writing


def format_vmx(entries: Iterable[Entry]) -> str:
    """The entries as text; every value is in quotes."""
    return "".join(f'{entry.key} = "{_escaped(entry.value)}"\n' for entry in entries)


def _escaped(value: str) -> str:
    return _TO_ESCAPE.sub(lambda match: f"|{ord(match[0]):02x}", value)
