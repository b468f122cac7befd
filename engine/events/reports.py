"""What a driver's report is told as: the event, and libvirt's words for how and why. Pure."""

from __future__ import annotations

from engine.events.types import (
    DomainCrashed,
    DomainDefined,
    DomainPMSuspended,
    DomainRebooted,
    DomainResumed,
    DomainShuttingDown,
    DomainStarted,
    DomainStopped,
    DomainSuspended,
    DomainUndefined,
    LifecycleEvent,
)
from engine.lifecycle import Report

__all__ = ["describe"]

# the event, and libvirt's reason for the state by the event's detail; the first detail is the usual one
_REPORTS: dict[Report, tuple[type[LifecycleEvent], dict[str, str]]] = {
    Report.DEFINED: (DomainDefined, {"added": "", "updated": "", "renamed": ""}),
    Report.UNDEFINED: (DomainUndefined, {"removed": "", "renamed": ""}),
    Report.STARTED: (
        DomainStarted,
        {
            "booted": "booted",
            "restored": "restored",
            "migrated": "migrated",
            "snapshot": "from snapshot",
            "wakeup": "event wakeup",
        },
    ),
    Report.SUSPENDED: (
        DomainSuspended,
        {
            "paused": "user",
            "io error": "I/O error",
            "watchdog": "watchdog",
            "migrated": "migrating",
            "restored": "user",
            "snapshot": "from snapshot",
            "api error": "unknown",
        },
    ),
    Report.RESUMED: (
        DomainResumed,
        {"unpaused": "unpaused", "migrated": "migrated", "snapshot": "from snapshot"},
    ),
    Report.SHUTTING_DOWN: (DomainShuttingDown, {"finished": "user", "guest": "unknown", "host": "user"}),
    Report.STOPPED: (
        DomainStopped,
        {
            "shutdown": "shutdown",
            "destroyed": "destroyed",
            "crashed": "crashed",
            "saved": "saved",
            "failed": "failed",
            "migrated": "migrated",
            "snapshot": "from snapshot",
        },
    ),
    Report.PMSUSPENDED: (DomainPMSuspended, {"memory": "unknown", "disk": "unknown"}),
    Report.CRASHED: (DomainCrashed, {"panicked": "panicked", "crashloaded": "panicked"}),
    # the state goes on for the reason it had
    Report.REBOOTED: (DomainRebooted, {"guest": "", "host": ""}),
}


def describe(report: Report, detail: str = "", reason: str = "") -> tuple[type[LifecycleEvent], str, str]:
    """The event type, its detail, and the reason for the state it leads to ("": the state goes on as it was).

    Args:
        detail, reason: as the driver gave them; "" takes the usual one.
    """
    event_type, reasons = _REPORTS[report]
    detail = detail or next(iter(reasons))
    return event_type, detail, reason or reasons.get(detail, "unknown")
