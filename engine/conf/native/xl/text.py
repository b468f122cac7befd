"""The text of Xen's configurations: settings of numbers, strings and lists, with the lines they stand on.

Source: xl.cfg(5), "Syntax", and for strings the lexer of Xen's libxlu; xm's files, which are Python, are the same as
far as they only set values. In both a backslash begins an escape, which libvirt's own reader of these files does not
know. So a string is written without, in the quotes that are not in it, wherever there are such.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Literal, TypeAlias

import msgspec

from engine.conf.native.checking import check_characters
from engine.errors import ConfigError, Problem

__all__ = ["Dialect", "Item", "Setting", "Value", "options_text", "parse_text", "write_text"]

Dialect: TypeAlias = Literal["xen-xl", "xen-xm"]
#: A value that is written; lists may be in lists.
Value: TypeAlias = "int | str | Sequence[Value]"
#: What is written: the key and its value.
Setting: TypeAlias = tuple[str, Value]

_PIECE = r"""(?P<space>[ \t\f\v\r]+|\#[^\n]*|\\\n)
      | (?P<end>[\n;])
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>[+-]?(?:0[xX][0-9a-fA-F]{1,16}|[0-9]{1,19})(?![\w.]))
      | (?P<name>[A-Za-z_][\w.-]*)
      | (?P<mark>\+=|[=\[\],])"""
_LONG = r"""(?P<long>\"{3}(?:[^"\\]|\\[\s\S]|"(?!""))*\"{3}|'{3}(?:[^'\\]|\\[\s\S]|'(?!''))*'{3}) | """
_PIECES: dict[Dialect, re.Pattern[str]] = {
    "xen-xl": re.compile(_PIECE, re.VERBOSE | re.ASCII),
    "xen-xm": re.compile(_LONG + _PIECE, re.VERBOSE | re.ASCII),
}
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|[\s\S])")
#: What stands for a character after a backslash, in both dialects.
ESCAPES = {
    '"': '"', "'": "'", "\\": "\\", "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
}  # fmt: skip
_DEEPEST = 8
_MOST_ASCII = 127
#: Python's words for numbers, which files of xm have.
_WORDS = {"True": 1, "False": 0}


class Item(msgspec.Struct, frozen=True):
    """A value that was read, and the line where it begins."""

    value: int | str | tuple[Item, ...]
    line: int


class Token(msgspec.Struct, frozen=True):
    """A piece of the text; ``kind``: the name of its group in the pattern."""

    kind: str
    text: str
    line: int


def parse_text(text: str, source: str | None, dialect: Dialect = "xen-xm") -> tuple[dict[str, Item], list[Problem]]:
    """The settings by key, and warnings of those that are set again. xm's strings are Python's, xl's are its own.

    Raises:
        ConfigError: the text is not of this form.
    """
    said: dict[str, list[Item]] = {}
    warnings: list[Problem] = []
    for key, mark, item in Parser(text, source, dialect).settings():
        if mark == "+=" and key in said:
            said[key].append(item)
            continue
        if key in said:
            reason = f"it is set again in line {item.line}, which counts"
            warnings.append(Problem(line=said[key][0].line, xpath=key, reason=reason, severity="warning"))
        said[key] = [item]
    return {key: _added(key, items, source) for key, items in said.items()}, warnings


def _added(key: str, items: list[Item], source: str | None) -> Item:
    """What ``=`` and each ``+=`` after it make: a list of all values, or one text."""
    first, *more = items
    if not more:
        return first
    if isinstance(first.value, tuple):
        values = (each.value if isinstance(each.value, tuple) else (each,) for each in items)
        return Item(tuple(chain.from_iterable(values)), first.line)
    for each in items:
        if not isinstance(each.value, str):
            raise ConfigError(f"'{key[:40]}' can't be added to", source=source, line=each.line)
    return Item("".join(str(each.value) for each in items), first.line)


