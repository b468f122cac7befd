"""Every error that leaves the engine, in one tree split by who can do something about it.

::

    EngineError
    ├── ConfigError              the document, file or argument given is wrong
    │   ├── InvalidDocument      it breaks the rules of its kind; has all the problems
    │   ├── UnsupportedConfig    valid, but this driver can't build it
    │   └── OrderError           the declared order makes no sense
    │       ├── CycleError       it runs in a circle
    │       └── UnknownDomain    it names a domain that is not there
    ├── NotFound                 what was named is not there
    │   ├── NoSuchDomain
    │   ├── NoSuchConnection
    │   ├── NoSuchDriver
    │   ├── NoSuchOperation
    │   └── NoSuchWebhook
    ├── DomainExists             the name or UUID is taken by another domain
    ├── InvalidState             the command is impossible in the state the domain is in
    ├── Busy                     someone else holds it
    │   └── StateDirLocked       another engine holds the state directory
    ├── HostError                the host refuses: disk full, permission, program missing
    │   ├── MissingProgram
    │   ├── StoreError           state on disk can't be read or written
    │   └── ScopeError           systemd or machined refused the scope
    ├── DriverError              the hypervisor failed or refused
    │   ├── StartFailed          the domain did not come up; carries the hypervisor's last words
    │   ├── NotSupported         the driver has no such command
    │   ├── OperationInvalid     the domain has not what it takes: it is transient, has no such device
    │   ├── OperationAborted     another command put an end to it
    │   ├── AgentError           the guest agent refused
    │   │   └── AgentUnresponsive
    │   ├── DependencyFailed     a required domain did not start
    │   └── GateFailed           the domain runs but did not become ready in time
    ├── CommandTimeout           no answer within the time allowed
    ├── ConnectionBroken         the other side went away or talks nonsense
    ├── DBusError                the bus answered with an error
    ├── EventError
    │   ├── ResyncRequired       the sequence number asked for is no longer kept
    │   └── SubscriptionLagged   the reader was too slow and asked to be disconnected then
    ├── NotAllowed               a service does not let us
    └── EngineClosed             the engine is closed or closing

Attributes hold facts; ``str()`` makes the one sentence a user reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

__all__ = [
    "AgentError",
    "AgentUnresponsive",
    "Busy",
    "CommandTimeout",
    "ConfigError",
    "ConnectionBroken",
    "CycleError",
    "DBusError",
    "DependencyFailed",
    "DomainExists",
    "DriverError",
    "EngineClosed",
    "EngineError",
    "EventError",
    "GateFailed",
    "HostError",
    "InvalidDocument",
    "InvalidState",
    "MissingProgram",
    "NoSuchConnection",
    "NoSuchDomain",
    "NoSuchDriver",
    "NoSuchOperation",
    "NoSuchWebhook",
    "NotAllowed",
    "NotFound",
    "NotSupported",
    "OperationAborted",
    "OperationInvalid",
    "OrderError",
    "ResyncRequired",
    "ScopeError",
    "StartFailed",
    "StateDirLocked",
    "StoreError",
    "SubscriptionLagged",
    "UnknownDomain",
    "UnsupportedConfig",
]


class EngineError(Exception):
    """The root: catch this to catch all that the engine raises on purpose."""


# ---------------------------------------------------------------------------- what was given


class ConfigError(EngineError):
    """A document, file or argument is wrong.

    Attributes:
        reason: what is wrong, one clause.
        source: the file (or other origin) of the document, if known.
        line: 1-based line in that source, if known.
    """

    def __init__(self, reason: str, *, source: str | None = None, line: int | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.source = source
        self.line = line

    def __str__(self) -> str:
        where = ":".join(str(part) for part in (self.source, self.line) if part is not None)
        if where and self.source is None:
            where = f"line {where}"
        return f"{where}: {self.reason}" if where else self.reason


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong with a document, at one place.

    Attributes:
        line: from 1; 0: not known. xpath: the place, ``/domain/devices/disk[2]/target/@bus``.
        reason: a clause for people. value: the offending value, name or text, or "".
        allowed: what could stand there. severity: ``error``, or ``warning``: libvirt takes it, and it is a mistake.
    """

    line: int
    xpath: str
    reason: str
    value: str = ""
    allowed: tuple[str, ...] = ()
    severity: str = "error"

    def __str__(self) -> str:
        return f"{self.xpath}: {self.reason}"


class InvalidDocument(ConfigError):
    """A document breaks the rules of its kind.

    Attributes:
        problems: all of them, by line. The message is of the first error, and says how many more there are.
    """

    def __init__(self, problems: Sequence[Problem], *, source: str | None = None) -> None:
        self.problems = tuple(problems)
        errors = [problem for problem in problems if problem.severity == "error"]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{errors[0]}{more}", source=source, line=errors[0].line or None)


