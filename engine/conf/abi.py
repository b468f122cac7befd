"""What may not change for a guest that runs, is saved, or moves to another host: what it sees of its machine.

Source: libvirt's "Domain XML format" and its migration documentation, which name what a changed definition is refused
for; what is the host's own (where a disk's data is, which bridge a card is on, who may look at the screen) may change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from engine.conf.kinds.domain.chardev import CharDevice
from engine.conf.kinds.domain.clock import BaseClock
from engine.conf.kinds.domain.device import Device
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.disk import BaseDisk, DiskDriver, DiskTarget, VhostUserDisk
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.filesystem import BaseFilesystem
from engine.conf.kinds.domain.hostdev import BaseHostdev
from engine.conf.kinds.domain.input import Rng
from engine.conf.kinds.domain.interface import HostdevInterface, VdpaInterface
from engine.conf.kinds.domain.memory_device import MemoryDevice, MemorySource
from engine.conf.kinds.domain.network_card import NetworkCard
from engine.conf.kinds.domain.os import AcpiTable, BaseNvram, HvmOs, KernelBoot, Loader
from engine.conf.kinds.domain.shmem import ShmemServer
from engine.conf.kinds.domain.small_devices import MemBalloon, Watchdog
from engine.conf.kinds.domain.sound import Sound
from engine.conf.kinds.domain.tuning import Vcpu
from engine.conf.nodes.differences import Difference, differences
from engine.errors import ConfigError

if TYPE_CHECKING:
    from engine.conf.nodes.node import Node

__all__ = ["abi_differences"]

#: By class, its subclasses too: the fields of which the guest sees nothing.
# fmt: off
HOST_SIDE: Mapping[type[Node], frozenset[str]] = {
    DomainDocument: frozenset(
        {
            "id_", "title", "description", "metadata", "current_memory", "blkiotune", "memtune",
            "memory_backing", "iothreadids", "defaultiothread", "cputune", "numatune",
            "resource", "bootloader", "bootloader_args", "idmap",
            "on_poweroff", "on_reboot", "on_crash", "on_lockfailure", "perf", "seclabels",
            "qemu_deprecation", "lxc_namespace",
            "bhyve_commandline", "xen_commandline", "datacenterpath",
        }
    ),
    KernelBoot: frozenset({"kernel", "initrd", "root", "cmdline", "dtb"}),
    HvmOs: frozenset({"boots", "bootmenu"}),
    Loader: frozenset({"path"}),
    BaseNvram: frozenset({"template", "type_", "path", "source"}),
    AcpiTable: frozenset({"path"}),
    Vcpu: frozenset({"placement", "cpuset"}),
    BaseClock: frozenset({"offset", "adjustment", "timezone", "basis", "start"}),
    Devices: frozenset({"emulator", "leases", "graphics", "audios"}),
    Device: frozenset({"alias", "boot"}),
    BaseDisk: frozenset(
        {
            "type_", "snapshot", "source", "auth", "backing_store", "backenddomain", "mirror", "iotune",
            "transient", "encryption", "rawio", "sgio",
        }
    ),
    DiskDriver: frozenset(
        {
            "name", "type_", "cache", "error_policy", "rerror_policy", "io", "copy_on_read", "discard",
            "iothread", "detect_zeroes", "metadata_cache",
        }
    ),
    DiskTarget: frozenset({"tray"}),
    NetworkCard: frozenset(
        {
            "type_", "source", "ips", "routes", "port_forwards", "script", "downscript",
            "backenddomain", "target", "guest", "backend", "filterref", "tune", "link",
            "coalesce", "bandwidth", "vlan", "port", "trust_guest_rx_filters", "managed",
        }
    ),
    CharDevice: frozenset({"type_", "sources", "protocol", "log", "tty"}),
    BaseFilesystem: frozenset({"type_", "source", "fmode", "dmode", "space_hard_limit", "space_soft_limit"}),
    BaseHostdev: frozenset({"source", "managed"}),
    Rng: frozenset({"backend", "rate"}),
    MemoryDevice: frozenset({"access", "discard"}),
    MemorySource: frozenset({"pagesize", "nodemask", "path"}),
    ShmemServer: frozenset({"path"}),
    MemBalloon: frozenset({"stats"}),
    Watchdog: frozenset({"action"}),
    Sound: frozenset({"audio"}),
}
# fmt: on

#: What is another device though the others of its kind are all the same to the guest.
GUEST_SIDE: Mapping[type[Node], frozenset[str]] = {
    HostdevInterface: frozenset({"type_"}),
    VdpaInterface: frozenset({"type_"}),
    VhostUserDisk: frozenset({"type_"}),
}


def abi_differences(before: DomainDocument, after: DomainDocument) -> list[Difference]:
    """What a guest with the definition ``before`` would see change; none: it can go on with ``after``.

    Compare completed definitions (``engine.conf.complete``): an address that is left out may come out differently.

    Raises:
        ConfigError: one of them is no domain.
    """
    for each in (before, after):
        if not isinstance(each, DomainDocument):
            raise ConfigError(f"<{each.kind}> is no guest", source=each.source)
    return differences(before, after, "/domain", skips=_is_host_side)


def _is_host_side(cls: type[Node], name: str) -> bool:
    return name not in GUEST_SIDE.get(cls, ()) and any(name in HOST_SIDE.get(base, ()) for base in cls.__mro__)
