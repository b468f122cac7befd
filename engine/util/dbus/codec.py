"""The one file that knows dbus-next: its marshaller, unmarshaller and signatures, and none of its buses.

Both halves are private there (0.2.3), so every name used is used here only. They trust what they are given; a bus
does not: it hangs up on whoever sends a text with a zero byte, a type nested too deep or an array too long. So the
subclasses check that, in both directions, and each error is told as what it means to a caller: what we are asked to
send is wrong (``DBusError``), or what we were sent is (``ConnectionBroken``).

Limits are from the D-Bus specification, "Valid Signatures" and "Marshaling".
"""

# mypy: allow-untyped-calls, allow-subclassing-any, no-warn-return-any, no-warn-unused-ignores
# ruff: noqa: S105  (a type's "token" is no password)

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from struct import pack, unpack_from
from typing import Any

from dbus_next._private.marshaller import Marshaller
from dbus_next._private.unmarshaller import Unmarshaller
from dbus_next.signature import SignatureTree, SignatureType
from dbus_next.signature import Variant as CodecVariant

from engine.errors import ConnectionBroken, DBusError
from engine.util.dbus.message import Errors, Flags, Message, MessageType, UnixFd, Variant

__all__ = ["MAX_ARRAY", "MAX_FDS", "MAX_MESSAGE", "decode", "encode"]

MAX_MESSAGE = 128 * 1024 * 1024
MAX_ARRAY = 64 * 1024 * 1024
MAX_FDS = 253
"""What the kernel lets one SCM_RIGHTS message carry (SCM_MAX_FD)."""
MAX_DEPTH = 32
"""Of arrays in each other, and of structs."""
MAX_VARIANT_DEPTH = 64

_HEADER = "yyyyuua(yv)"
_WORD = "[A-Za-z_][A-Za-z0-9_]*"
_BUS_WORD = "[A-Za-z_-][A-Za-z0-9_-]*"
# Not dbus-next's validators: their "$" lets a name end in a newline, and the bus hangs up on that.
_PATH = re.compile("/|(?:/[A-Za-z0-9_]+)+")
_INTERFACE = re.compile(rf"(?=.{{,255}}\Z){_WORD}(?:\.{_WORD})+")
_MEMBER = re.compile(rf"(?=.{{,255}}\Z){_WORD}")
_BUS = re.compile(rf"(?=.{{,255}}\Z)(?::[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]+)+|{_BUS_WORD}(?:\.{_BUS_WORD})+)")

_FIELDS: dict[int, tuple[str, str, re.Pattern[str] | None]] = {
    1: ("path", "o", _PATH),
    2: ("interface", "s", _INTERFACE),
    3: ("member", "s", _MEMBER),
    4: ("error_name", "s", _INTERFACE),
    5: ("reply_serial", "u", None),
    6: ("destination", "s", _BUS),
    7: ("sender", "s", _BUS),
    8: ("signature", "g", None),
    9: ("unix_fds", "u", None),
}
_REQUIRED = {
    MessageType.METHOD_CALL: ("path", "member"),
    MessageType.METHOD_RETURN: ("reply_serial",),
    MessageType.ERROR: ("error_name", "reply_serial"),
    MessageType.SIGNAL: ("path", "interface", "member"),
}


# ---------------------------------------------------------------------------- signatures


@lru_cache(maxsize=1024)
def _tree(signature: str) -> SignatureTree:
    """Parsed and checked. dbus-next's own cache keeps whatever a peer ever thought up; this one has a bound."""
    tree = SignatureTree(signature)
    for kind in tree.types:
        _check_type(kind, arrays=0, structs=0)
    return tree


def _check_type(kind: SignatureType, *, arrays: int, structs: int) -> None:
    arrays += kind.token == "a"
    structs += kind.token == "("
    if arrays > MAX_DEPTH or structs > MAX_DEPTH:
        raise ValueError("a type is nested too deep")
    for child in kind.children:
        if child.token == "{":
            key, value = child.children
            if kind.token != "a" or key.token in "v({a":
                raise ValueError("a dictionary entry stands alone or has no basic type for its key")
            _check_type(value, arrays=arrays, structs=structs)
        else:
            _check_type(child, arrays=arrays, structs=structs)
    if kind.token == "{":
        raise ValueError("a dictionary entry stands alone")


