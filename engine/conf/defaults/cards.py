"""Network cards, and devices of the host. Source: libvirt's "Domain XML format", Network interfaces; Host devices."""

from __future__ import annotations

from typing import Any

from engine.conf.defaults.context import Context, Machine, change, devices_of, each, with_devices
from engine.conf.defaults.storage import whole_pci_address
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.hostdev import (
    AdapterSource,
    Hostdev,
    IscsiHostdevSource,
    MdevHostdev,
    PciHostdev,
    ScsiHostdev,
)
from engine.conf.kinds.domain.interface import (
    DirectInterface,
    HostdevInterface,
    Interface,
    NetworkInterface,
    PassedCardAtAddress,
    PassedPciCardAddress,
    VdpaInterface,
)
from engine.conf.kinds.domain.network_card import CardModel, Coalesce, InterfaceTarget, Mac
from engine.conf.kinds.network_common import FilterRef, InterfaceIp, OpenVSwitchParameters, OpenVSwitchPort, QbgPort
from engine.conf.spellings import canonical_mac

__all__ = ["host_devices", "interfaces"]

#: Names that libvirt gives to the host's end of cards: of what does not run they say nothing.
_GENERATED = ("vnet", "vif", "macvtap", "macvlan")
#: The card that machines have which have no other.
_MODELS = {"versatilepb": "smc91c111"}


def interfaces(definition: DomainDocument, context: Context) -> DomainDocument:
    """Each with a hardware address and a model."""
    cards = tuple(_interface(card, context) for card in devices_of(definition).interfaces)
    return with_devices(definition, interfaces=cards)


def _interface(card: Interface, context: Context) -> Interface:
    mac = card.mac or Mac(address=context.generator.mac())
    changes: dict[str, Any] = {
        "mac": change(mac, address=canonical_mac(mac.address)),
        "ips": each(card.ips, _ip),
        "target": _target(card, context),
        "coalesce": _coalesce(card.coalesce),
        "filterref": _filter(card.filterref),
    }
    if card.model is None and not isinstance(card, HostdevInterface):
        name = "virtio" if isinstance(card, VdpaInterface) else _model(context.machine)
        changes["model"] = CardModel(type_=name)
    completed: Interface = change(card, **changes)
    return _of_kind(completed, context)


def _of_kind(card: Interface, context: Context) -> Interface:
    """What depends on what the card is connected to."""
    if isinstance(card, HostdevInterface):
        source = card.source
        if isinstance(source, PassedCardAtAddress) and isinstance(source.address, PassedPciCardAddress):
            source = change(source, address=change(source.address, **_whole(source.address)))
        card = change(card, managed=card.managed or None, source=source)
    elif isinstance(card, DirectInterface):
        card = change(card, source=change(card.source, mode=card.source.mode or "vepa"))
    elif isinstance(card, NetworkInterface) and not context.live:
        card = change(card, source=change(card.source, portid=None, bridge=None, mac_table_manager=None))
    return _with_port_ids(card, context)


def _whole(address: PassedPciCardAddress) -> dict[str, int]:
    return {name: getattr(address, name) or 0 for name in ("domain", "bus", "slot", "function")}


def _with_port_ids(card: Interface, context: Context) -> Interface:
    """A switch that knows ports by a UUID gets one, unless the network is to say what switch it is."""
    port = getattr(card, "virtualport", None)
    if isinstance(card, NetworkInterface):
        return card
    if isinstance(port, OpenVSwitchPort):
        had = port.parameters or OpenVSwitchParameters()
        known: Any = change(had, interfaceid=had.interfaceid or context.generator.uuid())
    elif isinstance(port, QbgPort) and port.parameters is not None:
        known = change(port.parameters, instanceid=port.parameters.instanceid or context.generator.uuid())
    else:
        return card
    completed: Interface = change(card, virtualport=change(port, parameters=known))
    return completed


def _target(card: Interface, context: Context) -> InterfaceTarget | None:
    """Without a name that libvirt gave, which is only that of one run."""
    target = card.target
    given = target is not None and target.managed is not False and target.dev.startswith(_GENERATED)
    return None if given and not context.live else target


def _ip(ip: InterfaceIp) -> InterfaceIp:
    return change(ip, family=ip.family or ("ipv6" if ":" in ip.address else "ipv4"))


def _coalesce(had: Coalesce | None) -> Coalesce | None:
    frames = had.rx.frames if had is not None and had.rx is not None else None
    return had if frames is not None and frames.max else None


def _filter(had: FilterRef | None) -> FilterRef | None:
    """Its variables by their names."""
    if had is None:
        return None
    return change(had, parameters=tuple(sorted(had.parameters, key=lambda parameter: parameter.name)))


def _model(machine: Machine) -> str:
    if machine.s390 or machine.arm_virt or machine.riscv_virt:
        return "virtio"
    if machine.arm:
        return _MODELS.get(machine.name, "lan9118")
    return "rtl8139"


def host_devices(definition: DomainDocument, context: Context) -> DomainDocument:
    """Devices of the host are the guest's own to drive; who takes them from the host is said."""
    return with_devices(
        definition, hostdevs=tuple(_hostdev(device, context) for device in devices_of(definition).hostdevs)
    )


def _hostdev(device: Hostdev, context: Context) -> Hostdev:
    if getattr(device, "mode", None) == "capabilities":
        return device
    changes: dict[str, Any] = {"mode": "subsystem", "managed": bool(getattr(device, "managed", None))}
    if isinstance(device, PciHostdev):
        changes["source"] = change(device.source, address=whole_pci_address(device.source.address))
    elif isinstance(device, ScsiHostdev):
        changes["source"] = _scsi_source(device.source)
    elif isinstance(device, MdevHostdev) and device.model == "vfio-pci" and device.display is None:
        changes["display"] = False if context.capabilities.has("vfio-pci.display") else None
    completed: Hostdev = change(device, **changes)
    return completed


def _scsi_source(source: AdapterSource | IscsiHostdevSource) -> AdapterSource | IscsiHostdevSource:
    """The unit of an iSCSI target is 0 where it is left out; that it is an adapter is not told."""
    if isinstance(source, AdapterSource):
        return change(source, protocol=None)
    return source if "/" in source.name else change(source, name=f"{source.name}/0")
