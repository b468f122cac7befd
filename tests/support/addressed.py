"""Small guests whose devices are given addresses."""

from __future__ import annotations

from typing import Any

from engine.conf.defaults.addresses import assign_addresses
from engine.conf.documents import parse
from engine.conf.kinds.domain.document import DomainDocument

__all__ = ["domain", "drives", "numbered", "places", "refused", "shown"]


def domain(devices: str, *, machine: str = "pc", arch: str = "x86_64", more: str = "") -> DomainDocument:
    """One with these devices, one a line from line 3."""
    text = (
        f"<domain type='qemu'><name>a</name><memory>1024</memory>{more}"
        f"<os><type arch='{arch}' machine='{machine}'>hvm</type></os>\n<devices>\n{devices}\n</devices></domain>"
    )
    definition: Any = parse(text)
    assert isinstance(definition, DomainDocument)
    return definition


def numbered(address: Any) -> str:
    """An address in short: ``00:02.0``, ``0:0:0:1``, ``usb 0:1``."""
    match address.type_:
        case "pci" if address.bus is not None:
            return f"{address.bus:02x}:{address.slot:02x}.{address.function}{'+' if address.multifunction else ''}"
        case "drive":
            return f"{address.controller}:{address.bus}:{address.target}:{address.unit}"
        case "ccw":
            return f"{address.cssid:x}.{address.ssid:x}.{address.devno:04x}"
        case "usb":
            return f"usb {address.bus}:{address.port}"
        case "virtio-serial":
            return f"port {address.controller}:{address.port}"
        case "spapr-vio":
            return f"{address.reg:#x}"
        case "dimm" | "ccid":
            return f"slot {address.slot}"
    return str(address.type_)


def shown(definition: DomainDocument, field: str) -> list[str]:
    """The addresses of the devices of a kind; "" where there is none."""
    assert definition.devices is not None
    devices = getattr(definition.devices, field)
    each = devices if isinstance(devices, tuple) else (devices,)
    return [numbered(device.address) if device.address is not None else "" for device in each]


def places(devices: str, field: str, *, machine: str = "pc", arch: str = "x86_64", **options: Any) -> list[str]:
    """The addresses that these devices of a kind are given."""
    return shown(assign_addresses(domain(devices, machine=machine, arch=arch), **options), field)


def drives(*names: str, bus: str) -> str:
    """Disks of a bus."""
    return "\n".join(f"<disk device='disk'><target dev='{name}' bus='{bus}'/></disk>" for name in names)


def refused(devices: str, *, machine: str = "pc", arch: str = "x86_64", **options: Any) -> tuple[str, int | None]:
    """Why, and at which line, there is no way to give these devices addresses; "" if there is."""
    from engine.errors import ConfigError

    try:
        assign_addresses(domain(devices, machine=machine, arch=arch), **options)
    except ConfigError as exc:
        return exc.reason, exc.line
    return "", None
