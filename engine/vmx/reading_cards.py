"""Network cards, from a .vmx.

Sources: VMware's public lists of .vmx parameters; libvirt's "VMware ESX hypervisor driver" and "Domain XML
format". VMware's own virtual networks are called VMnet0, which is bridged, and VMnet1, which is for the host alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from engine.conf.kinds.domain.interface import (
    BridgeInterface,
    BridgeSource,
    Interface,
    NullInterface,
    UserInterface,
    VdsInterface,
    VdsSource,
)
from engine.conf.kinds.domain.network_card import CardModel, InterfaceTarget, Mac
from engine.vmx.settings import Settings

__all__ = ["interfaces"]

_MAC = re.compile(r"[0-9a-f]{2}([:-][0-9a-f]{2}){5}")
_ENHANCED = 15  # the features by which a vmxnet card is an enhanced one, which libvirt calls vmxnet2
_NETWORKS = {"bridged": "VMnet0", "hostonly": "VMnet1"}


def interfaces(settings: Settings) -> Iterator[Interface]:
    """All that are present, by number."""
    for (number,) in settings.numbers_of(r"ethernet(\d+)"):
        device = f"ethernet{number}"
        if settings.flag(f"{device}.present"):
            yield _interface(settings, device)
        else:
            settings.skip(device, "it is not present, so what is said of it is left out")


def _interface(settings: Settings, device: str) -> Interface:
    if not settings.flag(f"{device}.startConnected", default=True):
        settings.warn(f"{device}.startConnected", "a domain's devices are connected from the start")
    common: dict[str, Any] = {
        "line": settings.line(f"{device}.present"),
        "mac": _mac(settings, device),
        "model": _model(settings, device),
    }
    kind = settings.word(f"{device}.connectionType")
    network = settings.text(f"{device}.networkName") or ""
    if kind == "nat":
        if network:
            settings.warn(f"{device}.networkName", "a network with address translation has no name in a domain")
        return UserInterface(type_="user", **common)
    if kind == "custom":
        return _custom(settings, device, network, common)
    if not kind and not network:
        return _unnamed(settings, device, common)
    if kind not in ("", *_NETWORKS) or (kind == "hostonly" and network):
        settings.warn(f"{device}.connectionType", "it is taken for a bridge")
    bridge = network or _NETWORKS.get(kind, _NETWORKS["bridged"])
    source = BridgeSource(bridge=bridge, line=settings.line(f"{device}.networkName"))
    return BridgeInterface(type_="bridge", source=source, **common)


def _custom(settings: Settings, device: str, network: str, common: dict[str, Any]) -> Interface:
    """On a network of the host's that is chosen by its device."""
    vnet = settings.text(f"{device}.vnet") or ""
    if not network and not vnet:
        settings.warn(f"{device}.connectionType", "it is not said on which network the card is, so it is on none")
        return NullInterface(type_="null", **common)
    target = InterfaceTarget(dev=vnet, line=settings.line(f"{device}.vnet")) if vnet else None
    source = BridgeSource(
        bridge=network or vnet, line=settings.line(f"{device}.{'networkName' if network else 'vnet'}")
    )
    return BridgeInterface(type_="bridge", source=source, target=target, **common)


def _unnamed(settings: Settings, device: str, common: dict[str, Any]) -> Interface:
    """On a distributed switch, or on nothing."""
    switch = settings.uuid(f"{device}.dvs.switchId")
    if switch is None:
        return NullInterface(type_="null", **common)
    source = VdsSource(
        switchid=switch,
        portid=settings.number(f"{device}.dvs.portId") or 0,
        portgroupid=settings.text(f"{device}.dvs.portgroupId") or "",
        connectionid=settings.number(f"{device}.dvs.connectionId") or 0,
    )
    return VdsInterface(type_="vds", source=source, **common)


def _mac(settings: Settings, device: str) -> Mac | None:
    """``vpx`` addresses were generated too, by a vCenter. None: VMware has not given the card one yet."""
    kind = settings.word(f"{device}.addressType") or "generated"
    if kind not in ("static", "generated", "vpx"):
        settings.refuse(f"{device}.addressType", "is none of static, generated and vpx")
    key = f"{device}.address" if kind == "static" else f"{device}.generatedAddress"
    checks = (
        settings.flag(f"{device}.checkMACAddress", default=True)
        if settings.glance(f"{device}.checkMACAddress")
        else None
    )
    address = settings.word(key)
    if not address:
        _warn_of_no_address(settings, device, kind)
        return None
    if not _MAC.fullmatch(address):
        settings.refuse(key, "is no MAC address")
    return Mac(
        line=settings.line(key),
        address=address.replace("-", ":"),
        type_="static" if kind == "static" else "generated",
        check_=checks,
    )


def _warn_of_no_address(settings: Settings, device: str, kind: str) -> None:
    told = {"addressType": kind != "generated", "checkMACAddress": bool(settings.glance(f"{device}.checkMACAddress"))}
    for name, is_said in told.items():
        if is_said:
            settings.warn(f"{device}.{name}", "the card has no address yet, so it is left out")


def _model(settings: Settings, device: str) -> CardModel | None:
    word = settings.word(f"{device}.virtualDev")
    if word == "vmxnet" and (settings.number(f"{device}.features") or 0) & _ENHANCED == _ENHANCED:
        word = "vmxnet2"
    return CardModel(type_=word, line=settings.line(f"{device}.virtualDev")) if word else None
