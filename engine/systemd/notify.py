"""Tell systemd how we fare: the datagrams of ``sd_notify(3)``.

The service tells when it is up, reloads and ends, and that it does not hang; ``virengine-guests.service``, whose stop
may take long, asks for more time.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterator, Mapping

__all__ = ["Notifier"]


class Notifier:
    """Sends to ``$NOTIFY_SOCKET``; where there is none, nothing is sent. No method ever raises or blocks.

    >>> Notifier({}).active
    False
    """

    def __init__(self, environment: Mapping[str, str] | None = None) -> None:
        env = os.environ if environment is None else environment
        path = env.get("NOTIFY_SOCKET", "")
        # "@" is how a name in the abstract namespace is written; anything but these two (vsock) is not for us
        self._address = "\0" + path[1:] if path.startswith("@") else path if path.startswith("/") else ""
        self._watchdog = _watchdog(env) if self._address else None

    @property
    def active(self) -> bool:
        """Someone listens."""
        return bool(self._address)

    @property
    def watchdog(self) -> float | None:
        """Seconds within which systemd wants to hear ``alive``, again and again (``WatchdogSec=``); None: never."""
        return self._watchdog

    def alive(self) -> None:
        """The service does not hang."""
        self._send(WATCHDOG="1")

    def status(self, text: str) -> None:
        """One line for ``systemctl status``."""
        self._send(STATUS=text)

    def ready(self, text: str) -> None:
        """The service is up; with its line for ``systemctl status``."""
        self._send(READY="1", STATUS=text)

    @contextlib.contextmanager
    def reloads(self) -> Iterator[None]:
        """The service reads its configuration anew, in the body."""
        self._send(RELOADING="1", MONOTONIC_USEC=str(time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000))
        try:
            yield
        finally:
            self._send(READY="1")

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


def _watchdog(env: Mapping[str, str]) -> float | None:
    """``sd_watchdog_enabled(3)``: the time is for the process that is named, or for whichever it reaches."""
    usec, pid = env.get("WATCHDOG_USEC", ""), env.get("WATCHDOG_PID", "")
    if not (usec.isascii() and usec.isdigit() and int(usec)) or pid not in ("", str(os.getpid())):
        return None
    return int(usec) / 1_000_000
