"""Finds a pattern in text that comes in pieces; run as a program, it does so for another process.

A regular expression can take all time there is for a handful of letters (``(a+)+b``), and Python's ``re`` lets no other
thread run meanwhile. What a guest writes is not to be trusted with that, so a pattern that is not plain is searched for
by a process of its own, which can be ended. This file is that program, too: it imports nothing of the engine.
"""

from __future__ import annotations

import codecs
import contextlib
import os
import re
import sys

__all__ = ["KEPT", "PIECE", "Searcher", "is_plain", "main"]

#: Characters that are kept to match across pieces; a match can't be longer.
KEPT = 4096
#: Bytes that are to be fed at once: with what is kept, they bound the text of one search.
PIECE = 4096

_ESCAPED = re.compile(r"\\.", re.DOTALL)
_CLASS = re.compile(r"\[\^?\]?[^\]]*\]")
# a search tries them one after the other: all of the text 2**4 times at most
_MOST_CHOICES = 4


def is_plain(pattern: str) -> bool:
    """Whether a search costs no more than a few walks along the text, whatever that is.

    Nothing is repeated but a letter or class at the very end, where it never has to be tried again, and there are but a
    few choices. False when in doubt.
    """
    bare = _CLASS.sub("x", _ESCAPED.sub("x", pattern))
    bare = re.sub(r"(?<=[^)*+?])[*+]$", "", bare)
    return re.search(r"[*+{]", bare) is None and len(re.findall(r"[?|]", bare)) <= _MOST_CHOICES


class Searcher:
    """Finds a pattern in text that comes in pieces. ``^`` and ``$`` are the ends of lines, with ``\\r`` or without."""

    def __init__(self, pattern: str) -> None:
        self._pattern = re.compile(pattern, re.MULTILINE)
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = ""
        self._cut = False

    def feed(self, data: bytes) -> bool:
        """Whether the pattern was seen, up to and with these bytes."""
        self._text += self._decoder.decode(data).replace("\r", "")
        # the first character that was kept need not be the beginning of a line, so nothing may match there
        found = self._pattern.search(self._text, 1 if self._cut else 0) is not None
        if len(self._text) > KEPT:
            self._text = self._text[-KEPT:]
            self._cut = True
        return found


def main() -> None:
    """Messages come in, each with its length in four bytes before it: the pattern, then pieces of text. For each piece
    one byte goes out: ``1`` the pattern was seen, ``0`` it was not."""
    with contextlib.suppress(OSError):  # a service need not be allowed to
        os.nice(10)
    read, write = sys.stdin.buffer, sys.stdout.buffer

    def message() -> bytes | None:
        head = read.read(4)
        return read.read(int.from_bytes(head, "big")) if len(head) == 4 else None

    searcher = Searcher((message() or b"").decode("utf-8", "surrogatepass"))
    while (data := message()) is not None:
        write.write(b"1" if searcher.feed(data) else b"0")
        write.flush()


if __name__ == "__main__":
    main()
