"""``<capabilities>``: a host and the guests it can run. Source: libvirt's "Driver capabilities XML format"."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.cpu import HostCpu, HostPages, NumaCache, NumaDistances, NumaInterconnects
from engine.conf.kinds.values import (
    AbsFilePath,
    Arch,
    CpuSet,
    OnOff,
    Unit,
    UnsignedInt,
    Uuid,
    YesNo,
)
from engine.conf.nodes.node import Attr, Body, Child, Definition, Flag, Node, Text, together
from engine.conf.nodes.values import Pattern

__all__ = ["CapabilitiesDocument", "GuestCapabilities", "HostCapabilities"]

MonitorFeature = Annotated[
    str, Pattern("monitorFeature", r"(llc_|mbm_)[a-zA-Z0-9\-_]+", "llc_ or mbm_ and what is watched")
]


# ---------------------------------------------------------------------------- the host


class PowerManagement(Node):
    """How the host can sleep.

    Attributes:
        suspend_mem: its state is kept in memory; suspend_disk: on disk; suspend_hybrid: in both.
    """

    suspend_mem: Annotated[bool, Flag] = False
    suspend_disk: Annotated[bool, Flag] = False
    suspend_hybrid: Annotated[bool, Flag] = False


class Iommu(Node):
    """Whether the host's devices can be given to guests."""

    support: YesNo | None = None


class UriTransports(Node):
    """By what a guest can be sent."""

    uri_transports: Annotated[tuple[Literal["vpxmigr", "tcp", "rdma", "vzmigr"], ...], Text("uri_transport")]


class MigrationFeatures(Node):
    """How guests can be sent to another host.

    Attributes:
        live: while they run.
    """

    live: Annotated[bool, Flag] = False
    uri_transports: UriTransports | None = None


class CellPages(HostPages):
    """How many pages of a size there are in a NUMA node's memory."""

    count: Annotated[UnsignedInt, Body]


class CellCpu(Node):
    """One CPU, and where it is.

    Attributes:
        siblings: the CPUs that are threads of the same core.
    """

    known_by = ("id_",)
    id_: UnsignedInt
    socket_id: UnsignedInt | None = None
    die_id: UnsignedInt | None = None
    core_id: UnsignedInt | None = None
    siblings: CpuSet | None = None
    rules = (together("socket_id", "die_id", "core_id", "siblings"),)


class CellCpus(Node):
    """The CPUs of a NUMA node."""

    num: UnsignedInt
    cpus: Annotated[tuple[CellCpu, ...], Child("cpu")] = ()


class HostCell(Node):
    """A NUMA node of the host.

    Attributes:
        memory: in KiB if no unit is given.
    """

    known_by = ("id_",)
    id_: UnsignedInt
    memory: ScaledInteger | None = None
    pages: tuple[CellPages, ...] = ()
    distances: NumaDistances | None = None
    caches: Annotated[tuple[NumaCache, ...], Child("cache")] = ()
    cpus: CellCpus | None = None


class HostCells(Node):
    """The NUMA nodes of the host."""

    num: UnsignedInt
    cells: Annotated[tuple[HostCell, ...], Child("cell")]


class HostTopology(Node):
    """Which memory is near to which CPUs."""

    cells: HostCells
    interconnects: NumaInterconnects | None = None


class MonitoredFeature(Node):
    """One thing that can be watched."""

    known_by = ("name",)
    name: MonitorFeature


class ResourceMonitor(Node):
    """What the CPU can watch of guests (resctrl).

    Attributes:
        level: of the cache; reuse_threshold: in bytes; max_monitors: how many there can be.
    """

    level: UnsignedInt | None = None
    reuse_threshold: Annotated[UnsignedInt | None, Attr("reuseThreshold")] = None
    max_monitors: Annotated[UnsignedInt, Attr("maxMonitors")]
    features: Annotated[tuple[MonitoredFeature, ...], Child("feature")]
    rules = (together("level", "reuse_threshold"),)


class CacheControl(Node):
    """How guests can be given a part of a cache each.

    Attributes:
        granularity: what a part is a multiple of; min: the smallest.
        type_: for code, data or both; max_allocs: how many parts there can be.
    """

    granularity: UnsignedInt
    min: UnsignedInt | None = None
    unit: Unit
    type_: Literal["both", "code", "data"]
    max_allocs: Annotated[UnsignedInt, Attr("maxAllocs")]


class CacheBank(Node):
    """A cache of the CPU's.

    Attributes:
        cpus: that it serves.
    """

    known_by = ("id_",)
    id_: UnsignedInt
    level: UnsignedInt
    type_: Literal["both", "code", "data"]
    size: UnsignedInt
    unit: Unit
    cpus: CpuSet
    controls: Annotated[tuple[CacheControl, ...], Child("control")] = ()


class HostCache(Node):
    """The host's caches."""

    banks: Annotated[tuple[CacheBank, ...], Child("bank")]
    monitor: ResourceMonitor | None = None


