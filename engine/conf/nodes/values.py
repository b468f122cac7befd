"""The values of attributes and texts: what is allowed, what it means, and how it is written.

A value type is put in an annotation, ``Annotated[int, Number("uint8", 0, 255)]``; it reads text, writes it, says in
words what it allows, and knows itself in XML Schema. Patterns are in what XML Schema and ``re`` have in common.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from engine.errors import ConfigError

__all__ = [
    "ANY",
    "BLANKS",
    "HIDDEN",
    "Choice",
    "NoValue",
    "Number",
    "OneOf",
    "Pattern",
    "Secret",
    "ValueType",
    "Words",
    "Written",
    "collapsed",
]


#: What XML takes for white space, and no other sign.
BLANKS = " \t\r\n"


def collapsed(text: str) -> str:
    """Without white space around it, and one blank for each inside, as XML Schema's ``token``."""
    return " ".join(filter(None, _BLANK.split(text)))


_BLANK = re.compile("[ \t\r\n]+")


def _quoted(text: str) -> str:
    return f'"{html.escape(text)}"'


class NoValue(ValueError):
    """The text is none of what is allowed; the message is a clause that says what would be."""


class Written(int):
    """A number that was not written as it would be here: equal to any of its size, and written again as it was."""

    text: str

    def __new__(cls, number: int, text: str) -> Written:
        self = super().__new__(cls, number)
        self.text = text
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return Written, (int(self), self.text)


class ValueType(Protocol):
    """What may stand in an attribute or a text.

    Attributes:
        name: of its type in the schemas; "" where it is written out at each place.
        what: what is allowed, as a noun in words. secret: it is shown to nobody, in no message and no difference.
        quick: as ``read``, and may raise KeyError for what that takes in another spelling.
    """

    name: str
    what: str
    secret: bool

    @property
    def quick(self) -> Callable[[str], Any]: ...

    def read(self, text: str) -> Any:
        """The value. Raises NoValue."""

    def write(self, value: Any) -> str:
        """Its text."""

    def xsd(self) -> str:
        """The inside of its ``xs:simpleType``."""


class Anything:
    """Any text."""

    name, what, secret = "text", "any text", False
    quick: Callable[[str], Any] = str

    def read(self, text: str) -> str:
        return text

    def write(self, value: str) -> str:
        return value

    def xsd(self) -> str:
        return '<xs:restriction base="xs:string"/>'


ANY = Anything()

#: What stands for a secret wherever people see it.
HIDDEN = "***"


class Hidden(str):
    """A text that does not show itself in the ``repr`` of what holds it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return repr(HIDDEN)


class Secret(Anything):
    """Any text, which is nobody's business."""

    secret = True
    quick = Hidden

    def read(self, text: str) -> str:
        return Hidden(text)


class Pattern:
    """Text of a form.

    Args:
        but: values that match, and are refused all the same.
        canonical: where a value may be written in several ways: the one way of each. Raises ConfigError if it has none.
    """

    def __init__(
        self,
        name: str,
        pattern: str,
        what: str,
        *,
        but: Sequence[str] = (),
        secret: bool = False,
        canonical: Callable[[str], str | None] | None = None,
    ) -> None:
        self.secret, self._canonical = secret, canonical
        self.name, self.what, self.pattern, self.but = name, what, pattern, frozenset(but)
        self._match = re.compile(pattern).fullmatch
        self.quick = self.read

    def read(self, text: str) -> str:
        if self._match(text) is None or text in self.but:
            raise NoValue(self.what)
        return text

    def write(self, value: str) -> str:
        return value

    def canonical(self, value: str) -> str | None:
        """The one way to write all values that mean the same."""
        if self._canonical is None:
            return value
        try:
            return self._canonical(value)
        except ConfigError:
            return value

    def xsd(self) -> str:
        if self.pattern in (".+", r"[^\n]+"):  # a length is quicker to see, and no line end is left in an attribute
            return '<xs:restriction base="xs:string"><xs:minLength value="1"/></xs:restriction>'
        return f'<xs:restriction base="xs:string"><xs:pattern value={_quoted(self.pattern)}/></xs:restriction>'


