"""``<cpu>``: what a guest's CPU shall be, or what a host's is. Source: libvirt's "Domain XML format", CPU model.

A guest's is part of its domain, a host's of the host's capabilities; either may also be a document of its own, for
comparing CPUs and computing what several have in common.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.values import (
    Arch,
    CpuSet,
    DottedName,
    LooseUnsignedLong,
    OnOff,
    PlainName,
    PositiveInt,
    Unit,
    UnsignedInt,
    YesNo,
)
from engine.conf.nodes.node import Attr, Body, Child, Definition, Flag, Node, Text
from engine.conf.nodes.values import Number, Pattern

__all__ = [
    "CpuDocument",
    "CpuFeature",
    "CpuModel",
    "CpuTopology",
    "GuestCpu",
    "HostCpu",
    "MaxPhysAddr",
    "Numa",
    "NumaCache",
    "NumaCell",
    "NumaDistances",
    "NumaInterconnects",
]

VendorId = Annotated[str, Pattern("cpuVendorId", "[^,]{12}", "12 characters, without commas")]
Distance = Annotated[int, Number("numaDistance", 10, 255, plain="[+]?[0-9]+")]


# ---------------------------------------------------------------------------- what both have


class HostCpuModel(Node):
    """A model that libvirt knows by name."""

    name: Annotated[str | None, Body] = None


class CpuTopology(Node):
    """How the CPUs are arranged; a guest's number is the product of all four.

    Attributes:
        sockets: how many there are, of a host in each NUMA node; dies: in a socket, 1 if it is left out; cores: in a
            die; threads: in a core.
    """

    sockets: PositiveInt
    dies: PositiveInt | None = None
    cores: PositiveInt
    threads: PositiveInt


class MaxPhysAddr(Node):
    """The size of a physical address. Since 8.7.0.

    Attributes:
        mode: emulate: of ``bits``; passthrough: the host's.
        bits: no more than the hypervisor supports.
    """

    mode: Literal["emulate", "passthrough"]
    bits: UnsignedInt | None = None


# ---------------------------------------------------------------------------- NUMA


class NumaSibling(Node):
    """How far another cell is.

    Attributes:
        id_: that cell's; value: 10 is as near as a cell is to itself, and what libvirt takes for that; 20 for others.
    """

    known_by = ("id_",)
    id_: UnsignedInt
    value: Distance


class NumaDistances(Node):
    """How far other cells are from this one."""

    siblings: Annotated[tuple[NumaSibling, ...], Child("sibling")]


class NumaCacheSize(Node):
    """A size in a cache."""

    value: UnsignedInt
    unit: Unit


class NumaCache(Node):
    """A cache at the side of a NUMA node's memory. Since 6.6.0.

    Attributes:
        size: of the whole; line_: of one line of it.
    """

    known_by = ("level",)
    level: UnsignedInt
    associativity: Literal["none", "direct", "full"]
    policy: Literal["none", "writeback", "writethrough"]
    size: NumaCacheSize
    line_: NumaCacheSize


class NumaCell(Node):
    """A NUMA node of the guest: some of its CPUs, and the memory near them.

    Attributes:
        id_: counted from 0 where it is left out; either all cells should have one or none.
        cpus: without them the cell is memory only.
        memory: how much; in KiB unless there is a ``unit``.
        mem_access: whether the host's memory behind it is shared; else as the domain's memoryBacking says.
        discard: the memory's content is dropped when the guest ends.
    """

    size_fields, default_unit = ("memory", "unit"), "KiB"
    known_by = ("id_",)
    id_: UnsignedInt | None = None
    cpus: CpuSet | None = None
    memory: LooseUnsignedLong
    unit: Unit | None = None
    mem_access: Annotated[Literal["shared", "private"] | None, Attr("memAccess")] = None
    discard: YesNo | None = None
    distances: NumaDistances | None = None
    caches: Annotated[tuple[NumaCache, ...], Child("cache")] = ()


class NumaLatency(Node):
    """How long it takes a cell to reach the memory of another.

    Attributes:
        initiator: the cell that asks; target: the cell that has the memory.
        cache: the level of the target's cache that is meant, rather than its memory.
        type_: what is done; access: either.
        value: in nanoseconds.
    """

    known_by = ("initiator target cache type_", "initiator target type_")
    initiator: UnsignedInt
    target: UnsignedInt
    cache: UnsignedInt | None = None
    type_: Literal["access", "read", "write"]
    value: UnsignedInt


class NumaBandwidth(NumaLatency):
    """How much a cell can read or write in the memory of another.

    Attributes:
        value: each second; unit: of the value.
    """

    unit: Unit


class NumaInterconnects(Node):
    """How fast cells reach the memory of others. Since 6.6.0."""

    latencies: Annotated[tuple[NumaLatency, ...], Child("latency")] = ()
    bandwidths: Annotated[tuple[NumaBandwidth, ...], Child("bandwidth")] = ()


class Numa(Node):
    """The guest's NUMA nodes. Without, it has one."""

    cells: Annotated[tuple[NumaCell, ...], Child("cell")]
    interconnects: NumaInterconnects | None = None


