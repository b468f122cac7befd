"""Serial ports, consoles and channels. Source: libvirt's "Domain XML format", Consoles, serial, parallel & channel."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from engine.conf.defaults.context import Context, Machine, change, devices_of, with_devices
from engine.conf.kinds.domain.chardev import (
    BareConsole,
    Channel,
    CharBackend,
    CharDevice,
    CharProtocol,
    CharSource,
    Console,
    GuestfwdTarget,
    Parallel,
    Serial,
    SerialModel,
    SerialTarget,
    TypedConsole,
    VirtioTarget,
)
from engine.conf.kinds.domain.document import DomainDocument

__all__ = ["channels", "connected", "console_of_serial", "consoles", "parallels", "serials"]

Port = TypeVar("Port", Serial, Parallel)
AnyCharacters = TypeVar("AnyCharacters", bound=CharDevice | CharBackend)

#: What a serial port is plugged into, by where its address is.
_BY_ADDRESS = {"isa": "isa-serial", "pci": "pci-serial", "usb": "usb-serial", "spapr-vio": "spapr-vio-serial"}
#: The device that a port of a target is, where there is but one, or one that is usual.
_MODELS = {
    "isa-serial": "isa-serial", "usb-serial": "usb-serial", "pci-serial": "pci-serial", "isa-debug": "isa-debugcon",
    "spapr-vio-serial": "spapr-vty", "sclp-serial": "sclpconsole",
}  # fmt: skip
#: Ports that the guest may have its console on.
_CONSOLE_PORTS = (None, "isa-serial", "spapr-vio-serial", "system-serial", "sclp-serial")
#: What a console is that is the first serial port once more.
_SERIAL_CONSOLES = (None, "serial")
#: Channels that programs in the guest find by a name of SPICE's, unless they have another.
_SPICE = ("spicevmc", "qemu-vdagent")
#: Between the folder and the channel's name, in paths of sockets that libvirt makes up when a guest starts.
_MADE_UP = re.compile(r"[^/]+\.|domain-[^/]+/")


# ---------------------------------------------------------------------------- ports


def serials(definition: DomainDocument, context: Context) -> DomainDocument:
    """Each with what it is plugged into, a model and a number."""
    ports = _numbered(tuple(_of_definition(serial, context) for serial in devices_of(definition).serials))
    return with_devices(definition, serials=tuple(_serial(port, context.machine) for port in ports))


def parallels(definition: DomainDocument, context: Context) -> DomainDocument:
    """Each with a number."""
    ports = _numbered(tuple(_of_definition(port, context) for port in devices_of(definition).parallels))
    return with_devices(definition, parallels=ports)


def _numbered(ports: tuple[Port, ...]) -> tuple[Port, ...]:
    """Those without a number get one that is higher than those before."""
    numbered: list[Port] = []
    highest = -1
    for port in ports:
        target = port.target or SerialTarget()
        number = int(target.port) if target.port is not None and target.port.isdecimal() else highest + 1
        highest = max(highest, number)
        numbered.append(change(port, target=change(target, port=str(number))))
    return tuple(numbered)


def _serial(serial: Serial, machine: Machine) -> Serial:
    target = serial.target or SerialTarget()
    type_ = target.type_ if target.type_ not in _SERIAL_CONSOLES else _target_type(serial, machine)
    model = target.model
    if model is None and type_ is not None:
        name = _system_serial(machine) if type_ == "system-serial" else _MODELS.get(type_)
        model = _model(name)
    return change(serial, target=change(target, type_=type_, model=model))


def _model(name: str | None) -> Any:
    return SerialModel(name=name) if name is not None else None  # type: ignore[arg-type]


def _target_type(serial: Serial, machine: Machine) -> str | None:
    if serial.address is not None and serial.address.type_ in _BY_ADDRESS:
        return _BY_ADDRESS[serial.address.type_]
    if machine.x86:
        return "isa-serial"
    if machine.pseries:
        return "spapr-vio-serial"
    if machine.arm or machine.riscv_virt:
        return "system-serial"
    return "sclp-serial" if machine.s390 else None


def _system_serial(machine: Machine) -> str | None:
    if machine.riscv_virt:
        return "16550a"
    return "pl011" if machine.arm_virt or machine.name in ("versatilepb", "vexpress-a9", "vexpress-a15") else None


def connected(device: AnyCharacters) -> AnyCharacters:
    """What is spoken on a TCP connection, and who connects to whom, where that is left out; labels count if given."""
    sources = tuple(_source(source, device.type_) for source in device.sources)
    if device.type_ == "udp":
        sources = tuple(sorted(sources, key=lambda source: source.mode or ""))  # "bind" first
    changes: dict[str, Any] = {"sources": sources}
    if device.type_ == "tcp":
        protocol = device.protocol or CharProtocol()
        changes["protocol"] = change(protocol, type_=protocol.type_ or "raw")
    return change(device, **changes)


def _source(source: CharSource, type_: str) -> CharSource:
    labels = tuple(
        change(label, relabel=True) if label.labels and label.relabel is None else label for label in source.seclabels
    )
    default = "connect" if type_ in ("tcp", "udp") or (type_ == "unix" and source.path is not None) else None
    reconnect = source.reconnect
    if reconnect is not None and not reconnect.enabled:
        reconnect = change(reconnect, timeout=None)
    return change(source, mode=source.mode or default, seclabels=labels, reconnect=reconnect)


def _of_definition(port: Any, context: Context) -> Any:
    """Terminals that are chosen when the guest starts are not those of its next run."""
    port = connected(port)
    if context.live:
        return port
    if port.type_ == "pty":
        sources = tuple(change(source, path=None) for source in port.sources)
        port = change(port, sources=tuple(source for source in sources if source != CharSource()))
    return change(port, tty=None) if hasattr(port, "tty") and port.tty is not None else port


# ---------------------------------------------------------------------------- consoles


def consoles(definition: DomainDocument, context: Context) -> DomainDocument:
    """The first console is the first serial port: whichever of both is there, the other is added."""
    devices = devices_of(definition)
    typed = (_typed(console, context) for console in devices.consoles)
    found = [_console(console, number) for number, console in enumerate(typed)]
    ports = list(devices.serials)
    if found and found[0].target is not None and found[0].target.type_ in _SERIAL_CONSOLES and not ports:
        ports = [_as_serial(found[0])]
    if ports and _has_console(ports[0]):
        first = _as_console(ports[0])
        found = [first, *(found[1:] if found and _is_serial(found[0]) else found)]
    return with_devices(definition, consoles=tuple(found), serials=tuple(ports))


def _has_console(serial: Serial) -> bool:
    return serial.target is None or serial.target.type_ in _CONSOLE_PORTS


def _is_serial(console: TypedConsole) -> bool:
    return console.target is None or console.target.type_ in _SERIAL_CONSOLES


def _typed(console: Console, context: Context) -> TypedConsole:
    if isinstance(console, BareConsole):
        return TypedConsole(type_="pty", target=SerialTarget())
    plain: TypedConsole = _of_definition(console, context)
    return plain if plain.target is not None else change(plain, target=SerialTarget())


def _console(console: TypedConsole, number: int) -> TypedConsole:
    target = console.target or SerialTarget()
    port = target.port if number == 0 and target.type_ == "serial" and target.port is not None else str(number)
    return change(console, target=change(target, type_=target.type_ or "serial", port=port))


def _as_serial(console: TypedConsole) -> Serial:
    fields = {name: getattr(console, name) for name in Serial.__struct_fields__ if name not in ("line", "other")}
    target = console.target or SerialTarget()
    return Serial(**(fields | {"target": SerialTarget(port=target.port)}))


def _as_console(serial: Serial) -> TypedConsole:
    fields = {name: getattr(serial, name) for name in TypedConsole.__struct_fields__ if name not in ("line", "other")}
    target = serial.target or SerialTarget()
    terminal = next((source.path for source in serial.sources), None) if serial.type_ == "pty" else None
    changes = {"target": SerialTarget(type_="serial", port=target.port or "0"), "tty": serial.tty or terminal}
    return TypedConsole(**(fields | changes))


def console_of_serial(definition: DomainDocument, context: Context) -> DomainDocument:
    """What the first serial port has got meanwhile, its address above all, is told of the console too."""
    devices = devices_of(definition)
    if not devices.serials or not devices.consoles or not _is_serial(_typed(devices.consoles[0], context)):
        return definition
    first = _as_console(devices.serials[0])
    return with_devices(definition, consoles=(first, *devices.consoles[1:]))


# ---------------------------------------------------------------------------- channels


def channels(definition: DomainDocument, context: Context) -> DomainDocument:
    """Without what is known of a guest that runs only: states, and paths of sockets that were made up."""
    found = devices_of(definition).channels
    return with_devices(definition, channels=tuple(_channel(channel, context) for channel in found))


def _channel(channel: Channel, context: Context) -> Channel:
    channel = _of_definition(channel, context)
    if isinstance(channel.target, VirtioTarget) and channel.type_ in _SPICE and channel.target.name is None:
        channel = change(channel, target=change(channel.target, name="com.redhat.spice.0"))
    target = channel.target
    if isinstance(target, GuestfwdTarget) or context.live:
        return channel
    if isinstance(target, VirtioTarget):
        channel = change(channel, target=change(target, state=None))
    if channel.type_ == "unix":
        name = getattr(target, "name", None) or ""
        kept = tuple(source for source in channel.sources if source.path and not _made_up(source.path, name, context))
        channel = change(channel, sources=kept)
    return channel


def _made_up(path: str, name: str, context: Context) -> bool:
    """Whether it is one of the paths that libvirt gives to a channel's socket: a folder or a name of the domain's."""
    folder = f"{context.folders.channels}/"
    if not path.startswith(folder) or not path.endswith(name):
        return False
    return _MADE_UP.fullmatch(path[len(folder) : len(path) - len(name)]) is not None