class Number:
    """A whole number.

    Args:
        low, high: inclusive; high None: no limit.
        pattern: how else it may be written; what matches is hexadecimal if it begins with 0x, or with ``base`` 16.
        plain: how it may be written as a decimal number; with white space around it only if a sign may be there, too,
            which is how libvirt's schemas have it: it takes a sign where it takes whatever XML Schema does.
        as_hex: the digits it is written with, as 0x...; 0: decimal.
    """

    secret = False

    def __init__(
        self,
        name: str,
        low: int = 0,
        high: int | None = None,
        *,
        pattern: str = "",
        plain: str = "[0-9]+",
        base: int = 10,
        as_hex: int = 0,
        what: str = "",
    ) -> None:
        self.name, self.low, self.high, self.pattern, self.plain = name, low, high, pattern, plain
        self._base, self._hex = base, as_hex
        self._spaced = "[+" in plain
        # most numbers are plain ones
        self._quick, self._most = bool(plain) and base == 10 and not as_hex, 10**9 if high is None else high
        bounds = f" from {low} to {high}" if high is not None else f", at least {low}" if low else ""
        self.what = what or f"a whole number{bounds}"
        self._plain = re.compile(plain).fullmatch if plain else None
        self._other = re.compile(pattern).fullmatch if pattern else None
        self.quick = self.read

    def read(self, text: str) -> int:
        if self._quick and len(text) < 10 and text.isdigit() and text.isascii() and (text[0] != "0" or text == "0"):
            small = int(text)
            if self.low <= small <= self._most:
                return small
        stripped = text.strip(BLANKS) if self._spaced else text
        number = None
        if self._plain is not None and self._plain(stripped):
            if len(stripped) > 24:
                raise NoValue(self.what)
            number = int(stripped, self._base)
            if number < self.low or (self.high is not None and number > self.high):
                number = None
        if number is None and self._other is not None and self._other(text):
            number = int(text, 16)
        if number is None:
            raise NoValue(self.what)
        return number if self.write(number) == text else Written(number, text)

    def write(self, value: int) -> str:
        if type(value) is Written:
            return value.text
        if self._base == 8:
            return f"0{value:o}"
        return f"0x{value:0{self._hex}x}" if self._hex else str(value)

    def xsd(self) -> str:
        if not self.plain:
            return f'<xs:restriction base="xs:string"><xs:pattern value={_quoted(self.pattern)}/></xs:restriction>'
        facets = f"<xs:pattern value={_quoted(self.plain)}/>"
        if self._base == 10:
            facets += f'<xs:minInclusive value="{self.low}"/>'
            if self.high is not None:
                facets += f'<xs:maxInclusive value="{self.high}"/>'
        plain = f'<xs:restriction base="xs:integer">{facets}</xs:restriction>'
        if not self.pattern:
            return plain
        return (
            f"<xs:union><xs:simpleType>{plain}</xs:simpleType><xs:simpleType>"
            f'<xs:restriction base="xs:string"><xs:pattern value={_quoted(self.pattern)}/></xs:restriction>'
            "</xs:simpleType></xs:union>"
        )


class Choice:
    """One of some words."""

    secret = False

    name = ""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = {word: word for word in words}
        self.quick = self.words.__getitem__
        self.what = ", ".join(words) if len(words) > 1 else f"'{words[0]}'"

    def read(self, text: str) -> str:
        found = self.words.get(text)
        if found is None:
            found = self.words.get(collapsed(text))
            if found is None:
                raise NoValue(self.what)
        return found

    def write(self, value: str) -> str:
        return value

    def xsd(self) -> str:
        words = "".join(f"<xs:enumeration value={_quoted(word)}/>" for word in self.words)
        return f'<xs:restriction base="xs:token">{words}</xs:restriction>'


class Words:
    """Two words for true and false."""

    secret = False

    def __init__(self, name: str, yes: str, no: str) -> None:
        self.name, self.what = name, f"{yes} or {no}"
        self._values = {yes: True, no: False}
        self._yes, self._no = yes, no
        self.quick = self._values.__getitem__

    @property
    def words(self) -> tuple[str, str]:
        return self._yes, self._no

    def read(self, text: str) -> bool:
        value = self._values.get(text)
        if value is None:
            value = self._values.get(collapsed(text))
            if value is None:
                raise NoValue(self.what)
        return value

    def write(self, value: bool) -> str:
        return self._yes if value else self._no

    def xsd(self) -> str:
        return Choice(self.words).xsd()


class OneOf:
    """What any of these allow; the first that does says what it means."""

    secret = False

    def __init__(self, types: Sequence[ValueType], *, name: str = "") -> None:
        self.name, self.types = name, tuple(types)
        self.quick = self.read
        self.what = ", or ".join(type_.what for type_ in self.types)

    def read(self, text: str) -> Any:
        for type_ in self.types:
            try:
                return type_.read(text)
            except NoValue:
                continue
        raise NoValue(self.what)

    def write(self, value: Any) -> str:
        for type_ in self.types:
            try:
                text = type_.write(value)
                if type_.read(text) == value:
                    return text
            except (NoValue, ValueError, TypeError, AttributeError):
                continue
        return str(value)

    def xsd(self) -> str:
        inside = "".join(f"<xs:simpleType>{type_.xsd()}</xs:simpleType>" for type_ in self.types)
        return f"<xs:union>{inside}</xs:union>"
