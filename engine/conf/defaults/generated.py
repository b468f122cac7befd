"""Names that are made up: UUIDs and hardware addresses. With the same seed they are the same again."""

from __future__ import annotations

import random
import uuid

__all__ = ["Generator"]

#: The range of hardware addresses that is QEMU's and KVM's.
_PREFIX = "52:54:00"


class Generator:
    """Makes up UUIDs and hardware addresses.

    Args:
        seed: None: nobody can guess them; else they follow from it.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.Random(seed) if seed is not None else random.SystemRandom()  # noqa: S311

    def uuid(self) -> str:
        """A random UUID (version 4)."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def mac(self) -> str:
        """A hardware address of the range 52:54:00."""
        return ":".join((_PREFIX, *(f"{self._random.randrange(256):02x}" for _ in range(3))))
