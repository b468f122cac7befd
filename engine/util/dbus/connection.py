"""The wire to a bus: a non-blocking UNIX socket that carries bytes and descriptors, on asyncio and on trio.

A bare socket with ``anyio.wait_readable`` and ``wait_writable``, and not an anyio stream: those take descriptors in a
call of their own, with a number of them known beforehand, and D-Bus sends them along with any bytes.
"""

from __future__ import annotations

import array
import errno
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence

import anyio
from anyio import to_thread

from engine.errors import ConnectionBroken, DBusError
from engine.util.dbus.address import BusAddress
from engine.util.dbus.auth import AuthClient
from engine.util.dbus.message import Errors

__all__ = ["Connection", "Parcel"]

_READ = 64 * 1024
_MAX_READ = 1024 * 1024
_FD_ROOM = socket.CMSG_SPACE(253 * array.array("i").itemsize)
_CONNECT_WAIT = struct.pack("ll", 0, 200_000)
"""A struct timeval: seconds and microseconds."""
_GONE = "the bus closed the connection"


class Connection:
    """One authenticated connection. Whoever sends waits until the kernel has the bytes; messages never interleave.

    The descriptors of a message that could not leave at once are duplicated, so that the sender may go away meanwhile.
    ``run_writer`` must be running in the owner's task group.

    Attributes:
        unix_fds: whether descriptors can be passed.
        guid: the bus's identity.
        broken: why it is of no use any more, or None.
        leftover: the first bytes of the message phase, if some came along with the last of the authentication.
    """

    def __init__(self, sock: socket.socket, auth: AuthClient) -> None:
        self.unix_fds = auth.unix_fds
        self.guid = auth.guid
        self.leftover = auth.leftover
        self._sock = sock
        self._outbox: deque[Parcel] = deque()
        self._work = anyio.Event()
        self.broken: str | None = None

    @classmethod
    async def open(cls, address: BusAddress) -> Connection:
        """Connect and authenticate.

        Raises:
            ConnectionBroken: nobody listens there, or it is no bus, or not the one wanted, or it does not want us.
        """
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            await _connect(sock, address.path)
            auth = AuthClient(guid=address.guid)
            await _send_all(sock, auth.start())
            while not auth.done:
                await _send_all(sock, auth.receive(await _receive(sock)))
        except OSError as exc:
            sock.close()
            raise ConnectionBroken(_why(exc)) from exc
        except BaseException:
            sock.close()
            raise
        return cls(sock, auth)

    async def receive(self, missing: int = 0) -> tuple[bytes, list[int]]:
        """What comes next, and the descriptors with it, all with CLOEXEC set. ``missing`` is how much is hoped for.

        Raises:
            ConnectionBroken: the bus is gone, or descriptors were lost because this process may have no more.
        """
        if self.leftover:
            data, self.leftover = self.leftover, b""
            return data, []
        while True:
            # Waiting even when there is something already lets the others run, however fast the bus talks.
            await anyio.wait_readable(self._sock)
            try:
                size = min(max(missing, _READ), _MAX_READ)
                data, control, flags, _ = self._sock.recvmsg(size, _FD_ROOM, socket.MSG_CMSG_CLOEXEC)
            except (BlockingIOError, InterruptedError):
                continue
            except OSError as exc:
                raise self.fail(_why(exc)) from exc
            break
        fds = array.array("i")
        for level, kind, payload in control:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
        if data and not flags & socket.MSG_CTRUNC:
            return data, fds.tolist()
        for fd in fds:
            os.close(fd)
        raise self.fail("descriptors were lost: this process has too many open" if data else _GONE)

    async def send(self, data: bytes, fds: Sequence[int] = ()) -> None:
        """``post``, then ``wait_sent``; raises what they raise."""
        parcel = self.post(data, fds)
        if parcel is not None:
            await self.wait_sent(parcel)

    async def wait_sent(self, parcel: Parcel) -> None:
        """Until the kernel has all of it. Cancelled before its first byte left, it is withdrawn and none ever will.

        Raises:
            ConnectionBroken: the bus is gone.
        """
        try:
            await parcel.gone.wait()
        finally:
            if not parcel.gone.is_set() and not parcel.started:
                self._outbox.remove(parcel)
                parcel.withdrawn = True
                parcel.close()
        if parcel.left:
            raise ConnectionBroken(self.broken or _GONE)

    def post(self, data: bytes, fds: Sequence[int] = ()) -> Parcel | None:
        """Send without waiting: None if all of it left, else what is left for the writer.

        Raises:
            ConnectionBroken: the bus is gone.
            DBusError: these descriptors can't be passed; nothing was sent.
        """
        if self.broken is not None:
            raise ConnectionBroken(self.broken)
        if fds and not self.unix_fds:
            raise DBusError(Errors.NOT_SUPPORTED, "this bus passes no descriptors")
        sent = 0
        if not self._outbox:
            try:
                sent = _send(self._sock, memoryview(data), fds)
            except OSError as exc:
                if fds and exc.errno in (errno.EBADF, errno.ETOOMANYREFS):  # theirs, not the connection's
                    raise DBusError(Errors.INVALID_ARGS, f"can't pass these descriptors: {exc.strerror}") from exc
                raise self.fail(_why(exc)) from exc
            if sent == len(data):
                return None
        parcel = Parcel(memoryview(data)[sent:], () if sent else fds, started=sent > 0)
        self._outbox.append(parcel)
        self._work.set()
        return parcel

    async def run_writer(self) -> None:
        """Send what could not leave at once, in order, for as long as the connection stands. Never raises."""
        while self.broken is None:
            if not self._outbox:
                self._work = anyio.Event()
                await self._work.wait()
                continue
            await anyio.wait_writable(self._sock)
            try:
                while self._outbox:
                    parcel = self._outbox[0]
                    sent = _send(self._sock, parcel.left, parcel.fds)
                    if not sent:
                        break
                    parcel.advance(sent)
                    if not parcel.left:
                        self._outbox.popleft()
                        parcel.gone.set()
            except OSError as exc:
                self.fail(_why(exc))

    def fail(self, why: str) -> ConnectionBroken:
        """Fail all that wait to send, now and later, and give the error to raise."""
        self.broken = self.broken or why
        for parcel in self._outbox:
            parcel.close()
            parcel.gone.set()
        self._outbox.clear()
        self._work.set()
        return ConnectionBroken(self.broken)

    def close(self) -> None:
        """Hang up. Nobody may be waiting in ``receive`` or ``run_writer`` any more; may be called twice."""
        self.fail("the connection was closed")
        self._sock.close()


