"""``<device>``: a device of the host. Source: libvirt's "Node devices XML format"."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.network_common import LinkState
from engine.conf.kinds.node_device_pci import Identity, MdevTypes, PciCapability, only_once
from engine.conf.kinds.values import (
    CcwCssid,
    CcwDevno,
    CcwSsid,
    MacAddress,
    UInt8,
    UnsignedInt,
    UnsignedLong,
    Uuid,
    Wwn,
)
from engine.conf.nodes.node import Body, Child, Definition, Node, Text, at_most_one, together
from engine.conf.nodes.values import Number, Pattern

__all__ = ["Capability", "NodeDeviceDocument"]

HostPath = Annotated[
    str, Pattern("hostPath", r"/[a-zA-Z0-9_+\-/%]+", "an absolute path of letters, digits and _ + - / %")
]
FeatureName = Annotated[str, Pattern("featureName", r"[a-zA-Z\-_]+", "a feature's name (letters, - and _)")]
ApDomain = Annotated[int, Number("apDomain", 0, 255, pattern="0x[0-9a-fA-F]{1,4}", plain="[+-]?[0-9]+", as_hex=4)]


# ---------------------------------------------------------------------------- the host


class Hardware(Node):
    """The host's hardware."""

    vendor: Annotated[str | None, Text] = None
    version: Annotated[str | None, Text] = None
    serial: Annotated[str | None, Text] = None
    uuid: Annotated[Uuid, Text]


class Firmware(Node):
    """The host's firmware."""

    vendor: Annotated[str | None, Text] = None
    version: Annotated[str | None, Text] = None
    release_date: Annotated[str | None, Text] = None


class SystemCapability(Node):
    """The host itself, the root of all devices."""

    type_: Literal["system"]
    product: Annotated[str | None, Text] = None
    hardware: Hardware
    firmware: Firmware


# ---------------------------------------------------------------------------- USB


class UsbDeviceCapability(Node):
    """A device on a USB bus.

    Attributes:
        device: its number on the bus.
    """

    type_: Literal["usb_device"]
    bus: Annotated[UnsignedLong, Text]
    device: Annotated[UnsignedLong, Text]
    product: Identity
    vendor: Identity


class UsbInterfaceCapability(Node):
    """One of the interfaces of a USB device, which a driver is for."""

    type_: Literal["usb"]
    number: Annotated[UnsignedLong, Text]
    class_: Annotated[UnsignedLong, Text]
    subclass: Annotated[UnsignedLong, Text]
    protocol: Annotated[UnsignedLong, Text]
    description: Annotated[str | None, Text] = None


# ---------------------------------------------------------------------------- network


class NetFeature(Node):
    """Work that the network card does for the host.

    Attributes:
        name: rx, tx: checksums; sg: scatter and gather; tso, gso, ufo: it splits packets; gro, lro: it joins them;
            rxvlan, txvlan: VLAN tags; ntuple: filters; rxhash: hashes; rdma; txudptnl: tunnels; switchdev.
    """

    name: FeatureName


class NetProtocol(Node):
    """The kind of network: 802.3 (Ethernet) or 802.11 (wireless)."""

    type_: Literal["80203", "80211"]


class NetCapability(Node):
    """A network interface.

    Attributes:
        interface: its name.
        address: its MAC address.
    """

    type_: Literal["net"]
    interface: Annotated[str, Text]
    address: Annotated[MacAddress | None, Text] = None
    link: LinkState | None = None
    features: Annotated[tuple[NetFeature, ...], Child("feature")] = ()
    capabilities: Annotated[tuple[NetProtocol, ...], Child("capability")] = ()


class VdpaCapability(Node):
    """A vDPA network device.

    Attributes:
        chardev: by which it is used.
    """

    type_: Literal["vdpa"]
    chardev: Annotated[HostPath, Text]


# ---------------------------------------------------------------------------- SCSI


class FcHost(Node):
    """The SCSI host is a Fibre Channel adapter.

    Attributes:
        wwnn, wwpn: world wide names of its node and its port.
        fabric_wwn: of the fabric that it is connected to.
    """

    type_: Literal["fc_host"]
    wwnn: Annotated[Wwn, Text]
    wwpn: Annotated[Wwn, Text]
    fabric_wwn: Annotated[Wwn | None, Text] = None


class VportOperations(Node):
    """The SCSI host can have virtual ports.

    Attributes:
        max_vports: how many.
        vports: how many there are.
    """

    type_: Literal["vport_ops"]
    max_vports: Annotated[UnsignedInt, Text]
    vports: Annotated[UnsignedInt, Text]


