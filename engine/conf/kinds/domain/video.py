"""``<video>``: graphics cards. Source: "Video devices" of libvirt's "Domain XML format"."""

from __future__ import annotations

from typing import Literal

from engine.conf.kinds.domain.device import Acpi, Device, VirtioDriver
from engine.conf.kinds.values import AbsFilePath, UnsignedInt, YesNo
from engine.conf.nodes.node import Node

__all__ = ["Video", "VideoModel"]


class VideoDriver(VirtioDriver):
    """How the card is driven.

    Attributes:
        name: qemu: by the emulator; vhostuser: (virtio) by a process of its own.
        vgaconf: (bhyve) how far it is a VGA card: on, only its I/O ports (io), or not at all.
    """

    name: Literal["qemu", "vhostuser"] | None = None
    vgaconf: Literal["io", "on", "off"] | None = None


class Acceleration(Node):
    """What the host's graphics card helps with.

    Attributes:
        accel3d: drawing in three dimensions.
        accel2d: (VirtualBox) drawing in two.
        rendernode: (vhostuser) the host's device; without one, any there is.
    """

    accel3d: YesNo | None = None
    accel2d: YesNo | None = None
    rendernode: AbsFilePath | None = None


class Resolution(Node):
    """The least resolution that the guest is to have (vga, qxl, bochs, gop, virtio), in pixels."""

    x: UnsignedInt
    y: UnsignedInt


class VideoModel(Node):
    """What the card is.

    Attributes:
        vram: its memory in KiB, a power of two.
        heads: how many screens can be connected.
        primary: it is the one that the firmware uses; without it said, that is the first.
    """

    vram: UnsignedInt | None = None
    heads: UnsignedInt | None = None
    primary: YesNo | None = None
    acceleration: Acceleration | None = None
    resolution: Resolution | None = None


class EmulatedVideoModel(VideoModel):
    """A card but for QXL.

    Attributes:
        type_: none: the guest gets none, where it would get one else.
    """

    type_: Literal["vga", "cirrus", "vmvga", "xen", "vbox", "virtio", "gop", "none", "bochs", "ramfb"]


class QxlVideoModel(VideoModel):
    """A card made for SPICE; ``vram`` is the size of its second bar.

    Attributes:
        ram: the size of its first bar in KiB, a power of two.
        vgamem: how much of it is for VGA, in KiB.
        vram64: how far the second bar reaches beyond what can be addressed in 32 bits, in KiB.
    """

    type_: Literal["qxl"]
    ram: UnsignedInt | None = None
    vgamem: UnsignedInt | None = None
    vram64: UnsignedInt | None = None


class Video(Device):
    """A graphics card. A guest with <graphics>, and none, gets one."""

    model: EmulatedVideoModel | QxlVideoModel | None = None
    driver: VideoDriver | None = None
    acpi: Acpi | None = None
