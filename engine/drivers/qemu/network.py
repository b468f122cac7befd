"""Network cards and what is behind them. Pure."""

from __future__ import annotations

import hashlib
import ipaddress
import re

import msgspec

from engine.conf.devices import Interface, PortForward
from engine.drivers.qemu.options import Line, Places, keyval, refuse
from engine.drivers.qemu.topology import Topology

__all__ = ["Tap", "add_interfaces"]

_MAC = re.compile(r"[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}")
_DEVICE = re.compile(r"[^/\s:]{1,15}")
_MODELS = {"virtio": "virtio-net-pci"}


class Tap(msgspec.Struct, frozen=True, kw_only=True):
    """A tap device that must be there before QEMU starts.

    Attributes:
        index: of its ``<interface>``; bridge: the host's bridge it goes to, or "".
        name: of the device, or "": the kernel chooses; existing: it was made by somebody else.
    """

    index: int
    bridge: str = ""
    name: str = ""
    existing: bool = False


def add_interfaces(
    line: Line, topology: Topology, interfaces: tuple[Interface, ...], uuid: str, places: Places, boot: dict[int, int]
) -> tuple[Tap, ...]:
    """All network cards; the tap devices they need.

    Raises:
        UnsupportedConfig: one that can't be built.
    """
    taps: list[Tap] = []
    for index, interface in enumerate(interfaces):
        netdev = f"hostnet{index}"
        model = interface.model.type if interface.model else "rtl8139"
        if interface.type == "user":
            _user(line, interface, netdev)
        else:
            tap = _tap(interface, index)
            taps.append(tap)
            line.add("-netdev", keyval("tap", id=netdev, fd=places.taps.get(index, 0)))
        line.device(
            _MODELS.get(model, model),
            topology.pci(interface.address),
            id=f"net{index}",
            netdev=netdev,
            mac=_mac(interface, uuid, index),
            bootindex=boot.get(index),
        )
    return tuple(taps)


def _mac(interface: Interface, uuid: str, index: int) -> str:
    if interface.mac is None:
        # the document names none: the same one at every start, in the range QEMU uses
        digest = hashlib.sha256(f"{uuid}/{index}".encode()).digest()
        return "52:54:00:" + ":".join(f"{byte:02x}" for byte in digest[:3])
    address = interface.mac.address
    if not _MAC.fullmatch(address) or int(address[:2], 16) & 1:
        raise refuse(f"<mac address='{address}'>", "not the MAC address of one card", interface.mac)
    return address.lower()


def _tap(interface: Interface, index: int) -> Tap:
    name = interface.target.dev
    if name and not _DEVICE.fullmatch(name):
        raise refuse(f"<target dev='{name}'>", "not a name for a network device", interface.target)
    if name.startswith(("vnet", "vif", "macvtap", "macvlan")):
        name = ""  # libvirt's own names: it ignores them in a document, too
    if interface.forwards or interface.ips:
        raise refuse(
            f"<interface type='{interface.type}'>", "only the user network has <ip> and <portForward>", interface
        )
    if interface.type == "ethernet":
        existing = not interface.target.managed
        if existing and not name:
            raise refuse("<target managed='no'>", "which tap device it is, <target dev> must say", interface.target)
        return Tap(index=index, name=name, existing=existing)
    bridge = interface.source.bridge
    if not _DEVICE.fullmatch(bridge):
        raise refuse("<interface type='bridge'>", "it has no <source bridge>", interface)
    return Tap(index=index, bridge=bridge, name=name)


def _user(line: Line, interface: Interface, netdev: str) -> None:
    facts: dict[str, object] = {}
    for ip in interface.ips:
        prefix = ip.prefix or (24 if ip.family == "ipv4" else 64)
        try:
            network = ipaddress.ip_interface(f"{ip.address}/{prefix}").network
        except ValueError as exc:
            raise refuse(f"<ip address='{ip.address}'>", str(exc), ip) from exc
        if ip.family == "ipv4":
            facts["net"] = network
        else:
            facts.update(ipv6_prefix=network.network_address, ipv6_prefixlen=prefix)
    words = [keyval("user", id=netdev, **facts)]
    words += [f"hostfwd={rule}" for forward in interface.forwards for rule in _forwards(forward)]
    line.add("-netdev", ",".join(words))


def _forwards(forward: PortForward) -> list[str]:
    address = forward.address
    if address:
        try:
            ipaddress.IPv4Address(address)
        except ValueError as exc:
            raise refuse(f"<portForward address='{address}'>", "not an IPv4 address", forward) from exc
    rules = []
    for ports in forward.ranges:
        end = ports.end or ports.start
        to = ports.to or ports.start
        if not (0 < ports.start <= end < 65536 and 0 < to <= 65535 - (end - ports.start)) or end - ports.start > 1023:
            raise refuse(f"<range start='{ports.start}'>", "not a range of ports", ports)
        rules += [f"{forward.proto}:{address}:{ports.start + i}-:{to + i}" for i in range(end - ports.start + 1)]
    if not rules:
        raise refuse("<portForward>", "it has no <range>", forward)
    return rules
