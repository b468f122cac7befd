"""Ports of virtio-serial controllers, and slots of smart card readers.

Source: "Channel" and "Smartcard devices" of libvirt's "Domain XML format".
"""

from __future__ import annotations

from collections.abc import Iterator

from engine.conf.defaults.addresses.draft import Draft, Part, fits
from engine.conf.kinds.domain.controller import VirtioSerialController
from engine.conf.kinds.domain.device import CcidAddress, VirtioSerialAddress

__all__ = ["assign_ccid_slots", "assign_serial_ports"]

#: Of a controller that does not say how many it has. Port 0 is for consoles.
_PORTS = 31
_MOST_CONTROLLERS = 100


class _Controllers:
    """The virtio-serial controllers with their ports."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._sizes = {
            int(part.device.index or 0): int(part.device.ports or _PORTS) for part in draft.controllers("virtio-serial")
        }
        self._taken: set[tuple[int, int]] = set()
        self._free: dict[int, Iterator[tuple[int, int]]] = {}
        self._any = self._all_free()

    def reserve(self, part: Part) -> None:
        """The port that the user chose."""
        controller, port = int(part.address.controller), int(part.address.port)
        if port >= self._sizes.get(controller, _PORTS):
            raise self._draft.wrong(part, f"the virtio-serial controller {controller} has no port {port}")
        if (controller, port) in self._taken:
            raise self._draft.wrong(part, f"port {port} of the virtio-serial controller {controller} is taken")
        self._put(part, controller, port)

    def assign(self, part: Part) -> None:
        """The next port: of the controller that the user chose, or of any."""
        if part.address is None:
            found = next(self._any, None)
        else:
            controller = int(part.address.controller)
            found = (controller, 0) if part.field == "consoles" else None
            if found is None or found in self._taken:
                found = next(self._free_of(controller), None)
        if found is None:
            raise self._draft.wrong(part, "there is no virtio-serial port left for it")
        self._put(part, *found)

    def _put(self, part: Part, controller: int, port: int) -> None:
        self._taken.add((controller, port))
        part.put(address=VirtioSerialAddress(type_="virtio-serial", controller=controller, bus=0, port=port))

    def _free_of(self, controller: int) -> Iterator[tuple[int, int]]:
        ports = range(1, self._sizes.get(controller, _PORTS))
        made = ((controller, port) for port in ports if (controller, port) not in self._taken)
        return self._free.setdefault(controller, made)

    def _all_free(self) -> Iterator[tuple[int, int]]:
        """By controller; then those of controllers that are added."""
        for controller in sorted(self._sizes):
            yield from self._free_of(controller)
        for controller in (n for n in range(_MOST_CONTROLLERS) if n not in self._sizes):
            self._draft.add("controllers", VirtioSerialController(type_="virtio-serial", index=controller))
            yield from self._free_of(controller)


def assign_serial_ports(draft: Draft) -> None:
    """Give channels their ports, and consoles that ask for one; a controller is added when all are taken.

    Raises:
        ConfigError: two have the same port, or the controller has no such port.
    """
    controllers = _Controllers(draft)
    waiting = []
    for part in draft.of("consoles", "channels"):
        if fits(part, "virtio-serial") and part.address.port:  # 0 stands for any
            controllers.reserve(part)
        elif fits(part, "virtio-serial") or (part.field == "channels" and part.address is None and _is_virtio(part)):
            waiting.append(part)
    for part in waiting:
        controllers.assign(part)


def _is_virtio(part: Part) -> bool:
    return part.device.target is not None and part.device.target.type_ == "virtio"


def assign_ccid_slots(draft: Draft) -> None:
    """Give smart cards their slots: a reader has one, so each goes into the next reader that is free.

    Raises:
        ConfigError: two are in the same slot, or there are too many.
    """
    taken: set[tuple[int, int]] = set()
    for part in draft.of("smartcards"):
        if fits(part, "ccid"):
            key = (int(part.address.controller), int(part.address.slot or 0))
            if key in taken:
                raise draft.wrong(part, f"slot {key[1]} of the smart card reader {key[0]} is taken")
            taken.add(key)
            part.put(address=CcidAddress(type_="ccid", controller=key[0], slot=key[1]))
    readers = (n for n in range(_MOST_CONTROLLERS) if (n, 0) not in taken)
    for part in draft.of("smartcards"):
        if part.address is None:
            reader = next(readers, None)
            if reader is None:
                raise draft.wrong(part, "there is no smart card reader left for it")
            part.put(address=CcidAddress(type_="ccid", controller=reader, slot=0))
