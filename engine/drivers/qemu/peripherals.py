"""Screens, input, random numbers, balloon, TPM, panic device and watchdog. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from engine.conf.devices import Devices, Graphics, InputDevice, MachineDefinition, Video, VideoModel
from engine.drivers.qemu.options import Line, Places, escape, keyval, refuse
from engine.drivers.qemu.topology import Topology

__all__ = ["add_peripherals"]

_VIDEO = {"vga": "VGA", "cirrus": "cirrus-vga", "virtio": "virtio-vga", "qxl": "qxl-vga", "bochs": "bochs-display"}
_SECONDARY = {"virtio": "virtio-gpu-pci", "qxl": "qxl", "bochs": "bochs-display"}


def add_peripherals(line: Line, topology: Topology, machine: MachineDefinition, places: Places) -> None:
    """All of them.

    Raises:
        UnsupportedConfig: one that can't be built.
    """
    devices = machine.devices
    for index, device in enumerate(devices.inputs):
        _input(line, topology, device, index)
    for index, graphics in enumerate(devices.graphics):
        _graphics(line, graphics, index, places)
    _videos(line, topology, devices.videos)
    for index, rng in enumerate(devices.rngs):
        name = f"rng{index}"
        if rng.backend.model == "random":
            line.object(qom_type="rng-random", id=f"obj{name}", filename=rng.backend.path or "/dev/urandom")
        else:
            line.object(qom_type="rng-builtin", id=f"obj{name}")
        rate: dict[str, Any] = {"max_bytes": rng.rate.bytes, "period": rng.rate.period} if rng.rate else {}
        line.device("virtio-rng-pci", topology.pci(rng.address), id=name, rng=f"obj{name}", **rate)
    balloon = devices.balloon
    if balloon is not None and balloon.model == "virtio":
        line.device(
            "virtio-balloon-pci",
            topology.pci(balloon.address),
            id="balloon0",
            deflate_on_oom=True if balloon.autodeflate else None,
            free_page_reporting=True if balloon.freePageReporting else None,
        )
    _tpm(line, devices, places)
    _panic(line, devices)
    for index, watchdog in enumerate(devices.watchdogs):
        if index:
            raise refuse("<watchdog>", "a machine has one watchdog", watchdog)
        place = topology.pci(watchdog.address) if watchdog.model == "i6300esb" else None
        line.device(watchdog.model, place, id=f"watchdog{index}")
        line.add("-action", f"watchdog={watchdog.action}")


def _input(line: Line, topology: Topology, device: InputDevice, index: int) -> None:
    bus = device.bus or ("usb" if device.type == "tablet" else "ps2")
    if bus == "ps2":
        if device.type == "tablet":
            raise refuse("<input type='tablet' bus='ps2'>", "a tablet is on the usb or virtio bus", device)
        return  # part of the machine
    kind = {"keyboard": "kbd"}.get(device.type, device.type)
    if bus == "usb":
        line.device(f"usb-{kind}", topology.usb(device.address), id=f"input{index}")
    else:
        line.device(f"virtio-{device.type}-pci", topology.pci(device.address), id=f"input{index}")


def display_socket(graphics: Graphics, index: int, runtime: str) -> str:
    """Path of the socket of a display that listens at one."""
    path = (graphics.listens[0].socket if graphics.listens else "") or graphics.socket
    return path or str(PurePosixPath(runtime) / f"{graphics.type}{index or ''}.sock")


def _graphics(line: Line, graphics: Graphics, index: int, places: Places) -> None:
    listen = graphics.listens[0] if graphics.listens else None
    if len(graphics.listens) > 1:
        raise refuse("<listen>", "a display listens in one place", graphics.listens[1])
    kind = listen.type if listen else ("socket" if graphics.socket else "address")
    path = display_socket(graphics, index, places.runtime)
    if graphics.type == "spice":
        if kind == "address":
            raise refuse(
                "<graphics type='spice'>", "SPICE can only listen on a socket here: <listen type='socket'/>", graphics
            )
        if index and any(word.startswith("unix=on") for word in line.arguments()):
            raise refuse("<graphics type='spice'>", "a machine has one SPICE display", graphics)
        if kind == "socket":
            line.add("-spice", keyval("unix=on", addr=path, disable_ticketing=True))
        return
    share = graphics.sharePolicy
    if kind == "socket":
        line.add("-vnc", keyval(f"vnc=unix:{escape(path)}", share=share))
    elif kind == "none":
        line.add("-vnc", "none")
    else:
        host = (listen.address if listen else "") or graphics.listen or "127.0.0.1"
        host = f"[{host}]" if ":" in host else host
        if graphics.port >= 0:
            if not 5900 <= graphics.port < 65536:
                raise refuse(f"<graphics port='{graphics.port}'>", "VNC ports begin at 5900", graphics)
            line.add("-vnc", keyval(f"vnc={escape(host)}:{graphics.port - 5900}", share=share))
        else:
            line.add("-vnc", keyval(f"vnc={escape(host)}:0", to=99, share=share))


def _videos(line: Line, topology: Topology, videos: tuple[Video, ...]) -> None:
    for index, video in enumerate(videos):
        model = video.model
        if model.type == "none":
            continue
        if model.acceleration.accel3d:
            raise refuse("<acceleration accel3d='yes'>", "not supported", model.acceleration)
        driver = (_VIDEO if index == 0 else _SECONDARY).get(model.type)
        if driver is None:
            raise refuse(f"<model type='{model.type}'>", "only the first screen can be of this model", model)
        line.device(driver, topology.pci(video.address), id=f"video{index}", exact=_video_memory(model))


def _video_memory(model: VideoModel) -> dict[str, int | None]:
    """The document's sizes are in KiB."""
    match model.type:
        case "vga":
            return {"vgamem_mb": (model.vgamem or model.vram) // 1024 or None}
        case "qxl":
            sizes = {"vram_size": model.vram * 1024 or None, "ram_size": model.ram * 1024 or None}
            return {"vgamem_mb": model.vgamem // 1024 or None, **sizes}
        case "virtio":
            return {"max_outputs": model.heads}
    return {}


def _tpm(line: Line, devices: Devices, places: Places) -> None:
    if devices.tpm is None:
        return
    model = devices.tpm.model or "tpm-tis"
    if devices.tpm.backend.version == "1.2" and model == "tpm-crb":
        raise refuse("<tpm model='tpm-crb'>", "a TPM 1.2 is a tpm-tis", devices.tpm)
    line.add("-chardev", keyval("socket", id="chrtpm", fd=places.tpm))
    line.add("-tpmdev", keyval("emulator", id="tpm-tpm0", chardev="chrtpm"))
    line.device(model, tpmdev="tpm-tpm0", id="tpm0")


def _panic(line: Line, devices: Devices) -> None:
    for index, panic in enumerate(devices.panics):
        if index:
            raise refuse("<panic>", "a machine has one panic device", panic)
        if panic.model == "pvpanic":
            line.device("pvpanic-pci", id=f"panic{index}")
        else:
            line.device("pvpanic", id=f"panic{index}", ioport=(panic.address and panic.address.iobase) or None)
