"""What a domain says to one hypervisor only, in that hypervisor's namespace; libvirt does not answer for it."""

from __future__ import annotations

from typing import Annotated, Literal

from engine.conf.kinds.values import VariableName
from engine.conf.nodes.node import Child, Node

__all__ = [
    "BHYVE",
    "LXC",
    "QEMU",
    "VMWARE",
    "XEN",
    "BhyveCommandline",
    "LxcNamespace",
    "QemuCapabilities",
    "QemuCommandline",
    "QemuDeprecation",
    "QemuOverride",
    "XenCommandline",
]

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
LXC = "http://libvirt.org/schemas/domain/lxc/1.0"
XEN = "http://libvirt.org/schemas/domain/xen/1.0"
BHYVE = "http://libvirt.org/schemas/domain/bhyve/1.0"
VMWARE = "http://libvirt.org/schemas/domain/vmware/1.0"


# ---------------------------------------------------------------------------- QEMU


class CommandlineArgument(Node):
    """One word of the command line."""

    value: str


class QemuVariable(Node):
    """A variable of the environment; without a value it is empty."""

    known_by = ("name",)
    name: VariableName
    value: str | None = None


class QemuCommandline(Node):
    """What is put at the end of QEMU's command line, and into its environment."""

    args: Annotated[tuple[CommandlineArgument, ...], Child("arg", namespace=QEMU)] = ()
    envs: Annotated[tuple[QemuVariable, ...], Child("env", namespace=QEMU)] = ()


class QemuCapability(Node):
    """Something that QEMU can do, as libvirt calls it."""

    known_by = ("capability",)
    capability: str


class QemuCapabilities(Node):
    """What is taken for granted that QEMU can do, or can't, whatever it says itself.

    Attributes:
        adds: that it can; dels: that it can't.
    """

    adds: Annotated[tuple[QemuCapability, ...], Child("add", namespace=QEMU)] = ()
    dels: Annotated[tuple[QemuCapability, ...], Child("del", namespace=QEMU)] = ()


class QemuDeprecation(Node):
    """What QEMU does with what is deprecated.

    Attributes:
        behavior: none: as usual; omit: it hides it; reject: it refuses it; crash: it ends.
    """

    behavior: Literal["none", "omit", "reject", "crash"]


class QemuProperty(Node):
    """A property of one of QEMU's devices.

    Attributes:
        type_: of the value; remove: it is not set at all, and has no value.
    """

    known_by = ("name",)
    name: str
    type_: Literal["string", "signed", "unsigned", "bool", "remove"]
    value: str | None = None


class QemuFrontend(Node):
    """The device as the guest sees it."""

    properties: Annotated[tuple[QemuProperty, ...], Child("property", namespace=QEMU)] = ()


class QemuDeviceOverride(Node):
    """What differs for one device from what libvirt would set.

    Attributes:
        alias: the device's.
    """

    known_by = ("alias",)
    alias: str
    frontend: Annotated[QemuFrontend | None, Child("frontend", namespace=QEMU)] = None


class QemuOverride(Node):
    """Properties of QEMU's devices that differ from what libvirt would set. Since 8.2.0."""

    devices: Annotated[tuple[QemuDeviceOverride, ...], Child("device", namespace=QEMU)] = ()


# ---------------------------------------------------------------------------- others


class LxcSharedNetwork(Node):
    """Whose network namespace a container shares.

    Attributes:
        type_: what ``value`` is: a network namespace's name, a container's, or a process' number.
    """

    type_: Literal["netns", "name", "pid"]
    value: str


class LxcShared(Node):
    """Whose namespace a container shares.

    Attributes:
        type_: what ``value`` is: a container's name, or a process' number.
    """

    type_: Literal["name", "pid"]
    value: str


class LxcNamespace(Node):
    """Which namespaces a container shares with others."""

    sharenet: Annotated[LxcSharedNetwork | None, Child("sharenet", namespace=LXC)] = None
    shareipc: Annotated[LxcShared | None, Child("shareipc", namespace=LXC)] = None
    shareuts: Annotated[LxcShared | None, Child("shareuts", namespace=LXC)] = None


class XenCommandline(Node):
    """What is put at the end of the command line of Xen's device model."""

    args: Annotated[tuple[CommandlineArgument, ...], Child("arg", namespace=XEN)] = ()


class BhyveCommandline(Node):
    """What is put at the end of bhyve's command line."""

    args: Annotated[tuple[CommandlineArgument, ...], Child("arg", namespace=BHYVE)] = ()
