"""Buses without slots: S/390's channels, virtio-mmio, and the numbers of PCI devices of S/390.

Source: ``ccw``, ``virtio-mmio`` and ``zpci`` in "Device Addresses" of libvirt's "Domain XML format".
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from engine.conf.defaults.addresses.connections import Kind, kind_of
from engine.conf.defaults.addresses.draft import Draft, Part, fits
from engine.conf.defaults.addresses.machines import Board, Machine
from engine.conf.kinds.domain.device import CcwAddress, PciAddress, PlainAddress, Zpci
from engine.conf.nodes.values import Written

__all__ = ["assign_ccw", "assign_mmio", "assign_zpci"]

#: The channel subsystem and subchannel set of virtio.
_CSSID, _SSID = 0xFE, 0
_MOST_DEVNO = 0xFFFF
_MOST_UID = 0xFFFF
_MOST_FID = 0xFFFFFFFF

#: In which order devices are numbered.
_ORDER = (
    "disks", "interfaces", "sounds", "hostdevs", "videos", "controllers", "inputs", "filesystems", "memballoon",
    "rngs", "memories", "iommu", "vsock",
)  # fmt: skip


def _virtio(draft: Draft) -> Iterator[Part]:
    """Virtio devices without an address, but for those that are on PCI alone."""
    return (part for part in draft.of(*_ORDER) if part.address is None and kind_of(part) is Kind.VIRTIO)


# ---------------------------------------------------------------------------- channels


def assign_ccw(draft: Draft, machine: Machine) -> None:
    """Give the virtio devices of an S/390 guest, and its channel devices of the host, their numbers.

    Raises:
        ConfigError: two have the same number.
    """
    taken: set[tuple[int, int, int]] = set()
    for part in draft.of():
        if fits(part, "ccw") and part.address.devno is not None:
            _reserve(draft, part, taken)
    if machine.board is not Board.S390:
        return
    waiting = {id(part) for part in _virtio(draft)}
    free = (number for number in range(_MOST_DEVNO + 1) if (_CSSID, _SSID, number) not in taken)
    for part in draft.of(*_ORDER):
        if id(part) in waiting or _is_channel(part) or (fits(part, "ccw") and part.address.devno is None):
            number = next(free, None)
            if number is None:
                raise draft.wrong(part, "there is no channel left for it")
            part.put(address=_channel(_CSSID, _SSID, number))


def _reserve(draft: Draft, part: Part, taken: set[tuple[int, int, int]]) -> None:
    address = part.address
    if address.cssid is None or address.ssid is None:
        raise draft.wrong(part, "its address lacks 'cssid' or 'ssid'")
    key = (int(address.cssid), int(address.ssid), int(address.devno))
    if key in taken:
        raise draft.wrong(part, f"the channel {key[0]:x}.{key[1]:x}.{key[2]:04x} is taken")
    taken.add(key)
    part.put(address=_channel(*key))


def _channel(cssid: int, ssid: int, devno: int) -> CcwAddress:
    return CcwAddress(type_="ccw", cssid=Written(cssid, f"{cssid:#x}"), ssid=ssid, devno=devno)


def _is_channel(part: Part) -> bool:
    return part.address is None and part.field == "hostdevs" and part.model == "vfio-ccw"


# ---------------------------------------------------------------------------- virtio-mmio


def assign_mmio(draft: Draft, machine: Machine) -> None:
    """Put the virtio devices of boards without PCI on virtio-mmio; of virt boards, too, if one of them is there."""
    has_mmio = any(fits(part, "virtio-mmio") for part in draft.of())
    if machine.board is Board.VEXPRESS or (machine.board is Board.VIRT and (not machine.root or has_mmio)):
        for part in _virtio(draft):
            part.put(address=PlainAddress(type_="virtio-mmio"))


# ---------------------------------------------------------------------------- numbers of PCI devices


def assign_zpci(draft: Draft, machine: Machine) -> None:
    """Give each PCI device of an S/390 guest a number that is unique in the guest, and one of its function.

    Raises:
        ConfigError: two have the same number.
    """
    if machine.board is not Board.S390 or not machine.root:
        return
    parts = [part for part in draft.of(*_ORDER) if isinstance(part.address, PciAddress) and part.type_ != "pci"]
    parts += [part for part in draft.of("hostdevs") if part.type_ == "pci" and isinstance(part.address, PciAddress)]
    uids = _Numbers(draft, parts, "uid", 1, _MOST_UID)
    fids = _Numbers(draft, parts, "fid", 0, _MOST_FID)
    for part in sorted(parts, key=lambda part: (not _is_partly_given(part), _ORDER.index(part.field))):
        zpci = Zpci(uid=uids.of(part), fid=fids.of(part))
        part.put(address=msgspec.structs.replace(part.address, zpci=zpci))


def _is_partly_given(part: Part) -> bool:
    """Who has one number gets the other before those that have none."""
    zpci = part.address.zpci
    return zpci is not None and (zpci.uid is not None or zpci.fid is not None)


class _Numbers:
    """Numbers of one kind: those that are given, then those that are free."""

    def __init__(self, draft: Draft, parts: list[Part], name: str, lowest: int, highest: int) -> None:
        self._draft, self._name = draft, name
        taken: set[int] = set()
        for part in parts:
            number = self._given(part)
            if number in taken:
                raise draft.wrong(part, f"another PCI device has the {name} {number:#x}, too")
            if number is not None:
                taken.add(number)
        self._free = (number for number in range(lowest, highest + 1) if number not in taken)

    def _given(self, part: Part) -> int | None:
        zpci = part.address.zpci
        number = getattr(zpci, self._name) if zpci is not None else None
        return None if number is None else int(number)

    def of(self, part: Part) -> int:
        number = self._given(part)
        if number is None:
            number = next(self._free, None)
        if number is None:
            raise self._draft.wrong(part, f"there is no {self._name} left for it")
        return number
