"""The other side: the engine behind a service, with the face of the engine itself."""

from __future__ import annotations

from engine.server.client.remote import RemoteDomain, RemoteEngine, connect, error_of, is_absent

__all__ = ["RemoteDomain", "RemoteEngine", "connect", "error_of", "is_absent"]
