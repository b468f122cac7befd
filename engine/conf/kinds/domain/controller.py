"""``<controller>``: buses that devices are plugged into. Source: libvirt's "Domain XML format", Controllers.

Those that devices need are added by themselves; who plans the guest's topology declares them.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.device import Acpi, Device, UsbPort, VirtioDriver, VirtioModel
from engine.conf.kinds.values import OnOff, UInt8, UnsignedInt
from engine.conf.nodes.node import Attr, Child, Node, Text

__all__ = ["BaseController", "Controller", "PciController"]


class ControllerDriver(VirtioDriver):
    """How the hypervisor serves a controller.

    Attributes:
        queues: of requests; as many as there are virtual CPUs is best.
        cmd_per_lun: commands that may wait for one of its devices.
        max_sectors: of 512 bytes, that one command may transfer.
        ioeventfd: by a thread of its own.
        iothread: the number of the thread that serves it (virtio-scsi).
    """

    queues: UnsignedInt | None = None
    cmd_per_lun: UnsignedInt | None = None
    max_sectors: UnsignedInt | None = None
    ioeventfd: OnOff | None = None
    iothread: UnsignedInt | None = None


class BaseController(Device):
    """A bus.

    Attributes:
        index: devices refer to it by this number; the lowest that no other of its type has when it is left out.
        model: which hardware it is.
    """

    known_by = ("type_ index master.startport", "type_ index")
    index: UnsignedInt | None = None
    driver: ControllerDriver | None = None
    acpi: Acpi | None = None


class PlainController(BaseController):
    """A floppy, SATA, smart card or ISA controller."""

    type_: Literal["fdc", "sata", "ccid", "isa"]


class ScsiController(BaseController):
    """A SCSI controller.

    Attributes:
        model: auto: as it fits the guest.
    """

    type_: Literal["scsi"]
    model: (
        Literal[
            "auto", "buslogic", "lsilogic", "lsisas1068", "vmpvscsi", "ibmvscsi", "virtio-scsi", "lsisas1078",
            "virtio-transitional", "virtio-non-transitional", "ncr53c90", "dc390", "am53c974",
        ]
        | None
    ) = None  # fmt: skip


class UsbMaster(Node):
    """To which USB 2 controller this one is the companion for slower devices: that of the same index.

    Attributes:
        startport: the first of its ports that are this one's.
    """

    startport: UsbPort


class UsbController(BaseController):
    """A USB controller.

    Attributes:
        model: none: the guest has no USB.
        ports: how many there are.
        master: whose companion it is.
    """

    type_: Literal["usb"]
    model: (
        Literal[
            "piix3-uhci", "piix4-uhci", "ehci", "ich9-ehci1", "ich9-uhci1", "ich9-uhci2", "ich9-uhci3",
            "vt82c686b-uhci", "pci-ohci", "nec-xhci", "none", "qusb1", "qusb2", "qemu-xhci",
        ]
        | None
    ) = None  # fmt: skip
    ports: UnsignedInt | None = None
    master: UsbMaster | None = None


class IdeController(BaseController):
    """An IDE controller.

    Attributes:
        model: (VirtualBox)
    """

    type_: Literal["ide"]
    model: Literal["piix3", "piix4", "ich6"] | None = None


class VirtioSerialController(BaseController):
    """A controller for serial ports and channels of virtio.

    Attributes:
        ports: how many there are.
        vectors: of interrupts.
    """

    type_: Literal["virtio-serial"]
    model: VirtioModel | None = None
    ports: UnsignedInt | None = None
    vectors: UnsignedInt | None = None


class XenbusController(BaseController):
    """The bus of Xen's own devices.

    Attributes:
        max_grant_frames: frames of memory it can share with the host.
        max_event_channels: interrupts that the guest can have.
    """

    type_: Literal["xenbus"]
    max_grant_frames: Annotated[UnsignedInt | None, Attr("maxGrantFrames")] = None
    max_event_channels: Annotated[UnsignedInt | None, Attr("maxEventChannels")] = None


# ---------------------------------------------------------------------------- PCI


class PciModel(Node):
    """Which device of the hypervisor the controller is; it is best left to libvirt.

    Attributes:
        name: each is of one ``model`` of controller.
    """

    name: Literal[
        "spapr-pci-host-bridge", "pci-bridge", "i82801b11-bridge", "pcie-pci-bridge", "ioh3420", "pcie-root-port",
        "x3130-upstream", "xio3130-downstream", "pxb", "pxb-pcie",
    ]  # fmt: skip


class PciTarget(Node):
    """What the guest sees of a PCI controller; it is best left to libvirt.

    Attributes:
        chassis_nr: of a pci-bridge, 1 to 255.
        chassis, port: of a pcie-root-port or a pcie-switch-downstream-port.
        bus_nr: the first bus behind an expander bus, 1 to 254.
        index: (pSeries) the order in which the guest sees its root buses.
        hotplug: devices can be plugged in and out while the guest runs.
        node: the guest's NUMA node that the bus belongs to.
    """

    chassis_nr: Annotated[UInt8 | None, Attr("chassisNr")] = None
    chassis: UInt8 | None = None
    port: UInt8 | None = None
    bus_nr: Annotated[UInt8 | None, Attr("busNr")] = None
    index: UInt8 | None = None
    hotplug: OnOff | None = None
    node: Annotated[UnsignedInt | None, Text] = None


class PciController(BaseController):
    """A PCI bus, whose index is the number of the bus.

    Attributes:
        device: which device of the hypervisor it is.
        target: what the guest sees of it.
    """

    type_: Literal["pci"]
    device: Annotated[PciModel | None, Child("model")] = None
    target: PciTarget | None = None


class PciRootController(PciController):
    """The guest's own PCI bus, which other controllers are plugged into.

    Attributes:
        pcihole64: how much of the address space above 4 GiB is for PCI devices, in KiB without a unit; 0: none, for
            guests that can't bear it.
    """

    unit_inside = "KiB"
    model: Literal["pci-root", "pcie-root"]
    pcihole64: ScaledInteger | None = None


class PciBridgeController(PciController):
    """A PCI bus behind a port or a bridge."""

    model: Literal[
        "pci-bridge", "dmi-to-pci-bridge", "pcie-to-pci-bridge", "pcie-root-port", "pcie-switch-upstream-port",
        "pcie-switch-downstream-port", "pci-expander-bus", "pcie-expander-bus",
    ]  # fmt: skip


Controller: TypeAlias = (
    PlainController
    | ScsiController
    | UsbController
    | IdeController
    | VirtioSerialController
    | XenbusController
    | PciRootController
    | PciBridgeController
)
