"""Requests that may be sent again: with an ``Idempotency-Key`` a command is carried out once.

Source: the IETF draft "The Idempotency-Key HTTP Header Field".
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import msgspec

from engine.errors import EngineError
from engine.server.problems import Fault

__all__ = ["Replays"]

# keys that are remembered, and for how many seconds
_MOST = 10_000
_SECONDS = 24 * 3600.0
_LONGEST = 255


class _Replay(msgspec.Struct):
    request: bytes  # its digest: there may be a document in it
    at: float
    done: anyio.Event
    answer: Any = None
    error: Exception | None = None


class Replays:
    """Remembers what requests were answered with."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], _Replay] = OrderedDict()

    async def once(self, peer: str, key: str, request: bytes, work: Callable[[], Awaitable[Any]]) -> Any:
        """What ``work`` gives or raises, which is done only the first time.

        Args:
            request: what is asked for; another one with the same key is refused.

        Raises:
            Fault: the key is none, or was used for something else.
        """
        if not 0 < len(key) <= _LONGEST or not key.isascii():
            raise Fault(400, "Bad request", f"an Idempotency-Key has 1 to {_LONGEST} characters of ASCII")
        self._forget()
        request = hashlib.sha256(request).digest()
        known = self._known.get((peer, key))
        if known is not None:
            if known.request != request:
                raise Fault(422, "Unprocessable content", "this Idempotency-Key was used for another request")
            await known.done.wait()
            if known.error is not None:
                raise known.error
            return known.answer
        replay = self._known[peer, key] = _Replay(request, anyio.current_time(), anyio.Event())
        try:
            replay.answer = await work()
        except (EngineError, Fault) as exc:
            replay.error = exc
            raise
        except BaseException:
            del self._known[peer, key]  # nobody knows what became of it: it may be tried again
            replay.error = Fault(409, "Conflict", "the first request with this Idempotency-Key came to no end")
            raise
        finally:
            replay.done.set()
        return replay.answer

    def _forget(self) -> None:
        now = anyio.current_time()
        while self._known:
            key, oldest = next(iter(self._known.items()))
            if len(self._known) < _MOST and now - oldest.at < _SECONDS:
                return
            if not oldest.done.is_set():  # it goes on: it is looked at again when it has come to its end
                self._known.move_to_end(key)
                oldest.at = now
                return
            del self._known[key]
