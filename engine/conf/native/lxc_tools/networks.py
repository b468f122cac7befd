"""The network of a container: cards of its own, devices of the host's, or the host's network.

Source: lxc.container.conf(5), "Network". Version 2 begins a card with each ``lxc.network.type``; since version 3 each
has a number, ``lxc.net.0.type``.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from engine.conf.kinds.domain.hostdev import Hostdev, NetHostdev, NetHostdevSource
from engine.conf.kinds.domain.interface import (
    BridgeInterface,
    BridgeSource,
    DirectInterface,
    DirectSource,
    EthernetInterface,
    Interface,
)
from engine.conf.kinds.domain.network_card import GuestDevice, InterfaceTarget, Link, Mac, Script
from engine.conf.kinds.network_common import InterfaceIp, Mtu, Route
from engine.conf.native.lxc_tools.text import Entries, Entry

__all__ = ["Networks", "read_networks"]

_FIRST, _SINCE = "lxc.network.", "lxc.net."
#: Options of version 2 that have another name since.
_RENAMED = {"ipv4": "ipv4.address", "ipv6": "ipv6.address"}
_MODES = {"private": "private", "vepa": "vepa", "bridge": "bridge", "passthru": "passthrough"}
_DEFAULT_MODE = "private"
_ANYWHERE: dict[Literal["ipv4", "ipv6"], str] = {"ipv4": "0.0.0.0", "ipv6": "::"}  # noqa: S104  # a route, no address


class Networks(msgspec.Struct, kw_only=True):
    """What there is.

    Attributes:
        own: the container has a network of its own, though there is no card in it.
    """

    interfaces: list[Interface]
    hostdevs: list[Hostdev]
    own: bool


class Card:
    """The options of one card while they are read."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._options: dict[str, list[Entry]] = {}

    def add(self, option: str, entry: Entry) -> None:
        self._options.setdefault(_RENAMED.get(option, option), []).append(entry)

    def take(self, option: str) -> list[Entry]:
        return self._options.pop(option, [])

    def last(self, option: str) -> Entry | None:
        return self._entries.counting(self.take(option))

    def text(self, option: str) -> str | None:
        entry = self.last(option)
        return entry.value if entry else None

    def finish(self) -> None:
        """Tells what was not taken."""
        for found in self._options.values():
            for entry in found:
                self._entries.warn(entry)


def read_networks(entries: Entries) -> Networks:
    cards = _cards(entries)
    networks = Networks(interfaces=[], hostdevs=[], own=not cards)
    for card in cards:
        _read_card(entries, card, networks)
        card.finish()
    return networks


def _cards(entries: Entries) -> list[Card]:
    cards: list[Card] = []
    numbered: dict[int, Card] = {}
    for entry in sorted(entries.beginning(_FIRST), key=lambda entry: entry.line):
        option = entry.key.removeprefix(_FIRST)
        if option == "type" or not cards:
            cards.append(Card(entries))
        cards[-1].add(option, entry)
    for entry in entries.beginning(_SINCE):
        number, _, option = entry.key.removeprefix(_SINCE).partition(".")
        if not (number.isdigit() and len(number) < 6) or not option:
            raise entries.error("cards are numbered, as in lxc.net.0.type", entry)
        numbered.setdefault(int(number), Card(entries)).add(option, entry)
    return [*cards, *(numbered[number] for number in sorted(numbered))]


def _read_card(entries: Entries, card: Card, networks: Networks) -> None:
    type_ = card.last("type")
    kind = type_.value if type_ else None
    link = card.text("link") if kind in ("veth", "macvlan", "phys", "vlan") else None
    match kind:
        case "none":
            return
        case "empty":
            networks.own = True
        case "veth":
            networks.interfaces.append(_veth(entries, card, link, type_))
        case "macvlan":
            networks.interfaces.append(_macvlan(entries, card, link, type_))
        case "phys":
            networks.hostdevs.append(_hostdev(entries, card, link, type_))
        case "vlan":
            tag = card.text("vlan.id")
            networks.hostdevs.append(_hostdev(entries, card, f"{link}.{tag}" if link and tag else None, type_))
        case _:
            networks.own = True
            if type_ is not None:
                entries.warn(type_, "cards of this type can't be said in a definition")


