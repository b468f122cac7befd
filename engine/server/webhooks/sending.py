"""One delivery: a CloudEvent by HTTP, signed.

Sources: CloudEvents 1.0.2, "HTTP Protocol Binding", structured content mode; the Standard Webhooks specification 1.0.0
(headers, signature, 410, Retry-After).
"""

from __future__ import annotations

import base64
import hmac
import ssl
import time
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import NamedTuple, Self

import anyio
import httpx2
import msgspec

from engine.events.encoding import to_cloudevent
from engine.events.types import Event
from engine.server.webhooks.settings import Webhook

__all__ = ["Outcome", "Sender", "signature"]

MEDIA_TYPE = "application/cloudevents+json; charset=utf-8"
_GONE = 410
# of an answer, so that the connection is used again: bytes; of an error: characters
_MOST_READ = 64 * 1024
_MOST_TOLD = 200
# seconds: whoever asks for more is asked again all the same
_LONGEST_PAUSE = 3600.0


class Outcome(NamedTuple):
    """What became of a delivery.

    Attributes:
        error: why it failed, "" it did not. gone: nobody wants any more. pause: seconds the receiver asks for.
    """

    error: str = ""
    gone: bool = False
    pause: float = 0.0


def signature(secret: bytes, id: str, timestamp: int, body: bytes) -> str:
    signed = f"{id}.{timestamp}.".encode() + body
    return f"v1,{base64.b64encode(hmac.digest(secret, signed, 'sha256')).decode()}"


class Sender:
    """Delivers to one receiver.

    It is a transport rather than a client, which would follow the environment's proxies and ``.netrc``, keep cookies,
    and log the URL.
    """

    def __init__(self, webhook: Webhook, secret: bytes, trust: ssl.SSLContext) -> None:
        self._webhook, self._secret = webhook, secret
        limits = httpx2.Limits(max_connections=webhook.at_once, max_keepalive_connections=webhook.at_once)
        self._transport = httpx2.AsyncHTTPTransport(verify=trust, limits=limits, trust_env=False)

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await self._transport.aclose()

    async def send(self, event: Event) -> Outcome:
        """Deliver it once. Raises nothing but cancellation."""
        told = to_cloudevent(event)
        body, now = msgspec.json.encode(told), int(time.time())
        headers = {
            "content-type": MEDIA_TYPE,
            "user-agent": "virengine",
            "webhook-id": told["id"],
            "webhook-timestamp": str(now),
            "webhook-signature": signature(self._secret, told["id"], now, body),
        }
        with anyio.move_on_after(self._webhook.timeout):
            try:
                return await self._post(httpx2.Request("POST", self._webhook.url, headers=headers, content=body))
            except (httpx2.TransportError, httpx2.InvalidURL, OSError) as exc:
                return Outcome(error=_words(exc)[:_MOST_TOLD])
        return Outcome(error=f"no answer within {self._webhook.timeout:g} s")

    async def _post(self, request: httpx2.Request) -> Outcome:
        answer = await self._transport.handle_async_request(request)
        try:
            length = answer.headers.get("content-length", "")
            if length.isdigit() and int(length) <= _MOST_READ:
                await answer.aread()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await answer.aclose()
        if answer.is_success:
            return Outcome()
        more = ", a redirection, which is not followed" if answer.is_redirect else ""
        pause = _seconds(answer.headers.get("retry-after", ""))
        return Outcome(error=f"answered {answer.status_code}{more}", gone=answer.status_code == _GONE, pause=pause)


def _words(exc: BaseException) -> str:
    """The innermost that says something: what the operating system, or TLS, had to say."""
    found: BaseException | None = exc
    while found is not None:
        exc = found if str(found) else exc
        found = found.__cause__ or found.__context__
    return f"{type(exc).__name__}: {exc}"


def _seconds(text: str) -> float:
    """Of a ``Retry-After``: seconds, or a date (RFC 9110)."""
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST_PAUSE)
    try:
        return min(max(0.0, parsedate_to_datetime(text).timestamp() - time.time()), _LONGEST_PAUSE)
    except (TypeError, ValueError, OverflowError):
        return 0.0
