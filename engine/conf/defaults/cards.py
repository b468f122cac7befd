"""Network cards, and devices of the host. Source: libvirt's "Domain XML format", Network interfaces; Host devices."""

from __future__ import annotations

from typing import Any

from engine.conf.defaults.context import Context, Machine, change, devices_of, with_devices
from engine.conf.defaults.written import canonical_mac
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.hostdev import Hostdev
from engine.conf.kinds.domain.interface import HostdevInterface, Interface, VdpaInterface
from engine.conf.kinds.domain.network_card import CardModel, Mac

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
    mac = card.mac
    if mac is None:
        mac = Mac(address=context.generator.mac())
    changes: dict[str, Any] = {"mac": change(mac, address=canonical_mac(mac.address))}
    if card.model is None and not isinstance(card, HostdevInterface):
        name = "virtio" if isinstance(card, VdpaInterface) else _model(context.machine)
        changes["model"] = CardModel(type_=name)
    if card.target is not None and card.target.dev.startswith(_GENERATED) and not context.live:
        changes["target"] = None
    completed: Interface = change(card, **changes)
    return completed


def _model(machine: Machine) -> str:
    if machine.s390 or machine.arm_virt or machine.riscv_virt:
        return "virtio"
    if machine.arm:
        return _MODELS.get(machine.name, "lan9118")
    return "rtl8139"


def host_devices(definition: DomainDocument, context: Context) -> DomainDocument:
    """Devices of the host are the guest's own to drive; who takes them from the host is said."""
    return with_devices(definition, hostdevs=tuple(_hostdev(device) for device in devices_of(definition).hostdevs))


def _hostdev(device: Hostdev) -> Hostdev:
    if getattr(device, "mode", None) == "capabilities":
        return device
    managed = getattr(device, "managed", None)
    completed: Hostdev = change(device, mode="subsystem", managed=bool(managed))
    return completed
