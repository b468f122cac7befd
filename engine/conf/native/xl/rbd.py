"""Images of a Ceph cluster as QEMU's RBD driver names them: ``rbd:pool/image@snapshot:option=value:...``.

Source: Ceph's "QEMU and block devices". A backslash takes the meaning of the character after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from engine.conf.kinds.domain.storage import (
    HostByName,
    NetworkHost,
    NetworkSource,
    RbdSource,
    SourceConfig,
    SourceSnapshot,
)
from engine.conf.native.xl.keys import AGAIN, Spec

__all__ = ["rbd_source", "rbd_text"]

_CHARACTER = re.compile(r"\\?.", re.DOTALL)
_BETWEEN_HOSTS = re.compile("[;, ]")


def rbd_source(target: str, spec: Spec) -> RbdSource:
    """What is named; of the other options ``spec`` tells, as of a user and a key, for which definitions have secrets.

    Raises:
        ConfigError: it names no image.
    """
    first, *options = _split(target.removeprefix("rbd:"), ":")
    name, *snapshot = map(_plain, _split(first, "@"))
    if not name:
        raise spec.error("after 'rbd:' there are a pool and an image")
    values: dict[str, str] = {}
    for option in options:
        key, equals, value = option.partition("=")
        if key in values:
            spec.warn(key, AGAIN)
        if key in ("mon_host", "conf"):
            values[key] = _plain(value)
        elif (key, value) != ("auth_supported", "none"):
            spec.warn(key if equals else "?")
    return RbdSource(
        protocol="rbd",
        name=name,
        hosts=tuple(_host(text) for text in _BETWEEN_HOSTS.split(values.get("mon_host", "")) if text),
        snapshot=SourceSnapshot(name="@".join(snapshot)) if snapshot else None,
        config=SourceConfig(file=values["conf"]) if "conf" in values else None,
    )


def _split(text: str, separator: str) -> list[str]:
    """Where it has its meaning."""
    parts: list[list[str]] = [[]]
    for character in _CHARACTER.findall(text):
        if character == separator:
            parts.append([])
        else:
            parts[-1].append(character)
    return ["".join(part) for part in parts]


def _host(address: str) -> HostByName:
    if address.startswith("["):
        name, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = address.rpartition(":") if address.count(":") == 1 else (address, "", "")
    return HostByName(name=name, port=int(port) if port.isascii() and port.isdigit() and len(port) < 6 else None)


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL)


def rbd_text(source: NetworkSource) -> str | None:
    """None: it is no image of Ceph's, or needs a secret."""
    if not isinstance(source, RbdSource) or source.auth is not None or not source.name:
        return None
    text = f"rbd:{_escaped(source.name)}"
    if source.snapshot is not None:
        text += f"@{_escaped(source.snapshot.name)}"
    text += ":auth_supported=none"
    if source.hosts:
        text += f":mon_host={_hosts(source.hosts)}"
    if source.config is not None:
        text += f":conf={_escaped(source.config.file)}"
    return text


def _hosts(hosts: Iterable[NetworkHost]) -> str:
    return _escaped(";".join(_host_text(host) for host in hosts if isinstance(host, HostByName)))


def _host_text(host: HostByName) -> str:
    name = f"[{host.name}]" if ":" in host.name else host.name
    return name if host.port is None else f"{name}:{host.port}"


def _escaped(text: str) -> str:
    return re.sub(r"[:;,@=\\]", r"\\\g<0>", text)
