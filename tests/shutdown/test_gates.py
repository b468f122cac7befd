from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.abc
import pytest

from engine.conf.order import Gate
from engine.errors import AgentError, GateFailed
from engine.shutdown import gates
from engine.shutdown.gates import Console, GateResult, probe_gate, wait_gates
from engine.shutdown.searcher import Searcher, is_plain
from engine.util.inotify import Watcher

SOON = 20.0  # only a test that fails waits so long


class Guest:
    """A gate's target."""

    name = "web"

    def __init__(self, console: Console | None = None) -> None:
        self.stopped = anyio.Event()
        self.answers = anyio.Event()
        self.agent = True
        self._console = console

    async def agent_sync(self) -> None:
        if not self.agent:
            raise AgentError("the guest has no agent")
        await self.answers.wait()

    async def console(self) -> Console | None:
        return self._console

    async def wait_stopped(self) -> None:
        await self.stopped.wait()


def gate(kind: Any, **facts: Any) -> Gate:
    return Gate(kind=kind, **({"timeout": SOON} | facts))


async def passes(guest: Guest, *waiting: Gate, watcher: Watcher | None = None) -> GateResult:
    with anyio.fail_after(SOON):
        return await wait_gates(guest, waiting, watcher=watcher)
    raise AssertionError


async def test_running_passes_at_once() -> None:
    assert await passes(Guest(), gate("running")) == GateResult("running")
    assert await passes(Guest()) == GateResult("running")


async def test_agent_passes_when_it_answers() -> None:
    guest = Guest()
    found: list[GateResult] = []

    async def wait() -> None:
        found.append(await passes(guest, gate("agent")))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        assert not found
        guest.answers.set()
    assert found[0].error is None


async def test_a_guest_without_agent_fails_at_once() -> None:
    guest = Guest()
    guest.agent = False
    result = await passes(guest, gate("agent"))
    assert isinstance(result.error, GateFailed)
    assert "no agent" in str(result.error)
    assert not result.going_on


async def test_a_timeout_fails_or_goes_on() -> None:
    result = await passes(Guest(), gate("agent", timeout=0.05))
    assert result.error is not None
    assert (result.error.domain, result.error.gate, result.error.timeout) == ("web", "agent", 0.05)
    assert not result.going_on
    result = await passes(Guest(), gate("agent", timeout=0.05, on_timeout="go-on"))
    assert result.error is not None
    assert result.going_on


async def test_any_gate_fails_at_once_when_the_domain_stops(tmp_path: Path, free_tcp_port: int) -> None:
    for waiting in (
        gate("agent", timeout=1e6),
        gate("delay", seconds=1e6),
        gate("tcp", host="127.0.0.1", port=free_tcp_port, timeout=1e6, on_timeout="go-on"),
        gate("http", url=f"http://127.0.0.1:{free_tcp_port}/", timeout=1e6),
        gate("serial", pattern="x", timeout=1e6),
    ):
        guest = Guest(Console(tmp_path / "log"))
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.sleep, 0.02)
            tasks.start_soon(_stop_soon, guest)
            result = await passes(guest, waiting)
        assert result.error is not None
        assert "it stopped first" in str(result.error)
        assert not result.going_on


async def _stop_soon(guest: Guest) -> None:
    await anyio.wait_all_tasks_blocked()
    guest.stopped.set()


async def test_all_gates_must_pass_and_a_failure_ends_the_wait() -> None:
    guest = Guest()
    guest.answers.set()
    both = await passes(guest, gate("agent"), gate("delay", seconds=0.01))
    assert both == GateResult("agent and delay 0 s")
    result = await passes(Guest(), gate("agent", timeout=1e6), gate("agent", timeout=0.02))
    assert result.error is not None
    assert result.error.timeout == 0.02
    lenient = gate("agent", timeout=0.02, on_timeout="go-on")
    result = await passes(Guest(), lenient, gate("delay", seconds=0.1))
    assert result.going_on
    result = await passes(Guest(), lenient, gate("agent", timeout=0.1))
    assert not result.going_on


async def test_delay_takes_as_long_as_it_says_whatever_its_timeout() -> None:
    began = anyio.current_time()
    assert (await passes(Guest(), gate("delay", seconds=0.2, timeout=0.01))).error is None
    assert anyio.current_time() - began >= 0.2


