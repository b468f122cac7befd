"""Controllers: those that machines and devices need, their numbers and models.

Source: libvirt's "Domain XML format", Controllers: "in most cases they are added by themselves".
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

from engine.conf.defaults.context import Context, Machine, change, devices_of, with_devices
from engine.conf.defaults.storage import number_of_name
from engine.conf.defaults.written import in_unit
from engine.conf.kinds.domain.chardev import VirtioTarget
from engine.conf.kinds.domain.controller import (
    Controller,
    IdeController,
    PciRootController,
    PlainController,
    ScsiController,
    UsbController,
    UsbMaster,
    VirtioSerialController,
)
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.disk import Disk
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.hostdev import Hostdev

__all__ = ["controllers_of_devices", "controllers_of_machine", "models", "numbers", "order"]

#: The ICH9's companions for slower devices, with the first port that is each one's.
_COMPANIONS = {"ich9-uhci1": "0", "ich9-uhci2": "2", "ich9-uhci3": "4"}
#: How many disks fit on a controller.
_DISKS = {"ide": 4, "scsi": 7, "sata": 6, "fdc": 2}
#: Of one type; names of disks can ask for any number.
_MOST_CONTROLLERS = 256


# ---------------------------------------------------------------------------- order and numbers


def order(definition: DomainDocument, context: Context) -> DomainDocument:
    """Each before the first of its type that has a higher number, or the same as its companion, of those before it."""
    keys: dict[str, list[tuple[int, bool]]] = {}
    first_of: dict[str, list[int]] = {}
    places = _Places()
    found = devices_of(definition).controllers
    for number, controller in enumerate(found):
        if controller.index is None:
            places.put(number, before=None)
            continue
        key = (controller.index, _is_companion(controller))
        own, those = keys.setdefault(controller.type_, []), first_of.setdefault(controller.type_, [])
        at = bisect_right(own, key)
        places.put(number, before=those[at] if at < len(those) else None)
        own.insert(at, key)
        those.insert(at, number)
    return with_devices(definition, controllers=tuple(found[number] for number in places))


def _is_companion(controller: Controller) -> bool:
    return isinstance(controller, UsbController) and controller.model in _COMPANIONS


class _Places:
    """Numbers in an order, each put before another or at the end."""

    _END = -1

    def __init__(self) -> None:
        self._after = {self._END: self._END}
        self._before = {self._END: self._END}

    def put(self, number: int, *, before: int | None) -> None:
        after = self._END if before is None else before
        last = self._before[after]
        self._after[last] = self._before[after] = number
        self._before[number], self._after[number] = last, after

    def __iter__(self) -> Iterator[int]:
        number = self._after[self._END]
        while number != self._END:
            yield number
            number = self._after[number]


def numbers(definition: DomainDocument, context: Context) -> DomainDocument:
    """Each has a number: the lowest that is free of its type; those of an ICH9 that belong together have the same."""
    given: dict[str, set[int]] = {}
    for controller in devices_of(definition).controllers:
        if controller.index is not None:
            given.setdefault(controller.type_, set()).add(controller.index)
    state = _Numbering(given)
    numbered = tuple(
        _with_companions_port(change(controller, index=state.number_of(controller)))
        for controller in devices_of(definition).controllers
    )
    return with_devices(definition, controllers=numbered)


class _Numbering:
    """Gives numbers out; ``taken``: those that are given, by type."""

    def __init__(self, taken: dict[str, set[int]]) -> None:
        self._taken = taken
        self._next: dict[str, int] = {}
        self._set: set[str | None] = set()
        self._of_set = -1

    def number_of(self, controller: Controller) -> int:
        if controller.index is not None:
            return controller.index
        model = controller.model if isinstance(controller, UsbController) else None
        if model is not None and model.startswith("ich9-"):
            return self._of_ich9(model)
        self._set = set()
        return self._lowest(controller.type_)

    def _of_ich9(self, model: str) -> int:
        """One of each model belong together."""
        if self._of_set < 0 or not self._set or model in self._set:
            self._set, self._of_set = set(), self._lowest("usb")
        self._set.add(model)
        return self._of_set

    def _lowest(self, type_: str) -> int:
        taken = self._taken.setdefault(type_, set())
        number = self._next.get(type_, 0)
        while number in taken:
            number += 1
        taken.add(number)
        self._next[type_] = number
        return number


def _with_companions_port(controller: Controller) -> Controller:
    if not isinstance(controller, UsbController) or controller.master is not None:
        return controller
    port = _COMPANIONS.get(controller.model or "")
    return controller if port is None else change(controller, master=UsbMaster(startport=port))


# ---------------------------------------------------------------------------- of the machine


def controllers_of_machine(definition: DomainDocument, context: Context) -> DomainDocument:
    """What the machine has from the start: USB, SATA on Q35, and its PCI bus."""
    found = devices_of(definition).controllers
    there = {(controller.type_, controller.index) for controller in found}
    added = tuple(new for new in _of_machine(context) if (new.type_, new.index) not in there)
    return with_devices(definition, controllers=found + added)


def _of_machine(context: Context) -> Iterator[Controller]:
    machine = context.machine
    yield from _usb_of_machine(context)
    if machine.q35:
        yield PlainController(type_="sata", index=0)
    root = _root(context)
    if root is not None:
        yield PciRootController(type_="pci", index=0, model=root)  # type: ignore[arg-type]


def _root(context: Context) -> str | None:
    machine = context.machine
    if machine.q35 or ((machine.arm_virt or machine.riscv_virt) and context.capabilities.has("gpex-pcihost")):
        return "pcie-root"
    if machine.i440fx or machine.pseries or machine.name == "versatilepb" or machine.arch == "ppc":
        return "pci-root"
    return None


def _usb_of_machine(context: Context) -> Iterator[Controller]:
    machine = context.machine
    if machine.arm or machine.s390 or machine.riscv or machine.isapc or machine.microvm:
        return
    if not machine.q35:
        yield UsbController(type_="usb", index=0)
    elif context.capabilities.has("qemu-xhci"):
        yield UsbController(type_="usb", index=0, model="qemu-xhci")
    elif context.capabilities.has("nec-usb-xhci"):
        yield UsbController(type_="usb", index=0, model="nec-xhci")
    elif context.capabilities.has("ich9-usb-ehci1"):
        yield from _ich9()


def _ich9() -> Iterator[Controller]:
    yield UsbController(type_="usb", index=0, model="ich9-ehci1")
    for model, port in _COMPANIONS.items():
        yield UsbController(type_="usb", index=0, model=model, master=UsbMaster(startport=port))  # type: ignore[arg-type]


# ---------------------------------------------------------------------------- of devices


def controllers_of_devices(definition: DomainDocument, context: Context) -> DomainDocument:
    """Those that disks, channels and smart cards are plugged into."""
    devices = devices_of(definition)
    found = [*devices.controllers]
    there = {(controller.type_, controller.index) for controller in found}
    for new in _needed(devices, context):
        if (new.type_, new.index) not in there:
            there.add((new.type_, new.index))
            found.append(new)
    return with_devices(definition, controllers=tuple(found))


def _needed(devices: Devices, context: Context) -> Iterator[Controller]:
    highest = _highest(devices.disks, devices.hostdevs)
    for bus, make in (("scsi", _scsi), ("fdc", _fdc), ("ide", _ide), ("sata", _sata)):
        for index in range(highest.get(bus, -1) + 1):
            yield make(index)
    yield from (VirtioSerialController(type_="virtio-serial", index=index) for index in _of_virtio_ports(devices))
    for card in devices.smartcards:
        yield PlainController(type_="ccid", index=_controller_of(card) or 0)


def _scsi(index: int) -> Controller:
    return ScsiController(type_="scsi", index=index)


def _fdc(index: int) -> Controller:
    return PlainController(type_="fdc", index=index)


def _ide(index: int) -> Controller:
    return IdeController(type_="ide", index=index)


def _sata(index: int) -> Controller:
    return PlainController(type_="sata", index=index)


def _highest(disks: Iterable[Disk], hostdevs: Iterable[Hostdev]) -> dict[str, int]:
    """The highest number of a controller that a device of the host's, or a disk by its address or name, is on."""
    highest: dict[str, int] = {}
    for disk in disks:
        bus = disk.target.bus or ""
        if bus in _DISKS:
            index = _controller_of(disk)
            if index is None:
                index = number_of_name(disk.target.dev) // _DISKS[bus]
            highest[bus] = max(highest.get(bus, -1), min(index, _MOST_CONTROLLERS - 1))
    for device in hostdevs:
        if getattr(device, "type_", None) == "scsi":
            highest["scsi"] = max(highest.get("scsi", -1), min(_controller_of(device) or 0, _MOST_CONTROLLERS - 1))
    return highest