class ScsiHostCapability(Node):
    """A SCSI host.

    Attributes:
        host: its number.
        unique_id: a number that stays the same where others change.
    """

    type_: Literal["scsi_host"]
    host: Annotated[UnsignedLong, Text]
    unique_id: Annotated[UnsignedInt | None, Text] = None
    capabilities: Annotated[tuple[FcHost | VportOperations, ...], Child("capability")] = ()


class FcRemotePort(Node):
    """The SCSI target is reached over Fibre Channel.

    Attributes:
        rport: its name.
        wwpn: world wide name of its port.
    """

    type_: Literal["fc_remote_port"]
    rport: Annotated[str, Text]
    wwpn: Annotated[Wwn, Text]


class ScsiTargetCapability(Node):
    """A SCSI target."""

    type_: Literal["scsi_target"]
    target: Annotated[str, Text]
    capability: FcRemotePort | None = None


class ScsiCapability(Node):
    """A SCSI device.

    Attributes:
        host, bus, target, lun: its place.
        device_type: such as disk.
    """

    type_: Literal["scsi"]
    host: Annotated[UnsignedLong, Text]
    bus: Annotated[UnsignedLong, Text]
    target: Annotated[UnsignedLong, Text]
    lun: Annotated[UnsignedLong, Text]
    device_type: Annotated[str | None, Text("type")] = None


class ScsiGenericCapability(Node):
    """The generic access to a SCSI device.

    Attributes:
        char: path of its character device.
    """

    type_: Literal["scsi_generic"]
    char: Annotated[str, Text]


# ---------------------------------------------------------------------------- storage


class RemovableMedium(Node):
    """The drive's medium can be taken out.

    Attributes:
        media_available: 1: there is one in the drive.
        media_size: in bytes.
        media_label: its name.
        logical_block_size: in bytes.
        num_blocks: how many blocks there are.
    """

    type_: Literal["removable"]
    media_available: Annotated[Literal["0", "1"], Text]
    media_size: Annotated[UnsignedLong, Text]
    media_label: Annotated[str | None, Text] = None
    logical_block_size: Annotated[UnsignedLong | None, Text] = None
    num_blocks: Annotated[UnsignedLong | None, Text] = None
    rules = (together("logical_block_size", "num_blocks"),)


class Hotpluggable(Node):
    """The drive can be taken out while the host runs."""

    type_: Literal["hotpluggable"]


class StorageCapability(Node):
    """A drive.

    Attributes:
        block: path of its block device.
        bus: that it is on.
        drive_type: such as disk or cdrom.
        size: in bytes, of a drive whose medium stays in it; one of another drive is in its capability "removable".
        logical_block_size: in bytes.
        num_blocks: how many blocks there are.
        capabilities: each only once.
    """

    type_: Literal["storage"]
    block: Annotated[HostPath, Text]
    bus: Annotated[str | None, Text] = None
    drive_type: Annotated[str | None, Text] = None
    model: Annotated[str | None, Text] = None
    vendor: Annotated[str | None, Text] = None
    serial: Annotated[str | None, Text] = None
    size: Annotated[UnsignedLong | None, Text] = None
    logical_block_size: Annotated[UnsignedLong | None, Text] = None
    num_blocks: Annotated[UnsignedLong | None, Text] = None
    capabilities: Annotated[tuple[RemovableMedium | Hotpluggable, ...], Child("capability")] = ()
    rules = (together("logical_block_size", "num_blocks"),)

    def check(self) -> Iterator[str]:
        yield from only_once((each.type_ for each in self.capabilities), "capability", "type")
        removable = any(isinstance(each, RemovableMedium) for each in self.capabilities)
        if removable and (self.size is not None or self.num_blocks is not None):
            yield "the size and blocks of a removable medium are in its <capability>"
        if not removable and self.size is None:
            yield "it lacks its element <size>, or a <capability> of the type 'removable'"


# ---------------------------------------------------------------------------- mediated, S/390 and graphics devices


class DrmCapability(Node):
    """A graphics device's node.

    Attributes:
        node_type: primary: all of the device; render: only what draws; control: nothing uses it today.
    """

    type_: Literal["drm"]
    node_type: Annotated[Literal["primary", "control", "render"], Text("type")]


class MdevTypeReference(Node):
    """The type of a mediated device, as the device that is divided has it."""

    id_: str


class MdevIommuGroup(Node):
    """What the mediated device is given to a guest as."""

    number: UnsignedInt


