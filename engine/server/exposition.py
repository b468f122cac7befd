"""Figures as text. Sources: the OpenMetrics specification 1.0; Prometheus, "Exposition formats", text format 0.0.4."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

__all__ = ["OPENMETRICS", "TEXT", "Family", "Histogram", "Sample", "expose"]

OPENMETRICS = "application/openmetrics-text"
TEXT = "text/plain"
_TYPES = {
    OPENMETRICS: f"{OPENMETRICS}; version=1.0.0; charset=utf-8",
    TEXT: f"{TEXT}; version=0.0.4; charset=utf-8",
}
_PREFIX = "virengine_"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


class Sample(NamedTuple):
    """One figure; ``suffix`` comes after the family's name."""

    value: float
    labels: Mapping[str, str] = {}
    suffix: str = ""


class Family(NamedTuple):
    """Figures of one name. ``kind``: ``gauge``, ``counter`` or ``histogram``; names of seconds end so."""

    name: str
    kind: str
    help: str
    samples: Sequence[Sample]


class Histogram:
    """Counts values by how large they are.

    Args:
        bounds: the largest of each bucket, ascending.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def samples(self, labels: Mapping[str, str]) -> list[Sample]:
        found, total = [], 0
        for bound, count in zip([*map(repr, self._bounds), "+Inf"], self._counts, strict=True):
            total += count
            found.append(Sample(total, {**labels, "le": bound}, "_bucket"))
        return [*found, Sample(total, labels, "_count"), Sample(self._sum, labels, "_sum")]


def expose(families: Iterable[Family], accept: str) -> tuple[bytes, str]:
    """The text of all, and its media type: OpenMetrics for whoever says it knows that, else what all know."""
    kind = OPENMETRICS if OPENMETRICS in accept else TEXT
    lines = [line for family in families for line in _lines(family, modern=kind == OPENMETRICS)]
    end = ["# EOF", ""] if kind == OPENMETRICS else [""]
    return "\n".join([*lines, *end]).encode(), _TYPES[kind]


def _lines(family: Family, *, modern: bool) -> Iterator[str]:
    name = f"{_PREFIX}{family.name}"
    total = "_total" if family.kind == "counter" else ""
    told = name if modern else f"{name}{total}"
    yield f"# HELP {told} {family.help}"
    yield f"# TYPE {told} {family.kind}"
    if modern and name.endswith("_seconds"):
        yield f"# UNIT {told} seconds"
    for sample in family.samples:
        labels = ",".join(f'{label}="{text.translate(_ESCAPES)}"' for label, text in sample.labels.items())
        shown = f"{{{labels}}}" if labels else ""
        yield f"{name}{sample.suffix or total}{shown} {sample.value}"
