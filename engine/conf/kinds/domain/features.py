"""``<features>``: what of the machine is on and off. Source: libvirt's "Domain XML format", Hypervisor features."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.values import LooseUnsignedInt, OnOff
from engine.conf.nodes.node import Child, Flag, Node, needs
from engine.conf.nodes.values import Pattern

__all__ = [
    "Apic",
    "Capabilities",
    "DirtyRing",
    "Feature",
    "Features",
    "Gic",
    "HyperV",
    "HyperVSpinlocks",
    "HyperVStimer",
    "HyperVVendorId",
    "Kvm",
    "Smm",
    "Switch",
    "Tcg",
    "Xen",
]

HyperVVendor = Annotated[str, Pattern("hypervVendor", "[^,]{0,12}", "up to 12 characters, without commas")]


class Switch(Node):
    """Something that is on or off."""

    state: OnOff


class Feature(Node):
    """Something that is there.

    Attributes:
        state: on if it is left out.
    """

    state: OnOff | None = None


# ---------------------------------------------------------------------------- for Windows


class HyperVSpinlocks(Switch):
    """After how many tries to take a lock the guest tells.

    Attributes:
        retries: at least 4095.
    """

    retries: LooseUnsignedInt | None = None


class HyperVStimer(Node):
    """Timers of the synthetic interrupt controller.

    Attributes:
        direct: they interrupt without it. Since 5.7.0.
    """

    state: OnOff | None = None
    direct: Switch | None = None


class HyperVVendorId(Switch):
    """Who the guest is told made the hypervisor."""

    value: HyperVVendor | None = None


class HyperV(Node):
    """What Windows guests know of Hyper-V, and run better with.

    Attributes:
        mode: custom: what is listed, also if it is left out; passthrough: all that the hypervisor can do, and nothing
            is listed. Since 8.0.0.
        relaxed: timers may be late; vapic: a virtual APIC; spinlocks: it tells of locks that are held for long;
            vpindex: CPUs know their number; runtime: and how long they have run.
        synic: a synthetic interrupt controller; stimer: its timers; reset: the guest may reset itself by it.
        frequencies: the frequencies of TSC and APIC can be read; reenlightenment: the guest is told of migrations.
        tlbflush, ipi: caches are flushed, and CPUs interrupted, by calls to the hypervisor.
        evmcs: Hyper-V in the guest runs faster on Intel; avic: with the interrupt controllers of the hardware.
    """

    mode: Literal["custom", "passthrough"] | None = None
    relaxed: Switch | None = None
    vapic: Switch | None = None
    spinlocks: HyperVSpinlocks | None = None
    vpindex: Switch | None = None
    runtime: Switch | None = None
    synic: Switch | None = None
    stimer: HyperVStimer | None = None
    reset: Switch | None = None
    vendor_id: HyperVVendorId | None = None
    frequencies: Switch | None = None
    reenlightenment: Switch | None = None
    tlbflush: Switch | None = None
    ipi: Switch | None = None
    evmcs: Switch | None = None
    avic: Switch | None = None

    def check(self) -> Iterator[str]:
        if self.mode == "passthrough":
            listed = [name for name in self.__struct_fields__ if isinstance(getattr(self, name), Node)]
            if listed:
                yield f"with mode='passthrough' there can't be <{listed[0]}>"


# ---------------------------------------------------------------------------- of one hypervisor


class DirtyRing(Switch):
    """The kernel tells in a ring which pages the guest wrote. Since 8.0.0.

    Attributes:
        size: of it, a power of two from 1024 to 65536.
    """

    size: LooseUnsignedInt | None = None


class Kvm(Node):
    """Of KVM.

    Attributes:
        hidden: the guest does not find out by the usual way that it runs on KVM.
        hint_dedicated: it is told that its CPUs are its own; poll_control: it waits for I/O busily for a while.
        pv_ipi: CPUs are interrupted by calls to the hypervisor.
    """

    hidden: Switch | None = None
    hint_dedicated: Annotated[Switch | None, Child("hint-dedicated")] = None
    poll_control: Annotated[Switch | None, Child("poll-control")] = None
    pv_ipi: Annotated[Switch | None, Child("pv-ipi")] = None
    dirty_ring: Annotated[DirtyRing | None, Child("dirty-ring")] = None


class XenPassthrough(Switch):
    """IOMMU mappings, which PCI devices of the host need.

    Attributes:
        mode: sync_pt: they are tables of their own; share_pt: those that the CPU uses too.
    """

    mode: Literal["sync_pt", "share_pt"] | None = None


class Xen(Node):
    """Of Xen.

    Attributes:
        e820_host: a paravirtual guest sees the host's memory map.
    """

    e820_host: Switch | None = None
    passthrough: XenPassthrough | None = None


class Tcg(Node):
    """Of QEMU's emulation.

    Attributes:
        tb_cache: the size of its cache of translated code. Since 8.0.0.
    """

    tb_cache: Annotated[ScaledInteger | None, Child("tb-cache")] = None


class Capabilities(Node):
    """Linux' capabilities in a container, each called as in capabilities(7), without ``CAP_``.

    Attributes:
        policy: default: libvirt drops a few that are not safe; allow: all are kept but for those that are off;
            deny: all are dropped but for those that are on.
    """

    policy: Literal["default", "allow", "deny"]
    audit_control: Switch | None = None
    audit_write: Switch | None = None
    block_suspend: Switch | None = None
    chown: Switch | None = None
    dac_override: Switch | None = None
    dac_read_search: Switch | None = None
    fowner: Switch | None = None
    fsetid: Switch | None = None
    ipc_lock: Switch | None = None
    ipc_owner: Switch | None = None
    kill: Switch | None = None
    lease: Switch | None = None
    linux_immutable: Switch | None = None
    mac_admin: Switch | None = None
    mac_override: Switch | None = None
    mknod: Switch | None = None
    net_admin: Switch | None = None
    net_bind_service: Switch | None = None
    net_broadcast: Switch | None = None
    net_raw: Switch | None = None
    setgid: Switch | None = None
    setfcap: Switch | None = None
    setpcap: Switch | None = None
    setuid: Switch | None = None
    sys_admin: Switch | None = None
    sys_boot: Switch | None = None
    sys_chroot: Switch | None = None
    sys_module: Switch | None = None
    sys_nice: Switch | None = None
    sys_pacct: Switch | None = None
    sys_ptrace: Switch | None = None
    sys_rawio: Switch | None = None
    sys_resource: Switch | None = None
    sys_time: Switch | None = None
    sys_tty_config: Switch | None = None
    syslog: Switch | None = None
    wake_alarm: Switch | None = None


# ---------------------------------------------------------------------------- of one kind of machine


class Apic(Node):
    """The programmable interrupt controller of x86.

    Attributes:
        eoi: the end of an interrupt is told without leaving the guest.
    """

    eoi: OnOff | None = None


class Gic(Node):
    """The interrupt controller of ARM.

    Attributes:
        version: host: the host's.
    """

    version: Literal["host", "2", "3"] | None = None


class IoApic(Node):
    """Who emulates the I/O APIC.

    Attributes:
        driver: kvm: the kernel; qemu: QEMU. Since 3.4.0.
    """

    driver: Literal["qemu", "kvm"]


class Smm(Node):
    """System management mode.

    Attributes:
        tseg: how much memory it has besides what the machine type gives, in MiB unless there is a unit; 0: none.
    """

    unit_inside = "MiB"
    state: OnOff | None = None
    tseg: ScaledInteger | None = None
    rules = (needs("tseg", "state"),)


class Hpt(Node):
    """The hash page table of a pseries guest.

    Attributes:
        resizing: required: it starts only if guest and host can.
        maxpagesize: the size of the largest pages that it may use.
    """

    unit_inside = "KiB"
    resizing: Literal["enabled", "disabled", "required"] | None = None
    maxpagesize: ScaledInteger | None = None


class Msrs(Node):
    """What happens when the guest uses model specific registers that are not known. For bhyve."""

    unknown: Literal["ignore", "fault"]


class SpeculationGuard(Node):
    """How a pseries guest is told that a weakness is dealt with: not, by software, or by the hardware."""

    value: Literal["broken", "workaround", "fixed"]


class BranchSpeculationGuard(Node):
    """How a pseries guest is told that indirect branch speculation is dealt with.

    Attributes:
        value: workaround: the count cache is flushed; fixed-ibs: such branches are serialized; fixed-ccd: the count
            cache is disabled; fixed-na: nothing is needed.
    """

    value: Literal["broken", "workaround", "fixed-ibs", "fixed-ccd", "fixed-na"]


class Features(Node):
    """What of machine and hypervisor the guest has; what is not listed is off, or up to the hypervisor.

    Attributes:
        pae: 32-bit guests can use more than 4 GiB; acpi: power management, which a shutdown by its button needs.
        hap: paging with the hardware's help; viridian: (Xen) what Windows guests know.
        privnet: (LXC) a network namespace even without interfaces.
        pvspinlock: the guest's locks know that its CPUs may not run; pmu: performance counters; vmport: VMware's port.
        vmcoreinfo: (QEMU) a guest's kernel can leave notes for who looks at its dump.
        htm, nested_hv, ccf_assist: (pseries) transactional memory, guests in the guest, and flushing of a cache.
        cfpc, sbbc, ibs: (pseries) how weaknesses of the CPU are dealt with.
    """

    comes_first = ("acpi", "apic", "pae")
    pae: Annotated[bool, Flag] = False
    acpi: Annotated[bool, Flag] = False
    apic: Apic | None = None
    hap: Feature | None = None
    viridian: Annotated[bool, Flag] = False
    privnet: Annotated[bool, Flag] = False
    hyperv: HyperV | None = None
    kvm: Kvm | None = None
    xen: Xen | None = None
    pvspinlock: Feature | None = None
    capabilities: Capabilities | None = None
    pmu: Feature | None = None
    vmport: Feature | None = None
    gic: Gic | None = None
    smm: Smm | None = None
    ioapic: IoApic | None = None
    hpt: Hpt | None = None
    vmcoreinfo: Feature | None = None
    htm: Switch | None = None
    nested_hv: Annotated[Switch | None, Child("nested-hv")] = None
    msrs: Msrs | None = None
    ccf_assist: Annotated[Switch | None, Child("ccf-assist")] = None
    cfpc: SpeculationGuard | None = None
    sbbc: SpeculationGuard | None = None
    ibs: BranchSpeculationGuard | None = None
    tcg: Tcg | None = None