def _controller_of(device: Any) -> int | None:
    """The number of the controller in a device's address."""
    address = getattr(device, "address", None)
    return getattr(address, "controller", None)


def _of_virtio_ports(devices: Devices) -> Iterator[int]:
    for channel in devices.channels:
        if isinstance(channel.target, VirtioTarget):
            yield _controller_of(channel) or 0
    for console in devices.consoles:
        if getattr(getattr(console, "target", None), "type_", None) == "virtio":
            yield _controller_of(console) or 0


# ---------------------------------------------------------------------------- models


def models(definition: DomainDocument, context: Context) -> DomainDocument:
    """What a controller is, where that is known of the hypervisor; sizes in KiB."""
    found = devices_of(definition).controllers
    return with_devices(definition, controllers=tuple(_modelled(controller, context) for controller in found))


def _modelled(controller: Controller, context: Context) -> Controller:
    if isinstance(controller, UsbController) and controller.model is None:
        return change(controller, model=_usb_model(controller, context))
    if isinstance(controller, ScsiController) and controller.model in (None, "auto"):
        return change(controller, model=_scsi_model(context))
    if isinstance(controller, PciRootController):
        return change(controller, pcihole64=in_unit(controller.pcihole64, "KiB"))
    return controller


def _usb_model(controller: UsbController, context: Context) -> str | None:
    has, machine = context.capabilities.has, context.machine
    if machine.s390:
        return "none" if controller.address is None else None
    choices: tuple[tuple[str, str], ...] = (("piix3-usb-uhci", "piix3-uhci"),)
    if machine.ppc64:
        choices = (("pci-ohci", "pci-ohci"), *choices)
    elif machine.arch == "aarch64":
        choices = (("qemu-xhci", "qemu-xhci"), ("nec-usb-xhci", "nec-xhci"), *choices)
    return next((model for flag, model in choices if has(flag)), None)


def _scsi_model(context: Context) -> str:
    machine: Machine = context.machine
    if machine.pseries:
        return "ibmvscsi"
    if machine.s390 or machine.arm_virt or machine.riscv_virt:
        return "virtio-scsi"
    return "lsilogic" if context.capabilities.has("lsi") else "virtio-scsi"
