"""Serial lines, consoles and channels as QEMU's character devices. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import msgspec

from engine.conf.devices import Channel, Character, Console, Devices, Serial
from engine.drivers.qemu.options import Line, Places, keyval, refuse
from engine.drivers.qemu.topology import Topology

__all__ = ["AGENT_PORT", "Characters", "Terminal", "add_characters"]

#: The name of the guest agent's virtio-serial port.
AGENT_PORT = "org.qemu.guest_agent.0"


class Terminal(msgspec.Struct, frozen=True, kw_only=True):
    """A serial line or console.

    Attributes:
        name: ``serial0``, ``console1``; chardev: QEMU's id of the host's end. kind: of that, libvirt's word.
        path: of its socket or file, or "". connects: QEMU connects to somebody's socket, rather than to listen.
    """

    name: str
    chardev: str
    kind: str
    path: str = ""
    connects: bool = False


class Characters(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver needs to know of them.

    Attributes:
        agent: the socket of the guest agent's channel, or ""; agent_device: QEMU's id of its port.
        console: the file that the first serial line or console is written to, or ""; appended: it is not emptied first.
        pty: QEMU's id of the first serial line or console when it is a pty, or "".
        terminals: all serial lines, then all further consoles.
    """

    agent: str = ""
    agent_device: str = ""
    console: str = ""
    appended: bool = False
    pty: str = ""
    terminals: tuple[Terminal, ...] = ()


def add_characters(line: Line, topology: Topology, devices: Devices, places: Places) -> Characters:
    """All of them.

    Raises:
        UnsupportedConfig: one that can't be built.
    """
    first: tuple[Character, str] | None = None
    terminals: list[Terminal] = []
    serials = list(devices.serials)
    consoles = list(devices.consoles)
    if consoles and consoles[0].target.type in ("", "serial"):
        # libvirt: the first console is the first serial line under another name, and makes one if there is none
        console = consoles.pop(0)
        if not serials:
            serials.append(_as_serial(console))
    for index, serial in enumerate(serials):
        first = first or (serial, f"charserial{index}")
        path = _serial(line, topology, serial, index, places)
        terminals.append(_terminal(serial, f"serial{index}", path))
    for index, console in enumerate(consoles, 1):
        first = first or (console, f"charconsole{index}")
        path = _console(line, topology, console, index, places, logged=first[0] is console)
        terminals.append(_terminal(console, f"console{index}", path))
    agent = agent_device = ""
    for index, channel in enumerate(devices.channels):
        path = _channel(line, topology, channel, index, places)
        if channel.target.name == AGENT_PORT:
            if channel.type != "unix" or channel.source.mode == "connect":
                raise refuse(
                    f"<channel type='{channel.type}'>", "the guest agent needs a socket that is bound", channel
                )
            agent, agent_device = path, f"channel{index}"
    place = _console_place(first, places)
    return Characters(agent=agent, agent_device=agent_device, terminals=tuple(terminals), **place)


def _terminal(node: Character, name: str, path: str) -> Terminal:
    connects = node.type == "unix" and node.source.mode == "connect"
    return Terminal(name=name, chardev=f"char{name}", kind=node.type, path=path, connects=connects)


def _as_serial(console: Console) -> Serial:
    return Serial(
        line=console.line,
        type=console.type,
        source=console.source,
        log=console.log,
        target=msgspec.structs.replace(console.target, type="isa-serial"),
    )


def _console_place(first: tuple[Character, str] | None, places: Places) -> dict[str, Any]:
    if first is None:
        return {}
    character, chardev = first
    if character.type == "file":
        return {"console": character.source.path, "appended": character.source.append}
    written = character.log.file if character.log else places.console_log
    appended = character.log is not None and character.log.append
    return {"console": written, "appended": appended, "pty": chardev if character.type == "pty" else ""}


def _backend(line: Line, node: Character, identifier: str, places: Places, *, name: str, logged: bool) -> str:
    """The host's end; the path of its socket or file."""
    log: dict[str, Any] = {}
    if node.log is not None:
        log = {"logfile": _absolute(node.log.file, "<log file>", node), "logappend": node.log.append}
    elif logged and places.console_log and node.type != "file":
        log = {"logfile": places.console_log, "logappend": False}
    path = node.source.path
    match node.type:
        case "file":
            _absolute(path, f"<{_tag(node)}>", node)
            line.add("-chardev", keyval("file", id=identifier, path=path, append=node.source.append, **log))
        case "unix":
            path = path or str(PurePosixPath(places.runtime) / f"{name}.sock")
            _absolute(path, f"<{_tag(node)}>", node)
            if node.source.mode == "connect":
                line.add("-chardev", keyval("socket", id=identifier, path=path, reconnect=1, **log))
            else:
                line.add("-chardev", keyval("socket", id=identifier, path=path, server=True, wait=False, **log))
        case kind:
            line.add("-chardev", keyval(kind, id=identifier, **log))
    return path


def _tag(node: Character) -> str:
    return {Serial: "serial", Console: "console", Channel: "channel"}[type(node)]


def _absolute(path: str, element: str, node: Character) -> str:
    if not path.startswith("/"):
        raise refuse(element, f"'{path}' is not an absolute path" if path else "it has no <source path>", node)
    return path


def _serial(line: Line, topology: Topology, serial: Serial, index: int, places: Places) -> str:
    kind = serial.target.type or "isa-serial"
    model = serial.target.model.name if serial.target.model else kind
    if kind not in ("isa-serial", "pci-serial") or model != kind:
        raise refuse(f"<target type='{kind}'>", "a serial line can be isa-serial or pci-serial", serial.target)
    port = serial.target.port if serial.target.port is not None else index
    chardev = f"charserial{index}"
    path = _backend(line, serial, chardev, places, name=f"serial{index}", logged=index == 0)
    if kind == "isa-serial":
        if not 0 <= port < 4:
            raise refuse(f"<target port='{port}'>", "a machine has four serial ports, 0 to 3", serial.target)
        iobase = serial.address.iobase if serial.address and serial.address.iobase else None
        line.device("isa-serial", chardev=chardev, id=f"serial{index}", index=port, iobase=iobase)
    else:
        line.device("pci-serial", topology.pci(serial.address), chardev=chardev, id=f"serial{index}")
    return path


def _console(line: Line, topology: Topology, console: Console, index: int, places: Places, *, logged: bool) -> str:
    if console.target.type != "virtio":
        raise refuse(
            f"<target type='{console.target.type}'>", "a further console can only be of target virtio", console.target
        )
    chardev = f"charconsole{index}"
    path = _backend(line, console, chardev, places, name=f"console{index}", logged=logged)
    line.device("virtconsole", topology.virtio_port(console.address), chardev=chardev, id=f"console{index}")
    return path


def _channel(line: Line, topology: Topology, channel: Channel, index: int, places: Places) -> str:
    if channel.target.type != "virtio" or not channel.target.name:
        raise refuse(
            f"<target type='{channel.target.type}'>",
            "a channel needs a target of type virtio and a name",
            channel.target,
        )
    chardev = f"charchannel{index}"
    path = _backend(line, channel, chardev, places, name=f"channel{index}", logged=False)
    line.device(
        "virtserialport",
        topology.virtio_port(channel.address),
        chardev=chardev,
        id=f"channel{index}",
        name=channel.target.name,
    )
    return path
