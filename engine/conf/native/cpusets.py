"""Sets of CPUs and of NUMA nodes, ``0-3,^2,8``: all as libvirt writes them."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["normal_set"]

Ranges = list[tuple[int, int]]


def normal_set(text: str) -> str:
    """The set with its ranges in order and joined: ``1,2,5-7`` is ``1-2,5-7``. Empty if nothing is left of it.

    Raises:
        ValueError: it is no set; the message is a clause.
    """
    named, excluded = [], []
    for part in text.replace(" ", "").split(","):
        if part.startswith("^"):
            excluded.append(_range(part[1:], text))
        elif part:
            named.append(_range(part, text))
    return ",".join(f"{a}-{b}" if b > a else str(a) for a, b in _without(_joined(named), _joined(excluded)))


def _range(part: str, text: str) -> tuple[int, int]:
    first, dash, last = part.partition("-")
    numbers = [first, last] if dash else [first, first]
    if any(not (number.isascii() and number.isdigit() and len(number) < 10) for number in numbers):
        raise ValueError(f"'{text[:60]}' is no set such as 0-3,^2,8")
    low, high = map(int, numbers)
    if high < low:
        raise ValueError(f"in '{text[:60]}' a range ends before it begins")
    return low, high


def _joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    found: Ranges = []
    for low, high in sorted(ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(high, found[-1][1]))
        else:
            found.append((low, high))
    return found


def _without(ranges: Ranges, excluded: Ranges) -> Ranges:
    """Both in order."""
    found: Ranges = []
    rest = excluded
    for low, high in ranges:
        rest = rest[_passed(rest, low) :]
        for start, end in rest:
            if start > high or low > high:
                break
            if start > low:
                found.append((low, start - 1))
            low = max(low, end + 1)
        if low <= high:
            found.append((low, high))
    return found


def _passed(ranges: Ranges, low: int) -> int:
    return next((number for number, each in enumerate(ranges) if each[1] >= low), len(ranges))