def _single(signature: str) -> SignatureType:
    """The one complete type of a variant."""
    (kind,) = _tree(signature).types
    return kind


# ---------------------------------------------------------------------------- sending


def encode(message: Message, serial: int) -> tuple[bytes, list[int]]:
    """The bytes of a message, and the descriptors to pass with them (still the caller's).

    Raises:
        DBusError: ``InvalidArgs``, and nothing was sent: a name is malformed, the body does not fit the signature, or
            it is too large for a bus.
    """
    fds: list[int] = []
    try:
        writer = _Writer(message.signature, list(message.body), fds)
        body = writer.marshall()
        writer.writers.clear()  # its own methods: one circle less to collect for each message
        given = {**{name: getattr(message, name, None) for name, _, _ in _FIELDS.values()}, "unix_fds": len(fds)}
        _check_fields(message.type, given)
        head = _header(message, len(body), serial, given)
        if len(head) + len(body) > MAX_MESSAGE or len(fds) > MAX_FDS:
            raise ValueError(f"{len(head) + len(body)} bytes and {len(fds)} descriptors are more than a message can be")
        return bytes(head + body), fds
    except Exception as exc:
        raise DBusError(Errors.INVALID_ARGS, f"{message.member or message.type.name}: {exc}") from exc


def _header(message: Message, body_size: int, serial: int, given: dict[str, Any]) -> bytearray:
    """By hand: all of it is known to be plain by now, and the marshaller would take four times as long to find out."""
    fields = bytearray()
    for code, (name, kind, _) in _FIELDS.items():
        if value := given[name]:
            fields += bytes(-len(fields) & 7)
            fields += b"%c\1%c\0" % (code, ord(kind))
            if kind == "u":
                fields += pack("<I", value)
            else:
                text = value.encode()
                fields += pack("<B" if kind == "g" else "<I", len(text)) + text + b"\0"
    start = pack("<BBBBIII", ord("l"), message.type, message.flags, 1, body_size, serial, len(fields))
    return bytearray(start) + fields + bytes(-len(fields) & 7)


class _Writer(Marshaller):
    def __init__(self, signature: str, body: list[Any], fds: list[int]) -> None:
        _tree(signature)
        super().__init__(signature, _plain(body))
        self._fds = fds
        self.writers["h"] = self._write_fd
        self.writers["o"] = self._write_path

    def _write_fd(self, fd: int, _: SignatureType) -> int:
        if fd not in self._fds:
            self._fds.append(fd)
        return int(self.write_uint32(self._fds.index(fd)))

    def _write_path(self, value: str, _: SignatureType) -> int:
        return self.write_string(_object_path(value))

    def write_string(self, value: str, _: SignatureType | None = None) -> int:
        if "\0" in value:
            raise ValueError("a text holds a zero byte")
        return int(super().write_string(value))

    def write_signature(self, signature: str, _: SignatureType | None = None) -> int:
        _tree(signature)
        return int(super().write_signature(signature))

    def write_array(self, array: Any, kind: SignatureType) -> int:
        before = len(self.buffer)
        written = int(super().write_array(array, kind))
        if len(self.buffer) - before > MAX_ARRAY:
            raise ValueError("an array is larger than 64 MiB")
        return written


def _plain(value: Any, variants: int = 0) -> Any:
    """Ours to dbus-next's: lists for tuples, its variants, bare descriptors."""
    if isinstance(value, list | tuple):
        return [_plain(item, variants) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item, variants) for key, item in value.items()}
    if isinstance(value, Variant):
        if variants >= MAX_VARIANT_DEPTH:
            raise ValueError("variants are nested too deep")
        _single(value.signature)
        return CodecVariant(value.signature, _plain(value.value, variants + 1))
    return value.fileno() if isinstance(value, UnixFd) else value


# ---------------------------------------------------------------------------- receiving


