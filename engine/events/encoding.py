"""Events as bytes: the engine's own JSON (the journal's) and CloudEvents 1.0 JSON (everybody else's).

CloudEvents: https://github.com/cloudevents/spec, version 1.0.2, JSON event format. Of its extensions ``sequence``
is the documented one, which wants a text that sorts like the numbers, so it has twenty digits; ``epoch`` and
``commandid`` (the command that caused the event) are the engine's own. The ``id`` is ``epoch/number``; what is told to
one reader only, and never in the journal, has the number of another event and says so, and when it was told, since
another reader may be told the same: ``epoch/number/snapshot/UUID/TIME``, ``epoch/number/snapshot/COUNT/TIME`` and
``epoch/number/gap/MISSED/TIME`` (in microseconds since 1970).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Union
from urllib.parse import quote, unquote

import msgspec

from engine.errors import EventError
from engine.events.types import DomainEvent, DomainSnapshot, Event, Gap, SnapshotComplete, event_types

__all__ = ["decode", "encode", "from_cloudevent", "to_cloudevent", "type_name", "types_by_name"]

#: Begins the ``type`` of every CloudEvent the engine makes.
PREFIX = "org.virengine."
#: Stands in every ``source`` between the host and the connection.
_SOURCE = "/virengine"
_WORD = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z][a-z0-9]*|[A-Z]+")
_BASE = frozenset(Event.__struct_fields__)

_encoder = msgspec.json.Encoder()


def encode(event: Event) -> bytes:
    """The event as one JSON object; its class is in ``type``. Never fails.

    JSON has no place for a lone surrogate, which Python makes of a byte in a path or an argument that is no UTF-8: it
    is spelled out (``\\udcff``), and what is no JSON at all is given as its ``repr``. An event that its own type could
    not be read back from then is written as the plain ``DomainEvent`` or ``Event`` it also is.
    """
    try:
        return _encoder.encode(event)
    except (TypeError, ValueError, OverflowError):
        return _encode_anyhow(event)


def decode(data: bytes) -> Event:
    """The event that ``encode`` wrote.

    A type that this process doesn't know (a newer version's, or of a driver that is not here) is read as the plain
    ``DomainEvent`` or ``Event`` it also is, so that its number is not missing.

    Raises:
        EventError: it is no event.
    """
    try:
        return _decoder(_known()).decode(data)
    except msgspec.DecodeError as exc:
        try:
            return _decode_unknown(data)
        except (msgspec.DecodeError, TypeError):
            raise EventError(f"not an event: {exc}") from exc


def to_cloudevent(event: Event) -> dict[str, Any]:
    """The event as a CloudEvent: a dictionary of JSON values, all there is in the event, reversible."""
    fields: dict[str, Any] = msgspec.json.decode(encode(event))
    data = {name: value for name, value in fields.items() if name not in _BASE and name != "type"}
    source = f"//{quote(fields['host'], safe='')}{_SOURCE}"
    if connection := data.get("connection"):
        source += "/" + quote(connection, safe="/:+@")
    cloudevent = {
        "specversion": "1.0",
        "id": f"{fields['epoch']}/{event.sequence}{_own(event)}",
        "source": source,
        "type": type_name(type(event)),
        "time": datetime.fromtimestamp(event.time, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "sequence": f"{event.sequence:020}",
        "epoch": fields["epoch"],
    }
    if isinstance(event, DomainEvent):
        cloudevent["subject"] = f"{fields['domain']}/{fields['uuid']}"
    if event.cause is not None:
        cloudevent["commandid"] = fields["cause"]
    return {**cloudevent, "data": data}


def _own(event: Event) -> str:
    """What tells a reader's own facts from the event whose number they have, too, and from other readers'."""
    match event:
        case DomainSnapshot():
            fact = f"snapshot/{event.uuid}"
        case SnapshotComplete():
            fact = f"snapshot/{event.count}"
        case Gap():
            fact = f"gap/{event.missed}"
        case _:
            return ""
    return f"/{fact}/{round(event.time * 1_000_000)}"


def from_cloudevent(cloudevent: Mapping[str, Any] | bytes | str) -> Event:
    """The event that ``to_cloudevent`` was given, from its dictionary or that as JSON text.

    Raises:
        EventError: it is no CloudEvent, or none of the engine's.
    """
    try:
        fields = msgspec.json.decode(cloudevent) if isinstance(cloudevent, bytes | str) else cloudevent
        if fields["specversion"] != "1.0":
            raise EventError(f"CloudEvents version '{fields['specversion']}' is not known")
        event_type = _by_type_name(_known())[fields["type"]]
        host, separator, _ = fields["source"].removeprefix("//").partition(_SOURCE)
        if not separator:
            raise EventError(f"'{fields['source']}' is not a source of the engine's events")
        return msgspec.convert(
            {
                "type": event_type.__name__,
                "host": unquote(host),
                "epoch": fields["epoch"],
                "sequence": int(fields["sequence"]),
                "time": datetime.fromisoformat(fields["time"]).timestamp(),
                "cause": fields.get("commandid"),
                **fields["data"],
            },
            event_type,
        )
    except (msgspec.DecodeError, AttributeError, KeyError, TypeError, ValueError) as exc:
        raise EventError(f"not a CloudEvent of the engine's: {exc!r}") from exc


@lru_cache(maxsize=256)
def type_name(event_type: type[Event]) -> str:
    """The CloudEvents type: ``DomainStarted`` is ``org.virengine.domain.started``."""
    first, *rest = (word.lower() for word in _WORD.findall(event_type.__name__))
    return PREFIX + ".".join((first, "-".join(rest)) if rest else (first,))


def types_by_name() -> dict[str, type[Event]]:
    """All event types by what people call them, in small letters: the class, the CloudEvents type, the end of it."""
    known: dict[str, type[Event]] = {}
    for name, kind in event_types().items():
        dotted = type_name(kind)
        known |= {name.lower(): kind, dotted: kind, dotted.removeprefix(PREFIX): kind}
    return known


def _known() -> tuple[type[Event], ...]:
    # a driver may bring types of its own at any time, so the answer is not kept; what is built from it is
    return tuple(event_types().values())


@lru_cache(maxsize=8)
def _decoder(known: tuple[type[Event], ...]) -> msgspec.json.Decoder[Event]:
    return msgspec.json.Decoder(Union[known])  # noqa: UP007 - made of a tuple


@lru_cache(maxsize=8)
def _by_type_name(known: tuple[type[Event], ...]) -> dict[str, type[Event]]:
    return {type_name(event_type): event_type for event_type in known}


def _encode_anyhow(event: Event) -> bytes:
    fields = {name: _encodable(getattr(event, name)) for name in event.__struct_fields__}
    data = _encoder.encode({"type": type(event).__struct_config__.tag, **fields})
    try:
        decode(data)
        return data
    except EventError:
        plain = DomainEvent if isinstance(event, DomainEvent) else Event
        return _encoder.encode({"type": plain.__name__, **{name: fields[name] for name in plain.__struct_fields__}})


def _encodable(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(_encodable(key)): _encodable(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_encodable(item) for item in value]
    try:
        _encoder.encode(value)
    except (TypeError, ValueError, OverflowError):
        return _encodable(repr(value))
    return value


def _decode_unknown(data: bytes) -> Event:
    fields = msgspec.json.decode(data, type=dict[str, Any])
    if fields.get("type") in event_types():
        raise TypeError("a known type, with wrong fields")
    plain = DomainEvent if all(name in fields for name in DomainEvent.__struct_fields__) else Event
    return msgspec.convert({**fields, "type": plain.__name__}, plain)
