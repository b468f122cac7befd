"""A guest in 98 bytes: it says "ready" on its serial port, sleeps, and powers off when its power button is pressed.

For the examples; any operating system that minds its power button does as well.
"""

from __future__ import annotations

from pathlib import Path

__all__ = ["write_image"]

# x86 real mode, loaded at 0x7c00. Ports: 0x3f8 is COM1; 0x600, 0x602, 0x604 are the ACPI status, enable and control
# registers of QEMU's `pc` machine (bit 8 of the first two: the power button). The timer ticks 18.2 times a second.
_CODE = bytes.fromhex(
    "fa 31c0 8ed8 8ed0 bc007c"  # cli; ds = ss = 0; sp = 0x7c00
    "ba0206 b80001 ef"  #         listen to the power button
    "be4c7c e82900 fb"  #         say "ready"; sti
    "f4 ba0006 ed f6c401 74f6"  # wait: hlt; until the button was pressed
    "be537c e81800"  #            say "button"
    "8b0e607c e303 f4 e2fd"  #    count the ticks at 0x7c60 down, in hlt
    "be5b7c e80900"  #            say "off"
    "ba0406 b80020 ef fa f4"  #   power off (S5)
    "baf803 ac 84c0 7403 ee ebf8 c3"  # say: write the text at si to COM1
)
_TEXTS = b"ready\n\0button\n\0off\n\0"
_TICKS_PER_SECOND = 18.2


def write_image(path: Path, *, takes: float = 0.0) -> None:
    """Write a disk image; ``takes``: seconds from the button to power-off, at most 3600."""
    program = _CODE + _TEXTS + round(takes * _TICKS_PER_SECOND).to_bytes(2, "little")
    sector = program.ljust(510, b"\0") + b"\x55\xaa"
    path.write_bytes(sector.ljust(1 << 20, b"\0"))