class Parser:
    """Reads tokens one after the other."""

    def __init__(self, text: str, source: str | None, dialect: Dialect) -> None:
        self._source, self._dialect = source, dialect
        self._tokens = self._split(text)
        self._next = next(self._tokens)

    def settings(self) -> Iterator[tuple[str, str, Item]]:
        """Each key, = or +=, and the value."""
        while True:
            token = self._take()
            if token.kind == "eof":
                return
            if token.kind == "end":
                continue
            if token.kind != "name":
                raise self._error("a setting begins with its name", token)
            mark = self._take()
            if mark.text not in ("=", "+="):
                raise self._error(f"'{token.text[:40]}' is followed by '=' and a value", token)
            yield token.text, mark.text, self._value(0)
            after = self._take()
            if after.kind not in ("end", "eof"):
                raise self._error(f"after the value of '{token.text[:40]}' the line has to end", after)

    def _value(self, depth: int) -> Item:
        token = self._take()
        if token.kind == "string":
            return self._string(token, token.text[1:-1])
        if token.kind == "long":
            return self._string(token, token.text[3:-3])
        if token.kind == "number":
            return Item(_number(token.text), token.line)
        if token.text in _WORDS:
            return Item(_WORDS[token.text], token.line)
        if token.text == "[" and depth < _DEEPEST:
            return Item(tuple(self._list(depth + 1)), token.line)
        raise self._error("a value is a number, a string in quotes, or a list in brackets", token)

    def _string(self, token: Token, inside: str) -> Item:
        text = _ESCAPE.sub(lambda match: self._escaped(token, match), inside)
        check_characters(text, self._source, token.line)
        return Item(text, token.line)

    def _escaped(self, token: Token, match: re.Match[str]) -> str:
        """xl drops what it does not know without a word, and all characters by their numbers; Python keeps it."""
        name = match[1]
        if name in ESCAPES:
            return ESCAPES[name]
        if self._dialect == "xen-xl":
            raise self._error(f"in a string of xl's there is no '{match[0]}'; a backslash is written as two", token)
        if name[0] not in "x01234567":
            return match[0]
        number = int(name[1:] or "ff", 16) if name[0] == "x" else int(name, 8)
        if number > _MOST_ASCII:
            raise self._error(f"'{match[0]}' is no character of ASCII", token)
        return chr(number)

    def _list(self, depth: int) -> Iterator[Item]:
        while True:
            self._skip_lines()
            if self._next.text == "]" and self._next.kind == "mark":
                break
            yield self._value(depth)
            self._skip_lines()
            if self._next.text != ",":
                break
            self._take()
        token = self._take()
        if token.text != "]" or token.kind != "mark":
            raise self._error("the values of a list are separated by ',' and end with ']'", token)

    def _skip_lines(self) -> None:
        while self._next.kind == "end" and self._next.text == "\n":
            self._take()

    def _take(self) -> Token:
        token = self._next
        if token.kind != "eof":
            self._next = next(self._tokens)
        return token

    def _split(self, text: str) -> Iterator[Token]:
        place, line = 0, 1
        while place < len(text):
            match = _PIECES[self._dialect].match(text, place)
            if match is None:
                raise self._error("there is neither a name nor a value here", Token("", text[place], line))
            kind = match.lastgroup or ""
            if kind != "space":
                yield Token(kind, match[0], line)
            line += match[0].count("\n")
            place = match.end()
        yield Token("eof", "", line)

    def _error(self, reason: str, token: Token) -> ConfigError:
        if token.kind == "eof":
            reason = f"the text ends too early: {reason}"
        return ConfigError(reason, source=self._source, line=token.line)


def _number(text: str) -> int:
    digits = text.lstrip("+-")
    octal = len(digits) > 1 and digits[0] == "0" and set(digits) <= set("01234567")
    number = int(digits, 8 if octal else 16 if digits[:2] in ("0x", "0X") else 10)
    return -number if text[0] == "-" else number


# ---------------------------------------------------------------------------- writing


def write_text(settings: Iterable[Setting], dialect: Dialect) -> str:
    """One setting a line, in this order."""
    return "".join(f"{key} = {_written(value, dialect)}\n" for key, value in settings)


def _written(value: Value, dialect: Dialect) -> str:
    if isinstance(value, str):
        return _quoted(value, dialect)
    if isinstance(value, int):
        return str(int(value))
    return f"[ {', '.join(_written(each, dialect) for each in value)} ]"


def _quoted(text: str, dialect: Dialect) -> str:
    """Only in quotes if they are enough, since libvirt reads no escapes."""
    quotes = ['"', "'"] if "\n" not in text else []
    if dialect == "xen-xm" and not text.endswith('"'):
        quotes.append('"""')
    enough = [quote for quote in quotes if quote not in text and not {"\\", "\r"} & set(text)]
    if enough:
        return f"{enough[0]}{text}{enough[0]}"
    escaped = re.sub(r'[\\"]', r"\\\g<0>", text).replace("\n", r"\n").replace("\r", r"\r")
    return f'"{escaped}"'


def options_text(options: Iterable[tuple[str, int | str | None]]) -> str:
    """``name=value,...`` of those that have a value.

    Raises:
        ConfigError: a comma in a value, which would begin another option.
    """
    parts = []
    for name, value in options:
        if isinstance(value, str) and "," in value:
            raise ConfigError(f"in a configuration of Xen '{name}' can't have a comma in it")
        if value not in (None, ""):
            parts.append(f"{name}={value}")
    return ",".join(parts)
