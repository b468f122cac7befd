"""One server at a UNIX socket, at TCP and at TLS, and those who come there as somebody."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import trustme
from anyio.abc import ByteStream

from engine import Engine
from engine.server.access.peers import ROLES, Role
from engine.server.access.roles import Access
from engine.server.access.tokens import TokenFile
from engine.server.listeners import listen, parse_address
from engine.server.serving import Service
from engine.server.settings import TlsSettings
from engine.util.unix import UnixStream

#: Who has which role at the UNIX socket: users that every Debian has.
USERS: dict[Role | None, int] = {None: 65534, "viewer": 1, "operator": 2, "admin": 3}
RULES: dict[Role, tuple[str, ...]] = {
    "viewer": ("user:daemon", "certificate:viewer"),
    "operator": ("user:bin", "certificate:operator"),
    "admin": ("user:sys", "certificate:admin"),
}
TRANSPORTS = ("unix", "unix+token", "tcp+token", "tls+token", "tls+certificate")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


class Certificates:
    """An authority, the server's certificate in files, and what clients need."""

    def __init__(self, folder: Path) -> None:
        self._authority = trustme.CA()
        self._contexts: dict[str | None, ssl.SSLContext] = {}
        issued = self._authority.issue_cert("localhost", "127.0.0.1")
        (folder / "server.pem").write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        (folder / "server.key").write_bytes(issued.private_key_pem.bytes())
        self._authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        self.settings = TlsSettings(
            certificate=f"{folder}/server.pem", key=f"{folder}/server.key", client_ca=f"{folder}/ca.pem"
        )

    def issue(self, name: str) -> trustme.LeafCert:
        """A client's, of that common name."""
        return self._authority.issue_cert(f"{name}.example", common_name=name)

    def client(self, name: str | None) -> ssl.SSLContext:
        """What a client needs; with a certificate of that common name."""
        if name in self._contexts:
            return self._contexts[name]
        context = self._contexts[name] = ssl.create_default_context()
        self._authority.configure_trust(context)
        if name is not None:
            self.issue(name).configure_cert(context)
        return context


class Everywhere:
    """The server."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.path = ""
        self.tcp = self.tls = 0
        self.certificates = Certificates(folder)
        self.tokens = TokenFile(folder / "tokens.json")
        self.secrets: dict[Role | None, str] = {None: "virengine_nobody"}
        self.secrets |= {role: self.tokens.add(role, role) for role in ROLES}

    async def run(self, *, task_status: Any) -> None:
        access = Access(RULES, tokens=self.tokens)
        service = Service(self.engine, access=access, tls=self.certificates.settings.context())
        with (
            _reachable() as self.path,
            listen(parse_address(f"unix:{self.path}"), mode=0o666) as unix,
            listen(parse_address("tcp:127.0.0.1:0")) as tcp,
            listen(parse_address("tls:127.0.0.1:0")) as tls,
        ):
            self.tcp, self.tls = (sock.getsockname()[1] for sock in (tcp, tls))
            await service.run([unix, tcp], secured=[tls], task_status=task_status)

    async def status(self, transport: str, role: Role | None, method: str, path: str) -> int:
        """What a request is answered with."""
        proof = transport.partition("+")[2]
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
        if proof == "token":
            lines.append(f"Authorization: Bearer {self.secrets[role]}")
        async with await self._connect(transport, role) as stream:
            await stream.send("\r\n".join([*lines, "", ""]).encode())
            data = b""
            while b"\r\n" not in data:
                data += await stream.receive()
        return int(data.split()[1])

    async def _connect(self, transport: str, role: Role | None) -> ByteStream:
        way, _, proof = transport.partition("+")
        if way == "unix":
            # to see what a token is good for, whoever brings it must be nobody otherwise
            return UnixStream(connect_as(USERS[None if proof else role], self.path))
        if way == "tcp":
            return await anyio.connect_tcp("127.0.0.1", self.tcp)
        context = self.certificates.client(role if proof == "certificate" else None)
        return await anyio.connect_tcp(
            "127.0.0.1", self.tls, ssl_context=context, tls_hostname="localhost", tls_standard_compatible=False
        )


def connect_as(uid: int, path: str) -> socket.socket:
    """A connection of another user: the kernel notes whose it is when it is made."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    os.seteuid(uid)
    try:
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    finally:
        os.seteuid(0)
    return sock


@contextlib.contextmanager
def _reachable() -> Iterator[str]:
    """A socket's path that others come to, as they don't to a test's own folder."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield f"{folder}/engine.sock"


@contextlib.asynccontextmanager
async def everywhere(folder: Path) -> AsyncIterator[Everywhere]:
    async with Engine("test:///default", systemd=False, on_close="leave") as engine:
        server = Everywhere(engine, folder)
        async with anyio.create_task_group() as tasks:
            await tasks.start(server.run)
            yield server
            tasks.cancel_scope.cancel()
