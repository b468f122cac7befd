"""A client of a message bus: calls, signals, names, and objects of its own, over one connection."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Any, Self

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup
from anyio.lowlevel import checkpoint

from engine.errors import Busy, CommandTimeout, ConnectionBroken, DBusError
from engine.util.dbus.address import find_bus
from engine.util.dbus.connection import Connection, Parcel
from engine.util.dbus.export import Exports, Handler
from engine.util.dbus.message import Errors, Flags, MatchRule, Message, MessageType, unwrap
from engine.util.dbus.protocol import Protocol
from engine.util.dbus.subscription import NameWatch, Overflow, SignalSubscription

__all__ = ["Bus", "open_bus"]

DAEMON = "org.freedesktop.DBus"
DAEMON_PATH = "/org/freedesktop/DBus"
PROPERTIES = "org.freedesktop.DBus.Properties"

_LARGE = 1024 * 1024
"""Bytes of a message that is decoded in a thread, because it would hold up the loop."""

_log = logging.getLogger(__name__)


def open_bus(which: str, *, timeout: float | None = 30.0) -> Bus:
    """``async with open_bus(which) as bus``: a client of ``"system"``, ``"session"`` or the bus at an address.

    The addresses are tried in turn, each for ``timeout`` seconds at the most.

    Raises:
        ConfigError: it is no address, or no session bus is known.
        ConnectionBroken: on entering, if no bus can be reached there, with the reason for each address.
    """
    return Bus(which, timeout=timeout)


class Bus:
    """One connection to a bus. Get it from ``open_bus``.

    When the bus goes, all that waits raises ``ConnectionBroken`` at once, and so does whatever is asked afterwards; the
    body of the ``async with`` goes on. A connection that broke stays broken: open another.

    Attributes:
        unique_name: ours, e.g. ``:1.42``.
        guid: the bus's identity, the same for as long as it runs.
    """

    def __init__(self, which: str, *, timeout: float | None) -> None:
        self._addresses = find_bus(which)
        self._timeout = timeout
        self._stack = AsyncExitStack()
        self._protocol: Protocol
        self._connection: Connection
        self._group: TaskGroup
        self._running: anyio.CancelScope
        self._pending: dict[int, _Pending] = {}
        self._subscriptions: dict[SignalSubscription, NameWatch | None] = {}
        self._watches: set[NameWatch] = set()
        self._names: set[str] = set()
        self._exports = Exports(self._send)
        self._broken: str | None = None
        self._gone = anyio.Event()
        self.unique_name = ""
        self.guid = ""

    # ------------------------------------------------------------------------ its life

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._connection = await self._connect()
            stack.callback(self._connection.close)
            self._protocol = Protocol()
            stack.callback(self._protocol.close)
            self._running = anyio.CancelScope()
            self._group = anyio.create_task_group()
            await self._group.__aenter__()
            stack.push_async_callback(self._stop)
            self._group.start_soon(self._run)
            try:
                (self.unique_name,) = map(str, await self._ask_daemon("Hello", timeout=self._timeout))
            except (CommandTimeout, DBusError, ValueError) as exc:
                raise ConnectionBroken(f"the bus does not take us on: {exc}") from exc
            self.guid = self._connection.guid
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up, and end all that is served. May be called twice."""
        await self._stack.aclose()

    async def _stop(self) -> None:
        # The group never learns of an error in the body of the ``async with``, so that comes out as it was raised and
        # not inside an ExceptionGroup; the group's own tasks raise none.
        self._fail("the connection was closed")
        self._group.cancel_scope.cancel()
        await self._group.__aexit__(None, None, None)

    async def _run(self) -> None:
        """All that runs beside the body. In a scope of its own: when the bus goes they end, and the body goes on."""
        with self._running:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._read, tasks)
                tasks.start_soon(self._write)

    async def _write(self) -> None:
        await self._connection.run_writer()
        self._fail(self._connection.broken or "")

    async def _connect(self) -> Connection:
        failures = []
        for address in self._addresses:
            try:
                with anyio.fail_after(self._timeout):
                    return await Connection.open(address)
            except TimeoutError:
                failures.append(f"{address}: no answer within {self._timeout:g} s")
            except ConnectionBroken as exc:
                failures.append(f"{address}: {exc}")
        raise ConnectionBroken("can't connect to the bus: " + "; ".join(failures))

    async def wait_broken(self) -> str:
        """Wait until the connection is of no use any more, and tell why."""
        await self._gone.wait()
        return self._broken or ""

    def _fail(self, why: str) -> None:
        if self._broken is not None:
            return
        self._broken = why
        self._connection.fail(why)
        self._running.cancel()
        for pending in self._pending.values():
            pending.answered.set()
        for source in (*self._subscriptions, *self._watches):
            source.break_off(why)
        self._gone.set()

    # ------------------------------------------------------------------------ calls

    async def call(
        self,
        destination: str | None,
        path: str,
        interface: str | None,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        timeout: float | None = None,
        no_auto_start: bool = False,
        interactive: bool = False,
    ) -> tuple[Any, ...]:
        """Call a method and wait for what it returns: the values of the reply's body (types: see ``Message``).

        Descriptors are passed as ints (type ``h``), and stay the caller's; those in the reply are ``UnixFd``.
        Cancelled at any time, the connection stays as good as it was, and a late reply is dropped; the service may
        have done what it was asked. ``timeout`` is in seconds; ``interactive`` lets polkit ask a person.

        Raises:
            DBusError: the bus or the service answered so; with ``InvalidArgs`` also if the body does not fit the
                signature or a name is malformed, and nothing was sent then.
            CommandTimeout: no answer in time.
            ConnectionBroken: the bus is gone; whether the call was served is unknown.
        """
        flags = Flags.NO_AUTO_START if no_auto_start else Flags.NONE
        if interactive:
            flags |= Flags.ALLOW_INTERACTIVE_AUTHORIZATION
        message = _method_call(destination, path, interface, member, signature, body, flags)
        if timeout is None:
            return await self._call(message)
        try:
            with anyio.fail_after(timeout):
                return await self._call(message)
        except TimeoutError as exc:
            raise CommandTimeout(f"{member} of {destination}", timeout) from exc

    async def _call(self, message: Message, pending: _Pending | None = None) -> tuple[Any, ...]:
        self._check()
        serial = self._next_serial()
        data, fds = self._protocol.send(message, serial)
        pending = self._pending[serial] = pending or _Pending()
        try:
            pending.parcel = self._connection.post(data, fds)
            pending.posted = True
            if pending.parcel is not None:
                await self._connection.wait_sent(pending.parcel)
            await pending.answered.wait()
        finally:
            del self._pending[serial]
        reply = pending.reply
        if reply is None:
            raise ConnectionBroken(self._broken or "")
        if reply.type is MessageType.ERROR:
            text = reply.body[0] if reply.body and isinstance(reply.body[0], str) else ""
            raise DBusError(reply.error_name or Errors.FAILED, text)
        return reply.body

    def _next_serial(self) -> int:
        while (serial := self._protocol.next_serial()) in self._pending:
            pass
        return serial

    def _check(self) -> None:
        if self._broken is not None:
            raise ConnectionBroken(self._broken)

    async def _ask_daemon(
        self, member: str, signature: str = "", body: Sequence[Any] = (), *, timeout: float | None = None
    ) -> tuple[Any, ...]:
        """Call the bus itself."""
        return await self.call(DAEMON, DAEMON_PATH, DAEMON, member, signature, body, timeout=timeout)

    async def get_property(
        self, destination: str, path: str, interface: str, name: str, *, timeout: float | None = None
    ) -> Any:
        """A property's value, with no variant left in it. Raises as ``call`` does."""
        body = await self.call(destination, path, PROPERTIES, "Get", "ss", (interface, name), timeout=timeout)
        return unwrap(body[0]) if body else None

    async def get_properties(
        self, destination: str, path: str, interface: str, *, timeout: float | None = None
    ) -> dict[str, Any]:
        """All properties of an interface, with no variant left in them. Raises as ``call`` does."""
        body = await self.call(destination, path, PROPERTIES, "GetAll", "s", (interface,), timeout=timeout)
        return dict(unwrap(body[0])) if body else {}

    async def emit(
        self,
        path: str,
        interface: str,
        member: str,
        signature: str = "",
        body: Sequence[Any] = (),
        *,
        destination: str | None = None,
    ) -> None:
        """Send a signal, to all who asked for it or to one. Raises as ``call`` does."""
        await checkpoint()
        await self._send(
            Message(
                type=MessageType.SIGNAL,
                destination=destination,
                path=path,
                interface=interface,
                member=member,
                signature=signature,
                body=tuple(body),
            )
        )

    async def _send(self, message: Message) -> None:
        self._check()
        await self._connection.send(*self._protocol.send(message, self._next_serial()))

    # ------------------------------------------------------------------------ names

    async def name_has_owner(self, name: str) -> bool:
        """Whether someone has this name now."""
        return bool((await self._ask_daemon("NameHasOwner", "s", (name,)))[0])

    @asynccontextmanager
    async def own_name(self, name: str) -> AsyncIterator[None]:
        """Hold a well-known name. Raises ``Busy`` if another has it."""
        if name in self._names:
            raise Busy(f"the bus name {name} is held by this connection already")
        do_not_queue, primary_owner = 4, 1
        pending = _Pending()
        self._names.add(name)
        try:
            request = _daemon_call("RequestName", "su", (name, do_not_queue))
            if await self._call(request, pending) != (primary_owner,):
                raise Busy(f"the bus name {name} is taken")
            yield
        finally:
            self._names.discard(name)
            self._undo(pending, "ReleaseName", name)

    @asynccontextmanager
    async def watch_name(self, name: str) -> AsyncIterator[NameWatch]:
        """Follow who owns a name: the owner now is known on entering; iterate for each change (see ``NameWatch``)."""
        watch = NameWatch(name)
        rule = MatchRule(sender=DAEMON, interface=DAEMON, member="NameOwnerChanged", args=((0, name),))
        self._check()
        self._watches.add(watch)
        try:
            async with self._match(rule):
                await self._find_owner(watch)
                yield watch
        finally:
            self._watches.discard(watch)
            watch.end()

    async def _find_owner(self, watch: NameWatch) -> None:
        def learn(reply: Message) -> None:
            # In the reader, before any signal that follows: a change that comes right after it must not be undone.
            if reply.type is MessageType.METHOD_RETURN:
                watch.set_owner(reply.body[0] if reply.body else None)
            elif reply.error_name == Errors.NAME_HAS_NO_OWNER:
                watch.set_owner(None)

        try:
            await self._call(_daemon_call("GetNameOwner", "s", (watch.name,)), _Pending(learn))
        except DBusError as exc:
            if exc.name != Errors.NAME_HAS_NO_OWNER:
                raise

    # ------------------------------------------------------------------------ signals

    @asynccontextmanager
    async def subscribe(
        self, rule: MatchRule, *, bound: int = 1024, overflow: Overflow = "drop_oldest"
    ) -> AsyncIterator[SignalSubscription]:
        """Receive the signals that fit the rule, from the moment this is entered (see ``SignalSubscription``).

        ``bound`` is how many may wait to be read. ``overflow`` says what happens to one more: ``drop_oldest`` makes
        room and counts what was lost, ``disconnect`` ends the subscription with ``SubscriptionLagged``.
        """
        subscription = SignalSubscription(rule, bound, overflow)
        async with AsyncExitStack() as stack:
            watch = None
            if rule.sender is not None and not rule.sender.startswith(":") and rule.sender != DAEMON:
                watch = await stack.enter_async_context(self.watch_name(rule.sender))
            self._check()
            self._subscriptions[subscription] = watch
            try:
                async with self._match(rule):
                    yield subscription
            finally:
                del self._subscriptions[subscription]
                subscription.end()

    @asynccontextmanager
    async def _match(self, rule: MatchRule) -> AsyncIterator[None]:
        """Have the daemon send us what fits. The daemon counts equal rules, so each may come and go by itself."""
        pending = _Pending()
        try:
            await self._call(_daemon_call("AddMatch", "s", (str(rule),)), pending)
            yield
        finally:
            self._undo(pending, "RemoveMatch", str(rule))

    def _undo(self, done: _Pending, member: str, text: str) -> None:
        """Take back a request to the daemon that it granted, or may have: the wait for its answer was cancelled.

        Without waiting for an answer, because this happens while leaving, where a wait could be cancelled too.
        """
        refused = done.reply is not None and done.reply.type is MessageType.ERROR
        if self._broken is None and done.left and not refused:
            message = _daemon_call(member, "s", (text,), Flags.NO_REPLY_EXPECTED)
            try:
                self._connection.post(*self._protocol.send(message, self._next_serial()))
            except ConnectionBroken as exc:
                _log.debug("%s was not sent: %s", member, exc)

    # ------------------------------------------------------------------------ objects of our own

    def export(self, path: str, interface: str, handler: Handler) -> AbstractAsyncContextManager[None]:
        """Serve the calls to an interface of an object, each in a task of its own, 64 at once at the most.

        ``handler`` looks at ``member``; for one that it does not know it raises ``DBusError(Errors.UNKNOWN_METHOD)``.
        Any error but ``DBusError`` is logged, and replied to as ``Failed`` without a word of it. Leaving takes no new
        calls; those under way are ended with the connection. Raises ``Busy`` on entering if it is served already.
        """
        return self._exports.add(path, interface, handler)

    # ------------------------------------------------------------------------ what comes

    async def _read(self, tasks: TaskGroup) -> None:
        try:
            while True:
                while (message := await self._next_message()) is not None:
                    await self._dispatch(message, tasks)
                data, fds = await self._connection.receive(self._protocol.missing)
                self._protocol.receive(data, fds)
        except ConnectionBroken as exc:
            self._fail(str(exc))

    async def _next_message(self) -> Message | None:
        if self._protocol.frame_size > _LARGE and not self._protocol.missing:
            return await to_thread.run_sync(self._protocol.next_message)
        return self._protocol.next_message()

    async def _dispatch(self, message: Message, tasks: TaskGroup) -> None:
        match message.type:
            case MessageType.METHOD_RETURN | MessageType.ERROR:
                self._take_reply(message)
            case MessageType.SIGNAL:
                self._take_signal(message)
            case MessageType.METHOD_CALL:
                await self._exports.take(message, tasks)

    def _take_reply(self, reply: Message) -> None:
        pending = self._pending.get(reply.reply_serial or 0)
        if pending is None or pending.answered.is_set():
            return reply.close()  # too late: whoever asked was cancelled
        if pending.on_reply is not None:
            pending.on_reply(reply)
        pending.reply = reply
        pending.answered.set()
        return None

    def _take_signal(self, signal: Message) -> None:
        if signal.member == "NameOwnerChanged" and signal.sender == DAEMON and len(signal.body) == 3:
            for watch in self._watches:
                if watch.name == signal.body[0]:
                    watch.set_owner(signal.body[2] or None)
        for subscription, owner in self._subscriptions.items():
            subscription.offer(signal, subscription.rule.sender if owner is None else owner.owner)


class _Pending:
    """A call that waits for its reply. ``on_reply`` runs in the reader, before any later message is looked at."""

    __slots__ = ("answered", "on_reply", "parcel", "posted", "reply")

    def __init__(self, on_reply: Callable[[Message], None] | None = None) -> None:
        self.answered = anyio.Event()
        self.reply: Message | None = None
        self.on_reply = on_reply
        self.parcel: Parcel | None = None
        self.posted = False

    @property
    def left(self) -> bool:
        """Whether the other side has it, or will."""
        return self.posted and not (self.parcel is not None and self.parcel.withdrawn)


def _method_call(
    destination: str | None,
    path: str,
    interface: str | None,
    member: str,
    signature: str,
    body: Sequence[Any],
    flags: Flags,
) -> Message:
    return Message(
        type=MessageType.METHOD_CALL,
        flags=flags,
        destination=destination,
        path=path,
        interface=interface,
        member=member,
        signature=signature,
        body=tuple(body),
    )


def _daemon_call(member: str, signature: str, body: Sequence[Any], flags: Flags = Flags.NONE) -> Message:
    return _method_call(DAEMON, DAEMON_PATH, DAEMON, member, signature, body, flags)
