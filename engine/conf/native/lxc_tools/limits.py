"""How much of the host a container may use: settings of control groups.

Source: lxc.container.conf(5), "Control groups", and the Linux kernel's documentation of cgroups, versions 1 and 2.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.memory import Memory, MemTune, NumaTune, NumaTuneMemory
from engine.conf.kinds.domain.tuning import BlkioDevice, BlkioTune, CpuTune, Vcpu
from engine.conf.native.lxc_tools.mounts import kibibytes
from engine.conf.native.lxc_tools.text import Entries, Entry
from engine.conf.spellings import canonical_set
from engine.errors import ConfigError

__all__ = ["read_limits"]

#: The setting, and the limit if there is one.
Limit: TypeAlias = tuple[Entry, int | None]
#: Limits by device and name.
Devices: TypeAlias = dict[str, dict[str, Limit]]
#: What a container has where nothing is said, in KiB.
_MEMORY = 64 * 1024
#: Limits of one device, by what the first version of cgroups calls them.
DEVICES = {
    "blkio.device_weight": "weight",
    "blkio.weight_device": "weight",
    "blkio.throttle.read_bps_device": "read_bytes_sec",
    "blkio.throttle.write_bps_device": "write_bytes_sec",
    "blkio.throttle.read_iops_device": "read_iops_sec",
    "blkio.throttle.write_iops_device": "write_iops_sec",
}
#: The same in the second version's io.max.
_IO_MAX = {"rbps": "read_bytes_sec", "wbps": "write_bytes_sec", "riops": "read_iops_sec", "wiops": "write_iops_sec"}


def read_limits(entries: Entries) -> dict[str, Any]:
    """The parts of a definition that say it."""
    cpus, mems = _cpuset(entries, "cpuset.cpus"), _cpuset(entries, "cpuset.mems")
    numa = NumaTune(memory=NumaTuneMemory(mode="strict", nodeset=mems)) if mems else None
    return {
        **_memory(entries),
        "vcpu": Vcpu(placement="static", cpuset=cpus, count=1),
        "cputune": _cputune(entries),
        "numatune": numa,
        "blkiotune": _blkiotune(entries),
    }


def _last(entries: Entries, name: str) -> Entry | None:
    """Of either version of cgroups; the second counts."""
    both = (entries.last(f"lxc.{version}.{name}") for version in ("cgroup", "cgroup2"))
    return entries.counting([entry for entry in both if entry is not None])


def _cpuset(entries: Entries, name: str) -> str | None:
    entry = _last(entries, name)
    if entry is None:
        return None
    try:
        return canonical_set(entry.value)
    except ConfigError as exc:
        raise entries.error(exc.reason, entry) from exc


# ---------------------------------------------------------------------------- memory


def _memory(entries: Entries) -> dict[str, Any]:
    hard, size = _size(entries, "memory.limit_in_bytes", "memory.max")
    soft, _ = _size(entries, "memory.soft_limit_in_bytes")
    swap, _ = _size(entries, "memory.memsw.limit_in_bytes")
    limits = MemTune(hard_limit=hard, soft_limit=soft, swap_hard_limit=swap)
    memory = _MEMORY if size is None else size
    return {
        "memory": Memory(value=memory, unit="KiB", line=hard.line if hard else 0),
        "current_memory": ScaledInteger(value=memory, unit="KiB"),
        "memtune": limits if limits != MemTune() else None,
    }


def _size(entries: Entries, *names: str) -> tuple[ScaledInteger | None, int | None]:
    """The first that is said; without a limit (-1, max) there is none."""
    found = [entry for name in names if (entry := _last(entries, name)) is not None]
    for entry in found[1:]:
        entries.warn(entry, f"'{found[0].written}' counts")
    if not found or found[0].value in ("-1", "max"):
        return None, None
    size = kibibytes(entries, found[0], found[0].value)
    return ScaledInteger(value=size, unit="KiB", line=found[0].line), size


# ---------------------------------------------------------------------------- CPUs


def _cputune(entries: Entries) -> CpuTune | None:
    quota, period = _bandwidth(entries)
    tune = CpuTune(shares=_number(entries, _last(entries, "cpu.shares")), period=period, quota=quota)
    return tune if tune != CpuTune() else None


def _number(entries: Entries, entry: Entry | None) -> int | None:
    return None if entry is None else entries.as_number(entry, entry.value)


def _bandwidth(entries: Entries) -> tuple[int | None, int | None]:
    """How many microseconds of each period; the second version has both in one."""
    both, quota, period = (_last(entries, name) for name in ("cpu.max", "cpu.cfs_quota_us", "cpu.cfs_period_us"))
    if both is None:
        return _number(entries, quota), _number(entries, period)
    most, *rest = entries.words(both)
    for beaten in (quota, period):
        if beaten is not None:
            entries.warn(beaten, f"'{both.written}' counts")
    if len(rest) > 1:
        raise entries.error(f"'{both.written}' is a quota and a period", both)
    return -1 if most == "max" else entries.as_number(both, most), entries.as_number(both, rest[0]) if rest else None


# ---------------------------------------------------------------------------- block devices


def _blkiotune(entries: Entries) -> BlkioTune | None:
    """Devices are named by their numbers, in the order in which they first occur."""
    weight = _number(entries, _last(entries, "blkio.weight"))
    said = sorted(
        (entry for name in DEVICES for entry in entries.take(f"lxc.cgroup.{name}")), key=lambda entry: entry.line
    )
    devices: Devices = {}
    for entry in said:
        device, *limits = entries.words(entry)
        if len(limits) != 1:
            raise entries.error(f"'{entry.written}' is a device and a number", entry)
        name = DEVICES[entry.key.removeprefix("lxc.cgroup.")]
        _add(entries, devices, device, name, (entry, entries.as_number(entry, limits[0])))
    for entry in entries.take("lxc.cgroup2.io.max"):
        _add_io_max(entries, entry, devices)
    found = tuple(device for number, limits in devices.items() for device in _device(number, limits))
    return BlkioTune(weight=weight, devices=found) if weight is not None or found else None


def _device(number: str, limits: dict[str, Limit]) -> Iterator[BlkioDevice]:
    """If it has limits."""
    said: dict[str, Any] = {name: value for name, (_, value) in limits.items() if value is not None}
    if said:
        yield BlkioDevice(path=f"/dev/block/{number}", line=next(entry.line for entry, _ in limits.values()), **said)


def _add_io_max(entries: Entries, entry: Entry, devices: Devices) -> None:
    device, *limits = entries.words(entry)
    if not limits:
        raise entries.error(f"'{entry.written}' is a device and its limits", entry)
    for limit in limits:
        name, _, value = limit.partition("=")
        if name not in _IO_MAX:
            raise entries.error("the limits of a device are rbps, wbps, riops and wiops", entry)
        number = None if value == "max" else entries.as_number(entry, value)
        _add(entries, devices, device, _IO_MAX[name], (entry, number))


def _add(entries: Entries, devices: Devices, device: str, name: str, limit: Limit) -> None:
    """Of several the last counts."""
    limits = devices.setdefault(device, {})
    if name in limits:
        entries.warn(limits[name][0], f"it is set again in line {limit[0].line}, which counts", part=name)
    limits[name] = limit
