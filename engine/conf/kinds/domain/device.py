"""What devices have in common: address, alias, boot order. Source: libvirt's "Domain XML format", Device Addresses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.common import PciPlace
from engine.conf.kinds.values import (
    AbsFilePath,
    CcwCssid,
    CcwDevno,
    CcwSsid,
    DottedName,
    HexNumber,
    ObjectNameWithSlash,
    OnOff,
    PositiveInt,
    UInt16,
    UInt32,
    UnsignedInt,
    YesNo,
)
from engine.conf.nodes.node import Node, Text, together
from engine.conf.nodes.values import Number, Pattern

__all__ = [
    "Acpi",
    "Address",
    "Alias",
    "BackendDomain",
    "Boot",
    "Device",
    "DeviceSecLabel",
    "DriveAddress",
    "HostUsbAddress",
    "PciAddress",
    "Rom",
    "Teaming",
    "UsbIdentifier",
    "VirtioDriver",
    "VirtioModel",
]

TwoDigits = Annotated[int, Number("twoDigits", 0, 99, plain="[0-9]{1,2}")]
DriveUnit = Annotated[int, Number("driveUnit", 0, 99999, plain="[0-9]{1,5}")]
UsbNumber = Annotated[int, Number("usbNumber", 0, 0xFFF, pattern="(0x)?[0-9a-fA-F]{1,3}", plain="[0-9]{1,3}")]
UsbId = Annotated[
    int,
    Number("usbId", pattern="(0x)?[0-9a-fA-F]{1,4}", plain="", as_hex=4, what="up to 4 hexadecimal digits after 0x"),
]
UsbPort = Annotated[
    str,
    Pattern("usbPort", r"((0x)?[0-9a-fA-F]{1,3}\.){0,3}(0x)?[0-9a-fA-F]{1,3}", "a port, or ports of hubs such as 1.2"),
]
SpaprVioRegister = Annotated[
    int, Number("spaprVioRegister", 0, pattern="(0x)?[0-9a-fA-F]{1,8}", plain="", as_hex=8, what="a register")
]
IsaPort = Annotated[int, Number("isaPort", pattern="0x[a-fA-F0-9]{1,4}", plain="", as_hex=1, what="0x and an I/O port")]
IsaIrq = Annotated[
    int, Number("isaIrq", pattern="0x[a-fA-F0-9]", plain="", as_hex=1, what="0x and an interrupt, 0 to f")
]
Loadparm = Annotated[str, Pattern("loadparm", r"[a-zA-Z0-9.\s]{1,8}", "up to 8 letters, digits, dots and spaces")]

#: Transitional devices are both of virtio 1.0 and of the older drafts, non-transitional ones of virtio 1.0 alone.
VirtioModel: TypeAlias = Literal["virtio", "virtio-transitional", "virtio-non-transitional"]


class Zpci(Node):
    """The number of a PCI device as S/390 sees it.

    Attributes:
        uid: unique among the guest's; fid: its function's number.
    """

    uid: UInt16 | None = None
    fid: UInt32 | None = None


class PciAddress(PciPlace):
    """A place on a PCI bus; ``bus`` is the index of a PCI controller.

    Attributes:
        domain: always 0 in the guest so far.
    """

    type_: Literal["pci"]
    zpci: Zpci | None = None


class DriveAddress(Node):
    """A place on a disk controller of the device's own bus.

    Attributes:
        controller: its index; bus: of the controller; target: (SCSI); unit: on the bus.
    """

    type_: Literal["drive"]
    controller: TwoDigits | None = None
    bus: TwoDigits | None = None
    target: TwoDigits | None = None
    unit: DriveUnit | None = None


class VirtioSerialAddress(Node):
    """A port of a virtio-serial controller.

    Attributes:
        controller: its index; bus: always 0; port: 0 is kept for a console.
    """

    type_: Literal["virtio-serial"]
    controller: TwoDigits
    bus: TwoDigits | None = None
    port: TwoDigits | None = None


class CcidAddress(Node):
    """A slot of a smart card reader.

    Attributes:
        controller: the reader's index.
    """

    type_: Literal["ccid"]
    controller: TwoDigits
    slot: TwoDigits | None = None


class UsbAddress(Node):
    """A USB port.

    Attributes:
        bus: the index of a USB controller; port: with dots between it and the ports of the hubs before it.
    """

    type_: Literal["usb"]
    bus: UsbNumber
    port: UsbPort | None = None


class SpaprVioAddress(Node):
    """A place on the bus of a pseries guest."""

    type_: Literal["spapr-vio"]
    reg: SpaprVioRegister | None = None


class CcwAddress(Node):
    """A channel of an S/390 guest.

    Attributes:
        cssid: the channel subsystem, 0xfe for virtio; ssid: the subchannel set, 0 to 3; devno: the device number.
    """

    type_: Literal["ccw"]
    cssid: CcwCssid | None = None
    ssid: CcwSsid | None = None
    devno: CcwDevno | None = None
    rules = (together("cssid", "ssid", "devno"),)


class IsaAddress(Node):
    """An I/O port and interrupt."""

    type_: Literal["isa"]
    iobase: IsaPort | None = None
    irq: IsaIrq | None = None


class PlainAddress(Node):
    """On the bus of virtio-mmio, or (unassigned) on none: the guest does not see the device."""

    type_: Literal["virtio-mmio", "unassigned"]


class DimmAddress(Node):
    """Where a memory device is plugged in.

    Attributes:
        base: the address in the guest's memory.
    """

    type_: Literal["dimm"]
    slot: UnsignedInt | None = None
    base: HexNumber | None = None


Address: TypeAlias = (
    PciAddress
    | DriveAddress
    | VirtioSerialAddress
    | CcidAddress
    | UsbAddress
    | SpaprVioAddress
    | CcwAddress
    | IsaAddress
    | PlainAddress
    | DimmAddress
)


class Alias(Node):
    """A device's name in the hypervisor.

    Attributes:
        name: one given by the user begins with ``ua-``.
    """

    name: DottedName


class Boot(Node):
    """The device can be booted from.

    Attributes:
        order: 1 is tried first; unique in the domain. loadparm: (S/390) for the boot loader.
    """

    order: PositiveInt
    loadparm: Loadparm | None = None


class BackendDomain(Node):
    """(Xen) The domain that serves a device."""

    name: ObjectNameWithSlash


class HostUsbAddress(Node):
    """Where the host sees a USB device, as ``lsusb`` tells.

    Attributes:
        device: its number on the bus.
    """

    bus: UsbNumber
    device: UsbNumber


class UsbIdentifier(Node):
    """The vendor or product that a USB device is of."""

    id_: UsbId


class Acpi(Node):
    """The index of a device in the ACPI tables, by which guests name network cards (``eno1``)."""

    index: UnsignedInt | None = None


class Rom(Node):
    """The option ROM of a PCI device.

    Attributes:
        enabled: no: it has none.
        bar: it shows in the guest's memory.
        file: its contents, instead of the device's own.
    """

    enabled: YesNo | None = None
    bar: OnOff | None = None
    file: AbsFilePath | None = None


class PersistentTeaming(Node):
    """The network device of a pair that stays when the guest is migrated: one of model virtio, with an alias."""

    type_: Literal["persistent"]


class TransientTeaming(Node):
    """The network device of a pair that is unplugged while the guest is migrated: one of the host's.

    Attributes:
        persistent: the alias of the pair's other device.
    """

    type_: Literal["transient"]
    persistent: DottedName


Teaming: TypeAlias = PersistentTeaming | TransientTeaming


class DeviceSecLabel(Node):
    """How one file or socket of a device is labelled, where the domain's own label does not fit.

    Attributes:
        model: the security driver that it is for, such as selinux or dac.
        relabel: no: it keeps the label it has.
        labelskip: it could not be labelled; only libvirt says so.
        labels: what it is labelled as.
    """

    known_by = ("model",)
    model: str | None = None
    relabel: YesNo | None = None
    labelskip: Literal["yes"] | None = None
    labels: Annotated[tuple[str, ...], Text("label")] = ()

    def check(self) -> Iterator[str]:
        if self.labelskip and (self.labels or self.relabel is not None):
            yield "with 'labelskip' it may have neither 'relabel' nor <label>"
        elif self.relabel is False and self.labels:
            yield "with relabel='no' it may have no <label>"
        elif not self.labelskip and self.relabel is not False and not self.labels:
            yield "it lacks relabel='no', or a <label>"


class Device(Node):
    """What most devices have.

    Attributes:
        alias: its name in the hypervisor; address: where it is plugged in, chosen when it is left out.
    """

    comes_last = True
    known_by: ClassVar[tuple[str, ...]] = ("alias.name",)
    alias: Alias | None = None
    address: Address | None = None


class VirtioDriver(Node):
    """What every virtio device's driver may be told.

    Attributes:
        iommu: it reaches memory through the IOMMU; ats: with address translation services.
        packed: it uses packed virtqueues; page_per_vq: each virtqueue's notification has a page of its own.
    """

    iommu: OnOff | None = None
    ats: OnOff | None = None
    packed: OnOff | None = None
    page_per_vq: OnOff | None = None
