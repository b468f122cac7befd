"""Serial and parallel ports, consoles and channels of Xen's guests, and back.

Source: ``-serial`` of QEMU's documentation, which xl.cfg(5) refers to, and ``channel`` in xl.cfg(5).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from engine.conf.kinds.domain.chardev import (
    Channel,
    CharDevice,
    CharProtocol,
    CharSource,
    Console,
    Parallel,
    Serial,
    SerialTarget,
    TypedConsole,
    XenTarget,
)
from engine.conf.native.xl.keys import Keys, Spec
from engine.conf.native.xl.text import Item, Setting, options_text

__all__ = ["channel_texts", "consoles", "port_settings", "read_channels", "read_ports"]

_PLAIN = ("null", "pty", "stdio", "vc")
_NOTHING = "none"
_LISTEN = ("server", "server=on", "listen")
_AT_ONCE = ("nowait", "wait=off")
Parts = dict[str, Any]


# ---------------------------------------------------------------------------- reading


def read_ports(keys: Keys, key: Literal["serial", "parallel"]) -> Iterator[Parts]:
    """What the ports of a setting are made of; those that lead nowhere (none) are left out, and keep their numbers."""
    for number, item in enumerate(keys.strings(key)):
        text = str(item.value).strip()
        if text in ("", _NOTHING):
            continue
        parts = _port(text)
        if parts is None:
            keys.warn(f"{key}[{number + 1}]", item.line, "this kind of port is not known")
        else:
            for option in _lost(text, parts["type_"]):
                keys.warn(f"{key}[{number + 1}]/{option}", item.line)
            yield {**parts, "target": SerialTarget(port=str(number)), "line": item.line}


def _port(text: str) -> Parts | None:
    kind, colon, rest = text.partition(":")
    if text.startswith("/"):
        return {"type_": "dev", "sources": (CharSource(path=text),)}
    if kind in _PLAIN and (not colon or kind == "vc"):
        return {"type_": kind}
    read = _READERS.get(kind) if colon else None
    return read(rest) if read else None


def _lost(text: str, type_: str) -> list[str]:
    """What else is said of it."""
    if type_ == "vc":
        return text.split(":")[1:]
    options = text.split(",")[1:] if type_ in ("tcp", "unix") else []
    return [option for option in options if option.strip() not in (*_LISTEN, *_AT_ONCE)]


def _file(rest: str) -> Parts:
    return {"type_": "file", "sources": (CharSource(path=rest),)}


def _pipe(rest: str) -> Parts:
    return {"type_": "pipe", "sources": (CharSource(path=rest),)}


def _tcp(rest: str) -> Parts:
    address, *options = rest.split(",")
    host, service = _address(address)
    source = CharSource(mode=_mode(options), host=host, service=service)
    return {"type_": "tcp", "sources": (source,), "protocol": CharProtocol(type_="raw")}


def _telnet(rest: str) -> Parts:
    return _tcp(rest) | {"protocol": CharProtocol(type_="telnet")}


def _udp(rest: str) -> Parts:
    """Where it sends to, and after ``@`` where it is bound."""
    there, _, here = rest.partition("@")
    sources = []
    for mode, address in (("bind", here), ("connect", there)):
        host, service = _address(address)
        if host or service:
            sources.append(CharSource(mode=mode, host=host, service=service))
    return {"type_": "udp", "sources": tuple(sources)}


def _unix(rest: str) -> Parts:
    path, *options = rest.split(",")
    return {"type_": "unix", "sources": (CharSource(mode=_mode(options), path=path),)}


def _mode(options: Sequence[str]) -> str:
    listens = any(option.strip() in _LISTEN for option in options)
    return "bind" if listens else "connect"


def _address(text: str) -> tuple[str | None, str | None]:
    host, colon, service = text.rpartition(":")
    if not colon:
        return text or None, None
    return host.removeprefix("[").removesuffix("]") or None, service or None


_READERS: dict[str, Callable[[str], Parts]] = {
    "file": _file, "pipe": _pipe, "tcp": _tcp, "telnet": _telnet, "udp": _udp, "unix": _unix,
}  # fmt: skip


def consoles(serials: Sequence[Serial], hvm: bool) -> tuple[Console, ...]:
    """What guests have for a console: the first serial port once more, or Xen's own."""
    if not hvm:
        return (TypedConsole(type_="pty", target=SerialTarget(type_="xen", port="0")),)
    for first in serials:
        target = SerialTarget(type_="serial", port=first.target.port if first.target else "0")
        return (TypedConsole(type_=first.type_, sources=first.sources, protocol=first.protocol, target=target),)
    return ()


