"""``virengine list`` for scripts: where a service answers, its own text is passed on, and next to nothing is imported.

Scripts call it again and again, and the program's imports take several times as long as the answer. Whatever is not
quite ordinary (other options, a terminal, no service, an error) is left to the program itself, which prints the same.
"""

from __future__ import annotations

import _socket  # what ``socket`` adds to it takes longer to import than the answer to come
import os
import sys

from engine.cli.places import chosen_dirs, socket_of, system_socket

__all__ = ["list_domains"]

_ACTIVE = {"--all": "", "--inactive": "&active=false"}
_LINES = {"--table": "table", "--name": "name", "--uuid": "uuid"}
# of a URI, what can stand in a query as it is
_PLAIN = "/:._-~@"
# as many as the API gives at once; and seconds: of a service that hangs the disk tells more
_MOST = 10_000
_PATIENCE = 2.0


def list_domains(arguments: list[str]) -> None:
    """Print what ``list`` prints and exit, if that is all that is asked; else nothing was done."""
    asked = _query(arguments)
    if asked is None:
        return
    out = sys.stdout
    if out is None or out.isatty() or out.encoding.lower() not in ("utf-8", "utf8"):
        return
    state_dir, query = asked
    try:
        body = _ask(socket_of(*chosen_dirs(state_dir)), query)
    except (OSError, ValueError):
        return
    if body is None:
        return
    try:
        out.buffer.write(body)
        out.flush()
    except OSError as exc:
        from engine.cli import failures, output

        gone = isinstance(exc, BrokenPipeError)
        sys.exit(failures.report(output.ReaderGone() if gone else output.OutputError(exc.errno, exc.strerror)))
    os._exit(0)  # there is nothing to put in order, which Python would take its time for


def _query(arguments: list[str]) -> tuple[str | None, str] | None:
    """The state directory that is named, and what to ask; None: there is more to it."""
    state_dir = os.environ.get("VIRENGINE_STATE_DIR")
    uri = os.environ.get("VIRENGINE_URI") or os.environ.get("LIBVIRT_DEFAULT_URI") or ""
    active, lines, command = "&active=true", "table", False
    if os.environ.get("VIRENGINE_SERVICE"):
        return None
    if os.environ.get("VIRENGINE_BACKEND", "asyncio") not in ("asyncio", "trio"):
        return None
    given = iter(arguments)
    for word in given:
        if not command and word == "--state-dir":
            state_dir = next(given, "")
        elif not command and word in ("--uri", "--connect", "-c") and not uri:
            uri = next(given, "-")
        elif not command and word == "list":
            command = True
        elif command and word in _ACTIVE and active == "&active=true":
            active = _ACTIVE[word]
        elif command and word in _LINES and lines == "table":
            lines = _LINES[word]
        elif word not in ("--quiet", "-q") or command:
            return None
    if uri and state_dir is None and system_socket([uri]) is not None:  # another socket
        return None
    if not command or state_dir == "" or any(char not in _PLAIN and not char.isalnum() for char in uri):
        return None
    return state_dir, f"lines={lines}&limit={_MOST}{active}{f'&connection={uri}' if uri else ''}"


def _ask(path: str, query: str) -> bytes | None:
    """The text that a service at a UNIX socket answers with; None: it does not. Raises OSError; ValueError."""
    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        sock.settimeout(_PATIENCE)
        sock.connect(path)
        headers = "Host: virengine\r\nAccept: text/plain\r\nConnection: close"
        sock.sendall(f"GET /v1/domains?{query} HTTP/1.1\r\n{headers}\r\n\r\n".encode("ascii"))
        parts = []
        while part := sock.recv(1 << 16):
            parts.append(part)
    finally:
        sock.close()
    head, _, body = b"".join(parts).partition(b"\r\n\r\n")
    status, *fields = head.lower().split(b"\r\n")
    told = dict(field.split(b":", 1) for field in fields)
    whole = told.get(b"content-length", b"").strip() == str(len(body)).encode()
    text = told.get(b"content-type", b"").strip().startswith(b"text/plain")
    more = b"link" in told
    return body if status.startswith(b"http/1.1 200 ") and whole and text and not more else None
