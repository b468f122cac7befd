"""CPUs, threads, and what they may use of the host. Source: libvirt's "Domain XML format", CPU Allocation to Tuning."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from engine.conf.kinds.values import (
    AbsFilePath,
    CpuSet,
    LooseUnsignedInt,
    LooseUnsignedLong,
    Unit,
    UnsignedInt,
    UnsignedLong,
    UnsignedShort,
    YesNo,
)
from engine.conf.nodes.node import Body, Child, Node, Text, at_least_one
from engine.conf.nodes.values import Number, Pattern

__all__ = [
    "BlkioDevice",
    "BlkioTune",
    "CacheMonitor",
    "CachePart",
    "CacheTune",
    "CpuTune",
    "DefaultIothread",
    "EmulatorPin",
    "FibreChannel",
    "Iothread",
    "IothreadIds",
    "IothreadPin",
    "IothreadSched",
    "MemoryBandwidth",
    "MemoryMonitor",
    "MemoryTune",
    "Resource",
    "Sched",
    "Vcpu",
    "VcpuPin",
    "VcpuSched",
    "VcpuState",
    "Vcpus",
]

CpuCount = Annotated[int, Number("cpuCount", 1, 65535)]
VcpuId = Annotated[int, Number("vcpuId", 0, 65535)]
CpuPeriod = Annotated[int, Number("cpuPeriod", 1000, 1000000)]
CpuQuota = Annotated[int, Number("cpuQuota", -1, 17592186044415, plain="-?[0-9]+")]
Weight = Annotated[int, Number("weight", 100, 1000)]
AppId = Annotated[str, Pattern("appId", "[ -~]{1,128}", "1 to 128 printable ASCII characters")]


# ---------------------------------------------------------------------------- CPUs and threads


class Vcpu(Node):
    """How many CPUs the guest may have.

    Attributes:
        count: the most; current: how many it has when it starts, all if it is left out.
        placement: static: on the host's CPUs of ``cpuset``; auto: on those that numad advises.
        cpuset: where the guest's threads run, unless they are pinned one by one; anywhere if it is left out.
    """

    placement: Literal["static", "auto"] | None = None
    cpuset: CpuSet | None = None
    current: CpuCount | None = None
    count: Annotated[CpuCount, Body]


class VcpuState(Node):
    """One CPU of the guest.

    Attributes:
        id_: counted from 0; enabled: it is there.
        hotpluggable: it can be plugged and unplugged while the guest runs.
        order: when it is plugged in; either all that are enabled have one, or none.
    """

    known_by = ("id_",)
    id_: UnsignedInt
    enabled: YesNo
    hotpluggable: YesNo | None = None
    order: UnsignedInt | None = None


class Vcpus(Node):
    """Which CPUs the guest has of those it may have. Since 2.2.0, for QEMU."""

    vcpus: Annotated[tuple[VcpuState, ...], Child("vcpu")] = ()


class DefaultIothread(Node):
    """The thread in which QEMU does what no other does. Since 8.5.0.

    Attributes:
        thread_pool_min, thread_pool_max: how many threads may work for it.
    """

    thread_pool_min: UnsignedInt | None = None
    thread_pool_max: UnsignedInt | None = None


class Iothread(DefaultIothread):
    """A thread of QEMU's that disks can have for their I/O.

    Attributes:
        id_: by which disks name it, counted from 1.
    """

    known_by = ("id_",)
    id_: UnsignedInt


class IothreadIds(Node):
    """The threads for the I/O of disks, those with numbers of their own. Since 1.2.15."""

    iothreads: Annotated[tuple[Iothread, ...], Child("iothread")] = ()


# ---------------------------------------------------------------------------- where they run


class VcpuPin(Node):
    """Where on the host a CPU of the guest runs."""

    known_by = ("vcpu",)
    vcpu: VcpuId
    cpuset: CpuSet


class EmulatorPin(Node):
    """Where on the host the emulator's other threads run."""

    cpuset: CpuSet


class IothreadPin(Node):
    """Where on the host an I/O thread runs.

    Attributes:
        iothread: its number.
    """

    known_by = ("iothread",)
    iothread: UnsignedInt
    cpuset: CpuSet


class Sched(Node):
    """How the host's kernel schedules threads.

    Attributes:
        priority: of the real-time schedulers fifo and rr, usually 1 to 99.
    """

    scheduler: Literal["batch", "idle", "fifo", "rr"]
    priority: UnsignedShort | None = None

    def check(self) -> Iterator[str]:
        real_time = self.scheduler in ("fifo", "rr")
        if real_time and self.priority is None:
            yield f"scheduler='{self.scheduler}' needs 'priority'"
        elif not real_time and self.priority is not None:
            yield f"scheduler='{self.scheduler}' has no 'priority'"


class VcpuSched(Sched):
    """How CPUs of the guest are scheduled.

    Attributes:
        vcpus: which; all others if it is left out.
    """

    known_by = ("vcpus",)
    vcpus: CpuSet | None = None


class IothreadSched(Sched):
    """How I/O threads are scheduled.

    Attributes:
        iothreads: which; all others if it is left out.
    """

    known_by = ("iothreads",)
    iothreads: CpuSet | None = None


# ---------------------------------------------------------------------------- caches and memory bandwidth


