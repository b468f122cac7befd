"""PCI: the controllers that are needed are added, and each device gets its place.

It is done twice. First as a trial, in which buses are added as they are needed; so it is known which controllers there
will be. Then, with these, for good: controllers are placed first, so devices may come to stand elsewhere.

Source: "Controllers" of libvirt's "Domain XML format".
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.conf.defaults.addresses.buses import PLUG_OF_MODEL, Place, Plug
from engine.conf.defaults.addresses.draft import Draft, Part
from engine.conf.defaults.addresses.machines import Machine
from engine.conf.defaults.addresses.placing import GroupsLike, Placing, chosen_place
from engine.conf.defaults.addresses.settings import describe_controllers
from engine.conf.kinds.domain.controller import PciBridgeController, PciController, PciRootController
from engine.conf.kinds.domain.device import PciAddress

__all__ = ["assign_pci"]

_ROOTS = ("pci-root", "pcie-root")
_MOST_INDEX = 255


def assign_pci(draft: Draft, machine: Machine, groups: GroupsLike) -> None:
    """Give each PCI device an address, and add the controllers for that.

    Args:
        groups: which devices of the host can't be parted.

    Raises:
        ConfigError: a device can't be where the user wants it, or there is no place for it.
    """
    _number_controllers(draft)
    _add_root(draft, machine)
    models = _models(draft, machine)
    if not models:
        return
    _add_controllers(draft, machine, models, groups)
    placing = Placing(draft, machine, _models(draft, machine), groups, grows=False)
    placing.place_chosen()
    placing.place_fixed()
    placing.place_others()
    for part, place in placing.places.items():
        part.put(address=_address_at(part, place, shares=placing.topology.shares(place)))
    describe_controllers(draft, machine)


# ---------------------------------------------------------------------------- which controllers there are


def _number_controllers(draft: Draft) -> None:
    """Those without an index get the lowest that is free. Raises ConfigError: two have the same."""
    taken: dict[int, Part] = {}
    for part in draft.pci_controllers():
        index = part.device.index
        if index is None:
            continue
        if index in taken:
            raise draft.wrong(part, f"there are two PCI controllers with the index {index}")
        if index > _MOST_INDEX:
            raise draft.wrong(part, f"a PCI controller has an index up to {_MOST_INDEX}, not {index}")
        taken[index] = part
    lowest = 0
    for part in draft.pci_controllers():
        if part.device.index is None:
            while lowest in taken:
                lowest += 1
            taken[lowest] = part
            part.put(index=lowest)


def _add_root(draft: Draft, machine: Machine) -> None:
    """The machine's own bus, where the document does not have it. Raises ConfigError: it has another one."""
    first = next((part for part in draft.pci_controllers() if part.device.index == 0), None)
    for part in draft.pci_controllers():
        if part.model in _ROOTS and part is not first and not machine.many_roots:
            raise draft.wrong(part, f"a {part.model} has the index 0, not {part.device.index}")
    if first is None:
        if machine.root:
            draft.add("controllers", _controller(machine.root, 0), at=_place_of_root(draft))
    elif machine.root and first.model != machine.root:
        raise draft.wrong(first, f"the PCI controller with index 0 is a {machine.root} in this machine")


def _place_of_root(draft: Draft) -> int:
    """After what was written, and the USB and SATA controllers of the machine; others were added for devices."""
    own = ("usb", "sata")
    parts = list(draft.of("controllers"))
    return max((n + 1 for n, part in enumerate(parts) if part.device.line or part.type_ in own), default=0)


def _models(draft: Draft, machine: Machine) -> list[str]:
    """The model of each bus by number; those that are skipped are of the kind that would be added."""
    found = {part.device.index: part.model for part in draft.pci_controllers()}
    usual = "pcie-root-port" if machine.express else "pci-root" if machine.many_roots else "pci-bridge"
    return [found.get(number, usual) for number in range(max(found, default=-1) + 1)]


def _controller(model: str, index: int) -> PciController:
    cls: Any = PciRootController if model in _ROOTS else PciBridgeController
    made: PciController = cls(type_="pci", model=model, index=index)
    return made


# ---------------------------------------------------------------------------- the trial


def _add_controllers(draft: Draft, machine: Machine, models: list[str], groups: GroupsLike) -> None:
    """Those that are needed so that all devices find a place."""
    trial = Placing(draft, machine, models, groups, grows=True)
    trial.place_chosen()
    trial.place_fixed()
    if models[0] == "pci-root" and not all(bus.full for bus in trial.topology.buses):
        trial.reserve(Plug.PCI)  # for the bridge that the next device may need
    trial.place_others()
    if len(models) == 1 and len(trial.topology.buses) > 1 and machine.express:
        trial.reserve(Plug.PCIE)  # who leaves the ports to us gets one for a device that is plugged in later
    there = {part.device.index for part in draft.pci_controllers()}
    for number, bus in enumerate(trial.topology.buses):
        if number not in there:
            part = draft.add("controllers", _controller(bus.model, number))
            if bus.model in PLUG_OF_MODEL:
                trial.reserve(PLUG_OF_MODEL[bus.model], part)


# ---------------------------------------------------------------------------- addresses


def _address_at(part: Part, place: Place, *, shares: bool) -> PciAddress:
    """The address of a place, with what the part's own says beyond that."""
    base = part.address if isinstance(part.address, PciAddress) else PciAddress(type_="pci")
    multifunction = base.multifunction
    if multifunction is None and place.function == 0:
        alone = chosen_place(part) is None and part.model == "ich9-uhci1"
        multifunction = True if shares or alone else None
    return msgspec.structs.replace(
        base,
        domain=int(base.domain or 0),
        bus=place.bus,
        slot=place.slot,
        function=place.function,
        multifunction=multifunction,
    )
