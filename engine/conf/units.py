"""libvirt's scaled numbers (``<memory unit='GiB'>``), normalized to KiB rounded up, as libvirt does.

Source: libvirt's "Domain XML format", element ``memory``: units b/bytes, KB, k/KiB, MB, M/MiB, GB, G/GiB, TB, T/TiB.
"""

from __future__ import annotations

__all__ = ["to_bytes", "to_kib"]

_BYTES = {"b": 1, "byte": 1, "bytes": 1}
for _power, _letter in enumerate("kmgtpe", 1):
    _BYTES[_letter] = _BYTES[f"{_letter}ib"] = 1024**_power
    _BYTES[f"{_letter}b"] = 1000**_power


def to_kib(number: str, unit: str | None) -> int:
    """``number`` of ``unit`` (None: KiB) in KiB, rounded up.

    Raises:
        ValueError: not a non-negative whole number, or an unknown unit; the message is a clause for the user.
    """
    text = number.strip()
    if not text.isascii() or not text.isdigit():
        raise ValueError(f"'{number}' is not a whole number")
    if len(text) > 40:
        raise ValueError(f"'{text[:12]}...' is too much")
    if unit is None:
        return _bounded(int(text), number)
    try:
        scale = _BYTES[unit.lower()]
    except KeyError:
        raise ValueError(f"unknown unit '{unit}'") from None
    return _bounded(-(-int(text) * scale // 1024), number)


def to_bytes(number: int, unit: str) -> int:
    """Raises ValueError: an unknown unit."""
    try:
        return number * _BYTES[unit.lower()]
    except KeyError:
        raise ValueError(f"unknown unit '{unit}'") from None


def _bounded(kib: int, number: str) -> int:
    if kib >= 2**53:  # 8 EiB, as much as libvirt's 64 bits of bytes hold
        raise ValueError(f"'{number}' is too much")
    return kib
