"""What an administrator says of a webhook, and what makes no sense of it."""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import stat
from collections.abc import Iterable
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

import msgspec

from engine.conf.tables import Table
from engine.errors import ConfigError
from engine.events.encoding import types_by_name
from engine.events.filters import EventFilter

__all__ = ["Webhook", "check", "check_name", "filter_of", "origin_of", "read_ca", "read_secret", "trust_of"]

_PREFIX = "whsec_"
#: Bytes of a secret. Source: the Standard Webhooks specification 1.0.0, "Signature scheme".
_SHORTEST, _LONGEST = 24, 64


class Webhook(Table, frozen=True, kw_only=True):
    """Where events are told, and which.

    Attributes:
        name: what it is called; its cursor is kept by it.
        url: where to: https, or http on this host. secret_file: path of a file, which nobody else may read, with the
            secret that deliveries are signed with: ``whsec_`` and 24 to 64 bytes in base64, or as many characters.
        type, domain, connection: which events, as ``Engine.subscribe`` has it; none: all.
        timeout: seconds that a delivery may take. at_once: so many deliveries at most.
        tries: after so many an event is a dead letter; oldest: so it is when it is so many seconds old, and was tried.
        ca_file: certificates that are trusted, rather than the system's.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
    url: str
    secret_file: Annotated[str, msgspec.Meta(pattern="^/[^\\x00]+$")]
    type: tuple[str, ...] = ()
    domain: tuple[str, ...] = ()
    connection: tuple[str, ...] = ()
    timeout: Annotated[float, msgspec.Meta(gt=0, le=300)] = 15.0
    at_once: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8
    tries: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 16
    oldest: Annotated[float, msgspec.Meta(gt=0)] = 3 * 24 * 3600.0
    ca_file: Annotated[str, msgspec.Meta(pattern="^/[^\\x00]+$")] | None = None


def check(webhook: Webhook) -> None:
    """Raises ConfigError: what it says makes no sense. Nothing on disk is looked at."""
    url = _split(webhook)
    if url.username is not None or url.password is not None:
        raise _wrong(webhook, "the URL has credentials in it, which would be written into logs: deliveries are signed")
    if not url.hostname or url.fragment:
        raise _wrong(webhook, "the URL needs a host, and no fragment")
    if url.scheme != "https" and not (url.scheme == "http" and _is_here(url.hostname)):
        raise _wrong(webhook, "the URL is neither of https nor of http on this host (127.0.0.1, [::1], localhost)")
    filter_of(webhook)


def check_name(webhook: Webhook, others: Iterable[Webhook]) -> None:
    """Raises ConfigError: one of the others has it, too."""
    if any(other.name == webhook.name for other in others):
        raise _wrong(webhook, "there is another one of that name")


def _split(webhook: Webhook) -> SplitResult:
    try:
        url = urlsplit(webhook.url)
        _ = url.port
    except ValueError as exc:
        raise _wrong(webhook, f"the URL is none: {exc}") from None
    if any(sign <= " " or sign == "\x7f" for sign in webhook.url):
        raise _wrong(webhook, "the URL has white space in it")
    return url


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def origin_of(webhook: Webhook) -> str:
    """Who the receiver is. The rest of the URL is told to nobody: with many a receiver it is as good as a password."""
    url = _split(webhook)
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{url.scheme}://{host}{f':{url.port}' if url.port else ''}"


def filter_of(webhook: Webhook) -> EventFilter:
    """Raises ConfigError: there is no such event type."""
    known = types_by_name()
    for name in webhook.type:
        if name.lower() not in known:
            raise _wrong(webhook, f"there is no event type '{name[:60]}'")
    types = [known[name.lower()] for name in webhook.type]
    return EventFilter(*types, domain=webhook.domain or None, connection=webhook.connection or None)


def read_secret(webhook: Webhook) -> bytes:
    """Blocking. Raises ConfigError, which does not tell it: it can't be read, others can read it, it is too short."""
    path = Path(webhook.secret_file)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(fd, "rb") as file:  # noqa: PTH123 - an open descriptor
            mode = os.fstat(fd).st_mode
            text = file.read(4096).strip() if stat.S_ISREG(mode) else b""
    except OSError as exc:
        raise _wrong(webhook, f"the secret can't be read: {path}: {(exc.strerror or str(exc)).lower()}") from exc
    if not stat.S_ISREG(mode):
        raise _wrong(webhook, f"the secret is in no regular file: {path}")
    if mode & 0o077:
        raise _wrong(webhook, f"others may read the secret: chmod 600 {path}")
    secret = text
    if text.startswith(_PREFIX.encode()):
        try:
            secret = base64.b64decode(text[len(_PREFIX) :], validate=True)
        except binascii.Error:
            raise _wrong(webhook, f"what follows '{_PREFIX}' in {path} is no base64") from None
    if not _SHORTEST <= len(secret) <= _LONGEST:
        raise _wrong(webhook, f"the secret in {path} has not {_SHORTEST} to {_LONGEST} bytes")
    return secret


def read_ca(webhook: Webhook) -> bytes:
    """The certificates that are trusted, in PEM; b"": the system's. Blocking. Raises ConfigError."""
    if webhook.ca_file is None:
        return b""
    try:
        return Path(webhook.ca_file).read_bytes()
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise _wrong(webhook, f"the certificates can't be read: {webhook.ca_file}: {reason}") from exc


def trust_of(webhook: Webhook, ca: bytes) -> ssl.SSLContext:
    """Whom it trusts who has these certificates (``read_ca``). Blocking. Raises ConfigError."""
    if not ca:
        if webhook.ca_file is not None:
            raise _wrong(webhook, f"there are no certificates in {webhook.ca_file}")
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cadata=ca.decode("ascii", "ignore"))  # names in comments
    except ssl.SSLError as exc:
        raise _wrong(webhook, f"there are no certificates in {webhook.ca_file}") from exc


def _wrong(webhook: Webhook, text: str) -> ConfigError:
    return ConfigError(f"webhook '{webhook.name}': {text}")
