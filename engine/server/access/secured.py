"""TLS, and who a client's certificate says it is. Source: RFC 8446; Python's ssl."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

import anyio
import msgspec
from anyio.abc import ByteStream
from anyio.streams.tls import TLSAttribute, TLSStream

from engine.server.access.peers import Peer

__all__ = ["secure"]


async def secure(
    stream: ByteStream, context: ssl.SSLContext, peer: Peer, seconds: float
) -> tuple[TLSStream, Peer, str] | None:
    """The stream inside of TLS, who it is, and the protocol that was agreed on; None: that came to nothing.

    Args:
        seconds: that the handshake may take.
    """
    with anyio.move_on_after(seconds):
        try:
            inner = await TLSStream.wrap(stream, server_side=True, ssl_context=context, standard_compatible=False)
        except (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream, OSError):
            return None  # nobody who would understand what could be said
        found = inner.extra_attributes
        name = _common_name(found[TLSAttribute.peer_certificate]() or {})
        known = msgspec.structs.replace(peer, name=f"certificate:{name}") if name else peer
        return inner, known, found[TLSAttribute.alpn_protocol]() or ""
    return None


def _common_name(certificate: Mapping[str, Any]) -> str:
    for part in certificate.get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return ""
