"""How threads and memory share the host. Source: libvirt's "Domain XML format", CPU Allocation to NUMA Node Tuning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

from engine.conf.defaults.context import Context, change, each
from engine.conf.defaults.written import largest_unit, scaled
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.memory import HugePage, MemoryBacking, NumaTune, NumaTuneMemory
from engine.conf.kinds.domain.tuning import (
    BlkioDevice,
    BlkioTune,
    CachePart,
    CacheTune,
    CpuTune,
    Iothread,
    IothreadIds,
    MemoryTune,
    Sched,
)
from engine.conf.nodes.node import Node
from engine.conf.spellings import canonical_set, mask_of_set, set_of_mask, threads_of_mask
from engine.errors import ConfigError

__all__ = ["block_devices", "cpu_tuning", "iothreads", "memory_backing", "numa_tuning"]

#: As many as are given numbers.
_MOST_IOTHREADS = 65536

AnyTune = TypeVar("AnyTune", CacheTune, MemoryTune)
AnySched = TypeVar("AnySched", bound=Sched)


def iothreads(definition: DomainDocument, context: Context) -> DomainDocument:
    """As many threads as are counted or listed; if any is listed, those that are not get the lowest free numbers."""
    listed = definition.iothreadids.iothreads if definition.iothreadids is not None else ()
    count = max(definition.iothreads or 0, len(listed))
    if listed and count > len(listed) + _MOST_IOTHREADS:
        raise ConfigError(f"{count} threads for I/O are too many", source=definition.source)
    if not listed:
        return change(definition, iothreads=count or None, iothreadids=None)
    taken = {thread.id_ for thread in listed}
    free = (number for number in range(1, count + len(taken) + 1) if number not in taken)
    more = tuple(Iothread(id_=number) for number, _ in zip(free, range(count - len(listed)), strict=False))
    return change(definition, iothreads=count, iothreadids=IothreadIds(iothreads=(*listed, *more)))


# ---------------------------------------------------------------------------- CPUs


def cpu_tuning(definition: DomainDocument, context: Context) -> DomainDocument:
    """Pins and schedulers thread by thread; the host's caches and bandwidth only for CPUs that there are."""
    had = definition.cputune
    if had is None:
        return definition
    count = definition.vcpu.count if definition.vcpu is not None else 1
    rank = _ranks(definition)
    pins = sorted((pin for pin in had.vcpupins if pin.vcpu < count), key=lambda pin: pin.vcpu)
    tune = change(
        had,
        vcpupins=each(pins, _canonical),
        emulatorpin=_canonical(had.emulatorpin) if had.emulatorpin is not None else None,
        iothreadpins=each(sorted(had.iothreadpins, key=lambda pin: rank.get(pin.iothread, pin.iothread)), _canonical),
        vcpuscheds=_scheds(had.vcpuscheds, "vcpus", {}),
        iothreadscheds=_scheds(had.iothreadscheds, "iothreads", rank),
        cachetunes=tuple(change(tune, caches=each(tune.caches, _cache)) for tune in _of_cpus(had.cachetunes, count)),
        memorytunes=_of_cpus(had.memorytunes, count),
    )
    return change(definition, cputune=tune if tune != CpuTune() else None)


def _ranks(definition: DomainDocument) -> dict[int, int]:
    """The place of each I/O thread that is listed."""
    listed = definition.iothreadids.iothreads if definition.iothreadids is not None else ()
    return {thread.id_: place for place, thread in enumerate(listed)}


def _canonical(pin: Any) -> Any:
    return change(pin, cpuset=canonical_set(pin.cpuset, line=pin.line or None))


