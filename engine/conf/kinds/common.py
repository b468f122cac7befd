"""Elements that documents of several kinds have."""

from __future__ import annotations

from typing import Annotated

from engine.conf.kinds.values import Unit, UnsignedLong
from engine.conf.nodes.node import Body, Node, Open
from engine.conf.units import to_bytes

__all__ = ["Metadata", "ScaledInteger"]


class Metadata(Node):
    """What programs have to say about it, each in a namespace of its own.

    Attributes:
        content: each element as XML text.
    """

    content: Annotated[tuple[str, ...], Open("##any")] = ()


class ScaledInteger(Node):
    """A size.

    Attributes:
        unit: of the number: bytes, KB (1000 bytes), KiB (1024 bytes), MB, MiB, and so on; without one, each element
            has its own.
    """

    value: Annotated[UnsignedLong, Body]
    unit: Unit | None = None

    def bytes(self, default: str = "KiB") -> int:
        """The size in bytes; ``default``: the unit where none is given. Raises ValueError for an unknown one."""
        return to_bytes(self.value, self.unit or default)
