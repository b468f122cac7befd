"""The file ``save`` makes: a short header, the domain's XML, then the driver's own stream.

Layout: magic (16 bytes), version and XML length (two 32-bit big-endian), XML (UTF-8), zero padding to a multiple of
4096, then the driver's data to the end.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

from engine.errors import ConfigError

__all__ = ["HEADER_ALIGN", "pack_header", "read_header"]

MAGIC = b"virengine-save\0\0"
VERSION = 1
HEADER_ALIGN = 4096
_FIXED = struct.Struct(">16sII")
_MAX_XML = 16 * 1024 * 1024


def pack_header(xml: str) -> bytes:
    """The header for a domain; its length is a multiple of ``HEADER_ALIGN``."""
    body = xml.encode()
    head = _FIXED.pack(MAGIC, VERSION, len(body)) + body
    return head + b"\0" * (-len(head) % HEADER_ALIGN)


def read_header(path: str | os.PathLike[str]) -> tuple[str, int]:
    """The domain's XML and the offset at which the driver's data begin.

    Raises:
        ConfigError: not such a file, or a damaged one.
    """
    source = os.fspath(path)
    try:
        with Path(path).open("rb") as file:
            fixed = file.read(_FIXED.size)
            if len(fixed) < _FIXED.size or not fixed.startswith(MAGIC):
                raise ConfigError("not a saved domain", source=source)
            _, version, length = _FIXED.unpack(fixed)
            if version != VERSION:
                raise ConfigError(f"saved by a newer version (format {version})", source=source)
            body = file.read(length) if length <= _MAX_XML else b""
    except OSError as exc:
        raise ConfigError(exc.strerror or str(exc), source=source) from exc
    if not body or len(body) != length:
        raise ConfigError("the saved domain is damaged: its header is cut short", source=source)
    try:
        xml = body.decode()
    except UnicodeDecodeError as exc:
        raise ConfigError("the saved domain is damaged: its XML is not UTF-8", source=source) from exc
    offset = _FIXED.size + length
    return xml, offset + (-offset % HEADER_ALIGN)
