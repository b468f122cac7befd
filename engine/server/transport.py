"""Bytes between a stream and hypercorn's protocols, on asyncio and on trio.

Of hypercorn the protocols are used (HTTP/1.1, HTTP/2, WebSocket) and not its two servers: that for
trio shields what it sends, so a client that reads nothing holds it up for ever; neither knows who is at the other end
of a UNIX socket, nor bounds how many there are. These names of hypercorn's are used nowhere else.
"""

from __future__ import annotations

import logging
import ssl
from collections import deque
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any, Self

import anyio
import anyio.lowlevel
from anyio import CancelScope
from anyio.abc import ByteStream, TaskGroup
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.protocol.h2 import H2Protocol
from hypercorn.protocol.h11 import H2CProtocolRequiredError, H2ProtocolAssumedError, H11Protocol
from hypercorn.typing import ConnectionState

from engine.server.limits import ServerLimits
from engine.util.unix import UnixStream

__all__ = ["HttpConnections"]

log = logging.getLogger(__name__)

_CHUNK = 65536
_UPGRADES = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
# after so many sends in one go others have their turn
_STREAK = 16
# seconds between two pings, so that whatever stands between knows that a WebSocket is in use
_PING = 20.0


class HttpConnections:
    """Serves connections with one ASGI application.

    Args:
        app: the application; ``state`` of a connection is its ``scope["state"]``.
        ending: from when it is set on nothing more is asked, and what is idle ends.
    """

    def __init__(self, app: Any, limits: ServerLimits, ending: anyio.Event) -> None:
        self._ending = ending
        self._app = ASGIWrapper(app)
        self._limits = limits
        self._config = Config()
        self._config.include_server_header = False
        self._config.h11_max_incomplete_size = limits.header_bytes
        self._config.h2_max_header_list_size = limits.header_bytes
        self._config.websocket_max_message_size = limits.body_bytes
        self._config.websocket_ping_interval = _PING
        self._config.logger_class = _Logger  # type: ignore[assignment]

    async def serve(self, stream: ByteStream, state: dict[str, Any], *, tls: bool = False, alpn: str = "") -> None:
        """Serve one connection until it ends; what it asked for is gone on with. Cancelled, it is cut off.

        Args:
            tls: it comes over TLS; alpn: the protocol that was agreed on there.
        """
        async with stream, _Tasks() as tasks:
            context = _Context()
            connection = _Connection(stream, tasks, self._limits)
            # HTTP/2 is for those who agreed on it over TLS: whoever just begins with it is bound by no idle time
            protocol = (H2Protocol if alpn == "h2" else H11Protocol)(
                self._app,
                self._config,
                context,  # type: ignore[arg-type]
                tasks,  # type: ignore[arg-type]
                ConnectionState(state),
                tls,
                None,
                None,
                connection.send,
            )

            async def end() -> None:
                await self._ending.wait()
                await context.terminated.set()  # whoever has an answer is through
                connection.end_if_idle()

            ends = _SingleTask()
            await ends.restart(tasks, end)
            try:
                await connection.run(protocol)
            finally:
                await ends.stop()
                context.over.set()


class _Connection:
    def __init__(self, stream: ByteStream, tasks: _Tasks, limits: ServerLimits) -> None:
        self._stream, self._tasks, self._limits = stream, tasks, limits
        self._lock = anyio.Lock(fast_acquire=True)
        self._idle = _SingleTask()
        self._scope = anyio.CancelScope()
        self._over = False
        self._streak = 0

    async def run(self, protocol: H2Protocol | H11Protocol) -> None:
        with self._scope:
            await protocol.initiate()
            await self._idle.restart(self._tasks, self._expire)
            try:
                while not _is_through(protocol):
                    await protocol.handle(RawData(await self._stream.receive(_CHUNK)))
            except (H2ProtocolAssumedError, H2CProtocolRequiredError):
                await self._send(_UPGRADES)
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError):
                pass
        with anyio.CancelScope(shield=True), anyio.move_on_after(1):
            await protocol.handle(Closed())
        self._over = True
        await self._idle.stop()
        await self._stream.aclose()

    def end_if_idle(self) -> None:
        if self._idle.running and not (isinstance(self._stream, UnixStream) and self._stream.has_input):
            self._scope.cancel()

    async def send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._send(event.data)
        elif isinstance(event, Closed):
            self._scope.cancel()
        elif isinstance(event, Updated):
            if event.idle and not self._over:  # the application may end after the connection
                await self._idle.restart(self._tasks, self._expire)
            else:
                await self._idle.stop()

    async def _send(self, data: bytes) -> None:
        """Whoever takes nothing for a while is cut off, wherever it was sent from."""
        async with self._lock:
            try:
                if isinstance(self._stream, UnixStream):
                    data = bytes(self._stream.send_now(data))
                    self._streak += 1
                    # there was room, as there is most often: a time limit, and to wait a turn, cost more than that took
                    if not data and self._streak % _STREAK:
                        return
                with anyio.fail_after(self._limits.send_seconds):
                    await self._stream.send(data)
            except (anyio.BrokenResourceError, anyio.ClosedResourceError, ssl.SSLError, TimeoutError):
                self._scope.cancel()
                await anyio.lowlevel.checkpoint()  # an application that does nothing but send must learn of it

    async def _expire(self) -> None:
        """Whoever asks for nothing, or not to the end, is cut off."""
        await anyio.sleep(self._limits.idle_seconds)
        self._scope.cancel()


