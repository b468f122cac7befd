"""virengine: an asynchronous, event-driven virtualization engine. These are the public names."""

from engine.abc import (
    ConnectionURI,
    Discovered,
    DomainHandle,
    DomainInfo,
    Driver,
    DriverContext,
    ScopeInfo,
)
from engine.lifecycle import Command, Report, State

__all__ = [
    "Command",
    "ConnectionURI",
    "Discovered",
    "DomainHandle",
    "DomainInfo",
    "Driver",
    "DriverContext",
    "Report",
    "ScopeInfo",
    "State",
]
