"""TOML text in, data and the line of every value out. Pure.

``tomllib`` tells no positions, and a complaint about a policy is worth little without its line. So a second, shallow
scan over the same text, which ``tomllib`` has accepted by then, notes where each key and each array element begins.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

from engine.errors import ConfigError

__all__ = ["Lines", "Path", "line_at", "parse_toml"]

Path: TypeAlias = "tuple[str | int, ...]"
#: The line of every key, table and array element, by its path: ``("rule", 0, "stop", 1, "method")``.
Lines: TypeAlias = Mapping[Path, int]

# kind, text, line
_Lexeme: TypeAlias = "tuple[str, str, int]"

_TOKEN = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
  | (?P<text>\"\"\"(?:\\.|[^\\])*?\"{3,5}|'''.*?'{3,5}|"(?!"")(?:\\.|[^"\\\n])*+"|'(?!'')[^'\n]*+')
  | (?P<open>["'])
  | (?P<mark>[\[\]{}=,.\n])
  | (?P<word>[^\s\[\]{}=,."'\#]+)
    """,
    re.VERBOSE | re.DOTALL,
)
# tomllib's time grows with the square of the parts of a key: 50,000 of them are a minute that no signal interrupts
_MOST_PARTS = 64
_WHERE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


def parse_toml(text: str, *, source: str | None = None) -> tuple[dict[str, Any], Lines]:
    """The document and the lines in it.

    Raises:
        ConfigError: it is no TOML, or a key has more than 64 parts; with the line.
    """
    import tomllib  # most engines never read a policy

    text = text.removeprefix("\ufeff")
    _check_keys(text, source)
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as exc:
        message = str(exc)
        found = _WHERE.search(message)
        line = int(found[1]) if found and found[1] else text.count("\n") + 1
        reason = _WHERE.sub("", message).lower()
        raise ConfigError(f"not well-formed TOML: {reason}", source=source, line=line) from exc
    except ValueError as exc:  # a number of more digits than Python reads
        raise ConfigError(f"not a sound TOML document: {exc}", source=source) from exc
    except RecursionError as exc:
        raise ConfigError("not well-formed TOML: nested too deeply", source=source) from exc
    return data, _Scanner(list(_tokens(text))).lines


def line_at(lines: Lines, path: Path) -> int | None:
    """The line of ``path``, or of the nearest that holds it."""
    while path:
        if path in lines:
            return lines[path]
        path = path[:-1]
    return None


def _tokens(text: str) -> Iterator[_Lexeme]:
    """What the text consists of, its comments aside, up to a string without an end: what has one is no TOML."""
    line = 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind == "open":  # and to look for an end from each quote that follows would take the square of their number
            return
        if kind != "comment":
            yield kind, match[0], line
        line += match[0].count("\n")


def _check_keys(text: str, source: str | None) -> None:
    dots = 0
    for kind, mark, line in _tokens(text):
        if mark == ".":
            dots += 1
            if dots == _MOST_PARTS:
                raise ConfigError(f"a key may have {_MOST_PARTS} parts", source=source, line=line)
        elif kind == "mark":
            dots = 0


class _Scanner:
    """One pass over the tokens of text that is known to be TOML."""

    def __init__(self, tokens: list[_Lexeme]) -> None:
        self.lines: dict[Path, int] = {}
        self._tokens = tokens
        self._at = 0
        self._tables: dict[Path, int] = {}
        self._document()

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self) -> _Lexeme:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _document(self) -> None:
        table: Path = ()
        while text := self._peek():
            if text == "\n":
                self._take()
            elif text == "[":
                table = self._header()
            else:
                self._pair(table)

    def _header(self) -> Path:
        """``[a.b]`` or ``[[a.b]]``: the path that the keys after it belong to."""
        self._take()
        array = self._peek() == "["
        if array:
            self._take()
        keys, line = self._key()
        path: Path = ()
        for depth, key in enumerate(keys, 1):
            path = (*path, key)
            if array and depth == len(keys):
                self._tables[path] = self._tables.get(path, -1) + 1
            if path in self._tables:  # the name of an array of tables means its last one
                path = (*path, self._tables[path])
        while self._peek() == "]":
            self._take()
        self.lines.setdefault(path, line)
        return path

    def _key(self) -> tuple[list[str], int]:
        """A dotted key: its parts, and the line it is in."""
        keys: list[str] = []
        line = 0
        while True:
            kind, text, line = self._take()
            keys.append(_unquote(text) if kind == "text" else text)
            if self._peek() != ".":
                return keys, line
            self._take()

    def _pair(self, table: Path) -> None:
        keys, line = self._key()
        path = table
        for key in keys:
            path = (*path, key)
            self.lines.setdefault(path, line)
        self._take()  # the equals sign
        self._value(path)

    def _value(self, path: Path) -> None:
        opening = self._peek()
        if opening == "[":
            self._items(path, "]")
        elif opening == "{":
            self._items(path, "}")
        else:
            while self._peek() not in ("", "\n", ",", "]", "}"):
                self._take()  # a number such as 1.5 is three tokens

    def _items(self, path: Path, closing: str) -> None:
        self._take()
        index = 0
        while (text := self._peek()) != closing:
            if text in ("\n", ","):
                self._take()
            elif closing == "}":
                self._pair(path)
            else:
                item = (*path, index)
                self.lines[item] = self._tokens[self._at][2]
                self._value(item)
                index += 1
        self._take()


def _unquote(text: str) -> str:
    """A quoted key as ``tomllib`` reads it."""
    import tomllib

    return next(iter(tomllib.loads(f"{text} = 0")))
