"""The remaining devices: balloon, panic, watchdog, TPM, shared memory, memory devices, random numbers, vsock.

Source: libvirt's "Domain XML format", the sections of these.
"""

from __future__ import annotations

from typing import Any

from engine.conf.defaults.characters import connected
from engine.conf.defaults.context import Context, Machine, change, devices_of, each, with_devices
from engine.conf.defaults.written import in_unit
from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.chardev import CharBackend
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.input import (
    EgdBackend,
    EmulatorTpm,
    PassthroughTpm,
    RandomBackend,
    Rng,
    Tpm,
    TpmDevicePath,
)
from engine.conf.kinds.domain.memory_device import MemoryDevice, MemorySource, MemoryTarget
from engine.conf.kinds.domain.redirdev import UsbFilterRule
from engine.conf.kinds.domain.shmem import Shmem, ShmemModel, ShmemMsi
from engine.conf.kinds.domain.small_devices import MemBalloon, Panic, Vsock, VsockCid
from engine.conf.nodes.values import Written
from engine.conf.spellings import canonical_set
from engine.util.uuids import canonical_uuid

__all__ = [
    "balloon",
    "client_devices",
    "emulator",
    "memory_devices",
    "panics",
    "rngs",
    "shared_memory",
    "tpms",
    "vsock",
    "watchdog",
]


def emulator(definition: DomainDocument, context: Context) -> DomainDocument:
    """The hypervisor's program for the architecture."""
    path = devices_of(definition).emulator or context.capabilities.emulator(context.machine.arch)
    return with_devices(definition, emulator=path)


def balloon(definition: DomainDocument, context: Context) -> DomainDocument:
    """One of virtio, but on ARM."""
    if devices_of(definition).memballoon is not None or context.machine.arm:
        return definition
    return with_devices(definition, memballoon=MemBalloon(model="virtio"))


def panics(definition: DomainDocument, context: Context) -> DomainDocument:
    """Of the machine's own kind; pSeries and S/390 have one from the start."""
    own = _own_panic(context.machine)
    found = tuple(change(panic, model=panic.model or own) for panic in devices_of(definition).panics)
    if not found and own in ("pseries", "s390"):
        found = (Panic(model=own),)  # type: ignore[arg-type]
    return with_devices(definition, panics=found)


def _own_panic(machine: Machine) -> str | None:
    if machine.pseries:
        return "pseries"
    return "s390" if machine.s390 else "isa"


def watchdog(definition: DomainDocument, context: Context) -> DomainDocument:
    """It resets the guest."""
    had = devices_of(definition).watchdog
    if had is None:
        return definition
    return with_devices(definition, watchdog=change(had, action=had.action or "reset"))


def rngs(definition: DomainDocument, context: Context) -> DomainDocument:
    """From the host's /dev/random, where no device is named."""
    return with_devices(definition, rngs=each(devices_of(definition).rngs, _rng))


def _rng(rng: Rng) -> Rng:
    backend: Any = rng.backend
    if isinstance(backend, RandomBackend):
        backend = change(backend, path=backend.path or "/dev/random")
    elif isinstance(backend, EgdBackend):
        backend = connected(backend)
    return change(rng, backend=backend)


def client_devices(definition: DomainDocument, context: Context) -> DomainDocument:
    """USB devices and smart cards of a client: how it is reached."""
    devices = devices_of(definition)
    cards = tuple(connected(card) if isinstance(card, CharBackend) else card for card in devices.smartcards)
    filters = tuple(change(each_, usbdevs=each(each_.usbdevs, _rule)) for each_ in devices.redirfilters)
    redirdevs = each(devices.redirdevs, connected)
    return with_devices(definition, redirdevs=redirdevs, redirfilters=filters, smartcards=cards)


def _rule(rule: UsbFilterRule) -> UsbFilterRule:
    """Without what fits anything; numbers with capital letters."""
    return change(
        rule,
        class_=_capital(rule.class_, 2),
        vendor=_capital(rule.vendor, 4),
        product=_capital(rule.product, 4),
        version=None if rule.version in (None, "-1") else _version(rule.version),
    )


