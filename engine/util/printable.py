"""Texts of guests and documents, made harmless for a terminal: what they hold is shown, never obeyed."""

from __future__ import annotations

import re

__all__ = ["printable", "printable_json", "printable_line"]

# controls (C0 but the tab, DEL, C1), what changes the direction or ends a line, and what no encoding has
_OTHERS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff"
_IN_TEXT = re.compile(f"[{_OTHERS}]")
_IN_LINE = re.compile(f"[{_OTHERS}\n]")


def printable(text: str) -> str:
    """A text of lines with what is not printable escaped as in Python: ``\\x1b``."""
    return _IN_TEXT.sub(_escape, text)


def printable_line(text: str) -> str:
    """The same of what has to stay on one line."""
    return _IN_LINE.sub(_escape, text)


def printable_json(text: str) -> str:
    """The same of a JSON document, which stays one that says the same."""
    return _IN_TEXT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    return repr(found[0])[1:-1]
