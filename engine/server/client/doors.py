"""Where a service is asked: at a UNIX socket, where the kernel tells who asks, or over TCP, which takes a proof.

Sources: RFC 6750 (bearer tokens), RFC 8446 (TLS).
"""

from __future__ import annotations

import os
import ssl
from abc import ABC, abstractmethod
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import anyio

from engine.errors import ConfigError, ConnectionBroken

if TYPE_CHECKING:
    import httpx2
    from anyio.abc import ByteStream

__all__ = ["Door", "door_to", "reason_of"]

# seconds to be let in
_PATIENCE = 10.0
_PORTS = {"http": 80, "https": 443}
_LISTENED = {"unix:": "", "tcp:": "http://", "tls:": "https://"}


class Door(ABC):
    """One service.

    Attributes:
        what: it, for error messages. url: that requests begin with; host: as they name it.
        headers: that they need. here: it is on this host, and files have the same names there.
    """

    what: str
    url: str
    host: str
    headers: Mapping[str, str]
    here: bool

    @abstractmethod
    async def open(self) -> ByteStream:
        """A connection. Raises ConnectionBroken: there is none to be had."""

    @abstractmethod
    def transport(self) -> httpx2.AsyncHTTPTransport:
        """What takes requests there."""

    def absolute(self, path: str | os.PathLike[str]) -> str:
        """The name of a file on the service's host. Raises ConfigError: it would be anybody's guess."""
        if not self.here and not os.path.isabs(path):  # noqa: PTH117
            raise ConfigError(f"'{os.fspath(path)}' is on the host of {self.what}: say its absolute path")
        return os.path.abspath(path)  # noqa: PTH100 - of this process, not of the service's; no I/O


def door_to(
    where: str | os.PathLike[str],
    *,
    token: str | None = None,
    ca_file: str | os.PathLike[str] | None = None,
    certificate: tuple[str, str] | None = None,
) -> Door:
    """The way to a service.

    Args:
        where: the path of a socket, or ``https://HOST:PORT``, or on this host ``http://127.0.0.1:PORT``; also as
            ``virengine serve`` takes it.
        token: its secret. ca_file: authorities that are trusted, rather than the system's.
        certificate: files with a client's certificate and its key, in PEM.

    Raises:
        ConfigError: it makes no sense, or a file can't be read.
    """
    text = os.fspath(where)
    for word, meant in _LISTENED.items():  # as the service itself says where it listens
        if text.startswith(word):
            text = meant + text.removeprefix(word)
    if "://" not in text:
        if isinstance(where, str) and "/" not in text:
            raise ConfigError(f"'{text}' is no address of a service: it is a socket's path or https://HOST:PORT")
        return _UnixDoor(Path(text), token)
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as exc:
        raise ConfigError(f"'{text}' is no address of a service: {exc}") from None
    if url.scheme not in _PORTS or not url.hostname or url.path.strip("/") or url.query or url.fragment:
        raise ConfigError(f"'{text}' is no address of a service: it is a socket's path or https://HOST:PORT")
    if url.username is not None:
        raise ConfigError("the address of a service holds no user and password: it takes a token")
    if url.scheme == "http" and not _is_loopback(url.hostname):
        raise ConfigError(f"'{text}': without TLS only a service on this host is asked, at 127.0.0.1 or [::1]")
    context = _context(ca_file, certificate) if url.scheme == "https" else None
    return _TcpDoor(url.scheme, url.hostname, port or _PORTS[url.scheme], token, context)


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def _context(ca_file: str | os.PathLike[str] | None, certificate: tuple[str, str] | None) -> ssl.SSLContext:
    if certificate is not None and (isinstance(certificate, str) or len(certificate) != 2):
        raise ConfigError("a client's certificate is two files: of it, and of its key")
    try:
        context = ssl.create_default_context(cafile=ca_file)
        if certificate is not None:
            context.load_cert_chain(*certificate)
    except (OSError, ssl.SSLError) as exc:
        names = ", ".join(os.fspath(name) for name in (ca_file, *(certificate or ())) if name is not None)
        raise ConfigError(f"the certificates can't be read: {names}: {exc.strerror or exc}") from exc
    return context


def _with(token: str | None) -> dict[str, str]:
    if token is None:
        return {}
    if not token.isascii() or not token.isprintable() or not token or " " in token:
        raise ConfigError("the token is none: it has characters that no token has")  # which are told to nobody
    return {"authorization": f"Bearer {token}"}


class _UnixDoor(Door):
    here = True
    url, host = "http://virengine", "virengine"

    def __init__(self, path: Path, token: str | None) -> None:
        self._path = path
        self.what = f"the service at {path}"
        self.headers = _with(token)

    async def open(self) -> ByteStream:
        from engine.util.unix import connect_unix

        try:
            return await connect_unix(self._path, _PATIENCE, what=self.what)
        except OSError as exc:
            raise ConnectionBroken(f"{self.what} does not answer: {(exc.strerror or str(exc)).lower()}") from exc

    def transport(self) -> httpx2.AsyncHTTPTransport:
        import httpx2

        # there is no TLS, and authorities that are read for nothing take time
        return httpx2.AsyncHTTPTransport(uds=str(self._path), verify=False)


class _TcpDoor(Door):
    here = False

    def __init__(self, scheme: str, host: str, port: int, token: str | None, context: ssl.SSLContext | None) -> None:
        self._address, self._context = (host, port), context
        self.host = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self.url = f"{scheme}://{self.host}"
        self.what = f"the service at {self.url}"
        self.headers = _with(token)

    async def open(self) -> ByteStream:
        host, port = self._address
        stream: ByteStream
        try:
            with anyio.fail_after(_PATIENCE):
                if self._context is None:
                    stream = await anyio.connect_tcp(host, port)
                else:
                    stream = await anyio.connect_tcp(
                        host, port, ssl_context=self._context, tls_standard_compatible=False
                    )
        except TimeoutError:
            raise ConnectionBroken(f"{self.what} does not answer") from None
        except (OSError, ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream) as exc:
            raise ConnectionBroken(f"{self.what} does not answer: {reason_of(exc)}") from exc
        return stream

    def transport(self) -> httpx2.AsyncHTTPTransport:
        import httpx2

        return httpx2.AsyncHTTPTransport(verify=self._context if self._context is not None else False, trust_env=False)


def reason_of(exc: BaseException) -> str:
    """What the operating system, or TLS, said that is behind it."""
    found: BaseException | None = exc
    while found is not None:
        if isinstance(found, BaseExceptionGroup):  # of several addresses that were tried
            found = found.exceptions[0]
        if isinstance(found, ssl.SSLCertVerificationError):
            return f"certificate verify failed: {found.verify_message}"
        if isinstance(found, ssl.SSLError) and found.reason:
            return found.reason.lower().replace("_", " ")
        if isinstance(found, OSError) and found.errno is not None:
            return os.strerror(found.errno).lower() if found.errno > 0 else str(found.strerror)
        found = found.__cause__ or found.__context__
    return str(exc) or "it ended the connection"
