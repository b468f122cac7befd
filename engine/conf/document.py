"""XML text in, elements out, hardened: no DTD, no entities, no network, a limit on size and depth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lxml import etree

from engine.errors import ConfigError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

__all__ = ["MAX_DOCUMENT", "attribute", "child_text", "line_of", "local_name", "parse_document", "suggest", "to_text"]

#: Bytes.
MAX_DOCUMENT = 16 * 1024 * 1024

# libxml2 itself refuses a depth over 256 and text nodes over 10 MB unless huge_tree is set
_OPTIONS = {"resolve_entities": False, "no_network": True, "load_dtd": False, "huge_tree": False}
_BYTES_PARSER = etree.XMLParser(**_OPTIONS)  # type: ignore[arg-type]
# a str is decoded already: whatever encoding its declaration names no longer holds
_TEXT_PARSER = etree.XMLParser(encoding="utf-8", **_OPTIONS)  # type: ignore[arg-type]


def parse_document(text: str | bytes, *, source: str | None = None) -> Element:
    """The root element of ``text``.

    Raises:
        ConfigError: not well-formed, too large, or it has a document type declaration; with the line.
    """
    parser = _BYTES_PARSER
    if isinstance(text, str):
        try:
            text, parser = text.encode(), _TEXT_PARSER
        except UnicodeEncodeError as exc:
            raise ConfigError("the text holds half a surrogate pair, so it is no text", source=source) from exc
    if len(text) > MAX_DOCUMENT:
        raise ConfigError(f"the document is larger than {MAX_DOCUMENT // 1024 // 1024} MiB", source=source)
    try:
        root = etree.fromstring(text, parser)
    except etree.XMLSyntaxError as exc:
        reason = (exc.msg or "not well-formed").split(", line ")[0]
        raise ConfigError(f"not well-formed XML: {reason}", source=source, line=exc.lineno or 1) from exc
    if b"<!DOCTYPE" in text and root.getroottree().docinfo.internalDTD is not None:
        raise ConfigError("a document type declaration is not allowed", source=source)
    return root


def to_text(root: Element) -> str:
    """The element as text, without an XML declaration."""
    return etree.tostring(root, encoding="unicode")


def line_of(element: Element) -> int | None:
    """The element's line in its document, from 1."""
    line: Any = element.sourceline
    return line if isinstance(line, int) else None


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
