"""Webhooks as the API shows them: only an administrator's file makes them."""

from __future__ import annotations

from engine.server.api.routes import Answer, Call, Route
from engine.server.webhooks.hook import WebhookState

__all__ = ["ROUTES"]


async def list_webhooks(call: Call) -> Answer:
    return Answer(content=call.webhooks.states())


async def retry_webhook(call: Call) -> Answer:
    return Answer(content=call.webhooks.retry(call.path["webhook"]), status=202)


ROUTES = (
    Route(
        method="GET",
        path="/v1/webhooks",
        handler=list_webhooks,
        role="viewer",
        summary="Who is told of events, how far that is, and what could not be told.",
        answers={200: list[WebhookState]},
    ),
    Route(
        method="POST",
        path="/v1/webhooks/{webhook}/retry",
        handler=retry_webhook,
        role="admin",
        summary="Try what waits at once, and dead letters once more; one that was disabled tells again.",
        answers={202: WebhookState},
        faults=(404,),
    ),
)