class Parcel:
    """A message, or the rest of one, that the writer has to send.

    Attributes:
        gone: set when it is sent, or never will be (then something is ``left``).
        withdrawn: not a byte of it was sent.
    """

    def __init__(self, left: memoryview, fds: Sequence[int], *, started: bool) -> None:
        self.left = left
        self.started = started
        self.withdrawn = False
        self.gone = anyio.Event()
        self.fds: list[int] = []
        try:
            for fd in fds:
                self.fds.append(os.dup(fd))
        except OSError as exc:
            self.close()
            raise DBusError(Errors.INVALID_ARGS, f"can't pass these descriptors: {exc.strerror}") from exc

    def advance(self, sent: int) -> None:
        self.left = self.left[sent:]
        self.started = True
        self.close()

    def close(self) -> None:
        """Close our own copies of the descriptors: they are on their way, or will never be."""
        while self.fds:
            os.close(self.fds.pop())


def _why(exc: OSError) -> str:
    if exc.errno in (errno.ECONNRESET, errno.EPIPE):  # how an end looks to one who was still talking
        return _GONE
    return exc.strerror or str(exc)


def _send(sock: socket.socket, data: memoryview, fds: Sequence[int]) -> int:
    """How much of it the kernel took; none if it has no room."""
    try:
        if fds:
            return sock.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        return sock.send(data)
    except (BlockingIOError, InterruptedError):
        return 0


async def _send_all(sock: socket.socket, data: bytes) -> None:
    while data:
        await anyio.wait_writable(sock)
        data = data[_send(sock, memoryview(data), ()) :]


async def _receive(sock: socket.socket) -> bytes:
    while True:
        await anyio.wait_readable(sock)
        try:
            data = sock.recv(4096)
        except BlockingIOError:
            continue
        if not data:
            raise ConnectionBroken(_GONE)
        return data


async def _connect(sock: socket.socket, path: bytes) -> None:
    sock.setblocking(False)
    try:
        return sock.connect(path)
    except BlockingIOError:
        # The queue of the listener is full, and nothing tells when it no longer is: only a connect that waits does.
        # A thread can't be cancelled, so each wait in one is short (SO_SNDTIMEO bounds a connect, says unix(7)).
        await anyio.lowlevel.checkpoint()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, _CONNECT_WAIT)
    while True:
        sock.setblocking(True)
        try:
            await to_thread.run_sync(sock.connect, path)
        except BlockingIOError:
            continue
        finally:
            sock.setblocking(False)
        return None
