"""The states of a domain and what may follow what: a pure table, no I/O.

Names of states, reasons and details are libvirt's (``virDomainState``, ``virDomain*Reason`` and
``virDomainEvent*DetailType`` in its public header ``libvirt-domain.h``), spelled as virsh prints them.

A *command* is a request: the table says whether it is possible in a state, and where it is meant to lead. A *report* is
a fact a driver brings: only a report changes the state. So a command that is cancelled or fails leaves the domain in
whatever state the reports have put it, which is what is true.
"""

from __future__ import annotations

from enum import StrEnum

from engine.errors import InvalidState

__all__ = [
    "ACTIVE",
    "TRANSITIONS",
    "Command",
    "Report",
    "State",
    "advance",
    "allowed",
    "diagram",
]


class State(StrEnum):
    """libvirt's domain states, plus ``no state``: the engine has no such domain."""

    NOSTATE = "no state"
    RUNNING = "running"
    IDLE = "idle"
    PAUSED = "paused"
    SHUTDOWN = "in shutdown"
    SHUTOFF = "shut off"
    CRASHED = "crashed"
    PMSUSPENDED = "pmsuspended"


class Command(StrEnum):
    """What may be asked of a domain."""

    DEFINE = "define"
    UNDEFINE = "undefine"
    START = "start"
    SHUTDOWN = "shutdown"
    REBOOT = "reboot"
    RESET = "reset"
    SUSPEND = "suspend"
    RESUME = "resume"
    DESTROY = "destroy"
    SAVE = "save"
    RESTORE = "restore"
    MANAGED_SAVE = "managedsave"
    AUTOSTART = "autostart"


class Report(StrEnum):
    """What a driver reports to have happened."""

    DEFINED = "defined"
    UNDEFINED = "undefined"
    STARTED = "started"
    SUSPENDED = "suspended"
    RESUMED = "resumed"
    SHUTTING_DOWN = "shutting down"
    STOPPED = "stopped"
    PMSUSPENDED = "pmsuspended"
    CRASHED = "crashed"
    REBOOTED = "rebooted"


S, C, R = State, Command, Report

