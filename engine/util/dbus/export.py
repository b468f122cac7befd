"""Objects of our own on a bus: who serves which call, and what the others are told."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from engine.errors import Busy, ConnectionBroken, DBusError
from engine.util.dbus.message import Errors, Flags, Message

__all__ = ["Exports", "Handler", "Return"]

Return = tuple[str, Sequence[Any]]
"""A signature and the values for it."""
Handler = Callable[[Message], Awaitable[Return | None]]
"""Serves one call: gives what to reply (None: nothing in it), or raises ``DBusError`` to reply with that."""

PEER = "org.freedesktop.DBus.Peer"
MAX_SERVED = 64
"""Calls served at once; more are refused with ``LimitsExceeded``."""

_log = logging.getLogger(__name__)


class Exports:
    """The table of handlers, and the number of calls under way."""

    def __init__(self, send: Callable[[Message], Awaitable[None]]) -> None:
        self._send = send
        self._handlers: dict[tuple[str, str], Handler] = {}
        self._served = 0

    @asynccontextmanager
    async def add(self, path: str, interface: str, handler: Handler) -> AsyncIterator[None]:
        key = (path, interface)
        if key in self._handlers:
            raise Busy(f"{interface} at {path} is served already")
        self._handlers[key] = handler
        try:
            await checkpoint()
            yield
        finally:
            del self._handlers[key]

    async def take(self, call: Message, group: TaskGroup) -> None:
        """Start to serve a call that came, or refuse it and wait until that has left. Raises ``ConnectionBroken``."""
        handler = self._find(call)
        if handler is not None and self._served < MAX_SERVED:
            self._served += 1
            group.start_soon(self._serve, call, handler)
        elif handler is not None:
            await self._refuse(call, Errors.LIMITS_EXCEEDED, f"{MAX_SERVED} calls are being served already")
        elif call.interface == PEER and call.member == "Ping":
            await self._answer(call, Message.reply_to(call))
        else:
            text = f"no method {call.member} of {call.interface or 'any interface'} at {call.path}"
            await self._refuse(call, Errors.UNKNOWN_METHOD, text)

    def _find(self, call: Message) -> Handler | None:
        if call.interface is not None:
            return self._handlers.get((call.path or "", call.interface))
        found = [handler for (path, _), handler in self._handlers.items() if path == call.path]
        return (
            found[0] if len(found) == 1 else None
        )  # a call may leave out the interface, if it is plain which is meant

    async def _serve(self, call: Message, handler: Handler) -> None:
        try:
            try:
                signature, body = await self._result(call, handler)
                await self._answer(call, Message.reply_to(call, signature, body))
            except DBusError as exc:
                await self._refuse(call, exc.name, exc.message)
        except ConnectionBroken as exc:
            _log.debug("no reply to %s of %s: %s", call.member, call.sender, exc)
        finally:
            self._served -= 1
            call.close()

    async def _result(self, call: Message, handler: Handler) -> Return:
        try:
            signature, body = await handler(call) or ("", ())
            return signature, tuple(body)
        except DBusError:
            raise
        except Exception as exc:
            _log.exception("serving %s of %s failed", call.member, call.sender)
            raise DBusError(Errors.FAILED, "internal error") from exc

    async def _refuse(self, call: Message, name: str, text: str) -> None:
        call.close()
        try:
            await self._answer(call, Message.error_to(call, name, text))
        except DBusError as exc:  # not even the error can be put into a message: a name or text of the handler's
            _log.debug("%s can't be replied: %s", name, exc)
            await self._answer(call, Message.error_to(call, Errors.FAILED, "internal error"))

    async def _answer(self, call: Message, reply: Message) -> None:
        if not call.flags & Flags.NO_REPLY_EXPECTED:
            await self._send(reply)
