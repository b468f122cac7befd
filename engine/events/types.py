"""Every event, as data: a fact in the past tense, immutable and numbered.

``(host, epoch, sequence)`` names an event for ever: ``epoch`` changes when a journal is begun anew, ``sequence`` counts
by one without holes within an epoch. Details and reasons are libvirt's words (``virDomainEvent*DetailType``, as
``virsh event`` prints them).
"""

from __future__ import annotations

import msgspec

from engine.lifecycle import State

__all__ = [
    "AgentConnected",
    "AgentDisconnected",
    "AutostartChanged",
    "CommandFailed",
    "ConnectionClosed",
    "ConnectionOpened",
    "DomainAdopted",
    "DomainBlockIOError",
    "DomainCrashed",
    "DomainDefined",
    "DomainEvent",
    "DomainNotReady",
    "DomainPMSuspended",
    "DomainReady",
    "DomainRebooted",
    "DomainResumed",
    "DomainShuttingDown",
    "DomainSnapshot",
    "DomainStarted",
    "DomainStopFailed",
    "DomainStopTried",
    "DomainStopped",
    "DomainSuspended",
    "DomainUndefined",
    "Event",
    "Gap",
    "JournalBegun",
    "LifecycleEvent",
    "PlanFinished",
    "PlanStarted",
    "ScopeCreated",
    "ScopeFailed",
    "SnapshotComplete",
    "event_types",
]


class Event(msgspec.Struct, frozen=True, kw_only=True, gc=False, tag=True, tag_field="type"):
    """The root of all events.

    Attributes:
        host: name of the host the engine runs on.
        epoch: identifies one run of numbers; a new journal is a new epoch.
        sequence: the number, counting by one. A new epoch goes on where the one before ended on disk.
        time: when it happened, seconds since 1970 (UTC). What is told late is from before the events before it.
        cause: id of the command that caused it, or None: it happened by itself.
    """

    host: str
    epoch: str
    sequence: int
    time: float
    cause: str | None = None


class DomainEvent(Event, frozen=True, kw_only=True, gc=False):
    """Something about one domain.

    Attributes:
        connection: URI of the connection that owns it.
        domain: its name at that time.
        uuid: its UUID, lower case with dashes.
    """

    connection: str
    domain: str
    uuid: str


class LifecycleEvent(DomainEvent, frozen=True, kw_only=True, gc=False):
    """The domain's lifecycle moved on.

    Attributes:
        detail: libvirt's word for how, e.g. ``booted``.
        state: the state it is in now.
        reason: libvirt's word for why it is in that state.
    """

    detail: str
    state: State
    reason: str


