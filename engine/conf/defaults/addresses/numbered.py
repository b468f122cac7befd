"""Registers of pseries guests, slots of memory modules, and the console that is the first serial port once more.

Source: ``spapr-vio`` in "Device Addresses", and "Memory devices", of libvirt's "Domain XML format".
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from engine.conf.defaults.addresses.draft import Draft, Part, fits
from engine.conf.kinds.domain.device import DimmAddress, SpaprVioAddress

__all__ = ["assign_memory_slots", "assign_registers", "mirror_console"]

#: Registers are multiples of this.
_STEP = 0x1000
_MOST_REGISTER = 0xFFFFFFFF
#: Where QEMU begins, by field.
_FIRST = {"interfaces": 0x1000, "controllers": 0x2000, "serials": 0x30000000, "nvram": 0x3000}
_MODULES = ("dimm", "nvdimm")


def assign_registers(draft: Draft) -> None:
    """Give devices of the spapr-vio bus their registers: the first that is free of their kind.

    Raises:
        ConfigError: two have the same.
    """
    taken: set[int] = set()
    waiting: list[Part] = []
    for part in draft.of(*_FIRST):
        if not fits(part, "spapr-vio"):
            waiting += [part] if part.address is None and _is_spapr_vio(part) else []
        elif part.address.reg is None:
            waiting.append(part)
        else:
            _reserve(draft, part, taken)
    free = {field: _free(first, taken) for field, first in _FIRST.items()}
    for part in waiting:
        register = next(free[part.field], None)
        if register is None:
            raise draft.wrong(part, "there is no register left for it")
        taken.add(register)
        part.put(address=SpaprVioAddress(type_="spapr-vio", reg=register))


def _is_spapr_vio(part: Part) -> bool:
    match part.field:
        case "interfaces":
            return part.model is not None and part.model.type_ == "spapr-vlan"
        case "controllers":
            return bool(part.type_ == "scsi" and part.model == "ibmvscsi")
        case "serials":
            return part.device.target is not None and part.device.target.type_ == "spapr-vio-serial"
    return False


def _reserve(draft: Draft, part: Part, taken: set[int]) -> None:
    register = int(part.address.reg)
    if register in taken:
        raise draft.wrong(part, f"another device has the spapr-vio register {register:#010x}, too")
    taken.add(register)
    part.put(address=SpaprVioAddress(type_="spapr-vio", reg=register))


def _free(first: int, taken: set[int]) -> Iterator[int]:
    return (register for register in range(first, _MOST_REGISTER + 1, _STEP) if register not in taken)


def mirror_console(draft: Draft) -> None:
    """The first console, if it is the first serial port once more, has that one's address."""
    console, serial = next(draft.of("consoles"), None), next(draft.of("serials"), None)
    if console is None or serial is None:
        return
    target: Any = getattr(console.device, "target", None)
    if target is not None and target.type_ == "serial" and serial.address is not None:
        console.put(address=serial.address)


def assign_memory_slots(draft: Draft) -> None:
    """Give memory modules without an address the next free slots.

    Raises:
        ConfigError: two are in the same slot, or there are not that many.
    """
    taken: set[int] = set()
    for part in draft.of("memories"):
        if fits(part, "dimm") and part.address.slot is not None:
            if part.address.slot in taken:
                raise draft.wrong(part, f"the memory slot {part.address.slot} is taken")
            taken.add(part.address.slot)
    maximum = draft.definition.max_memory
    slots = range(int(maximum.slots) if maximum is not None else len(list(draft.of("memories"))))
    free = (slot for slot in slots if slot not in taken)
    for part in draft.of("memories"):
        if part.address is None and part.model in _MODULES:
            slot = next(free, None)
            if slot is None:
                raise draft.wrong(part, f"there is no memory slot left for it: <maxMemory> has {len(slots)}")
            part.put(address=DimmAddress(type_="dimm", slot=slot))
        elif fits(part, "dimm"):
            part.put(address=msgspec.structs.replace(part.address, slot=_plain(part.address.slot)))


def _plain(number: int | None) -> int | None:
    return None if number is None else int(number)
