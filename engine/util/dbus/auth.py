"""The client's half of the SASL talk that precedes the first message: EXTERNAL, then descriptors, then BEGIN.

Source: D-Bus specification, "Authentication Protocol". One step at a time: pipelining would save two round trips in the
life of a connection and make a refusal harder to tell from an answer.
"""

from __future__ import annotations

import os
import re

from engine.errors import ConnectionBroken

__all__ = ["AuthClient"]

MAX_LINE = 16 * 1024
"""Bytes; a server that sends more without an end of line is not one."""

_GUID = re.compile(r"[0-9a-fA-F]{32}")


class AuthClient:
    """Sans-IO: send what ``start`` and ``receive`` return, until ``done``.

    Attributes:
        done: messages may be sent, right after the bytes returned last.
        guid: the server's identity, once it said so.
        unix_fds: whether descriptors may travel on this connection.
        leftover: what came after the talk; it belongs to the first message.
    """

    def __init__(self, uid: int | None = None, *, guid: str | None = None) -> None:
        """``uid`` defaults to the effective one; ``guid`` is the identity that the server must have, if known."""
        self._uid = os.geteuid() if uid is None else uid
        self._wanted_guid = guid
        self._buffer = bytearray()
        self.done = False
        self.guid = ""
        self.unix_fds = False
        self.leftover = b""

    def start(self) -> bytes:
        # The zero byte opens the talk; systems that pass credentials by hand attach them to it.
        return b"\0AUTH EXTERNAL " + str(self._uid).encode().hex().encode() + b"\r\n"

    def receive(self, data: bytes) -> bytes:
        """What to answer to these bytes (often nothing yet).

        Raises:
            ConnectionBroken: the server refused us, is another one than wanted, or talks nonsense.
        """
        self._buffer += data
        answer = b""
        while not self.done and (end := self._buffer.find(b"\r\n")) >= 0:
            line = bytes(self._buffer[:end])
            del self._buffer[: end + 2]
            answer += self._answer(line)
        if self.done:
            self.leftover += bytes(self._buffer)
            self._buffer.clear()
        elif len(self._buffer) > MAX_LINE:
            raise ConnectionBroken("the bus sends an endless line in place of an authentication")
        return answer

    def _answer(self, line: bytes) -> bytes:
        word, _, rest = line.decode("ascii", "replace").partition(" ")
        if not self.guid:
            return self._check_ok(word, rest)
        if word not in ("AGREE_UNIX_FD", "ERROR"):
            raise ConnectionBroken(f"the bus answers {word[:40]!r} when asked for descriptor passing")
        self.unix_fds = word == "AGREE_UNIX_FD"
        self.done = True
        return b"BEGIN\r\n"

    def _check_ok(self, word: str, rest: str) -> bytes:
        if word == "REJECTED":
            raise ConnectionBroken(f"the bus does not accept user {self._uid}")
        if word != "OK" or not _GUID.fullmatch(rest.strip()):
            raise ConnectionBroken(f"the bus answers {word[:40]!r} in place of an authentication")
        self.guid = rest.strip()
        if self._wanted_guid and self.guid != self._wanted_guid:
            raise ConnectionBroken(f"another bus listens there: it is {self.guid}, and not {self._wanted_guid}")
        return b"NEGOTIATE_UNIX_FD\r\n"