class CachePart(Node):
    """A part of a cache of the host's.

    Attributes:
        id_, level: the cache; type_: code, data, or both as far as the host can part them.
        size: in bytes unless there is a ``unit``.
    """

    known_by = ("level id_ type_",)
    id_: UnsignedInt
    level: UnsignedInt
    type_: Literal["both", "code", "data"]
    size: UnsignedLong
    unit: Unit | None = None


class CacheMonitor(Node):
    """Counts what some of the CPUs use of a cache. Since 4.10.0."""

    known_by = ("level vcpus",)
    level: UnsignedInt
    vcpus: CpuSet


class CacheTune(Node):
    """Parts of the host's caches for some of the guest's CPUs, by resctrl. Since 4.1.0.

    Attributes:
        id_: of a guest that runs: what it is called there.
    """

    known_by = ("vcpus",)
    vcpus: CpuSet
    id_: str | None = None
    caches: Annotated[tuple[CachePart, ...], Child("cache")] = ()
    monitors: Annotated[tuple[CacheMonitor, ...], Child("monitor")] = ()
    rules = (at_least_one("caches", "monitors"),)


class MemoryBandwidth(Node):
    """A share of a node's memory bandwidth.

    Attributes:
        id_: of the host's node; bandwidth: usually in percent.
    """

    known_by = ("id_",)
    id_: UnsignedInt
    bandwidth: UnsignedInt


class MemoryMonitor(Node):
    """Counts what some of the CPUs use of the memory bandwidth."""

    known_by = ("vcpus",)
    vcpus: CpuSet


class MemoryTune(Node):
    """Shares of the host's memory bandwidth for some of the guest's CPUs, by resctrl. Since 4.7.0."""

    known_by = ("vcpus",)
    vcpus: CpuSet
    nodes: Annotated[tuple[MemoryBandwidth, ...], Child("node")] = ()
    monitors: Annotated[tuple[MemoryMonitor, ...], Child("monitor")] = ()
    rules = (at_least_one("nodes", "monitors"),)


class CpuTune(Node):
    """How the guest's threads share the host's CPUs.

    Attributes:
        shares: its weight against other guests, 2 to 262144.
        period, quota: how many microseconds of each period a CPU of the guest may run; -1: all.
        global_period, global_quota: the same for all of its threads together; emulator_period, emulator_quota: for
            those that are neither CPUs nor I/O threads; iothread_period, iothread_quota: for an I/O thread.
    """

    comes_first = ("shares", "period", "quota", "global_period", "global_quota")
    shares: Annotated[UnsignedInt | None, Text] = None
    global_period: Annotated[CpuPeriod | None, Text] = None
    global_quota: Annotated[CpuQuota | None, Text] = None
    period: Annotated[CpuPeriod | None, Text] = None
    quota: Annotated[CpuQuota | None, Text] = None
    emulator_period: Annotated[CpuPeriod | None, Text] = None
    emulator_quota: Annotated[CpuQuota | None, Text] = None
    iothread_period: Annotated[CpuPeriod | None, Text] = None
    iothread_quota: Annotated[CpuQuota | None, Text] = None
    vcpupins: Annotated[tuple[VcpuPin, ...], Child("vcpupin")] = ()
    emulatorpin: EmulatorPin | None = None
    iothreadpins: Annotated[tuple[IothreadPin, ...], Child("iothreadpin")] = ()
    vcpuscheds: Annotated[tuple[VcpuSched, ...], Child("vcpusched")] = ()
    iothreadscheds: Annotated[tuple[IothreadSched, ...], Child("iothreadsched")] = ()
    emulatorsched: Sched | None = None
    cachetunes: Annotated[tuple[CacheTune, ...], Child("cachetune")] = ()
    memorytunes: Annotated[tuple[MemoryTune, ...], Child("memorytune")] = ()


# ---------------------------------------------------------------------------- disks, and all together


class BlkioDevice(Node):
    """How much of one of the host's block devices the guest may use.

    Attributes:
        path: the device's; weight: against other guests.
        read_iops_sec, write_iops_sec: how many times a second; read_bytes_sec, write_bytes_sec: how much a second.
    """

    known_by = ("path",)
    path: Annotated[AbsFilePath, Text]
    weight: Annotated[Weight | None, Text] = None
    read_iops_sec: Annotated[LooseUnsignedInt | None, Text] = None
    write_iops_sec: Annotated[LooseUnsignedInt | None, Text] = None
    read_bytes_sec: Annotated[LooseUnsignedLong | None, Text] = None
    write_bytes_sec: Annotated[LooseUnsignedLong | None, Text] = None


class BlkioTune(Node):
    """How guests share the host's block devices.

    Attributes:
        weight: of this one against others, 100 to 1000.
    """

    weight: Annotated[Weight | None, Text] = None
    devices: Annotated[tuple[BlkioDevice, ...], Child("device")] = ()


class FibreChannel(Node):
    """By what a Fibre Channel network knows the guest's I/O. Since 7.7.0."""

    appid: AppId


class Resource(Node):
    """Where the guest belongs among the host's resources.

    Attributes:
        partition: the cgroup it is placed below, beginning with a slash.
    """

    partition: Annotated[AbsFilePath | None, Text] = None
    fibrechannel: FibreChannel | None = None
