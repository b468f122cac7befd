"""A table in plain lines, as pipes and scripts get it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.util.printable import printable_line

__all__ = ["plain_table"]


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """``columns`` are the headings; what is not printable is escaped."""
    lines = [tuple(columns), *(tuple(map(printable_line, row)) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    texts.insert(1, "-" * (sum(widths) + 3 * (len(widths) - 1)))
    return "\n".join(text.rstrip() for text in texts)
