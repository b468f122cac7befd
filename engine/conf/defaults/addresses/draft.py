"""A domain while its devices are given addresses: each can be replaced, and new ones added."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from engine.conf.kinds.domain.controller import PciController
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.nodes.node import Node
from engine.errors import ConfigError

__all__ = ["Draft", "Part", "fits"]

#: The fields of ``Devices`` whose devices may have an address; those of the second line hold one device at most.
_MANY = (
    "disks", "controllers", "filesystems", "interfaces", "smartcards", "serials", "parallels", "consoles", "channels",
    "inputs", "tpms", "sounds", "videos", "hostdevs", "redirdevs", "hubs", "rngs", "panics", "shmems", "memories",
)  # fmt: skip
_SINGLE = ("watchdog", "memballoon", "nvram", "iommu", "vsock")


class Part:
    """A device of the draft.

    Attributes:
        field: of ``Devices``; device: as it is now.
    """

    __slots__ = ("device", "field")

    def __init__(self, field: str, device: Any) -> None:
        self.field, self.device = field, device

    @property
    def address(self) -> Any:
        """Its address, or None; also of devices that can't have one."""
        return getattr(self.device, "address", None)

    @property
    def type_(self) -> Any:
        return getattr(self.device, "type_", None)

    @property
    def model(self) -> Any:
        return getattr(self.device, "model", None)

    def put(self, **changes: Any) -> None:
        """Replace fields of the device."""
        self.device = msgspec.structs.replace(self.device, **changes)


def fits(part: Part, type_: str) -> bool:
    """Whether it has an address of that type."""
    return part.address is not None and part.address.type_ == type_


class Draft:
    """All devices of a domain.

    Attributes:
        definition: the domain as it was.
    """

    def __init__(self, definition: DomainDocument) -> None:
        self.definition = definition
        self._devices = definition.devices or Devices()
        self._parts = {field: [Part(field, each) for each in getattr(self._devices, field)] for field in _MANY}
        for field in _SINGLE:
            device = getattr(self._devices, field)
            self._parts[field] = [] if device is None else [Part(field, device)]

    def of(self, *fields: str) -> Iterator[Part]:
        """The devices of these fields; without any, of all."""
        for field in fields or self._parts:
            yield from tuple(self._parts[field])

    def controllers(self, type_: str) -> Iterator[Part]:
        return (part for part in self.of("controllers") if part.type_ == type_)

    def pci_controllers(self) -> Iterator[Part]:
        return (part for part in self.of("controllers") if isinstance(part.device, PciController))

    def add(self, field: str, device: Node, *, at: int | None = None) -> Part:
        """One more device, after the others or before the one at ``at``."""
        part, parts = Part(field, device), self._parts[field]
        parts.insert(len(parts) if at is None else at, part)
        return part

    def wrong(self, part: Part | Node | None, reason: str) -> ConfigError:
        """An error at a device, for the caller to raise."""
        node = part.device if isinstance(part, Part) else part
        return ConfigError(reason, source=self.definition.source, line=(node.line or None) if node else None)

    def finish(self) -> DomainDocument:
        """The domain with the devices as they are now."""
        many = {field: tuple(part.device for part in self._parts[field]) for field in _MANY}
        single = {field: next((part.device for part in self._parts[field]), None) for field in _SINGLE}
        devices = msgspec.structs.replace(self._devices, **many, **single)
        if self.definition.devices is None and devices == self._devices:
            return self.definition
        return msgspec.structs.replace(self.definition, devices=devices)
