"""What one client may ask of the server, so that it stays there for the others."""

from __future__ import annotations

import msgspec

__all__ = ["ServerLimits"]


class ServerLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds of the server.

    Attributes:
        body_bytes: of a request. header_bytes: of all its headers. body_seconds: that it may take to arrive.
        idle_seconds: without a request, or for its headers to arrive; send_seconds: without taking what it is sent.
        connections: at once; connections_each: of one user or address. subscriptions_each: the same of event streams.
        operations: that are remembered after they ended.
        grace_seconds: that what was asked for has left, when the server ends.
    """

    body_bytes: int = 16 * 1024 * 1024
    header_bytes: int = 64 * 1024
    body_seconds: float = 30.0
    idle_seconds: float = 60.0
    send_seconds: float = 30.0
    connections: int = 2048
    connections_each: int = 1024
    subscriptions_each: int = 256
    operations: int = 1000
    grace_seconds: float = 5.0