# ---------------------------------------------------------------------------- tcp and http


@asynccontextmanager
async def serving(
    handle: Callable[[anyio.abc.ByteStream], Any], port: int = 0, context: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    async def guarded(stream: anyio.abc.ByteStream) -> None:
        try:
            async with stream:
                await handle(stream)
        except (anyio.BrokenResourceError, anyio.EndOfStream, ssl.SSLError, OSError):
            pass  # the other side may leave when it knows enough

    listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=port)
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    if context is not None:
        from anyio.streams.tls import TLSListener

        listener = TLSListener(listener, context, standard_compatible=False)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, guarded)
        yield port
        tasks.cancel_scope.cancel()


async def test_tcp_passes_once_something_listens(free_tcp_port: int) -> None:
    guest, found = Guest(), []

    async def wait() -> None:
        found.append(await passes(guest, gate("tcp", host="127.0.0.1", port=free_tcp_port)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(0.15)
        assert not found
        async with serving(lambda stream: anyio.sleep(0), free_tcp_port):
            with anyio.fail_after(SOON):
                while not found:
                    await anyio.sleep(0.01)
    assert found[0].error is None


async def complaint(waiting: Gate) -> str:
    """Why the first attempt failed."""
    why: list[str] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(gates._GATES[waiting.kind], Guest(), waiting, why, None)
        with anyio.fail_after(SOON):
            while not why:
                await anyio.sleep(0.002)
        tasks.cancel_scope.cancel()
    return why[0]


async def test_tcp_knows_why_it_was_refused(free_tcp_port: int) -> None:
    assert await complaint(gate("tcp", host="127.0.0.1", port=free_tcp_port)) == "connection refused"


async def test_what_the_last_attempt_said_is_told_when_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    async def refuse(target: Any, waiting: Gate, why: list[str], watcher: Any) -> None:
        why[:] = ["connection refused"]
        await anyio.sleep_forever()

    monkeypatch.setitem(gates._GATES, "tcp", refuse)
    result = await passes(Guest(), gate("tcp", host="h", port=1, timeout=0.05))
    assert str(result.error).endswith("(gate tcp h:1): connection refused")


@pytest.mark.parametrize(
    "waiting", [gate("tcp", host="a..ü", port=1), gate("http", url="http://h:99999/"), gate("http", url="http://a..ü/")]
)
async def test_a_name_that_can_not_be_one_is_an_attempt_that_failed(waiting: Gate) -> None:
    assert await complaint(waiting)
    assert await probe_gate(Guest(), waiting, SOON)


async def test_an_attempt_that_gets_no_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "_ATTEMPT_SECONDS", 0.05)

    async def silence(stream: anyio.abc.ByteStream) -> None:
        await anyio.sleep_forever()

    async with serving(silence) as port:
        assert await complaint(gate("http", url=f"http://127.0.0.1:{port}")) == "no answer within 0.05 s"


def answer(*statuses: int, seen: list[bytes] | None = None) -> Callable[[anyio.abc.ByteStream], Any]:
    waiting = list(statuses)

    async def handle(stream: anyio.abc.ByteStream) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += await stream.receive()
        if seen is not None:
            seen.append(request)
        status = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        reply = f"HTTP/1.1 {status} Whatever\r\nContent-Length: 0\r\n\r\n".encode()
        for at in range(0, len(reply), 5):  # in pieces
            await stream.send(reply[at : at + 5])

    return handle


async def test_http_passes_at_its_status_and_asks_properly() -> None:
    seen: list[bytes] = []
    async with serving(answer(503, 302, 204, seen=seen)) as port:
        url = f"http://user:secret@127.0.0.1:{port}/a path?q=1 2"
        assert (await passes(Guest(), gate("http", url=url, status=204))).error is None
    assert len(seen) == 3
    lines = seen[0].decode().split("\r\n")
    assert lines[0] == "GET /a%20path?q=1%202 HTTP/1.1"
    assert f"Host: 127.0.0.1:{port}" in lines
    assert b"secret" not in seen[0]


async def test_http_tells_the_status_it_got() -> None:
    async with serving(answer(500)) as port:
        assert await complaint(gate("http", url=f"http://127.0.0.1:{port}")) == "the answer was 500"


@pytest.mark.parametrize("interim", ["HTTP/1.1 100 Continue\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n"])
@pytest.mark.parametrize("size", [1, 1000])
async def test_http_waits_for_the_answer_after_those_on_the_way(interim: str, size: int) -> None:
    reply = f"{interim}\r\n{interim}\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".encode()

    async def handle(stream: anyio.abc.ByteStream) -> None:
        await stream.receive()
        for at in range(0, len(reply), size):
            await stream.send(reply[at : at + size])

    async with serving(handle) as port:
        assert await probe_gate(Guest(), gate("http", url=f"http://127.0.0.1:{port}"), SOON) is None


async def test_http_is_not_fooled_by_what_is_no_http() -> None:
    async with serving(lambda stream: stream.send(b"SSH-2.0-OpenSSH_9.2\r\n")) as port:
        assert await complaint(gate("http", url=f"http://127.0.0.1:{port}")) == "what answered does not speak HTTP"


async def test_http_survives_an_answer_without_end() -> None:
    async def flood(stream: anyio.abc.ByteStream) -> None:
        while True:
            await stream.send(b"x" * 65536)

    async with serving(flood) as port:
        assert await complaint(gate("http", url=f"http://127.0.0.1:{port}")) == "what answered does not speak HTTP"


async def test_https_checks_the_certificate(monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = Path(__file__).with_name("localhost.pem")  # for 127.0.0.1, trusted by nobody
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    async with serving(answer(200), context=context) as port:
        url = f"https://127.0.0.1:{port}/"
        assert "certificate" in await complaint(gate("http", url=url))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert (await passes(Guest(), gate("http", url=url))).error is None


# ---------------------------------------------------------------------------- serial


async def waits_for(pattern: str, guest: Guest, write: Callable[[], None], watcher: Watcher | None = None) -> None:
    """Not before ``write``, but then."""
    found: list[GateResult] = []

    async def wait() -> None:
        found.append(await passes(guest, gate("serial", pattern=pattern), watcher=watcher))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(0.1)
        assert not found
        write()
    assert found[0].error is None


async def test_serial_finds_what_was_written_before_and_after(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    path.write_text("booting\nlogin: ")
    guest = Guest(Console(path))
    assert (await passes(guest, gate("serial", pattern="login:"))).error is None

    def append() -> None:
        with path.open("a") as file:
            file.write("root\r\nWelcome to web\r\n")

    await waits_for("^Welcome to [a-z]+$", guest, append)


async def test_serial_waits_for_the_file_itself(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    async with Watcher() as watcher:
        await waits_for("ready", Guest(Console(path)), lambda: path.write_text("ready\n") and None, watcher)


async def test_serial_leaves_out_what_an_earlier_run_wrote(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    path.write_text("ready\n")

    def append() -> None:
        with path.open("a") as file:
            file.write("ready again\n")

    await waits_for("ready", Guest(Console(path, offset=6)), append)


async def test_serial_begins_anew_when_the_file_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    path.write_text("x" * 1000)
    await waits_for("ready", Guest(Console(path)), lambda: path.write_text("ready") and None)


async def test_serial_finds_a_pattern_in_a_flood(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    path.write_bytes(b"noise \xff\xfe" * 100_000 + b"rea")

    def append() -> None:
        with path.open("a") as file:
            file.write("dy")

    await waits_for("ready", Guest(Console(path)), append)


async def test_serial_reads_a_pty() -> None:
    leader, follower = os.openpty()
    try:
        path = Path(os.ttyname(follower))
        import tty

        tty.setraw(follower)
        await waits_for("log.n:", Guest(Console(path)), lambda: os.write(leader, b"lo\xc3\xa4 login: ") and None)
    finally:
        os.close(follower)
        os.close(leader)


async def test_serial_fails_when_the_pty_goes() -> None:
    leader, follower = os.openpty()
    path = Path(os.ttyname(follower))
    guest = Guest(Console(path))
    found: list[GateResult] = []

    async def wait() -> None:
        found.append(await passes(guest, gate("serial", pattern="x")))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        await anyio.sleep(0.05)
        os.close(leader)
    os.close(follower)
    assert found[0].error is not None


async def test_serial_fails_for_a_pty_that_is_gone() -> None:
    result = await passes(Guest(Console(Path("/dev/pts/no"))), gate("serial", pattern="x", timeout=1e6))
    assert "no such file" in str(result.error)


async def test_serial_without_a_console_fails_at_once() -> None:
    result = await passes(Guest(), gate("serial", pattern="x"))
    assert result.error is not None
    assert "no serial console" in str(result.error)


async def test_serial_tells_that_it_did_not_see_it(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    path.write_text("booting")
    result = await passes(Guest(Console(path)), gate("serial", pattern="ready", timeout=0.1))
    assert result.error is not None
    assert "not seen" in str(result.error)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 4096])
def test_pieces_of_any_size_are_searched_alike(size: int) -> None:
    text = "no\r\n" + "é€𝄞" * 3000 + "\r\nready\r\n"
    data = text.encode()
    searcher = Searcher("^ready$")
    seen = [searcher.feed(data[at : at + size]) for at in range(0, len(data), size)]
    assert any(seen[-4:])
    assert not any(seen[:-9])


EVIL = "(a+)+b$"


@pytest.mark.parametrize("pattern", [EVIL, "ready: [a-z]+ (up|there)"])
async def test_serial_leaves_to_a_process_what_is_not_plain(tmp_path: Path, pattern: str) -> None:
    path = tmp_path / "serial.log"
    path.write_text("booting\n")

    def append() -> None:
        with path.open("a") as file:
            file.write("aaab\nready: web there\n")

    await waits_for(pattern, Guest(Console(path)), append)


async def test_serial_of_a_guest_that_means_ill_holds_up_nobody(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    path.write_text("a" * 4000 + "\n")  # all the time there is would not do to find no 'b' behind it
    children = _children()
    with anyio.fail_after(SOON):
        result = await passes(Guest(Console(path)), gate("serial", pattern=EVIL, timeout=0.5))
    assert "not seen" in str(result.error)
    assert _children() == children  # it was ended, and waited for


def _children() -> set[str]:
    return {child for task in Path("/proc/self/task").iterdir() for child in (task / "children").read_text().split()}


async def test_serial_fails_when_the_process_that_searches_ends(tmp_path: Path) -> None:
    path = tmp_path / "serial.log"
    path.write_text("booting\n")
    found: list[GateResult] = []
    before = _children()

    async def wait() -> None:
        found.append(await passes(Guest(Console(path)), gate("serial", pattern=EVIL)))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(wait)
        with anyio.fail_after(SOON):
            while not (new := _children() - before):
                await anyio.sleep(0.01)
        os.kill(int(new.pop()), 9)
        with path.open("a") as file:
            file.write("aaab\n")
    assert "has ended" in str(found[0].error)


@pytest.mark.parametrize(
    ("pattern", "plain"),
    [
        ("login:", True),
        (r"^web\.(local|lan) login: $", True),
        ("Reached target .*", True),
        (r"[*+{?|]\+\{", True),
        (EVIL, False),
        ("(a|a)*b", False),
        ("(ab)+", False),
        ("[a-z]+ login:", False),
        ("a*a*b", False),
        ("a?" * 30 + "a", False),
        ("(a|b|ab)" * 9, False),
        ("(?:x{1,30}){1,30}y", False),
        (".*?x", False),
    ],
)
def test_what_is_plain(pattern: str, plain: bool) -> None:
    assert is_plain(pattern) is plain


def test_what_was_cut_off_makes_no_beginning_of_a_line() -> None:
    searcher = Searcher("^xx")
    assert not searcher.feed(b"y" * 5 + b"x" * 20_000)
    assert not searcher.feed(b"x" * 20_000)
    assert searcher.feed(b"\nxx")


async def test_probing_asks_once_and_waits_not_long(free_tcp_port: int, tmp_path: Path) -> None:
    guest = Guest()
    assert await probe_gate(guest, gate("running"), 0.1) is None
    assert await probe_gate(guest, gate("delay", seconds=1e6), 0.1) is None
    assert await probe_gate(guest, gate("agent"), 0.1) == "no answer within 0.1 s"
    closed = gate("tcp", host="127.0.0.1", port=free_tcp_port)
    with anyio.fail_after(SOON):  # it does not wait out its time
        assert await probe_gate(guest, closed, 1e6) == "connection refused"
    assert "no serial console" in (await probe_gate(guest, gate("serial", pattern="x"), 0.1) or "")
    assert await probe_gate(Guest(Console(tmp_path)), gate("serial", pattern="x"), 0.1) is None
