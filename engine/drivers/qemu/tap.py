"""Tap devices, by ioctl. Blocking, but for no time worth a thought.

Sources: the kernel's Documentation/networking/tuntap.rst, netdevice(7), linux/if_tun.h, linux/sockios.h.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

from engine.drivers.qemu.network import Tap
from engine.errors import HostError

__all__ = ["close_taps", "open_taps"]

_TUNSETIFF = 0x400454CA
_IFF_TAP, _IFF_NO_PI, _IFF_VNET_HDR = 0x0002, 0x1000, 0x4000
_SIOCGIFFLAGS, _SIOCSIFFLAGS, _SIOCSIFHWADDR, _SIOCBRADDIF = 0x8913, 0x8914, 0x8924, 0x89A2
_IFF_UP = 0x1
_ARPHRD_ETHER = 1


def open_taps(taps: Sequence[Tap], macs: Sequence[str]) -> tuple[dict[int, int], list[int]]:
    """Make (or attach to) the devices, put them on their bridges and set them up.

    Returns:
        Descriptors by the index of their ``<interface>``, and the host's indexes of the devices. A device made here is
        gone when the last descriptor of it is closed.

    Raises:
        HostError: no permission, no such bridge, no tun device.
    """
    fds: dict[int, int] = {}
    indexes: list[int] = []
    try:
        for tap, mac in zip(taps, macs, strict=True):
            if tap.bridge and not Path(f"/sys/class/net/{tap.bridge}/bridge").exists():
                raise HostError(f"there is no bridge '{tap.bridge}' on this host")
            if tap.existing and not Path(f"/sys/class/net/{tap.name}").exists():
                raise HostError(f"there is no network device '{tap.name}' on this host")
            fds[tap.index], index = _open(tap, mac)
            indexes.append(index)
    except BaseException:
        close_taps(fds)
        raise
    return fds, indexes


def close_taps(fds: dict[int, int]) -> None:
    for fd in fds.values():
        os.close(fd)


def _open(tap: Tap, mac: str) -> tuple[int, int]:
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    except OSError as exc:
        raise HostError(f"/dev/net/tun: {(exc.strerror or str(exc)).lower()}") from exc
    try:
        flags = _IFF_TAP | _IFF_NO_PI | _IFF_VNET_HDR
        made = fcntl.ioctl(fd, _TUNSETIFF, struct.pack("16sH22x", (tap.name or "vnet%d").encode(), flags))
        name = made[:16].rstrip(b"\0")
        index = socket.if_nametoindex(name.decode())
        if not tap.existing:
            _set_up(name, index, tap.bridge, mac)
        return fd, index
    except OSError as exc:
        os.close(fd)
        what = f"tap device '{tap.name}'" if tap.name else "a tap device"
        raise HostError(f"{what} can't be set up: {(exc.strerror or str(exc)).lower()}") from exc


def _set_up(name: bytes, index: int, bridge: str, mac: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        # a bridge takes the lowest address of its ports for its own: this one is never the lowest
        address = bytes.fromhex("fe" + mac.replace(":", "")[2:])
        fcntl.ioctl(control, _SIOCSIFHWADDR, struct.pack("16sH6s16x", name, _ARPHRD_ETHER, address))
        if bridge:
            fcntl.ioctl(control, _SIOCBRADDIF, struct.pack("16si20x", bridge.encode(), index))
        flags = struct.unpack_from("16xH", fcntl.ioctl(control, _SIOCGIFFLAGS, struct.pack("16s24x", name)))[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sH22x", name, flags | _IFF_UP))
