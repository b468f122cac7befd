"""Connection URIs. Source: libvirt's "Connection URIs"."""

from __future__ import annotations

import os
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import msgspec

from engine.errors import ConfigError

__all__ = ["ConnectionURI", "default_uri"]

# of what may stand in a path or a value as it is (RFC 3986, pchar), all that does not end one
_PLAIN = "/:@!$'()*,;~"


class ConnectionURI(msgspec.Struct, frozen=True, kw_only=True):
    """A libvirt connection URI, ``driver[+transport]://[user@][host][:port]/path[?extra]``; what is escaped in its text
    (``%20``) is not so in the fields.

    ``str()`` gives the canonical text; two URIs are the same connection when their texts are equal.
    """

    driver: str
    transport: str = ""
    user: str = ""
    host: str = ""
    port: int | None = None
    path: str = ""
    query: tuple[tuple[str, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> ConnectionURI:
        """Raises ConfigError when ``text`` is no connection URI."""
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as exc:
            raise ConfigError(f"'{text}' is not a connection URI: {exc}") from exc
        if not parts.scheme:
            raise ConfigError(f"'{text}' is not a connection URI: it has no scheme (e.g. qemu:///system)")
        driver, _, transport = parts.scheme.partition("+")
        return cls(
            driver=driver,
            transport=transport,
            user=unquote(parts.username or ""),
            host=parts.hostname or "",
            port=port,
            path=unquote(parts.path),
            query=tuple(parse_qsl(parts.query)),
        )

    def __str__(self) -> str:
        scheme = self.driver + (f"+{self.transport}" if self.transport else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        netloc = (
            (f"{quote(self.user)}@" if self.user else "") + host + (f":{self.port}" if self.port is not None else "")
        )
        query = "&".join(f"{quote(key, _PLAIN)}={quote(value, _PLAIN)}" for key, value in self.query)
        return f"{scheme}://{netloc}{quote(self.path, _PLAIN)}" + (f"?{query}" if query else "")


def default_uri() -> str:
    """Of who names no connection; libvirt's choice: the system's for root, the session's for everybody else."""
    return "qemu:///system" if os.geteuid() == 0 else "qemu:///session"
