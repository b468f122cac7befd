"""Screens, graphics cards, keyboards, mice and sound. Source: libvirt's "Domain XML format", Input devices on."""

from __future__ import annotations

from typing import Any

from engine.conf.defaults.context import Context, Machine, change, devices_of, with_devices
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.graphics import (
    AddressListen,
    Graphics,
    Listen,
    NetworkListen,
    NoListen,
    PasswordServer,
    SocketListen,
    SpiceGraphics,
    VncGraphics,
)
from engine.conf.kinds.domain.input import EmulatedInput, Input
from engine.conf.kinds.domain.sound import PlainAudio
from engine.conf.kinds.domain.video import EmulatedVideoModel, QxlVideoModel, Video

__all__ = ["audio", "graphics", "inputs", "videos"]


# ---------------------------------------------------------------------------- servers


def graphics(definition: DomainDocument, context: Context) -> DomainDocument:
    """Each server with where it listens, and a port or that it is chosen."""
    found = devices_of(definition).graphics
    return with_devices(definition, graphics=tuple(_graphics(server, context) for server in found))


def _graphics(server: Graphics, context: Context) -> Graphics:
    if isinstance(server, VncGraphics):
        return _vnc(_listening(server, context), context)
    if isinstance(server, SpiceGraphics):
        return _spice(_listening(server, context), context)
    return server


def _listening(server: Any, context: Context) -> Any:
    """With <listen>, and with attributes that say the same as the first."""
    listens: list[Listen] = [_listen(each, context) for each in server.listens]
    if not listens or (isinstance(server, VncGraphics) and server.socket is not None):
        listens = [_listen_of_attributes(server)]
    first = listens[0]
    if isinstance(first, SocketListen) and not context.live and _is_made_up(first.socket, context):
        first = listens[0] = AddressListen(type_="address")
    address = first.address if isinstance(first, AddressListen | NetworkListen) else None
    if isinstance(first, AddressListen) and first.address is None and server.listen is not None:
        address = server.listen
        listens[0] = change(first, address=address)
    changes: dict[str, Any] = {"listens": tuple(listens), "listen": address}
    if isinstance(server, VncGraphics):
        changes["socket"] = first.socket if isinstance(first, SocketListen) else None
    return change(server, **changes)


def _is_made_up(socket: str | None, context: Context) -> bool:
    return socket is not None and socket.startswith(f"{context.folders.state}/domain-")


def _listen(listen: Listen, context: Context) -> Listen:
    """The address in a network is that of a run."""
    return change(listen, address=None) if isinstance(listen, NetworkListen) and not context.live else listen


def _listen_of_attributes(server: PasswordServer) -> Listen:
    if isinstance(server, VncGraphics) and server.socket is not None:
        return SocketListen(type_="socket", socket=server.socket)
    return AddressListen(type_="address", address=server.listen)


def _vnc(server: VncGraphics, context: Context) -> VncGraphics:
    if isinstance(server.listens[0], SocketListen | NoListen):
        return change(server, port=None, autoport=None)
    auto = bool(server.autoport) or server.port in (None, -1)
    port = server.port if context.live or not auto else -1
    return change(server, port=(-1 if auto else None) if port in (None, 0) else port, autoport=auto)


def _spice(server: SpiceGraphics, context: Context) -> SpiceGraphics:
    """Without a port, and none to be chosen, it listens nowhere."""
    listens = server.listens
    auto = bool(server.autoport) or (server.port == -1 and server.tls_port == -1)
    ports = [port if port not in (0, None) and (context.live or not auto) else None for port in _ports(server)]
    if isinstance(listens[0], AddressListen) and not auto and not any(ports):
        listens = (NoListen(type_="none"), *listens[1:])
    if isinstance(listens[0], SocketListen | NoListen):
        return change(server, listens=listens, port=None, tls_port=None, autoport=None, listen=None)
    return change(server, port=ports[0], tls_port=ports[1], autoport=auto)


def _ports(server: SpiceGraphics) -> tuple[int | None, int | None]:
    return server.port, server.tls_port


