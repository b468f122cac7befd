"""Who asked for what that changes something, and what came of it: a line of JSON each."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from engine.server.access.peers import Peer, Role
from engine.server.operations import Operation, path_of

__all__ = ["Audit", "Entry", "Outcome"]

log = logging.getLogger(__name__)

# bytes of one file, and how many older ones are kept
_LONGEST = 8 * 1024 * 1024
_KEPT = 3


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One request. What was in its body is not kept: there may be a secret in it.

    Attributes:
        time: in UTC, as ISO 8601. who, uid, pid, role: of who asked. method, path: what for, with the query.
        status: of the answer; problem: its type, if it was refused or failed.
        location: of what came into being: the operation that was begun, the domain that was defined.
        domain: the name of the one that the answer tells of.
    """

    time: str
    who: str
    uid: int | None = None
    pid: int | None = None
    role: Role | None = None
    method: str
    path: str
    status: int
    problem: str = ""
    location: str = ""
    domain: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of an operation, as soon as it has ended; ``Entry.location`` of who asked for it is the same.

    Attributes:
        what, domain: as the operation has it. outcome: ``done``, ``failed`` or ``cancelled``; problem: why it failed.
        failed: domains of a plan that did not get where they should.
    """

    time: str
    who: str
    location: str
    what: str
    domain: str | None = None
    outcome: str
    problem: str = ""
    failed: list[str] = []


class Audit:
    """Keeps the entries.

    Args:
        path: of the file; None: they are logged only, as ``engine.audit``.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lock = anyio.Lock()
        self._log = logging.getLogger("engine.audit")

    async def note(
        self,
        peer: Peer,
        role: Role | None,
        *,
        method: str,
        path: str,
        status: int,
        problem: str = "",
        location: str = "",
        domain: str = "",
    ) -> None:
        """Kept when it returns. Never raises: guests must be stopped though nobody can write it down."""
        who = {"who": peer.name, "uid": peer.uid, "pid": peer.pid, "role": role}
        what = {"method": method, "path": path, "status": status, "problem": problem}
        self._log.info("%s %s %s %d", peer.name, method, path, status)
        await self._keep(Entry(time=_now(), location=location, domain=domain, **who, **what))  # type: ignore[arg-type]

    async def note_outcome(self, operation: Operation) -> None:
        """The same, once it has ended."""
        problem = operation.problem.type if operation.problem is not None else ""
        domains = operation.progress.domains if operation.progress is not None else []
        failed = [domain.name for domain in domains if domain.step == "failed"]
        self._log.info("%s %s: %s", operation.by, operation.what, operation.state)
        await self._keep(
            Outcome(
                time=_now(),
                who=operation.by,
                location=path_of(operation),
                what=operation.what,
                domain=operation.domain,
                outcome=operation.state,
                problem=problem,
                failed=failed,
            )
        )

    async def _keep(self, entry: Entry | Outcome) -> None:
        if self._path is not None:
            async with self._lock:
                try:
                    await anyio.to_thread.run_sync(_append, self._path, msgspec.json.encode(entry) + b"\n")
                except OSError as exc:
                    log.error("%s: what was asked for is not written down: %s", self._path, exc.strerror)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _append(path: Path, line: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        os.write(fd, line)
        size = os.fstat(fd).st_size
    finally:
        os.close(fd)
    if size > _LONGEST:
        for number in range(_KEPT, 0, -1):
            older = path.with_name(f"{path.name}.{number}")
            newer = path.with_name(f"{path.name}.{number - 1}") if number > 1 else path
            if newer.exists():
                newer.replace(older)