class UnsupportedConfig(ConfigError):
    """The document is valid, but the driver can't build what it asks for.

    Attributes:
        element: the XML element or attribute by name, e.g. ``<sound model='ich9'>``.
    """

    def __init__(self, element: str, reason: str, *, source: str | None = None, line: int | None = None) -> None:
        super().__init__(f"{element}: {reason}", source=source, line=line)
        self.element = element


class OrderError(ConfigError):
    """The declared order makes no sense."""


class CycleError(OrderError):
    """The order runs in a circle.

    Attributes:
        path: the domains around the circle, the first repeated at the end.
    """

    def __init__(self, path: Sequence[str], *, source: str | None = None, line: int | None = None) -> None:
        super().__init__("the order runs in a circle: " + " -> ".join(path), source=source, line=line)
        self.path = tuple(path)


class UnknownDomain(OrderError):
    """The order names a domain that is not defined.

    Attributes:
        domain: the name that is not there.
        declared_by: the domain or policy rule that names it.
    """

    def __init__(self, domain: str, declared_by: str, *, source: str | None = None, line: int | None = None) -> None:
        super().__init__(
            f"the order of '{declared_by}' names '{domain}', and there is no such domain", source=source, line=line
        )
        self.domain = domain
        self.declared_by = declared_by


# ---------------------------------------------------------------------------- what is not there, or there already


class NotFound(EngineError):
    """What was named is not there. ``name`` is what was asked for."""

    kind = "object"

    def __init__(self, name: str, hint: str = "") -> None:
        super().__init__(name)
        self.name = name
        self.hint = hint

    def __str__(self) -> str:
        return f"no {self.kind} '{self.name}'" + (f": {self.hint}" if self.hint else "")


class NoSuchDomain(NotFound):
    """No domain has this name or UUID."""

    kind = "domain"


class NoSuchConnection(NotFound):
    """The engine holds no connection at this URI."""

    kind = "connection"


class NoSuchDriver(NotFound):
    """No driver is known for this URI scheme."""

    kind = "driver for"


class NoSuchOperation(NotFound):
    """A service's operation that never was, or ended so long ago that it was forgotten."""

    kind = "operation"


class NoSuchWebhook(NotFound):
    """No webhook of a service has this name."""

    kind = "webhook"


class NotAllowed(EngineError):
    """A service lets those who asked do nothing, or not this."""


class DomainExists(EngineError):
    """The name or the UUID belongs to another domain already.

    Attributes:
        name, uuid: of the domain that holds it.

    Args:
        wanted: the name that was to have its UUID.
    """

    def __init__(self, name: str, uuid: str, wanted: str | None = None) -> None:
        if wanted is None or wanted == name:
            text = f"domain '{name}' is already defined with uuid {uuid}: give that <uuid> to redefine it"
        else:
            text = (
                f"uuid {uuid} is that of domain '{name}', which can't be renamed to '{wanted}': leave <uuid> out for a "
                f"domain of its own, or undefine '{name}' first"
            )
        super().__init__(text)
        self.name = name
        self.uuid = uuid


class InvalidState(EngineError):
    """The command is impossible in the state the domain is in; nothing was done.

    Attributes:
        domain: its name.
        command: the command refused, e.g. ``"start"``.
        state: the state it was in, libvirt's name.
        allowed: the commands that would be allowed.
    """

    def __init__(self, command: str, state: str, allowed: Iterable[str], *, domain: str = "") -> None:
        self.domain = domain
        self.command = command
        self.state = state
        self.allowed = tuple(allowed)
        super().__init__(command, state)

    def __str__(self) -> str:
        who = f"domain '{self.domain}'" if self.domain else "the domain"
        return f"{who} is {self.state}: can't {self.command} it (possible now: {', '.join(self.allowed) or 'nothing'})"


class Busy(EngineError):
    """Someone else holds it; try again later."""


class StateDirLocked(Busy):
    """Another engine holds the state directory.

    Attributes:
        path: the directory.
        holder: who holds it, as that engine wrote it down (``pid 123 (virengine), since ...``).
    """

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(f"state directory {path} is in use by {holder}")
        self.path = path
        self.holder = holder


# ---------------------------------------------------------------------------- the host


class HostError(EngineError):
    """The host refuses: disk full, permission denied, a program or device missing."""


class MissingProgram(HostError):
    """A program that is needed is not installed.

    Attributes:
        program: its name.
    """

    def __init__(self, program: str, hint: str = "") -> None:
        super().__init__(f"{program} is not installed" + (f": {hint}" if hint else ""))
        self.program = program


