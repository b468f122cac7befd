"""``<device>``: a device of the host. Source: libvirt's "Node devices XML format"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal, TypeAlias

from engine.conf.kinds.domain.device import CcwCssid, CcwDevno, CcwSsid
from engine.conf.kinds.network_parts import Link
from engine.conf.kinds.values import HexNumber, MacAddress, UInt8, UnsignedInt, UnsignedLong, Uuid, Wwn
from engine.conf.nodes.node import Attr, Body, Child, Definition, Node, Text, at_most_one, together
from engine.conf.nodes.values import Number, Pattern

__all__ = ["Capability", "NodeDeviceDocument"]

PciClass = Annotated[
    int, Number("pciClass", pattern="0x[0-9a-fA-F]{6}", plain="", as_hex=6, what="0x and 6 hexadecimal digits")
]
NumaNode = Annotated[int, Number("numaNode", -(2**31), 2**31 - 1, plain="[+-]?[0-9]+")]
LinkSpeed = Annotated[str, Pattern("linkSpeed", "[0-9]+(.[0-9]+)?", "a number such as 8 or 2.5")]
HostPath = Annotated[
    str, Pattern("hostPath", r"/[a-zA-Z0-9_+\-/%]+", "an absolute path of letters, digits and _ + - / %")
]
FeatureName = Annotated[str, Pattern("featureName", r"[a-zA-Z\-_]+", "a feature's name (letters, - and _)")]
ApDomain = Annotated[int, Number("apDomain", 0, 255, pattern="0x[0-9a-fA-F]{1,4}", plain="[+-]?[0-9]+", as_hex=4)]
VpdText = Annotated[str, Pattern("vpdText", "[ -_a-z]{0,255}", "up to 255 letters, digits and signs")]
VendorIndex = Annotated[str, Pattern("vpdVendorIndex", "[0-9A-Z]", "a digit or a capital letter")]
SystemIndex = Annotated[str, Pattern("vpdSystemIndex", "[0-9B-Z]", "a digit or a capital letter but A")]


def _only_once(what: Iterable[str], tag: str, name: str) -> Iterator[str]:
    for value, count in Counter(what).items():
        if count > 1:
            yield f"there may be only one <{tag}> whose {name} is '{value}'"


# ---------------------------------------------------------------------------- parts of several capabilities


class Identity(Node):
    """A vendor or a product.

    Attributes:
        name: as the host's lists of hardware have it.
    """

    id_: HexNumber
    name: Annotated[str | None, Body] = None


class HostPciAddress(Node):
    """The place of a PCI device."""

    domain: HexNumber
    bus: HexNumber
    slot: HexNumber
    function: HexNumber


class MdevType(Node):
    """A kind of mediated device that the device can be divided into.

    Attributes:
        id_: the vendor's name of it; name: for people.
        device_api: what it is to a guest.
        available_instances: how many more there may be.
    """

    id_: str
    name: Annotated[str | None, Text] = None
    device_api: Annotated[Literal["vfio-pci", "vfio-ccw", "vfio-ap"], Text("deviceAPI")]
    available_instances: Annotated[UnsignedInt, Text("availableInstances")]


class MdevTypes(Node):
    """The device can be divided into mediated devices."""

    type_: Literal["mdev_types"]
    types: Annotated[tuple[MdevType, ...], Child("type")]


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


# ---------------------------------------------------------------------------- PCI


class PhysicalFunctionOf(Node):
    """The device is a virtual function.

    Attributes:
        address: of the physical one.
    """

    type_: Literal["phys_function"]
    address: HostPciAddress | None = None


class VirtualFunctions(Node):
    """The device has virtual functions, or may have some.

    Attributes:
        max_count: how many there may be.
    """

    type_: Literal["virt_functions"]
    max_count: Annotated[UnsignedInt | None, Attr("maxCount")] = None
    addresses: Annotated[tuple[HostPciAddress, ...], Child("address")] = ()


class PciBridge(Node):
    """The device is a bridge, which is rarely given to a guest."""

    type_: Literal["pci-bridge", "cardbus-bridge"]


class VpdVendorField(Node):
    """A field whose meaning the vendor knows."""

    index: VendorIndex
    value: Annotated[VpdText | None, Body] = None


class VpdSystemField(Node):
    """A field for the system that the device is in."""

    index: SystemIndex
    value: Annotated[VpdText | None, Body] = None


class VpdReadOnly(Node):
    """What the maker wrote into the device."""

    access: Literal["readonly"]
    change_level: Annotated[VpdText | None, Text] = None
    manufacture_id: Annotated[VpdText | None, Text] = None
    part_number: Annotated[VpdText | None, Text] = None
    serial_number: Annotated[VpdText | None, Text] = None
    vendor_fields: Annotated[tuple[VpdVendorField, ...], Child("vendor_field")] = ()


class VpdReadWrite(Node):
    """What may be written into the device.

    Attributes:
        asset_tag: by the device's owner.
    """

    access: Literal["readwrite"]
    asset_tag: Annotated[VpdText | None, Text] = None
    vendor_fields: Annotated[tuple[VpdVendorField, ...], Child("vendor_field")] = ()
    system_fields: Annotated[tuple[VpdSystemField, ...], Child("system_field")] = ()


class Vpd(Node):
    """Vital product data, which the device itself keeps.

    Attributes:
        name: of the product.
        fields: one of each kind of access at most.
    """

    type_: Literal["vpd"]
    name: Annotated[VpdText, Text]
    fields: tuple[VpdReadOnly | VpdReadWrite, ...] = ()

    def check(self) -> Iterator[str]:
        yield from _only_once((each.access for each in self.fields), "fields", "access")


class IommuGroup(Node):
    """The devices that can only be given to a guest together.

    Attributes:
        addresses: of all of them, this one too.
    """

    number: UnsignedInt
    addresses: Annotated[tuple[HostPciAddress, ...], Child("address")]


class HostNuma(Node):
    """Where the device is in the host.

    Attributes:
        node: the NUMA node that it is nearest to.
    """

    node: NumaNode | None = None


class PcieLink(Node):
    """The PCI Express link of the device.

    Attributes:
        validity: cap: as it could be; sta: as it is.
        port: which port of the device.
        speed: in gigatransfers a second.
        width: lanes.
    """

    validity: Literal["cap", "sta"]
    port: UnsignedInt | None = None
    speed: LinkSpeed | None = None
    width: UnsignedInt


class PciExpress(Node):
    """The device speaks PCI Express."""

    links: Annotated[tuple[PcieLink, ...], Child("link")] = ()


class PciCapability(Node):
    """A PCI device.

    Attributes:
        class_: class, subclass and programming interface, two digits each.
        capabilities: what else it is, each only once.
    """

    type_: Literal["pci"]
    class_: Annotated[PciClass | None, Text] = None
    domain: Annotated[UnsignedLong, Text]
    bus: Annotated[UnsignedLong, Text]
    slot: Annotated[UnsignedLong, Text]
    function: Annotated[UnsignedLong, Text]
    product: Identity
    vendor: Identity
    capabilities: Annotated[
        tuple[PhysicalFunctionOf | VirtualFunctions | PciBridge | MdevTypes | Vpd, ...], Child("capability")
    ] = ()
    iommu_group: Annotated[IommuGroup | None, Child("iommuGroup")] = None
    numa: HostNuma | None = None
    pci_express: Annotated[PciExpress | None, Child("pci-express")] = None

    def check(self) -> Iterator[str]:
        types = ("pci-bridge" if isinstance(each, PciBridge) else each.type_ for each in self.capabilities)
        yield from _only_once(types, "capability", "type")


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
        interface: its name; address: its MAC address.
    """

    type_: Literal["net"]
    interface: Annotated[str, Text]
    address: Annotated[MacAddress | None, Text] = None
    link: Link | None = None
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
        max_vports: how many; vports: how many there are.
    """

    type_: Literal["vport_ops"]
    max_vports: Annotated[UnsignedInt, Text]
    vports: Annotated[UnsignedInt, Text]


class ScsiHostCapability(Node):
    """A SCSI host.

    Attributes:
        host: its number; unique_id: which stays the same where numbers change.
    """

    type_: Literal["scsi_host"]
    host: Annotated[UnsignedLong, Text]
    unique_id: Annotated[UnsignedInt | None, Text] = None
    capabilities: Annotated[tuple[FcHost | VportOperations, ...], Child("capability")] = ()


class FcRemotePort(Node):
    """The SCSI target is reached over Fibre Channel.

    Attributes:
        rport: its name; wwpn: world wide name of its port.
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
        media_available: "1": there is one in it; media_size: in bytes; media_label: its name.
        logical_block_size: in bytes; num_blocks: how many there are.
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
        logical_block_size: in bytes; num_blocks: how many there are.
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
        yield from _only_once((each.type_ for each in self.capabilities), "capability", "type")
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
        ap_adapter: the card's number; ap_domain: its own.
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
        path: in ``/sys``.
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
        yield from _only_once((each.type_ for each in self.devnodes if each.type_ == "dev"), "devnode", "type")
