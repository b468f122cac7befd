"""``<hostdev>``: devices of the host that the guest is given. Source: libvirt's "Domain XML format"."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.common import HostPciAddress
from engine.conf.kinds.domain.device import (
    Acpi,
    Boot,
    Device,
    HostUsbAddress,
    Rom,
    Teaming,
    TwoDigits,
    UsbIdentifier,
    VirtioModel,
)
from engine.conf.kinds.domain.storage import Auth, StartupPolicy
from engine.conf.kinds.network_common import InterfaceIp, Route
from engine.conf.kinds.storage_common import HostAdapter, Initiator
from engine.conf.kinds.values import (
    AbsFilePath,
    DeviceName,
    OnOff,
    PortNumber,
    Uuid,
    YesNo,
)
from engine.conf.nodes.node import Attr, Child, Flag, Node, Text, at_least_one, together
from engine.conf.nodes.values import Number, Pattern

__all__ = ["BaseHostdev", "Hostdev"]

ScsiTarget = Annotated[int, Number("scsiTarget", 0, plain="[0-9]{1,10}", what="a number of up to 10 digits")]
ScsiUnit = Annotated[int, Number("scsiUnit", 0, plain="[0-9]{1,20}", what="a number of up to 20 digits")]
VhostWwpn = Annotated[
    str, Pattern("vhostWwpn", r"(naa\.)[0-9a-fA-F]{16}", "naa. and a world wide name of 16 hexadecimal digits")
]


# ---------------------------------------------------------------------------- parts


class PciHostdevDriver(Node):
    """What hands a PCI device on: vfio, where the host has it."""

    name: Literal["kvm", "vfio", "xen"]


class BaseHostdev(Device):
    """A device of the host that the guest is given.

    Attributes:
        managed: yes: a PCI device is taken from the host when the guest starts, and given back when it ends; else who
            starts the guest sees to that.
        source: which device of the host it is.
        address: where the guest sees it.
        boot: in which order the guest is booted from it.
        rom: what it sees of its ROM.
        readonly: (SCSI) the guest can't write to it.
        shareable: (SCSI) other domains use it at the same time.
    """

    boot: Boot | None = None
    rom: Rom | None = None
    readonly: Annotated[bool, Flag] = False
    shareable: Annotated[bool, Flag] = False
    acpi: Acpi | None = None


class SubsystemHostdev(BaseHostdev):
    """A device that the guest drives itself."""

    mode: Literal["subsystem"] | None = None
    managed: YesNo | None = None


# ---------------------------------------------------------------------------- PCI, USB, mediated devices


class PciHostdevSource(Node):
    """A PCI device of the host.

    Attributes:
        write_filtering: (Xen) no: the guest may write all of its configuration. Since 6.8.0.
    """

    startup_policy: Annotated[StartupPolicy | None, Attr("startupPolicy")] = None
    write_filtering: Annotated[YesNo | None, Attr("writeFiltering")] = None
    address: HostPciAddress


class PciHostdev(SubsystemHostdev):
    """A PCI device.

    Attributes:
        driver: what hands it on.
        teaming: the guest joins it (a network card) with another one.
    """

    type_: Literal["pci"]
    driver: PciHostdevDriver | None = None
    source: PciHostdevSource
    teaming: Teaming | None = None


class UsbHostdevSource(Node):
    """A USB device of the host, by its vendor and product, by its address, or by both.

    Attributes:
        startup_policy: what is done if it is missing when the guest starts.
        guest_reset: what the guest can do to a device whose firmware bears no reset: off: it can't reset it;
            uninitialized: only before it was used; on: it can. Since 8.6.0.
    """

    startup_policy: Annotated[StartupPolicy | None, Attr("startupPolicy")] = None
    guest_reset: Annotated[Literal["off", "uninitialized", "on"] | None, Attr("guestReset")] = None
    vendor: UsbIdentifier | None = None
    product: UsbIdentifier | None = None
    address: HostUsbAddress | None = None
    rules = (together("vendor", "product"), at_least_one("vendor", "address"))


class UsbHostdev(SubsystemHostdev):
    """A USB device."""

    type_: Literal["usb"]
    source: UsbHostdevSource


class MdevAddress(Node):
    """A mediated device of the host, by its UUID."""

    uuid: Uuid


class MdevSource(Node):
    """A mediated device of the host."""

    address: MdevAddress


class MdevHostdev(SubsystemHostdev):
    """A mediated device: a part of one that can be parted, such as a graphics card.

    Attributes:
        model: what it is for the guest: a PCI device, a CCW device, or one for cryptography (S/390).
        display: it has a screen, to be seen with the guest's graphics.
        ramfb: also while the guest boots.
    """

    type_: Literal["mdev"]
    model: Literal["vfio-pci", "vfio-ccw", "vfio-ap"]
    ramfb: OnOff | None = None
    display: OnOff | None = None
    source: MdevSource


# ---------------------------------------------------------------------------- SCSI


class ScsiHostAddress(Node):
    """Where the host sees a SCSI device on its adapter."""

    bus: TwoDigits
    target: ScsiTarget
    unit: ScsiUnit


class AdapterSource(Node):
    """A SCSI device of the host.

    Attributes:
        adapter: what it is plugged into.
        address: where on it.
    """

    protocol: Literal["adapter"] | None = None
    adapter: HostAdapter
    address: ScsiHostAddress


class IscsiHost(Node):
    """An iSCSI server."""

    name: str
    port: PortNumber | None = None


class IscsiHostdevSource(Node):
    """A unit of an iSCSI target, which the hypervisor connects to.

    Attributes:
        name: of the target, with ``/`` and the unit's number.
        auth: as whom to log in.
        initiator: who the host is to the server.
    """

    protocol: Literal["iscsi"]
    name: str
    hosts: Annotated[tuple[IscsiHost, ...], Child("host")]
    auth: Auth | None = None
    initiator: Initiator | None = None


class ScsiHostdev(SubsystemHostdev):
    """A SCSI device.

    Attributes:
        sgio: unfiltered: the guest's own commands are not filtered.
        rawio: it may send any command.
    """

    type_: Literal["scsi"]
    sgio: Literal["filtered", "unfiltered"] | None = None
    rawio: YesNo | None = None
    source: AdapterSource | IscsiHostdevSource


class VhostScsiSource(Node):
    """A SCSI target of the host's kernel (vhost-scsi)."""

    protocol: Literal["vhost"]
    wwpn: VhostWwpn


