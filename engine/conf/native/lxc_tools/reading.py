"""LXC's configurations to definitions of containers. Source: lxc.container.conf(5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, get_args

from engine.conf.kinds.domain.chardev import SerialTarget, TypedConsole
from engine.conf.kinds.domain.clock import UtcClock
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.features import Capabilities, Features, Switch
from engine.conf.kinds.domain.os import ExeOs, ExeType, InitVariable
from engine.conf.kinds.domain.security import IdMap, IdRange
from engine.conf.kinds.values import Arch
from engine.conf.native.checking import check_definition, decoded
from engine.conf.native.conversion import Conversion, Host
from engine.conf.native.lxc_tools.limits import read_limits
from engine.conf.native.lxc_tools.mounts import read_mounts, read_root
from engine.conf.native.lxc_tools.networks import Networks, read_networks
from engine.conf.native.lxc_tools.text import Entries, Entry

__all__ = ["read_lxc"]

#: Architectures that LXC calls otherwise.
ARCHITECTURES = {"x86": "i686", "i386": "i686", "i586": "i686", "amd64": "x86_64", "arm64": "aarch64"}
#: Settings that say what libvirt's containers have anyway.
ANYWAY = {"lxc.autodev": "1"}
_NO_NAME = "unnamed"
_MOST_CONSOLES = 1024
_NOT_CAPABILITIES = {"policy", "line", "other"}


def read_lxc(text: str | bytes, *, source: str | None, host: Host) -> Conversion:
    """The container that a configuration describes.

    Raises:
        ConfigError: the text is not of that form, names a file with mounts, or says what no container of libvirt's
            can have; with the line.
    """
    entries = Entries(decoded(text, source), source)
    definition = _domain(entries, source, host)
    check_definition(definition, source)
    return Conversion(definition=definition, warnings=entries.finish())


def _domain(entries: Entries, source: str | None, host: Host) -> DomainDocument:
    for key, value in ANYWAY.items():
        entry = entries.last(key)
        if entry is not None and entry.value != value:
            entries.warn(entry)
    for entry in entries.take("lxc.include"):
        entries.warn(entry, "the file it names is not read")
    networks = read_networks(entries)
    return DomainDocument(
        type_="lxc",
        source=source,
        name=_name(entries),
        uuid=host.uuid,
        os=_os(entries),
        idmap=_idmap(entries),
        features=Features(privnet=networks.own, capabilities=_capabilities(entries)),
        clock=UtcClock(offset="utc"),
        on_poweroff="destroy",
        on_reboot="restart",
        on_crash="destroy",
        devices=_devices(entries, networks, host),
        **read_limits(entries),
    )


def _name(entries: Entries) -> str:
    entry = entries.last("lxc.uts.name")
    if entry is None:
        first = Entry("lxc.uts.name", "", 0, "lxc.uts.name")
        entries.warn(first, f"it is not set, so the domain is called {_NO_NAME}")
        return _NO_NAME
    return entry.value


def _devices(entries: Entries, networks: Networks, host: Host) -> Devices:
    root, path = read_root(entries)
    return Devices(
        emulator=host.lxc_emulator,
        filesystems=(root, *read_mounts(entries, path)),
        interfaces=tuple(networks.interfaces),
        hostdevs=tuple(networks.hostdevs),
        consoles=tuple(_consoles(entries)),
    )


def _consoles(entries: Entries) -> Iterator[TypedConsole]:
    entry = entries.last("lxc.tty.max")
    count = entries.as_number(entry, entry.value) if entry else 0
    if not 0 <= count <= _MOST_CONSOLES:
        raise entries.error(f"a container has 0 to {_MOST_CONSOLES} consoles", entry)
    for number in range(count):
        yield TypedConsole(type_="pty", target=SerialTarget(type_="lxc", port=str(number)))


# ---------------------------------------------------------------------------- the first process


def _os(entries: Entries) -> ExeOs:
    init, directory = entries.last("lxc.init.cmd"), entries.last("lxc.init.cwd")
    path, *arguments = entries.words(init) if init else ["/sbin/init"]
    user, group = (_id(entries, key) for key in ("lxc.init.uid", "lxc.init.gid"))
    return ExeOs(
        type_=ExeType(arch=_arch(entries), value="exe"),
        init=path,
        initargs=tuple(arguments),
        initenvs=tuple(_variables(entries)),
        initdir=directory.value if directory else None,
        inituser=None if user == group is None else user or "0",
        initgroup=None if user == group is None else group or "0",
        line=init.line if init else 0,
    )


def _id(entries: Entries, key: str) -> str | None:
    number = entries.number(key)
    return None if number is None else str(number)


def _arch(entries: Entries) -> Any:
    entry = entries.last("lxc.arch")
    if entry is None:
        return None
    name = ARCHITECTURES.get(entry.value, entry.value)
    if name not in get_args(Arch):
        entries.warn(entry, "this architecture is not known")
        return None
    return name


def _variables(entries: Entries) -> Iterator[InitVariable]:
    for entry in entries.take("lxc.environment"):
        name, equals, value = entry.value.partition("=")
        if equals:
            yield InitVariable(name=name, value=value, line=entry.line)
        else:
            entries.warn(entry, "a variable that is taken from whoever starts it can't be said in a definition")


# ---------------------------------------------------------------------------- users and capabilities


def _idmap(entries: Entries) -> IdMap | None:
    """LXC names the container's first number, then the host's. Older files have them the other way round.

    That is seen where a map of the host's begins at 0, which no container's does, as one needs its own 0.
    """
    maps = [(entry, *_range(entries, entry)) for entry in entries.take("lxc.idmap")]
    if not maps:
        return None
    swapped = all(first for _, _, first, _, _ in maps) and any(not second for _, _, _, second, _ in maps)
    ranges: dict[str, list[IdRange]] = {"u": [], "g": []}
    for entry, kind, first, second, count in maps:
        start, target = (second, first) if swapped else (first, second)
        ranges[kind].append(IdRange(start=start, target=target, count=count, line=entry.line))
    return IdMap(uids=tuple(ranges["u"]), gids=tuple(ranges["g"]))


def _range(entries: Entries, entry: Entry) -> tuple[Literal["u", "g"], int, int, int]:
    kind, *numbers = entries.words(entry)
    if len(numbers) != 3 or kind not in ("u", "g"):
        raise entries.error(f"'{entry.written}' is u or g and three numbers", entry)
    first, second, count = (entries.as_number(entry, number) for number in numbers)
    return "u" if kind == "u" else "g", first, second, count


def _capabilities(entries: Entries) -> Capabilities:
    """All but some are kept, or (if some are kept) all are dropped but these."""
    dropped, kept = entries.take("lxc.cap.drop"), entries.take("lxc.cap.keep")
    if kept:
        for entry in dropped:
            entries.warn(entry, "it has no effect with 'lxc.cap.keep'")
        return Capabilities(policy="deny", **_switches(entries, kept, state=True))
    return Capabilities(policy="allow", **_switches(entries, dropped, state=False))


def _switches(entries: Entries, said: list[Entry], *, state: bool) -> dict[str, Any]:
    known = set(Capabilities.__struct_fields__) - _NOT_CAPABILITIES
    found: dict[str, Any] = {}
    for entry in said:
        for name in entries.words(entry):
            word = name.lower()
            if word in known:
                found[word] = Switch(state=state, line=entry.line)
            elif word != "none":
                entries.warn(entry, "this capability can't be said in a definition", part=word)
    return found
