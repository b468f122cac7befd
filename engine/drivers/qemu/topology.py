"""What is plugged into what: buses, controllers and the places on them. Pure.

Addresses that the document gives are kept; what has none QEMU places itself, in the order of the document. Controllers
that are needed and not written there are added, as libvirt adds them.
"""

from __future__ import annotations

from typing import Any

from engine.conf.devices import Address, Controller, Disk, MachineDefinition
from engine.drivers.qemu.options import Line, refuse

__all__ = ["Topology"]

_USB = {
    "piix3-uhci": "piix3-usb-uhci",
    "piix4-uhci": "piix4-usb-uhci",
    "ehci": "usb-ehci",
    "ich9-ehci1": "ich9-usb-ehci1",
    "ich9-uhci1": "ich9-usb-uhci1",
    "ich9-uhci2": "ich9-usb-uhci2",
    "ich9-uhci3": "ich9-usb-uhci3",
    "nec-xhci": "nec-usb-xhci",
    "qemu-xhci": "qemu-xhci",
}
_SCSI = {
    "lsilogic": "lsi53c895a",
    "virtio-scsi": "virtio-scsi-pci",
    "virtio": "virtio-scsi-pci",
    "lsisas1068": "mptsas1068",
    "vmpvscsi": "pvscsi",
}
_PCI = {"pcie-root-port": "pcie-root-port", "pci-bridge": "pci-bridge", "pcie-to-pci-bridge": "pcie-pci-bridge"}


