"""The screen, and folders shared with the host, from a .vmx. Source: VMware's public lists of .vmx parameters."""

from __future__ import annotations

from collections.abc import Iterator

from engine.conf.kinds.domain.filesystem import Filesystem, FilesystemTarget, MountFilesystem, MountSource
from engine.conf.kinds.domain.graphics import AddressListen, VncGraphics
from engine.conf.kinds.domain.video import EmulatedVideoModel, Video
from engine.vmx.settings import Settings

__all__ = ["filesystems", "graphics", "videos"]

_VRAM = 4 * 1024 * 1024  # what a card has if nothing is said


def graphics(settings: Settings) -> Iterator[VncGraphics]:
    """The VNC server of the machine, if it is enabled."""
    vnc = "RemoteDisplay.vnc"
    if not settings.flag(f"{vnc}.enabled"):
        return
    port = settings.number(f"{vnc}.port")
    if port is not None and not 0 <= port <= 65535:
        settings.refuse(f"{vnc}.port", "is no port")
    address = settings.text(f"{vnc}.ip") or None
    yield VncGraphics(
        line=settings.line(f"{vnc}.ip"),
        type_="vnc",
        port=-1 if port is None else port,
        autoport=port is None,
        listen=address,
        keymap=settings.text(f"{vnc}.keymap"),
        passwd=settings.text(f"{vnc}.password"),
        listens=(AddressListen(type_="address", address=address, line=settings.line(f"{vnc}.ip")),),
    )


def videos(settings: Settings) -> Iterator[Video]:
    """The graphics card, unless it is said that there is none; its memory in whole KiB."""
    if not settings.flag("svga.present", default=True):
        settings.skip("svga", "it is not present, so what is said of it is left out")
        return
    size = settings.number("svga.vramSize")
    if size is None:
        size = _VRAM
    if not 0 <= size < 2**41:
        settings.refuse("svga.vramSize", "is no size in bytes")
    yield Video(model=EmulatedVideoModel(type_="vmvga", vram=-(-size // 1024), primary=True))


def filesystems(settings: Settings) -> Iterator[Filesystem]:
    """The shared folders that are enabled, unless there are none of them at all."""
    disabled = settings.flag("isolation.tools.hgfs.disable", default=True)
    found = False
    for (number,) in settings.numbers_of(r"sharedfolder(\d+)"):
        device = f"sharedFolder{number}"
        there = settings.flag(f"{device}.present") and settings.flag(f"{device}.enabled")
        host = settings.text(f"{device}.hostPath") or ""
        if disabled or not there or not host:
            settings.skip(device, "the guest has no such folder, so what is said of it is left out")
        else:
            found = True
            yield _filesystem(settings, device, host)
    if not disabled and not found:
        settings.warn("isolation.tools.hgfs.disable", "there is no shared folder, so it is left out")


def _filesystem(settings: Settings, device: str, host: str) -> Filesystem:
    return MountFilesystem(
        type_="mount",
        accessmode="passthrough",
        source=MountSource(dir=host, line=settings.line(f"{device}.hostPath")),
        target=FilesystemTarget(dir=settings.text(f"{device}.guestName") or ""),
        readonly=not settings.flag(f"{device}.writeAccess"),
    )
