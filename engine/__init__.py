"""virengine: an asynchronous, event-driven virtualization engine. These are the public names."""

from engine.abc import ConnectionURI, Discovered, DomainHandle, DomainInfo, Driver, DriverContext, ScopeInfo
from engine.conf import DomainDefinition
from engine.core import Engine
from engine.domain import Domain
from engine.errors import *  # noqa: F403 - the error tree, whole
from engine.errors import __all__ as _errors
from engine.events.types import *  # noqa: F403 - the event types, whole
from engine.events.types import __all__ as _events
from engine.lifecycle import Command, Report, State

__all__ = [
    "Command",
    "ConnectionURI",
    "Discovered",
    "Domain",
    "DomainDefinition",
    "DomainHandle",
    "DomainInfo",
    "Driver",
    "DriverContext",
    "Engine",
    "Report",
    "ScopeInfo",
    "State",
    *_errors,
    *_events,
]
