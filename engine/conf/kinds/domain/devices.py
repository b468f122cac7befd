"""``<devices>``: all that is plugged into a guest. Source: libvirt's "Domain XML format", Devices."""

from __future__ import annotations

from typing import Annotated

from engine.conf.kinds.domain.chardev import Channel, Console, Parallel, Serial
from engine.conf.kinds.domain.controller import Controller
from engine.conf.kinds.domain.disk import Disk
from engine.conf.kinds.domain.filesystem import Filesystem
from engine.conf.kinds.domain.graphics import Graphics
from engine.conf.kinds.domain.hostdev import Hostdev
from engine.conf.kinds.domain.input import Hub, Input, Rng, Smartcard, Tpm
from engine.conf.kinds.domain.interface import Interface
from engine.conf.kinds.domain.lease import Lease
from engine.conf.kinds.domain.memory_device import MemoryDevice
from engine.conf.kinds.domain.redirdev import RedirDev, RedirFilter
from engine.conf.kinds.domain.shmem import Shmem
from engine.conf.kinds.domain.small_devices import Crypto, Iommu, MemBalloon, Nvram, Panic, Vsock, Watchdog
from engine.conf.kinds.domain.sound import Audio, Sound
from engine.conf.kinds.domain.video import Video
from engine.conf.kinds.values import AbsFilePath
from engine.conf.nodes.node import Child, Node, Text

__all__ = ["Devices"]


class Devices(Node):
    """What is plugged into the guest; of each kind in the order it was written.

    Attributes:
        emulator: the program that runs the guest; chosen by its type and architecture if it is left out.
    """

    emulator: Annotated[AbsFilePath | None, Text] = None
    disks: Annotated[tuple[Disk, ...], Child("disk")] = ()
    controllers: Annotated[tuple[Controller, ...], Child("controller")] = ()
    leases: Annotated[tuple[Lease, ...], Child("lease")] = ()
    filesystems: Annotated[tuple[Filesystem, ...], Child("filesystem")] = ()
    interfaces: Annotated[tuple[Interface, ...], Child("interface")] = ()
    smartcards: Annotated[tuple[Smartcard, ...], Child("smartcard")] = ()
    serials: Annotated[tuple[Serial, ...], Child("serial")] = ()
    parallels: Annotated[tuple[Parallel, ...], Child("parallel")] = ()
    consoles: Annotated[tuple[Console, ...], Child("console")] = ()
    channels: Annotated[tuple[Channel, ...], Child("channel")] = ()
    inputs: Annotated[tuple[Input, ...], Child("input")] = ()
    tpms: Annotated[tuple[Tpm, ...], Child("tpm")] = ()
    graphics: Annotated[tuple[Graphics, ...], Child("graphics")] = ()
    sounds: Annotated[tuple[Sound, ...], Child("sound")] = ()
    audios: Annotated[tuple[Audio, ...], Child("audio")] = ()
    videos: Annotated[tuple[Video, ...], Child("video")] = ()
    hostdevs: Annotated[tuple[Hostdev, ...], Child("hostdev")] = ()
    redirdevs: Annotated[tuple[RedirDev, ...], Child("redirdev")] = ()
    redirfilters: Annotated[tuple[RedirFilter, ...], Child("redirfilter")] = ()
    hubs: Annotated[tuple[Hub, ...], Child("hub")] = ()
    watchdog: Watchdog | None = None
    memballoon: MemBalloon | None = None
    rngs: Annotated[tuple[Rng, ...], Child("rng")] = ()
    nvram: Nvram | None = None
    panics: Annotated[tuple[Panic, ...], Child("panic")] = ()
    shmems: Annotated[tuple[Shmem, ...], Child("shmem")] = ()
    memories: Annotated[tuple[MemoryDevice, ...], Child("memory")] = ()
    cryptos: Annotated[tuple[Crypto, ...], Child("crypto")] = ()
    iommu: Iommu | None = None
    vsock: Vsock | None = None
