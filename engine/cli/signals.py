"""SIGINT and SIGTERM from the first moment on: none is lost, and none prints a traceback.

Nothing heavy is imported here, so that this is in force before all that is.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator

__all__ = ["SIGNALS", "end_at_once", "ignore", "last_words", "noted"]

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_at_once() -> None:
    """Let either end the process where it stands: for as long as there is nothing to be put in order."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as for a shell's background jobs
            signal.signal(number, _end)


def ignore() -> None:
    """For the very end, when the exit code stands and Python would give the signals back to the system."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, frame: object) -> None:
    # no exception: raised wherever it happens to strike, in a destructor say, it could come to nothing
    last_words(number)
    os._exit(128 + number)


def last_words(number: int) -> None:
    """Say that it was ``number`` that ended us, if that can be said without waiting for a reader. Never raises."""
    words = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
    with contextlib.suppress(OSError, ValueError, AttributeError):
        fd = sys.stderr.fileno()
        ready = select.poll()
        ready.register(fd, select.POLLOUT)
        if ready.poll(0):
            # a terminal has a ^C in that line
            os.write(fd, f"{chr(10) if os.isatty(fd) else ''}virengine: error: {words}\n".encode())


@contextlib.contextmanager
def noted(caught: list[int]) -> Iterator[Callable[[], None]]:
    """Only note them in ``caught``; what is given does so anew where something else took its place."""

    def note() -> None:
        for number in SIGNALS:
            signal.signal(number, lambda number, frame: caught.append(number))

    before = {number: signal.getsignal(number) for number in SIGNALS}
    note()
    try:
        yield note
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
