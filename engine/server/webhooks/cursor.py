"""What of a webhook outlives the process: how far its receiver was told."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from engine.util.files import write_atomic

__all__ = ["Cursor", "DeadLetter", "load", "save"]

log = logging.getLogger(__name__)


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that the receiver did not take.

    Attributes:
        id, type: the event's, as CloudEvents have it; domain: its name, if it is of one.
        tries: how often it was tried; error: what the last came to; died: when it was given up, seconds since 1970.
    """

    id: str
    type: str
    domain: str = ""
    tries: int
    error: str
    died: float


class Cursor(msgspec.Struct, kw_only=True):
    """How far it is.

    Events are told in order for each domain, and one domain waits for no other: so there is one position up to which
    all was taken in, and a number for each domain that is behind it. (Rejected: the lowest number that was not told and
    a set of those beyond, which grows with the events, and not with the domains that have trouble.)

    Attributes:
        position: id of the last event that was taken in.
        lanes: by domain (``CONNECTION#UUID``, "" for what is of none) the last number that was told, if there is more.
        dead: the newest dead letters; dropped: how many older ones were forgotten.
        gaps, missed: how often events were no longer kept that were to be told, and how many at most.
        disabled: why it tells nothing any more, "" it does.
    """

    version: int = 1
    position: str = ""
    lanes: dict[str, int] = {}
    dead: list[DeadLetter] = []
    dropped: int = 0
    gaps: int = 0
    missed: int = 0
    disabled: str = ""


def load(path: Path | None) -> Cursor | None:
    """Blocking. None: there is none. One that is damaged is at the oldest event, so that none is lost."""
    if path is None:
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Cursor)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        log.warning("%s: it can't be read, so what the journal has is told once more: %s", path, exc)
        return Cursor()


def save(path: Path, cursor: bytes) -> None:
    """Blocking. Raises OSError."""
    path.parent.mkdir(mode=0o700, exist_ok=True)
    write_atomic(path, cursor)
