"""What boots, the machine and its features. Source: libvirt's "Domain XML format", Operating system booting on."""

from __future__ import annotations

from typing import Any

from engine.conf.defaults.context import Context, change, devices_of
from engine.conf.defaults.written import in_largest_unit, in_unit
from engine.conf.kinds.domain.device import Boot
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.features import (
    Capabilities,
    DirtyRing,
    Feature,
    Features,
    Gic,
    Hpt,
    HyperV,
    HyperVSpinlocks,
    HyperVStimer,
    HyperVVendorId,
    Kvm,
    Smm,
    Tcg,
    Xen,
)
from engine.conf.kinds.domain.os import BootDevice, BootMenu, FileNvram, HvmOs, HvmType, Loader, Nvram
from engine.conf.kinds.domain.storage import FileSource

__all__ = ["boot_order", "features", "firmware", "machine_type"]

#: Those of a domain's features that are on if they are there and say nothing else.
_SWITCHES = ("hap", "pvspinlock", "pmu", "vmport", "vmcoreinfo")


def machine_type(definition: DomainDocument, context: Context) -> DomainDocument:
    """The host's architecture and the hypervisor's machine type, where they are left out."""
    had = definition.os
    if had is None:
        had = HvmOs(type_=HvmType(value="hvm"))
    if not isinstance(had, HvmOs):
        return definition
    arch = had.type_.arch or context.capabilities.host_arch()
    machine = context.capabilities.machine(arch, had.type_.machine)
    return change(definition, os=change(had, type_=change(had.type_, arch=arch, machine=machine)))


def boot_order(definition: DomainDocument, context: Context) -> DomainDocument:
    """The hard disk, where neither a kind of device nor any device is said to be booted from."""
    had = definition.os
    if not isinstance(had, HvmOs):
        return definition
    menu = had.bootmenu
    if menu is not None and not menu.enable:
        had = change(had, bootmenu=BootMenu(enable=False))
    if not had.boots and not _devices_have_order(definition):
        had = change(had, boots=(BootDevice(dev="hd"),))
    return change(definition, os=had)


def _devices_have_order(definition: DomainDocument) -> bool:
    devices = devices_of(definition)
    lists = (devices.disks, devices.interfaces, devices.hostdevs, devices.redirdevs, devices.filesystems)
    return any(isinstance(getattr(device, "boot", None), Boot) for each in lists for device in each)


def firmware(definition: DomainDocument, context: Context) -> DomainDocument:
    """A loader is a ROM unless it says otherwise; one that is chosen later is no path yet."""
    had = definition.os
    if not isinstance(had, HvmOs):
        return definition
    loader = had.loader
    if loader is not None:
        if loader.path is not None and loader.type_ is None and had.firmware is None:
            loader = change(loader, type_="rom")
        had = change(had, loader=loader if loader != Loader() else None)
    return change(definition, os=change(had, nvram=_nvram(had, definition.name, context)))


def _nvram(os: HvmOs, name: str, context: Context) -> Nvram | None:
    """Where firmware keeps its variables: a file of the domain's, if nothing else is said, and firmware keeps some."""
    nvram = os.nvram
    if _keeps_variables(os.loader) and os.firmware is None and _is_nowhere(nvram) and "/" not in name:
        template = nvram.template if nvram is not None else None
        return FileNvram(template=template, path=f"{context.folders.nvram}/{name}_VARS.fd")
    if isinstance(nvram, FileNvram) and nvram.type_ is None and isinstance(nvram.source, FileSource):
        return change(nvram, type_="file")
    return nvram


def _keeps_variables(loader: Loader | None) -> bool:
    """Whether it is flash memory that is not written to itself, as UEFI firmware is."""
    return loader is not None and loader.type_ == "pflash" and bool(loader.readonly) and not loader.stateless


def _is_nowhere(nvram: Nvram | None) -> bool:
    return nvram is None or (isinstance(nvram, FileNvram) and nvram.path is None and nvram.source is None)


# ---------------------------------------------------------------------------- features


def features(definition: DomainDocument, context: Context) -> DomainDocument:
    """What is there is on; ARM's virt has an interrupt controller of some version."""
    had = definition.features or Features()
    changes: dict[str, Any] = {
        name: Feature(state=True)
        for name in _SWITCHES
        if (switch := getattr(had, name)) is not None and switch.state is None
    }
    changes |= {"gic": _gic(had.gic, definition.type_, context), "hyperv": _hyperv(had.hyperv), "smm": _smm(had.smm)}
    changes |= {"kvm": _kvm(had.kvm), "tcg": _tcg(had.tcg), "hpt": _hpt(had.hpt)}
    changes |= {name: None for name, empty in _EMPTY.items() if getattr(had, name) == empty}
    completed = change(had, **changes)
    return change(definition, features=completed if completed != Features() else None)


def _kvm(had: Kvm | None) -> Kvm | None:
    if had is not None and had.dirty_ring is not None and not had.dirty_ring.state:
        return change(had, dirty_ring=DirtyRing(state=False))
    return had


def _tcg(had: Tcg | None) -> Tcg | None:
    return None if had is None or had.tb_cache is None else change(had, tb_cache=in_unit(had.tb_cache, "KiB"))


def _hpt(had: Hpt | None) -> Hpt | None:
    return None if had is None else change(had, maxpagesize=in_unit(had.maxpagesize, "KiB"))


#: What says nothing where it is empty.
_EMPTY = {"kvm": Kvm(), "xen": Xen(), "capabilities": Capabilities(policy="default")}


def _gic(had: Gic | None, type_: str, context: Context) -> Gic | None:
    if had is not None and had.version is not None:
        return had
    if context.machine.arm_virt:
        return Gic(version=context.capabilities.gic_version(type_) or "2")  # type: ignore[arg-type]
    return had


def _hyperv(had: HyperV | None) -> HyperV | None:
    if had is None or had == HyperV():
        return None
    if had.stimer is not None and had.stimer.state is False:
        had = change(had, stimer=HyperVStimer(state=False))
    if had.spinlocks is not None and not had.spinlocks.state:
        had = change(had, spinlocks=HyperVSpinlocks(state=False))
    if had.vendor_id is not None and not had.vendor_id.state:
        had = change(had, vendor_id=HyperVVendorId(state=False))
    return change(had, mode=had.mode or "custom")


def _smm(had: Smm | None) -> Smm | None:
    if had is None:
        return None
    state = True if had.state is None else had.state
    return change(had, state=state, tseg=in_largest_unit(had.tseg, default="MiB") if state else None)
