"""Tell systemd how we fare: the datagrams of ``sd_notify(3)``.

A service (here: ``virengine-guests.service``, whose stop may take long) reports its status and asks for more time.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

__all__ = ["Notifier"]


class Notifier:
    """Sends to ``$NOTIFY_SOCKET``; where there is none, nothing is sent. No method ever raises or blocks.

    >>> Notifier({}).active
    False
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        path = (os.environ if environment is None else environment).get("NOTIFY_SOCKET", "")
        # "@" is how a name in the abstract namespace is written; anything but these two (vsock) is not for us
        self._address = "\0" + path[1:] if path.startswith("@") else path if path.startswith("/") else ""

    @property
    def active(self) -> bool:
        """Someone listens."""
        return bool(self._address)

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(STATUS=text)

    def ready(self, text: str) -> None:
        """The service is up; with its line for ``systemctl status``."""
        self._send(READY="1", STATUS=text)

    def stopping(self) -> None:
        """The service ends."""
        self._send(STOPPING="1", STATUS="stopping")

    def extend_timeout(self, seconds: float) -> None:
        """What goes on now (start or stop) needs at least ``seconds`` more, from now on."""
        self._send(EXTEND_TIMEOUT_USEC=str(max(round(seconds * 1_000_000), 1)))

    def _send(self, **fields: str) -> None:
        if not self._address:
            return
        data = "\n".join(f"{key}={' '.join(value.splitlines())}" for key, value in fields.items()).encode()
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock,
        ):
            sock.sendto(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL, self._address)