def _is_through(protocol: H2Protocol | H11Protocol) -> bool:
    """Nothing may be asked any more: of a WebSocket's handshake that makes no sense hypercorn does not tell that."""
    return isinstance(protocol, H11Protocol) and protocol.stream is not None and protocol.stream.closed


# ---------------------------------------------------------------------------- what hypercorn asks of an event loop


class _Event:
    def __init__(self) -> None:
        self._event = anyio.Event()

    async def set(self) -> None:
        self._event.set()

    async def clear(self) -> None:
        if self._event.is_set():
            self._event = anyio.Event()

    async def wait(self) -> None:
        await self._event.wait()

    def is_set(self) -> bool:
        return self._event.is_set()


class _SingleTask:
    def __init__(self) -> None:
        self._scope: CancelScope | None = None

    @property
    def running(self) -> bool:
        return self._scope is not None

    async def restart(self, tasks: _Tasks, action: Callable[[], Awaitable[None]]) -> None:
        await self.stop()
        self._scope = scope = anyio.CancelScope()
        tasks.spawn(self._run, scope, action)

    async def stop(self) -> None:
        if self._scope is not None:
            self._scope.cancel()
            self._scope = None

    async def _run(self, scope: CancelScope, action: Callable[[], Awaitable[None]]) -> None:
        with scope:
            await action()


class _Context:
    """Of one connection."""

    event_class = _Event
    single_task_class = _SingleTask

    def __init__(self) -> None:
        self.terminate = _Event()
        self.terminated = _Event()
        self.over = anyio.Event()

    async def mark_request(self) -> None:
        pass

    async def sleep(self, wait: float) -> None:
        """Nobody sleeps on when the connection is over."""
        with anyio.move_on_after(wait):
            await self.over.wait()

    @staticmethod
    def time() -> float:
        return anyio.current_time()


class _Tasks:
    """The tasks of one connection; the application's run in these."""

    def __init__(self) -> None:
        self._group: TaskGroup = anyio.create_task_group()

    async def __aenter__(self) -> Self:
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> bool | None:
        return await self._group.__aexit__(exc_type, exc, traceback)

    def spawn(self, function: Callable[..., Any], *args: Any) -> None:
        self._group.start_soon(function, *args)

    async def spawn_app(
        self, app: ASGIWrapper, config: Config, scope: Any, send: Any
    ) -> Callable[[Any], Awaitable[None]]:
        messages = _Messages(config.max_app_queue_size)
        self.spawn(_run_app, app, scope, messages, send)
        return messages.put


class _Messages:
    """What an application has still to receive, a bounded number."""

    def __init__(self, bound: int) -> None:
        self._queue: deque[Any] = deque()
        self._bound = bound
        self._changed = anyio.Event()
        self._closed = False

    async def put(self, message: Any) -> None:
        """Wait for room; none is needed once the application has ended, nor to tell that the other side has gone.

        That is told at once: the connection may be just about to be cut off, and it would never be told again.
        """
        while len(self._queue) >= self._bound and not self._closed and not message["type"].endswith(".disconnect"):
            await self._changed.wait()
        self._queue.append(message)
        self._wake()

    async def get(self) -> Any:
        await anyio.lowlevel.checkpoint()
        while not self._queue:
            await self._changed.wait()
        message = self._queue.popleft()
        self._wake()
        return message

    def close(self) -> None:
        self._closed = True
        self._queue.clear()
        self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = anyio.Event()


async def _run_app(app: ASGIWrapper, scope: Any, messages: _Messages, send: Any) -> None:
    try:
        await app(scope, messages.get, send, None, None)  # type: ignore[arg-type]
    except Exception:  # the boundary: one request must not end the server
        log.exception("a request failed: %s %s", scope.get("method", scope["type"]), scope.get("path"))
    messages.close()
    await send(None)


class _Logger:
    """hypercorn's own words, which nobody asked for."""

    def __init__(self, config: Config) -> None:
        pass

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        return self._ignore

    async def _ignore(self, *args: Any, **options: Any) -> None:
        pass
