"""``<domain>``: a guest. Source: libvirt's "Domain XML format"; its parts are in the other modules of this package."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from engine.conf.kinds.common import Metadata, ScaledInteger
from engine.conf.kinds.cpu import GuestCpu
from engine.conf.kinds.domain import references
from engine.conf.kinds.domain.clock import (
    Clock,
    CrashAction,
    LifecycleAction,
    LockFailureAction,
    Perf,
    PowerManagement,
)
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.features import Features
from engine.conf.kinds.domain.memory import MaxMemory, Memory, MemoryBacking, MemTune, NumaTune
from engine.conf.kinds.domain.namespaces import (
    BHYVE,
    LXC,
    QEMU,
    VMWARE,
    XEN,
    BhyveCommandline,
    LxcNamespace,
    QemuCapabilities,
    QemuCommandline,
    QemuDeprecation,
    QemuOverride,
    XenCommandline,
)
from engine.conf.kinds.domain.os import ExeOs, Os
from engine.conf.kinds.domain.security import IdMap, KeyWrap, LaunchSecurity, SecLabel
from engine.conf.kinds.domain.sysinfo import SysInfo
from engine.conf.kinds.domain.tuning import (
    BlkioTune,
    CpuTune,
    DefaultIothread,
    IothreadIds,
    Resource,
    Vcpu,
    Vcpus,
)
from engine.conf.kinds.values import ObjectNameWithSlash, UnsignedInt, Uuid, UuidOrNothing
from engine.conf.nodes.node import Child, Definition, Node, Text

__all__ = ["DomainDocument"]


class DomainDocument(Definition):
    """A guest: a virtual machine or a container.

    Attributes:
        type_: the hypervisor.
        id_: of a guest that runs: its number.
        name: unique on its host; uuid: unique everywhere, made up if it is left out.
        genid: by which the guest sees that it does again what it has done, as after going back to a snapshot; empty:
            it is made up.
        title: a line for people; description: more of it; metadata: for programs.
        current_memory: what the guest has of its ``memory``, all if it is left out; in KiB unless there is a unit.
        iothreads: how many threads there are for the I/O of disks.
        bootloader: (Xen, bhyve) a program of the host's that finds what to boot; bootloader_args: what it is told.
        on_poweroff, on_reboot, on_crash: what follows when the guest does that; on_lockfailure: when the locks of its
            resources are lost.
        pm: the ways of sleeping; perf: what is counted.
        datacenterpath: (VMware) where it is.
    """

    unit_inside = "KiB"
    kind: ClassVar[str] = "domain"
    type_: Literal[
        "qemu", "kqemu", "kvm", "xen", "lxc", "uml", "openvz", "test", "vmware", "hyperv", "vbox", "phyp", "vz",
        "bhyve", "hvf",
    ]  # fmt: skip
    id_: UnsignedInt | None = None
    name: Annotated[ObjectNameWithSlash, Text]
    uuid: Annotated[Uuid | None, Text] = None
    genid: Annotated[UuidOrNothing | None, Text] = None
    title: Annotated[ObjectNameWithSlash | None, Text] = None
    description: Annotated[str | None, Text] = None
    metadata: Metadata | None = None
    max_memory: Annotated[MaxMemory | None, Child("maxMemory")] = None
    memory: Memory | None = None
    current_memory: Annotated[ScaledInteger | None, Child("currentMemory")] = None
    blkiotune: BlkioTune | None = None
    memtune: MemTune | None = None
    memory_backing: Annotated[MemoryBacking | None, Child("memoryBacking")] = None
    vcpu: Vcpu | None = None
    vcpus: Vcpus | None = None
    iothreads: Annotated[UnsignedInt | None, Text] = None
    iothreadids: IothreadIds | None = None
    defaultiothread: DefaultIothread | None = None
    cputune: CpuTune | None = None
    numatune: NumaTune | None = None
    resource: Resource | None = None
    sysinfos: Annotated[tuple[SysInfo, ...], Child("sysinfo")] = ()
    bootloader: Annotated[str | None, Text] = None
    bootloader_args: Annotated[str | None, Text] = None
    os: Os | None = None
    idmap: IdMap | None = None
    features: Features | None = None
    cpu: GuestCpu | None = None
    clock: Clock | None = None
    on_poweroff: Annotated[LifecycleAction | None, Text] = None
    on_reboot: Annotated[LifecycleAction | None, Text] = None
    on_crash: Annotated[CrashAction | None, Text] = None
    on_lockfailure: Annotated[LockFailureAction | None, Text] = None
    pm: PowerManagement | None = None
    perf: Perf | None = None
    devices: Devices | None = None
    seclabels: Annotated[tuple[SecLabel, ...], Child("seclabel")] = ()
    keywrap: KeyWrap | None = None
    launch_security: Annotated[LaunchSecurity | None, Child("launchSecurity")] = None
    qemu_commandline: Annotated[QemuCommandline | None, Child("commandline", namespace=QEMU)] = None
    qemu_capabilities: Annotated[QemuCapabilities | None, Child("capabilities", namespace=QEMU)] = None
    qemu_deprecation: Annotated[QemuDeprecation | None, Child("deprecation", namespace=QEMU)] = None
    qemu_override: Annotated[QemuOverride | None, Child("override", namespace=QEMU)] = None
    lxc_namespace: Annotated[LxcNamespace | None, Child("namespace", namespace=LXC)] = None
    bhyve_commandline: Annotated[BhyveCommandline | None, Child("commandline", namespace=BHYVE)] = None
    xen_commandline: Annotated[XenCommandline | None, Child("commandline", namespace=XEN)] = None
    datacenterpath: Annotated[str | None, Text("datacenterpath", namespace=VMWARE)] = None

    def unsound(self) -> Iterator[tuple[Node, str, str]]:
        return references.unsound(self)

    def check(self) -> Iterator[str]:
        if isinstance(self.os, ExeOs) and (self.bootloader is not None or self.bootloader_args is not None):
            yield "a container has no <bootloader>"
