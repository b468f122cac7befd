"""What of the machine decides about addresses: which buses it has, and what is soldered to them.

Sources: "Device Addresses" and "Controllers" of libvirt's "Domain XML format"; QEMU's documentation of its machines.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

import msgspec

from engine.conf.kinds.domain.controller import PciRootController
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.os import HvmOs

__all__ = ["Abilities", "Board", "Chipset", "FixedPlace", "Machine", "machine_of"]


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the hypervisor can do that decides where devices go; as it is by default, QEMU since 2.12 can.

    Attributes:
        pci_host: the virt machines of Arm and RISC-V have PCI Express; else their virtio devices use virtio-mmio.
        root_port: it has its generic ``pcie-root-port``; else ports are Intel's ``ioh3420``.
        pcie_bridge: it has ``pcie-pci-bridge``; else there are two bridges between PCI Express and PCI.
        modern_virtio: virtio devices may be on PCI Express; else they are on PCI.
        zpci: S/390 guests can have PCI.
    """

    pci_host: bool = True
    root_port: bool = True
    pcie_bridge: bool = True
    modern_virtio: bool = True
    zpci: bool = True

    @classmethod
    def of(cls, has: Callable[[str], bool]) -> Abilities:
        """From what the hypervisor has, by the names of libvirt's capabilities of QEMU."""
        return cls(**{name: has(flag) for name, flag in _FLAGS.items()})


_FLAGS = {
    "pci_host": "gpex-pcihost",
    "root_port": "pcie-root-port",
    "pcie_bridge": "pcie-pci-bridge",
    "modern_virtio": "virtio-pci-disable-legacy",
    "zpci": "zpci",
}


class Board(Enum):
    """What kind of machine it is."""

    I440FX = "i440fx"
    Q35 = "q35"
    VIRT = "virt"
    VEXPRESS = "vexpress"
    PSERIES = "pseries"
    S390 = "s390"
    OTHER = "other"


class FixedPlace(msgspec.Struct, frozen=True, kw_only=True):
    """A device that is where it is on the real machine.

    Attributes:
        field, type_, model: which devices are meant, by the index 0 if ``only_first``; a model of "" is none.
        slots: of the root bus, tried in this order; function: of the slot.
        strict: it can't be anywhere else; not strict: if all are taken it goes where others go.
        what: in words.
    """

    field: str
    slots: tuple[int, ...]
    what: str
    type_: str = ""
    models: tuple[str | None, ...] = ()
    function: int = 0
    only_first: bool = False
    strict: bool = False


class Chipset(msgspec.Struct, frozen=True, kw_only=True):
    """What is soldered to the root bus.

    Attributes:
        places: of devices of the document; they are taken in this order.
        hidden: (slot, function) of what no document shows.
        closed: slots in which nothing else fits.
        video: the slot of the first graphics card; 0: any.
    """

    places: tuple[FixedPlace, ...] = ()
    hidden: tuple[tuple[int, int], ...] = ()
    closed: tuple[int, ...] = ()
    video: int = 0


#: The southbridge is in slot 1: to ISA, IDE, USB and power management.
_PIIX3 = Chipset(
    places=(
        FixedPlace(
            field="controllers", type_="ide", slots=(1,), function=1, only_first=True, strict=True,
            what="the first IDE controller",
        ),
        FixedPlace(
            field="controllers", type_="usb", models=(None, "piix3-uhci"), slots=(1,), function=2, only_first=True,
            strict=True, what="the first USB controller, a piix3-uhci",
        ),
    ),
    hidden=((1, 0), (1, 3)),
    closed=(1,),
    video=2,
)  # fmt: skip

