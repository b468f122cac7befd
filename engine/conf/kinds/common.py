"""Elements that documents of several kinds have."""

from __future__ import annotations

from typing import Annotated

from engine.conf.kinds.values import OnOff, PciBus, PciDomain, PciFunction, PciSlot, Unit, UnsignedLong
from engine.conf.nodes.node import Body, Node, Open, Text
from engine.conf.units import to_bytes

__all__ = ["Choices", "HostPciAddress", "Metadata", "PciPlace", "ScaledInteger"]


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

    size_fields = ("value", "unit")
    value: Annotated[UnsignedLong, Body]
    unit: Unit | None = None

    def bytes(self, default: str = "KiB") -> int:
        """The size in bytes; ``default``: the unit where none is given. Raises ValueError for an unknown one."""
        return to_bytes(self.value, self.unit or default)


class PciPlace(Node):
    """A place on a PCI bus.

    Attributes:
        slot: 0 to 31.
        function: 0 to 7.
        multifunction: more functions share the slot.
    """

    comes_last = True
    domain: PciDomain | None = None
    bus: PciBus | None = None
    slot: PciSlot | None = None
    function: PciFunction | None = None
    multifunction: OnOff | None = None


class HostPciAddress(PciPlace):
    """A PCI device of the host, numbered as ``lspci`` does."""


class Choices(Node):
    """What something may be, as capabilities tell.

    Attributes:
        name: of what: of a domain's attribute, with the element's before it where it would not be clear
            (``diskDevice``); of pools ``sourceFormatType``, ``targetFormatType``, ``requiredSourceElements``.
    """

    known_by = ("name",)
    name: str
    values: Annotated[tuple[str, ...], Text("value")] = ()
