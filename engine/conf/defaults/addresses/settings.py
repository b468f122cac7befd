"""What PCI controllers say of themselves beyond their address: their device, and what the guest sees of it.

Source: ``model``, ``chassisNr``, ``chassis``, ``port``, ``busNr`` and ``index`` in "Controllers" of libvirt's "Domain
XML format".
"""

from __future__ import annotations

from typing import Any

import msgspec

from engine.conf.defaults.addresses.draft import Draft, Part
from engine.conf.defaults.addresses.machines import Board, Machine
from engine.conf.kinds.domain.controller import PciModel, PciTarget
from engine.conf.nodes.values import Written

__all__ = ["describe_controllers"]

_DEVICES = {
    "pci-bridge": "pci-bridge",
    "dmi-to-pci-bridge": "i82801b11-bridge",
    "pcie-to-pci-bridge": "pcie-pci-bridge",
    "pcie-root-port": "pcie-root-port",
    "pcie-switch-upstream-port": "x3130-upstream",
    "pcie-switch-downstream-port": "xio3130-downstream",
    "pci-expander-bus": "pxb",
    "pcie-expander-bus": "pxb-pcie",
}
_OLD_ROOT_PORT = "ioh3420"
_HOST_BRIDGE = "spapr-pci-host-bridge"
#: An expander bus has two bus numbers, below those of the others.
_ABOVE_BUSES, _NUMBERS = 256, 2
_MOST_HOST_BRIDGES = 31


def describe_controllers(draft: Draft, machine: Machine) -> None:
    """Add to each PCI controller what it does not say. Raises ConfigError: the numbers do not suffice."""
    for part in draft.pci_controllers():
        name = _device(part, machine)
        if part.device.device is None and name:
            part.put(device=PciModel(name=name))  # type: ignore[arg-type]
        _describe(draft, part, machine)


def _device(part: Part, machine: Machine) -> str:
    if part.model == "pcie-root-port" and not machine.abilities.root_port:
        return _OLD_ROOT_PORT
    if part.model == "pci-root" and machine.board is Board.PSERIES:
        return _HOST_BRIDGE
    return _DEVICES.get(part.model, "")


def _describe(draft: Draft, part: Part, machine: Machine) -> None:
    index, address = part.device.index, part.address
    match part.model:
        case "pci-bridge":
            _tell(part, chassis_nr=index)
        case "pcie-root-port":
            _tell(part, chassis=index, port=address.slot << 3 | address.function)
        case "pcie-switch-downstream-port":
            _tell(part, chassis=index, port=address.slot)
        case "pci-expander-bus" | "pcie-expander-bus":
            given = part.device.target is not None and part.device.target.bus_nr is not None
            _tell(part, **{} if given else {"bus_nr": _bus_number(draft, part)})
        case "pci-root" if machine.board is Board.PSERIES:
            _tell(part, index=_bridge_number(draft, part))


def _tell(part: Part, **settings: Any) -> None:
    """Set those that the user did not; all are written as libvirt does."""
    target = part.device.target or PciTarget()
    for name in ("chassis_nr", "chassis", "port", "bus_nr", "index"):
        number = getattr(target, name)
        number = settings.get(name) if number is None else number
        if number is not None:
            settings[name] = Written(int(number), f"{int(number):#x}" if name == "port" else str(int(number)))
    if settings:
        part.put(target=msgspec.structs.replace(target, **settings))


def _bus_number(draft: Draft, part: Part) -> int:
    given = (each.device.target.bus_nr for each in draft.pci_controllers() if each.device.target is not None)
    number = min((int(each) for each in given if each is not None), default=_ABOVE_BUSES) - _NUMBERS
    if number < 1:
        raise draft.wrong(part, "there is no bus number left for another expander bus")
    return number


def _bridge_number(draft: Draft, part: Part) -> int:
    """The first root bus is number 0; the others get the lowest that is free."""
    if part.device.index == 0:
        return 0
    targets = (each.device.target for each in draft.pci_controllers())
    taken = {int(target.index) for target in targets if target is not None and target.index is not None}
    number = next(each for each in range(1, len(taken) + 2) if each not in taken)
    if number >= _MOST_HOST_BRIDGES:
        raise draft.wrong(part, f"a guest has at most {_MOST_HOST_BRIDGES} PCI host bridges")
    return number
