"""Network cards of Xen's guests: the specifications of ``vif``, and back.

Source: xl-network-configuration(5). With the script vif-openvswitch the bridge's name is followed by ``.`` and a VLAN,
or by ``:`` and the VLANs of a trunk, as that script says itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from engine.conf.kinds.domain.device import BackendDomain
from engine.conf.kinds.domain.interface import BridgeInterface, BridgeSource, EthernetInterface, Interface
from engine.conf.kinds.domain.interface import NetworkInterface as VirtualNetworkInterface
from engine.conf.kinds.domain.network_card import CardModel, InterfaceTarget, Mac, NetworkCard, Script
from engine.conf.kinds.network_common import Bandwidth, BandwidthLimit, InterfaceIp, Mtu, OpenVSwitchPort, Vlan, VlanTag
from engine.conf.native.xl.keys import Keys, Spec
from engine.conf.native.xl.text import Item, options_text

__all__ = ["card_text", "read_cards"]

#: What the type of a card is called that is not emulated, by format; the model of it in definitions.
PARAVIRTUAL = {"xen-xl": "vif", "xen-xm": "netfront"}
PARAVIRTUAL_MODEL = "netfront"
OPENVSWITCH = "vif-openvswitch"
_RATE = re.compile(r"([0-9]{1,15})([GMK]?)([Bb])(?:/s)?(@.*)?")
_BYTES = {"": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def read_cards(keys: Keys) -> Iterator[Interface]:
    for number, item in enumerate(keys.strings("vif"), 1):
        yield _card(keys, f"vif[{number}]", item)


def _card(keys: Keys, place: str, item: Item) -> Interface:
    spec = Spec(keys, place, item)
    mac, bridge, script, name = (spec.take(option) for option in ("mac", "bridge", "script", "vifname"))
    backend, mtu, model = spec.take("backend"), spec.number("mtu"), _model(spec)
    common: dict[str, Any] = {
        "mac": Mac(address=mac) if mac else None,
        "ips": tuple(map(_ip, (spec.take("ip") or "").split())),
        "script": Script(path=script) if script else None,
        "target": InterfaceTarget(dev=name) if name else None,
        "model": CardModel(type_=model) if model else None,
        "backenddomain": BackendDomain(name=backend) if backend else None,
        "bandwidth": _bandwidth(spec),
        "mtu": Mtu(size=mtu) if mtu else None,
        "line": item.line,
    }
    spec.finish()
    if bridge is None:
        return EthernetInterface(type_="ethernet", **common)
    if script is not None and script.rpartition("/")[2] == OPENVSWITCH:
        return _openvswitch(spec, bridge, common)
    return BridgeInterface(type_="bridge", source=BridgeSource(bridge=bridge), **common)


def _model(spec: Spec) -> str | None:
    """ioemu, what a card is without a type, says nothing."""
    model, type_ = spec.take("model"), spec.take("type")
    if type_ in (None, "ioemu"):
        return model
    if model is None and type_ in PARAVIRTUAL.values():
        return PARAVIRTUAL_MODEL
    spec.warn("type", "a card that is emulated has a model, and another is of type vif")
    return model


def _ip(address: str) -> InterfaceIp:
    return InterfaceIp(address=address, family="ipv6" if ":" in address else "ipv4")


def _bandwidth(spec: Spec) -> Bandwidth | None:
    text = spec.take("rate")
    if text is None:
        return None
    rate = _RATE.fullmatch(text)
    if rate is None:
        raise spec.error("a rate is a number and a unit, as 250KB/s")
    kilobytes, rest = divmod(int(rate[1]) * _BYTES[rate[2]], 1024 * (8 if rate[3] == "b" else 1))
    if rest:
        spec.warn("rate", "a definition has whole kilobytes")
    if rate[4]:
        spec.warn("rate", "how often the credit is renewed can't be said in a definition")
    return Bandwidth(outbound=BandwidthLimit(average=max(kilobytes, 1))) if kilobytes or rest else None


def _openvswitch(spec: Spec, text: str, common: dict[str, Any]) -> Interface:
    bridge, *trunk = text.split(":")
    bridge, dot, native = bridge.partition(".")
    tags = [native] if dot else []
    if any(not (tag.isascii() and tag.isdigit() and len(tag) < 5) for tag in (*tags, *trunk)):
        raise spec.error("a VLAN is a number")
    port = OpenVSwitchPort(type_="openvswitch")
    source = BridgeSource(bridge=bridge)
    vlan = _vlan(tags, trunk)
    return BridgeInterface(type_="bridge", source=source, virtualport=port, vlan=vlan, **common)


def _vlan(native: list[str], trunk: list[str]) -> Vlan | None:
    if not native and not trunk:
        return None
    first = tuple(VlanTag(id_=int(tag), native_mode="untagged" if trunk else None) for tag in native)
    tags = (*first, *(VlanTag(id_=int(tag)) for tag in trunk if tag not in native))
    return Vlan(trunk="yes" if trunk else None, tags=tags)


# ---------------------------------------------------------------------------- writing


def card_text(card: Interface, *, hvm: bool, dialect: str) -> str | None:
    """None: Xen has no card of that kind."""
    place = _place(card)
    if place is None:
        return None
    mac = card.mac.address if card.mac else None
    options = [("mac", mac), *place, ("ip", " ".join(ip.address for ip in card.ips)), ("script", _script(card))]
    options += [*_model_options(card, hvm, dialect), ("vifname", card.target.dev if card.target else None)]
    options += [("backend", card.backenddomain.name if card.backenddomain else None), ("rate", _rate(card))]
    options.append(("mtu", str(int(card.mtu.size)) if card.mtu else None))
    return options_text(options)


def _place(card: Interface) -> list[tuple[str, str | None]] | None:
    """What it is connected to; no options if it is nothing of the host's."""
    if isinstance(card, EthernetInterface):
        return []
    if isinstance(card, BridgeInterface | VirtualNetworkInterface) and card.source and card.source.bridge:
        vlans = _vlan_text(card) if isinstance(card.virtualport, OpenVSwitchPort) else ""
        return [("bridge", card.source.bridge + vlans)]
    return None


def _vlan_text(card: NetworkCard) -> str:
    tags = card.vlan.tags if card.vlan else ()
    if card.vlan and not card.vlan.trunk and len(tags) == 1:
        return f".{int(tags[0].id_)}"
    native = "".join(f".{int(tag.id_)}" for tag in tags if tag.native_mode)
    return native + "".join(f":{int(tag.id_)}" for tag in tags if not tag.native_mode)


def _script(card: Interface) -> str | None:
    if card.script is not None:
        return card.script.path
    if isinstance(card, BridgeInterface | VirtualNetworkInterface) and isinstance(card.virtualport, OpenVSwitchPort):
        return OPENVSWITCH
    return None


def _model_options(card: NetworkCard, hvm: bool, dialect: str) -> list[tuple[str, str | None]]:
    model = card.model.type_ if card.model else None
    if hvm and model == PARAVIRTUAL_MODEL:
        return [("type", PARAVIRTUAL[dialect])]
    return [("model", model)]


def _rate(card: NetworkCard) -> str | None:
    limit = card.bandwidth.outbound if card.bandwidth else None
    return f"{int(limit.average)}KB/s" if limit and limit.average else None