class StoreError(HostError):
    """The state on disk can't be read or written.

    Attributes:
        path: the file concerned.
    """

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}")
        self.path = path
        self.reason = reason


class ScopeError(HostError):
    """systemd or machined refused the scope, or no manager can be reached."""


# ---------------------------------------------------------------------------- the hypervisor


class DriverError(EngineError):
    """The hypervisor failed, or refused what was asked."""


class StartFailed(DriverError):
    """The domain did not come up.

    Attributes:
        domain: its name.
        reason: why; the hypervisor's own last words where it had any.
    """

    def __init__(self, domain: str, reason: str) -> None:
        super().__init__(f"domain '{domain}' did not start: {reason}")
        self.domain = domain
        self.reason = reason


class NotSupported(DriverError):
    """The driver has no such command.

    Attributes:
        driver: its URI scheme.
        what: the command or feature.
    """

    def __init__(self, driver: str, what: str) -> None:
        super().__init__(f"the {driver} driver does not support {what}")
        self.driver = driver
        self.what = what


class OperationInvalid(DriverError):
    """The domain, as it is, has not what the command needs: it is transient, has no such device, no picture; nothing
    was done. libvirt: VIR_ERR_OPERATION_INVALID."""


class OperationAborted(DriverError):
    """It was given up because another command put an end to it. libvirt: VIR_ERR_OPERATION_ABORTED."""


class AgentError(DriverError):
    """The guest agent refused, or is not there."""


class AgentUnresponsive(AgentError):
    """The guest agent does not answer."""


class DependencyFailed(DriverError):
    """A required domain did not start, so this one was not started either.

    Attributes:
        domain: the one not started.
        dependency: the one that failed.
        reason: why that one failed.
    """

    def __init__(self, domain: str, dependency: str, reason: str) -> None:
        super().__init__(f"domain '{domain}' was not started: it requires '{dependency}', which failed: {reason}")
        self.domain = domain
        self.dependency = dependency
        self.reason = reason


class GateFailed(DriverError):
    """The domain runs, but did not become ready in time.

    Attributes:
        domain, gate: the names.
        timeout: seconds that were allowed.
    """

    def __init__(self, domain: str, gate: str, timeout: float, reason: str = "") -> None:
        super().__init__(
            f"domain '{domain}' runs but was not ready within {timeout:g} s (gate {gate})"
            + (f": {reason}" if reason else "")
        )
        self.domain = domain
        self.gate = gate
        self.timeout = timeout


# ---------------------------------------------------------------------------- time and the wire


class CommandTimeout(EngineError):
    """No answer within the time allowed.

    Attributes:
        what: what was waited for.
        seconds: how long.
    """

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what}: no answer within {seconds:g} s")
        self.what = what
        self.seconds = seconds


class ConnectionBroken(EngineError):
    """The other side went away, or talks nonsense; the connection is of no use any more."""


class DBusError(EngineError):
    """The bus or a service on it answered with an error.

    Attributes:
        name: the D-Bus error name, e.g. ``org.freedesktop.DBus.Error.ServiceUnknown``.
        message: the text that came with it.
    """

    def __init__(self, name: str, message: str = "") -> None:
        super().__init__(f"{name}: {message}" if message else name)
        self.name = name
        self.message = message


# ---------------------------------------------------------------------------- events


class EventError(EngineError):
    """Something about a subscription or the journal."""


class ResyncRequired(EventError):
    """The sequence number asked for is no longer kept (or belongs to another epoch).

    Attributes:
        since: the number asked for.
        oldest: the oldest number that is still kept.
        snapshot: the id of the newest event: whoever looks at all domains now goes on after it. "" not known.
    """

    def __init__(self, since: int, oldest: int, snapshot: str = "") -> None:
        lost = f"events since {since} are no longer kept (oldest kept: {oldest})"
        strange = f"there was no event {since} in this journal (oldest kept: {oldest})"
        super().__init__(f"{lost if since < oldest - 1 else strange}: take a snapshot")
        self.since = since
        self.oldest = oldest
        self.snapshot = snapshot


class SubscriptionLagged(EventError):
    """The reader fell behind, and its policy is ``disconnect``.

    Attributes:
        missed: how many events it did not get.
        last: the sequence number of the last event it got (resume with ``since=last``).
    """

    def __init__(self, missed: int, last: int) -> None:
        super().__init__(f"the subscription was disconnected: it fell behind by {missed} events after {last}")
        self.missed = missed
        self.last = last


class EngineClosed(EngineError):
    """The engine is closed, or closing."""

    def __init__(self, what: str = "the engine is closed") -> None:
        super().__init__(what)
