"""What the program prints: tables with rich on a terminal, plain lines in a pipe.

*Data* is what was asked for (``list``): when its reader goes away, the command ends. *Remarks* tell of work that is
being done: when their reader goes away, the work goes on. While an event loop runs (``beside_loop``) neither waits for
its reader.

What is not printable is escaped, since it may be a guest's or a document's.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TextIO

import click

from engine.util.printable import printable, printable_json, printable_line

if TYPE_CHECKING:
    from engine.cli.streams import Stream

__all__ = [
    "OutputError",
    "ReaderGone",
    "begin",
    "beside_loop",
    "data",
    "debugging",
    "discard",
    "drained",
    "draw",
    "error",
    "fancy",
    "finish",
    "flush",
    "json",
    "json_text",
    "log_to_stderr",
    "raw",
    "raw_bytes",
    "say",
    "table",
    "taken",
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
        ReaderGone: nobody reads it any more. OutputError: it can't be written for another reason. (While an event
        loop runs, it is ``finish`` that raises.)
    """
    _answer(printable(text))


def raw(text: str) -> None:
    """The same for a document, which is given as it is, in UTF-8 whatever the terminal has."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.encoding.lower() not in ("utf-8", "utf8"):
        sys.stdout.reconfigure(encoding="utf-8")
    _answer(text)


def raw_bytes(content: bytes) -> None:
    """The same for what is no text."""
    with _asked_for():
        _write(sys.stdout, content)


def _answer(text: str) -> None:
    with _asked_for():
        _print(f"{text}\n")


@contextlib.contextmanager
def _asked_for() -> Iterator[None]:
    global _asked
    _asked = True
    with _output_errors():
        yield


def say(text: str) -> None:
    """Remark that something was done. Never raises."""
    if not _quiet:
        draw(f"{printable(text)}\n")


def draw(text: str) -> None:
    """Remark it as it is, with what a terminal is to obey. Never raises."""
    with contextlib.suppress(OSError):
        _print(text)


def error(text: str) -> None:
    """Never raises."""
    _complain(f"virengine: error: {text}")


def warning(text: str) -> None:
    """Never raises."""
    _complain(f"virengine: warning: {text}")


def _complain(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):
        _print(f"{printable(text)}\n", err=True)


def _print(text: str, *, err: bool = False) -> None:
    file = sys.stderr if err else sys.stdout
    encoding = file.encoding or "utf-8"
    encoded = text.encode(encoding, "backslashreplace")
    if file in _streams:
        _write(file, encoded)
    else:
        click.echo(encoded.decode(encoding), nl=False, err=err)


def _write(file: TextIO, content: bytes) -> None:
    if (stream := _streams.get(file)) is not None:
        stream.write(content)
    else:
        click.echo(content, file, nl=False)


_streams: dict[TextIO, Stream] = {}
_asked = False  # data was printed, not only remarks


@contextlib.contextmanager
def beside_loop() -> Iterator[Sequence[Stream]]:
    """While an event loop runs whose tasks ``pump`` what is given: printing waits for nobody.

    Call ``finish`` when the loop has ended; what waits else is dropped.
    """
    from engine.cli.streams import Stream

    global _asked
    _asked = False
    for file in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # it is none of the operating system's, as in a test
            file.flush()
            _streams[file] = Stream(file.fileno())
    try:
        yield tuple(_streams.values())
    finally:
        while _streams:
            _streams.popitem()[1].close()


def finish() -> None:
    """Write what waits, now that no event loop is held up. Raises what ``data`` raises."""
    for stream in _streams.values():
        stream.finish()
    _check()


def _check() -> None:
    stream = _streams.get(sys.stdout)
    if _asked and stream is not None and stream.error is not None:
        with _output_errors():
            raise stream.error


async def drained() -> None:
    """Return once all remarks are written."""
    if (stream := _streams.get(sys.stdout)) is not None:
        await stream.drained()


async def taken() -> None:
    """Return once what was asked for is written: for a command that prints without end. Raises what ``data`` raises."""
    await drained()
    _check()


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

    json_text(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def json_text(text: str) -> None:
    """Print a JSON document."""
    raw(printable_json(text))


def table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, styles: dict[str, str] | None = None) -> None:
    """Print a table: ``columns`` are the headings, ``styles`` how rich shows a cell with that very text."""
    if fancy():
        _rich_table(columns, [tuple(map(printable_line, row)) for row in rows], styles or {})
        return
    from engine.util.table import plain_table

    data(plain_table(columns, rows))


def _rich_table(columns: Sequence[str], rows: Iterable[Sequence[str]], styles: dict[str, str]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        shown.add_row(*(Text(cell, style=styles.get(cell, "")) for cell in row))
    console = Console()
    with console.capture() as drawn:
        console.print(shown)
    raw(drawn.get().removesuffix("\n"))


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
