"""Sets of CPUs, UUIDs and MAC addresses, which may be written in several ways."""

from __future__ import annotations

import re

from engine.errors import ConfigError

__all__ = ["canonical_mac", "canonical_set", "mask_of_set", "set_of_mask", "threads_of_mask"]

#: A set of CPUs with more than these is refused: libvirt's sets have no more either.
_MOST_CPUS = 16384


# ---------------------------------------------------------------------------- sets of CPUs


def mask_of_set(text: str | None, *, line: int | None = None) -> int:
    """A set such as ``0-3,^2`` as bits, 0 for None. Raises ConfigError, with the line that is given."""
    mask = 0
    for part in text.split(",") if text is not None else ():
        first, dash, last = part.strip().removeprefix("^").partition("-")
        low, high = _cpu(first, part, line), _cpu(last if dash else first, part, line)
        if high < low:
            raise ConfigError(f"the range '{part.strip()}' ends before it begins", line=line)
        bits = (1 << high + 1) - (1 << low)
        mask = mask & ~bits if part.strip().startswith("^") else mask | bits
    return mask


def _cpu(text: str, part: str, line: int | None) -> int:
    digits = text.strip()
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 9 or int(digits) >= _MOST_CPUS:
        raise ConfigError(f"'{part[:40]}' is no set of numbers below {_MOST_CPUS}", line=line)
    return int(digits)


def set_of_mask(mask: int) -> str:
    """Bits as a set, with ranges, in order."""
    bits, parts = f"{mask:b}"[::-1], []
    first = bits.find("1")
    while first >= 0:
        after = bits.find("0", first)
        last = (after if after >= 0 else len(bits)) - 1
        parts.append(f"{first}-{last}" if last > first else f"{first}")
        first = bits.find("1", last + 1)
    return ",".join(parts)


def threads_of_mask(mask: int) -> list[int]:
    """The numbers of bits, in order."""
    bits, numbers = f"{mask:b}"[::-1], []
    number = bits.find("1")
    while number >= 0:
        numbers.append(number)
        number = bits.find("1", number + 1)
    return numbers


def canonical_set(text: str | None, *, line: int | None = None) -> str | None:
    """The set with ranges, in order; None for an empty one. Raises ConfigError, with the line that is given."""
    return set_of_mask(mask_of_set(text, line=line)) or None


# ---------------------------------------------------------------------------- names


def canonical_mac(text: str) -> str:
    """With small letters, two digits each."""
    return ":".join(part.lower().zfill(2) for part in re.split("[:-]", text))
