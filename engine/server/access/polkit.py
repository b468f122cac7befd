"""polkit, asked about users to whom no rule of our own gives a role.

Source: polkit's D-Bus API, ``org.freedesktop.PolicyKit1.Authority``; polkit(8) for the file with the actions.
"""

from __future__ import annotations

import logging
from types import TracebackType
from typing import Self

import anyio

from engine.errors import EngineError
from engine.server.access.peers import ROLES, Peer, Role
from engine.systemd.link import BusLink, Opener

__all__ = ["ACTIONS", "Polkit"]

log = logging.getLogger(__name__)

#: What a role may do, as polkit calls it.
ACTIONS: dict[Role, str] = {role: f"org.virengine.{role}" for role in ROLES}

_NAME = "org.freedesktop.PolicyKit1"
_PATH = "/org/freedesktop/PolicyKit1/Authority"
_INTERFACE = "org.freedesktop.PolicyKit1.Authority"
# seconds that an answer is good for, and that one may take
_REMEMBERED = 5.0
_PATIENCE = 5.0
_MOST = 1024


class Polkit:
    """``async with Polkit() as polkit``: the highest role that it lets a user have, without asking for a password."""

    def __init__(self, address: str = "system", *, opener: Opener | None = None) -> None:
        self._link = BusLink(address, opener=opener)
        self._known: dict[tuple[int | None, int | None, int], tuple[float, Role | None]] = {}

    async def __aenter__(self) -> Self:
        await self._link.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._link.__aexit__(exc_type, exc, traceback)

    async def role_of(self, peer: Peer) -> Role | None:
        """None also where it can't be asked: who can't be told from a stranger is one."""
        if peer.pid is None or peer.uid is None or peer.started is None:
            return None
        key, now = (peer.pid, peer.uid, peer.started), anyio.current_time()
        at, role = self._known.get(key, (-_REMEMBERED, None))
        if now - at >= _REMEMBERED:
            role = await self._ask(peer)
            if len(self._known) >= _MOST:
                self._known.clear()
            self._known[key] = now, role
        return role

    async def _ask(self, peer: Peer) -> Role | None:
        try:
            with anyio.fail_after(_PATIENCE):
                for role in reversed(ROLES):
                    if await self._allows(peer, ACTIONS[role]):
                        return role
        except TimeoutError:
            log.warning("polkit does not answer: %s gets no role", peer.name)
        except EngineError as exc:
            log.warning("polkit can't be asked, %s gets no role: %s", peer.name, exc)
        return None

    async def _allows(self, peer: Peer, action: str) -> bool:
        from engine.util.dbus import Variant

        process = {
            "pid": Variant("u", peer.pid),
            "start-time": Variant("t", peer.started),
            "uid": Variant("i", peer.uid),
        }
        body = [["unix-process", process], action, {}, 0, ""]
        ((allowed, *_),) = await self._link.call(
            _NAME, _PATH, _INTERFACE, "CheckAuthorization", "(sa{sv})sa{ss}us", body
        )
        return bool(allowed)
