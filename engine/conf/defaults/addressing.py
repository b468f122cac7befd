"""Addresses of devices, from what the hypervisor can do."""

from __future__ import annotations

from engine.conf.defaults.addresses import Abilities, assign_addresses, assign_drive_addresses
from engine.conf.defaults.context import Context
from engine.conf.kinds.domain.document import DomainDocument

__all__ = ["all_addresses", "drive_addresses"]

#: What decides where devices go, and what libvirt calls it.
_ABILITIES = {
    "pci_host": "gpex-pcihost",
    "root_port": "pcie-root-port",
    "pcie_bridge": "pcie-pci-bridge",
    "modern_virtio": "virtio-pci-non-transitional",
    "zpci": "zpci",
}


def drive_addresses(definition: DomainDocument, context: Context) -> DomainDocument:
    """Disks and SCSI devices with their places, by which it is known what controllers they need."""
    return assign_drive_addresses(definition) if context.addresses else definition


def all_addresses(definition: DomainDocument, context: Context) -> DomainDocument:
    """All devices with their places, and the PCI controllers for that."""
    if not context.addresses:
        return definition
    abilities = Abilities(**{name: context.capabilities.has(flag) for name, flag in _ABILITIES.items()})
    return assign_addresses(definition, abilities=abilities, new=context.new)