def _capital(number: int | None, digits: int) -> int | None:
    return None if number is None or number < 0 else Written(number, f"0x{number:0{digits}X}")


def _version(text: str) -> str:
    major, _, minor = text.partition(".")
    return f"{int(major)}.{int(minor):02d}" if major.isdecimal() and minor.isdecimal() else text


def vsock(definition: DomainDocument, context: Context) -> DomainDocument:
    """Of virtio; its number is chosen when the guest starts, unless it is given."""
    had: Vsock | None = devices_of(definition).vsock
    if had is None:
        return definition
    cid = had.cid or VsockCid()
    if cid.auto is None:
        cid = change(cid, auto=cid.address is None)
    if cid.auto and not context.live:
        cid = change(cid, address=None)
    return with_devices(definition, vsock=change(had, model=had.model or "virtio", cid=cid))


# ---------------------------------------------------------------------------- TPM


def tpms(definition: DomainDocument, context: Context) -> DomainDocument:
    """A TIS, on pSeries its own; the host's first, or an emulator of version 2.0, and 1.2 where PCs had it of old."""
    return with_devices(definition, tpms=tuple(_tpm(tpm, context.machine) for tpm in devices_of(definition).tpms))


def _tpm(tpm: Tpm, machine: Machine) -> Tpm:
    backend: Any = tpm.backend
    model = tpm.model or ("tpm-spapr" if machine.pseries else "tpm-tis")
    if isinstance(backend, PassthroughTpm):
        device = backend.device or TpmDevicePath()
        backend = change(backend, device=change(device, path=device.path or "/dev/tpm0"))
    elif isinstance(backend, EmulatorTpm):
        version = backend.version or ("1.2" if machine.x86 and model == "tpm-tis" else "2.0")
        backend = change(backend, version=version, persistent_state=backend.persistent_state or None)
    return change(tpm, model=model, backend=backend)


# ---------------------------------------------------------------------------- memory


def shared_memory(definition: DomainDocument, context: Context) -> DomainDocument:
    """Of the old kind, and of 4 MiB; with interrupts where there is a server."""
    return with_devices(definition, shmems=each(devices_of(definition).shmems, _shmem))


def _shmem(shmem: Shmem) -> Shmem:
    model = shmem.model or ShmemModel(type_="ivshmem")
    size = in_unit(shmem.size, "M", default="bytes")
    if size is None and model.type_ != "ivshmem-doorbell":
        size = ScaledInteger(value=4, unit="M")
    msi = shmem.msi
    if model.type_ == "ivshmem-doorbell":
        msi = msi or ShmemMsi()
        msi = change(msi, ioeventfd=True if msi.ioeventfd is None else msi.ioeventfd)
    return change(shmem, model=model, size=size, msi=msi)


def memory_devices(definition: DomainDocument, context: Context) -> DomainDocument:
    """Sizes in KiB."""
    found = devices_of(definition).memories
    return with_devices(definition, memories=tuple(_memory_device(device, context) for device in found))


def _memory_device(device: MemoryDevice, context: Context) -> MemoryDevice:
    uuid = device.uuid
    if uuid is None and device.model == "nvdimm" and context.machine.pseries:
        uuid = context.generator.uuid()
    return change(
        device,
        uuid=canonical_uuid(uuid) if uuid is not None else None,
        source=_memory_source(device.source),
        target=_memory_target(device.target, context),
    )


def _memory_source(source: MemorySource | None) -> MemorySource | None:
    if source is None:
        return None
    changed = change(
        source,
        pagesize=in_unit(source.pagesize, "KiB"),
        nodemask=canonical_set(source.nodemask, line=source.line or None),
        alignsize=in_unit(source.alignsize, "KiB"),
    )
    return changed if changed != MemorySource() else None


def _memory_target(target: MemoryTarget, context: Context) -> MemoryTarget:
    label = target.label
    return change(
        target,
        size=in_unit(target.size, "KiB"),
        block=in_unit(target.block, "KiB"),
        requested=in_unit(target.requested, "KiB"),
        current=in_unit(target.current, "KiB") if context.live else None,
        label=change(label, size=in_unit(label.size, "KiB")) if label is not None else None,
    )
