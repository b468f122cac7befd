"""All addresses of a domain, one bus after the other.

Source: "Device Addresses" of libvirt's "Domain XML format".
"""

from __future__ import annotations

from collections.abc import Callable

from engine.conf.defaults.addresses.channels import assign_ccw, assign_mmio, assign_zpci
from engine.conf.defaults.addresses.draft import Draft
from engine.conf.defaults.addresses.drives import assign_drives
from engine.conf.defaults.addresses.machines import Abilities, Machine, machine_of
from engine.conf.defaults.addresses.numbered import assign_memory_slots, assign_registers, mirror_console
from engine.conf.defaults.addresses.pci import assign_pci
from engine.conf.defaults.addresses.ports import assign_ccid_slots, assign_serial_ports
from engine.conf.defaults.addresses.suited import refuse_unsuited
from engine.conf.defaults.addresses.usb import assign_usb_ports
from engine.conf.kinds.common import HostPciAddress
from engine.conf.kinds.domain.document import DomainDocument

__all__ = ["assign_addresses", "assign_drive_addresses"]

_DEFAULT = Abilities()
#: Hypervisors whose guests have such addresses.
_TYPES = ("qemu", "kvm", "hvf", "kqemu")


def _by_slot(address: HostPciAddress) -> int | None:
    return int(address.domain or 0) << 13 | int(address.bus or 0) << 5 | int(address.slot or 0)


def assign_addresses(
    definition: DomainDocument,
    *,
    abilities: Abilities = _DEFAULT,
    groups: Callable[[HostPciAddress], int | None] = _by_slot,
    new: bool = True,
) -> DomainDocument:
    """The domain with an address for each device that has one, and with the PCI controllers for that.

    The domain must have all its devices, other controllers too, and their models. What the user chose stays; addresses
    that are partly given are completed. Given what this returned, it changes nothing.

    Args:
        abilities: what the hypervisor can do that decides where devices go.
        groups: (pseries) the IOMMU group of a PCI device of the host; those of one group get a root bus of their own.
            Unless it is known, the functions of a slot are one.
        new: the domain is defined for the first time; else USB devices and memory modules without an address are left
            as they are, as they have been since it was.

    Returns:
        The definition itself, if it is of another hypervisor than QEMU.

    Raises:
        ConfigError: two devices have the same place, one can't be where the user wants it, or there is none left.
    """
    if definition.type_ not in _TYPES:
        return definition
    machine, draft = machine_of(definition, abilities), Draft(definition)
    _assign(draft, machine, groups)
    if new:
        assign_usb_ports(draft)
        assign_memory_slots(draft)
    mirror_console(draft)
    return draft.finish()


def _assign(draft: Draft, machine: Machine, groups: Callable[[HostPciAddress], int | None]) -> None:
    """PCI comes last: what has its place on another bus needs none there."""
    refuse_unsuited(draft)
    assign_drives(draft)
    assign_ccid_slots(draft)
    assign_serial_ports(draft)
    assign_registers(draft)
    assign_ccw(draft, machine)
    assign_mmio(draft, machine)
    assign_pci(draft, machine, groups)
    assign_zpci(draft, machine)


def assign_drive_addresses(definition: DomainDocument) -> DomainDocument:
    """The domain with the places of its disks and SCSI devices alone: they tell which controllers it needs.

    Raises:
        ConfigError: two have the same place, or what a disk is called does not tell its place.
    """
    draft = Draft(definition)
    assign_drives(draft)
    return draft.finish()
