"""Gates: what makes a domain that runs *ready*.

``running`` it runs · ``agent`` its guest agent answered · ``tcp`` something accepts connections · ``http`` the address
answers with the status · ``serial`` the pattern was written to its serial console · ``delay`` so much time has passed.

Each waits for what tells it. Only ``tcp`` and ``http`` have nothing to wait on, so they try again: soon at first, then
once a second.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Protocol
from urllib.parse import quote, urlsplit

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import ByteStream

from engine.conf.order import Gate
from engine.errors import EngineError, GateFailed, HostError
from engine.shutdown.search import Feed, searching
from engine.shutdown.words import duration, gate_name
from engine.util.inotify import Watcher

__all__ = ["Console", "GateResult", "GateTarget", "probe_gate", "wait_gates"]

_FIRST_PAUSE, _PAUSE_GROWTH, _LONGEST_PAUSE = 0.05, 1.6, 1.0
#: Seconds one attempt of tcp or http may take: a packet filter that drops would hold it for minutes.
_ATTEMPT_SECONDS = 5.0
_CHUNK = 64 * 1024
_LONGEST_STATUS_LINE = 8192
_SWITCHING_PROTOCOLS = 101  # nothing of HTTP follows it
_HEADERS_END = re.compile(rb"\n\r?\n")
_NO_CONSOLE = "it has no serial console that can be read"


class Console(msgspec.Struct, frozen=True):
    """A domain's serial console.

    Attributes:
        path: a file, or a pty; offset: where in the file this run of the domain begins.
    """

    path: Path
    offset: int = 0


class GateTarget(Protocol):
    """The domain whose gates are waited for."""

    @property
    def name(self) -> str: ...

    async def agent_sync(self) -> None:
        """Return once the guest agent answers. Raises AgentError when there is none."""

    async def console(self) -> Console | None:
        """Its first serial console, None: it has none that can be read."""

    async def wait_stopped(self) -> None:
        """Return once it does not run."""


class GateResult(msgspec.Struct, frozen=True):
    """What became of a domain's gates.

    Attributes:
        gate: all of them in words; error: of the one that did not let it through, None: it is ready.
        going_on: what waits for it starts all the same.
    """

    gate: str
    error: GateFailed | None = None
    going_on: bool = False


async def wait_gates(target: GateTarget, gates: Iterable[Gate], *, watcher: Watcher | None = None) -> GateResult:
    """Wait until a domain that has just been started is ready, or will not be.

    All gates must pass. One that fails fails at once when the domain stops, else at its timeout; with ``go-on`` the
    others are still waited for.

    Args:
        watcher: for ``serial``; shared, so that many gates take one inotify instance. None: one of its own.
    """
    waiting = tuple(gates)
    label = " and ".join(map(gate_name, waiting)) or "running"
    failed: list[tuple[Gate, str]] = []
    stopped = False
    pending = len(waiting)

    async def one(gate: Gate) -> None:
        nonlocal pending
        reason = await _pass(target, gate, watcher)
        if reason is not None:
            failed.append((gate, reason))
        pending -= 1
        if not pending or (reason is not None and gate.on_timeout == "fail"):
            tasks.cancel_scope.cancel()

    async def watch() -> None:
        nonlocal stopped
        await target.wait_stopped()
        stopped = True
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        if any(gate.kind != "running" for gate in waiting):
            tasks.start_soon(watch)
            for gate in waiting:
                tasks.start_soon(one, gate)
    if stopped and (pending or failed):
        gate = waiting[0]
        return GateResult(label, GateFailed(target.name, label, gate.timeout, "it stopped first"))
    if not failed:
        return GateResult(label)
    gate, reason = next((item for item in failed if item[0].on_timeout == "fail"), failed[0])
    return GateResult(
        label, GateFailed(target.name, gate_name(gate), gate.timeout, reason), going_on=gate.on_timeout == "go-on"
    )


async def probe_gate(target: GateTarget, gate: Gate, seconds: float) -> str | None:
    """Whether a gate of a running domain would let it through now: None, or why not. One try, for a drill.

    ``serial`` can only say whether the console can be read: what it waits for was written long ago.
    """
    if gate.kind in ("running", "delay"):
        return None
    if gate.kind == "serial":
        return _NO_CONSOLE if await target.console() is None else None
    with anyio.move_on_after(seconds):
        if gate.kind in _ATTEMPTS:
            return await _attempt(gate)
        return await _pass(target, gate, None)
    return f"no answer within {duration(seconds)}"


async def _pass(target: GateTarget, gate: Gate, watcher: Watcher | None) -> str | None:
    """None when the gate let it through, else why not."""
    why: list[str] = []
    with anyio.move_on_after(None if gate.kind == "delay" else gate.timeout):
        try:
            await _GATES[gate.kind](target, gate, why, watcher)
        except EngineError as exc:
            return str(exc)
        return None
    return why[-1] if why else ""


# ---------------------------------------------------------------------------- one by one


async def _running(target: GateTarget, gate: Gate, why: list[str], watcher: Watcher | None) -> None:
    pass  # it does: gates are waited for once a domain has started


async def _agent(target: GateTarget, gate: Gate, why: list[str], watcher: Watcher | None) -> None:
    await target.agent_sync()


async def _delay(target: GateTarget, gate: Gate, why: list[str], watcher: Watcher | None) -> None:
    await anyio.sleep(gate.seconds)


async def _knock(target: GateTarget, gate: Gate, why: list[str], watcher: Watcher | None) -> None:
    """``tcp`` and ``http``: try again until it works."""
    pause = _FIRST_PAUSE
    while True:
        reason: str | None = f"no answer within {_ATTEMPT_SECONDS:g} s"
        with anyio.move_on_after(_ATTEMPT_SECONDS):
            reason = await _attempt(gate)
        if reason is None:
            return
        why[:] = [reason]
        await anyio.sleep(pause)
        pause = min(pause * _PAUSE_GROWTH, _LONGEST_PAUSE)


async def _attempt(gate: Gate) -> str | None:
    """One try: None, or why it failed."""
    try:
        return await _ATTEMPTS[gate.kind](gate)
    except (OSError, anyio.EndOfStream, anyio.BrokenResourceError, ValueError) as exc:
        # ValueError: a name that IDNA has no form for, which only who resolves it can tell
        return _last_words(exc)


async def _connect(gate: Gate) -> str | None:
    await anyio.aclose_forcefully(await anyio.connect_tcp(gate.host, gate.port))
    return None


async def _get(gate: Gate) -> str | None:
    status = await _http_status(gate.url)
    return None if status == gate.status else f"the answer was {status}"


_ATTEMPTS: dict[str, Callable[[Gate], Awaitable[str | None]]] = {"tcp": _connect, "http": _get}


def _last_words(exc: Exception) -> str:
    # anyio says "all connection attempts failed"; what each failed with is beneath
    cause: BaseException = exc
    while (below := cause.__cause__) is not None:
        cause = below.exceptions[0] if isinstance(below, BaseExceptionGroup) else below
    if isinstance(cause, OSError) and cause.strerror:
        if cause.errno and type(cause).__module__ == "builtins":  # ssl and getaddrinfo have numbers of their own
            return os.strerror(cause.errno).lower()  # event loops put the address before, or instead of, these words
        return cause.strerror.lower()
    return str(cause) or "the connection was closed without an answer"


async def _http_status(url: str) -> int:
    """The status of a GET. Redirects are not followed. Raises OSError and anyio's stream errors."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    stream: ByteStream
    if parts.scheme == "https":
        import ssl  # slow to import, and most gates are not https

        context = await anyio.to_thread.run_sync(ssl.create_default_context)
        stream = await anyio.connect_tcp(
            host, port, ssl_context=context, tls_hostname=host, tls_standard_compatible=False
        )
    else:
        stream = await anyio.connect_tcp(host, port)
    path = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._")
    query = f"?{quote(parts.query, safe='/%:@!$&()*+,;=?~-._')}" if parts.query else ""
    name = f"[{host}]" if ":" in host else host
    named = name if parts.port is None else f"{name}:{port}"
    request = f"GET {path}{query} HTTP/1.1\r\nHost: {named}\r\nUser-Agent: virengine\r\nConnection: close\r\n\r\n"
    try:
        await stream.send(request.encode("ascii", "replace"))
        head = b""
        while True:
            status, head = await _status_line(stream, head)
            if status >= 200 or status == _SWITCHING_PROTOCOLS:
                return status
            # an interim answer (RFC 9110, 15.2): the one that counts comes after its headers
            while (end := _HEADERS_END.search(head)) is None:
                head = head[-3:] + await stream.receive()
            head = head[end.end() :]
    finally:
        await anyio.aclose_forcefully(stream)


