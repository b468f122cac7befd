"""XML text to definitions and back. Pure: no I/O.

The declarations of all that libvirt's documents hold take a moment to import, so their names are imported when they
are first asked for (PEP 562).
"""

from importlib import import_module
from typing import TYPE_CHECKING

from engine.conf.domain import DomainDefinition, parse_domain
from engine.conf.order import DEFAULT_LADDER, Edge, Gate, Order, StopStep

if TYPE_CHECKING:
    from engine.conf.abi import abi_differences
    from engine.conf.defaults.capabilities import Capabilities, present_qemu
    from engine.conf.defaults.complete import complete
    from engine.conf.document import Limits
    from engine.conf.documents import Difference, diff, format, parse, validate
    from engine.conf.nodes.node import Definition, Node
    from engine.errors import Problem

__all__ = [
    "DEFAULT_LADDER",
    "Capabilities",
    "Definition",
    "Difference",
    "DomainDefinition",
    "Edge",
    "Gate",
    "Limits",
    "Node",
    "Order",
    "Problem",
    "StopStep",
    "abi_differences",
    "complete",
    "diff",
    "format",
    "parse",
    "parse_domain",
    "present_qemu",
    "validate",
]

_MODULES = {
    "Capabilities": "engine.conf.defaults.capabilities",
    "Definition": "engine.conf.nodes.node",
    "Difference": "engine.conf.documents",
    "Limits": "engine.conf.document",
    "Node": "engine.conf.nodes.node",
    "Problem": "engine.errors",
    "abi_differences": "engine.conf.abi",
    "complete": "engine.conf.defaults.complete",
    "diff": "engine.conf.documents",
    "format": "engine.conf.documents",
    "parse": "engine.conf.documents",
    "present_qemu": "engine.conf.defaults.capabilities",
    "validate": "engine.conf.documents",
}


def __getattr__(name: str) -> object:
    if name in _MODULES:
        value: object = getattr(import_module(_MODULES[name]), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'engine.conf' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
