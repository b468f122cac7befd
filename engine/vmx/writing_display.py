"""The screen, and folders shared with the host, to a .vmx. Source: VMware's public lists of .vmx parameters."""

from __future__ import annotations

from collections.abc import Sequence

from engine.conf.kinds.domain.filesystem import Filesystem, MountFilesystem
from engine.conf.kinds.domain.graphics import AddressListen, Graphics, VncGraphics
from engine.conf.kinds.domain.video import Video
from engine.vmx.output import Output

__all__ = ["put_filesystems", "put_graphics", "put_videos"]

_VRAM = 4 * 1024  # KiB
_VRAM_STEP = 64  # KiB: Windows wants memory of a graphics card to be a multiple of it, VMware says


def put_graphics(output: Output, graphics: Sequence[Graphics]) -> None:
    """The first VNC server; a machine has no more."""
    servers = [each for each in graphics if isinstance(each, VncGraphics)]
    for each in graphics:
        if not servers or each is not servers[0]:
            output.skip(each, "a .vmx has no way to show the screen but one VNC server, so it is left out")
    if servers:
        _put_vnc(output, servers[0])


def _put_vnc(output: Output, vnc: VncGraphics) -> None:
    key = "RemoteDisplay.vnc"
    output.put(f"{key}.enabled", True)
    if vnc.port is not None and vnc.port >= 0 and not vnc.autoport:
        output.put(f"{key}.port", int(vnc.port))
    else:
        output.warn(vnc, f"{key}.port", "which port VMware chooses can't be found out")
    listens = [listen.address for listen in vnc.listens if isinstance(listen, AddressListen)]
    found = {"ip": vnc.listen or next(iter(listens), None), "keymap": vnc.keymap, "password": vnc.passwd}
    for name, value in found.items():
        if value is not None:
            output.put(f"{key}.{name}", value)


def put_videos(output: Output, videos: Sequence[Video]) -> None:
    """The memory of the first graphics card; a machine has no more."""
    for number, video in enumerate(videos):
        model = video.model
        if number or (model is not None and model.type_ != "vmvga"):
            output.skip(video, "VMware's machines have one graphics card, of type='vmvga', so it is left out")
        elif model is not None:
            vram = _VRAM if model.vram is None else int(model.vram)
            output.put("svga.vramSize", -(-vram // _VRAM_STEP) * _VRAM_STEP * 1024)


def put_filesystems(output: Output, filesystems: Sequence[Filesystem]) -> None:
    """Directories of the host as shared folders."""
    shared = []
    for each in filesystems:
        if isinstance(each, MountFilesystem) and each.source.dir is not None:
            shared.append((each.source.dir, each))
        else:
            output.skip(each, "VMware shares no file systems but directories of the host, so it is left out")
    if not shared:
        return
    output.put("isolation.tools.hgfs.disable", False)
    output.put("sharedFolder.maxNum", len(shared))
    for number, (path, filesystem) in enumerate(shared):
        device = f"sharedFolder{number}"
        output.put(f"{device}.present", True)
        output.put(f"{device}.enabled", True)
        output.put(f"{device}.hostPath", path)
        output.put(f"{device}.guestName", filesystem.target.dir)
        output.put(f"{device}.writeAccess", not filesystem.readonly)
