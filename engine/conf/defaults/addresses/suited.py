"""Which addresses a device can have at all.

Source: "Device Addresses" of libvirt's "Domain XML format".
"""

from __future__ import annotations

from engine.conf.defaults.addresses.draft import Draft, Part
from engine.conf.defaults.addresses.drives import bus_of
from engine.conf.defaults.addresses.usb import is_usb

__all__ = ["refuse_unsuited"]

#: By type of address: the fields of those that can have it. Of the types that are not here, anything may.
_FIELDS = {
    "drive": ("disks", "hostdevs"),
    "virtio-serial": ("consoles", "channels"),
    "ccid": ("smartcards",),
    "dimm": ("memories",),
    "unassigned": ("hostdevs",),
}
#: By bus of a disk: the type of address. Disks of other buses have several.
_DISKS = {"ide": "drive", "sata": "drive", "scsi": "drive", "fdc": "drive"}
#: By type of a controller: the type of address. Others have several.
_CONTROLLERS = {"pci": "pci", "sata": "pci", "ide": "pci", "usb": "pci"}


def refuse_unsuited(draft: Draft) -> None:
    """Raises ConfigError if a device has an address of a bus that it can't be on."""
    for part in draft.of():
        if part.address is not None and not _is_suited(part, part.address.type_):
            what = f"a disk on {bus_of(part)}" if part.field == "disks" else "it"
            raise draft.wrong(part, f"{what} can't have an address of type '{part.address.type_}'")


def _is_suited(part: Part, type_: str) -> bool:
    if part.field not in _FIELDS.get(type_, (part.field,)) or is_usb(part) is not (type_ == "usb"):
        return False
    match part.field:
        case "disks":
            return _DISKS.get(bus_of(part), type_) == type_
        case "controllers":
            return _CONTROLLERS.get(str(part.type_), type_) == type_
        case "smartcards":
            return type_ == "ccid"
    return True
