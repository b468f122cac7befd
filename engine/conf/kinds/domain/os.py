"""``<os>``: what the guest boots. Source: libvirt's "Domain XML format", Operating system booting.

Its shape follows from its ``<type>``: a whole machine, a paravirtual Xen guest, or a container.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.domain.storage import (
    BlockSource,
    DirSource,
    FileSource,
    NetworkSource,
    NvmeSource,
    VhostUserSource,
    VolumeSource,
)
from engine.conf.kinds.values import AbsFilePath, Arch, DottedName, GenericName, UnsignedShort, YesNo
from engine.conf.nodes.node import Attr, Body, Child, Node, Text, at_most_one, together
from engine.conf.nodes.values import Number, Pattern

__all__ = [
    "AcpiTable",
    "AcpiTables",
    "Bios",
    "BootDevice",
    "BootMenu",
    "ExeOs",
    "ExeType",
    "Firmware",
    "FirmwareFeature",
    "HvmOs",
    "HvmType",
    "InitVariable",
    "KernelBoot",
    "Loader",
    "Nvram",
    "Os",
    "Smbios",
    "XenOs",
    "XenType",
]

InitVariableName = Annotated[
    str,
    Pattern("initVariable", "[a-zA-Z_][a-zA-Z0-9_]*", "the name of a variable (letters, digits and _, no digit first)"),
]
RebootTimeout = Annotated[
    int, Number("rebootTimeout", -1, 32767, plain="[+-]?[0-9]+", what="a number of milliseconds, or -1")
]


class KernelBoot(Node):
    """A kernel of the host's that is booted, without a boot loader.

    Attributes:
        kernel, initrd: their paths; root: (Xen) the device of the root file system.
        cmdline: what the kernel is told; dtb: the path of a device tree.
    """

    kernel: Annotated[AbsFilePath | None, Text] = None
    initrd: Annotated[AbsFilePath | None, Text] = None
    root: Annotated[AbsFilePath | None, Text] = None
    cmdline: Annotated[str | None, Text] = None
    dtb: Annotated[AbsFilePath | None, Text] = None


# ---------------------------------------------------------------------------- a whole machine


class HvmType(Node):
    """A machine on which systems run that know nothing of being guests.

    Attributes:
        arch: of its CPU, the host's if it is left out.
        machine: one of those that the capabilities list, the default of the hypervisor if it is left out.
    """

    arch: Arch | None = None
    machine: DottedName | None = None
    value: Annotated[Literal["hvm"], Body]


class FirmwareFeature(Node):
    """What firmware must have or must not have to be chosen.

    Attributes:
        name: secure-boot: it can check what it boots; enrolled-keys: and does, with the usual certificates.
    """

    known_by = ("name",)
    enabled: YesNo
    name: Literal["enrolled-keys", "secure-boot"]


class Firmware(Node):
    """What is asked of the firmware that is chosen. Since 7.2.0."""

    features: Annotated[tuple[FirmwareFeature, ...], Child("feature")]


class Loader(Node):
    """The firmware's image.

    Attributes:
        readonly: the guest can't write it; secure: it can check what it boots (it is not switched on by this).
        type_: how the guest sees it: as a ROM, or as flash memory, as UEFI needs.
        stateless: there is no ``nvram``, so what the guest sets in the firmware is gone when it ends. Since 8.6.0.
        path: needed unless libvirt chooses the firmware.
    """

    readonly: YesNo | None = None
    secure: YesNo | None = None
    type_: Literal["rom", "pflash"] | None = None
    stateless: YesNo | None = None
    path: Annotated[AbsFilePath | None, Body] = None


class BaseNvram(Node):
    """Where UEFI firmware keeps its variables.

    Attributes:
        template: the file that its content comes from when the guest first starts; not over the network.
        path: (type file, also if it is left out) the file's, where there is no ``source``.
        source: as a disk's. Since 8.5.0.
    """

    template: AbsFilePath | None = None


class FileNvram(BaseNvram):
    """Firmware's variables in a file."""

    type_: Literal["file"] | None = None
    path: Annotated[AbsFilePath | None, Body] = None
    source: FileSource | None = None
    rules = (at_most_one("path", "type_"), at_most_one("path", "source"))


class BlockNvram(BaseNvram):
    """Firmware's variables on a block device."""

    type_: Literal["block"]
    source: BlockSource | None = None


class DirNvram(BaseNvram):
    """Firmware's variables in a directory; no hypervisor can."""

    type_: Literal["dir"]
    source: DirSource | None = None


class NetworkNvram(BaseNvram):
    """Firmware's variables somewhere on the network, where they are already."""

    type_: Literal["network"]
    source: NetworkSource


class VolumeNvram(BaseNvram):
    """Firmware's variables in a volume of a storage pool; no hypervisor can."""

    type_: Literal["volume"]
    source: VolumeSource | None = None


