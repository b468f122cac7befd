"""Tokens: secrets that name who asks where the kernel can't tell. Only their digests are kept.

Source: RFC 6750 (bearer tokens). A token has 256 random bits, so its digest needs neither salt nor many rounds.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import secrets
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeVar

import msgspec

from engine.errors import ConfigError, StoreError
from engine.server.access.peers import Role
from engine.util.files import write_atomic

__all__ = ["TOKENS", "Token", "TokenFile", "in_scope"]

T = TypeVar("T")

log = logging.getLogger(__name__)

#: The file in the state directory.
TOKENS = "tokens.json"
# so that those who look for secrets that were published by mistake know one
_PREFIX = "virengine_"
_BYTES = 32
_LONGEST_NAME = 100


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of one.

    Attributes:
        name: who has it. digest: SHA-256 of the secret, in hex.
        domains: shell patterns: it is good for these domains only; none: for all, and for the order.
        created, expires: seconds since 1970; None: never.
    """

    name: str
    digest: str
    role: Role
    domains: tuple[str, ...] = ()
    created: float
    expires: float | None = None

    @property
    def expired(self) -> bool:
        return self.expires is not None and self.expires <= time.time()


def in_scope(domains: Iterable[str], name: str) -> bool:
    """Whether a domain is among those; no patterns: it is."""
    patterns = tuple(domains)
    return not patterns or any(fnmatchcase(name, pattern) for pattern in patterns)


class TokenFile:
    """The tokens of one state directory. What another process changes is seen at once."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._tokens: dict[str, Token] = {}

    def find(self, secret: str) -> Token | None:
        """The token that this is the secret of, also when it has expired."""
        return self._current().get(_digest(secret))

    def list(self) -> list[Token]:
        """By name. Raises StoreError: the file can't be read."""
        return sorted(self._read().values(), key=lambda token: token.name)

    def add(self, name: str, role: Role, *, domains: Iterable[str] = (), expires: float | None = None) -> str:
        """Make one; its secret, which is told only now. Blocking.

        Raises:
            ConfigError: there is one of that name, or it is none; StoreError.
        """
        if not (name.strip() and name.isprintable() and len(name) <= _LONGEST_NAME):
            raise ConfigError(f"a token needs a name of 1 to {_LONGEST_NAME} characters that can be printed")
        secret = _PREFIX + secrets.token_urlsafe(_BYTES)
        token = Token(
            name=name,
            digest=_digest(secret),
            role=role,
            domains=tuple(domains),
            created=time.time(),
            expires=expires,
        )

        def added(tokens: dict[str, Token]) -> str:
            if any(each.name == name for each in tokens.values()):
                raise ConfigError(f"there is a token '{name}' already")
            tokens[token.digest] = token
            return secret

        return self._change(added)

    def remove(self, name: str) -> None:
        """Who has it is nobody from now on. Blocking. Raises ConfigError: there is none; StoreError."""

        def removed(tokens: dict[str, Token]) -> None:
            found = [digest for digest, token in tokens.items() if token.name == name]
            if not found:
                raise ConfigError(f"there is no token '{name}'")
            del tokens[found[0]]

        self._change(removed)

    def _change(self, change: Callable[[dict[str, Token]], T]) -> T:
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self.path.with_suffix(".lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                tokens = self._read()
                result = change(tokens)
                write_atomic(self.path, msgspec.json.format(msgspec.json.encode(list(tokens.values()))) + b"\n")
                return result
        except OSError as exc:
            raise StoreError(str(self.path), (exc.strerror or str(exc)).lower()) from exc

    def _current(self) -> dict[str, Token]:
        """A file that is broken lets nobody in."""
        try:
            status = os.stat(self.path)  # noqa: PTH116
        except OSError:
            self._seen, self._tokens = None, {}
            return self._tokens
        seen = (status.st_ino, status.st_mtime_ns, status.st_size)
        if seen != self._seen:
            self._seen, self._tokens = seen, {}
            try:
                self._tokens = self._read()
            except StoreError as exc:
                log.error("%s: no token is taken", exc)
        return self._tokens

    def _read(self) -> dict[str, Token]:
        try:
            tokens = msgspec.json.decode(self.path.read_bytes(), type=list[Token])
        except FileNotFoundError:
            return {}
        except OSError as exc:
            raise StoreError(str(self.path), (exc.strerror or str(exc)).lower()) from exc
        except (msgspec.DecodeError, UnicodeDecodeError) as exc:
            raise StoreError(str(self.path), f"it is not what it should be: {exc}") from exc
        return {token.digest: token for token in tokens}


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()
