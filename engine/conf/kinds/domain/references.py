"""What must be unique in a domain document, and what must be there because something else names it.

Source: libvirt's "Domain XML format", which says of each that it is refused; MAC addresses apart, of which libvirt
takes two that are the same.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from engine.conf.kinds.domain.device import Device, DriveAddress, PciAddress, UsbAddress
from engine.conf.kinds.domain.os import HvmOs
from engine.conf.kinds.unsound import Unsound, twice
from engine.conf.nodes.node import Node
from engine.conf.spellings import mask_of_set
from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.conf.kinds.cpu import NumaCell
    from engine.conf.kinds.domain.devices import Devices
    from engine.conf.kinds.domain.document import DomainDocument

__all__ = ["unsound"]


def unsound(domain: DomainDocument) -> Iterator[Unsound]:
    """All in a domain that clashes, or names what is not there."""
    if domain.bootloader is None and (domain.os is None or domain.os.type_ is None):
        yield domain, "it lacks the <type> of its <os>: libvirt would not take it", "warning"
    yield from _processors(domain)
    if domain.iothreadids is not None:
        yield from twice(domain.iothreadids.iothreads, lambda each: each.id_, "the iothread {} is there already")
    yield from twice(domain.seclabels, lambda each: each.model, "there is another label of the model '{}'")
    if domain.blkiotune is not None:
        yield from twice(domain.blkiotune.devices, lambda each: each.path, "the device '{}' is there already")
    if domain.devices is not None:
        yield from _devices(domain.devices, domain)


def _processors(domain: DomainDocument) -> Iterator[Unsound]:
    """CPUs, what is near to them, and where they run."""
    if domain.vcpu is not None and domain.vcpu.current is not None and domain.vcpu.current > domain.vcpu.count:
        yield domain.vcpu, f"there can't be {domain.vcpu.current} CPUs of {domain.vcpu.count}", "error"
    if domain.vcpus is not None:
        yield from twice(domain.vcpus.vcpus, lambda each: each.id_, "the CPU {} is there already")
    tune = domain.cputune
    yield from _sets(domain)
    if tune is not None:
        yield from twice(tune.vcpupins, lambda each: each.vcpu, "the CPU {} is pinned already")
        yield from twice(tune.iothreadpins, lambda each: each.iothread, "the iothread {} is pinned already")
        threads = _threads(domain) if tune.iothreadpins else ()
        for pin in tune.iothreadpins:
            if int(pin.iothread) not in threads:
                yield pin, f"there is no iothread {pin.iothread}", "error"
    cells = _cells(domain)
    if domain.cpu is not None:
        yield from twice(domain.cpu.features, lambda each: each.name, "the feature '{}' is there already")
        yield from twice(cells, lambda each: each.id_, "there is another NUMA cell {}")
    nodes = domain.numatune.memnodes if domain.numatune is not None else ()
    yield from twice(nodes, lambda each: each.cellid, "the NUMA cell {} is there already")
    for node in nodes:
        if int(node.cellid) >= len(cells):
            yield node, f"there is no NUMA cell {node.cellid}", "error"


def _sets(domain: DomainDocument) -> Iterator[Unsound]:
    """Sets of CPUs and of nodes that are none."""
    holders: list[tuple[Node, str | None]] = []
    if domain.vcpu is not None:
        holders.append((domain.vcpu, domain.vcpu.cpuset))
    if (tune := domain.cputune) is not None:
        emulator = (tune.emulatorpin,) if tune.emulatorpin is not None else ()
        holders += [(pin, pin.cpuset) for pin in (*tune.vcpupins, *tune.iothreadpins, *emulator)]
    if (placed := domain.numatune) is not None:
        memory = (placed.memory,) if placed.memory is not None else ()
        holders += [(node, node.nodeset) for node in (*placed.memnodes, *memory)]
    holders += [(cell, cell.cpus) for cell in _cells(domain)]
    for node, text in holders:
        if text is not None:
            try:
                mask_of_set(text)
            except ConfigError as exc:
                yield node, exc.reason, "error"


def _cells(domain: DomainDocument) -> tuple[NumaCell, ...]:
    return domain.cpu.numa.cells if domain.cpu is not None and domain.cpu.numa is not None else ()


def _threads(domain: DomainDocument) -> Container[int]:
    """The numbers of its threads for the I/O of disks."""
    numbered = domain.iothreadids.iothreads if domain.iothreadids is not None else ()
    # those that are only counted have the first numbers that are free
    number = max(int(domain.iothreads or 0), len(numbered))
    named = {int(each.id_) for each in numbered}
    return named if len(named) >= number else _Numbers(named, number - len(named))


class _Numbers:
    """Some numbers, and the first so many that are none of these."""

    def __init__(self, named: set[int], more: int) -> None:
        self._named, self._more = named, more

    def __contains__(self, number: object) -> bool:
        if not isinstance(number, int) or number < 1:
            return False
        return number in self._named or number - sum(each < number for each in self._named) <= self._more


def _devices(devices: Devices, domain: DomainDocument) -> Iterator[Unsound]:
    everything = list(_all(devices))
    yield from twice(devices.disks, lambda disk: disk.target.dev, "the target '{}' is another disk's as well")
    yield from twice(
        devices.controllers,
        lambda each: None if each.index is None or _is_companion(each) else (each.type_, each.index),
        "there is another {0[0]} controller with the index {0[1]}",
    )
    placed = [each for each in everything if isinstance(each, Device)]
    yield from _aliases(devices, [each for each in placed if each.alias is not None])
    addressed = [each for each in placed if each.address is not None]
    yield from twice(addressed, _place, "another device has the same address")
    yield from _usb_buses(devices, addressed)
    bootable = [each for each in placed if getattr(each, "boot", None) is not None]
    yield from twice(bootable, _boot_order, "the boot order {} is another device's as well")
    yield from twice(devices.interfaces, _mac, "the MAC address {} is another interface's as well", "warning")
    if isinstance(domain.os, HvmOs) and domain.os.boots:
        yield from _both_boots(bootable)
    yield from _iothreads(devices, domain)
    yield from _audio(devices)
    cells = len(_cells(domain))
    for memory in devices.memories:
        node = memory.target.node
        if node is not None and cells and int(node) >= cells:
            yield memory, f"there is no NUMA cell {node}", "error"


def _is_companion(controller: Any) -> bool:
    """A USB controller for slow devices, which has the index of the one for fast devices."""
    return getattr(controller, "master", None) is not None or "uhci" in str(getattr(controller, "model", ""))


def _all(devices: Devices) -> Iterator[Node]:
    for name in devices.__struct_fields__:
        value = getattr(devices, name)
        if isinstance(value, tuple):
            yield from value
        elif isinstance(value, Node):
            yield value


def _aliases(devices: Devices, named: Sequence[Device]) -> Iterator[Unsound]:
    """The first console may be the first serial port under another name."""
    first = devices.consoles[0] if devices.consoles else None
    target = getattr(first, "target", None)
    if getattr(target, "type_", None) in (None, "serial"):
        named = [device for device in named if device is not first]
    yield from twice(named, _alias, "the alias '{}' is another device's as well")


def _alias(device: Device) -> str | None:
    return None if device.alias is None else str(device.alias.name)


def _boot_order(node: Node) -> int | None:
    boot = getattr(node, "boot", None)
    order = getattr(boot, "order", None)
    return None if order is None else int(order)


def _mac(node: Any) -> str | None:
    mac = getattr(node, "mac", None)
    return None if mac is None else str(mac.address).lower()


def _place(node: Device) -> tuple[Any, ...] | None:
    """The address, where only one device can have it; one of zeros is one that is still to be found."""
    match node.address:
        case PciAddress(domain=domain, bus=bus, slot=slot, function=function):
            place = domain or 0, bus or 0, slot or 0
            return ("pci", *place, function or 0) if any(place) else None
        case DriveAddress(controller=controller, bus=bus, target=target, unit=unit):
            on = getattr(getattr(node, "target", None), "bus", None)
            return None if on is None else ("drive", on, controller or 0, bus or 0, target or 0, unit or 0)
    return None


def _both_boots(devices: Iterable[Node]) -> Iterator[Unsound]:
    for node in devices:
        if _boot_order(node) is not None:
            yield node, "a boot order of its own can't go with the <boot> of <os>", "error"


def _iothreads(devices: Devices, domain: DomainDocument) -> Iterator[Unsound]:
    """A disk's thread must be one of those that there are."""
    known: Container[int] | None = None
    for device in (*devices.disks, *devices.controllers):
        wanted = getattr(getattr(device, "driver", None), "iothread", None)
        if wanted is not None:
            known = known if known is not None else _threads(domain)
            if int(wanted) not in known:
                yield device, f"there is no iothread {wanted}", "error"


def _audio(devices: Devices) -> Iterator[Unsound]:
    """What plays sound does so by one of the <audio>; where there are none, one is added by itself."""
    yield from twice(devices.audios, lambda each: int(each.id_), "there is another audio backend {}")
    known = {int(each.id_) for each in devices.audios}
    for device in (*devices.sounds, *devices.graphics):
        wanted = getattr(getattr(device, "audio", None), "id_", None)
        if wanted is not None and int(wanted) not in known:
            yield device, f"there is no audio backend {int(wanted)}", "error"


def _usb_buses(devices: Devices, addressed: Iterable[Device]) -> Iterator[Unsound]:
    """A USB device's bus must be a controller, where there are any: the first is added by itself."""
    buses = {int(each.index) for each in devices.controllers if each.type_ == "usb" and each.index is not None}
    for device in addressed:
        address = device.address
        if buses and isinstance(address, UsbAddress) and int(address.bus) not in buses:
            yield device, f"there is no USB controller with the index {int(address.bus)}", "error"