class BandwidthControl(Node):
    """How guests can be given a part of the memory's bandwidth each, in percent.

    Attributes:
        granularity: what a part is a multiple of; min: the smallest; max_allocs: how many there can be.
    """

    granularity: UnsignedInt
    min: UnsignedInt | None = None
    max_allocs: Annotated[UnsignedInt, Attr("maxAllocs")]


class BandwidthNode(Node):
    """CPUs that reach memory by the same way."""

    known_by = ("id_",)
    id_: UnsignedInt
    cpus: CpuSet
    controls: Annotated[tuple[BandwidthControl, ...], Child("control")] = ()


class MemoryBandwidth(Node):
    """The ways to the host's memory."""

    nodes: Annotated[tuple[BandwidthNode, ...], Child("node")]
    monitor: ResourceMonitor | None = None


class BaseLabel(Node):
    """The label that guests of a type have unless told otherwise."""

    known_by = ("type_",)
    label: Annotated[str, Body]
    type_: str


class SecurityModel(Node):
    """A security driver in use.

    Attributes:
        model: such as ``selinux`` or ``dac``; doi: the domain of interpretation of its labels.
    """

    known_by = ("model",)
    model: Annotated[str, Text]
    doi: Annotated[str, Text]
    base_labels: Annotated[tuple[BaseLabel, ...], Child("baselabel")] = ()


class HostCapabilities(Node):
    """The host.

    Attributes:
        uuid: the host's own.
    """

    uuid: Annotated[Uuid | None, Text] = None
    cpu: HostCpu
    power_management: PowerManagement | None = None
    iommu: Iommu | None = None
    migration_features: MigrationFeatures | None = None
    topology: HostTopology | None = None
    cache: HostCache | None = None
    memory_bandwidth: MemoryBandwidth | None = None
    security_models: Annotated[tuple[SecurityModel, ...], Child("secmodel")] = ()


# ---------------------------------------------------------------------------- guests


class Machine(Node):
    """A type of machine that a guest may be.

    Attributes:
        canonical: the type that this name stands for; max_cpus: how many CPUs it can have.
        deprecated: the hypervisor's makers mean to take it away.
    """

    name: Annotated[str, Body]
    canonical: str | None = None
    max_cpus: Annotated[UnsignedInt | None, Attr("maxCpus")] = None
    deprecated: YesNo | None = None


class GuestDomain(Node):
    """A type of domain that runs such guests.

    Attributes:
        emulator, machines: where they are others than those of the architecture.
    """

    known_by = ("type_",)
    type_: Literal["qemu", "kqemu", "kvm", "xen", "uml", "lxc", "openvz", "test"]
    emulator: Annotated[AbsFilePath | None, Text] = None
    machines: Annotated[tuple[Machine, ...], Child("machine")] = ()


class GuestArch(Node):
    """An architecture that guests can have.

    Attributes:
        wordsize: in bits.
    """

    name: Arch
    wordsize: Annotated[Literal["31", "32", "64"], Text]
    emulator: Annotated[AbsFilePath | None, Text] = None
    loader: Annotated[AbsFilePath | None, Text] = None
    machines: Annotated[tuple[Machine, ...], Child("machine")] = ()
    domains: Annotated[tuple[GuestDomain, ...], Child("domain")]


class Toggle(Node):
    """Something a guest has or has not.

    Attributes:
        default: what holds if nothing is said; toggle: whether it may be said.
    """

    default: OnOff
    toggle: YesNo


class GuestFeatures(Node):
    """What guests can have.

    Attributes:
        cpuselection: their CPU can be chosen; deviceboot: they can boot from a device in particular.
        disksnapshot: their disks can have external snapshots; if it is not there, that is not known.
        hap: memory is translated by hardware.
        pae, nonpae: (32 bits) with great addresses, or without; ia64_be: big-endian.
    """

    pae: Annotated[bool, Flag] = False
    nonpae: Annotated[bool, Flag] = False
    ia64_be: Annotated[bool, Flag] = False
    acpi: Toggle | None = None
    apic: Toggle | None = None
    cpuselection: Annotated[bool, Flag] = False
    deviceboot: Annotated[bool, Flag] = False
    disksnapshot: Toggle | None = None
    hap: Toggle | None = None


class GuestCapabilities(Node):
    """A kind of guest that the host can run.

    Attributes:
        os_type: ``hvm``: a system that need not know that it is a guest; ``xen`` and ``linux``: one that does;
            ``exe``: a container.
    """

    known_by = ("os_type arch.name",)
    os_type: Annotated[Literal["xen", "linux", "hvm", "exe", "uml"], Text]
    arch: GuestArch
    features: GuestFeatures | None = None


class CapabilitiesDocument(Definition):
    """What a host is, and which guests it can run."""

    kind: ClassVar[str] = "capabilities"
    host: HostCapabilities
    guests: Annotated[tuple[GuestCapabilities, ...], Child("guest")] = ()
