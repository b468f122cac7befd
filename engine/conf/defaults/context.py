"""What the steps work with: the machine that a domain is, what is known of the hypervisor, and small tools."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeVar

import msgspec

from engine.conf.defaults.capabilities import CapabilitiesLike
from engine.conf.defaults.generated import Generator
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.os import HvmOs
from engine.conf.nodes.node import Node

__all__ = ["Context", "Folders", "Machine", "Step", "change", "devices_of", "each", "machine_of", "with_devices"]

AnyNode = TypeVar("AnyNode", bound=Node)

change = msgspec.structs.replace


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Which machine a domain is, as far as defaults depend on it.

    Attributes:
        arch: of its CPU; name: its machine type; type_: the hypervisor, ``kvm`` or ``qemu``.
    """

    arch: str = ""
    name: str = ""
    type_: str = "qemu"

    def _is(self, family: str) -> bool:
        return self.name == family or self.name.startswith(f"{family}-")

    @property
    def x86(self) -> bool:
        return self.arch in ("i686", "x86_64")

    @property
    def arm(self) -> bool:
        return self.arch in ("aarch64", "armv6l", "armv7l")

    @property
    def ppc64(self) -> bool:
        return self.arch in ("ppc64", "ppc64le")

    @property
    def s390(self) -> bool:
        return self.arch in ("s390", "s390x")

    @property
    def riscv(self) -> bool:
        return self.arch in ("riscv32", "riscv64")

    @property
    def q35(self) -> bool:
        return self.x86 and (self._is("q35") or self._is("pc-q35"))

    @property
    def microvm(self) -> bool:
        return self.x86 and self._is("microvm")

    @property
    def isapc(self) -> bool:
        return self.x86 and self.name == "isapc"

    @property
    def i440fx(self) -> bool:
        """A PC with a PCI bus, not PCI Express; those before QEMU 1.3 are called ``pc-0.12``, say."""
        return self.x86 and (self._is("pc") and not self.q35)

    @property
    def arm_virt(self) -> bool:
        return self.arm and self._is("virt")

    @property
    def riscv_virt(self) -> bool:
        return self.riscv and self._is("virt")

    @property
    def pseries(self) -> bool:
        return self.ppc64 and self._is("pseries")

    @property
    def ccw(self) -> bool:
        return self.s390 and self._is("s390-ccw")


class Folders(msgspec.Struct, frozen=True, kw_only=True):
    """Where the host keeps what is made up for guests; they are those of libvirt's system daemon.

    Attributes:
        channels: sockets of channels; state: other sockets; nvram: what UEFI firmware keeps.
    """

    channels: str = "/var/lib/libvirt/qemu/channel/target"
    state: str = "/var/lib/libvirt/qemu"
    nvram: str = "/var/lib/libvirt/qemu/nvram"


class Context(msgspec.Struct, frozen=True, kw_only=True):
    """What is the same for all steps.

    Attributes:
        folders: where the host keeps what is made up.
        capabilities: what is known of the hypervisor.
        generator: what makes up UUIDs and hardware addresses.
        machine: which machine the domain is.
        new: the domain was not defined before.
        addresses: devices get some.
        live: what is told of a domain that runs is kept.
    """

    capabilities: CapabilitiesLike
    generator: Generator
    machine: Machine = Machine()
    live: bool = False
    new: bool = True
    addresses: bool = True
    folders: Folders = Folders()


#: What is done to a definition, one thing after the other.
Step: TypeAlias = Callable[[DomainDocument, Context], DomainDocument]


def machine_of(definition: DomainDocument) -> Machine:
    type_ = definition.os.type_ if isinstance(definition.os, HvmOs) else None
    if type_ is None:
        return Machine(type_=definition.type_)
    return Machine(arch=type_.arch or "", name=type_.machine or "", type_=definition.type_)


def devices_of(definition: DomainDocument) -> Devices:
    return definition.devices or Devices()


def with_devices(definition: DomainDocument, **lists: Any) -> DomainDocument:
    """The definition with these fields of its devices instead."""
    return change(definition, devices=change(devices_of(definition), **lists))


def each(nodes: Iterable[AnyNode], step: Callable[[AnyNode], AnyNode]) -> tuple[AnyNode, ...]:
    """All of them, each after a step."""
    return tuple(step(node) for node in nodes)
