"""XML text in, elements out, hardened: no DTD, no entities, no network, limits on size, depth and width."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from lxml import etree

from engine.errors import ConfigError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = [
    "LIMITS",
    "Limits",
    "attribute",
    "child_text",
    "is_indentation",
    "keeps_its_space",
    "line_of",
    "local_name",
    "parse_document",
    "suggest",
    "to_text",
]

# what libxml2 refuses itself, unless it is told to take anything
_MOST_DEPTH = 256


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How much of a document is taken.

    Attributes:
        size: bytes. depth: elements in elements, 256 at most. attributes: of one element.
        namespaces: declared at one element, or around it.
    """

    size: int = 16 * 1024 * 1024
    depth: int = _MOST_DEPTH
    attributes: int = 500
    namespaces: int = 100


#: Those that hold where no others are given.
LIMITS = Limits()

# libxml2 itself refuses a depth over 256 and text nodes over 10 MB unless huge_tree is set
_OPTIONS = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
_BYTES_PARSER = etree.XMLParser(**_OPTIONS)  # type: ignore[arg-type]
# in which ASCII is itself
_LIKE_ASCII = frozenset({"UTF-8", "utf-8", "ASCII", "US-ASCII", "ISO-8859-1"})
# bytes; with at most some thousand attributes
_HARMLESS = 16 * 1024
# a str is decoded already: whatever encoding its declaration names no longer holds
_TEXT_PARSER = etree.XMLParser(encoding="utf-8", **_OPTIONS)  # type: ignore[arg-type]


def parse_document(text: str | bytes, *, source: str | None = None, limits: Limits = LIMITS) -> Element:
    """The root element of ``text``.

    Raises:
        ConfigError: not well-formed, larger than ``limits``, or it has a document type declaration; with the line.
    """
    parser = _BYTES_PARSER
    if isinstance(text, str):
        try:
            text, parser = text.encode(), _TEXT_PARSER
        except UnicodeEncodeError as exc:
            raise ConfigError("the text holds half a surrogate pair, so it is no text", source=source) from exc
    if len(text) > limits.size:
        raise ConfigError(f"the document is larger than {_shown_size(limits.size)}", source=source)
    try:
        root = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as exc:
        reason = " ".join((exc.msg or "not well-formed").split(", line ")[0].split())
        if "XML_PARSE_HUGE" in reason:  # which is libxml2's advice to programmers
            too = "nested too deeply" if "depth" in reason else "a text in it is too long"
            raise ConfigError(f"the document is too much to take: {too}", source=source, line=exc.lineno) from exc
        raise ConfigError(f"not well-formed XML: {reason}", source=source, line=exc.lineno or 1) from exc
    about = root.getroottree().docinfo
    if about.internalDTD is not None:
        raise ConfigError("a document type declaration is not allowed", source=source, line=1)
    if (about.encoding or "UTF-8") not in _LIKE_ASCII:
        text = etree.tostring(root, encoding="utf-8")
    _check_shape(root, text, limits, source)
    return root


def _check_shape(root: Element, text: bytes, limits: Limits, source: str | None) -> None:
    # lxml takes the square of their number to tell an element's attributes; a small document can't have many
    small = len(text) <= _HARMLESS and limits.attributes >= LIMITS.attributes
    if not small and (wide := _too_wide(limits.attributes)(root)):
        raise ConfigError(
            f"an element has more than {limits.attributes} attributes", source=source, line=line_of(wide[0])
        )
    if limits.depth < _MOST_DEPTH and (deep := _too_deep(limits.depth)(root)):
        raise ConfigError(f"elements are nested more than {limits.depth} deep", source=source, line=line_of(deep[0]))
    # what is kept as text is given all that it stands among, so many namespaces times many elements
    if text.count(b"xmlns") > limits.namespaces:
        number = _number_of_too_many(limits.namespaces, text)
        if number is not None:
            line = line_of(next(islice(root.iter("*"), number, None)))
            reason = f"there are more than {limits.namespaces} namespaces at an element"
            raise ConfigError(reason, source=source, line=line)


@cache
def _too_wide(most: int) -> Any:
    return etree.XPath(f"(//*[count(@*) > {most:d}])[1]")


@cache
def _too_deep(most: int) -> Any:
    return etree.XPath(f"({'/*' * (most + 1)})[1]")


def _number_of_too_many(most: int, text: bytes) -> int | None:
    """Which element is the first with more than ``most`` namespaces at it or around it."""
    declared = number = 0
    for event, _ in etree.iterparse(BytesIO(text), events=("start", "start-ns", "end-ns"), **_OPTIONS):
        declared += {"start-ns": 1, "end-ns": -1}.get(event, 0)
        if event == "start":
            if declared > most:
                return number
            number += 1
    return None


def _shown_size(size: int) -> str:
    return f"{size // 1024**2} MiB" if size % 1024**2 == 0 else f"{size} bytes"


def to_text(root: Element) -> str:
    """The element as text, without an XML declaration."""
    return etree.tostring(root, encoding="unicode")


def line_of(element: Element) -> int | None:
    """The element's line in its document, from 1."""
    line: Any = element.sourceline
    return line if isinstance(line, int) else None


def keeps_its_space(element: Element) -> bool:
    """It says itself that all white space in it counts."""
    return element.get("{http://www.w3.org/XML/1998/namespace}space") == "preserve"


def is_indentation(text: str) -> bool:
    """White space with a line end: blanks between words are none."""
    return "\n" in text and not text.strip(" \t\r\n")


def local_name(element: Element) -> str:
    """The tag without its namespace; "" for a comment or processing instruction."""
    tag = element.tag
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def child_text(element: Element, tag: str) -> str | None:
    """The text of the first child ``tag``, white space trimmed; None when there is no such child or it is empty."""
    text = element.findtext(tag)
    return (text.strip() or None) if text is not None else None


def attribute(element: Element, name: str, *, source: str | None) -> str:
    """A required attribute."""
    value = element.get(name)
    if not value:
        raise ConfigError(f"<{local_name(element)}> lacks its attribute '{name}'", source=source, line=line_of(element))
    return value


def suggest(word: str, known: tuple[str, ...]) -> str:
    """`` (did you mean 'x'?)``, or "" when nothing known is near."""
    import difflib  # only on the way to an error

    near = difflib.get_close_matches(word, known, n=1)
    return f" (did you mean '{near[0]}'?)" if near else ""