class DomainDefined(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """Detail: ``added`` | ``updated`` | ``renamed``."""


class DomainUndefined(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """Detail: ``removed`` | ``renamed``. State is ``no state`` unless it goes on as a transient domain."""


class DomainStarted(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """Detail: ``booted`` | ``migrated`` | ``restored`` | ``snapshot`` | ``wakeup``."""


class DomainSuspended(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """Detail: ``paused`` | ``migrated`` | ``io error`` | ``watchdog`` | ``restored`` | ``snapshot`` | ``api error``."""


class DomainResumed(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """Detail: ``unpaused`` | ``migrated`` | ``snapshot``."""


class DomainShuttingDown(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """The guest is going down. Detail: ``finished`` | ``guest`` (by itself) | ``host`` (asked by the host)."""


class DomainStopped(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """Detail: ``shutdown`` | ``destroyed`` | ``crashed`` | ``migrated`` | ``saved`` | ``failed`` | ``snapshot``."""


class DomainPMSuspended(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """Detail: ``memory`` | ``disk``."""


class DomainCrashed(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """Detail: ``panicked`` | ``crashloaded``."""


class DomainRebooted(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """The guest was reset. Detail: ``guest`` (by itself) | ``host`` (asked by the host)."""


class DomainAdopted(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """A new engine found the domain running and took it over. Detail: ``reconnected``."""


class AutostartChanged(DomainEvent, frozen=True, kw_only=True, gc=False):
    """The domain is (not) started with the host."""

    autostart: bool


class DomainReady(DomainEvent, frozen=True, kw_only=True, gc=False):
    """The domain passed its gate ``seconds`` after it was started."""

    gate: str
    seconds: float


class DomainNotReady(DomainEvent, frozen=True, kw_only=True, gc=False):
    """The domain did not pass its gate in time; ``going_on`` says whether its dependents start all the same."""

    gate: str
    timeout: float
    reason: str
    going_on: bool


class DomainBlockIOError(DomainEvent, frozen=True, kw_only=True, gc=False):
    """A disk failed.

    Attributes:
        device: the driver's name of the disk.
        action: ``none`` | ``pause`` | ``report``; reason: ``enospc`` | ``error``; operation: ``read`` | ``write``.
    """

    device: str
    operation: str
    action: str
    reason: str


class AgentConnected(DomainEvent, frozen=True, kw_only=True, gc=False):
    """The guest opened its end of the agent's channel."""


class AgentDisconnected(DomainEvent, frozen=True, kw_only=True, gc=False):
    """The guest closed its end of the agent's channel."""


class CommandFailed(DomainEvent, frozen=True, kw_only=True, gc=False):
    """A command that was accepted did not succeed.

    Attributes:
        command: its name; error: the sentence the caller read.
    """

    command: str
    error: str


class ScopeCreated(DomainEvent, frozen=True, kw_only=True, gc=False):
    """The domain's processes are in a systemd scope.

    Attributes:
        unit: name of the unit; method: which call made it, e.g. ``CreateMachine``.
    """

    unit: str
    method: str


class ScopeFailed(DomainEvent, frozen=True, kw_only=True, gc=False):
    """The domain runs without a scope: ``reason`` says why."""

    reason: str


class DomainStopTried(DomainEvent, frozen=True, kw_only=True, gc=False):
    """A step of the domain's stop ladder began.

    Attributes:
        method: ``agent`` | ``acpi`` | ``save`` | ``destroy``; timeout: seconds it is given.
        outcome: ``started`` | ``skipped`` (and ``reason`` says why).
    """

    method: str
    timeout: float
    outcome: str = "started"
    reason: str = ""


class DomainStopFailed(DomainEvent, frozen=True, kw_only=True, gc=False):
    """The ladder is at its end and the domain still runs."""

    reason: str


class ConnectionOpened(Event, frozen=True, kw_only=True, gc=False):
    """A connection was opened."""

    connection: str


class ConnectionClosed(Event, frozen=True, kw_only=True, gc=False):
    """A connection was closed, or lost (``reason``)."""

    connection: str
    reason: str = ""


class JournalBegun(Event, frozen=True, kw_only=True, gc=False):
    """The first event of an epoch. ``reason``: ``new`` | ``corrupt`` (the old journal could not be read: numbers begin
    at 1 again) | ``unclean`` (the engine was killed, or could not write its last events: numbers go on)."""

    reason: str


class PlanStarted(Event, frozen=True, kw_only=True, gc=False):
    """An ``up`` or a ``down`` began (``direction``).

    Attributes:
        domains: the names it is about; resumed: it goes on with one that was interrupted.
    """

    direction: str
    domains: tuple[str, ...]
    resumed: bool = False


class PlanFinished(Event, frozen=True, kw_only=True, gc=False):
    """An ``up`` or a ``down`` ended.

    Attributes:
        done: domains that got where they should; failed: those that did not; seconds: how long it took.
    """

    direction: str
    done: tuple[str, ...]
    failed: tuple[str, ...]
    seconds: float


class DomainSnapshot(LifecycleEvent, frozen=True, kw_only=True, gc=False):
    """The state of one domain at ``sequence``, for a reader that asked for ``snapshot=True``; never in the journal.
    Its CloudEvents id is ``epoch/sequence/snapshot/UUID/TIME``."""

    persistent: bool
    autostart: bool
    ready: bool


class SnapshotComplete(Event, frozen=True, kw_only=True, gc=False):
    """All ``DomainSnapshot`` were given; what follows is live, from ``sequence`` + 1 on. Never in the journal.
    Its CloudEvents id is ``epoch/sequence/snapshot/COUNT/TIME``."""

    count: int


class Gap(Event, frozen=True, kw_only=True, gc=False):
    """This reader missed ``missed`` events before the next one; ``sequence`` is the last one missed. Never in the
    journal: it is one reader's fact. Its CloudEvents id is ``epoch/sequence/gap/MISSED/TIME``."""

    missed: int


def event_types() -> dict[str, type[Event]]:
    """Every concrete and abstract event type by name."""
    found: dict[str, type[Event]] = {}
    todo: list[type[Event]] = [Event]
    while todo:
        event_type = todo.pop()
        found[event_type.__name__] = event_type
        todo.extend(event_type.__subclasses__())
    return found