async def _status_line(stream: ByteStream, head: bytes) -> tuple[int, bytes]:
    """The status, and all that was read. Raises OSError: it is none."""
    while b"\n" not in head and len(head) < _LONGEST_STATUS_LINE:
        head += await stream.receive()
    found = re.match(rb"HTTP/1\.[01] ([1-5]\d\d)\b", head)
    if found is None:
        raise OSError("what answered does not speak HTTP")
    return int(found[1]), head


# ---------------------------------------------------------------------------- the serial console


async def _serial(target: GateTarget, gate: Gate, why: list[str], watcher: Watcher | None) -> None:
    console = await target.console()
    if console is None:
        raise HostError(_NO_CONSOLE)
    why[:] = ["the pattern was not seen on its serial console"]
    try:
        async with searching(gate.pattern) as feed:
            if await anyio.to_thread.run_sync(_is_terminal, console.path):
                await _search_terminal(console.path, feed)
            elif watcher is not None:
                await _search_file(console, feed, watcher)
            else:
                await _search_file_alone(console, feed)
    except OSError as exc:
        raise HostError(f"{console.path}: {(exc.strerror or str(exc)).lower()}") from exc


def _is_terminal(path: Path) -> bool:
    try:
        return stat.S_ISCHR(path.stat().st_mode)
    except FileNotFoundError:
        if path.is_relative_to("/dev"):
            raise  # a pty that is gone does not come back; a file may yet be made
        return False