# ---------------------------------------------------------------------------- cards


#: The memory of a card in KiB, where there is some to be set.
_MEMORY = {"vga": 16384, "cirrus": 16384, "vmvga": 16384, "bochs": 16384, "gop": 16384, "xen": 4096, "vbox": 9216}
_QXL = {"ram": 65536, "vram": 65536, "vgamem": 16384}


def videos(definition: DomainDocument, context: Context) -> DomainDocument:
    """A card where there is a screen; the primary one is the first."""
    devices = devices_of(definition)
    found = [_video(video, context.machine) for video in devices.videos]
    if not found and devices.graphics:
        found = [_video(Video(), context.machine)]
    if not found:
        return definition
    primary = next((n for n, video in enumerate(found) if video.model and video.model.primary), 0)
    found.insert(0, found.pop(primary))
    return with_devices(definition, videos=(_primary(found[0], True), *(_primary(video, None) for video in found[1:])))


def _primary(video: Video, primary: bool | None) -> Video:
    if video.model is None or video.model.type_ == "none":
        return video
    return change(video, model=change(video.model, primary=primary))


def _video(video: Video, machine: Machine) -> Video:
    model: EmulatedVideoModel | QxlVideoModel
    model = video.model or EmulatedVideoModel(type_=_video_type(machine))  # type: ignore[arg-type]
    if isinstance(model, QxlVideoModel):
        memory = {name: _power_of_two(getattr(model, name) or size) for name, size in _QXL.items()}
        vram64 = _power_of_two(model.vram64) if model.vram64 else None
        return change(video, model=change(model, heads=model.heads or 1, vram64=vram64, **memory))
    if model.type_ == "none":
        return Video(alias=video.alias, model=EmulatedVideoModel(type_="none"))
    vram = model.vram or _MEMORY.get(model.type_)
    return change(video, model=change(model, heads=model.heads or 1, vram=vram))


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length() if number > 0 else 0


def _video_type(machine: Machine) -> str:
    if machine.ppc64:
        return "vga"
    if machine.arm_virt or machine.riscv_virt or machine.s390:
        return "virtio"
    return "cirrus" if machine.x86 else "vga"


# ---------------------------------------------------------------------------- keyboards and mice


def inputs(definition: DomainDocument, context: Context) -> DomainDocument:
    """Each on a bus; PCs have a PS/2 mouse and keyboard, pSeries with a screen USB ones."""
    devices = devices_of(definition)
    found = [_input(device, context.machine) for device in devices.inputs]
    for new in _implied(devices, context.machine):
        if not any((other.type_, getattr(other, "bus", None)) == (new.type_, new.bus) for other in found):
            found.append(new)
    return with_devices(definition, inputs=tuple(found))


def _input(device: Input, machine: Machine) -> Input:
    if not isinstance(device, EmulatedInput) or device.bus is not None:
        return device
    ps2 = machine.x86 and device.type_ in ("mouse", "keyboard")
    return change(device, bus="ps2" if ps2 else "usb")


def _implied(devices: Devices, machine: Machine) -> tuple[EmulatedInput, ...]:
    if machine.x86:
        return EmulatedInput(type_="mouse", bus="ps2"), EmulatedInput(type_="keyboard", bus="ps2")
    if machine.ppc64 and devices.graphics:
        return EmulatedInput(type_="keyboard", bus="usb"), EmulatedInput(type_="mouse", bus="usb")
    return ()


# ---------------------------------------------------------------------------- sound


def audio(definition: DomainDocument, context: Context) -> DomainDocument:
    """Sound goes to the clients of a SPICE server, and nowhere where there is none, or a VNC server alone."""
    devices = devices_of(definition)
    if devices.audios:
        return definition
    shown = [server.type_ for server in devices.graphics]
    if "spice" in shown:
        return with_devices(definition, audios=(PlainAudio(type_="spice", id_=1),))
    if not shown or "vnc" in shown:
        return with_devices(definition, audios=(PlainAudio(type_="none", id_=1),))
    return definition
