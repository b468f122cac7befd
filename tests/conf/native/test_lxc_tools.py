"""LXC's configurations to definitions."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.conf.documents import format as written
from engine.conf.documents import validate
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.native import Host, from_native
from engine.errors import ConfigError

BASE = "lxc.uts.name = box\nlxc.rootfs.path = /srv/box\n"


def elements(text: str, tag: str) -> list[str]:
    document = written(from_native("lxc-tools", text).definition)
    assert not [problem for problem in validate(document) if problem.severity == "error"]
    flat = re.sub(r">\s+<", "><", document).replace('"', "'")
    return re.findall(rf"<{tag}(?: [^>]*)?/>|<{tag}(?: [^>]*[^/])?>.*?</{tag}>", flat)


def told(text: str) -> list[tuple[int, str]]:
    return [(each.line, each.xpath) for each in from_native("lxc-tools", text).warnings]


def test_names_of_both_versions() -> None:
    old = "lxc.utsname = box\nlxc.rootfs = /srv/box\nlxc.tty = 2\nlxc.id_map = u 0 1000 10\nlxc.network.type = empty\n"
    new = (
        "lxc.uts.name = box\nlxc.rootfs.path = /srv/box\nlxc.tty.max = 2\nlxc.idmap = u 0 1000 10\nlxc.net.0.type=empty"
    )
    host = Host(uuid="c7a5fdbd-edaf-9455-926a-d65c16db1809")
    one, other = (from_native("lxc-tools", text, host=host) for text in (old, new))
    assert one.definition == other.definition
    assert not one.warnings
    assert len(one.definition.devices.consoles if one.definition.devices else ()) == 2


@pytest.mark.parametrize(
    ("root", "source"),
    [
        ("/srv/box", "<source dir='/srv/box'/>"),
        ("dir:/srv/box", "<source dir='/srv/box'/>"),
        ("/dev/vg/box", "<source dev='/dev/vg/box'/>"),
        ("loop:/srv/box.img", "<source file='/srv/box.img'/>"),
    ],
)
def test_roots(root: str, source: str) -> None:
    assert source in elements(f"lxc.uts.name = b\nlxc.rootfs.path = {root}\n", "filesystem")[0]


@pytest.mark.parametrize(
    ("entry", "parts"),
    [
        ("/data data none bind,ro 0 0", ["type='mount'", "dir='/data'", "<target dir='/data'/>", "<readonly/>"]),
        ("/a\\040b\\134040 /srv/box/c none rbind", ["dir='/a b\\040'", "<target dir='/c'/>"]),
        ("/dev/sdb1 mnt ext4 defaults", ["type='block'", "dev='/dev/sdb1'"]),
        ("tmpfs run tmpfs size=8m", ["type='ram'", "usage='8192' units='KiB'"]),
        ("tmpfs run tmpfs", ["usage='0' units='KiB'"]),
    ],
)
def test_mounts(entry: str, parts: list[str]) -> None:
    text = f"{BASE}lxc.mount.entry = {entry}\n"
    found = elements(text, "filesystem")[1]
    assert [part for part in parts if part not in found] == []
    assert not told(text)


def test_what_is_mounted_anyway_is_not_told_and_the_rest_is() -> None:
    text = f"{BASE}lxc.mount.entry = proc proc proc nodev 0 0\nlxc.mount.entry = x y overlay\n"
    assert len(elements(text, "filesystem")) == 1
    assert told(text) == [(4, "lxc.mount.entry")]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        ("type=veth\nlink=br0\nflags=up\nname=eth0", "<interface type='bridge'><source bridge='br0'/>"),
        ("type=veth\nveth.pair=v0\nhwaddr=fe:xx:00:00:00:01", "<interface type='ethernet'><target dev='v0'/>"),
        ("type=macvlan\nlink=eth0", "<source dev='eth0' mode='private'/>"),
        ("type=macvlan\nlink=eth0\nmacvlan.mode=passthru", "<source dev='eth0' mode='passthrough'/>"),
        ("type=phys\nlink=eth0", "<source><interface>eth0</interface></source>"),
        ("type=vlan\nlink=eth0\nvlan.id=7", "<source><interface>eth0.7</interface></source>"),
    ],
)
def test_networks(lines: str, found: str) -> None:
    def parts(text: str) -> set[str]:
        return set(re.findall("<.*?>[^<]*", text))

    for prefix in ("lxc.network.", "lxc.net.3."):
        text = BASE + "".join(f"{prefix}{line}\n" for line in lines.splitlines())
        devices = [*elements(text, "hostdev"), *elements(text, "interface")]
        assert parts(found) <= parts(devices[0])
        assert not elements(text, "privnet")


def test_addresses() -> None:
    text = f"{BASE}lxc.net.0.type = veth\nlxc.net.0.ipv4.address = 10.0.0.2/24\nlxc.net.0.ipv6.gateway = fe80::1\n"
    (card,) = elements(text, "interface")
    assert re.search("<ip address='10.0.0.2' family='ipv4' prefix='24'/>", card)
    assert re.search("<route family='ipv6' address='::' gateway='fe80::1'/>", card)
    assert told(f"{text}lxc.net.0.ipv4.gateway = auto\nlxc.net.0.foo = 1\n") == [
        (6, "lxc.net.0.ipv4.gateway"),
        (7, "lxc.net.0.foo"),
    ]


@pytest.mark.parametrize(("type_", "own"), [(None, True), ("empty", True), ("none", False), ("ipvlan", True)])
def test_a_network_without_cards(type_: str | None, own: bool) -> None:
    text = BASE + (f"lxc.net.0.type = {type_}\n" if type_ else "")
    assert bool(elements(text, "privnet")) is own
    assert told(text) == ([(3, "lxc.net.0.type")] if type_ == "ipvlan" else [])


@pytest.mark.parametrize(
    ("maps", "ids"),
    [
        ("u 0 100000 65536|g 0 100000 65536", [("0", "100000", "65536")] * 2),
        ("u 10000 0 2000|g 10000 0 1000", [("0", "10000", "2000"), ("0", "10000", "1000")]),
        ("u 0 1000 1|u 1 0 1", [("0", "1000", "1"), ("1", "0", "1")]),
    ],
)
def test_id_maps_in_either_order(maps: str, ids: list[tuple[str, str, str]]) -> None:
    text = BASE + "".join(f"lxc.idmap = {each}\n" for each in maps.split("|"))
    assert re.findall("start='(.*?)' target='(.*?)' count='(.*?)'", elements(text, "idmap")[0]) == ids


def test_limits() -> None:
    text = BASE + (
        "lxc.cgroup.memory.limit_in_bytes = 1G\nlxc.cgroup.memory.soft_limit_in_bytes = 128m\n"
        "lxc.cgroup.cpu.shares = 512\nlxc.cgroup2.cpu.max = 5000 10000\nlxc.cgroup.cpuset.cpus = 1,2,5-7\n"
        "lxc.cgroup.cpuset.mems = 1-4\nlxc.cgroup.blkio.device_weight = 8:0 300\nlxc.cgroup2.io.max = 8:16 rbps=7\n"
    )
    assert elements(text, "memory")[0] == "<memory unit='KiB'>1048576</memory>"
    assert "<soft_limit unit='KiB'>131072</soft_limit>" in elements(text, "memtune")[0]
    assert re.findall("<(?:shares|period|quota)>(.*?)<", elements(text, "cputune")[0]) == ["512", "10000", "5000"]
    assert "cpuset='1-2,5-7'" in elements(text, "vcpu")[0]
    assert elements(text, "device") == [
        "<device><path>/dev/block/8:0</path><weight>300</weight></device>",
        "<device><path>/dev/block/8:16</path><read_bytes_sec>7</read_bytes_sec></device>",
    ]
    assert not told(text)


def test_capabilities() -> None:
    dropped = f"{BASE}lxc.cap.drop = sys_module MKNOD\nlxc.cap.drop = flying\n"
    assert elements(dropped, "capabilities") == [
        "<capabilities policy='allow'><mknod state='off'/><sys_module state='off'/></capabilities>"
    ]
    assert told(dropped) == [(4, "lxc.cap.drop/flying")]
    kept = f"{BASE}lxc.cap.keep = kill\n"
    assert elements(kept, "capabilities") == ["<capabilities policy='deny'><kill state='on'/></capabilities>"]


def test_the_first_process() -> None:
    text = f"{BASE}lxc.init.cmd = /bin/sh -c\nlxc.environment = A=b=c\nlxc.environment = HOME\nlxc.init.uid = 7\n"
    (os,) = elements(text, "os")
    assert "<init>/bin/sh</init><initarg>-c</initarg><initenv name='A'>b=c</initenv>" in os
    assert "<inituser>7</inituser><initgroup>0</initgroup>" in os
    assert told(text) == [(5, "lxc.environment")]


def test_what_is_set_to_nothing_was_not_set() -> None:
    text = f"{BASE}lxc.cap.drop = kill\nlxc.cap.drop =\nlxc.tty.max = 1\nlxc.tty.max = '2'\n"
    assert elements(text, "capabilities") == ["<capabilities policy='allow'/>"]
    assert len(elements(text, "console")) == 2
    assert told(text) == [(5, "lxc.tty.max")]


def test_nothing_is_dropped_in_silence() -> None:
    text = (
        f"# what\n{BASE}lxc.autodev = 1\nlxc.pts = 1024\nlxc.include = /x\nlxc.net.0.type = phys\nlxc.net.0.link = e\n"
    )
    assert told(f"{text}lxc.net.0.name = f\n") == [(5, "lxc.pts"), (6, "lxc.include"), (9, "lxc.net.0.name")]


@pytest.mark.parametrize(
    ("said", "lines"),
    [
        ("lxc.net.0.type = veth\nlxc.net.0.link = a\nlxc.net.0.link = b", [4]),
        ("lxc.net.0.type = veth\nlxc.net.0.mtu = 1500\nlxc.net.0.mtu = 1400", [4]),
        ("lxc.net.0.type = veth\nlxc.net.0.flags = down", [4]),
        ("lxc.net.0.type = phys\nlxc.net.0.link = a\nlxc.net.0.flags = down", [5]),
        ("lxc.net.0.type = empty\nlxc.net.0.link = a", [4]),
        ("lxc.cgroup.cpu.shares = 2\nlxc.cgroup2.cpu.shares = 3", [3]),
        ("lxc.cgroup2.cpu.max = 5000\nlxc.cgroup.cpu.cfs_quota_us = 2000", [4]),
        ("lxc.cgroup2.cpu.max = 5000\nlxc.cgroup.cpu.cfs_period_us = 2000", [4]),
        ("lxc.cgroup.blkio.weight_device = 8:0 300\nlxc.cgroup.blkio.device_weight = 8:0 400", [3]),
        ("lxc.cgroup2.io.max = 8:0 rbps=1 rbps=2", [3]),
        ("lxc.cgroup2.io.max = 8:0 rbps=1\nlxc.cgroup2.io.max = 8:0 rbps=max", [3]),
        ("lxc.mount.entry = a b tmpfs size=1k,size=2k", [3]),
    ],
)  # fmt: skip
def test_who_loses_is_told(said: str, lines: list[int]) -> None:
    assert [line for line, _ in told(f"{BASE}{said}\n")] == lines


#: Values of settings, of which some may lose to others.
SETTINGS = {
    "lxc.net.0.type": ["veth", "phys", "empty", "macvlan"], "lxc.net.0.link": ["a", "b"],
    "lxc.net.0.mtu": ["1400", "1500"], "lxc.net.0.flags": ["up", "down"], "lxc.net.0.name": ["c", "d"],
    "lxc.net.0.vlan.id": ["1", "2"],
    "lxc.net.0.macvlan.mode": ["vepa", "bridge"], "lxc.net.0.ipv4.address": ["10.0.0.1/24", "10.0.0.2"],
    "lxc.cgroup.cpu.shares": ["2", "3"], "lxc.cgroup2.cpu.shares": ["4", "5"],
    "lxc.cgroup2.cpu.max": ["2000", "max 3000"], "lxc.cgroup.cpu.cfs_quota_us": ["4000", "5000"],
    "lxc.cgroup.cpu.cfs_period_us": ["6000", "7000"],
    "lxc.cgroup.memory.limit_in_bytes": ["1m", "2m"], "lxc.cgroup2.memory.max": ["3m", "4m"],
    "lxc.cgroup.blkio.weight_device": ["8:0 300", "8:0 400"], "lxc.cgroup.blkio.device_weight": ["8:0 500", "8:1 600"],
    "lxc.cgroup2.io.max": ["8:0 rbps=1", "8:0 rbps=max wbps=2"],
    "lxc.cap.drop": ["kill", "chown"], "lxc.cap.keep": ["kill", "mknod"], "lxc.init.cmd": ["/a b", "/c"],
    "lxc.tty.max": ["1", "2"], "lxc.rootfs.options": ["ro", "rw"],
    "lxc.mount.entry": ["a b tmpfs", "/a b none bind,nodev"], "lxc.environment": ["A=b", "A"],
    "lxc.idmap": ["u 0 1 2", "g 0 1 2"], "lxc.pty.max": ["1", "2"],
}  # fmt: skip


@given(st.lists(st.sampled_from([*SETTINGS]), max_size=8), st.integers(0, 3))
def test_each_line_changes_something_or_is_told(keys: list[str], number: int) -> None:
    def read(said: list[tuple[str, str]]) -> tuple[DomainDocument, list[str]] | None:
        try:
            conversion = from_native("lxc-tools", BASE + "".join(f"{key} = {value}\n" for key, value in said))
        except ConfigError:
            return None
        return conversion.definition, [f"{each.line} {each.xpath} {each.reason}" for each in conversion.warnings]

    said = [(key, SETTINGS[key][(number + place) % len(SETTINGS[key])]) for place, key in enumerate(keys)]
    found = read(said)
    for place, (key, value) in enumerate(said if found else ()):
        assert found is not None
        if said.count((key, value)) > 1:
            continue
        others = [read([*said[:place], (key, other), *said[place + 1 :]]) for other in SETTINGS[key] if other != value]
        is_told = any(where.startswith(f"{place + 3} {key}") for where in found[1])
        assert is_told or any(other != found for other in others), key


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        (f"{BASE}lxc.cgroup2.cpu.max = 1000 2000 3000\n", 3, "'lxc.cgroup2.cpu.max' is a quota and a period"),
        (f"{BASE}lxc.cgroup.blkio.weight_device = 8:0 1 2\n", 3, "is a device and a number"),
        (f"{BASE}lxc.cgroup2.io.max = 8:0\n", 3, "is a device and its limits"),
        ("lxc.uts.name = a\n", None, "a container needs 'lxc.rootfs.path'"),
        (f"{BASE}lxc.mount = /etc/fstab\n", 3, "the file that 'lxc.mount' names is not read"),
        (f"{BASE}what\n", 3, "'what' is no setting such as lxc.uts.name = box"),
        (f"{BASE}lxc.tty.max = 99999999\n", 3, "a container has 0 to 1024 consoles"),
        (f"{BASE}lxc.tty.max = -1\n", 3, "a container has 0 to 1024 consoles"),
        (f"{BASE}lxc.cgroup.cpu.shares = x\n", 3, "'lxc.cgroup.cpu.shares' needs a number"),
        (f"{BASE}lxc.net.0.type = macvlan\n", 3, "a card of type macvlan needs a 'link'"),
        (f"{BASE}lxc.idmap = u 1 2\n", 3, "'lxc.idmap' is u or g and three numbers"),
        (f"{BASE}lxc.network.type = veth\nlxc.network.hwaddr = 7\n", 3, "'address' would have to be the MAC address"),
        (f"{BASE}lxc.mount.entry = /a\\001b tmp none bind 0 0\n", 3, "\\040, \\043, \\134, not \\001"),
        (f"{BASE}lxc.mount.entry = a b\\303 tmpfs\n", 3, "not \\303"),
        ("lxc.rootfs = overlayfs:/a:/b\n", 1, "a root of kind 'overlayfs' can't be said in a definition"),
    ],
)
def test_what_is_refused(text: str, line: int | None, reason: str) -> None:
    with pytest.raises(ConfigError) as caught:
        from_native("lxc-tools", text, source="config")
    assert (caught.value.source, caught.value.line) == ("config", line)
    assert reason in caught.value.reason


@pytest.mark.parametrize(
    "key",
    ["lxc.idmap", "lxc.init.cmd", "lxc.cgroup2.cpu.max", "lxc.cgroup2.io.max", "lxc.cgroup.blkio.weight_device",
     "lxc.net.0.ipv4.address", "lxc.mount.entry", "lxc.cap.drop"],
)  # fmt: skip
def test_what_is_blank_between_quotes_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=f"'{key}' is blank") as caught:
        from_native("lxc-tools", f"{BASE}lxc.net.0.type = veth\n{key} = ' '\n")
    assert caught.value.line == 4


KEYS = st.sampled_from(
    ["lxc.uts.name", "lxc.rootfs", "lxc.network.type", "lxc.network.ipv4", "lxc.net.0.type", "lxc.mount.entry",
     "lxc.idmap", "lxc.init.cmd", "lxc.cgroup.blkio.device_weight", "lxc.cgroup2.cpu.max", "lxc.cap.drop",
     "lxc.cgroup2.io.max", "lxc.net.0.ipv4.address", "lxc.net.0.hwaddr", "lxc.cgroup.cpuset.cpus"]
)  # fmt: skip
VALUES = st.one_of(
    st.text(max_size=8),
    st.sampled_from(["/a", "veth", "vlan", "u 0 1 2", "a b tmpfs size=1", "8:0 7", '" "', "a\\001 \\040b none bind"]),
)


@given(st.lists(st.tuples(KEYS, VALUES), max_size=12))
def test_any_text_is_read_or_refused(settings: list[tuple[str, str]]) -> None:
    try:
        definition = from_native("lxc-tools", "".join(f"{key} = {value}\n" for key, value in settings)).definition
    except ConfigError:
        return
    assert not [problem for problem in validate(written(definition)) if problem.severity == "error"]