class NvmeNvram(BaseNvram):
    """Firmware's variables on an NVMe controller; no hypervisor can."""

    type_: Literal["nvme"]
    source: NvmeSource | None = None


class VhostUserNvram(BaseNvram):
    """Firmware's variables at another process; no hypervisor can."""

    type_: Literal["vhostuser"]
    source: VhostUserSource


Nvram: TypeAlias = FileNvram | BlockNvram | DirNvram | NetworkNvram | VolumeNvram | NvmeNvram | VhostUserNvram


class BootDevice(Node):
    """A kind of device to boot from; the first that is listed is tried first."""

    known_by = ("dev",)
    dev: Literal["hd", "fd", "cdrom", "network"]


class BootMenu(Node):
    """A menu of what to boot from, before the guest boots.

    Attributes:
        timeout: how long it is shown, in milliseconds.
    """

    enable: YesNo
    timeout: UnsignedShort | None = None


class Smbios(Node):
    """Where the SMBIOS tables come from.

    Attributes:
        mode: emulate: from the hypervisor; host: as the host's; sysinfo: from the domain's ``<sysinfo>``.
    """

    mode: Literal["emulate", "host", "sysinfo"]


class Bios(Node):
    """How the BIOS behaves.

    Attributes:
        useserial: it shows what it does at the first serial port.
        reboot_timeout: after how many milliseconds it tries again to boot when it could not; -1: never.
    """

    useserial: YesNo | None = None
    reboot_timeout: Annotated[RebootTimeout | None, Attr("rebootTimeout")] = None


class AcpiTable(Node):
    """An ACPI table of the guest's, such as holds its license.

    Attributes:
        path: of a file that holds it.
    """

    known_by = ("type_",)
    type_: Literal["slic"]
    path: Annotated[AbsFilePath, Body]


class AcpiTables(Node):
    """ACPI tables beyond those that the hypervisor makes."""

    tables: Annotated[tuple[AcpiTable, ...], Child("table")] = ()


class HvmOs(KernelBoot):
    """A whole machine: with firmware that boots from its devices, or a kernel of the host's.

    Attributes:
        firmware: libvirt chooses an image of this kind; else ``loader`` names one, or the hypervisor has its own.
        firmware_features: what is asked of it.
        boots: the order of booting, unless the devices have one each.
    """

    comes_first = (
        "type_",
        "firmware_features",
        "loader",
        "nvram",
        "kernel",
        "initrd",
        "cmdline",
        "dtb",
        "acpi",
        "boots",
    )
    firmware: Literal["bios", "efi"] | None = None
    type_: HvmType
    firmware_features: Annotated[Firmware | None, Child("firmware")] = None
    loader: Loader | None = None
    nvram: Nvram | None = None
    boots: Annotated[tuple[BootDevice, ...], Child("boot")] = ()
    bootmenu: BootMenu | None = None
    smbios: Smbios | None = None
    bios: Bios | None = None
    acpi: AcpiTables | None = None


# ---------------------------------------------------------------------------- paravirtual Xen


class XenType(Node):
    """A guest that knows Xen.

    Attributes:
        value: linux and xen are the same; xenpvh: with the hardware's help, but without emulated devices.
    """

    arch: Literal["i686", "x86_64", "ia64"] | None = None
    machine: Literal["xenpv", "xenfv", "xenpvh"] | None = None
    value: Annotated[Literal["xen", "linux", "xenpvh"], Body]


class XenOs(KernelBoot):
    """A paravirtual Xen guest: it boots a kernel of the host's, or what the domain's ``bootloader`` finds."""

    type_: XenType


# ---------------------------------------------------------------------------- containers


class ExeType(Node):
    """A container: processes of the host, kept to themselves."""

    arch: Arch | None = None
    value: Annotated[Literal["exe"], Body]


class InitVariable(Node):
    """A variable of the environment of a container's first process."""

    known_by = ("name",)
    name: InitVariableName
    value: Annotated[str, Body]


class ExeOs(Node):
    """A container.

    Attributes:
        init: the path of its first process; initargs: its arguments; initenvs: its environment.
        initdir: where it begins; inituser, initgroup: as whom, by name or number (a number with + before it is never
            taken for a name).
    """

    type_: ExeType
    init: Annotated[AbsFilePath | None, Text] = None
    initargs: Annotated[tuple[str, ...], Text("initarg")] = ()
    initenvs: Annotated[tuple[InitVariable, ...], Child("initenv")] = ()
    initdir: Annotated[AbsFilePath | None, Text] = None
    inituser: Annotated[GenericName | None, Text] = None
    initgroup: Annotated[GenericName | None, Text] = None
    rules = (together("inituser", "initgroup"),)


Os: TypeAlias = HvmOs | XenOs | ExeOs