def decode(frame: bytearray, take_fds: Callable[[int], Sequence[UnixFd]]) -> Message | None:
    """The message in these very bytes, whose fixed header was checked; ``take_fds`` gives the next so many that came.

    None stands for a message of a type yet to be invented, to be ignored (says the specification) with its descriptors.

    Raises:
        ConnectionBroken: it is malformed, whichever way.
    """
    fds: Sequence[UnixFd] = ()
    reader = None
    try:
        reader = _Reader(frame)
        _, kind, flags, _, _, serial, pairs = (reader.read_argument(t) for t in _tree(_HEADER).types)
        reader.align(8)
        fields = _fields(pairs)
        fds = take_fds(fields.pop("unix_fds", 0) or 0)
        if kind not in _REQUIRED:
            for fd in fds:
                fd.close()
            return None
        _check_fields(MessageType(kind), fields)
        reader.fds = fds
        types = _tree(fields.get("signature", "")).types
        body = tuple([reader.read_argument(t) for t in types])
        if reader.offset != len(frame):
            raise ValueError(f"{len(frame) - reader.offset} bytes follow the body")
        return Message(type=MessageType(kind), serial=serial, flags=Flags(flags), body=body, fds=tuple(fds), **fields)
    except Exception as exc:
        for fd in fds:
            fd.close()
        raise ConnectionBroken(f"a malformed message came from the bus: {exc or type(exc).__name__}") from exc
    finally:
        if reader is not None:
            reader.readers.clear()  # its own methods, a circle: descriptors would stay open until it is collected


class _Reader(Unmarshaller):
    """Reads from what is there, and nothing else: the original would ask a socket for more."""

    def __init__(self, frame: bytearray) -> None:
        super().__init__(io.BytesIO())
        self.buf = frame
        self.endian = frame[0]
        self.fds: Sequence[UnixFd] = ()
        self._variants = 0
        self.readers["h"] = self._read_fd
        self.readers["o"] = self._read_path

    def read(self, n: int, prefetch: bool = False) -> int:
        start = int(self.offset)
        if start + n > len(self.buf):
            raise ValueError("it is cut short")
        self.offset = start + n
        return start

    def read_string(self, _: SignatureType | None = None) -> str:
        value = str(super().read_string())
        if "\0" in value or self.buf[self.offset - 1]:
            raise ValueError("a text holds a zero byte, or does not end in one")
        return value

    def _read_path(self, _: SignatureType) -> str:
        return _object_path(self.read_string())

    def read_signature(self, _: SignatureType | None = None) -> str:
        value = str(super().read_signature())
        _tree(value)
        return value

    def read_array(self, kind: SignatureType) -> Any:
        self.align(4)
        length = unpack_from("<I" if self.endian == ord("l") else ">I", self.buf, self.offset)[0]
        start = self.offset + 4
        if kind.children[0].token in "xtd{(":
            start += -start & 7
        if length > MAX_ARRAY or start + length > len(self.buf):
            raise ValueError("an array is larger than 64 MiB, or than what holds it")
        value = super().read_array(kind)
        if self.offset != start + length:
            raise ValueError("an array does not end where its length says")
        return value

    def read_variant(self, _: SignatureType | None = None) -> Variant:
        self._variants += 1
        if self._variants > MAX_VARIANT_DEPTH:
            raise ValueError("variants are nested too deep")
        signature = self.read_signature()
        value = self.read_argument(_single(signature))
        self._variants -= 1
        return Variant(signature, value)

    def _read_fd(self, _: SignatureType) -> UnixFd:
        index = self.read_uint32()
        if index >= len(self.fds):
            raise ValueError("a descriptor is named that did not come")
        return self.fds[index]


def _fields(pairs: list[Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for code, variant in pairs:
        if code not in _FIELDS:  # to be ignored, says the specification, so that new ones can be added
            if code == 0:
                raise ValueError("a header field has the invalid number 0")
            continue
        name, signature, _ = _FIELDS[code]
        if variant.signature != signature or name in fields:
            raise ValueError(f"the header field {name} comes twice or has the wrong type")
        fields[name] = variant.value
    return fields


def _check_fields(kind: MessageType, fields: dict[str, Any]) -> None:
    for name in _REQUIRED[kind]:
        if not fields.get(name):
            raise ValueError(f"a {kind.name} has no {name}")
    for name, _, valid in _FIELDS.values():
        value = fields.get(name)
        if valid is not None and value is not None and not valid.fullmatch(value):
            raise ValueError(f"{value!r} is no valid {name}")


def _object_path(value: str) -> str:
    if not _PATH.fullmatch(value):
        raise ValueError(f"{value!r} is no valid path")
    return value
