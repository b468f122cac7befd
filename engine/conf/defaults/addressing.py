"""Addresses of devices, as far as there is something that assigns them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

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
    addresses = _addresses() if context.addresses else None
    if addresses is None:
        return definition
    assigned: DomainDocument = addresses.assign_drive_addresses(definition)
    return assigned


def all_addresses(definition: DomainDocument, context: Context) -> DomainDocument:
    """All devices with their places, and the PCI controllers for that."""
    addresses = _addresses() if context.addresses else None
    if addresses is None:
        return definition
    abilities = addresses.Abilities(**{name: context.capabilities.has(flag) for name, flag in _ABILITIES.items()})
    assigned: DomainDocument = addresses.assign_addresses(definition, abilities=abilities, new=context.new)
    return assigned


def _addresses() -> Any:
    """The package that assigns them, if it is there."""
    try:
        return import_module("engine.conf.defaults.addresses")
    except ModuleNotFoundError:
        return None
