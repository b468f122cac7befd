"""The service as a program: where it listens, what its configuration says, and what it tells systemd."""

from __future__ import annotations

import ipaddress
import logging
import signal
import socket
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import anyio
import msgspec
from anyio.abc import TaskStatus

from engine.core import Engine
from engine.errors import ConfigError
from engine.hostpower import HostPower
from engine.server.access.polkit import Polkit
from engine.server.access.roles import Access
from engine.server.access.tokens import TOKENS, TokenFile
from engine.server.listeners import Address, listen, passed_sockets
from engine.server.serving import Service
from engine.server.settings import Settings
from engine.server.supervision import supervised
from engine.systemd.install import POLKIT_ACTIONS
from engine.systemd.notify import Notifier

__all__ = ["Daemon"]

log = logging.getLogger(__name__)

# so that everybody can ask who may have a role; else only who may do everything anyway
_OPEN, _CLOSED = 0o666, 0o600


class Daemon:
    """Serves one state directory's engine.

    Args:
        read: gives the settings, at once and whenever SIGHUP asks for it. Raises ConfigError.
        socket: the UNIX socket that it listens at in any case, but for one that systemd has passed.
        say: tells a person where it listens, and what it read again.

    Raises:
        ConfigError: the settings are wrong.
    """

    def __init__(
        self, read: Callable[[], Settings], *, state_dir: Path, socket: Path, say: Callable[[str], None]
    ) -> None:
        self._read, self._state_dir, self._socket, self._say = read, state_dir, socket, say
        self._settings = read()
        self._tls = self._settings.tls_context()
        self._passed = passed_sockets()
        self._tokens = TokenFile(state_dir / TOKENS)
        self._polkit: Polkit | None = None
        self._notifier = Notifier()

    async def run(self, engine: Engine) -> None:
        """Until it is cancelled. Raises Busy, HostError: it can't listen there."""
        async with AsyncExitStack() as stack:
            if POLKIT_ACTIONS.exists():  # it knows nothing of us where these are not installed
                self._polkit = await stack.enter_async_context(Polkit())
            sockets, secured, where = self._open(stack)
            service = Service(
                engine,
                access=self._access(),
                limits=self._settings.limits.bounds(),
                tls=self._tls,
                audit=self._state_dir / "audit.log",
            )
            await service.webhooks.configure(self._settings.webhook)
            # no part of the stack: of an error that a task group passes on, a stack makes one that is its own context
            async with anyio.create_task_group() as tasks:
                await tasks.start(self._reload, service)
                await tasks.start(lambda *, task_status: service.run(sockets, secured=secured, task_status=task_status))
                self._say(f"Listening at {', '.join(where)}")
                async with HostPower(engine), supervised(engine, self._notifier):
                    await anyio.sleep_forever()

    @property
    def _addresses(self) -> tuple[Address, ...]:
        own = Address(path=str(self._socket))
        passed = tuple(Address(path=path) for sock in self._passed if isinstance(path := sock.getsockname(), str))
        return tuple(dict.fromkeys((*(passed or (own,)), *self._settings.addresses)))

    def _open(self, stack: AsyncExitStack) -> tuple[list[socket.socket], list[socket.socket], list[str]]:
        """Those without and with TLS, and what the addresses are called."""
        plain: list[socket.socket] = []
        secured: list[socket.socket] = []
        where: list[str] = []
        for sock in self._passed:
            (secured if self._is_secured(sock) else plain).append(stack.enter_context(sock))
        there = {sock.getsockname() for sock in self._passed}
        for address in self._addresses:
            if address.path not in there:
                sock = stack.enter_context(listen(address, mode=self._mode))
                (secured if address.tls else plain).append(sock)
                if not address.path:  # the system chooses a port where 0 was asked for
                    address = msgspec.structs.replace(address, port=sock.getsockname()[1])
            where.append(str(address))
        self._let_others_through()
        self._warn_of_strangers()
        return plain, secured, where

    def _warn_of_strangers(self) -> None:
        for name in self._settings.unknown_names():
            log.warning("there is no %s on this host, who is given a role", name.replace(":", " ", 1))

    def _let_others_through(self) -> None:
        """To the socket in the run-time directory; what else is in there is closed to them by itself."""
        if self._mode == _CLOSED:
            return
        folder = self._socket.parent
        if folder == self._state_dir:
            elsewhere = any(address.path for address in self._settings.addresses)
            closed = not folder.stat().st_mode & 0o001
            if any(self._settings.access.rules.values()) and closed and not elsewhere:
                log.warning("%s: others can't come there; 'listen' gives them a place", self._socket)
        elif folder.exists():
            try:
                folder.chmod(folder.stat().st_mode | 0o011)
            except OSError as exc:
                log.warning("%s: others can't come there: %s", folder, (exc.strerror or str(exc)).lower())

    def _is_secured(self, passed: socket.socket) -> bool:
        if passed.family == socket.AF_UNIX or self._tls is not None:
            return passed.family != socket.AF_UNIX
        host = passed.getsockname()[0]
        if not ipaddress.ip_address(host).is_loopback:
            raise ConfigError(f"systemd listens at {host} for us: there is no [tls] for that")
        return False

    @property
    def _mode(self) -> int:
        access = self._settings.access
        return _OPEN if any(access.rules.values()) or (access.polkit and self._polkit is not None) else _CLOSED

    def _access(self) -> Access:
        access = self._settings.access
        return Access(access.rules, tokens=self._tokens, others=self._polkit if access.polkit else None)

    async def _reload(self, service: Service, *, task_status: TaskStatus[None]) -> None:
        with anyio.open_signal_receiver(signal.SIGHUP) as asked:
            task_status.started()
            async for _ in asked:
                try:
                    with self._notifier.reloads():
                        self._change(service)
                except ConfigError as exc:
                    log.error("%s: all stays as it was", exc)
                    continue
                try:
                    await service.webhooks.configure(self._settings.webhook)
                except ConfigError as exc:
                    log.error("%s: the webhooks stay as they were", exc)
                    continue
                self._say("The configuration is read again.")

    def _change(self, service: Service) -> None:
        """Blocking, for the moment that small files take. Raises ConfigError: nothing is changed."""
        settings = self._read()
        tls = settings.tls_context()
        if settings.listen != self._settings.listen:
            log.warning("other addresses to listen at take a restart")
            settings = msgspec.structs.replace(settings, listen=self._settings.listen)
            settings.check_secured()
        self._settings = settings
        service.change(access=self._access(), limits=settings.limits.bounds(), tls=tls)
        self._let_others_through()
        self._warn_of_strangers()
        for address in self._addresses:
            if address.path and address.path not in {sock.getsockname() for sock in self._passed}:
                try:
                    Path(address.path).chmod(self._mode)
                except OSError as exc:
                    log.warning("%s keeps its mode: %s", address, (exc.strerror or str(exc)).lower())
