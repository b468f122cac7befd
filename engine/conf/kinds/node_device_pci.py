"""What the capabilities of host devices share, and those of PCI devices."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

from engine.conf.kinds.values import HexNumber, Int, UnsignedInt, UnsignedLong
from engine.conf.nodes.node import Attr, Body, Child, Node, Text
from engine.conf.nodes.values import Number, Pattern

__all__ = ["Identity", "MdevTypes", "NodePciAddress", "PciCapability", "only_once"]

PciClass = Annotated[
    int, Number("pciClass", pattern="0x[0-9a-fA-F]{6}", plain="", as_hex=6, what="0x and 6 hexadecimal digits")
]
LinkSpeed = Annotated[str, Pattern("linkSpeed", r"[0-9]+([^0-9\n\r][0-9]+)?", "a number such as 8 or 2.5")]
VpdText = Annotated[str, Pattern("vpdText", "[ -_a-z]{0,255}", "up to 255 letters, digits and signs")]
VendorIndex = Annotated[str, Pattern("vpdVendorIndex", "[0-9A-Z]", "a digit or a capital letter")]
SystemIndex = Annotated[str, Pattern("vpdSystemIndex", "[0-9B-Z]", "a digit or a capital letter but A")]


def only_once(what: Iterable[str], tag: str, name: str) -> Iterator[str]:
    """What is wrong where elements of a tag are told apart by an attribute, and each may be there only once."""
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


class NodePciAddress(Node):
    """The place of a PCI device, all of it."""

    domain: HexNumber
    bus: HexNumber
    slot: HexNumber
    function: HexNumber


class MdevType(Node):
    """A kind of mediated device that the device can be divided into.

    Attributes:
        id_: the vendor's name of it.
        name: for people.
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


# ---------------------------------------------------------------------------- PCI


class PhysicalFunctionOf(Node):
    """The device is a virtual function.

    Attributes:
        address: of the physical one.
    """

    type_: Literal["phys_function"]
    address: NodePciAddress | None = None


class VirtualFunctions(Node):
    """The device has virtual functions, or may have some.

    Attributes:
        max_count: how many there may be.
    """

    type_: Literal["virt_functions"]
    max_count: Annotated[UnsignedInt | None, Attr("maxCount")] = None
    addresses: Annotated[tuple[NodePciAddress, ...], Child("address")] = ()


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
        yield from only_once((each.access for each in self.fields), "fields", "access")


class IommuGroup(Node):
    """The devices that can only be given to a guest together.

    Attributes:
        addresses: of all of them, this one too.
    """

    number: UnsignedInt
    addresses: Annotated[tuple[NodePciAddress, ...], Child("address")]


class HostNuma(Node):
    """Where the device is in the host.

    Attributes:
        node: the NUMA node that it is nearest to.
    """

    node: Int | None = None


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
        yield from only_once(types, "capability", "type")
