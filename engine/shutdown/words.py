"""Gates, stop steps and times in words, as plans, reports and events say them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from engine.conf.order import Gate, StopStep

__all__ = ["duration", "gate_name", "gate_words", "gates_words", "ladder_words", "listed", "printable", "step_words"]


def duration(seconds: float) -> str:
    """``0.4 s``, ``45 s``, ``2 m 30 s``, ``1 h 5 m``; tenths only below ten seconds."""
    if seconds < 9.95:
        return f"{seconds:.1f}".removesuffix(".0") + " s"
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    minutes, rest = divmod(total, 60)
    if minutes < 60:
        return f"{minutes} m {rest} s" if rest else f"{minutes} m"
    hours, minutes = divmod(minutes + (rest >= 30), 60)
    return f"{hours} h {minutes} m" if minutes else f"{hours} h"


def printable(text: str) -> str:
    """The text with what can't be shown spelled out: a pattern may well hold an escape that a terminal would obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def gate_name(gate: Gate) -> str:
    """The gate without its times, e.g. ``tcp 10.0.0.5:80``. Never holds a password from a URL; always printable."""
    match gate.kind:
        case "tcp":
            return f"tcp [{gate.host}]:{gate.port}" if ":" in gate.host else f"tcp {gate.host}:{gate.port}"
        case "http":
            return printable(_plain_url(gate.url)) + (f" = {gate.status}" if gate.status != 200 else "")
        case "serial":
            return f"serial /{printable(gate.pattern)}/"
        case "delay":
            return f"delay {duration(gate.seconds)}"
        case kind:
            return kind


def _plain_url(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def gate_words(gate: Gate) -> str:
    """The gate and what it is given, e.g. ``agent within 60 s, or go on``."""
    if gate.kind == "delay":
        return gate_name(gate)
    return f"{gate_name(gate)} within {duration(gate.timeout)}" + (", or go on" if gate.on_timeout == "go-on" else "")


def gates_words(gates: Iterable[Gate]) -> str:
    return " and ".join(map(gate_words, gates))


def step_words(step: StopStep) -> str:
    """E.g. ``acpi 2 m (every 10 s)``."""
    again = f" (every {duration(step.repeat)})" if 0 < step.repeat < step.timeout else ""
    return f"{step.method} {duration(step.timeout)}{again}"


def ladder_words(ladder: Iterable[StopStep]) -> str:
    return ", then ".join(map(step_words, ladder))


def listed(names: Iterable[str], *, most: int = 8) -> str:
    """``a, b and c``; of many only the first, and how many more there are."""
    words = list(names)
    if len(words) > most:
        return ", ".join(words[: most - 1]) + f" and {len(words) - most + 1} more"
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
