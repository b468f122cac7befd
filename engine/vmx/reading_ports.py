"""Serial and parallel ports, from a .vmx.

Sources: VMware's public lists of .vmx parameters, and the vSphere API's ``VirtualSerialPortURIBackingInfo`` for ports
on the network; libvirt's "Domain XML format" for what becomes of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeVar

from engine.conf.kinds.domain.chardev import (
    CharProtocol,
    CharSource,
    Parallel,
    Serial,
    SerialTarget,
    TypedConsole,
)
from engine.vmx.files import FileNames, is_whole
from engine.vmx.settings import Settings
from engine.vmx.words import PROTOCOLS

__all__ = ["console", "parallels", "serials"]

Port = TypeVar("Port", Serial, Parallel)
_URI = re.compile(r"(?:([A-Za-z0-9+.-]+)://)?(\[[0-9A-Fa-f:.]*\]|[^:/#?\[\]]*):([0-9]{1,5})(?:[/#?].*)?")


def serials(settings: Settings, files: FileNames) -> Iterator[Serial]:
    """All that are present, by number."""
    yield from _ports(settings, files, Serial, "serial")


def parallels(settings: Settings, files: FileNames) -> Iterator[Parallel]:
    """All that are present, by number."""
    yield from _ports(settings, files, Parallel, "parallel")


def console(serial: Serial) -> TypedConsole:
    """The first serial port once more, as libvirt has it in every domain with one."""
    target = SerialTarget(type_="serial", port="0")
    return TypedConsole(type_=serial.type_, sources=serial.sources, protocol=serial.protocol, target=target)


def _ports(settings: Settings, files: FileNames, cls: type[Port], name: str) -> Iterator[Port]:
    for (number,) in settings.numbers_of(rf"{name}(\d+)"):
        device = f"{name}{number}"
        if not settings.flag(f"{device}.present"):
            settings.skip(device, "it is not present, so what is said of it is left out")
            continue
        fields = _fields(settings, files, device)
        if fields is None:
            settings.skip(device, "a domain has no such port, so it is left out")
            continue
        if not settings.flag(f"{device}.startConnected", default=True):
            settings.warn(f"{device}.startConnected", "a domain's devices are connected from the start")
        yield cls(target=SerialTarget(port=str(number)), **fields)


def _fields(settings: Settings, files: FileNames, device: str) -> dict[str, Any] | None:
    """What the port is connected to; None: a domain can't have it."""
    kind = settings.word(f"{device}.fileType") or "device"
    name = settings.text(f"{device}.fileName") or ""
    if not name:
        return None
    if kind == "device":
        return {"type_": "dev", "sources": (CharSource(path=name),)}
    if kind == "file":
        return {"type_": "file", "sources": (CharSource(path=_file(settings, files, device, name)),)}
    if device.startswith("serial") and kind == "pipe":
        return _pipe(settings, device, name)
    if device.startswith("serial") and kind == "network":
        return _network(settings, device, name)
    return None


def _file(settings: Settings, files: FileNames, device: str, name: str) -> str:
    path = files.from_vmx(name)
    if path is None:
        settings.refuse(f"{device}.fileName", "is in a datastore that is not there")
    if not is_whole(path):
        settings.warn(f"{device}.fileName", "in which folder it is is not known")
    return path


def _pipe(settings: Settings, device: str, name: str) -> dict[str, Any]:
    """At which end the guest is, and who is at the other, libvirt leaves to VMware."""
    if settings.word(f"{device}.pipe.endPoint") not in ("", "client"):
        settings.warn(f"{device}.pipe.endPoint", "a domain does not say at which end of the pipe it is")
    if settings.flag(f"{device}.tryNoRxLoss"):
        settings.warn(f"{device}.tryNoRxLoss", "a domain has no place for it")
    return {"type_": "pipe", "sources": (CharSource(path=name),)}


def _network(settings: Settings, device: str, uri: str) -> dict[str, Any]:
    found = _URI.fullmatch(uri)
    protocol = PROTOCOLS.get((found[1] or "").lower()) if found else None
    if found is None or protocol is None:
        settings.refuse(f"{device}.fileName", "is no address such as telnet://host:port")
    end = settings.word(f"{device}.network.endPoint") or "server"
    if end not in ("server", "client"):
        settings.refuse(f"{device}.network.endPoint", "is neither server nor client")
    host = found[2].strip("[]")
    source = CharSource(mode="bind" if end == "server" else "connect", host=host, service=found[3])
    return {"type_": "tcp", "sources": (source,), "protocol": CharProtocol(type_=protocol)}
