"""Name, UUID, memory, CPUs, clock and what follows when a guest stops. Source: libvirt's "Domain XML format"."""

from __future__ import annotations

from lxml import etree

from engine.conf.defaults.context import Context, change
from engine.conf.defaults.written import in_unit
from engine.conf.kinds.common import Metadata, ScaledInteger
from engine.conf.kinds.domain.clock import Clock, UtcClock, VariableClock
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.memory import Memory, MemTune
from engine.conf.kinds.domain.tuning import Vcpu, Vcpus, VcpuState
from engine.conf.spellings import canonical_set
from engine.util.uuids import canonical_uuid

__all__ = ["clock", "events", "identity", "limits", "memory", "metadata", "vcpu"]

#: A limit of so many KiB is none.
_UNLIMITED = 9007199254740991


def identity(definition: DomainDocument, context: Context) -> DomainDocument:
    """A UUID, made up where there is none; the number only of what runs."""
    genid = definition.genid
    if genid is not None:
        genid = canonical_uuid(genid) if genid.strip() else context.generator.uuid()
    return change(
        definition,
        id_=definition.id_ if context.live else None,
        uuid=canonical_uuid(definition.uuid) if definition.uuid else context.generator.uuid(),
        genid=genid,
    )


def metadata(definition: DomainDocument, context: Context) -> DomainDocument:
    """Of each namespace the first element, and none without a namespace."""
    if definition.metadata is None:
        return definition
    kept: dict[str, str] = {}
    for text in definition.metadata.content:
        namespace = _namespace(text)
        if namespace:
            kept.setdefault(namespace, text)
    content = tuple(kept.values())
    return change(definition, metadata=Metadata(content=content) if content else None)


def _namespace(text: str) -> str:
    tag = str(etree.fromstring(text).tag)  # of a document that was read: it is well-formed
    return tag[1:].partition("}")[0] if tag.startswith("{") else ""


# ---------------------------------------------------------------------------- memory and CPUs


def memory(definition: DomainDocument, context: Context) -> DomainDocument:
    """All in KiB. Where it is left out it is what NUMA cells and memory devices have; a guest begins with all of it."""
    total = _total(definition)
    current = in_unit(definition.current_memory, "KiB")
    if total is not None and (current is None or not 0 < current.value <= total):
        current = ScaledInteger(value=total, unit="KiB")
    had = definition.memory
    return change(
        definition,
        memory=None if total is None else Memory(value=total, unit="KiB", dump_core=had.dump_core if had else None),
        current_memory=current,
        max_memory=in_unit(definition.max_memory, "KiB"),
    )


def _total(definition: DomainDocument) -> int | None:
    size = in_unit(definition.memory, "KiB")
    if size is not None and size.value:
        return size.value
    cells = definition.cpu.numa.cells if definition.cpu is not None and definition.cpu.numa is not None else ()
    if any(cell.memory for cell in cells):
        devices = definition.devices.memories if definition.devices is not None else ()
        plugged = (in_unit(device.target.size, "KiB") for device in devices)
        sizes = (in_unit(ScaledInteger(value=cell.memory, unit=cell.unit), "KiB") for cell in cells)
        return sum(size.value for size in (*sizes, *plugged) if size is not None)
    return None if size is None else size.value


def limits(definition: DomainDocument, context: Context) -> DomainDocument:
    """Limits of memory in KiB; none where they are as large as can be."""
    if definition.memtune is None:
        return definition
    had = definition.memtune
    kept = MemTune(
        hard_limit=_limit(had.hard_limit),
        soft_limit=_limit(had.soft_limit),
        min_guarantee=_limit(had.min_guarantee) if had.min_guarantee and had.min_guarantee.value else None,
        swap_hard_limit=_limit(had.swap_hard_limit),
    )
    return change(definition, memtune=kept if kept != MemTune() else None)


def _limit(size: ScaledInteger | None) -> ScaledInteger | None:
    size = in_unit(size, "KiB")
    return None if size is None or size.value >= _UNLIMITED else size


def vcpu(definition: DomainDocument, context: Context) -> DomainDocument:
    """One CPU where none is said; placed where numad says if the memory is, and nothing else says where."""
    had = definition.vcpu or Vcpu(count=1)
    cpuset = canonical_set(had.cpuset, line=had.line or None)
    auto = had.placement == "auto" or (_memory_is_placed(definition) and cpuset is None and not _is_pinned(definition))
    states = _states(definition, had.count)
    current = sum(state.enabled for state in states) if states else had.current
    placed = change(
        had,
        placement="auto" if auto else "static",
        cpuset=None if auto else cpuset,
        current=current if current != had.count else None,
    )
    return change(definition, vcpu=placed, vcpus=Vcpus(vcpus=states) if states else None)


def _states(definition: DomainDocument, count: int) -> tuple[VcpuState, ...]:
    """Of all CPUs, if that of any is said: those that are not listed are not there, and can be plugged in."""
    listed = {state.id_: state for state in definition.vcpus.vcpus} if definition.vcpus is not None else {}
    if not listed:
        return ()
    states = (listed.get(number) or VcpuState(id_=number, enabled=False) for number in range(count))
    return tuple(change(s, hotpluggable=not s.enabled if s.hotpluggable is None else s.hotpluggable) for s in states)


def _memory_is_placed(definition: DomainDocument) -> bool:
    """Whether numad says where, as it does where nothing else does."""
    tune = definition.numatune
    return tune is not None and tune.memory is not None and tune.memory.nodeset is None


def _is_pinned(definition: DomainDocument) -> bool:
    tune = definition.cputune
    return tune is not None and bool(tune.vcpupins or tune.emulatorpin or tune.iothreadpins)


# ---------------------------------------------------------------------------- time, and the end


def clock(definition: DomainDocument, context: Context) -> DomainDocument:
    """UTC where nothing is said; an offset in seconds makes a clock variable."""
    return change(definition, clock=_clock(definition.clock or UtcClock(offset="utc")))


def _clock(had: Clock) -> Clock:
    if isinstance(had, UtcClock) and isinstance(had.adjustment, int):
        return VariableClock(offset="variable", adjustment=had.adjustment, basis=had.offset, timers=had.timers)
    if isinstance(had, VariableClock):
        return change(had, adjustment=had.adjustment or 0, basis=had.basis or "utc")
    return had


def events(definition: DomainDocument, context: Context) -> DomainDocument:
    """A guest that powers itself off or crashes is gone; one that reboots goes on."""
    return change(
        definition,
        on_poweroff=definition.on_poweroff or "destroy",
        on_reboot=definition.on_reboot or "restart",
        on_crash=definition.on_crash or "destroy",
    )