async def _search_file(console: Console, feed: Feed, watcher: Watcher) -> None:
    with watcher.watch(console.path) as changes:
        at = console.offset
        while True:
            data, at = await anyio.to_thread.run_sync(_read_from, console.path, at)
            if data:
                if await feed(data):
                    return
            else:
                await changes.wait()


async def _search_file_alone(console: Console, feed: Feed) -> None:
    error: OSError | EngineError | None = None
    async with Watcher() as own:  # what is raised in here would come out wrapped in a group
        try:
            await _search_file(console, feed, own)
        except (OSError, EngineError) as exc:
            error = exc
    if error is not None:
        raise error


def _read_from(path: Path, at: int) -> tuple[bytes, int]:
    """What is in the file from ``at`` on, and where that ends. A file that was cut short is read from its start."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_size < at:
                at = 0
            file.seek(at)
            data = file.read(_CHUNK)
    except FileNotFoundError:
        return b"", 0
    return data, at + len(data)


async def _search_terminal(path: Path, feed: Feed) -> None:
    """What is read here nobody else reads: someone at the console misses it until the gate has passed.

    QEMU looks once a second whether a pty is open, and drops what the guest says before (its chardev/char-pty.c).
    """
    fd = await anyio.to_thread.run_sync(os.open, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        while True:
            await anyio.wait_readable(fd)
            try:
                data = os.read(fd, _CHUNK)
            except BlockingIOError:
                continue
            if not data:
                raise HostError("its serial console was closed")
            if await feed(data):
                return
    finally:
        anyio.notify_closing(fd)
        os.close(fd)


_GATES: dict[str, Callable[[GateTarget, Gate, list[str], Watcher | None], Awaitable[None]]] = {
    "running": _running,
    "agent": _agent,
    "tcp": _knock,
    "http": _knock,
    "serial": _serial,
    "delay": _delay,
}
