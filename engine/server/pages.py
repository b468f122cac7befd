"""The web page: files of the package, as they are. What they show they ask for, as every other client does."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

__all__ = ["PAGES"]

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_HEADERS = {
    # scripts are our own files and nothing else; the terminal makes style sheets as it goes
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "connect-src 'self'; img-src 'self' data: blob:; font-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",  # asked for each time, and not sent again
}


@cache
def _files() -> dict[str, tuple[bytes, str, str]]:
    """All of them by path, with media type and ETag: a name that is not in here is none."""
    root = Path(str(files("engine.server") / "web"))
    found = {}
    for path in root.rglob("*"):
        if path.suffix in _TYPES:
            content = path.read_bytes()
            tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
            found[str(path.relative_to(root))] = content, _TYPES[path.suffix], tag
    return found


async def _page(request: Request) -> Response:
    name = request.path_params.get("name", "") or "index.html"
    if name not in _files():
        return Response("There is nothing here.\n", 404, _HEADERS, "text/plain")
    content, kind, tag = _files()[name]
    headers = {**_HEADERS, "etag": tag}
    if tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(content, headers=headers, media_type=kind)


PAGES: tuple[BaseRoute, ...] = (Route("/", _page), Route("/web/{name:path}", _page))
