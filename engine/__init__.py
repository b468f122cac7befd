"""virengine: an asynchronous, event-driven virtualization engine. These are the public names.

Each is imported when it is first asked for (PEP 562), since ``virengine list`` needs few of them.
"""

TYPE_CHECKING = False  # for type checkers it is true; typing's own takes longer to import than all that is here

if TYPE_CHECKING:
    from engine.abc import ConnectionURI, Discovered, DomainHandle, DomainInfo, Driver, DriverContext, ScopeInfo
    from engine.conf import DomainDefinition
    from engine.core import Engine
    from engine.domain import Domain
    from engine.errors import (
        AgentError,
        AgentUnresponsive,
        Busy,
        CommandTimeout,
        ConfigError,
        ConnectionBroken,
        CycleError,
        DBusError,
        DependencyFailed,
        DomainExists,
        DriverError,
        EngineClosed,
        EngineError,
        EventError,
        GateFailed,
        HostError,
        InvalidDocument,
        InvalidState,
        MissingProgram,
        NoSuchConnection,
        NoSuchDomain,
        NoSuchDriver,
        NoSuchOperation,
        NoSuchWebhook,
        NotAllowed,
        NotFound,
        NotSupported,
        OperationAborted,
        OperationInvalid,
        OrderError,
        ResyncRequired,
        ScopeError,
        StartFailed,
        StateDirLocked,
        StoreError,
        SubscriptionLagged,
        UnknownDomain,
        UnsupportedConfig,
    )
    from engine.events.types import (
        AgentConnected,
        AgentDisconnected,
        AutostartChanged,
        CommandFailed,
        ConnectionClosed,
        ConnectionOpened,
        DomainAdopted,
        DomainBlockIOError,
        DomainCrashed,
        DomainDefined,
        DomainEvent,
        DomainNotReady,
        DomainPMSuspended,
        DomainReady,
        DomainRebooted,
        DomainResumed,
        DomainShuttingDown,
        DomainSnapshot,
        DomainStarted,
        DomainStopFailed,
        DomainStopped,
        DomainStopTried,
        DomainSuspended,
        DomainUndefined,
        Event,
        Gap,
        JournalBegun,
        LifecycleEvent,
        PlanFinished,
        PlanStarted,
        ScopeCreated,
        ScopeFailed,
        SnapshotComplete,
    )
    from engine.lifecycle import Command, Report, State

__all__ = [
    "AgentConnected",
    "AgentDisconnected",
    "AgentError",
    "AgentUnresponsive",
    "AutostartChanged",
    "Busy",
    "Command",
    "CommandFailed",
    "CommandTimeout",
    "ConfigError",
    "ConnectionBroken",
    "ConnectionClosed",
    "ConnectionOpened",
    "ConnectionURI",
    "CycleError",
    "DBusError",
    "DependencyFailed",
    "Discovered",
    "Domain",
    "DomainAdopted",
    "DomainBlockIOError",
    "DomainCrashed",
    "DomainDefined",
    "DomainDefinition",
    "DomainEvent",
    "DomainExists",
    "DomainHandle",
    "DomainInfo",
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
    "Driver",
    "DriverContext",
    "DriverError",
    "Engine",
    "EngineClosed",
    "EngineError",
    "Event",
    "EventError",
    "Gap",
    "GateFailed",
    "HostError",
    "InvalidDocument",
    "InvalidState",
    "JournalBegun",
    "LifecycleEvent",
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
    "PlanFinished",
    "PlanStarted",
    "Report",
    "ResyncRequired",
    "ScopeCreated",
    "ScopeError",
    "ScopeFailed",
    "ScopeInfo",
    "SnapshotComplete",
    "StartFailed",
    "State",
    "StateDirLocked",
    "StoreError",
    "SubscriptionLagged",
    "UnknownDomain",
    "UnsupportedConfig",
]

# where they are, the ones first that import the least
_MODULES = ("errors", "lifecycle", "conf", "events.types", "abc", "domain", "core")


def __getattr__(name: str) -> object:
    if name in __all__:
        from importlib import import_module

        for path in _MODULES:
            module = import_module(f"engine.{path}")
            if name in module.__all__:
                value: object = getattr(module, name)
                globals()[name] = value
                return value
    raise AttributeError(f"module 'engine' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
