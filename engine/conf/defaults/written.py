"""Numbers and sizes as libvirt writes them, whichever way they were written."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from engine.conf.defaults.context import Context, change
from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.controller import PciTarget
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.graphics import AudioRef
from engine.conf.kinds.domain.security import SevLaunchSecurity
from engine.conf.kinds.domain.small_devices import IommuDriver
from engine.conf.kinds.domain.sound import AudioBackend, AudioSettings, AudioStream
from engine.conf.kinds.domain.storage import NvmeSource
from engine.conf.kinds.network_common import QbgParameters
from engine.conf.nodes.node import Node
from engine.conf.nodes.values import Written
from engine.conf.units import to_bytes
from engine.errors import ConfigError

__all__ = [
    "decimal_numbers",
    "in_largest_unit",
    "in_unit",
    "largest_unit",
    "plain_numbers",
    "scaled",
]

Size = TypeVar("Size", bound=ScaledInteger)


def plain_numbers(definition: DomainDocument, context: Context) -> DomainDocument:
    """Every number in the one way that its kind is written; what is not declared is left out, as libvirt does."""
    plain: DomainDocument = _plain(definition)
    return plain


def decimal_numbers(definition: DomainDocument, context: Context) -> DomainDocument:
    """The numbers of some elements in decimal, though their kind is hexadecimal elsewhere."""
    decimal: DomainDocument = _decimal(definition)
    return decimal


#: Elements whose numbers libvirt writes in decimal, though they may be given in hexadecimal.
_DECIMAL = (AudioBackend, AudioStream, AudioSettings, AudioRef, QbgParameters, IommuDriver, NvmeSource, PciTarget)


def _decimal(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_decimal(each) for each in value)
    if not isinstance(value, Node):
        return value
    fields = {name: getattr(value, name) for name in value.__struct_fields__ if name not in ("line", "other")}
    changed = _spelled(value, fields)
    changed |= {name: new for name, old in fields.items() if (new := _decimal(old)) is not old}
    return msgspec.structs.replace(value, **changed) if changed else value


def _spelled(value: Node, fields: dict[str, Any]) -> dict[str, Any]:
    """Those of a node's numbers that are not written as their kind is, as they are written."""
    if isinstance(value, SevLaunchSecurity):
        return {"policy": Written(value.policy, f"0x{value.policy:04x}")}
    if not isinstance(value, _DECIMAL):
        return {}
    hexadecimal = "port" if isinstance(value, PciTarget) else ""
    return {name: Written(n, str(n)) for name, n in fields.items() if type(n) is int and name != hexadecimal}


def _plain(value: Any) -> Any:
    if isinstance(value, Written):
        return int(value)
    if isinstance(value, tuple):
        return tuple(_plain(each) for each in value)
    if not isinstance(value, Node):
        return value
    fields = {name: getattr(value, name) for name in value.__struct_fields__ if name not in ("line", "other")}
    changed = {name: new for name, old in fields.items() if (new := _plain(old)) is not old}
    if value.other is not None:
        changed["other"] = None
    return msgspec.structs.replace(value, **changed) if changed else value


# ---------------------------------------------------------------------------- sizes


def in_unit(size: Size | None, unit: str, *, default: str = "KiB") -> Size | None:
    """The size in a unit, rounded up; ``default``: the unit it has if it says none. Raises ConfigError."""
    if size is None:
        return None
    return change(size, value=scaled(size.value, size.unit, unit, default=default, line=size.line), unit=unit)


def scaled(number: int, unit: str | None, to: str, *, default: str = "KiB", line: int = 0) -> int:
    """A number of one unit as one of another, rounded up. Raises ConfigError."""
    try:
        return -(-to_bytes(number, unit or default) // to_bytes(1, to))
    except ValueError as exc:
        raise ConfigError(f"{exc}", line=line or None) from None


def in_largest_unit(size: Size | None, *, default: str) -> Size | None:
    """The size in the largest unit that it is a multiple of; ``default``: the unit it has if it says none."""
    if size is None:
        return None
    number, unit = largest_unit(scaled(size.value, size.unit, "B", default=default, line=size.line))
    return change(size, value=number, unit=unit)


def largest_unit(size: int) -> tuple[int, str]:
    """Bytes as a number of the largest unit that they are a multiple of."""
    for power, unit in ((6, "EiB"), (5, "PiB"), (4, "TiB"), (3, "GiB"), (2, "MiB"), (1, "KiB")):
        if size and size % 1024**power == 0:
            return size // 1024**power, unit
    return size, "B"
