"""Who may do what: users and groups of this host, clients' certificates and tokens to roles."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import Protocol

import anyio.to_thread
import msgspec

from engine.server.access.peers import ROLES, Peer, Role, groups_of
from engine.server.access.tokens import TokenFile
from engine.server.problems import Fault

__all__ = ["Access", "Caller", "RoleSource"]

# seconds that a user's groups are remembered
_REMEMBERED = 60.0


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks.

    Attributes:
        role: None: nobody here. domains: shell patterns: it may have to do with these only; none: with all.
    """

    peer: Peer
    role: Role | None
    domains: tuple[str, ...] = ()


class RoleSource(Protocol):
    """Somebody else who gives roles, as polkit does."""

    async def role_of(self, peer: Peer) -> Role | None: ...


class Access:
    """Gives those who ask their roles. Root and the user whom the server runs as are admins.

    Args:
        rules: for a role the names who have it: ``user:ada``, ``group:kvm``, ``certificate:ci``.
        tokens: those that are taken. others: who is asked about users that no rule names.
    """

    def __init__(
        self,
        rules: Mapping[Role, Collection[str]] | None = None,
        *,
        tokens: TokenFile | None = None,
        others: RoleSource | None = None,
    ) -> None:
        self._rules = {role: frozenset((rules or {}).get(role, ())) for role in ROLES}
        self._tokens, self._others = tokens, others
        self._groups: dict[tuple[int, int | None], tuple[float, frozenset[str]]] = {}

    async def identify(self, peer: Peer, secret: str | None) -> Caller:
        """Who it is that asks: the one with the token, if one is given.

        Raises:
            Fault: 401, the token is none, or has expired.
        """
        if secret is None:
            return Caller(peer=peer, role=await self.role_of(peer))
        token = self._tokens.find(secret) if self._tokens is not None else None
        if token is None or token.expired:
            detail = "this token has expired" if token is not None else "there is no such token"
            raise Fault(401, "Not allowed", detail, headers={"www-authenticate": 'Bearer error="invalid_token"'})
        named = msgspec.structs.replace(peer, name=f"token:{token.name}")
        return Caller(peer=named, role=token.role, domains=token.domains)

    async def role_of(self, peer: Peer) -> Role | None:
        """The highest that it has; None: it is nobody here."""
        if peer.uid in (0, os.geteuid()):
            return "admin"
        names = {peer.name}
        if peer.uid is not None and any(name.startswith("group:") for rule in self._rules.values() for name in rule):
            names |= {f"group:{name}" for name in await self._groups_of(peer, peer.uid)}
        found = next((role for role in reversed(ROLES) if names & self._rules[role]), None)
        if found is None and self._others is not None and peer.uid is not None:
            return await self._others.role_of(peer)
        return found

    async def _groups_of(self, peer: Peer, uid: int) -> frozenset[str]:
        now = anyio.current_time()
        at, groups = self._groups.get((uid, peer.gid), (-_REMEMBERED, frozenset()))
        if now - at >= _REMEMBERED:
            groups = await anyio.to_thread.run_sync(groups_of, peer)
            self._groups[uid, peer.gid] = now, groups
        return groups
