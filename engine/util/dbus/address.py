"""Where a bus listens: D-Bus addresses and the environment they come from.

Source: D-Bus specification, "Server Addresses" and "Well-known Message Bus Instances".
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from engine.errors import ConfigError

__all__ = ["SYSTEM_BUS", "BusAddress", "find_bus", "parse_addresses"]

SYSTEM_BUS = "unix:path=/run/dbus/system_bus_socket"
"""Where the system bus listens unless DBUS_SYSTEM_BUS_ADDRESS says otherwise."""

_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


@dataclass(frozen=True, slots=True)
class BusAddress:
    """One UNIX socket. ``path`` is what ``connect`` takes: an abstract one begins with a zero byte."""

    path: bytes
    guid: str | None = None
    """The server must say so too, when it is given."""

    def __str__(self) -> str:
        if self.path.startswith(b"\0"):
            return "unix:abstract=" + os.fsdecode(self.path[1:])
        return "unix:path=" + os.fsdecode(self.path)


def find_bus(which: str, environ: Mapping[str, str] = os.environ) -> tuple[BusAddress, ...]:
    """The addresses of ``"system"``, of ``"session"``, or those that the string itself spells, in the order to try.

    Raises:
        ConfigError: the string is no address, none of its transports can be used here, or no session bus is known.
    """
    if which == "system":
        which = environ.get("DBUS_SYSTEM_BUS_ADDRESS") or SYSTEM_BUS
    elif which == "session":
        which = environ.get("DBUS_SESSION_BUS_ADDRESS") or (
            "unix:runtime=yes" if environ.get("XDG_RUNTIME_DIR") else ""
        )
        if not which:
            raise ConfigError("no session bus is known: DBUS_SESSION_BUS_ADDRESS and XDG_RUNTIME_DIR are not set")
    return parse_addresses(which, environ)


def parse_addresses(text: str, environ: Mapping[str, str] = os.environ) -> tuple[BusAddress, ...]:
    """The UNIX sockets that an address string names, in order; other transports are passed over.

    Raises:
        ConfigError: it is malformed, or names no socket that can be used here.
    """
    found = []
    for part in filter(None, text.split(";")):
        transport, colon, rest = part.partition(":")
        if not colon:
            raise ConfigError(f"not a D-Bus address: '{part}' has no transport")
        keys = dict(_pair(part, item) for item in rest.split(",") if item)
        path = _socket(part, keys, environ) if transport == "unix" else None
        if path is not None:
            guid = keys.get("guid")
            found.append(BusAddress(path, os.fsdecode(guid) if guid else None))
    if not found:
        raise ConfigError(f"no usable D-Bus address in '{text}' (only UNIX sockets are supported)")
    return tuple(found)


def _pair(part: str, item: str) -> tuple[str, bytes]:
    key, equals, value = item.partition("=")
    if not equals or not key:
        raise ConfigError(f"not a D-Bus address: '{item}' in '{part}' is no key=value")
    if _ESCAPE.search(value):
        raise ConfigError(f"not a D-Bus address: a '%' in '{part}' has no two hexadecimal digits after it")
    try:
        return key, unquote_to_bytes(os.fsencode(value))
    except UnicodeEncodeError as exc:
        raise ConfigError(f"not a D-Bus address: {item!r} is no text that a file name could be") from exc


def _socket(part: str, keys: Mapping[str, bytes], environ: Mapping[str, str]) -> bytes | None:
    given = [key for key in ("path", "abstract", "runtime", "dir", "tmpdir") if key in keys]
    if len(given) != 1:
        raise ConfigError(f"not a D-Bus address: '{part}' must have one of path, abstract and runtime")
    (kind,) = given
    if kind == "runtime":
        folder = environ.get("XDG_RUNTIME_DIR")
        return os.fsencode(folder) + b"/bus" if folder and keys[kind] == b"yes" else None
    if kind in ("dir", "tmpdir"):  # a server may listen so; a client can't connect to it
        return None
    value = keys[kind]
    if not value or (kind == "path" and b"\0" in value):  # a leading zero byte would make it another kind of socket
        raise ConfigError(f"not a D-Bus address: the {kind} in '{part}' is no name for a socket")
    return b"\0" + value if kind == "abstract" else value