class ScsiHostHostdev(SubsystemHostdev):
    """All units of a SCSI target of the host's kernel.

    Attributes:
        model: of the virtio device.
    """

    type_: Literal["scsi_host"]
    model: VirtioModel | None = None
    source: VhostScsiSource


# ---------------------------------------------------------------------------- for containers


class StorageHostdevSource(Node):
    """A block device of the host."""

    block: Annotated[AbsFilePath, Text]


class StorageHostdev(BaseHostdev):
    """A block device, for a container."""

    mode: Literal["capabilities"]
    type_: Literal["storage"]
    source: StorageHostdevSource


class MiscHostdevSource(Node):
    """A character device of the host."""

    char: Annotated[AbsFilePath, Text]


class MiscHostdev(BaseHostdev):
    """A character device, for a container."""

    mode: Literal["capabilities"]
    type_: Literal["misc"]
    source: MiscHostdevSource


class NetHostdevSource(Node):
    """A network interface of the host."""

    interface: Annotated[DeviceName, Text]


class NetHostdev(BaseHostdev):
    """A network interface, for a container.

    Attributes:
        ips: the addresses it has there.
        routes: the routes.
    """

    mode: Literal["capabilities"]
    type_: Literal["net"]
    source: NetHostdevSource
    ips: Annotated[tuple[InterfaceIp, ...], Child("ip")] = ()
    routes: Annotated[tuple[Route, ...], Child("route")] = ()


Hostdev: TypeAlias = (
    PciHostdev | UsbHostdev | ScsiHostdev | ScsiHostHostdev | MdevHostdev | StorageHostdev | MiscHostdev | NetHostdev
)
