"""Serial and parallel ports, to a .vmx. Sources: as for reading them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engine.conf.kinds.domain.chardev import CharSource, PortDevice, Serial, TypedConsole
from engine.conf.kinds.domain.devices import Devices
from engine.vmx.files import FileNames
from engine.vmx.output import Output
from engine.vmx.words import PROTOCOLS

__all__ = ["put_ports"]

_SCHEMES = {protocol: scheme for scheme, protocol in reversed(PROTOCOLS.items())}
_KINDS = {"dev": "device", "file": "file", "pipe": "pipe", "tcp": "network"}
_HOST = re.compile(r"[\w.-]*|[0-9A-Fa-f:.]+")
_SERVICE = re.compile("[0-9]{1,5}")


def put_ports(output: Output, devices: Devices, files: FileNames) -> None:
    """The serial ports, or a console in their place, and the parallel ports."""
    serials: list[PortDevice] = list(devices.serials)
    for number, each in enumerate(devices.consoles):
        is_serial = isinstance(each, TypedConsole) and (each.target is None or each.target.type_ in (None, "serial"))
        if isinstance(each, TypedConsole) and is_serial and not serials:
            serials.append(each)
        elif number or not is_serial or not _same(each, serials[0]):
            output.skip(each, "a .vmx has no consoles but serial ports, so it is left out")
    _put_all(output, serials, files, "serial")
    _put_all(output, devices.parallels, files, "parallel")


def _same(console: object, serial: PortDevice) -> bool:
    return isinstance(console, TypedConsole) and (console.type_, console.sources) == (serial.type_, serial.sources)


def _put_all(output: Output, ports: Sequence[PortDevice], files: FileNames, name: str) -> None:
    taken: set[int] = set()
    for index, port in enumerate(ports):
        number = _number(port, index)
        source = port.sources[0] if port.sources else CharSource()
        reason = _obstacle(port, source, name)
        if number in taken:
            reason = f"another port is number {number} already, so it is left out"
        if reason:
            output.skip(port, reason)
            continue
        taken.add(number)
        _put_port(output, port, source, files, f"{name}{number}")


def _number(port: PortDevice, index: int) -> int:
    text = port.target.port if port.target is not None else None
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 5 else index


def _obstacle(port: PortDevice, source: CharSource, name: str) -> str:
    """Why the port can't be in a .vmx."""
    if port.type_ not in _KINDS or (name == "parallel" and port.type_ not in ("dev", "file")):
        return f"VMware has no {name} ports of type='{port.type_}', so it is left out"
    lacks = not source.service if port.type_ == "tcp" else not source.path
    return "it does not say what it is connected to, so it is left out" if lacks else ""


def _put_port(output: Output, port: PortDevice, source: CharSource, files: FileNames, device: str) -> None:
    output.put(f"{device}.present", True)
    output.put(f"{device}.fileType", _KINDS[port.type_])
    path = source.path or ""
    if port.type_ == "file":
        path = files.to_vmx(path)
    elif port.type_ == "pipe":  # as VMware's own client makes one
        output.put(f"{device}.pipe.endPoint", "client")
        output.put(f"{device}.tryNoRxLoss", False)
    elif port.type_ == "tcp":
        path = _uri(output, port, source)
    output.put(f"{device}.fileName", path)
    if port.type_ == "tcp":
        output.put(f"{device}.network.endPoint", "server" if source.mode == "bind" else "client")
    if isinstance(port, Serial | TypedConsole):
        output.put(f"{device}.yieldOnMsrRead", True)


def _uri(output: Output, port: PortDevice, source: CharSource) -> str:
    protocol = (port.protocol.type_ if port.protocol is not None else None) or "raw"
    host, service = source.host or "", source.service or ""
    if not _HOST.fullmatch(host) or not _SERVICE.fullmatch(service):
        what = f"<source host='{host[:60]}' service='{service[:60]}'>"
        output.refuse(source, what, "VMware connects ports to a host's name or IP address, and a number")
    return f"{_SCHEMES[protocol]}://{f'[{host}]' if ':' in host else host}:{service}"
