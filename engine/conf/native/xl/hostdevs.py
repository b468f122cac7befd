"""Devices of the host that Xen's guests are given, and their USB controllers; and back.

Source: xl-pci-configuration(5), and ``usbctrl``, ``usbdev`` and ``usbdevice`` in xl.cfg(5).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from engine.conf.kinds.common import HostPciAddress
from engine.conf.kinds.domain.controller import Controller, UsbController
from engine.conf.kinds.domain.device import HostUsbAddress, UsbAddress, UsbIdentifier
from engine.conf.kinds.domain.hostdev import (
    Hostdev,
    PciHostdev,
    PciHostdevDriver,
    PciHostdevSource,
    UsbHostdev,
    UsbHostdevSource,
)
from engine.conf.kinds.domain.input import EmulatedInput, Input
from engine.conf.native.xl.keys import Keys, Spec
from engine.conf.native.xl.text import Item, Setting

__all__ = [
    "pci_texts",
    "read_inputs",
    "read_pci_devices",
    "read_usb_controllers",
    "read_usb_devices",
    "usb_settings",
    "usbctrl_texts",
    "usbdev_texts",
]

_PCI = re.compile(r"(?:([0-9a-fA-F]{1,4}):)?([0-9a-fA-F]{1,2}):([0-9a-fA-F]{1,2})\.([0-7])(?:[@=]([0-9a-fA-F]+))?")
_USB_ID = re.compile(r"host:([0-9a-fA-F]{1,4}):([0-9a-fA-F]{1,4})")
_USB_PLACE = re.compile(r"host:([0-9]{1,3})\.([0-9]{1,3})")
_MODELS = {1: "qusb1", 2: "qusb2", 3: "nec-xhci"}
_PORTS = 8
INPUTS = ("mouse", "tablet", "keyboard")


# ---------------------------------------------------------------------------- PCI


def read_pci_devices(keys: Keys) -> Iterator[Hostdev]:
    for number, item in enumerate(keys.strings("pci"), 1):
        yield _pci(keys, f"pci[{number}]", item)


def _pci(keys: Keys, place: str, item: Item) -> Hostdev:
    where, _, rest = str(item.value).partition(",")
    spec = Spec(keys, place, item, text=rest)
    match = _PCI.fullmatch(where.strip())
    if match is None:
        raise spec.error("a PCI device is named as 0000:01:00.0")
    domain, bus, slot, function = (int(part or "0", 16) for part in match.groups()[:4])
    if match[5]:
        spec.warn("@", "the slot that the guest sees it in can't be said in a definition")
    permissive, managed = _switch(keys, spec, "permissive"), _switch(keys, spec, "seize")
    spec.finish()
    address = HostPciAddress(domain=domain, bus=bus, slot=slot, function=function)
    source = PciHostdevSource(write_filtering=False if permissive else None, address=address)
    driver = PciHostdevDriver(name="xen")
    return PciHostdev(
        mode="subsystem", type_="pci", managed=managed, driver=driver, source=source, line=item.line
    )  # fmt: skip


def _switch(keys: Keys, spec: Spec, name: str) -> bool:
    """Of the device, or else of all that don't say it."""
    number = spec.number(name)
    return bool(keys.flag(f"pci_{name}") if number is None else number)


def pci_texts(hostdevs: Iterable[Hostdev]) -> list[str]:
    return [_pci_text(each) for each in hostdevs if isinstance(each, PciHostdev)]


def _pci_text(device: PciHostdev) -> str:
    address = device.source.address
    numbers = (address.domain, address.bus, address.slot, address.function)
    domain, bus, slot, function = (int(number or 0) for number in numbers)
    permissive = ",permissive=1" if device.source.write_filtering is False else ""
    seize = ",seize=1" if device.managed else ""
    return f"{domain:04x}:{bus:02x}:{slot:02x}.{function:x}{permissive}{seize}"


# ---------------------------------------------------------------------------- USB


def read_usb_controllers(keys: Keys) -> Iterator[Controller]:
    for number, item in enumerate(keys.strings("usbctrl")):
        spec = Spec(keys, f"usbctrl[{number + 1}]", item)
        version, ports = spec.number("version") or 2, spec.number("ports")
        model: Any = _MODELS.get(version)
        if model is None:
            raise spec.error("there are versions 1, 2 and 3 of USB")
        if spec.take("type") not in (None, "auto", usbctrl_type(version)):
            spec.warn("type", "a definition has it follow from the version")
        spec.finish()
        yield UsbController(type_="usb", index=number, model=model, ports=ports or _PORTS, line=item.line)


