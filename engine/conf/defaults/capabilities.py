"""What is known of the hypervisor, as far as defaults depend on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import msgspec

from engine.conf.kinds.domain.controller import PciController, PciModel
from engine.conf.kinds.domain.device import PciAddress, Zpci
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.hostdev import PciHostdev
from engine.conf.nodes.node import walk

__all__ = ["Capabilities", "CapabilitiesLike", "present_qemu", "shown_by"]

#: QEMU's program for an architecture, where it is called otherwise.
_PROGRAMS = {"i686": "i386", "armv6l": "arm", "armv7l": "arm", "ppc64le": "ppc64"}
#: The machine type that is taken where none is given.
_MACHINES = {
    "i686": "pc", "x86_64": "pc", "aarch64": "virt", "armv7l": "virt", "ppc64": "pseries", "ppc64le": "pseries",
    "s390x": "s390-ccw-virtio", "riscv32": "virt", "riscv64": "virt",
}  # fmt: skip


class CapabilitiesLike(Protocol):
    """What a hypervisor can do, and takes for granted."""

    def host_arch(self) -> str:
        """The host's architecture."""

    def emulator(self, arch: str) -> str:
        """The path of the program that runs guests of an architecture."""

    def machine(self, arch: str, name: str | None) -> str | None:
        """The machine type's own name for any of its names, or for None, that of the default."""

    def cpu(self, arch: str, machine: str, type_: str) -> str | None:
        """The CPU model that a machine has where none is given, ``host`` for the host's own; None: not known."""

    def gic_version(self, type_: str) -> str | None:
        """The version of ARM's interrupt controller that machines have where none is given; None: not known."""

    def has(self, name: str) -> bool:
        """Whether it has a device or feature, by the name that libvirt's capabilities of QEMU have for it."""


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of QEMU; without arguments nothing that differs between its versions and builds.

    Attributes:
        arch: the host's.
        emulators: paths of programs, by architecture, where they are not the usual ones.
        machines: the default machine type, by architecture, where it is not the usual one.
        aliases: (architecture, name) to the machine type's own name.
        cpus: (architecture, beginning of the machine type) to the default CPU model; the longest beginning counts.
        flags: the devices and features that it has.
    """

    arch: str = "x86_64"
    emulators: Mapping[str, str] = {}
    machines: Mapping[str, str] = {}
    aliases: Mapping[tuple[str, str], str] = {}
    cpus: Mapping[tuple[str, str], str] = {}
    gic: str | None = None
    flags: frozenset[str] = frozenset()

    def host_arch(self) -> str:
        return self.arch

    def emulator(self, arch: str) -> str:
        return self.emulators.get(arch) or f"/usr/bin/qemu-system-{_PROGRAMS.get(arch, arch)}"

    def machine(self, arch: str, name: str | None) -> str | None:
        name = name or self.machines.get(arch) or _MACHINES.get(arch)
        return self.aliases.get((arch, name), name) if name is not None else None

    def cpu(self, arch: str, machine: str, type_: str) -> str | None:
        if arch == "s390x" and type_ == "kvm" and self.cpus:
            return "host"
        fitting = [prefix for of, prefix in self.cpus if of == arch and machine.startswith(prefix)]
        return self.cpus[arch, max(fitting, key=len)] if fitting else None

    def gic_version(self, type_: str) -> str | None:
        return self.gic

    def has(self, name: str) -> bool:
        return name in self.flags


def shown_by(definition: DomainDocument) -> Capabilities:
    """What a document shows to be there, since it asks for it; of macOS' hypervisor, which is new, all of it."""
    if definition.type_ == "hvf":
        return Capabilities(flags=_FLAGS)
    flags: set[str] = set()
    for node in walk(definition):
        match node:
            case Zpci() | PciHostdev():
                flags.add("zpci")
            case PciModel(name="pcie-root-port"):
                flags.add("pcie-root-port")
        if isinstance(node, PciAddress | PciController):
            flags.add("gpex-pcihost")
    return Capabilities(flags=frozenset(flags))


def present_qemu() -> Capabilities:
    """What a complete build of a QEMU of about version 8 can do."""
    return Capabilities(cpus=_CPUS, flags=_FLAGS)


#: As QEMU's ``query-machines`` tells them.
_CPUS = {
    ("i686", ""): "qemu32",
    ("x86_64", ""): "qemu64",
    ("aarch64", "virt"): "cortex-a15",
    ("armv7l", "virt"): "cortex-a15",
    ("aarch64", "vexpress-a9"): "cortex-a9",
    ("aarch64", "vexpress-a15"): "cortex-a15",
    ("armv7l", "vexpress-a9"): "cortex-a9",
    ("armv7l", "vexpress-a15"): "cortex-a15",
    ("aarch64", "versatilepb"): "arm926",
    ("armv7l", "versatilepb"): "arm926",
    ("ppc64", "pseries"): "POWER9",
    ("riscv64", "virt"): "rv64",
    ("riscv32", "virt"): "rv32",
    ("s390x", "s390-ccw-virtio"): "qemu",
}

_FLAGS = frozenset(
    {
        "piix3-usb-uhci", "ich9-usb-ehci1", "nec-usb-xhci", "qemu-xhci", "pci-ohci", "lsi", "virtio-scsi-pci",
        "cpu.migratable", "zpci", "pcie-root-port", "gpex-pcihost", "virtio-net", "rtl8139", "e1000", "cirrus-vga",
        "VGA", "vfio-pci.display", "pcie-pci-bridge", "virtio-pci-non-transitional",
    }
)  # fmt: skip
