"""Somebody whom webhooks tell what happens: a real HTTP server that answers what a test wants."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import ssl
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
from anyio.abc import ByteStream, SocketAttribute
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.tls import TLSListener

SECRET = b"a secret of thirty-two bytes :-)"


class Request:
    """One delivery as it came."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def told(self) -> tuple[str, str]:
        """Of which domain, and what."""
        return self.event["data"].get("domain", ""), self.event["type"].rpartition(".")[2]

    @property
    def genuine(self) -> bool:
        """Reckoned as the Standard Webhooks specification has it, by other means than the engine's."""
        signed = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.".encode() + self.body
        mac = base64.b64encode(hmac.new(SECRET, signed, "sha256").digest()).decode()
        return f"v1,{mac}" in self.headers["webhook-signature"].split(" ")


class Receiver:
    """Attributes: answer: gives status and headers of an answer, None: there is none; taken: answered with 2xx."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answer: Callable[[Request], tuple[int, str] | None] = lambda request: (204, "")
        self.asked: list[Request] = []
        self.taken: list[Request] = []
        self._changed = anyio.Event()

    async def until(self, true: Callable[[], bool]) -> None:
        with anyio.fail_after(15):
            while not true():
                await self._changed.wait()

    async def serve(self, stream: ByteStream) -> None:
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.IncompleteRead):
            async with stream:
                while True:
                    await self._one(stream, BufferedByteReceiveStream(stream))

    async def _one(self, stream: ByteStream, read: BufferedByteReceiveStream) -> None:
        head = (await read.receive_until(b"\r\n\r\n", 65536)).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:])}
        body = await read.receive_exactly(int(headers["content-length"]))
        request = Request(head[0].split()[1], headers, body)
        answer = self.answer(request)
        self.asked.append(request)
        if answer is not None and 200 <= answer[0] < 300:
            self.taken.append(request)
        self._changed.set()
        self._changed = anyio.Event()
        while answer is None:
            await anyio.sleep_forever()
        status, more = answer
        await stream.send(f"HTTP/1.1 {status} X\r\ncontent-length: 0\r\n{more}\r\n".encode())


@contextlib.asynccontextmanager
async def receiving(tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    listener: Any = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(SocketAttribute.local_port)
    if tls is not None:
        listener = TLSListener(listener, tls, standard_compatible=False)
    receiver = Receiver(f"{'https' if tls else 'http'}://localhost:{port}/hook?token=hush")
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, receiver.serve)
        yield receiver
        tasks.cancel_scope.cancel()
