"""The settings of a configuration while they are read: each is taken once, and what nobody takes is told."""

from __future__ import annotations

from collections.abc import Iterable

from engine.conf.native.xl.text import Item
from engine.errors import ConfigError, Problem

__all__ = ["AGAIN", "Keys", "Spec"]

NO_EQUIVALENT = "there is nothing like it in a definition of this kind of guest"
AGAIN = "it is said again, which counts"


class Keys:
    """The settings.

    Attributes:
        warnings: what could not be carried over so far.
    """

    def __init__(self, items: dict[str, Item], source: str | None, warnings: Iterable[Problem] = ()) -> None:
        self.warnings = [*warnings]
        self._items, self._source = items, source
        self._taken: set[str] = set()

    def __contains__(self, key: str) -> bool:
        return key in self._items

    def line(self, key: str) -> int:
        """0: it is not set."""
        return self._items[key].line if key in self._items else 0

    def counting(self, *keys: str) -> str:
        """Which of settings that say the same counts, the first that says something; others than it are told of."""
        self._taken.update(keys)
        counts, *others = [key for key in keys if self.says(key)] or keys[:1]
        for key in others:
            if self._items[key].value != self._items[counts].value:
                self.loses(key, counts)
        return counts

    def says(self, key: str) -> bool:
        """Is it set, and not to nothing?"""
        return key in self and self._items[key].value not in ("", ())

    def loses(self, key: str, other: str) -> None:
        """Tells, if it is set, that the other setting counts."""
        if key in self:
            self.warn(key, self.line(key), f"it has no effect with '{other}' in line {self.line(other)}")

    def item(self, key: str) -> Item | None:
        """Whatever it is; who asks for it uses it, or tells that it has no effect."""
        self._taken.add(key)
        return self._items.get(key)

    def number(self, key: str) -> int | None:
        """A number, also one in quotes, as xm took them."""
        item = self.item(key)
        if item is None:
            return None
        return self.as_number(item, f"'{key}'")

    def flag(self, key: str, default: bool | None = None) -> bool | None:
        number = self.number(key)
        return default if number is None else number != 0

    def string(self, key: str) -> str | None:
        """An empty one is as none."""
        item = self.item(key)
        if item is None or item.value == "":
            return None
        if not isinstance(item.value, str):
            raise self.error(f"'{key}' is a string in quotes", item.line)
        return item.value

    def strings(self, key: str) -> list[Item]:
        """The strings of a list, or the only one."""
        item = self.item(key)
        if item is None:
            return []
        items = item.value if isinstance(item.value, tuple) else (item,) if item.value != "" else ()
        for each in items:
            if not isinstance(each.value, str):
                raise self.error(f"'{key}' is a list of strings in quotes", each.line)
        return [*items]

    def as_number(self, item: Item, what: str) -> int:
        if isinstance(item.value, int):
            return item.value
        if isinstance(item.value, str):
            digits = item.value.strip()
            if digits.removeprefix("-").isdecimal() and digits.isascii() and len(digits) < 20:
                return int(digits)
        raise self.error(f"{what} is a number", item.line)

    def warn(self, place: str, line: int, reason: str = NO_EQUIVALENT) -> None:
        self._taken.add(place)
        self.warnings.append(Problem(line=line, xpath=place, reason=reason, severity="warning"))

    def error(self, reason: str, line: int | None = None) -> ConfigError:
        return ConfigError(reason, source=self._source, line=line)

    def finish(self) -> tuple[Problem, ...]:
        """All warnings by line, those of what was never taken too."""
        for key, item in self._items.items():
            if key not in self._taken:
                self.warn(key, item.line)
        return tuple(sorted(self.warnings, key=lambda problem: problem.line))


class Spec:
    """A string of options with values, ``mac=...,bridge=...``, and words without. Of an option the last counts.

    Attributes:
        line: where it stands.
    """

    def __init__(self, keys: Keys, place: str, item: Item, text: str | None = None) -> None:
        self.line = item.line
        self._keys, self._place = keys, place
        self._values: dict[str, str] = {}
        self._words: list[str] = []
        self._secret = False
        for part in (str(item.value) if text is None else text).split(","):
            name, equals, value = part.partition("=")
            if equals:
                if name.strip() in self._values:
                    self.warn(name.strip(), AGAIN)
                self._values[name.strip()] = value.strip()
                self._secret = self._secret or "passw" in name
            elif name.strip():
                self._words.append(name.strip())

    def take(self, name: str) -> str | None:
        """The value, if it is there and not empty."""
        return self._values.pop(name, None) or None

    def number(self, name: str) -> int | None:
        value = self.take(name)
        return None if value is None else self._keys.as_number(Item(value, self.line), f"'{name}' of {self._place}")

    def word(self, word: str) -> bool:
        if word not in self._words:
            return False
        self._words.remove(word)
        return True

    def error(self, reason: str) -> ConfigError:
        return self._keys.error(f"{self._place}: {reason}", self.line)

    def warn(self, name: str, *reason: str) -> None:
        self._keys.warn(f"{self._place}/{name}", self.line, *reason)

    def finish(self) -> None:
        """Tells what was not taken."""
        for name in self._values:
            self.warn(name)
        for word in self._words:
            self.warn("?" if self._secret else word)  # which may be the end of a password with a comma in it
