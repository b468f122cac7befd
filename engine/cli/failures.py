"""Whatever ends a command, as a sentence for a person and an exit code for a program."""

from __future__ import annotations

import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator

import click

from engine import errors
from engine.cli import output, signals
from engine.cli.session import Interrupted

__all__ = ["BUSY", "DONE", "FAILED", "NO_DOMAIN", "USAGE", "WRONG_STATE", "Failed", "report"]

DONE, FAILED, USAGE, NO_DOMAIN, WRONG_STATE, BUSY = range(6)
_SIGNALLED = 128  # plus the signal's number, as shells have it

# the first that fits; what is not here is FAILED
_CODES: tuple[tuple[type[errors.EngineError], int], ...] = (
    (errors.NoSuchDomain, NO_DOMAIN),
    (errors.NotFound, USAGE),
    (errors.InvalidState, WRONG_STATE),
    (errors.Busy, BUSY),
)

# what it takes to ask a service, and to be one
_EXTRAS = {"httpx2": "client", "wsproto": "client", "starlette": "server", "hypercorn": "server"}

# of one document
_MOST_PROBLEMS = 20

_HINTS = {
    errno.ENOSPC: "free some space there and repeat the command",
    errno.EDQUOT: "free some space there and repeat the command",
    errno.EACCES: "run it as a user who may, or choose another place with --state-dir",
    errno.EPERM: "run it as a user who may, or choose another place with --state-dir",
    errno.EROFS: "choose another place with --state-dir",
    errno.EMFILE: "raise the limit on open files (ulimit -n)",
    errno.ENFILE: "the host has too many open files",
}


class Failed(Exception):
    """The command failed and has said so already, or says it with ``message``."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message)
        self.message = message


def report(exc: BaseException) -> int:
    """Tell the user on stderr; the exit code. Never raises."""
    code = FAILED
    try:
        for number, leaf in enumerate(_leaves(exc)):
            one = _report(leaf)
            code = one if number == 0 else code
        output.flush()
    except output.ReaderGone:
        code = _gone()
    except output.OutputError as failure:
        code = _report(failure)
    return code


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    """The errors in a group, an interruption first; anything else is itself."""
    if not isinstance(exc, BaseExceptionGroup):
        yield exc
        return
    leaves = [leaf for inner in exc.exceptions for leaf in _leaves(inner)]
    interrupted = [leaf for leaf in leaves if isinstance(leaf, KeyboardInterrupt | output.ReaderGone)]
    seen: set[str] = set()
    for leaf in interrupted[:1] or leaves:
        if str(leaf) not in seen:
            seen.add(str(leaf))
            yield leaf


def _report(exc: BaseException) -> int:
    if output.debugging():
        traceback.print_exception(exc)
    match exc:
        case output.ReaderGone():
            return _gone()
        case KeyboardInterrupt() | click.Abort():
            return _interrupted(signal.SIGINT)
        case Interrupted():
            return _interrupted(exc.number)
        case SystemExit() if isinstance(exc.__context__, BrokenPipeError):
            return _gone()  # click has made an exit of it
        case SystemExit():
            return exc.code if isinstance(exc.code, int) else FAILED
        case Failed():
            if exc.message:
                output.error(exc.message)
            return FAILED
        case click.UsageError():
            exc.show()
            return USAGE
        case click.ClickException():
            output.error(exc.format_message())
            return exc.exit_code
        case errors.InvalidDocument():
            _tell_problems(exc)
            return FAILED
        case errors.EngineError():
            output.error(_sentence(exc))
            return next((code for kind, code in _CODES if isinstance(exc, kind)), FAILED)
        case output.OutputError():
            output.discard()
            output.error(f"the output can't be written: {_reason(exc)}")
            return FAILED
        case OSError():
            output.error(_sentence(exc))
            return FAILED
        case ModuleNotFoundError() if (name := (exc.name or "").partition(".")[0]) in _EXTRAS:
            output.error(f"{name} is not installed: pip install 'virengine[{_EXTRAS[name]}]'")
            return FAILED
        case MemoryError():
            output.error("there is not enough memory: free some and repeat the command")
            return FAILED
    output.error(_bug(exc))
    return FAILED


def _tell_problems(exc: errors.InvalidDocument) -> None:
    told = [problem for problem in exc.problems if problem.severity == "error"]
    for problem in told[:_MOST_PROBLEMS]:
        output.error(str(errors.ConfigError(str(problem), source=exc.source, line=problem.line or None)))
    if len(told) > _MOST_PROBLEMS:
        output.error(f"there are {len(told) - _MOST_PROBLEMS} problems more: 'virengine validate' tells all")


def _sentence(exc: BaseException) -> str:
    text = f"{_reason(exc)}" if isinstance(exc, OSError) else str(exc)
    if isinstance(exc, errors.StateDirLocked):
        return f"{text}: wait until it is done, or choose another with --state-dir"
    if isinstance(exc, errors.ResyncRequired):
        kept = f"the oldest kept is {exc.oldest}"
        what = f"what follows event {exc.since} is not (all) kept"
        if exc.since >= exc.oldest - 1:
            what = f"there was no event {exc.since} in this journal"
        return f"{what}, {kept}: 'virengine list' shows how things are now"
    number = _errno(exc)
    hint = _HINTS.get(number) if number is not None else None
    if isinstance(exc, errors.ConfigError) and hint is not None:  # of a file that the user named
        hint = hint.partition(", or")[0]
    if hint is None and number is not None and isinstance(exc, errors.StoreError):
        hint = "choose another place with --state-dir"
    return f"{text}: {hint}" if hint else text


def _errno(exc: BaseException | None) -> int | None:
    """Of the operating system's refusal that is behind it."""
    while exc is not None:
        if isinstance(exc, OSError):
            return exc.errno
        exc = exc.__cause__
    return None


def _reason(exc: OSError) -> str:
    text = (exc.strerror or str(exc)).lower()
    return f"{os.fsdecode(exc.filename)}: {text}" if isinstance(exc.filename, str | bytes) else text


def _interrupted(number: int) -> int:
    signals.last_words(number)
    return _SIGNALLED + number


def _gone() -> int:
    """Whoever read our output is gone, and so are we, without a word."""
    output.discard()
    return _SIGNALLED + signal.SIGPIPE


def _bug(exc: BaseException) -> str:
    frames = traceback.extract_tb(exc.__traceback__)
    where = f" at {os.path.basename(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""  # noqa: PTH119
    what = f"{type(exc).__name__}: {exc}".splitlines()[0]
    version = ".".join(map(str, sys.version_info[:3]))
    return (
        f"this is a defect of virengine: {what}{where} (Python {version}); "
        "please report it with what VIRENGINE_DEBUG=1 prints"
    )
