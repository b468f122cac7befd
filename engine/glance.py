"""A look at a state directory without an engine, as ``virengine list`` takes it: no event loop, and no lock.

Where an engine has the directory open, what it keeps there is the truth. Where none has, it is the truth only if every
domain that ran is still as it was left, which its driver tells (``Driver.unchanged``); otherwise an engine must be
opened, which takes over what runs and tells as events what happened meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from engine.abc import ConnectionURI, Run, default_uri
from engine.conf import parse_domain
from engine.errors import EngineError
from engine.lifecycle import State
from engine.registry import find_driver
from engine.store import DiskStore, Glimpse, Status, slot_of

__all__ = ["DomainView", "by_activity", "domain_table", "glance", "view_of"]


class DomainView(msgspec.Struct, frozen=True, kw_only=True):
    """What there is to say of a domain in a list; as the properties of ``engine.Domain``.

    Attributes:
        pid: of the process that runs it on this host, if there is one.
    """

    name: str
    uuid: str
    connection: str
    persistent: bool
    autostart: bool = False
    saved: bool = False
    state: State = State.SHUTOFF
    reason: str = "unknown"
    ready: bool = False
    active: bool = False
    pid: int | None = None
    started_at: float = 0.0
    scope: str = ""


def view_of(domain: Any, pid: int | None) -> DomainView:
    """What there is to say of one of an engine, here or behind a service."""
    shared = [name for name in DomainView.__struct_fields__ if name != "pid"]
    return DomainView(pid=pid, **{name: getattr(domain, name) for name in shared})


def by_activity(view: DomainView) -> tuple[bool, str, str]:
    """Sorts those that run first, then by name."""
    return (not view.active, view.name, view.connection)


def domain_table(views: Sequence[DomainView]) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of a list; which connection a domain is of is told where they are of several."""
    several = len({view.connection for view in views}) > 1
    columns = ["Name", "State", "Ready", "PID", "Connection"]
    rows = []
    for view in views:
        ready = "yes" if view.ready else "no" if view.active else "-"
        rows.append([view.name, str(view.state), ready, str(view.pid or "-"), view.connection][: 4 + several])
    return columns[: 4 + several], rows


def glance(
    uris: Sequence[str], state_dir: str | Path, *, runtime_dir: str | Path | None = None
) -> list[DomainView] | None:
    """The domains of a state directory, those that run first, then by name. Blocking, for moments.

    Args:
        uris: the connections to look at; none: all that are kept there if an engine has it open, else libvirt's
            default for this user.
        state_dir, runtime_dir: as ``Engine`` takes them.

    Returns:
        None: it takes an engine to tell.
    """
    store = DiskStore(Path(state_dir), runtime=Path(runtime_dir) if runtime_dir is not None else None)
    try:
        seen = store.peek()
        names = _names(uris, seen)
        if not names <= seen.known or not (seen.held or _nothing_new(seen, names, store)):
            return None
        views = [view for view in _views(seen) if view.connection in names]
    except (OSError, EngineError):
        return None  # whatever is wrong, opening an engine says it in its own words
    return sorted(views, key=by_activity)


def _names(uris: Sequence[str], seen: Glimpse) -> frozenset[str]:
    if seen.held and not uris:
        return seen.known
    return frozenset(str(ConnectionURI.parse(uri)) for uri in uris or (default_uri(),))


def _nothing_new(seen: Glimpse, names: frozenset[str], store: DiskStore) -> bool:
    if seen.problems or seen.leftovers:  # something may run of which no status tells
        return False
    statuses = [status for status in seen.statuses if status.connection in names]
    # a domain whose gates are still to be passed becomes ready only where an engine sees it through them
    if not all(status.active and status.ready for status in statuses):
        return False
    for name in names:
        uri = ConnectionURI.parse(name)
        runs = [
            Run(
                state=status.state,
                facts=status.facts if isinstance(status.facts, Mapping) else {},
                runtime_dir=store.runtime_dir(slot_of(name, status.uuid)),
            )
            for status in statuses
            if status.connection == name
        ]
        if not find_driver(uri).unchanged(uri, runs):
            return False
    return True


def _views(seen: Glimpse) -> Iterator[DomainView]:
    running = {slot_of(status.connection, status.uuid): status for status in seen.statuses if status.active}
    for item in seen.stored:
        view = DomainView(
            name=item.definition.name,
            uuid=item.definition.uuid,
            connection=item.connection,
            persistent=True,
            autostart=item.autostart,
            saved=slot_of(item.connection, item.definition.uuid) in seen.saved,
            reason=item.reason,
        )
        status = running.pop(slot_of(view.connection, view.uuid), None)
        yield view if status is None else _running(view, status)
    for status in running.values():
        transient = parse_domain(status.text)
        yield _running(
            DomainView(name=transient.name, uuid=status.uuid, connection=status.connection, persistent=False), status
        )


def _running(view: DomainView, status: Status) -> DomainView:
    return msgspec.structs.replace(
        view,
        state=status.state,
        reason=status.reason,
        ready=status.ready,
        active=True,
        pid=status.pid,
        started_at=status.started,
        scope=status.scope,
    )
