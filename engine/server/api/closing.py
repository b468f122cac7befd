"""Why a WebSocket is closed. Source: RFC 6455, section 7.4; from 4000 on the codes are our own."""

from __future__ import annotations

__all__ = ["DONE", "ENDING", "FAILED", "NOT_ALLOWED", "TAKEN"]

DONE, ENDING, NOT_ALLOWED, FAILED, TAKEN = 1000, 1001, 1008, 1011, 4001
