"""The guest's CPU and NUMA nodes. Source: libvirt's "Domain XML format", CPU model and topology."""

from __future__ import annotations

from engine.conf.defaults.context import Context, change, each
from engine.conf.defaults.written import scaled
from engine.conf.kinds.cpu import (
    CpuModel,
    GuestCpu,
    NumaBandwidth,
    NumaCache,
    NumaCacheSize,
    NumaCell,
    NumaDistances,
    NumaSibling,
)
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.spellings import canonical_set, mask_of_set, set_of_mask

__all__ = ["cpu", "numa_cells"]

#: As many as a set has.
_MOST_CPUS = 16384
#: How far a cell is from itself.
_NEAR = 10
#: The modes without a model.
_HOST_MODES = ("host-passthrough", "maximum")


def cpu(definition: DomainDocument, context: Context) -> DomainDocument:
    """The machine's own model where none is said; how far it is checked, and migratable, as the mode has it."""
    had = definition.cpu or GuestCpu()
    if had.mode is None and had.model is not None and had.model.name:
        had = change(had, mode="custom")
    if had.mode in (None, "custom") and (had.model is None or not had.model.name):
        had = _machines_own(had, definition.type_, context)
    completed = _completed(had, definition.type_, context)
    if completed.topology is not None:
        completed = change(completed, topology=change(completed.topology, dies=completed.topology.dies or 1))
    return change(definition, cpu=completed if completed != GuestCpu() else None)


def _machines_own(had: GuestCpu, type_: str, context: Context) -> GuestCpu:
    name = context.capabilities.cpu(context.machine.arch, context.machine.name, type_)
    if name is None:
        return change(had, mode=None, match=None, model=None)
    if name == "host":
        return change(had, mode="host-model" if context.machine.s390 else "host-passthrough", model=None)
    return change(had, mode="custom", match="exact", check_="none", model=CpuModel(name=name, fallback="forbid"))


def _completed(had: GuestCpu, type_: str, context: Context) -> GuestCpu:
    if had.mode == "custom" and had.model is not None:
        named = change(had.model, fallback=had.model.fallback or "allow")
        return change(had, match=had.match or "exact", check_=had.check_ or _check_of_custom(type_), model=named)
    if had.mode == "host-model":
        return change(had, match=None, check_=had.check_ or "partial", model=_of_host(had.model))
    if had.mode in _HOST_MODES:
        migratable = had.migratable
        if migratable is None and context.machine.x86:
            migratable = context.capabilities.has("cpu.migratable")
        return change(had, match=None, check_=had.check_ or "none", migratable=migratable, model=None)
    return had


def _of_host(model: CpuModel | None) -> CpuModel | None:
    """What is said of the host's model, if it is more than what holds anyway."""
    if model is None or (not model.name and model.vendor_id is None and model.fallback != "forbid"):
        return None
    return change(model, fallback=model.fallback or "allow")


def _check_of_custom(type_: str) -> str:
    """What the emulator emulates is not compared with the host's CPU."""
    return "none" if type_ == "qemu" else "partial"


# ---------------------------------------------------------------------------- NUMA


def numa_cells(definition: DomainDocument, context: Context) -> DomainDocument:
    """Cells by their numbers, memory in KiB, and of distances that one side lacks the other's."""
    if definition.cpu is None or definition.cpu.numa is None:
        return definition
    had = definition.cpu.numa
    cells = tuple(_cell(cell, number) for number, cell in enumerate(had.cells))
    cells = _with_all_cpus(tuple(sorted(cells, key=lambda cell: cell.id_ or 0)), definition)
    numa = change(had, cells=_with_distances(cells))
    if numa.interconnects is not None:
        bandwidths = each(numa.interconnects.bandwidths, _bandwidth)
        numa = change(numa, interconnects=change(numa.interconnects, bandwidths=bandwidths))
    return change(definition, cpu=change(definition.cpu, numa=numa))


def _with_all_cpus(cells: tuple[NumaCell, ...], definition: DomainDocument) -> tuple[NumaCell, ...]:
    """CPUs that are in no cell are in the first."""
    count = definition.vcpu.count if definition.vcpu is not None else 1
    left = (1 << count) - 1
    for cell in cells[1:]:
        left &= ~mask_of_set(cell.cpus, line=cell.line or None)
    if not cells or count > _MOST_CPUS:
        return cells
    return (change(cells[0], cpus=set_of_mask(left | mask_of_set(cells[0].cpus)) or None), *cells[1:])


def _cell(cell: NumaCell, number: int) -> NumaCell:
    return change(
        cell,
        id_=number if cell.id_ is None else cell.id_,
        cpus=canonical_set(cell.cpus, line=cell.line or None),
        memory=scaled(cell.memory, cell.unit, "KiB", line=cell.line),
        unit="KiB",
        caches=tuple(_cache(cache) for cache in sorted(cell.caches, key=lambda cache: cache.level)),
    )


def _cache(cache: NumaCache) -> NumaCache:
    return change(cache, size=_size(cache.size, "KiB"), line_=_size(cache.line_, "B"))


def _size(size: NumaCacheSize, unit: str) -> NumaCacheSize:
    return change(size, value=scaled(size.value, size.unit, unit, line=size.line), unit=unit)


def _bandwidth(bandwidth: NumaBandwidth) -> NumaBandwidth:
    return change(bandwidth, value=scaled(bandwidth.value, bandwidth.unit, "KiB", line=bandwidth.line), unit="KiB")


def _with_distances(cells: tuple[NumaCell, ...]) -> tuple[NumaCell, ...]:
    """What one cell says of another holds both ways, unless that one says otherwise; each is near to itself."""
    far: dict[int, dict[int, int]] = {}
    said = [(cell.id_ or 0, each) for cell in cells if cell.distances for each in cell.distances.siblings]
    for own, sibling in said:
        far.setdefault(own, {own: _NEAR})[sibling.id_] = sibling.value
    for own, sibling in said:
        far.setdefault(sibling.id_, {sibling.id_: _NEAR}).setdefault(own, sibling.value)
    return tuple(change(cell, distances=_distances(far.get(cell.id_ or 0, {}))) for cell in cells)


def _distances(far: dict[int, int]) -> NumaDistances | None:
    siblings = tuple(NumaSibling(id_=number, value=value) for number, value in sorted(far.items()))
    return NumaDistances(siblings=siblings) if siblings else None
