"""What goes without saying: in a domain before it is written, and in a .vmx when it is read back.

Sources: libvirt's "VMware ESX hypervisor driver" and "Domain XML format", for what is taken where nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.cpu import CpuTopology, GuestCpu
from engine.conf.kinds.domain.chardev import Parallel, Serial, SerialModel, SerialTarget
from engine.conf.kinds.domain.controller import Controller, IdeController, PlainController
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.disk import Disk, DiskDriver
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.features import Apic, Features
from engine.conf.kinds.domain.input import EmulatedInput
from engine.conf.kinds.domain.memory import MemTune
from engine.conf.kinds.domain.os import BootDevice, HvmOs, Os, Smbios
from engine.conf.kinds.domain.small_devices import MemBalloon
from engine.conf.kinds.domain.video import EmulatedVideoModel, Video

__all__ = ["numbered", "whole_machine"]

Port = TypeVar("Port", Serial, Parallel)


# ---------------------------------------------------------------------------- in a domain


def numbered(devices: Devices) -> Devices:
    """Controllers and ports with the numbers that they get where they have none."""
    return msgspec.structs.replace(
        devices,
        controllers=tuple(_controllers(devices.controllers)),
        serials=tuple(_ports(devices.serials)),
        parallels=tuple(_ports(devices.parallels)),
    )


def _controllers(controllers: Sequence[Controller]) -> Iterator[Controller]:
    """The lowest that no other of its type has."""
    taken = {(each.type_, each.index) for each in controllers}
    lowest: dict[str, int] = {}
    for each in controllers:
        if each.index is not None:
            yield each
            continue
        index = lowest.get(each.type_, 0)
        while (each.type_, index) in taken:
            index += 1
        lowest[each.type_] = index + 1
        yield msgspec.structs.replace(each, index=index)


def _ports(ports: Iterable[Port]) -> Iterator[Port]:
    """Each its place in the document."""
    for number, each in enumerate(ports):
        target = each.target or SerialTarget(line=each.line)
        if target.port is None:
            target = msgspec.structs.replace(target, port=str(number))
        yield msgspec.structs.replace(each, target=target)


# ---------------------------------------------------------------------------- in a .vmx


def whole_machine(read: DomainDocument, controllers: Iterable[Controller]) -> DomainDocument:
    """What was read of a .vmx, with what every machine of VMware's has without its .vmx saying so.

    Args:
        controllers: that the .vmx has; of these, reading takes only those that are in use.
    """
    assert read.vcpu is not None
    assert read.devices is not None
    cpus = read.vcpu.count
    topology = read.cpu.topology if read.cpu is not None else None
    return msgspec.structs.replace(
        read,
        memtune=read.memtune or MemTune(min_guarantee=ScaledInteger(value=0)),
        vcpu=msgspec.structs.replace(read.vcpu, current=cpus),
        os=_os(read.os),
        features=Features(acpi=True, apic=Apic(), pae=True),
        cpu=GuestCpu(
            mode="custom",
            match="exact",
            topology=topology or CpuTopology(sockets=cpus, dies=1, cores=1, threads=1),
        ),
        devices=_devices(read.devices, controllers),
    )


def _os(os: Os | None) -> HvmOs:
    assert isinstance(os, HvmOs)
    return msgspec.structs.replace(
        os,
        firmware=os.firmware or "bios",
        boots=(BootDevice(dev="hd"),),
        smbios=os.smbios or Smbios(mode="emulate"),
    )


def _devices(devices: Devices, controllers: Iterable[Controller]) -> Devices:
    """VMware's own tools have the balloon."""
    there = {(each.type_, each.index): each for each in (*_always(), *controllers, *devices.controllers)}
    return msgspec.structs.replace(
        devices,
        disks=tuple(map(_disk, devices.disks)),
        controllers=tuple(there.values()),
        serials=tuple(map(_serial, devices.serials)),
        videos=tuple(map(_video, devices.videos)),
        inputs=(EmulatedInput(type_="mouse", bus="ps2"), EmulatedInput(type_="keyboard", bus="ps2")),
        memballoon=MemBalloon(model="none"),
    )


def _always() -> tuple[Controller, ...]:
    return IdeController(type_="ide", index=0), PlainController(type_="fdc", index=0)


def _disk(disk: Disk) -> Disk:
    driver = disk.driver or DiskDriver()
    return msgspec.structs.replace(disk, driver=msgspec.structs.replace(driver, cache=driver.cache or "default"))


def _serial(serial: Serial) -> Serial:
    port = serial.target.port if serial.target is not None else None
    target = SerialTarget(type_="isa-serial", port=port, model=SerialModel(name="isa-serial"))
    return msgspec.structs.replace(serial, target=target)


def _video(video: Video) -> Video:
    if not isinstance(video.model, EmulatedVideoModel):
        return video
    return msgspec.structs.replace(video, model=msgspec.structs.replace(video.model, heads=1))
