"""What travels on a bus: messages, their values, and the descriptors that come with them.

Facts are from the D-Bus specification (https://dbus.freedesktop.org/doc/dbus-specification.html), version 0.42.
Nothing here needs the codec, so importing these names costs nothing.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum, IntFlag
from typing import Any, Literal

from engine.errors import DBusError

__all__ = ["Errors", "Flags", "MatchRule", "Message", "MessageType", "UnixFd", "Variant", "unwrap"]


class MessageType(IntEnum):
    METHOD_CALL = 1
    METHOD_RETURN = 2
    ERROR = 3
    SIGNAL = 4


class Flags(IntFlag):
    NONE = 0
    NO_REPLY_EXPECTED = 1
    NO_AUTO_START = 2
    ALLOW_INTERACTIVE_AUTHORIZATION = 4


class Errors:
    """The error names that this client itself gives, all of them well known on a bus."""

    FAILED = "org.freedesktop.DBus.Error.Failed"
    INVALID_ARGS = "org.freedesktop.DBus.Error.InvalidArgs"
    LIMITS_EXCEEDED = "org.freedesktop.DBus.Error.LimitsExceeded"
    NAME_HAS_NO_OWNER = "org.freedesktop.DBus.Error.NameHasNoOwner"
    NOT_SUPPORTED = "org.freedesktop.DBus.Error.NotSupported"
    UNKNOWN_METHOD = "org.freedesktop.DBus.Error.UnknownMethod"


@dataclass(frozen=True, slots=True)
class Variant:
    """A value that carries its own type. ``signature`` is one complete type, e.g. ``Variant("as", ["a", "b"])``.

    Nothing is checked before it is sent; what does not fit raises ``DBusError`` (``InvalidArgs``) then.
    """

    signature: str
    value: Any


def unwrap(value: Any) -> Any:
    """The same value with every variant in it, at any depth, replaced by what it holds."""
    if isinstance(value, Variant):
        return unwrap(value.value)
    if isinstance(value, dict):
        return {unwrap(key): unwrap(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(unwrap(item) for item in value)
    return value


class UnixFd:
    """A descriptor that came with a message (type ``h``), with CLOEXEC set.

    ``claim()`` takes it over; one that nobody claims is closed by ``close()``, or when the last reference goes.
    """

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        """The descriptor, still owned by this object; -1 once claimed or closed."""
        return self._fd

    def claim(self) -> int:
        """The descriptor, which is the caller's to close from now on. Raises ValueError if it is gone already."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            raise ValueError("this descriptor was claimed or closed before")
        return fd

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"UnixFd({self._fd})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message. ``body`` holds a value for each complete type of ``signature``.

    Types: numbers are int or float, ``s``, ``o`` and ``g`` str, ``ay`` bytes, other arrays and structs list,
    dictionaries dict, variants ``Variant``, ``h`` ``UnixFd`` (what is sent may have an int, and tuples for lists).
    """

    type: MessageType
    serial: int = 0
    flags: Flags = Flags.NONE
    path: str | None = None
    interface: str | None = None
    member: str | None = None
    error_name: str | None = None
    reply_serial: int | None = None
    destination: str | None = None
    sender: str | None = None
    signature: str = ""
    body: tuple[Any, ...] = ()
    fds: tuple[UnixFd, ...] = field(default=(), repr=False, compare=False)
    """All that came with it, also those the body does not mention. Empty in a message to be sent."""

    @classmethod
    def reply_to(cls, call: Message, signature: str = "", body: Sequence[Any] = ()) -> Message:
        """What a call returns."""
        kind, back = MessageType.METHOD_RETURN, call.sender
        return cls(type=kind, destination=back, reply_serial=call.serial, signature=signature, body=tuple(body))

    @classmethod
    def error_to(cls, call: Message, name: str, text: str) -> Message:
        """What a call fails with."""
        kind, back = MessageType.ERROR, call.sender
        return cls(type=kind, destination=back, reply_serial=call.serial, error_name=name, signature="s", body=(text,))

    def close(self) -> None:
        """Close the descriptors that nobody claimed."""
        for fd in self.fds:
            fd.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class MatchRule:
    """Which signals: all that is given must fit. Only signals can be asked for; eavesdropping is not offered.

    ``sender`` may be a well-known name: its owner is followed, through restarts of the service too. ``args`` compares
    string arguments by their index, ``arg0namespace`` and ``path_namespace`` take what lies below as well.
    """

    type: Literal["signal"] = "signal"
    sender: str | None = None
    path: str | None = None
    path_namespace: str | None = None
    interface: str | None = None
    member: str | None = None
    destination: str | None = None
    args: tuple[tuple[int, str], ...] = ()
    arg0namespace: str | None = None

    def __post_init__(self) -> None:
        if self.type != "signal" or (self.path and self.path_namespace) or any(not 0 <= n < 64 for n, _ in self.args):
            raise DBusError(Errors.INVALID_ARGS, f"no such match rule: {self}")

    def __str__(self) -> str:
        """The text that AddMatch takes."""
        plain = ("type", "sender", "path", "path_namespace", "interface", "member", "destination", "arg0namespace")
        pairs = [(name, getattr(self, name)) for name in plain] + [(f"arg{n}", value) for n, value in self.args]
        # Inside quotes nothing is special but the quote itself, which ends them, stands escaped, and begins them anew.
        return ",".join(f"{name}='" + value.replace("'", "'\\''") + "'" for name, value in pairs if value is not None)

    def matches(self, message: Message, sender: str | None) -> bool:
        """Whether this message is meant; ``sender`` is the unique name that ``self.sender`` stands for just now."""
        return (
            message.type is MessageType.SIGNAL
            and (self.member is None or message.member == self.member)
            and (self.interface is None or message.interface == self.interface)
            and (self.path is None or message.path == self.path)
            and (self.sender is None or (sender is not None and message.sender == sender))
            and (self.destination is None or message.destination == self.destination)
            and (self.path_namespace is None or _below(message.path, self.path_namespace, "/"))
            and (self.arg0namespace is None or _below(_text(message, 0), self.arg0namespace, "."))
            and all(_text(message, index) == value for index, value in self.args)
        )


def _below(value: str | None, space: str, separator: str) -> bool:
    return value is not None and (value + separator).startswith(space.rstrip(separator) + separator)


def _text(message: Message, index: int) -> str | None:
    value = message.body[index] if index < len(message.body) else None
    return value if isinstance(value, str) else None
