"""PCI buses: what can be plugged into which, what is taken, and where the next free place is.

Source: "Controllers" of libvirt's "Domain XML format".
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Flag, auto
from itertools import chain
from typing import NamedTuple, TypeAlias

import msgspec

__all__ = ["BUS_MODELS", "PLUG_OF_MODEL", "Bus", "BusModel", "Group", "Place", "Plug", "Topology"]

_LAST_SLOT = 31
_FUNCTIONS = 8
#: Buses have numbers of one byte.
_MOST_BUSES = 256


class Plug(Flag):
    """What a device needs to be plugged into, and what the slots of a bus take.

    INTEGRATED: only into the root bus, where it stays; the others are called as devices and controllers are.
    """

    PCI = auto()
    PCIE = auto()
    INTEGRATED = auto()
    PCI_BRIDGE = auto()
    PCI_EXPANDER = auto()
    ROOT_PORT = auto()
    UPSTREAM = auto()
    DOWNSTREAM = auto()
    DMI_BRIDGE = auto()
    PCIE_BRIDGE = auto()
    PCIE_EXPANDER = auto()


ENDPOINTS = Plug.PCI | Plug.PCIE | Plug.INTEGRATED


class BusModel(msgspec.Struct, frozen=True):
    """What a controller offers.

    Attributes:
        takes: what may be plugged in; chosen: what is plugged in if nobody says where; first, last: its slots.
    """

    takes: Plug
    chosen: Plug
    first: int = 0
    last: int = _LAST_SLOT


_CONVENTIONAL = Plug.PCI | Plug.PCI_BRIDGE
_PORT = Plug.PCIE | Plug.UPSTREAM | Plug.PCIE_BRIDGE
_ROOT = Plug.INTEGRATED | Plug.ROOT_PORT | Plug.DMI_BRIDGE | Plug.PCIE_EXPANDER

#: By the model of the controller. What can't be unplugged from a bus is not put there unless the user says so.
BUS_MODELS = {
    "pci-root": BusModel(
        _CONVENTIONAL | Plug.PCI_EXPANDER | Plug.INTEGRATED, _CONVENTIONAL | Plug.PCI_EXPANDER | Plug.INTEGRATED, 1
    ),
    "pci-bridge": BusModel(_CONVENTIONAL, _CONVENTIONAL, 1),
    "pci-expander-bus": BusModel(_CONVENTIONAL, _CONVENTIONAL),
    "pcie-root": BusModel(_ROOT | Plug.PCIE | Plug.PCIE_BRIDGE, _ROOT, 1),
    "dmi-to-pci-bridge": BusModel(_CONVENTIONAL, Plug.PCI_BRIDGE),
    "pcie-to-pci-bridge": BusModel(_CONVENTIONAL, _CONVENTIONAL, 1),
    "pcie-root-port": BusModel(_PORT, _PORT, 0, 0),
    "pcie-switch-upstream-port": BusModel(Plug.DOWNSTREAM, Plug.DOWNSTREAM),
    "pcie-switch-downstream-port": BusModel(_PORT, _PORT, 0, 0),
    "pcie-expander-bus": BusModel(Plug.ROOT_PORT | Plug.DMI_BRIDGE, Plug.ROOT_PORT | Plug.DMI_BRIDGE),
}

#: What a controller itself needs; roots need nothing.
PLUG_OF_MODEL = {
    "pci-bridge": Plug.PCI_BRIDGE,
    "pci-expander-bus": Plug.PCI_EXPANDER,
    "dmi-to-pci-bridge": Plug.DMI_BRIDGE,
    "pcie-to-pci-bridge": Plug.PCIE_BRIDGE,
    "pcie-root-port": Plug.ROOT_PORT,
    "pcie-switch-upstream-port": Plug.UPSTREAM,
    "pcie-switch-downstream-port": Plug.DOWNSTREAM,
    "pcie-expander-bus": Plug.PCIE_EXPANDER,
}

#: Of these, up to eight are put in one slot, as its functions.
_SHARING = Plug.ROOT_PORT


#: What can't be parted on the host; None: no device of the host's.
Group: TypeAlias = "int | None"


class Place(NamedTuple):
    """A function of a slot of a bus."""

    bus: int
    slot: int
    function: int = 0

    def __str__(self) -> str:
        return f"0000:{self.bus:02x}:{self.slot:02x}.{self.function}"


class Bus:
    """The slots of one controller.

    Attributes:
        model: of the controller; what: the same as a ``BusModel``.
        group: devices of one group of the host's are on a bus of their own; None: those of none. kept: it stays so.
    """

    def __init__(self, model: str) -> None:
        self.model, self.what = model, BUS_MODELS[model]
        self.group: Group = None
        self.kept = False
        self._taken = [0] * (_LAST_SLOT + 1)
        self._shared: set[int] = set()
        self._maybe_free = self.what.first

    @property
    def full(self) -> bool:
        """Whether each slot has something in it."""
        return all(self._taken[self.what.first : self.what.last + 1])

    def functions(self, slot: int) -> int:
        """How many functions of a slot are taken."""
        return self._taken[slot].bit_count()

    @property
    def empty(self) -> bool:
        return not any(self._taken)

    def admits(self, group: Group) -> bool:
        """Whether devices of a group may be put here; another bus may fit better."""
        return self.group == group or (self.empty and not self.kept)

    def free(self, place: Place) -> bool:
        return not self._taken[place.slot] >> place.function & 1

    def take(self, place: Place, plug: Plug | None, group: Group) -> None:
        if self.empty and not self.kept:
            self.group = group
        elif self.group != group:  # the user has mixed them
            self.group, self.kept = None, True
        if not self._taken[place.slot] and plug == _SHARING:
            self._shared.add(place.slot)
        self._taken[place.slot] |= 1 << place.function

    def take_rest(self, slot: int) -> None:
        self._taken[slot] = (1 << _FUNCTIONS) - 1

    def next_free(self, plug: Plug) -> tuple[int, int] | None:
        """The slot and function of the first place for it."""
        while self._maybe_free <= self.what.last and self._taken[self._maybe_free]:
            self._maybe_free += 1
        if plug == _SHARING:
            found = next(self._shareable(), None)
            if found is not None and found[0] < self._maybe_free:
                return found
        return (self._maybe_free, 0) if self._maybe_free <= self.what.last else None

    def _shareable(self) -> Iterator[tuple[int, int]]:
        for slot in sorted(self._shared):
            for function in range(_FUNCTIONS):
                if not self._taken[slot] >> function & 1:
                    yield slot, function


class Topology:
    """All PCI buses of a machine, by number.

    Attributes:
        buses: of a machine without PCI there are none.
    """

    def __init__(self, models: list[str]) -> None:
        self.buses = [Bus(model) for model in models]
        self._first_with_room: dict[Plug, int] = {}
        for bus in self.buses[:1]:
            bus.kept = True  # for what is no device of the host's

    def unfit(self, place: Place, plug: Plug | None, what: str) -> str:
        """Why ``what`` can't be there, as a clause; "" if it can."""
        if place.bus >= len(self.buses):
            return f"there is no PCI bus {place.bus}"
        bus = self.buses[place.bus]
        if not bus.what.first <= place.slot <= bus.what.last:
            slots = f"{bus.what.first} to {bus.what.last}" if bus.what.last > bus.what.first else "0 alone"
            return f"PCI bus {place.bus}, a {bus.model}, has no slot {place.slot}, but {slots}"
        takes = bus.what.takes
        if takes & ENDPOINTS:
            takes |= ENDPOINTS
        if plug is not None and not plug & takes:
            return f"PCI bus {place.bus}, a {bus.model}, does not take {what}"
        if not bus.free(place):
            return f"the PCI address {place} is taken"
        return ""

    def take(self, place: Place, plug: Plug | None = None, group: Group = None) -> None:
        self.buses[place.bus].take(place, plug, group)

    def take_rest(self, bus: int, slot: int) -> None:
        """All that is still free in a slot, which nothing else fits in."""
        self.buses[bus].take_rest(slot)

    def is_empty(self, bus: int, slot: int) -> bool:
        return not self.buses[bus].functions(slot)

    def shares(self, place: Place) -> bool:
        """Whether other functions of its slot are taken."""
        return self.buses[place.bus].functions(place.slot) > 1

    def next_free(self, plug: Plug, group: Group = None) -> Place | None:
        """The first place where it is put if nobody says where; with others of its group, if there are any."""
        first = self._first_with_room.get(plug, 0)
        while first < len(self.buses) and not self._room(first, plug):
            first += 1
        self._first_with_room[plug] = first
        numbers = range(first, len(self.buses))
        for number in chain((n for n in numbers if self.buses[n].group == group), numbers):
            if self.buses[number].admits(group) and (found := self._room(number, plug)):
                return Place(number, *found)
        return None

    def _room(self, number: int, plug: Plug) -> tuple[int, int] | None:
        """A slot and function of the bus; once there is none, there never is."""
        bus = self.buses[number]
        return bus.next_free(plug) if plug & bus.what.chosen else None

    def takes(self, plug: Plug) -> bool:
        """Whether there is any bus for it, be it full."""
        return any(plug & bus.what.chosen for bus in self.buses)

    def grow(self, model: str) -> bool:
        """One more bus; False: there are as many as there can be."""
        if len(self.buses) >= _MOST_BUSES:
            return False
        self.buses.append(Bus(model))
        return True
