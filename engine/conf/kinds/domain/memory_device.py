"""``<memory>`` among devices: memory that can be plugged in. Source: libvirt's "Domain XML format", Memory devices."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.device import Acpi, Device
from engine.conf.kinds.values import AbsFilePath, CpuSet, UnsignedInt, Uuid, YesNo
from engine.conf.nodes.node import Flag, Node, Text, at_most_one, needs

__all__ = ["MemoryDevice"]


class MemorySource(Node):
    """Where the memory is: in the host's, or in a file or device (nvdimm, virtio-pmem).

    Sizes are in KiB without a unit.

    Attributes:
        pagesize: of the host's memory.
        nodemask: which of its NUMA nodes it is taken from.
        path: of the file or device.
        alignsize: how it is aligned when it is mapped.
        pmem: what is written to it is kept for sure.
    """

    unit_inside = "KiB"
    pagesize: ScaledInteger | None = None
    nodemask: Annotated[CpuSet | None, Text] = None
    path: Annotated[AbsFilePath | None, Text] = None
    alignsize: ScaledInteger | None = None
    pmem: Annotated[bool, Flag] = False
    rules = (
        at_most_one("path", "pagesize"),
        at_most_one("path", "nodemask"),
        needs("alignsize", "path"),
        needs("pmem", "path"),
    )


class MemoryLabel(Node):
    """The part of an NVDIMM that holds the labels of its namespaces.

    Attributes:
        size: at least 128 KiB.
    """

    unit_inside = "KiB"
    size: ScaledInteger


class MemoryTarget(Node):
    """What the guest sees of the memory. Sizes are in KiB without a unit.

    Attributes:
        size: all of it, or (virtio-mem) what it may become.
        node: the guest's NUMA node that it belongs to.
        block: (virtio-mem) the unit it grows in.
        requested: how much the guest should have.
        current: (told, never set) how much it has.
        label: (nvdimm) the part for labels.
        readonly: the guest can't write to it.
    """

    unit_inside = "KiB"
    size: ScaledInteger
    node: Annotated[UnsignedInt | None, Text] = None
    block: ScaledInteger | None = None
    requested: ScaledInteger | None = None
    current: ScaledInteger | None = None
    label: MemoryLabel | None = None
    readonly: Annotated[bool, Flag] = False


class MemoryDevice(Device):
    """Memory beside what the guest has from the start.

    Attributes:
        model: dimm: a module; nvdimm: one that keeps what it holds; virtio-pmem: the like of virtio, since 7.1.0;
            virtio-mem: of a size that can be changed, since 7.9.0; sgx-epc: for enclaves of SGX, since 8.10.0.
        access: shared: with the host, as a DAX device and virtio-pmem need it.
        discard: (dimm) the host forgets what it held as soon as the guest ends.
        uuid: (nvdimm of a pSeries guest) which module it is; made up when it is left out.
        source: where it is.
        target: what the guest sees of it.
    """

    model: Literal["dimm", "nvdimm", "virtio-pmem", "virtio-mem", "sgx-epc"]
    access: Literal["shared", "private"] | None = None
    discard: YesNo | None = None
    uuid: Annotated[Uuid | None, Text] = None
    source: MemorySource | None = None
    target: MemoryTarget
    acpi: Acpi | None = None
