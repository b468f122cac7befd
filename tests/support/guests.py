"""The guests that tests boot."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Literal

from support.cache import TESTS, GuestUnavailable, cache_dir, made
from support.linux import LinuxGuest, linux_guest, linux_guest_unavailable

__all__ = [
    "Ending",
    "GuestUnavailable",
    "LinuxGuest",
    "boot_sector",
    "boot_sector_unavailable",
    "cache_dir",
    "echo_sector",
    "linux_guest",
    "linux_guest_unavailable",
]

BOOT_SOURCE = TESTS / "guests" / "boot.S"

Ending = Literal["off", "crash", "reset", "hang", "sleep"]

_ENDINGS: tuple[Ending, ...] = ("off", "crash", "reset", "hang", "sleep")
_PARAMETERS = struct.Struct("<4sHHHBB")  # the block that closes boot.S: same order, same widths
_PARAMETERS_AT = 0x1E0
_MAGIC = b"VGST"
_ALWAYS = 255


def boot_sector(
    path: str | os.PathLike[str],
    *,
    delay: float = 0.0,
    ignore_button: bool | int = False,
    ready_after: float = 0.0,
    exit_after: float | None = None,
    ending: Ending = "off",
    crash: bool = False,
    size: int = 1 << 20,
) -> Path:
    """Writes a bootable raw disk image to ``path`` and returns the path.

    The guest says lines on COM1: ``ready`` once it listens to the ACPI power button, ``button`` at each press, ``off``
    just before it powers off. A press before ``ready`` is lost. It runs on ``pc`` and ``q35`` in 4 MiB of memory, from
    any disk that the firmware can boot (ide, virtio, scsi). Times are in seconds, kept to 10 ms, at most 655.

    delay: from the (first heard) press to the ending. A press meanwhile says ``button`` and changes nothing.
    ignore_button: the number of presses that say ``button`` and do nothing more; True is all of them.
    ready_after: from power-on to ``ready``.
    exit_after: from ``ready`` to the ending with no button pressed; None is never.
    ending: ``off`` is ACPI S5. ``crash`` (also ``crash=True``) tells the pvpanic device, and where there is none ends
        in a triple fault, which is a reset, or QEMU's end with ``-no-reboot``. ``reset`` is the triple fault. ``hang``
        sleeps with interrupts off. ``sleep`` is ACPI S3, from which it wakes with a boot; at the button it
        powers off.
    size: bytes of the image, padded with a hole; at least 512.

    Raises GuestUnavailable where there is no assembler, ValueError for what does not fit the parameter block.
    """
    ignored = _ALWAYS if ignore_button is True else int(ignore_button)
    if not 0 <= ignored <= _ALWAYS:
        raise ValueError(f"ignore_button is 0 to {_ALWAYS} presses, not {ignored}")
    if size < 512:
        raise ValueError(f"an image of {size} bytes holds no boot sector")
    sector = bytearray(_assembled())
    _PARAMETERS.pack_into(
        sector,
        _PARAMETERS_AT,
        _MAGIC,
        _ticks(delay),
        _ticks(ready_after),
        0 if exit_after is None else max(_ticks(exit_after), 1),
        ignored,
        _ENDINGS.index("crash" if crash else ending),
    )
    target = Path(path)
    with target.open("wb") as image:
        image.write(sector)
        image.truncate(size)
    return target


def echo_sector(path: str | os.PathLike[str]) -> Path:
    """Writes a disk image whose guest says on COM1 whatever it is told there, and never ends by itself."""
    code = bytes.fromhex(
        "bafd03"  # loop: mov dx, 0x3fd   line status
        "ec a801 74f8"  # in al, dx; test al, 1; jz loop      something has come
        "baf803 ec 88c4"  # mov dx, 0x3f8; in al, dx; mov ah, al
        "bafd03"  # mov dx, 0x3fd
        "ec a820 74fb"  # room: in al, dx; test al, 32; jz room      the last one is gone
        "88e0 baf803 ee"  # mov al, ah; mov dx, 0x3f8; out dx, al
        "ebe2"  # jmp loop
    )
    target = Path(path)
    target.write_bytes((code.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0"))
    return target


def _ticks(seconds: float) -> int:
    ticks = round(seconds * 100)
    if not 0 <= ticks <= 0xFFFF:
        raise ValueError(f"a guest counts 0 to 655.35 seconds, not {seconds}")
    return ticks


def _assembled() -> bytes:
    """The sector as the assembler makes it, from the cache when the source has not changed."""
    source = BOOT_SOURCE.read_bytes()
    cached = cache_dir() / f"boot-{hashlib.sha256(source).hexdigest()[:16]}.bin"
    if not cached.exists():
        if missing := [tool for tool in ("as", "ld") if shutil.which(tool) is None]:
            raise GuestUnavailable(f"no {' and no '.join(missing)} here to assemble the boot sector: install binutils")
        with made(cached) as work:
            subprocess.run(["as", "--32", "-o", work / "boot.o", BOOT_SOURCE], check=True)
            linker = ["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary"]
            subprocess.run([*linker, "-o", work / "made", work / "boot.o"], check=True)
    sector = cached.read_bytes()
    if len(sector) != 512 or sector[_PARAMETERS_AT:][:4] != _MAGIC:
        raise GuestUnavailable(f"{cached} is not the boot sector: remove it")
    return sector


def boot_sector_unavailable() -> str | None:
    """Why there can be no boot sector here, or None."""
    try:
        _assembled()
    except GuestUnavailable as why:
        return str(why)
    return None