def read_usb_devices(keys: Keys) -> Iterator[Hostdev]:
    for number, item in enumerate(keys.strings("usbdev"), 1):
        yield _usb(Spec(keys, f"usbdev[{number}]", item))


def _usb(spec: Spec) -> Hostdev:
    bus, device, controller, port = (spec.number(name) for name in ("hostbus", "hostaddr", "controller", "port"))
    if spec.take("type") not in (None, "hostdev") or bus is None or device is None:
        raise spec.error("a USB device needs 'hostbus' and 'hostaddr'")
    spec.finish()
    address = None
    if controller is not None:
        address = UsbAddress(type_="usb", bus=controller, port=None if port is None else str(port))
    elif port is not None:
        spec.warn("port", "it has no effect without 'controller'")
    return _usb_hostdev(UsbHostdevSource(address=HostUsbAddress(bus=bus, device=device)), spec.line, address)


def _usb_hostdev(source: UsbHostdevSource, line: int, address: UsbAddress | None = None) -> Hostdev:
    return UsbHostdev(mode="subsystem", type_="usb", managed=False, source=source, address=address, line=line)


def usbctrl_type(version: int) -> str:
    return "devicemodel" if version == 3 else "qusb"


def usbctrl_texts(controllers: Iterable[Controller]) -> list[str]:
    """Of those that Xen has."""
    versions: dict[str | None, int] = {"qemu-xhci": 3}
    versions.update((model, version) for version, model in _MODELS.items())
    texts = []
    for each in controllers:
        version = versions.get(each.model) if isinstance(each, UsbController) else None
        if isinstance(each, UsbController) and version:
            ports = f",ports={int(each.ports)}" if each.ports else ""
            texts.append(f"type={usbctrl_type(version)},version={version}{ports}")
    return texts


def usbdev_texts(hostdevs: Iterable[Hostdev]) -> list[str]:
    """Of those that are named by where the host has them."""
    texts = []
    for each in hostdevs:
        place = each.source.address if isinstance(each, UsbHostdev) else None
        if place is not None:
            text = f"hostbus={int(place.bus)},hostaddr={int(place.device)}"
            if isinstance(each.address, UsbAddress):
                text += f",controller={int(each.address.bus)}"
                text += f",port={each.address.port}" if each.address.port else ""
            texts.append(text)
    return texts


# ---------------------------------------------------------------------------- the emulated USB bus


def read_inputs(keys: Keys) -> tuple[list[Input], list[Hostdev]]:
    """What is plugged into a guest's emulated bus."""
    inputs: list[Input] = []
    hostdevs: list[Hostdev] = []
    on, items = keys.flag("usb", True), keys.strings("usbdevice")
    if on and not items and "usb" in keys:
        keys.warn("usb", keys.line("usb"), "a definition can't say it without a device on it")
    for number, item in enumerate(items, 1):
        device = str(item.value).strip()
        known: Any = device
        hostdev = _usb_of_qemu(device, item.line)
        if not on:
            keys.warn(f"usbdevice[{number}]", item.line, "it has no effect without 'usb'")
        elif device in INPUTS:
            inputs.append(EmulatedInput(type_=known, bus="usb", line=item.line))
        elif hostdev is not None:
            hostdevs.append(hostdev)
        else:
            keys.warn(f"usbdevice[{number}]", item.line)
    return inputs, hostdevs


def _usb_of_qemu(text: str, line: int) -> Hostdev | None:
    """A device of the host's by its product or its place, as QEMU's option names it."""
    by_id, by_place = _USB_ID.fullmatch(text), _USB_PLACE.fullmatch(text)
    if by_id is not None:
        vendor, product = (UsbIdentifier(id_=int(part, 16)) for part in by_id.groups())
        return _usb_hostdev(UsbHostdevSource(vendor=vendor, product=product), line)
    if by_place is not None:
        bus, device = map(int, by_place.groups())
        return _usb_hostdev(UsbHostdevSource(address=HostUsbAddress(bus=bus, device=device)), line)
    return None


def usb_settings(inputs: Iterable[Input], hostdevs: Iterable[Hostdev]) -> list[Setting]:
    """A tablet is always on USB, others where they say so."""
    devices: list[str] = []
    for each in inputs:
        if isinstance(each, EmulatedInput) and (each.bus or ("usb" if each.type_ == "tablet" else "")) == "usb":
            devices.append(each.type_)
    for hostdev in hostdevs:
        source = hostdev.source if isinstance(hostdev, UsbHostdev) else None
        if source and source.vendor and source.product and source.address is None:
            devices.append(f"host:{int(source.vendor.id_):04x}:{int(source.product.id_):04x}")
    if not devices:
        return []
    return [("usb", 1), ("usbdevice", devices[0] if len(devices) == 1 else devices)]