#: The one table. A command's value is the state it is meant to lead to, a report's the state it puts the domain in.
#: What is not here is impossible.
TRANSITIONS: dict[State, dict[Command | Report, State]] = {
    S.NOSTATE: {
        C.DEFINE: S.SHUTOFF,
        C.RESTORE: S.RUNNING,
        R.DEFINED: S.SHUTOFF,
        # a transient domain, brought back from a file
        R.STARTED: S.RUNNING,
    },
    S.SHUTOFF: {
        C.DEFINE: S.SHUTOFF,
        C.UNDEFINE: S.NOSTATE,
        C.START: S.RUNNING,
        C.RESTORE: S.RUNNING,
        C.AUTOSTART: S.SHUTOFF,
        R.DEFINED: S.SHUTOFF,
        R.UNDEFINED: S.NOSTATE,
        R.STARTED: S.RUNNING,
        R.STOPPED: S.SHUTOFF,
    },
    S.RUNNING: {
        C.DEFINE: S.RUNNING,
        C.UNDEFINE: S.RUNNING,
        C.SHUTDOWN: S.SHUTOFF,
        C.REBOOT: S.RUNNING,
        C.RESET: S.RUNNING,
        C.SUSPEND: S.PAUSED,
        C.DESTROY: S.SHUTOFF,
        C.SAVE: S.SHUTOFF,
        C.MANAGED_SAVE: S.SHUTOFF,
        C.AUTOSTART: S.RUNNING,
        R.DEFINED: S.RUNNING,
        R.UNDEFINED: S.RUNNING,
        R.SUSPENDED: S.PAUSED,
        R.RESUMED: S.RUNNING,
        R.SHUTTING_DOWN: S.SHUTDOWN,
        R.REBOOTED: S.RUNNING,
        R.PMSUSPENDED: S.PMSUSPENDED,
        R.CRASHED: S.CRASHED,
        R.STOPPED: S.SHUTOFF,
    },
    # Xen and ESX tell a running guest that waits from one that runs; all else is as in running.
    S.IDLE: {
        C.DEFINE: S.IDLE,
        C.UNDEFINE: S.IDLE,
        C.SHUTDOWN: S.SHUTOFF,
        C.REBOOT: S.RUNNING,
        C.RESET: S.RUNNING,
        C.SUSPEND: S.PAUSED,
        C.DESTROY: S.SHUTOFF,
        C.SAVE: S.SHUTOFF,
        C.MANAGED_SAVE: S.SHUTOFF,
        C.AUTOSTART: S.IDLE,
        R.DEFINED: S.IDLE,
        R.UNDEFINED: S.IDLE,
        R.SUSPENDED: S.PAUSED,
        R.RESUMED: S.RUNNING,
        R.SHUTTING_DOWN: S.SHUTDOWN,
        R.REBOOTED: S.RUNNING,
        R.PMSUSPENDED: S.PMSUSPENDED,
        R.CRASHED: S.CRASHED,
        R.STOPPED: S.SHUTOFF,
    },
    S.PAUSED: {
        C.DEFINE: S.PAUSED,
        C.UNDEFINE: S.PAUSED,
        C.RESET: S.PAUSED,
        C.RESUME: S.RUNNING,
        C.DESTROY: S.SHUTOFF,
        C.SAVE: S.SHUTOFF,
        C.MANAGED_SAVE: S.SHUTOFF,
        C.AUTOSTART: S.PAUSED,
        R.DEFINED: S.PAUSED,
        R.UNDEFINED: S.PAUSED,
        R.SUSPENDED: S.PAUSED,
        R.RESUMED: S.RUNNING,
        R.SHUTTING_DOWN: S.SHUTDOWN,
        R.REBOOTED: S.PAUSED,
        R.CRASHED: S.CRASHED,
        R.STOPPED: S.SHUTOFF,
    },
    S.SHUTDOWN: {
        C.DEFINE: S.SHUTDOWN,
        C.UNDEFINE: S.SHUTDOWN,
        C.SHUTDOWN: S.SHUTOFF,
        C.DESTROY: S.SHUTOFF,
        C.AUTOSTART: S.SHUTDOWN,
        R.DEFINED: S.SHUTDOWN,
        R.UNDEFINED: S.SHUTDOWN,
        R.SUSPENDED: S.SHUTDOWN,
        R.SHUTTING_DOWN: S.SHUTDOWN,
        # a guest that was asked to power off may reboot instead
        R.REBOOTED: S.RUNNING,
        R.CRASHED: S.CRASHED,
        R.STOPPED: S.SHUTOFF,
    },
    # crashed, and its process is kept (<on_crash>preserve</on_crash>): only destroy gets rid of it
    S.CRASHED: {
        C.DEFINE: S.CRASHED,
        C.UNDEFINE: S.CRASHED,
        C.RESET: S.RUNNING,
        C.DESTROY: S.SHUTOFF,
        C.AUTOSTART: S.CRASHED,
        R.DEFINED: S.CRASHED,
        R.UNDEFINED: S.CRASHED,
        R.REBOOTED: S.RUNNING,
        R.CRASHED: S.CRASHED,
        R.SUSPENDED: S.CRASHED,
        R.STOPPED: S.SHUTOFF,
    },
    # asleep: whoever asks it to stop wakes it first
    S.PMSUSPENDED: {
        C.DEFINE: S.PMSUSPENDED,
        C.UNDEFINE: S.PMSUSPENDED,
        C.SHUTDOWN: S.SHUTOFF,
        C.RESET: S.RUNNING,
        C.DESTROY: S.SHUTOFF,
        C.SAVE: S.SHUTOFF,
        C.MANAGED_SAVE: S.SHUTOFF,
        C.AUTOSTART: S.PMSUSPENDED,
        R.DEFINED: S.PMSUSPENDED,
        R.UNDEFINED: S.PMSUSPENDED,
        # DomainStarted with detail "wakeup"
        R.STARTED: S.RUNNING,
        R.REBOOTED: S.RUNNING,
        R.SHUTTING_DOWN: S.SHUTDOWN,
        R.CRASHED: S.CRASHED,
        R.STOPPED: S.SHUTOFF,
    },
}

#: States in which a domain has a process (or its equal on a remote hypervisor).
ACTIVE = frozenset({S.RUNNING, S.IDLE, S.PAUSED, S.SHUTDOWN, S.CRASHED, S.PMSUSPENDED})


def allowed(state: State) -> tuple[Command, ...]:
    """The commands that are possible in ``state``."""
    return tuple(trigger for trigger in TRANSITIONS[state] if isinstance(trigger, Command))


def advance(state: State, trigger: Command | Report, *, domain: str = "") -> State:
    """Where ``trigger`` leads from ``state``.

    Raises:
        InvalidState: it is not possible; the error names what would be.
    """
    try:
        return TRANSITIONS[state][trigger]
    except KeyError:
        raise InvalidState(trigger.value, state.value, (c.value for c in allowed(state)), domain=domain) from None


def diagram() -> str:
    """The table as a Mermaid state diagram (reports as arrows, commands that ask for them in brackets)."""
    lines = ["stateDiagram-v2"]
    names = {state: state.name.lower() for state in State}
    lines += [f'    state "{state.value}" as {names[state]}' for state in State]
    for state, row in TRANSITIONS.items():
        arrows: dict[State, list[str]] = {}
        for trigger, target in row.items():
            if isinstance(trigger, Report) and target is not state:
                arrows.setdefault(target, []).append(trigger.value)
        for target, reports in arrows.items():
            asked = [t.value for t, to in row.items() if isinstance(t, Command) and to is target]
            label = ", ".join(reports) + (f" [{', '.join(asked)}]" if asked else "")
            lines.append(f"    {names[state]} --> {names[target]} : {label}")
    return "\n".join(lines) + "\n"