# ---------------------------------------------------------------------------- of a guest


class CpuModel(HostCpuModel):
    """The model that a guest shall have.

    Attributes:
        name: without one, only what the attributes say is asked for.
        fallback: whether a near model may take its place where the hypervisor does not have it; allow if left out.
        vendor_id: what the guest sees as its CPU's vendor, such as GenuineIntel; the host's if left out.
    """

    fallback: Literal["allow", "forbid"] | None = None
    vendor_id: VendorId | None = None


class CpuFeature(Node):
    """A feature that shall differ from the model's.

    Attributes:
        policy: force: the guest sees it whether the host has it or not; require: the guest starts only if the host or
            the hypervisor has it; optional: it has it if the host does; disable: it does not have it; forbid: the
            guest starts only if the host does not have it.
    """

    known_by = ("name",)
    policy: Literal["force", "require", "optional", "disable", "forbid"]
    name: DottedName


class CpuCache(Node):
    """The caches that the guest sees its CPUs have.

    Attributes:
        level: which; without it all are meant.
        mode: emulate: made-up ones; passthrough: the host's; disable: none.
    """

    level: Literal["1", "2", "3"] | None = None
    mode: Literal["emulate", "passthrough", "disable"]


class GuestCpu(Definition):
    """A guest's CPU. In its domain, or as a document of its own.

    Attributes:
        mode: custom: as is described here, on any host (taken if it is left out); host-model: a model and features as
            near to the host's as can be; host-passthrough: the host's own; maximum: all that the hypervisor can do.
        match: minimum: a better one will do; exact: this one (taken if it is left out); strict: the host's must be
            this one too.
        check_: how far it is made sure that the guest gets what is asked for; none: by the hypervisor only; partial:
            before the guest starts; full: once it is there too.
        migratable: without (on) or with (off) features that keep a guest from migrating. For the modes that take the
            host's or the maximum.
        cache: what is seen of caches; numa: which CPUs and memory are near each other.
    """

    kind: ClassVar[str] = "cpu"
    mode: Literal["custom", "host-model", "host-passthrough", "maximum"] | None = None
    match: Literal["minimum", "exact", "strict"] | None = None
    check_: Literal["none", "partial", "full"] | None = None
    migratable: OnOff | None = None
    model: CpuModel | None = None
    vendor: Annotated[str | None, Text] = None
    topology: CpuTopology | None = None
    cache: CpuCache | None = None
    maxphysaddr: MaxPhysAddr | None = None
    features: Annotated[tuple[CpuFeature, ...], Child("feature")] = ()
    numa: Numa | None = None


# ---------------------------------------------------------------------------- of a host


class HostExtensions(Node):
    """What a Xen host tells of its CPU."""

    pae: Annotated[bool, Flag] = False
    nonpae: Annotated[bool, Flag] = False
    vmx: Annotated[bool, Flag] = False
    svm: Annotated[bool, Flag] = False


class CpuMicrocode(Node):
    """The microcode that runs."""

    version: PositiveInt


class CpuSignature(Node):
    """The numbers by which a CPU says which it is."""

    family: PositiveInt
    model: UnsignedInt
    stepping: UnsignedInt


class CpuCounter(Node):
    """A counter of time.

    Attributes:
        name: such as tsc; frequency: in Hz; scaling: a guest may be given another frequency.
    """

    name: str
    frequency: PositiveInt
    scaling: YesNo


class HostCpuFeature(Node):
    """A feature that the host's CPU has beyond its model's."""

    known_by = ("name",)
    name: PlainName


class HostPages(Node):
    """A size that pages of memory may have.

    Attributes:
        size: in KiB unless there is a ``unit``.
    """

    size_fields, default_unit = ("size", "unit"), "KiB"
    known_by = ("size unit", "size")
    unit: Unit | None = None
    size: UnsignedInt


class HostCpu(Definition):
    """A host's CPU. In its capabilities, or as a document of its own.

    Attributes:
        model: the nearest that libvirt knows by name; features: what it has beyond that.
        extensions: (Xen) what else it can do.
    """

    kind: ClassVar[str] = "cpu"
    arch: Annotated[Arch, Text]
    extensions: Annotated[HostExtensions | None, Child("features")] = None
    model: HostCpuModel | None = None
    vendor: Annotated[str | None, Text] = None
    microcode: CpuMicrocode | None = None
    signature: CpuSignature | None = None
    counter: CpuCounter | None = None
    topology: CpuTopology | None = None
    maxphysaddr: MaxPhysAddr | None = None
    features: Annotated[tuple[HostCpuFeature, ...], Child("feature")] = ()
    pages: Annotated[tuple[HostPages, ...], Child("pages")] = ()


CpuDocument: TypeAlias = GuestCpu | HostCpu
