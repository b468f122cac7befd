"""Devices with little to say: IOMMU, vsock, NVRAM, panic, balloon, watchdog. Source: libvirt's "Domain XML format"."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.conf.kinds.domain.device import Acpi, Address, Device, VirtioDriver, VirtioModel
from engine.conf.kinds.values import OnOff, PositiveInt, UInt8, UnsignedInt, YesNo
from engine.conf.nodes.node import Attr, Node

__all__ = ["Crypto", "Iommu", "MemBalloon", "Nvram", "Panic", "Vsock", "Watchdog"]


class IommuDriver(Node):
    """What an IOMMU can do.

    Attributes:
        intremap: it maps interrupts, too, which needs ``<ioapic driver='qemu'/>``.
        caching_mode: as devices of the host need it that the guest is given.
        eim: more than 255 virtual CPUs, with ``intremap``.
        iotlb: devices may keep what they looked up.
        aw_bits: the width of addresses, in bits.
    """

    intremap: OnOff | None = None
    caching_mode: OnOff | None = None
    eim: OnOff | None = None
    iotlb: OnOff | None = None
    aw_bits: UInt8 | None = None


class Iommu(Device):
    """What translates the addresses by which devices reach the guest's memory.

    Attributes:
        model: intel: for Q35; smmuv3: for ARM's virt, since 5.5.0; virtio: for both, since 8.3.0.
    """

    model: Literal["intel", "smmuv3", "virtio"]
    driver: IommuDriver | None = None
    acpi: Acpi | None = None


class VsockCid(Node):
    """The number by which the host reaches the guest.

    Attributes:
        auto: yes: one that is free when the guest starts.
        address: this one, from 3.
    """

    auto: YesNo | None = None
    address: UnsignedInt | None = None


class Vsock(Device):
    """Sockets between host and guest, without a network.

    Attributes:
        model: which virtio it speaks.
        cid: the number by which the host reaches the guest.
    """

    model: VirtioModel | None = None
    cid: VsockCid | None = None
    driver: VirtioDriver | None = None
    acpi: Acpi | None = None


class Nvram(Node):
    """The memory that keeps the settings of a pSeries guest's firmware; it always has one.

    Attributes:
        address: of spapr-vio.
    """

    address: Address | None = None


class Panic(Device):
    """What tells the host that the guest's kernel gave up.

    Attributes:
        model: isa: pvpanic on ISA; pvpanic: on PCI (newer than libvirt 9.0); hyperv: as Windows tells it. pSeries and
            S/390 guests have their own from the start.
        address: of isa; its I/O port is 0x505 when it is left out.
    """

    model: Literal["isa", "pseries", "hyperv", "s390", "pvpanic"] | None = None


class BalloonStats(Node):
    """How often the guest says how it uses its memory.

    Attributes:
        period: in seconds.
    """

    period: PositiveInt


class MemBalloon(Device):
    """What takes memory back from the guest while it runs. Guests of QEMU and Xen have one unless ``model`` is none.

    Attributes:
        autodeflate: the guest gets memory back before it kills a process for lack of it.
        free_page_reporting: the host gets what the guest doesn't use. Since 6.9.0.
        stats: how often the guest says how it uses its memory.
    """

    model: Literal["virtio", "virtio-transitional", "virtio-non-transitional", "xen", "none"]
    autodeflate: OnOff | None = None
    free_page_reporting: Annotated[OnOff | None, Attr("freePageReporting")] = None
    stats: BalloonStats | None = None
    driver: VirtioDriver | None = None
    acpi: Acpi | None = None


class Watchdog(Device):
    """What acts when the guest no longer says that it is well.

    Attributes:
        model: i6300esb: a PCI device; ib700: an ISA device; diag288: of S/390.
        action: what it does: reset when it is left out; dump: the guest's memory is written to a file; inject-nmi: the
            guest gets an interrupt that it can't mask.
    """

    model: Literal["i6300esb", "ib700", "diag288"]
    action: Literal["reset", "shutdown", "poweroff", "pause", "none", "dump", "inject-nmi"] | None = None
    acpi: Acpi | None = None


class CryptoBackend(Node):
    """What does the work.

    Attributes:
        model: builtin: QEMU itself; lkcf: the host's kernel.
        queues: how many of them the guest may use at the same time.
    """

    model: Literal["builtin", "lkcf"]
    queues: UnsignedInt | None = None


class Crypto(Device):
    """A device that encrypts and decrypts for the guest. Newer than libvirt 9.0.

    Attributes:
        type_: who provides it.
    """

    model: Literal["virtio"]
    type_: Literal["qemu"]
    backend: CryptoBackend
    driver: VirtioDriver | None = None
