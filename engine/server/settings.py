"""The service's configuration file. Text in, settings out::

listen = ["tls:0.0.0.0:8470"]           # beside the UNIX socket api.sock; also unix:PATH, tcp:127.0.0.1:PORT

[access]                                # user:NAME, group:NAME; certificate:NAME, the CN of a client's certificate
viewer = ["group:libvirt"]
operator = ["user:ada", "certificate:ci"]
admin = []
polkit = true                           # ask polkit, where it is, about users that are named nowhere here

[tls]                                   # files in PEM; what changes in them holds after a reload
certificate = "/etc/virengine/server.pem"
key = "/etc/virengine/server.key"
client-ca = "/etc/virengine/clients.pem"  # whose clients' certificates are taken for true

[limits]                                # see ServerLimits
connections = 4096
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, TypeAlias

import msgspec

from engine.conf.tables import Table, read_toml
from engine.errors import ConfigError
from engine.server.access.peers import Role, is_known
from engine.server.limits import ServerLimits
from engine.server.listeners import Address, parse_address
from engine.server.webhooks.settings import Webhook, check, check_name, read_ca, read_secret, trust_of

__all__ = ["AccessSettings", "Settings", "TlsSettings", "check_who", "parse_settings", "read_settings"]

_WHO = re.compile(r"(user|group|certificate):.+")
_File: TypeAlias = Annotated[str, msgspec.Meta(pattern="^/[^\\x00]+$")]
_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
_Seconds: TypeAlias = Annotated[float, msgspec.Meta(gt=0, lt=1e9)]


class AccessSettings(Table, frozen=True, kw_only=True):
    """Attributes: viewer, operator, admin: who has this role; polkit: whether it is asked about others."""

    viewer: tuple[str, ...] = ()
    operator: tuple[str, ...] = ()
    admin: tuple[str, ...] = ()
    polkit: bool = True

    @property
    def rules(self) -> dict[Role, tuple[str, ...]]:
        return {"viewer": self.viewer, "operator": self.operator, "admin": self.admin}


class TlsSettings(Table, frozen=True, kw_only=True):
    """Attributes: certificate, key: files in PEM; client_ca: the same, whose clients' certificates are believed."""

    certificate: _File
    key: _File
    client_ca: _File | None = None

    def context(self) -> ssl.SSLContext:
        """What these files make now. Raises ConfigError: they are not there, or don't fit."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["h2", "http/1.1"])
        name = self.certificate
        try:
            context.load_cert_chain(self.certificate, self.key, password=_no_password)
            if self.client_ca is not None:
                name = self.client_ca
                context.load_verify_locations(self.client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL  # a token does as well
        except ssl.SSLError as exc:
            raise ConfigError(f"{name}: no certificate that fits: {exc.reason or exc}") from exc
        except (OSError, ValueError) as exc:
            reason = exc.strerror.lower() if isinstance(exc, OSError) and exc.strerror else str(exc)
            raise ConfigError(f"{name}, or its key: {reason}") from exc
        return context


def _no_password() -> str:
    raise ValueError("the key has a password, and nobody is there to type it in")


class LimitSettings(Table, frozen=True, kw_only=True):
    """The bounds of ``ServerLimits``; what is left out is as there."""

    body_bytes: _Count | None = None
    header_bytes: _Count | None = None
    body_seconds: _Seconds | None = None
    idle_seconds: _Seconds | None = None
    send_seconds: _Seconds | None = None
    connections: _Count | None = None
    connections_each: _Count | None = None
    subscriptions_each: _Count | None = None
    operations: _Count | None = None
    grace_seconds: _Seconds | None = None

    def bounds(self) -> ServerLimits:
        given = {name: value for name, value in msgspec.structs.asdict(self).items() if value is not None}
        return ServerLimits(**given)


class Settings(Table, frozen=True, kw_only=True):
    """All of it. ``Settings()`` is what holds without a file.

    Attributes:
        listen: where, beside the UNIX socket; they are checked (``engine.server.listeners.parse_address``).
    """

    listen: tuple[str, ...] = ()
    access: AccessSettings = AccessSettings()
    tls: TlsSettings | None = None
    limits: LimitSettings = LimitSettings()
    webhook: tuple[Webhook, ...] = ()

    def with_more(self, *, listen: Iterable[str] = (), **rules: Iterable[str]) -> Settings:
        """The same, with further addresses, and further names in the roles. Raises ConfigError: one is none."""
        access = self.access
        for role, names in rules.items():
            names = tuple(names)
            for name in names:
                check_who(name)
            access = msgspec.structs.replace(access, **{role: (*getattr(access, role), *names)})
        found = msgspec.structs.replace(self, listen=(*self.listen, *listen), access=access)
        found.check_secured()
        return found

    def check_secured(self) -> None:
        """Raises ConfigError: an address needs TLS, and there is none."""
        for address in self.addresses:
            _check_secured(address, self.tls)

    def unknown_names(self) -> list[str]:
        """Users and groups with a role that this host does not know. Blocking: it may ask a directory service."""
        names = dict.fromkeys(name for names in self.access.rules.values() for name in names)
        return [name for name in names if not is_known(name)]

    def tls_context(self) -> ssl.SSLContext | None:
        """What the files that ``[tls]`` names make now. Raises ConfigError: they are not there, or don't fit."""
        return self.tls.context() if self.tls is not None else None

    @property
    def addresses(self) -> tuple[Address, ...]:
        return tuple(parse_address(text) for text in self.listen)


def parse_settings(text: str, *, source: str | None = None, files: bool = False) -> Settings:
    """The settings that a TOML text holds.

    Args:
        files: those that it names are looked at, too. Blocking.

    Raises:
        ConfigError: no TOML, an unknown key, a wrong value, something that does not fit the rest; with the line.
    """
    read = read_toml(text, Settings, source=source)
    for number, address in enumerate(read.value.listen):
        with read.at("listen", number):
            _check_secured(parse_address(address), read.value.tls)
    for role, names in read.value.access.rules.items():
        for number, name in enumerate(names):
            with read.at("access", role, number):
                check_who(name)
    for number, webhook in enumerate(read.value.webhook):
        with read.at("webhook", number):
            check(webhook)
            check_name(webhook, read.value.webhook[:number])
            if files:
                read_secret(webhook)
                trust_of(webhook, read_ca(webhook))
    if files:
        with read.at("tls"):
            read.value.tls_context()
    return read.value


def check_who(name: str) -> None:
    if _WHO.fullmatch(name) is None:
        raise ConfigError(f"'{name}' is neither user:NAME nor group:NAME nor certificate:NAME")


def _check_secured(address: Address, tls: TlsSettings | None) -> None:
    if address.tls and tls is None:
        raise ConfigError(f"'{address}' needs a certificate: there is no [tls]")


def read_settings(path: str | os.PathLike[str], *, files: bool = False) -> Settings:
    """The settings in a file. Raises ConfigError, too, where it can't be read."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as exc:
        raise ConfigError(f"it can't be read: {(exc.strerror or str(exc)).lower()}", source=os.fspath(path)) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError("it is not UTF-8", source=os.fspath(path)) from exc
    return parse_settings(text, source=os.fspath(path), files=files)
