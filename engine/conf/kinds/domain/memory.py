"""How much memory a guest has, and what is behind it. Source: libvirt's "Domain XML format", Memory Allocation on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.values import CpuSet, OnOff, Unit, UnsignedInt, UnsignedLong
from engine.conf.nodes.node import Attr, Child, Flag, Node

__all__ = [
    "HugePage",
    "HugePages",
    "MaxMemory",
    "MemTune",
    "Memory",
    "MemoryAccess",
    "MemoryAllocation",
    "MemoryBacking",
    "MemorySource",
    "NumaTune",
    "NumaTuneMemory",
    "NumaTuneNode",
]

#: From which of the host's nodes memory is taken; restrictive: as the kernel likes, of those that the cgroup allows.
NumaMode: TypeAlias = Literal["strict", "preferred", "interleave", "restrictive"]


class Memory(ScaledInteger):
    """The most memory that the guest has when it boots, in KiB unless there is a unit.

    Attributes:
        dump_core: whether a dump of the hypervisor's process holds it. For QEMU.
    """

    default_unit = "KiB"
    dump_core: Annotated[OnOff | None, Attr("dumpCore")] = None


class MaxMemory(ScaledInteger):
    """How much memory the guest may have with all that is plugged in while it runs, in KiB unless there is a unit.

    Attributes:
        slots: how many memory devices there may be.
    """

    default_unit = "KiB"
    slots: UnsignedInt


# ---------------------------------------------------------------------------- what is behind it


class HugePage(Node):
    """A size of huge pages that memory is taken from.

    Attributes:
        size: in KiB unless there is a ``unit``; nodeset: for these of the guest's NUMA nodes, all if it is left out.
    """

    size_fields, default_unit = ("size", "unit"), "KiB"
    known_by = ("size unit nodeset", "size unit", "size nodeset", "size")
    size: UnsignedLong
    unit: Unit | None = None
    nodeset: CpuSet | None = None


class HugePages(Node):
    """The guest's memory is of huge pages, of the host's default size if none is listed."""

    pages: Annotated[tuple[HugePage, ...], Child("page")] = ()


class MemorySource(Node):
    """What kind of memory of the host's it is.

    Attributes:
        type_: file: in files; anonymous: of the process, also if it is left out; memfd: files in memory only.
    """

    type_: Literal["file", "anonymous", "memfd"]


class MemoryAccess(Node):
    """Whether other processes may share the memory, as vhost-user devices need."""

    mode: Literal["shared", "private"]


class MemoryAllocation(Node):
    """When the host's memory is taken.

    Attributes:
        threads: how many take it at once. Since 8.2.0.
    """

    mode: Literal["immediate", "ondemand"] | None = None
    threads: UnsignedInt | None = None


class MemoryBacking(Node):
    """What is behind the guest's memory on the host.

    Attributes:
        nosharepages: pages of the same content are not merged with those of others.
        locked: it is never swapped out; the host can't get it back either, so a limit (hard_limit) should be set.
        discard: its content is dropped when the guest ends.
    """

    hugepages: HugePages | None = None
    nosharepages: Annotated[bool, Flag] = False
    locked: Annotated[bool, Flag] = False
    source: MemorySource | None = None
    access: MemoryAccess | None = None
    allocation: MemoryAllocation | None = None
    discard: Annotated[bool, Flag] = False


# ---------------------------------------------------------------------------- its limits


class MemTune(Node):
    """How much memory the guest's process may use with all it needs itself, each in KiB unless there is a unit.

    Attributes:
        hard_limit: the kernel kills it beyond that; soft_limit: it should not be more when memory is short.
        min_guarantee: (ESX, OpenVZ) what it certainly gets; swap_hard_limit: memory and swap together.
    """

    unit_inside = "KiB"
    hard_limit: ScaledInteger | None = None
    soft_limit: ScaledInteger | None = None
    min_guarantee: ScaledInteger | None = None
    swap_hard_limit: ScaledInteger | None = None


class NumaTuneMemory(Node):
    """From which of the host's NUMA nodes the guest's memory is.

    Attributes:
        mode: strict if it is left out.
        placement: static: from ``nodeset``; auto: from those that numad advises.
    """

    mode: NumaMode | None = None
    placement: Literal["static", "auto"] | None = None
    nodeset: CpuSet | None = None

    def check(self) -> Iterator[str]:
        if self.placement == "auto" and self.nodeset is not None:
            yield "with placement='auto' there can't be a 'nodeset'"


class NumaTuneNode(Node):
    """From which of the host's NUMA nodes the memory of one of the guest's is.

    Attributes:
        cellid: the guest's node; nodeset: the host's.
    """

    known_by = ("cellid",)
    cellid: UnsignedInt
    mode: NumaMode
    nodeset: CpuSet


class NumaTune(Node):
    """From which of the host's NUMA nodes memory is.

    Attributes:
        memory: for all; memnodes: for single nodes of the guest.
    """

    memory: NumaTuneMemory | None = None
    memnodes: Annotated[tuple[NumaTuneNode, ...], Child("memnode")] = ()
