"""Puts each PCI device of a draft in a place, given the buses: first what is fixed, then the others in libvirt's order.

Source: libvirt's "Domain XML format", and the documents in which libvirt has put the devices.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from engine.conf.defaults.addresses.buses import Group, Place, Plug, Topology
from engine.conf.defaults.addresses.connections import host_address, plug_of
from engine.conf.defaults.addresses.draft import Draft, Part
from engine.conf.defaults.addresses.machines import FixedPlace, Machine
from engine.conf.kinds.domain.device import PciAddress

__all__ = ["GroupsLike", "Placing", "chosen_place", "is_wanted"]

#: From the address of a PCI device of the host to the number of its group.
GroupsLike: TypeAlias = "Callable[[Any], int | None]"

#: In which order the kinds of devices are given places.
_ORDER = (
    "filesystems", "interfaces", "sounds", "controllers", "disks", "hostdevs", "memballoon", "rngs", "watchdog",
    "videos", "shmems", "inputs", "serials", "vsock", "memories", "iommu",
)  # fmt: skip

#: The functions of one USB 2 controller and its companions for slower devices; they share a slot.
_USB2 = {"ich9-uhci1": 0, "ich9-uhci2": 1, "ich9-uhci3": 2, "ich9-ehci1": 7}


def chosen_place(part: Part) -> Place | None:
    """Where the user has put it on PCI; an address of zeroes says nothing."""
    address = part.address
    if not isinstance(address, PciAddress):
        return None
    place = Place(int(address.bus or 0), int(address.slot or 0), int(address.function or 0))
    return place if any(place) or address.domain else None


def is_wanted(part: Part) -> bool:
    """Whether it may be given a PCI address."""
    return part.address is None or (isinstance(part.address, PciAddress) and chosen_place(part) is None)


class Placing:
    """Which device is where.

    Attributes:
        places: of the devices that have one, the user's own too.

    Args:
        groups: which devices of the host can't be parted, where that counts.
        grows: a bus is added when there is no place left; else that is an error.
    """

    def __init__(self, draft: Draft, machine: Machine, models: list[str], groups: GroupsLike, *, grows: bool) -> None:
        self.topology = Topology(models)
        self.places: dict[Part, Place] = {}
        self._draft, self._machine, self._groups, self._grows = draft, machine, groups, grows
        self._usb2: dict[int | None, list[Part]] = defaultdict(list)
        for part in draft.controllers("usb"):
            if part.model in _USB2:
                self._usb2[part.device.index].append(part)

    def place_chosen(self) -> None:
        """What the user has put somewhere. Raises ConfigError: it can't be there."""
        for part in sorted(self._draft.of(), key=lambda part: int(part.device.line)):
            place = chosen_place(part)
            if place is not None:
                if part.address.domain:
                    raise self._draft.wrong(part, "guests have the PCI domain 0 alone")
                self._grow_up_to(part, place)
                self._take(part, place, plug_of(part, self._machine))

    def place_fixed(self) -> None:
        """What is soldered, or has its usual place. Raises ConfigError: that is taken, or the user put it elsewhere."""
        chipset = self._machine.chipset
        if not self.topology.buses:
            return
        for fixed in chipset.places:
            for part in self._draft.of(fixed.field):
                if _is_meant(fixed, part):
                    self._place_fixed(part, fixed)
        self._reserve_hidden()
        if chipset.video:
            self._place_video(chipset.video)

    def place_others(self) -> None:
        """All others. Raises ConfigError: there is no place left."""
        for part in self._draft.pci_controllers():
            self._place(part)
        for field in _ORDER:
            for part in self._of_kind(field):
                self._place(part)

    def reserve(self, plug: Plug, part: Part | None = None) -> Place:
        """Take the next place for it. Raises ConfigError: there is none, and no bus can be added."""
        place = self._next(plug, part)
        self.topology.take(place, plug, self._group(part))
        return place

    def _group(self, part: Part | None) -> Group:
        address = host_address(part) if part is not None and self._machine.many_roots else None
        return None if address is None else self._groups(address)

    def _of_kind(self, field: str) -> Iterator[Part]:
        """Network cards of the host's come before its other devices, and not with the network cards."""
        if field == "hostdevs":
            yield from (part for part in self._draft.of("interfaces") if part.type_ == "hostdev")
        for part in self._draft.of(field):
            if field != "interfaces" or part.type_ != "hostdev":
                yield part

    def _next(self, plug: Plug, part: Part | None) -> Place:
        group = self._group(part)
        place = self.topology.next_free(plug, group)
        while place is None:
            self._grow(plug, part)
            place = self.topology.next_free(plug, group)
        return place

    # ------------------------------------------------------------------------ one device

    def _place(self, part: Part) -> None:
        plug = plug_of(part, self._machine)
        if plug is None or part in self.places or not is_wanted(part):
            return
        if part.field == "controllers" and part.model in _USB2:
            self.places[part] = self._beside_companions(part, plug)
        else:
            self.places[part] = self.reserve(plug, part)

    def _take(self, part: Part, place: Place, plug: Plug | None) -> None:
        reason = self.topology.unfit(place, plug, _called(part))
        if reason:
            raise self._draft.wrong(part, reason)
        self.topology.take(place, plug, self._group(part))
        self.places[part] = place

    def _beside_companions(self, part: Part, plug: Plug) -> Place:
        """A USB 2 controller: in the slot of the others with its index, or of its own."""
        beside = next((self.places[each] for each in self._companions(part) if each in self.places), None)
        if beside is None:
            beside = self._next(plug, part)
        place = beside._replace(function=_USB2[part.model])
        self._take(part, place, plug)
        return place

    def _companions(self, part: Part) -> Iterator[Part]:
        if part.field == "controllers" and part.model in _USB2:
            yield from (each for each in self._usb2[part.device.index] if each is not part)

    # ------------------------------------------------------------------------ what is fixed

    def _place_fixed(self, part: Part, fixed: FixedPlace) -> None:
        place = Place(0, fixed.slots[0], fixed.function)
        if not is_wanted(part):
            if fixed.strict and self.places.get(part, place) != place:
                raise self._draft.wrong(part, f"{fixed.what} is at the PCI address {place} and nowhere else")
        elif fixed.strict:
            self._take(part, place, plug_of(part, self._machine))
        elif not any(each in self.places for each in self._companions(part)):
            slot = next((slot for slot in fixed.slots if self.topology.is_empty(0, slot)), None)
            if slot is not None:
                self._take(part, place._replace(slot=slot), None)

    def _reserve_hidden(self) -> None:
        for slot, function in self._machine.chipset.hidden:
            place = Place(0, slot, function)
            owner = next((part for part, at in self.places.items() if at == place), None)
            if owner is not None:
                raise self._draft.wrong(owner, f"the PCI address {place} is taken by the chipset")
            self.topology.take(place)
        for slot in self._machine.chipset.closed:
            self._refuse_strangers(slot)
            self.topology.take_rest(0, slot)

    def _refuse_strangers(self, slot: int) -> None:
        """In a closed slot only what is fixed there may be."""
        fixed = [each for each in self._machine.chipset.places if slot in each.slots]
        for part, place in self.places.items():
            if place.bus == 0 and place.slot == slot and not any(_is_meant(each, part) for each in fixed):
                raise self._draft.wrong(part, f"the PCI address {place} is taken by the chipset")

    def _place_video(self, slot: int) -> None:
        """The first graphics card goes where the firmware looks first."""
        part = next(self._draft.of("videos"), None)
        if part is None or not is_wanted(part) or plug_of(part, self._machine) is None:
            return
        if self.topology.is_empty(0, slot):
            self._take(part, Place(0, slot), None)
        else:
            self._place(part)

    # ------------------------------------------------------------------------ more buses

    def _grow_up_to(self, part: Part, place: Place) -> None:
        plug = plug_of(part, self._machine) or Plug.PCI
        if plug is Plug.PCIE and place.slot:
            plug = Plug.PCI  # ports have no such slot: the user thinks of a bridge
        while self._grows and self.topology.buses and place.bus >= len(self.topology.buses):
            self._grow(plug, part)

    def _grow(self, plug: Plug, part: Part | None) -> None:
        models = self._more(plug) if self._grows and self.topology.buses else ()
        if not models:
            raise self._draft.wrong(part, f"there is no PCI slot left for {_called(part)}, and none can be added")
        for model in models:
            if not self.topology.grow(model):
                raise self._draft.wrong(part, "there are no more PCI buses: 256 is the most")

    def _more(self, plug: Plug) -> tuple[str, ...]:
        """The controllers to be added so that there is a place for it."""
        if plug in (Plug.PCIE, Plug.UPSTREAM, Plug.PCIE_BRIDGE) and self._machine.express:
            return ("pcie-root-port",)
        if plug not in (Plug.PCI, Plug.PCI_BRIDGE):
            return ()
        if self._machine.many_roots:
            return ("pci-root",)
        if self.topology.takes(Plug.PCI_BRIDGE):
            return ("pci-bridge",)
        if not self._machine.abilities.pcie_bridge:
            return ("dmi-to-pci-bridge", "pci-bridge")
        free_port = self.topology.next_free(Plug.PCIE_BRIDGE) is not None
        return ("pcie-to-pci-bridge",) if free_port else ("pcie-root-port", "pcie-to-pci-bridge")


def _called(part: Part | None) -> str:
    return f"a {part.model}" if part is not None and part.field == "controllers" and part.model else "it"


def _is_meant(fixed: FixedPlace, part: Part) -> bool:
    if part.field != fixed.field or (fixed.type_ and part.type_ != fixed.type_):
        return False
    if fixed.models and part.model not in fixed.models:
        return False
    return not fixed.only_first or not part.device.index
