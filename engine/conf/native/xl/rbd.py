"""Images of a Ceph cluster as QEMU's RBD driver names them: ``rbd:pool/image@snapshot:option=value:...``.

Source: Ceph's "QEMU and block devices". In the options ``:``, ``;`` and the like stand after a backslash; in xl's
configuration, which takes backslashes for its own in some versions, there are two of them.
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

__all__ = ["rbd_source", "rbd_text"]

_OPTION = re.compile(r"(?:[^:\\]|\\.)+", re.DOTALL)
_HOST = re.compile(r"\\[;, ]|[;, ]")


def rbd_source(target: str) -> RbdSource:
    """What is named; keys of a cluster are left out, since definitions refer to secrets instead."""
    name, *options = _OPTION.findall(target.removeprefix("rbd:").replace("\\\\", "\\"))
    values = dict(option.split("=", 1) for option in options if "=" in option)
    name, _, snapshot = _plain(name).partition("@")
    return RbdSource(
        protocol="rbd",
        name=name,
        hosts=tuple(_host(text) for text in _HOST.split(values.get("mon_host", "")) if text),
        snapshot=SourceSnapshot(name=snapshot) if snapshot else None,
        config=SourceConfig(file=_plain(values["conf"])) if "conf" in values else None,
    )


def _host(text: str) -> HostByName:
    address = _plain(text)
    if address.startswith("["):
        name, _, port = address[1:].partition("]")
        port = port.removeprefix(":")
    else:
        name, _, port = address.rpartition(":") if address.count(":") == 1 else (address, "", "")
    return HostByName(name=name, port=int(port) if port.isdecimal() and len(port) < 6 else None)


def _plain(text: str) -> str:
    return re.sub(r"\\(.)", r"\1", text)


def rbd_text(source: NetworkSource) -> str | None:
    """None: it is no image of Ceph's, or needs a secret."""
    if not isinstance(source, RbdSource) or source.auth is not None or not source.name:
        return None
    text = f"rbd:{source.name}"
    if source.snapshot is not None:
        text += f"@{source.snapshot.name}"
    text += ":auth_supported=none"
    if source.hosts:
        text += f":mon_host={_hosts(source.hosts)}"
    if source.config is not None:
        text += f":conf={_escaped(source.config.file)}"
    return text


def _hosts(hosts: Iterable[NetworkHost]) -> str:
    return "\\\\;".join(_host_text(host) for host in hosts if isinstance(host, HostByName))


def _host_text(host: HostByName) -> str:
    name = f"[{host.name}]" if ":" in host.name else host.name
    return _escaped(name if host.port is None else f"{name}:{host.port}")


def _escaped(text: str) -> str:
    return re.sub(r"([:;,])", r"\\\\\1", text)
