"""UUIDs as people write them: in either case, with dashes or without, as libvirt takes them."""

from __future__ import annotations

import re

__all__ = ["as_uuid", "canonical_uuid"]

_UUID = re.compile(r"[0-9a-f]{8}(-?)[0-9a-f]{4}(-?)[0-9a-f]{4}(-?)[0-9a-f]{4}(-?)[0-9a-f]{12}", re.IGNORECASE)


def as_uuid(text: str) -> str:
    """As the engine writes it; what is none comes back as it is."""
    return text if _UUID.fullmatch(text) is None else canonical_uuid(text)


def canonical_uuid(text: str) -> str:
    """In groups, with small letters."""
    digits = text.replace("-", "").strip().lower()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
