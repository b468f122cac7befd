"""Definitions to configurations of Xen's guests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.clock import BaseClock, PlainTimer, TscTimer, UtcClock, VariableClock
from engine.conf.kinds.domain.controller import XenbusController
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.features import Feature, Features, Switch, XenPassthrough
from engine.conf.kinds.domain.os import ExeOs, HvmOs, KernelBoot, Loader, XenOs
from engine.conf.kinds.domain.sound import Sound
from engine.conf.native.conversion import Host, NativeText
from engine.conf.native.losses import losses
from engine.conf.native.xl.cards import card_text
from engine.conf.native.xl.cpus import cpu_settings, cpuid_settings, vcpu_settings, vnuma_settings
from engine.conf.native.xl.disks import xl_disk, xm_disk, xm_floppies
from engine.conf.native.xl.graphics import screen_settings, spice_settings, vfb_texts, video_settings
from engine.conf.native.xl.hostdevs import pci_texts, usb_settings, usbctrl_texts, usbdev_texts
from engine.conf.native.xl.machine import BOOT, EVENTS, TSC_MODES, Kind
from engine.conf.native.xl.ports import channel_texts, port_settings
from engine.conf.native.xl.reading import SOUND_CARDS, read_xen
from engine.conf.native.xl.text import Dialect, Setting, write_text
from engine.errors import ConfigError

__all__ = ["write_xen"]

Settings = list[Setting]


def write_xen(definition: DomainDocument, dialect: Dialect, *, host: Host) -> NativeText:
    """The configuration of xl or xm that describes the guest, and what of it that can't say.

    Raises:
        ConfigError: it is no guest of Xen, or says what can't be written.
    """
    plain = _plain(definition)
    text = write_text(_settings(plain, _kind(plain), dialect, host), dialect)
    try:
        again = read_xen(text, dialect, source=None, host=host).definition
    except ConfigError as exc:  # its line is one of the text
        raise ConfigError(f"Xen can't say this: {exc.reason}", source=definition.source) from exc
    return NativeText(text=text, warnings=losses(plain, again, "/domain", "Xen"))


def _kind(definition: DomainDocument) -> Kind:
    if definition.type_ != "xen":
        reason = f"a domain of type '{definition.type_}' is no guest of Xen"
        raise ConfigError(reason, source=definition.source, line=definition.line or None)
    if isinstance(definition.os, HvmOs):
        return "hvm"
    if isinstance(definition.os, XenOs):
        pvh = "xenpvh" in (definition.os.type_.value, definition.os.type_.machine)
        return "pvh" if pvh else "pv"
    raise ConfigError("a guest of Xen is hvm, linux or xenpvh", source=definition.source, line=definition.line or None)


def _plain(definition: DomainDocument) -> DomainDocument:
    """Where there are two ways to say the same, the one that is read."""
    changes: dict[str, object] = {}
    os, clock = definition.os, definition.clock
    if isinstance(os, XenOs) and os.type_.value == "xen":
        changes["os"] = msgspec.structs.replace(os, type_=msgspec.structs.replace(os.type_, value="linux"))
    if isinstance(os, HvmOs) and isinstance(clock, UtcClock) and clock.adjustment != "reset":
        offset = clock.adjustment or 0
        changes["clock"] = VariableClock(
            offset="variable", adjustment=offset, basis=clock.offset, timers=clock.timers, line=clock.line
        )  # fmt: skip
    return msgspec.structs.replace(definition, **changes) if changes else definition


def _settings(domain: DomainDocument, kind: Kind, dialect: Dialect, host: Host) -> Settings:
    devices = domain.devices or Devices()
    return [
        *_general(domain),
        *vcpu_settings(domain.vcpu, domain.cputune),
        *_features(domain.features or Features(), kind),
        *_timers(domain.clock),
        *_clock(domain.clock, kind),
        *((event, getattr(domain, event) or default) for event, default in EVENTS.items()),
        *_given({"device_model_override": devices.emulator}),
        *_screens(devices, kind),
        *_lists({"vif": _cards(devices, kind, dialect), "pci": pci_texts(devices.hostdevs)}),
        *(_hvm_devices(devices) if kind == "hvm" else []),
        *_boot(domain, kind, dialect, host),
        *_limits(devices),
        *cpuid_settings(domain.cpu),
        *vnuma_settings(domain.cpu),
        *_disks(devices, dialect),
        *(spice_settings(devices.graphics) if kind == "hvm" else []),
        *(usb_settings(devices.inputs, devices.hostdevs) if kind == "hvm" else []),
        *_lists({"usbctrl": usbctrl_texts(devices.controllers), "usbdev": usbdev_texts(devices.hostdevs)}),
        *_lists({"channel": channel_texts(devices.channels), "device_model_args": _arguments(domain)}),
    ]


def _given(settings: dict[str, str | None]) -> Settings:
    """Those that are there."""
    return [(key, value) for key, value in settings.items() if value]


def _lists(settings: dict[str, list[str]]) -> Settings:
    """Those that are not empty."""
    return [(key, values) for key, values in settings.items() if values]


# ---------------------------------------------------------------------------- the guest


def _general(domain: DomainDocument) -> Settings:
    most = domain.memory or domain.max_memory or domain.current_memory
    return [
        ("name", domain.name),
        *_given({"uuid": domain.uuid}),
        ("maxmem", _megabytes(most)),
        ("memory", _megabytes(domain.current_memory or most)),
    ]


def _megabytes(size: ScaledInteger | None) -> int:
    """Rounded up."""
    try:
        return -(-size.bytes() // 1024**2) if size else 0
    except ValueError as exc:
        raise ConfigError(str(exc), line=size.line if size else None) from exc


def _features(features: Features, kind: Kind) -> Settings:
    settings: Settings = []
    if kind == "hvm":
        settings += [("pae", int(features.pae)), ("acpi", int(features.acpi)), ("apic", int(features.apic is not None))]
        settings += _switch("hap", features.hap)
        settings.append(("viridian", int(features.viridian)))
    xen = features.xen
    if xen is not None:
        settings += _switch("e820_host", xen.e820_host) if kind == "pv" else []
        settings += _given({"passthrough": _passthrough(xen.passthrough)})
    return settings


def _switch(key: str, switch: Feature | Switch | None) -> Settings:
    return [] if switch is None else [(key, int(switch.state is not False))]


def _passthrough(passthrough: XenPassthrough | None) -> str | None:
    if passthrough is None:
        return None
    return (passthrough.mode or "enabled") if passthrough.state else "disabled"


def _timers(clock: BaseClock | None) -> Settings:
    settings: Settings = []
    modes = {ours: theirs for theirs, ours in TSC_MODES.items()}
    for timer in clock.timers if clock else ():
        if isinstance(timer, TscTimer):
            settings.append(("tsc_mode", modes.get(timer.mode or "auto", "default")))
        elif isinstance(timer, PlainTimer) and timer.name == "hpet":
            settings.append(("hpet", int(timer.present is not False)))
    return settings


def _clock(clock: BaseClock | None, kind: Kind) -> Settings:
    offset, local = 0, False
    if isinstance(clock, VariableClock):
        offset, local = int(clock.adjustment or 0), clock.basis == "localtime"
    elif isinstance(clock, UtcClock):
        local = clock.offset == "localtime"
    settings: Settings = [("rtc_timeoffset", offset)] if kind == "hvm" else []
    return [*settings, ("localtime", int(local))]


def _boot(domain: DomainDocument, kind: Kind, dialect: Dialect, host: Host) -> Settings:
    os = domain.os
    if isinstance(os, HvmOs):
        return _hvm_boot(domain, os, dialect, host)
    assert os is not None
    assert not isinstance(os, ExeOs)
    arguments = (domain.bootloader_args or "").split()
    return [
        *_given({"type": "pvh" if kind == "pvh" else None, "bootloader": domain.bootloader}),
        *(_lists({"bootloader_args": arguments}) if dialect == "xen-xl" else _given({"bootargs": " ".join(arguments)})),
        *_kernel(os, dialect),
    ]


def _kernel(os: KernelBoot, dialect: Dialect) -> Settings:
    settings = _given({"kernel": os.kernel, "ramdisk": os.initrd})
    if dialect == "xen-xl":
        words = [f"root={os.root}" if os.root else "", os.cmdline or ""]
        return [*settings, *_given({"cmdline": " ".join(filter(None, words))})]
    return [*settings, *_given({"root": os.root, "extra": os.cmdline})]


def _hvm_boot(domain: DomainDocument, os: HvmOs, dialect: Dialect, host: Host) -> Settings:
    settings: Settings = [("builder", "hvm")]
    letters = {dev: letter for letter, dev in BOOT.items()}
    boot: Setting = ("boot", "".join(letters[each.dev] for each in os.boots) or "c")
    if dialect == "xen-xm":
        path = os.loader.path if os.loader else None
        return [*settings, ("kernel", path or host.hvm_loader), boot]
    settings += _firmware(os.loader, os.firmware == "efi", host)
    settings += _given({"acpi_firmware": os.acpi.tables[0].path if os.acpi and os.acpi.tables else None})
    sleep = domain.pm
    states = {"acpi_s3": sleep.suspend_to_mem, "acpi_s4": sleep.suspend_to_disk} if sleep else {}
    settings += [(key, int(state.enabled)) for key, state in states.items() if state and state.enabled is not None]
    return [*settings, *_kernel(os, dialect), boot, *cpu_settings(domain.cpu)]


def _firmware(loader: Loader | None, uefi: bool, host: Host) -> Settings:
    path = loader.path if loader else None
    if uefi or (loader and loader.type_ == "pflash"):
        return [("bios", "ovmf"), *_given({"bios_path_override": path if path != host.uefi_loader else None})]
    return _given({"firmware_override": path if path != host.hvm_loader else None})


# ---------------------------------------------------------------------------- devices


def _screens(devices: Devices, kind: Kind) -> Settings:
    if kind == "hvm":
        return [*screen_settings(devices.graphics), *video_settings(devices.videos)]
    return _lists({"vfb": vfb_texts(devices.graphics)})


def _cards(devices: Devices, kind: Kind, dialect: Dialect) -> list[str]:
    texts = (card_text(card, hvm=kind == "hvm", dialect=dialect) for card in devices.interfaces)
    return [text for text in texts if text is not None]


def _hvm_devices(devices: Devices) -> Settings:
    return [*port_settings(devices.parallels, devices.serials), *_given({"soundhw": _sound(devices.sounds)})]


def _sound(sounds: Iterable[Sound]) -> str:
    names = {ours: theirs for theirs, ours in SOUND_CARDS.items()}
    return ",".join(names.get(sound.model, sound.model) for sound in sounds)


def _limits(devices: Devices) -> Settings:
    for controller in devices.controllers:
        if isinstance(controller, XenbusController):
            frames, channels = controller.max_grant_frames, controller.max_event_channels
            limits = {"max_grant_frames": frames, "max_event_channels": channels}
            return [(key, int(value)) for key, value in limits.items() if value is not None]
    return []


def _disks(devices: Devices, dialect: Dialect) -> Settings:
    disk_text = xl_disk if dialect == "xen-xl" else xm_disk
    texts: Sequence[str] = [text for disk in devices.disks if (text := disk_text(disk)) is not None]
    floppies = xm_floppies(devices.disks) if dialect == "xen-xm" else ()
    return [*_lists({"disk": [*texts]}), *floppies]


def _arguments(domain: DomainDocument) -> list[str]:
    return [each.value for each in domain.xen_commandline.args] if domain.xen_commandline else []
