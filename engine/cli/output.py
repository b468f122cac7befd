"""What the program prints: tables with rich on a terminal, plain lines in a pipe.

*Data* is what was asked for (``list``): when its reader goes away, the command ends. *Remarks* tell of work that is
being done: when their reader goes away, the work goes on.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import click

__all__ = [
    "OutputError",
    "ReaderGone",
    "begin",
    "data",
    "debugging",
    "discard",
    "end_line",
    "error",
    "fancy",
    "flush",
    "json",
    "log_to_stderr",
    "say",
    "table",
    "warning",
]

_quiet = False


class ReaderGone(Exception):
    """Nobody reads our output any more. (No BrokenPipeError: click would end the program with code 1 on that.)"""


class OutputError(OSError):
    """What was asked for can't be written to where it should go."""


def begin(*, quiet: bool) -> None:
    """At the start of a command."""
    global _quiet
    _quiet = quiet


def debugging() -> bool:
    """Tracebacks are wanted."""
    return bool(os.environ.get("VIRENGINE_DEBUG"))


def fancy() -> bool:
    """A person looks at our output, on a terminal that can do more than lines."""
    return sys.stdout.isatty() and os.environ.get("TERM", "") not in ("", "dumb")


def data(text: str) -> None:
    """Print what was asked for.

    Raises:
        ReaderGone: nobody reads it any more. OutputError: it can't be written for another reason.
    """
    with _output_errors():
        click.echo(text)


def say(text: str) -> None:
    """Remark that something was done. Never raises."""
    if not _quiet:
        with contextlib.suppress(OSError):
            click.echo(text)


def error(text: str) -> None:
    """Never raises."""
    _complain(f"virengine: error: {text}")


def warning(text: str) -> None:
    """Never raises."""
    _complain(f"virengine: warning: {text}")


def _complain(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        click.echo(text, err=True)


def end_line() -> None:
    """Leave the line with the terminal's ``^C`` in it."""
    if sys.stderr.isatty():
        _complain("")


def flush() -> None:
    """Raises what ``data`` raises."""
    with _output_errors():
        sys.stdout.flush()


@contextlib.contextmanager
def _output_errors() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as exc:
        raise ReaderGone() from exc
    except OSError as exc:
        raise OutputError(exc.errno, exc.strerror) from exc


def discard() -> None:
    """Nobody reads any more: what is still buffered must not fail once again when Python ends."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def json(value: Any) -> None:
    """Print ``value`` as a JSON document."""
    import msgspec

    data(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, styles: dict[str, str] | None = None) -> None:
    """Print a table: ``columns`` are the headings, ``styles`` how rich shows a cell with that very text."""
    if fancy():
        _rich_table(columns, rows, styles or {})
        return
    lines = [tuple(columns), *(tuple(row) for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["   ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines]
    texts.insert(1, "-" * (sum(widths) + 3 * (len(widths) - 1)))
    data("\n".join(text.rstrip() for text in texts))


def _rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]], styles: dict[str, str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        shown.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    with _output_errors():
        Console().print(shown)


@contextlib.contextmanager
def log_to_stderr() -> Iterator[None]:
    """Print warnings of the engine as sentences; without this, Python would print tracebacks of some."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if record.exc_info and record.exc_info[1] is not None:
                message += f": {record.exc_info[1]}"
                if debugging():
                    message += "\n" + logging.Formatter().formatException(record.exc_info)
            (error if record.levelno >= logging.ERROR else warning)(message)

    root, handler = logging.getLogger(), Handler(logging.DEBUG if debugging() else logging.WARNING)
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
