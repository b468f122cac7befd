"""Who is at the other end of a connection. Source: unix(7), SO_PEERCRED."""

from __future__ import annotations

import grp
import os
import pwd
import socket
import struct
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

__all__ = ["ROLES", "Peer", "Role", "groups_of", "is_known", "peer_of", "process_started"]

#: From the least to the most: who may look, who may start and stop, who may do everything.
Role: TypeAlias = Literal["viewer", "operator", "admin"]
ROLES: tuple[Role, ...] = ("viewer", "operator", "admin")


class Peer(msgspec.Struct, frozen=True, kw_only=True):
    """The other end.

    Attributes:
        name: for the audit: ``user:ada``, ``address:127.0.0.1``.
        uid, gid, pid: of a UNIX socket's, as they were when it connected; None: it is none.
        started: when that process began, in ticks since the host's start: its number may be another's later.
    """

    name: str
    uid: int | None = None
    gid: int | None = None
    pid: int | None = None
    started: int | None = None


def peer_of(sock: socket.socket) -> Peer:
    """Raises OSError: it is gone already."""
    if sock.family != socket.AF_UNIX:
        return Peer(name=f"address:{sock.getpeername()[0]}")
    pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    try:
        user = pwd.getpwuid(uid).pw_name
    except KeyError:
        user = str(uid)
    return Peer(name=f"user:{user}", uid=uid, gid=gid, pid=pid, started=process_started(pid))


def process_started(pid: int) -> int | None:
    """When it began, in ticks; None: it is gone, or in another PID namespace.

    Source: proc(5), the 22nd field of ``stat``; the second is a name in brackets, whatever is in it.
    """
    try:
        status = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    return int(status.rpartition(")")[2].split()[19])


def is_known(name: str) -> bool:
    """Whether there is this ``user:NAME`` or ``group:NAME`` on this host; of others nobody knows. Blocking."""
    kind, _, who = name.partition(":")
    try:
        if kind == "user":
            pwd.getpwnam(who)
        elif kind == "group":
            grp.getgrnam(who)
    except KeyError:
        return False
    return True


def groups_of(peer: Peer) -> frozenset[str]:
    """The names of the groups that a user is in. Blocking: it may ask a directory service."""
    if peer.uid is None:
        return frozenset()
    try:
        user = pwd.getpwuid(peer.uid)
    except KeyError:
        return frozenset()
    found = set()
    for gid in os.getgrouplist(user.pw_name, peer.gid if peer.gid is not None else user.pw_gid):
        try:
            found.add(grp.getgrgid(gid).gr_name)
        except KeyError:
            continue
    return frozenset(found)