def read_channels(keys: Keys) -> Iterator[Channel]:
    for number, item in enumerate(keys.strings("channel"), 1):
        yield _channel(Spec(keys, f"channel[{number}]", item), item)


def _channel(spec: Spec, item: Item) -> Channel:
    connection, target = spec.take("connection"), XenTarget(type_="xen", name=spec.take("name"))
    if connection not in ("pty", "socket"):
        raise spec.error("the connection of a channel is pty or socket")
    path = spec.take("path") if connection == "socket" else None
    spec.finish()
    if connection == "pty":
        return Channel(type_="pty", target=target, line=item.line)
    return Channel(type_="unix", sources=(CharSource(mode="bind", path=path),), target=target, line=item.line)


# ---------------------------------------------------------------------------- writing


def port_settings(parallels: Sequence[Parallel], serials: Sequence[Serial]) -> list[Setting]:
    """Of a guest that has such ports."""
    return [("parallel", _ports(parallels)), ("serial", _ports(serials))]


def _ports(devices: Sequence[Serial | Parallel]) -> str | list[str]:
    """One by itself, several as a list; what has no port of its own gets the next."""
    texts: dict[int, str] = {}
    for device in devices:
        text = _port_text(device)
        port = device.target.port if device.target else None
        number = int(port) if port and port.isascii() and port.isdigit() and len(port) < 3 else len(texts)
        if text is not None:
            texts[number] = text
    if set(texts) <= {0}:
        return texts.get(0, _NOTHING)
    return [texts.get(number, _NOTHING) for number in range(max(texts) + 1)]


def _port_text(device: CharDevice) -> str | None:
    sources = {source.mode or "connect": source for source in device.sources}
    first = device.sources[0] if device.sources else CharSource()
    match device.type_:
        case "null" | "pty" | "stdio" | "vc":
            return device.type_
        case "file" | "pipe":
            return f"{device.type_}:{first.path or ''}"
        case "dev":
            return first.path
        case "tcp":
            kind = "telnet" if device.protocol and device.protocol.type_ == "telnet" else "tcp"
            return f"{kind}:{_address_text(first)}{_listening(first)}"
        case "udp":
            there, here = sources.get("connect"), sources.get("bind")
            return f"udp:{_address_text(there)}" + (f"@{_address_text(here)}" if here else "")
        case "unix":
            if "," in (first.path or ""):
                return None  # it would be taken for an option
            return f"unix:{first.path or ''}{_listening(first)}"
    return None


def _address_text(source: CharSource | None) -> str:
    host, service = (source.host, source.service) if source else (None, None)
    return f"{f'[{host}]' if host and ':' in host else host or ''}:{service or ''}"


def _listening(source: CharSource) -> str:
    return ",server,nowait" if source.mode == "bind" else ""


def channel_texts(channels: Iterable[Channel]) -> list[str]:
    """Of those that Xen has."""
    return [text for channel in channels if (text := _channel_text(channel))]


def _channel_text(channel: Channel) -> str | None:
    name = channel.target.name if isinstance(channel.target, XenTarget) else None
    if name is None or channel.type_ not in ("pty", "unix"):
        return None
    if channel.type_ == "pty":
        return options_text([("connection", "pty"), ("name", name)])
    path = channel.sources[0].path if channel.sources else None
    return options_text([("connection", "socket"), ("path", path), ("name", name)])
