"""Network cards, to a .vmx.

Source: libvirt's "VMware ESX hypervisor driver", MAC addresses: from which range each kind of address is, and that
VMware is told not to look at others.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.conf.kinds.domain.interface import (
    BridgeInterface,
    Interface,
    NullInterface,
    UserInterface,
    VdsInterface,
    VdsSource,
)
from engine.conf.kinds.domain.network_card import InterfaceTarget
from engine.vmx.output import Output
from engine.vmx.words import uuid_text

__all__ = ["put_interfaces"]

_MODELS = ("vlance", "vmxnet", "vmxnet2", "vmxnet3", "e1000", "e1000e")
_MADE_UP = re.compile(r"vnet[0-9]+")  # a name that libvirt gives to the host's end where nobody does
_ESX, _VMWARE = 0x000C29, 0x005056


def put_interfaces(output: Output, interfaces: Sequence[Interface]) -> None:
    """All that VMware can have, numbered in their order."""
    number = 0
    for interface in interfaces:
        if isinstance(interface, BridgeInterface | UserInterface | NullInterface | VdsInterface):
            _put_interface(output, interface, f"ethernet{number}")
            number += 1
        else:
            reason = f"VMware has no interfaces of type='{interface.type_}', so it is left out"
            output.skip(interface, reason)


def _put_interface(output: Output, interface: Interface, device: str) -> None:
    output.put(f"{device}.present", True)
    _put_model(output, interface, device)
    if isinstance(interface, BridgeInterface):
        _put_bridge(output, interface, device)
    elif isinstance(interface, UserInterface):
        output.put(f"{device}.connectionType", "nat")
    elif isinstance(interface, VdsInterface):
        _put_switch(output, interface.source, device)
    _put_mac(output, interface, device)


def _put_model(output: Output, interface: Interface, device: str) -> None:
    if interface.model is None:
        return
    model = interface.model.type_.lower()
    if model not in _MODELS:
        output.skip(interface.model, f"VMware has no network card '{model}', so its default is taken")
        return
    output.skip(interface.model, field="type_")  # in whatever case it was
    output.put(f"{device}.virtualDev", "vmxnet" if model == "vmxnet2" else model)
    if model == "vmxnet2":
        output.put(f"{device}.features", 15)


def _put_bridge(output: Output, interface: BridgeInterface, device: str) -> None:
    vnet = interface.target.dev if interface.target is not None else ""
    if interface.source is not None:
        output.put(f"{device}.networkName", interface.source.bridge)
    if vnet and not _MADE_UP.fullmatch(vnet):
        output.put(f"{device}.connectionType", "custom")
        output.put(f"{device}.vnet", vnet)
    else:
        output.put(f"{device}.connectionType", "bridged")
        if interface.target == InterfaceTarget(dev=vnet):
            output.skip(interface.target)


def _put_switch(output: Output, source: VdsSource, device: str) -> None:
    output.put(f"{device}.dvs.switchId", uuid_text(source.switchid))
    output.put(f"{device}.dvs.portId", source.portid)
    output.put(f"{device}.dvs.portgroupId", source.portgroupid)
    output.put(f"{device}.dvs.connectionId", source.connectionid)


# ---------------------------------------------------------------------------- addresses


def _put_mac(output: Output, interface: Interface, device: str) -> None:
    """Without one, VMware makes one up."""
    mac = interface.mac
    if mac is None:
        output.put(f"{device}.addressType", "generated")
        return
    address = mac.address.lower()
    kind, checks = _kind(address, mac.type_)
    output.put(f"{device}.addressType", kind)
    output.put(f"{device}.address" if kind == "static" else f"{device}.generatedAddress", address)
    if kind == "generated":
        output.put(f"{device}.generatedAddressOffset", 0)
    if mac.check_ is not None or not checks:
        output.put(f"{device}.checkMACAddress", bool(mac.check_))


def _kind(address: str, wanted: str | None) -> tuple[str, bool]:
    """The kind of an address, and whether VMware takes it for one of that kind."""
    number = int(address.replace(":", ""), 16)
    prefix, range_ = number >> 24, (number >> 22) & 3
    by_user = prefix == _VMWARE and range_ == 0
    by_center = prefix == _VMWARE and range_ == 2
    if wanted == "static" or by_user:
        return "static", by_user
    if by_center:
        return "vpx", True
    if wanted == "generated" or prefix == _ESX:
        return "generated", prefix == _ESX
    return "static", False
