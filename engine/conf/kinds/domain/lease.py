"""``<lease>``: a lock that a domain has to have to run. Source: libvirt's "Domain XML format", Device leases."""

from __future__ import annotations

from typing import Annotated

from engine.conf.kinds.values import UnsignedInt
from engine.conf.nodes.node import Node, Text

__all__ = ["Lease"]


class LeaseTarget(Node):
    """Where the lock manager keeps a lease.

    Attributes:
        offset: of it in that file.
    """

    path: str
    offset: UnsignedInt | None = None


class Lease(Node):
    """A lease of a lock manager: the domain does not start unless it is granted.

    Attributes:
        lockspace: where the key is held.
        key: which lease it is.
        target: where the lock manager keeps it.
    """

    lockspace: Annotated[str, Text]
    key: Annotated[str, Text]
    target: LeaseTarget
