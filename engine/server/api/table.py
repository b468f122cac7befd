"""All routes of the API."""

from __future__ import annotations

from engine.server.api import (
    commands,
    domains,
    events,
    examining,
    hooking,
    host,
    interactive,
    order,
    past,
    session,
    watching,
)
from engine.server.api.routes import Route

__all__ = ["ROUTES"]

ROUTES: tuple[Route, ...] = (
    *session.ROUTES,
    *host.ROUTES,
    *domains.ROUTES,
    *interactive.ROUTES,
    *commands.ROUTES,
    *order.ROUTES,
    *events.ROUTES,
    *watching.ROUTES,
    *past.ROUTES,
    *examining.ROUTES,
    *hooking.ROUTES,
)