def _scheds(scheds: Iterable[AnySched], field: str, rank: dict[int, int]) -> tuple[AnySched, ...]:
    """One for each thread, in their order."""
    by_thread: dict[int, AnySched] = {}
    seen = 0
    for sched in scheds:
        mask = mask_of_set(getattr(sched, field))
        if mask & seen:
            raise ConfigError(f"the same of '{field}' is scheduled twice", line=sched.line or None)
        seen |= mask
        by_thread |= {thread: change(sched, **{field: str(thread)}) for thread in threads_of_mask(mask)}
    return tuple(by_thread[thread] for thread in sorted(by_thread, key=lambda thread: rank.get(thread, thread)))


def _cache(cache: CachePart) -> CachePart:
    number, unit = largest_unit(scaled(cache.size, cache.unit, "B", default="B", line=cache.line))
    return change(cache, size=number, unit=unit)


def _of_cpus(tunes: Iterable[AnyTune], count: int) -> tuple[AnyTune, ...]:
    """Those of CPUs that there are, as sets of these, and their monitors likewise."""
    kept = (_of_first(tune, count) for tune in tunes)
    return tuple(change(tune, monitors=_monitors(tune.monitors, count)) for tune in kept if tune.vcpus)


def _monitors(monitors: Iterable[Any], count: int) -> tuple[Any, ...]:
    return tuple(monitor for monitor in (_of_first(each, count) for each in monitors) if monitor.vcpus)


def _of_first(tune: Any, count: int) -> Any:
    """The tune with the CPUs below ``count``."""
    return change(tune, vcpus=set_of_mask(mask_of_set(tune.vcpus, line=tune.line or None) & ((1 << count) - 1)))


# ---------------------------------------------------------------------------- memory


def numa_tuning(definition: DomainDocument, context: Context) -> DomainDocument:
    """Memory is taken strictly from its nodes; from those that numad advises, if the CPUs are placed so."""
    had = definition.numatune or NumaTune()
    memory = had.memory
    if memory is None and definition.vcpu is not None and definition.vcpu.placement == "auto" and not had.memnodes:
        memory = NumaTuneMemory(placement="auto")
    if memory is not None:
        nodeset = canonical_set(memory.nodeset, line=memory.line or None)
        placement = "auto" if nodeset is None else None
        memory = change(memory, mode=memory.mode or "strict", placement=placement, nodeset=nodeset)
    nodes = tuple(
        change(node, nodeset=canonical_set(node.nodeset, line=node.line or None))
        for node in sorted(had.memnodes, key=lambda n: n.cellid)
    )
    tune = NumaTune(memory=memory, memnodes=nodes)
    return change(definition, numatune=tune if tune != NumaTune() else None)


def memory_backing(definition: DomainDocument, context: Context) -> DomainDocument:
    """Sizes of huge pages in KiB."""
    had = definition.memory_backing
    if had is None:
        return definition
    if had.hugepages is not None:
        had = change(had, hugepages=change(had.hugepages, pages=each(had.hugepages.pages, _page)))
    return change(definition, memory_backing=had if had != MemoryBacking() else None)


def _page(page: HugePage) -> HugePage:
    size = scaled(page.size, page.unit, "KiB", line=page.line)
    return change(page, size=size, unit="KiB", nodeset=canonical_set(page.nodeset, line=page.line or None))


# ---------------------------------------------------------------------------- disks


def block_devices(definition: DomainDocument, context: Context) -> DomainDocument:
    """Without limits that are 0, and without what is then left empty."""
    had = definition.blkiotune
    if had is None:
        return definition
    devices = tuple(device for device in each(had.devices, without_zeroes) if device != BlkioDevice(path=device.path))
    tune = change(without_zeroes(had), devices=devices)
    return change(definition, blkiotune=tune if tune != BlkioTune() else None)


AnyNode = TypeVar("AnyNode", bound=Node)


def without_zeroes(node: AnyNode) -> AnyNode:
    """The node without its numbers that are 0."""
    fields = {name: getattr(node, name) for name in node.__struct_fields__ if name not in ("line", "other")}
    zeroes = {name: None for name, value in fields.items() if type(value) is int and value == 0}
    return change(node, **zeroes) if zeroes else node
