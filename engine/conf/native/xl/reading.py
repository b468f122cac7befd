"""Configurations of Xen's guests to definitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.chardev import Parallel, Serial
from engine.conf.kinds.domain.controller import Controller, XenbusController
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.memory import Memory
from engine.conf.kinds.domain.namespaces import CommandlineArgument, XenCommandline
from engine.conf.kinds.domain.small_devices import MemBalloon
from engine.conf.kinds.domain.sound import Sound
from engine.conf.native.checking import check_definition, decoded
from engine.conf.native.conversion import Conversion, Host
from engine.conf.native.xl.cards import read_cards
from engine.conf.native.xl.cpus import read_cpu, read_pins, read_vcpu
from engine.conf.native.xl.disks import read_xl_disks, read_xm_disks
from engine.conf.native.xl.graphics import read_graphics, read_videos
from engine.conf.native.xl.hostdevs import read_inputs, read_pci_devices, read_usb_controllers, read_usb_devices
from engine.conf.native.xl.implied import disk_controllers, implied_inputs, placed
from engine.conf.native.xl.keys import Keys
from engine.conf.native.xl.machine import (
    Kind,
    read_boot,
    read_clock,
    read_events,
    read_features,
    read_kind,
    read_pm,
)
from engine.conf.native.xl.ports import consoles, read_channels, read_ports
from engine.conf.native.xl.text import Dialect, parse_text

__all__ = ["SOUND_CARDS", "read_xen"]

#: Sound cards by what QEMU calls them, where libvirt has another name.
SOUND_CARDS = {"hda": "ich6"}
_LEAST_MEMORY = 128


def read_xen(text: str | bytes, dialect: Dialect, *, source: str | None, host: Host) -> Conversion:
    """The guest that a configuration of xl or xm describes, with all that libvirt adds to such a guest.

    Raises:
        ConfigError: the text is not of that form, or says what no guest can have; with the line.
    """
    items, warnings = parse_text(decoded(text, source), source, dialect)
    keys = Keys(items, source, warnings)
    definition = _domain(keys, dialect, source, host)
    check_definition(definition, source)
    return Conversion(definition=definition, warnings=keys.finish())


def _domain(keys: Keys, dialect: Dialect, source: str | None, host: Host) -> DomainDocument:
    name = keys.string("name")
    if name is None:
        raise keys.error("a guest needs a 'name'")
    kind = read_kind(keys)
    return DomainDocument(
        type_="xen",
        source=source,
        line=keys.line("name"),
        name=name,
        uuid=keys.string("uuid") or host.uuid,
        vcpu=read_vcpu(keys),
        cputune=read_pins(keys),
        features=read_features(keys, kind),
        cpu=read_cpu(keys, kind == "pv", host.virtualization),
        clock=read_clock(keys, kind),
        pm=read_pm(keys, kind),
        xen_commandline=_arguments(keys),
        **_memory(keys),
        **read_boot(keys, kind, dialect, host),
        **read_events(keys),
        devices=_devices(keys, kind, dialect),
    )


def _memory(keys: Keys) -> dict[str, Any]:
    """In megabytes; what a guest has, and what it can have."""
    current = keys.number("memory")
    current = _LEAST_MEMORY if current is None else current
    most = keys.number("maxmem")
    most = current if most is None else most
    return {
        "memory": Memory(value=most * 1024, unit="KiB", line=keys.line("maxmem")),
        "current_memory": ScaledInteger(value=current * 1024, unit="KiB", line=keys.line("memory")),
    }


def _arguments(keys: Keys) -> XenCommandline | None:
    args = tuple(CommandlineArgument(value=str(item.value)) for item in keys.strings("device_model_args"))
    return XenCommandline(args=args) if args else None


# ---------------------------------------------------------------------------- devices


def _devices(keys: Keys, kind: Kind, dialect: Dialect) -> Devices:
    hvm = kind == "hvm"
    read_disks = read_xl_disks if dialect == "xen-xl" else read_xm_disks
    disks = tuple(placed(disk) for disk in read_disks(keys, hvm))
    interfaces, graphics = tuple(read_cards(keys)), tuple(read_graphics(keys, hvm))
    passed = [*read_pci_devices(keys)]
    inputs, usb_devices = read_inputs(keys) if hvm else ([], [])
    return Devices(
        emulator=_emulator(keys),
        disks=disks,
        controllers=(*read_usb_controllers(keys), _xenbus(keys), *disk_controllers(disks)),
        interfaces=interfaces,
        channels=tuple(read_channels(keys)),
        inputs=(*inputs, *implied_inputs(hvm)),
        graphics=graphics,
        sounds=tuple(_sounds(keys)) if hvm else (),
        videos=read_videos(keys, hvm, graphics),
        hostdevs=(*passed, *read_usb_devices(keys), *usb_devices),
        memballoon=MemBalloon(model="xen"),
        **_ports(keys, hvm),
    )


def _emulator(keys: Keys) -> str | None:
    """Under its name of today, or that of old."""
    return keys.string(keys.counting("device_model_override", "device_model"))


def _xenbus(keys: Keys) -> Controller:
    frames, channels = keys.number("max_grant_frames"), keys.number("max_event_channels")
    line = keys.line("max_grant_frames") or keys.line("max_event_channels")
    return XenbusController(type_="xenbus", index=0, max_grant_frames=frames, max_event_channels=channels, line=line)


def _ports(keys: Keys, hvm: bool) -> dict[str, Any]:
    """Only a guest with an emulated machine has ports; each has a console."""
    serials = tuple(Serial(**parts) for parts in read_ports(keys, "serial")) if hvm else ()
    parallels = tuple(Parallel(**parts) for parts in read_ports(keys, "parallel")) if hvm else ()
    return {"serials": serials, "parallels": parallels, "consoles": consoles(serials, hvm)}


def _sounds(keys: Keys) -> Iterator[Sound]:
    for item in keys.strings("soundhw"):
        for name in str(item.value).split(","):
            model: Any = SOUND_CARDS.get(name.strip(), name.strip())
            if model:
                yield Sound(model=model, line=item.line)
