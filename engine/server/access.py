"""Who may do what: users and groups of this host to roles."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping

import anyio.to_thread

from engine.server.peers import ROLES, Peer, Role, groups_of

__all__ = ["Access"]

# seconds that a user's groups are remembered
_REMEMBERED = 60.0


class Access:
    """Gives peers their roles. Root and the user whom the server runs as are admins.

    Args:
        rules: for a role the names who have it: ``user:ada``, ``group:kvm``.
    """

    def __init__(self, rules: Mapping[Role, Collection[str]] | None = None) -> None:
        self._rules = {role: frozenset((rules or {}).get(role, ())) for role in ROLES}
        self._groups: dict[tuple[int, int | None], tuple[float, frozenset[str]]] = {}

    async def role_of(self, peer: Peer) -> Role | None:
        """The highest that it has; None: it is nobody here."""
        if peer.uid is None:
            return None
        if peer.uid in (0, os.geteuid()):
            return "admin"
        names = {peer.name}
        if any(name.startswith("group:") for rule in self._rules.values() for name in rule):
            names |= {f"group:{name}" for name in await self._groups_of(peer, peer.uid)}
        return next((role for role in reversed(ROLES) if names & self._rules[role]), None)

    async def _groups_of(self, peer: Peer, uid: int) -> frozenset[str]:
        now = anyio.current_time()
        at, groups = self._groups.get((uid, peer.gid), (-_REMEMBERED, frozenset()))
        if now - at >= _REMEMBERED:
            groups = await anyio.to_thread.run_sync(groups_of, peer)
            self._groups[uid, peer.gid] = now, groups
        return groups