class MdevAttribute(Node):
    """A setting of the vendor's."""

    name: str
    value: str


class MdevCapability(Node):
    """A mediated device, which is a part of another.

    Attributes:
        mdev_type: one of those that its parent has.
        uuid: its name; generated when it is left out.
        parent_addr: the place of its parent.
        attrs: are set in this order.
    """

    type_: Literal["mdev"]
    mdev_type: Annotated[MdevTypeReference, Child("type")]
    uuid: Annotated[Uuid | None, Text] = None
    parent_addr: Annotated[str | None, Text] = None
    iommu_group: Annotated[MdevIommuGroup | None, Child("iommuGroup")] = None
    attrs: Annotated[tuple[MdevAttribute, ...], Child("attr")] = ()


class CcwPlace(Node):
    """A place in S/390's channel subsystem.

    Attributes:
        cssid: the channel subsystem.
        ssid: the subchannel set.
        devno: the device's number.
    """

    cssid: Annotated[CcwCssid, Text]
    ssid: Annotated[CcwSsid, Text]
    devno: Annotated[CcwDevno, Text]


class CcwCapability(CcwPlace):
    """(S/390) A device in the channel subsystem."""

    type_: Literal["ccw"]


class CssCapability(CcwPlace):
    """(S/390) A subchannel.

    Attributes:
        channel_dev_addr: the device behind it.
    """

    type_: Literal["css"]
    channel_dev_addr: CcwPlace | None = None
    capability: MdevTypes | None = None


class ApCardCapability(Node):
    """(S/390) A cryptographic card.

    Attributes:
        ap_adapter: its number.
    """

    type_: Literal["ap_card"]
    ap_adapter: Annotated[UInt8, Text("ap-adapter")]


class ApQueueCapability(Node):
    """(S/390) A domain of a cryptographic card.

    Attributes:
        ap_adapter: the card's number.
        ap_domain: its own.
    """

    type_: Literal["ap_queue"]
    ap_adapter: Annotated[UInt8, Text("ap-adapter")]
    ap_domain: Annotated[ApDomain, Text("ap-domain")]


class ApMatrixCapability(Node):
    """(S/390) All that can be given to guests of the cryptographic cards."""

    type_: Literal["ap_matrix"]
    capability: MdevTypes | None = None


Capability: TypeAlias = (
    SystemCapability
    | PciCapability
    | UsbDeviceCapability
    | UsbInterfaceCapability
    | NetCapability
    | VdpaCapability
    | ScsiHostCapability
    | ScsiTargetCapability
    | ScsiCapability
    | ScsiGenericCapability
    | StorageCapability
    | DrmCapability
    | MdevCapability
    | CcwCapability
    | CssCapability
    | ApCardCapability
    | ApQueueCapability
    | ApMatrixCapability
)


# ---------------------------------------------------------------------------- the device


class DevNode(Node):
    """A file in ``/dev``.

    Attributes:
        type_: dev: the device's own; link: a link to it.
    """

    type_: Literal["dev", "link"]
    path: Annotated[str | None, Body] = None


class Parent(Node):
    """The device that this one belongs to: by its name, or (to create a virtual port) by its world wide names.

    Attributes:
        name: of the device.
        wwnn, wwpn: of a Fibre Channel adapter's node and port.
        fabric_wwn: any adapter of that fabric.
    """

    name: Annotated[str | None, Body] = None
    wwnn: Wwn | None = None
    wwpn: Wwn | None = None
    fabric_wwn: Wwn | None = None
    rules = (together("wwnn", "wwpn"), at_most_one("name", "wwnn", "fabric_wwn"))


class HostDriver(Node):
    """The host's driver of the device."""

    name: Annotated[str, Text]


class NodeDeviceDocument(Definition):
    """A device of the host.

    Attributes:
        name: that libvirt gave it, such as pci_0000_00_1f_2.
        path: its directory in ``/sys``.
        devnodes: its file in ``/dev``, one at most, and links to it.
        capabilities: what it is.
    """

    kind: ClassVar[str] = "device"
    name: Annotated[str, Text]
    path: Annotated[str | None, Text] = None
    devnodes: Annotated[tuple[DevNode, ...], Child("devnode")] = ()
    parent: Parent | None = None
    driver: HostDriver | None = None
    capabilities: Annotated[tuple[Capability, ...], Child("capability")] = ()

    def check(self) -> Iterator[str]:
        yield from only_once((each.type_ for each in self.devnodes if each.type_ == "dev"), "devnode", "type")
