"""A TOML text held to a struct: every complaint has file, line and the words of the file. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from engine.conf.document import suggest
from engine.conf.toml import Lines, Path, line_at, parse_toml
from engine.errors import ConfigError

__all__ = ["Read", "Table", "read_toml"]

T = TypeVar("T")

_AT = re.compile(r" - at `\$?\.?(.*)`$")
_UNKNOWN = re.compile(r"unknown field `(.*?)`")


class Table(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """What a table of a file may hold."""


class Read(Generic[T]):
    """What was read, and where it stands.

    Attributes:
        value: the struct; source: the file.
    """

    def __init__(self, value: T, lines: Lines, source: str | None) -> None:
        self.value, self.source, self._lines = value, source, lines

    def line(self, *path: str | int) -> int:
        return line_at(self._lines, path) or 0

    def wrong(self, reason: str, path: Path) -> ConfigError:
        """The error that says so of what stands at this path."""
        return _wrong(reason, path, self._lines, self.source)

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """What is found to be wrong in here is wrong with what stands at this path."""
        try:
            yield
        except ConfigError as exc:
            raise self.wrong(exc.reason, path) from exc


def read_toml(text: str, type_: type[T], *, source: str | None = None) -> Read[T]:
    """The struct that a text declares.

    Raises:
        ConfigError: no TOML, an unknown key, a wrong value; with the line, and what was meant or allowed.
    """
    data, lines = parse_toml(text, source=source)
    try:
        return Read(msgspec.convert(data, type_), lines, source)
    except msgspec.ValidationError as exc:
        reason, path = _translate(str(exc), type_)
        raise _wrong(reason, path, lines, source) from exc


def _wrong(reason: str, path: Path, lines: Lines, source: str | None) -> ConfigError:
    where = "".join(f"[{part + 1}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
    return ConfigError(f"{where}: {reason}" if where else reason, source=source, line=line_at(lines, path))


def _translate(message: str, type_: Any) -> tuple[str, Path]:
    """msgspec's complaint in the words of the file, and where it is."""
    found = _AT.search(message)
    path: list[str | int] = []
    for part in re.findall(r"[^.\[\]]+|\[\d+\]|\[\.\.\.\]", found[1] if found else ""):
        if part == "[...]":  # a union's member, or a key of a mapping: msgspec does not say which
            break
        path.append(int(part[1:-1]) if part.startswith("[") else part)
    reason = _AT.sub("", message)
    allowed = _allowed(inspect.type_info(type_), path)
    if unknown := _UNKNOWN.search(reason):
        return f"unknown key{suggest(unknown[1], allowed)}", (*path, unknown[1])
    reason = reason.replace("`", "'").replace(" | null", "").replace("Object missing required field", "there has to be")
    reason = reason[:1].lower() + reason[1:]
    return reason + (f" (one of {', '.join(allowed)})" if "enum value" in reason else ""), tuple(path)


def _allowed(info: inspect.Type, path: list[str | int]) -> tuple[str, ...]:
    """The keys, or the words, that could stand there."""
    found = _flat(info)
    for part in path:
        found = [inner for each in found for inner in _inside(each, part)]
    names = [field.encode_name for each in found if isinstance(each, inspect.StructType) for field in each.fields]
    words = [str(value) for each in found if isinstance(each, inspect.LiteralType) for value in each.values]
    return tuple(dict.fromkeys([*names, *words]))


def _flat(info: inspect.Type) -> list[inspect.Type]:
    if isinstance(info, inspect.UnionType):
        return [each for member in info.types for each in _flat(member)]
    return [info]


def _inside(info: inspect.Type, part: str | int) -> list[inspect.Type]:
    if isinstance(info, inspect.StructType):
        return [each for field in info.fields if field.encode_name == part for each in _flat(field.type)]
    if isinstance(info, inspect.CollectionType) and isinstance(part, int):
        return _flat(info.item_type)
    if isinstance(info, inspect.DictType):
        return _flat(info.value_type)
    return []