def _veth(entries: Entries, card: Card, link: str | None, type_: Entry | None) -> Interface:
    common = _interface(entries, card, type_)
    if link is None:
        return EthernetInterface(type_="ethernet", **common)
    return BridgeInterface(type_="bridge", source=BridgeSource(bridge=link), **common)


def _macvlan(entries: Entries, card: Card, link: str | None, type_: Entry | None) -> Interface:
    if link is None:
        raise entries.error("a card of type macvlan needs a 'link'", type_)
    word = card.text("macvlan.mode") or _DEFAULT_MODE
    mode: Any = _MODES.get(word)
    if mode is None:
        raise entries.error(f"the modes of macvlan are {', '.join(_MODES)}", type_)
    return DirectInterface(type_="direct", source=DirectSource(dev=link, mode=mode), **_interface(entries, card, type_))


def _hostdev(entries: Entries, card: Card, device: str | None, type_: Entry | None) -> Hostdev:
    if device is None:
        raise entries.error("a card of the host's needs a 'link', and a VLAN its 'vlan.id'", type_)
    _is_up(entries, card)
    return NetHostdev(
        mode="capabilities",
        type_="net",
        source=NetHostdevSource(interface=device),
        line=type_.line if type_ else 0,
        **_addresses(entries, card),
    )


def _interface(entries: Entries, card: Card, type_: Entry | None) -> dict[str, Any]:
    """What all cards of the container's own have."""
    name, pair, mtu, script = card.text("name"), card.text("veth.pair"), card.last("mtu"), card.text("script.up")
    up = _is_up(entries, card)
    return {
        "mac": _mac(entries, card.last("hwaddr")),
        "guest": GuestDevice(dev=name) if name else None,
        "target": InterfaceTarget(dev=pair) if pair else None,
        "mtu": Mtu(size=entries.as_number(mtu, mtu.value)) if mtu else None,
        "script": Script(path=script) if script else None,
        "link": Link(state="up") if up else None,
        "line": type_.line if type_ else 0,
        **_addresses(entries, card),
    }


def _is_up(entries: Entries, card: Card) -> bool:
    flags = card.last("flags")
    if flags is not None and flags.value != "up":
        entries.warn(flags, "the only flag is 'up'")
    return flags is not None and flags.value == "up"


def _mac(entries: Entries, entry: Entry | None) -> Mac | None:
    if entry is None:
        return None
    if "x" in entry.value.lower():
        entries.warn(entry, "libvirt makes up addresses itself, without a pattern")
        return None
    return Mac(address=entry.value)


def _addresses(entries: Entries, card: Card) -> dict[str, Any]:
    families: tuple[Literal["ipv4", "ipv6"], ...] = ("ipv4", "ipv6")
    ips = [_ip(entries, entry, family) for family in families for entry in card.take(f"{family}.address")]
    routes = [route for family in families for route in _routes(entries, card.take(f"{family}.gateway"), family)]
    return {"ips": tuple(ips), "routes": tuple(routes)}


def _ip(entries: Entries, entry: Entry, family: Literal["ipv4", "ipv6"]) -> InterfaceIp:
    address, *more = entries.words(entry)
    if more:
        entries.warn(entry, part="broadcast")
    address, slash, prefix = address.partition("/")
    length = entries.as_number(entry, prefix) if slash else None
    return InterfaceIp(address=address, family=family, prefix=length, line=entry.line)


def _routes(entries: Entries, found: Iterable[Entry], family: Literal["ipv4", "ipv6"]) -> list[Route]:
    """To anywhere; what is found out when the container starts can't be said."""
    routes = []
    for entry in found:
        if entry.value in ("auto", "dev"):
            entries.warn(entry)
        else:
            routes.append(Route(family=family, address=_ANYWHERE[family], gateway=entry.value, line=entry.line))
    return routes
