"""XML text to definitions and back. Pure: no I/O."""

from engine.conf.domain import DomainDefinition, parse_domain
from engine.conf.order import DEFAULT_LADDER, Edge, Gate, Order, StopStep

__all__ = ["DEFAULT_LADDER", "DomainDefinition", "Edge", "Gate", "Order", "StopStep", "parse_domain"]
