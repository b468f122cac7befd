"""Taking over what an earlier engine left running, or telling what became of it: only what is not told yet."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from engine.conf import DomainDefinition
from engine.domain import Domain, Told
from engine.errors import EngineError
from engine.events import types
from engine.lifecycle import TRANSITIONS, Report, State
from engine.store import Status

__all__ = ["adopt"]

log = logging.getLogger("engine.domain")

# a domain that was last told to be so and now plainly runs: what happened while nobody looked
_WENT_ON: dict[State, Told] = {
    State.PAUSED: (Report.RESUMED, "", "", None),
    State.PMSUSPENDED: (Report.STARTED, "wakeup", "", None),
    State.SHUTDOWN: (Report.REBOOTED, "guest", "booted", None),
    State.CRASHED: (Report.REBOOTED, "guest", "booted", None),
}


async def adopt(domain: Domain, status: Status, live: DomainDefinition, *, quiet: bool = False) -> None:
    """Take the domain over.

    Args:
        status: what the earlier engine kept of it; live: the definition it runs with.
        quiet: that it was taken over is no event.

    Raises:
        StoreError: a save that fits its disks no longer can't be removed.
    """
    reports = domain.load_status(status, live)
    try:
        alive = await domain.driver.adopt(domain.handle, status.facts if isinstance(status.facts, Mapping) else {})
    except EngineError as exc:
        # it may well run: what can't be asked is not told to have stopped
        log.warning("domain %s could not be taken over: %s", domain.name, exc)
        domain.adopted()
        domain.publish(types.CommandFailed, command="adopt", error=str(exc))
        return
    finally:
        domain.adopted()
    for report, detail, reason, time in reports or ([_WENT_ON[domain.state]] if domain.state in _WENT_ON else []):
        # as seen from a domain that plainly runs, which is what a driver reports about
        if report is Report.STOPPED or TRANSITIONS[State.RUNNING].get(report) is not domain.state:
            domain.report(report, detail, reason, time)
    # What was saved before this run, or by a save whose end nobody saw, fits the disks only if nothing ran since.
    if domain.saved and (domain.active or domain.reason not in ("saved", "failed")):
        await domain.discard_save()
    if alive and domain.active:
        if not quiet:
            domain.publish(types.DomainAdopted, detail="reconnected", state=domain.state, reason=domain.reason)
        if not domain.ready and domain.state is not State.CRASHED:
            domain.run_gates()