class Topology:
    """The buses of one machine."""

    def __init__(self, line: Line, machine: MachineDefinition, *, q35: bool) -> None:
        self.q35 = q35
        self.root = "pcie.0" if q35 else "pci.0"
        self._line = line
        self._controllers: dict[tuple[str, int], Controller] = {}
        self._taken: dict[tuple[str, int, int], Disk] = {}
        users = (*machine.devices.channels, *machine.devices.consoles)
        self._ports = {(at.controller, _port(at)) for user in users if (at := user.address) is not None}
        for controller in machine.devices.controllers:
            key = (controller.type, controller.index)
            if key in self._controllers and controller.master is None:
                raise refuse(f"<controller type='{controller.type}'>", f"index {controller.index} is taken", controller)
            self._controllers.setdefault(key, controller)
        for controller in machine.devices.controllers:
            self._add(controller)

    # ------------------------------------------------------------------ controllers

    def _add(self, controller: Controller) -> None:
        shown = f"<controller type='{controller.type}' model='{controller.model}'>"
        place = self.pci(controller.address)
        index = controller.index
        match controller.type:
            case "usb":
                self._usb(controller, place, shown)
            case "virtio-serial":
                self._line.device(
                    "virtio-serial-pci",
                    place,
                    stage=1,
                    id=f"virtio-serial{index}",
                    exact={"max_ports": controller.ports or None},
                    vectors=controller.vectors or None,
                )
            case "scsi":
                driver = _SCSI.get(controller.model or "lsilogic")
                if driver is None:
                    raise refuse(shown, f"not supported (there is {', '.join(_SCSI)})", controller)
                self._line.device(driver, place, stage=1, id=f"scsi{index}")
            case "sata":
                if not (self.q35 and index == 0):  # that one is part of the machine
                    self._line.device("ich9-ahci", place, stage=1, id=f"sata{index}")
            case "ide":
                if self.q35 or index:
                    raise refuse(shown, "the machine has no such IDE controller: use sata", controller)
            case "pci":
                self._pci(controller, place, shown)

    def _usb(self, controller: Controller, place: dict[str, Any] | None, shown: str) -> None:
        if controller.model == "none":
            return
        driver = _USB.get(controller.model or ("qemu-xhci" if self.q35 else "piix3-uhci"))
        if driver is None:
            raise refuse(shown, f"not supported (there is {', '.join(_USB)}, none)", controller)
        bus = "usb" if controller.index == 0 else f"usb{controller.index}"
        if controller.master is not None:
            self._line.device(driver, place, stage=1, masterbus=f"{bus}.0", firstport=controller.master.startport)
        else:
            ports: dict[str, Any] = (
                {"p2": controller.ports, "p3": controller.ports} if controller.ports and "xhci" in driver else {}
            )
            # the companions of an ehci hang on it, whatever their order in the document
            self._line.device(driver, place, stage=0 if "ehci" in driver else 1, id=bus, **ports)

    def _pci(self, controller: Controller, place: dict[str, Any] | None, shown: str) -> None:
        index = controller.index
        if controller.model == ("pcie-root" if self.q35 else "pci-root") and index == 0:
            return
        driver = _PCI.get(controller.model)
        if driver is None or index == 0:
            raise refuse(shown, f"not supported (there is {', '.join(_PCI)})", controller)
        if controller.model != "pci-bridge" and not self.q35:
            raise refuse(shown, "the machine has no PCI Express", controller)
        target = controller.target
        facts: dict[str, Any] = {}
        exact: dict[str, Any] = {}
        if controller.model == "pcie-root-port":
            facts = {"chassis": (target and target.chassis) or index, "port": (target and target.port) or index}
        elif controller.model == "pci-bridge":
            exact = {"chassis_nr": (target and target.chassisNr) or index}
        self._line.device(driver, place, stage=0, id=f"pci.{index}", exact=exact, **facts)

    def _need(self, kind: str, index: int, node: Disk | None = None, *, model: str = "") -> Controller:
        """The controller; added when the document leaves it out."""
        found = self._controllers.get((kind, index))
        if found is None:
            if index > 7 and node is not None:
                raise refuse(f"<address controller='{index}'>", f"there is no {kind} controller {index}", node)
            found = Controller(type=kind, index=index, model=model)  # type: ignore[arg-type]
            self._controllers[kind, index] = found
            self._add(found)
        return found

    # ------------------------------------------------------------------ places

    def pci(self, address: Address | None) -> dict[str, Any] | None:
        """Where a PCI device goes, or None: QEMU chooses."""
        if address is None:
            return None
        if address.type != "pci":
            raise refuse(f"<address type='{address.type}'>", "this device needs an address of type pci", address)
        if address.domain or not 0 <= address.slot < 32 or not 0 <= address.function < 8:
            raise refuse("<address type='pci'>", "there is no such place", address)
        if address.bus and ("pci", address.bus) not in self._controllers:
            raise refuse(f"<address bus='{address.bus}'>", f"there is no PCI controller {address.bus}", address)
        place: dict[str, Any] = {
            "bus": self.root if address.bus == 0 else f"pci.{address.bus}",
            "addr": f"{address.slot:#x}.{address.function:#x}" if address.function else f"{address.slot:#x}",
        }
        if address.multifunction:
            place["multifunction"] = True
        return place

    def usb(self, address: Address | None) -> dict[str, Any]:
        """Where a USB device goes."""
        if address is not None and address.type != "usb":
            raise refuse(f"<address type='{address.type}'>", "this device needs an address of type usb", address)
        bus = address.bus if address else 0
        if self._need("usb", bus).model == "none":
            raise refuse(
                "<controller type='usb' model='none'>", "a USB device needs a USB controller", self._need("usb", bus)
            )
        place = {"bus": "usb.0" if bus == 0 else f"usb{bus}.0"}
        return {**place, "port": address.port} if address is not None and address.port else place

    def virtio_port(self, address: Address | None) -> dict[str, Any]:
        """Where a virtio-serial port goes."""
        if address is not None and address.type != "virtio-serial":
            raise refuse(f"<address type='{address.type}'>", "this needs an address of type virtio-serial", address)
        index = address.controller if address else 0
        self._need("virtio-serial", index)
        number = _port(address) if address is not None else 0
        if not number:
            number = next(n for n in range(1, 1 << 16) if (index, n) not in self._ports)
            self._ports.add((index, number))
        return {"bus": f"virtio-serial{index}.0", "nr": number}

    def _drive(self, kind: str, disk: Disk, place: tuple[int, int, int]) -> tuple[int, int, int]:
        """Controller, target, unit: the document's, or ``place``."""
        address = disk.address
        if address is not None:
            if address.type != "drive":
                raise refuse(
                    f"<address type='{address.type}'>", f"a {kind} disk needs an address of type drive", address
                )
            # libvirt's IDE addresses have the cable in bus
            place = (address.controller, address.bus if kind == "ide" else address.target, address.unit)
        key = (kind, place[0] * 1024 + place[1], place[2])
        if key in self._taken:
            other = self._taken[key].target.dev
            raise refuse(f"<target dev='{disk.target.dev}'>", f"its place is taken by {other}", disk)
        self._taken[key] = disk
        return place

    def ide(self, disk: Disk, number: int) -> dict[str, Any]:
        if self.q35:
            raise refuse("<target bus='ide'>", "a q35 machine has no IDE controller: use sata", disk.target)
        _, cable, unit = self._drive("ide", disk, (0, number // 2, number % 2))
        if not 0 <= cable < 2 or not 0 <= unit < 2 or number < 0:
            raise refuse(f"<target dev='{disk.target.dev}'>", "an IDE controller has room for hda to hdd", disk.target)
        return {"bus": f"ide.{cable}", "unit": unit}

    def sata(self, disk: Disk, number: int) -> dict[str, Any]:
        controller, _, unit = self._drive("sata", disk, (number // 6, 0, number % 6))
        if not 0 <= unit < 6 or number < 0:
            raise refuse(f"<target dev='{disk.target.dev}'>", "a SATA controller has six ports", disk.target)
        self._need("sata", controller, disk)
        return {"bus": f"ide.{unit}" if self.q35 and controller == 0 else f"sata{controller}.{unit}"}

    def scsi(self, disk: Disk, number: int) -> dict[str, Any]:
        controller, target, unit = self._drive("scsi", disk, (number // 7, 0, number % 7))
        if number < 0:
            raise refuse(f"<target dev='{disk.target.dev}'>", "the name has no letter (sda)", disk.target)
        found = self._need("scsi", controller, disk)
        if found.model in ("", "lsilogic"):  # one LUN a target: libvirt's unit is the SCSI id there
            return {"bus": f"scsi{controller}.0", "scsi-id": unit}
        return {"bus": f"scsi{controller}.0", "channel": 0, "scsi-id": target, "lun": unit}


def _port(address: Address) -> int:
    """The number of a virtio-serial port; 0: not given (port 0 is the first console's, and QEMU's own matter)."""
    return int(address.port) if address.port.isdigit() else 0