#: The southbridge is in slot 31: to ISA, SATA and SMBus; bridge, USB and sound are where they are on real boards.
_ICH9 = Chipset(
    places=(
        FixedPlace(
            field="controllers", type_="sata", slots=(0x1F,), function=2, only_first=True, strict=True,
            what="the first SATA controller",
        ),
        FixedPlace(
            field="controllers", type_="usb", models=("ich9-uhci1",), slots=(0x1D, 0x1A), what="a USB controller",
        ),
        FixedPlace(
            field="controllers", type_="pci", models=("dmi-to-pci-bridge",), slots=(0x1E,), what="a bridge to PCI",
        ),
        FixedPlace(field="sounds", models=("ich9",), slots=(0x1B,), what="a sound card"),
    ),
    hidden=((0x1F, 0), (0x1F, 3)),
    video=1,
)  # fmt: skip

_CHIPSETS = {Board.I440FX: _PIIX3, Board.Q35: _ICH9}
_NO_CHIPSET = Chipset()

_ARM = ("arm", "armv6l", "armv7l", "armv7b", "aarch64")
_RISCV = ("riscv32", "riscv64")
_X86 = ("i686", "x86_64")
_PPC64 = ("ppc64", "ppc64le")

#: The first that fits says which board it is; without a name, the first of its architecture.
_BOARDS = (
    (_X86, r"(pc-)?q35.*", Board.Q35),
    (_X86, r"pc|pc-[01].*|pc-i440fx-.*|rhel.*", Board.I440FX),
    (_ARM, r"vexpress-.*", Board.VEXPRESS),
    ((*_ARM, *_RISCV), r"virt(-.*)?", Board.VIRT),
    (_PPC64, r"pseries.*", Board.PSERIES),
    (("s390", "s390x"), r"s390.*", Board.S390),
)
_USUAL = {"": "pc", "i686": "pc", "x86_64": "pc", "s390x": "s390-ccw-virtio", "ppc64": "pseries", "ppc64le": "pseries"}

#: Architectures of which the other machines have a PCI bus, too.
_OTHERS_WITH_PCI = ("alpha", "ppc", "ppc64", "ppc64le", "ppcemb", "sh4", "sh4eb")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine of a domain.

    Attributes:
        board: its kind.
        root: the model of its PCI bus, "" if it has none.
        chipset: what is soldered to that.
        abilities: of the hypervisor.
    """

    board: Board
    root: str
    abilities: Abilities

    @property
    def chipset(self) -> Chipset:
        return _CHIPSETS.get(self.board, _NO_CHIPSET)

    @property
    def express(self) -> bool:
        """Whether it has PCI Express."""
        return self.root == "pcie-root"

    @property
    def many_roots(self) -> bool:
        """Whether it grows by one more root bus, instead of a bridge."""
        return self.board is Board.PSERIES


def machine_of(definition: DomainDocument, abilities: Abilities) -> Machine:
    """The machine of a domain with full virtualization; without a name, the usual one of its architecture."""
    type_ = definition.os.type_ if isinstance(definition.os, HvmOs) else None
    arch = str((type_ and type_.arch) or "x86_64")
    name = str((type_ and type_.machine) or _USUAL.get(arch, ""))
    board = next((b for arches, form, b in _BOARDS if arch in arches and re.fullmatch(form, name)), Board.OTHER)
    root = _root_of(board, arch, name, abilities) or _given_root(definition)
    return Machine(board=board, root=root, abilities=abilities)


def _given_root(definition: DomainDocument) -> str:
    """The document may know of a PCI bus that is not known of here."""
    controllers = definition.devices.controllers if definition.devices is not None else ()
    roots = (each.model for each in controllers if isinstance(each, PciRootController) and not each.index)
    return next(roots, "")


def _root_of(board: Board, arch: str, name: str, abilities: Abilities) -> str:
    match board:
        case Board.I440FX | Board.PSERIES:
            return "pci-root"
        case Board.Q35:
            return "pcie-root"
        case Board.VIRT:
            return "pcie-root" if abilities.pci_host else ""
        case Board.S390:
            return "pci-root" if abilities.zpci else ""
    return "pci-root" if arch in _OTHERS_WITH_PCI or (arch in _ARM and name == "versatilepb") else ""
