"""The guest's clock, and what follows when it stops. Source: libvirt's "Domain XML format", Time keeping, Events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.values import Long, UnsignedInt, UnsignedLong, YesNo
from engine.conf.nodes.node import Child, Node
from engine.conf.nodes.values import Pattern

__all__ = [
    "AbsoluteClock",
    "Clock",
    "CrashAction",
    "LifecycleAction",
    "LockFailureAction",
    "Perf",
    "PerfEvent",
    "PowerManagement",
    "SleepState",
    "Timer",
    "TimezoneClock",
    "UtcClock",
    "VariableClock",
]

TimezoneName = Annotated[
    str, Pattern("timezoneName", r"[a-zA-Z0-9_\.\+\-/]+", "the name of a time zone such as Europe/Berlin")
]

#: What follows when the guest powers itself off, or reboots.
LifecycleAction: TypeAlias = Literal["destroy", "restart", "preserve", "rename-restart"]
#: What follows when the guest crashes.
CrashAction: TypeAlias = Literal[
    "destroy", "restart", "preserve", "rename-restart", "coredump-destroy", "coredump-restart"
]
#: What follows when the locks of its resources are lost.
LockFailureAction: TypeAlias = Literal["poweroff", "restart", "pause", "ignore"]


# ---------------------------------------------------------------------------- timers


class BaseTimer(Node):
    """A source of time that the guest has.

    Attributes:
        present: whether the guest sees it.
    """

    known_by = ("name",)
    present: YesNo | None = None


class Catchup(Node):
    """How a timer catches up with ticks that were missed."""

    threshold: UnsignedInt | None = None
    slew: UnsignedInt | None = None
    limit: UnsignedInt | None = None


class TickingTimer(BaseTimer):
    """A timer whose ticks may be missed, as while the guest is paused.

    Attributes:
        tickpolicy: delay: missed ticks come later, at the usual rate, so the guest's time stays behind; catchup: they
            come at a higher rate; merge: all missed ones come as one; discard: they don't come.
        catchup: of the policy of that name.
    """

    tickpolicy: Literal["delay", "catchup", "merge", "discard"] | None = None
    catchup: Catchup | None = None

    def check(self) -> Iterator[str]:
        if self.catchup is not None and self.tickpolicy != "catchup":
            yield "<catchup> needs tickpolicy='catchup'"


class TrackingTimer(TickingTimer):
    """The real-time clock; ``platform`` is not supported at present.

    Attributes:
        track: what its time follows.
    """

    name: Literal["platform", "rtc"]
    track: Literal["boot", "guest", "wall", "realtime"] | None = None


class TscTimer(TickingTimer):
    """The time stamp counter.

    Attributes:
        frequency: in Hz; mode: how the guest reads it.
    """

    name: Literal["tsc"]
    frequency: UnsignedLong | None = None
    mode: Literal["auto", "native", "emulate", "paravirt", "smpsafe"] | None = None


class PlainTimer(TickingTimer):
    """A timer without more to set."""

    name: Literal["hpet", "pit", "armvtimer"]


class ParavirtualTimer(BaseTimer):
    """A clock that a guest reads which knows that it is one: Linux's or (hypervclock) Windows'."""

    name: Literal["kvmclock", "hypervclock"]


Timer: TypeAlias = TrackingTimer | TscTimer | PlainTimer | ParavirtualTimer


# ---------------------------------------------------------------------------- the clock


class BaseClock(Node):
    """What the guest's hardware clock shows."""

    timers: Annotated[tuple[Timer, ...], Child("timer")] = ()


class UtcClock(BaseClock):
    """A clock that shows UTC, or the host's local time, whenever the guest boots.

    Attributes:
        adjustment: a number of seconds makes it as a variable clock that begins with these; reset: it never becomes
            one, whatever the guest sets. Else that is up to the hypervisor.
    """

    offset: Literal["utc", "localtime"]
    adjustment: Long | Literal["reset"] | None = None


class TimezoneClock(BaseClock):
    """A clock that shows the time of a zone."""

    offset: Literal["timezone"]
    timezone: TimezoneName | None = None


class VariableClock(BaseClock):
    """A clock with an offset, which changes when the guest sets it, and is kept for its next boot.

    Attributes:
        adjustment: the offset, in seconds; basis: from what, utc if it is left out.
    """

    offset: Literal["variable"]
    adjustment: Long | None = None
    basis: Literal["utc", "localtime"] | None = None


class AbsoluteClock(BaseClock):
    """A clock that begins at the same time whenever the guest starts. Since 8.4.0.

    Attributes:
        start: in seconds since 1970.
    """

    offset: Literal["absolute"]
    start: UnsignedLong


Clock: TypeAlias = UtcClock | TimezoneClock | VariableClock | AbsoluteClock


# ---------------------------------------------------------------------------- power and performance


class SleepState(Node):
    """Whether the guest's firmware says that there is a way of sleeping."""

    enabled: YesNo | None = None


class PowerManagement(Node):
    """The ways of sleeping that the guest is told of. For QEMU.

    Attributes:
        suspend_to_mem: ACPI's S3; suspend_to_disk: ACPI's S4.
    """

    suspend_to_mem: Annotated[SleepState | None, Child("suspend-to-mem")] = None
    suspend_to_disk: Annotated[SleepState | None, Child("suspend-to-disk")] = None


class PerfEvent(Node):
    """Something that is counted while the guest runs.

    Attributes:
        name: cmt: what of the L3 cache it uses; mbmt, mbml: memory bandwidth, of all and of the local controller;
            others are as Linux' perf calls them.
    """

    known_by = ("name",)
    name: Literal[
        "cmt", "mbmt", "mbml", "cpu_cycles", "instructions", "cache_references", "cache_misses",
        "branch_instructions", "branch_misses", "bus_cycles", "stalled_cycles_frontend", "stalled_cycles_backend",
        "ref_cpu_cycles", "cpu_clock", "task_clock", "page_faults", "context_switches", "cpu_migrations",
        "page_faults_min", "page_faults_maj", "alignment_faults", "emulation_faults",
    ]  # fmt: skip
    enabled: YesNo


class Perf(Node):
    """What is counted while the guest runs. Since 2.0.0."""

    events: Annotated[tuple[PerfEvent, ...], Child("event")]
