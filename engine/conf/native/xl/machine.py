"""What Xen's guests are and boot, their features, their clock, and what follows when they end; and back.

Source: xl.cfg(5), "Selecting Guest Type", "Direct Kernel Boot", "Processor and Platform Features", "Guest Virtual Time
Controls" and "Event Actions"; for xm xmdomain.cfg(5).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias, get_args

from engine.conf.kinds.domain.clock import (
    Clock,
    CrashAction,
    LifecycleAction,
    PlainTimer,
    PowerManagement,
    SleepState,
    Timer,
    TscTimer,
    UtcClock,
    VariableClock,
)
from engine.conf.kinds.domain.features import Apic, Feature, Features, Switch, Xen, XenPassthrough
from engine.conf.kinds.domain.os import (
    AcpiTable,
    AcpiTables,
    BootDevice,
    HvmOs,
    HvmType,
    Loader,
    Os,
    XenOs,
    XenType,
)
from engine.conf.native.conversion import Host
from engine.conf.native.xl.keys import Keys
from engine.conf.native.xl.text import Dialect

__all__ = ["Kind", "read_boot", "read_clock", "read_events", "read_features", "read_kind", "read_pm"]

Kind: TypeAlias = Literal["hvm", "pv", "pvh"]
#: Old names of kinds (``builder``).
BUILDERS: dict[str, Kind] = {"hvm": "hvm", "generic": "pv", "linux": "pv"}
KINDS: dict[str, Kind] = {"hvm": "hvm", "pv": "pv", "pvh": "pvh"}
BOOT: dict[str, Literal["fd", "hd", "cdrom", "network"]] = {"a": "fd", "c": "hd", "d": "cdrom", "n": "network"}
_BOOT_DEFAULTS: dict[Dialect, str] = {"xen-xl": "cd", "xen-xm": "c"}
#: What becomes of a guest, where nothing is said.
EVENTS = {"on_poweroff": "destroy", "on_reboot": "restart", "on_crash": "restart"}
TSC_MODES = {"default": "auto", "always_emulate": "emulate", "native": "native", "native_paravirt": "paravirt"}
#: The same as numbers, of old.
_TSC_NUMBERS = ("default", "always_emulate", "native", "native_paravirt")


def read_kind(keys: Keys) -> Kind:
    type_, builder = _kind(keys, "type", KINDS), _kind(keys, "builder", BUILDERS)
    if type_ and builder not in (None, type_):
        keys.loses("builder", "type")
    return type_ or builder or "pv"


def _kind(keys: Keys, key: str, kinds: dict[str, Kind]) -> Kind | None:
    named = keys.string(key)
    if named is not None and named not in kinds:
        raise keys.error(f"'{key}' is one of {', '.join(kinds)}", keys.line(key))
    return kinds[named] if named else None


# ---------------------------------------------------------------------------- what it boots


def read_boot(keys: Keys, kind: Kind, dialect: Dialect, host: Host) -> dict[str, Any]:
    """``os``, and what finds the kernel."""
    if kind == "hvm":
        return {"os": _hvm(keys, dialect, host)}
    bootloader = {"bootloader": keys.string("bootloader"), "bootloader_args": _bootloader_args(keys)}
    if kind == "pvh":
        type_ = XenType(arch=host.arch, machine="xenpvh", value="xenpvh", line=keys.line("type"))
    else:
        type_ = XenType(arch=host.arch, machine="xenpv", value="linux", line=keys.line("type"))
    return {"os": XenOs(type_=type_, **_kernel(keys, dialect)), **bootloader}


def _bootloader_args(keys: Keys) -> str | None:
    words = [str(item.value) for key in ("bootloader_args", "bootargs") for item in keys.strings(key)]
    return " ".join(words) or None


def _kernel(keys: Keys, dialect: Dialect) -> dict[str, Any]:
    root, cmdline = keys.string("root"), keys.string("cmdline")
    extra = keys.string("extra")
    parts = {"kernel": keys.string("kernel"), "initrd": keys.string("ramdisk"), "line": keys.line("kernel")}
    if cmdline:
        for key in ("root", "extra"):
            keys.loses(key, "cmdline")
    elif dialect == "xen-xm" and root and root.startswith("/"):
        return {**parts, "root": root, "cmdline": extra}
    elif root:
        cmdline = f"root={root} {extra}" if extra else f"root={root}"
    return {**parts, "cmdline": cmdline or extra}


def _hvm(keys: Keys, dialect: Dialect, host: Host) -> Os:
    type_ = HvmType(arch=host.arch, machine="xenfv", value="hvm", line=keys.line("builder") or keys.line("type"))
    boots = tuple(_boots(keys, keys.string("boot") or _BOOT_DEFAULTS[dialect]))
    if dialect == "xen-xm":
        loader = Loader(type_="rom", path=keys.string("kernel") or host.hvm_loader, line=keys.line("kernel"))
        return HvmOs(type_=type_, loader=loader, boots=boots)
    boot = _kernel(keys, dialect)
    loader = _loader(keys, host)
    kernel = boot["kernel"] or ""
    if "hvmloader" in kernel.rpartition("/")[2]:  # as files of old name it, and xl ignores
        boot["kernel"] = None
        firmware = next(filter(keys.says, ("firmware_override", "firmware", "bios")), None)
        if firmware is None:
            loader = Loader(type_="rom", path=kernel, line=keys.line("kernel"))
        else:
            keys.loses("kernel", firmware)
    tables = keys.string("acpi_firmware")
    acpi = (
        AcpiTables(tables=(AcpiTable(type_="slic", path=tables, line=keys.line("acpi_firmware")),)) if tables else None
    )
    return HvmOs(type_=type_, loader=loader, boots=boots, acpi=acpi, **boot)


def _boots(keys: Keys, letters: str) -> Iterator[BootDevice]:
    for letter in dict.fromkeys(letters):
        if letter not in BOOT:
            raise keys.error("'boot' is made of the letters a, c, d and n", keys.line("boot"))
        yield BootDevice(dev=BOOT[letter])


def _loader(keys: Keys, host: Host) -> Loader:
    named = keys.counting("firmware", "bios")
    firmware, line = keys.string(named) or "bios", keys.line(named)
    if firmware in ("ovmf", "uefi"):
        keys.loses("firmware_override", named)
        path = keys.string("bios_path_override")
        return Loader(readonly=True, type_="pflash", path=path or host.uefi_loader, line=line)
    own = keys.string("firmware_override")
    if named == "firmware" and "/" in firmware:
        own = keys.string(keys.counting("firmware_override", "firmware"))
    elif firmware not in ("seabios", "bios"):
        keys.warn(named, line)
    return Loader(type_="rom", path=own or host.hvm_loader, line=keys.line("firmware_override") or line)


# ---------------------------------------------------------------------------- features


def read_features(keys: Keys, kind: Kind) -> Features | None:
    """None: there are none."""
    e820 = keys.flag("e820_host") if kind == "pv" else None
    passthrough = _passthrough(keys)
    xen = None
    if e820 is not None or passthrough is not None:
        xen = Xen(e820_host=None if e820 is None else Switch(state=e820), passthrough=passthrough)
    if kind != "hvm":
        return Features(xen=xen) if xen else None
    hap = keys.flag("hap")
    features = Features(
        pae=keys.flag("pae", True) or False,
        acpi=keys.flag("acpi", True) or False,
        apic=Apic() if keys.flag("apic", True) else None,
        hap=None if hap is None else Feature(state=hap),
        viridian=_viridian(keys),
        xen=xen,
    )
    return features if features != Features() else None


def _passthrough(keys: Keys) -> XenPassthrough | None:
    word = keys.string("passthrough")
    line = keys.line("passthrough")
    match word:
        case None | "default":
            return None
        case "enabled" | "disabled":
            return XenPassthrough(state=word == "enabled", line=line)
        case "sync_pt" | "share_pt":
            return XenPassthrough(state=True, mode=word, line=line)
    raise keys.error("'passthrough' is one of default, disabled, enabled, sync_pt, share_pt", line)


def _viridian(keys: Keys) -> bool:
    """Groups of it are more than a definition can say."""
    item = keys.item("viridian")
    if item is None:
        return False
    if not isinstance(item.value, tuple):
        return keys.as_number(item, "'viridian'") != 0
    groups = [str(each.value) for each in item.value]
    if groups and groups != ["defaults"]:
        keys.warn("viridian", item.line, "a definition has all the usual groups or none")
    return bool(groups)


def read_pm(keys: Keys, kind: Kind) -> PowerManagement | None:
    if kind != "hvm":
        return None
    mem, disk = (keys.flag(key) for key in ("acpi_s3", "acpi_s4"))
    if mem is None and disk is None:
        return None
    states = [None if each is None else SleepState(enabled=each) for each in (mem, disk)]
    return PowerManagement(suspend_to_mem=states[0], suspend_to_disk=states[1])


# ---------------------------------------------------------------------------- time and events


def read_clock(keys: Keys, kind: Kind) -> Clock:
    local = keys.flag("localtime", False)
    timers = tuple(_timers(keys, kind))
    line = keys.line("localtime")
    if kind == "hvm":
        offset = keys.number("rtc_timeoffset") or 0
        basis: Literal["localtime", "utc"] = "localtime" if local else "utc"
        return VariableClock(offset="variable", adjustment=offset, basis=basis, timers=timers, line=line)
    if keys.number("rtc_timeoffset"):
        keys.warn("rtc_timeoffset", keys.line("rtc_timeoffset"))
    return UtcClock(offset="localtime" if local else "utc", adjustment="reset", timers=timers, line=line)


def _timers(keys: Keys, kind: Kind) -> Iterator[Timer]:
    item = keys.item("tsc_mode")
    if item is not None:
        number = item.value
        name = _TSC_NUMBERS[number] if isinstance(number, int) and 0 <= number < len(_TSC_NUMBERS) else str(number)
        if name not in TSC_MODES:
            raise keys.error(f"'tsc_mode' is one of {', '.join(TSC_MODES)}", item.line)
        mode: Any = TSC_MODES[name]
        yield TscTimer(name="tsc", present=True, mode=mode, line=item.line)
    hpet = keys.flag("hpet") if kind == "hvm" else None
    if hpet is not None:
        yield PlainTimer(name="hpet", present=hpet, line=keys.line("hpet"))


def read_events(keys: Keys) -> dict[str, Any]:
    """What follows; what a definition does not know is as if nothing was said."""
    found: dict[str, Any] = {}
    for key, default in EVENTS.items():
        action = keys.string(key) or default
        known = get_args(CrashAction if key == "on_crash" else LifecycleAction)
        if action not in known:
            keys.warn(key, keys.line(key), "a definition does not know this action")
        found[key] = action if action in known else default
    return found
