"""Sockets that are listened at, and those who connect. Source: unix(7), sd_listen_fds(3)."""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import logging
import os
import socket
import stat
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeAlias

import anyio
import msgspec
from anyio.abc import TaskGroup

from engine.errors import Busy, ConfigError, HostError
from engine.server.access.peers import Peer, peer_of
from engine.server.limits import ServerLimits
from engine.util.unix import UnixStream

__all__ = ["Address", "Serve", "accept_from", "listen", "parse_address", "passed_sockets"]

log = logging.getLogger(__name__)

#: What is done with one connection.
Serve: TypeAlias = Callable[[UnixStream, Peer], Awaitable[None]]

_BACKLOG = 1024
_LONGEST_PATH = 107  # unix(7)
_FIRST_PASSED = 3
# seconds until what the host was short of may be there again
_SHORTAGE = 0.1
_SHORT_OF = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


class Address(msgspec.Struct, frozen=True):
    """Where to listen.

    Attributes:
        path: of a UNIX socket; host, port: of TCP otherwise; tls: over TLS.
    """

    path: str = ""
    host: str = ""
    port: int = 0
    tls: bool = False

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'tls' if self.tls else 'tcp'}:{host}:{self.port}"


def parse_address(text: str) -> Address:
    """``unix:PATH``, ``tcp:HOST:PORT`` or ``tls:HOST:PORT``; the host is an address, with ``tcp`` one of loopback.

    Raises:
        ConfigError: it is neither.
    """
    kind, _, rest = text.partition(":")
    if kind == "unix" and rest.startswith("/"):
        _check_length(rest)
        return Address(path=rest)
    host, _, port = rest.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if kind not in ("tcp", "tls") or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigError(f"'{text}' is neither unix:PATH nor tcp:HOST:PORT nor tls:HOST:PORT")
    try:
        local = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        raise ConfigError(f"'{host}' is no address of this host") from None
    if kind == "tcp" and not local.is_loopback:
        raise ConfigError(f"'{text}': without TLS only this host itself may connect, at 127.0.0.1 or [::1]")
    return Address(host=str(local), port=int(port), tls=kind == "tls")


def _check_length(path: str) -> None:
    if len(path.encode()) > _LONGEST_PATH:
        raise ConfigError(f"'{path[:40]}...{path[-10:]}': a socket's path has {_LONGEST_PATH} bytes at most")


@contextlib.contextmanager
def listen(address: Address, *, mode: int = 0o660) -> Iterator[socket.socket]:
    """A socket that is listened at; a UNIX socket's name is gone with it.

    Args:
        mode: of a UNIX socket.

    Raises:
        Busy: somebody listens there. HostError: it can't be had. ConfigError: its name is too long.
    """
    _check_length(address.path)
    try:
        sock = _unix(address.path, mode) if address.path else _tcp(address)
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise Busy(f"somebody listens at {address} already") from exc
        raise HostError(f"{address}: {(exc.strerror or str(exc)).lower()}") from exc
    inode = Path(address.path).stat().st_ino if address.path else 0
    try:
        yield sock
    finally:
        sock.close()
        with contextlib.suppress(OSError):
            if address.path and Path(address.path).stat().st_ino == inode:
                Path(address.path).unlink()


def _unix(path: str, mode: int) -> socket.socket:
    _remove_dead(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        before = os.umask(0o777)  # nobody connects before it has its mode
        try:
            sock.bind(path)
        finally:
            os.umask(before)
        os.chmod(path, mode)  # noqa: PTH101
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def _remove_dead(path: str) -> None:
    """A socket that nobody listens at was left by one who was killed."""
    try:
        if not stat.S_ISSOCK(os.stat(path).st_mode):  # noqa: PTH116
            raise OSError(errno.EEXIST, "there is something else of that name")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink(missing_ok=True)
            return
        except BlockingIOError:
            pass  # its queue is full
    raise OSError(errno.EADDRINUSE, "in use")


def _tcp(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address.host, address.port))
        sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def passed_sockets(environment: Mapping[str, str] | None = None) -> list[socket.socket]:
    """Those that systemd listens at for us, and has passed (``sd_listen_fds``)."""
    env = os.environ if environment is None else environment
    if env.get("LISTEN_PID") != str(os.getpid()):
        return []
    number = env.get("LISTEN_FDS", "0")
    found = []
    for fd in range(_FIRST_PASSED, _FIRST_PASSED + (int(number) if number.isdigit() else 0)):
        os.set_inheritable(fd, False)
        sock = socket.socket(fileno=fd)
        sock.setblocking(False)
        found.append(sock)
    return found


async def accept_from(
    sockets: Mapping[socket.socket, Serve], limits: Callable[[], ServerLimits], ending: anyio.Event
) -> None:
    """Serve whoever connects, each in a task of its own.

    Returns when ``ending`` is set and those who are connected have gone: nobody is let in any more, and sockets are
    closed (others who have them may go on).

    Args:
        sockets: and what serves those who come in there. limits: gives what holds now.
    """
    door = _Door(limits)
    async with anyio.create_task_group() as tasks:
        for sock, serve in sockets.items():
            tasks.start_soon(door.open, sock, serve, ending)


async def _cancel_when(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


class _Door:
    def __init__(self, limits: Callable[[], ServerLimits]) -> None:
        self._limits = limits
        self._inside: Counter[str] = Counter()

    async def open(self, sock: socket.socket, serve: Serve, ending: anyio.Event) -> None:
        async with anyio.create_task_group() as tasks:
            with anyio.CancelScope() as scope:
                tasks.start_soon(_cancel_when, ending, scope)
                await self._let_all_in(sock, serve, tasks)
            sock.close()

    async def _let_all_in(self, sock: socket.socket, serve: Serve, tasks: TaskGroup) -> None:
        while True:
            await anyio.wait_readable(sock)
            try:
                connected, _ = sock.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                continue
            except OSError as exc:
                if exc.errno not in _SHORT_OF:
                    raise
                log.warning("nobody can connect just now: %s", exc.strerror)
                await anyio.sleep(_SHORTAGE)
                continue
            connected.setblocking(False)
            if connected.family != socket.AF_UNIX:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                peer = peer_of(connected)
            except OSError:
                connected.close()
                continue
            if self._is_full(peer):
                connected.close()
                continue
            self._inside[peer.name] += 1
            tasks.start_soon(self._let_in, serve, connected, peer)

    def _is_full(self, peer: Peer) -> bool:
        limits = self._limits()
        return self._inside.total() >= limits.connections or self._inside[peer.name] >= limits.connections_each

    async def _let_in(self, serve: Serve, connected: socket.socket, peer: Peer) -> None:
        try:
            await serve(UnixStream(connected), peer)
        except Exception:  # the boundary: one connection must not end the others
            log.exception("a connection of %s failed", peer.name)
        finally:
            connected.close()
            self._inside[peer.name] -= 1
            if not self._inside[peer.name]:
                del self._inside[peer.name]
