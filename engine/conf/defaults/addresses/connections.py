"""What each device is plugged into: which kinds and models are PCI devices, PCI Express devices, or virtio devices.

Source: libvirt's "Domain XML format"; what a device of the host is, it does not tell: those are taken for PCI Express.
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from engine.conf.defaults.addresses.buses import PLUG_OF_MODEL, Plug
from engine.conf.defaults.addresses.draft import Part
from engine.conf.defaults.addresses.machines import Machine

__all__ = ["Kind", "host_address", "kind_of", "plug_of"]


class Kind(Enum):
    """How a device can be connected.

    CONVENTIONAL: by PCI; EXPRESS: by PCI Express, or PCI where the machine has no other.
    TRANSITIONAL: virtio that is on PCI alone; MODERN: virtio that may be on PCI Express; VIRTIO: virtio of any kind,
    which may be on other buses.
    INTEGRATED: by PCI Express, on the root bus.
    """

    CONVENTIONAL = "conventional"
    EXPRESS = "express"
    VIRTIO = "virtio"
    TRANSITIONAL = "transitional"
    MODERN = "modern"
    INTEGRATED = "integrated"


_VIRTIO: dict[str | None, Kind] = {
    None: Kind.VIRTIO,
    "virtio": Kind.VIRTIO,
    "virtio-scsi": Kind.VIRTIO,
    "virtio-transitional": Kind.TRANSITIONAL,
    "virtio-non-transitional": Kind.MODERN,
}

#: By field and model. Fields that are not here have functions below.
_BY_MODEL: dict[str, dict[Any, Kind]] = {
    "sounds": dict.fromkeys(("es1370", "ac97", "ich6", "ich9"), Kind.CONVENTIONAL),
    "watchdog": {"i6300esb": Kind.CONVENTIONAL},
    "rngs": _VIRTIO,
    "memballoon": {model: kind for model, kind in _VIRTIO.items() if model is not None},
    "vsock": _VIRTIO,
    "filesystems": _VIRTIO,
    "memories": dict.fromkeys(("virtio-pmem", "virtio-mem"), Kind.CONVENTIONAL),
    "iommu": {"virtio": Kind.INTEGRATED},
}

_SCSI: dict[str | None, Kind] = dict.fromkeys(
    ("buslogic", "lsilogic", "lsisas1068", "lsisas1078", "vmpvscsi", "dc390", "am53c974"), Kind.CONVENTIONAL
)
_SCSI |= {model: kind for model, kind in _VIRTIO.items() if model is not None}
_USB: dict[str | None, Kind | None] = {
    "nec-xhci": Kind.EXPRESS,
    "qemu-xhci": Kind.EXPRESS,
    "none": None,
    "qusb1": None,
    "qusb2": None,
}
_VIDEOS = {"virtio": Kind.VIRTIO, "bochs": Kind.EXPRESS, "none": None, "ramfb": None, "xen": None, "gop": None}
#: Network cards that are no PCI devices, or that are Express devices; models that are not known are PCI devices.
_CARDS: dict[str | None, Kind | None] = {
    "e1000e": Kind.EXPRESS,
    "usb-net": None,
    "spapr-vlan": None,
    "lan9118": None,
    "smc91c111": None,
}
_CARDS |= {model: kind for model, kind in _VIRTIO.items() if model is not None}


def kind_of(part: Part) -> Kind | None:
    """How it can be connected; None: neither by PCI nor as a virtio device."""
    table = _BY_MODEL.get(part.field)
    if table is not None:
        return table.get(part.model)
    ask = _BY_FIELD.get(part.field)
    return None if ask is None else ask(part)


def plug_of(part: Part, machine: Machine) -> Plug | None:
    """What it needs on PCI; None: it is no PCI device."""
    if part.field == "controllers" and part.type_ == "pci":
        return PLUG_OF_MODEL.get(part.model)
    match kind_of(part):
        case None:
            return None
        case Kind.INTEGRATED:
            return Plug.INTEGRATED
        case Kind.EXPRESS | Kind.MODERN if machine.express:
            return Plug.PCIE
        case Kind.VIRTIO if machine.express and machine.abilities.modern_virtio:
            return Plug.PCIE
    return Plug.PCI


def host_address(part: Part) -> Any:
    """The address on the host of a PCI device of its; None: it is none."""
    if part.field == "hostdevs" and part.type_ == "pci":
        return part.device.source.address
    if part.field == "interfaces" and part.type_ == "hostdev":
        address = getattr(part.device.source, "address", None)
        return address if getattr(address, "type_", None) == "pci" else None
    return None


# ---------------------------------------------------------------------------- by what else they are


def _disk(part: Part) -> Kind | None:
    return _VIRTIO.get(part.model) if part.device.target.bus == "virtio" else None


def _interface(part: Part) -> Kind | None:
    if part.type_ == "hostdev":
        return None if host_address(part) is None else Kind.EXPRESS
    model = part.model.type_ if part.model is not None else None
    return _CARDS.get(model, Kind.CONVENTIONAL)


def _hostdev(part: Part) -> Kind | None:
    match part.type_:
        case "pci":
            return Kind.EXPRESS
        case "mdev" if part.model == "vfio-pci":
            return Kind.EXPRESS
        case "scsi_host":
            return _VIRTIO.get(part.model)
    return None


def _controller(part: Part) -> Kind | None:
    model = part.model if hasattr(part.device, "model") else None
    match part.type_:
        case "scsi":
            return _SCSI.get(model)
        case "usb":
            return _USB.get(model, Kind.CONVENTIONAL)
        case "virtio-serial":
            return _VIRTIO.get(model)
        case "ide" | "sata":
            return Kind.CONVENTIONAL
    return None


def _video(part: Part) -> Kind | None:
    return _VIDEOS.get(part.model.type_, Kind.CONVENTIONAL) if part.model is not None else None


def _input(part: Part) -> Kind | None:
    return _VIRTIO.get(part.model) if getattr(part.device, "bus", None) == "virtio" else None


def _serial(part: Part) -> Kind | None:
    target = part.device.target
    return Kind.CONVENTIONAL if target is not None and target.type_ == "pci-serial" else None


def _shmem(part: Part) -> Kind | None:
    return Kind.CONVENTIONAL


_BY_FIELD = {
    "disks": _disk,
    "interfaces": _interface,
    "hostdevs": _hostdev,
    "controllers": _controller,
    "videos": _video,
    "inputs": _input,
    "serials": _serial,
    "shmems": _shmem,
}
