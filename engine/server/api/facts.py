"""What is told of domains, the same to everybody: ``virengine list --json`` and the API."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from engine.domain import Domain
    from engine.glance import DomainView

__all__ = ["DomainFacts", "domain_facts"]


class DomainFacts(msgspec.Struct, frozen=True, kw_only=True):
    """A domain.

    Attributes:
        state, reason: libvirt's words. ready: it has passed its gates.
        pid: of the process that runs it, if it is asked for. started: seconds since 1970; scope: its systemd unit.
    """

    name: str
    uuid: str
    connection: str
    state: str
    reason: str
    ready: bool
    persistent: bool
    autostart: bool
    pid: int | None
    managed_save: bool
    started: float | None
    scope: str | None


def domain_facts(domain: Domain | DomainView, *, pid: int | None = None) -> DomainFacts:
    return DomainFacts(
        name=domain.name,
        uuid=domain.uuid,
        connection=domain.connection,
        state=domain.state.value,
        reason=domain.reason,
        ready=domain.ready,
        persistent=domain.persistent,
        autostart=domain.autostart,
        pid=pid,
        managed_save=domain.saved,
        started=domain.started_at or None,
        scope=domain.scope or None,
    )
