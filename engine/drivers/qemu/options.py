"""How QEMU's command line spells things. Pure.

Source: QEMU's qemu(1): in ``key=value`` options a comma within a value is doubled; ``-device``, ``-blockdev`` and
``-object`` take JSON, where nothing needs escaping.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from engine.conf.devices import Address
from engine.conf.reader import Node
from engine.errors import UnsupportedConfig

__all__ = ["Line", "Places", "device_id", "escape", "keyval", "letters", "refuse"]


class Places(msgspec.Struct, frozen=True, kw_only=True):
    """What of the host goes into a command line.

    Attributes:
        emulator: the program; runtime: the domain's folder for sockets; console_log: where a console that is no file is
            written down, or "" (see ``command``).
        monitor: descriptor of the listening QMP socket; tpm: of the TPM's control channel.
        taps: descriptors of tap devices, by the index of their ``<interface>``.
    """

    emulator: str = ""
    runtime: str = ""
    console_log: str = ""
    monitor: int = 0
    tpm: int = 0
    taps: Mapping[int, int] = {}


class Line:
    """The arguments as they gather. Devices come last, those that controllers hang on before those that hang on them,
    and those with a fixed place before those that QEMU places."""

    def __init__(self) -> None:
        self._arguments: list[str] = []
        self._devices: list[tuple[int, str]] = []

    def add(self, *arguments: str) -> None:
        self._arguments += arguments

    def blockdev(self, **properties: Any) -> None:
        self.add("-blockdev", _json(_dashed(properties)))

    def object(self, **properties: Any) -> None:
        self.add("-object", _json(_dashed(properties)))

    def device(
        self,
        driver: str,
        place: Mapping[str, Any] | None = None,
        *,
        stage: int = 2,
        exact: Mapping[str, Any] | None = None,
        **properties: Any,
    ) -> None:
        """``stage``: 0 buses, 1 controllers, 2 the rest. ``exact``: properties that QEMU spells with underscores."""
        rank = 2 * stage + (0 if place else 1)
        text = _json({"driver": driver, **_dashed(properties), **(exact or {}), **(place or {})})
        self._devices.append((rank, text))

    def arguments(self) -> list[str]:
        devices = sorted(self._devices, key=lambda entry: entry[0])
        return [*self._arguments, *(word for _, text in devices for word in ("-device", text))]


def _json(properties: Mapping[str, Any]) -> str:
    """None is left out."""
    return json.dumps({name: value for name, value in properties.items() if value is not None}, separators=(",", ":"))


def _dashed(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("_", "-"): value for name, value in properties.items()}


def escape(value: object) -> str:
    """A value in a ``key=value`` list."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value).replace(",", ",,")


def keyval(head: str, **values: object) -> str:
    """``head,key=value,...``; None is left out, underscores are QEMU's dashes."""
    parts = [f"{key.replace('_', '-')}={escape(value)}" for key, value in values.items() if value is not None]
    return ",".join([head, *parts] if head else parts)


def letters(name: str, prefix: int = 2) -> int:
    """The number of a target such as vda (0), sdb (1), vdaa (26); -1 when it has none."""
    number = 0
    for letter in name[prefix:]:
        if not "a" <= letter <= "z":
            return -1
        number = number * 26 + ord(letter) - ord("a") + 1
    return number - 1


def device_id(kind: str, index: int) -> str:
    return f"{kind}{index}"


def refuse(element: str, reason: str, node: Node | Address) -> UnsupportedConfig:
    """The error for what can't be built."""
    return UnsupportedConfig(element, reason, line=node.line or None)
