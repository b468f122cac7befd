"""How much of the host a container may use: settings of control groups.

Source: lxc.container.conf(5), "Control groups", and the Linux kernel's documentation of cgroups, versions 1 and 2.
"""

from __future__ import annotations

from typing import Any

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.memory import Memory, MemTune, NumaTune, NumaTuneMemory
from engine.conf.kinds.domain.tuning import BlkioDevice, BlkioTune, CpuTune, Vcpu
from engine.conf.native.checking import cpu_set
from engine.conf.native.lxc_tools.mounts import kibibytes
from engine.conf.native.lxc_tools.text import Entries, Entry
from engine.errors import ConfigError

__all__ = ["read_limits"]

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
    first, second = entries.last(f"lxc.cgroup.{name}"), entries.last(f"lxc.cgroup2.{name}")
    return second or first


def _cpuset(entries: Entries, name: str) -> str | None:
    entry = _last(entries, name)
    if entry is None:
        return None
    try:
        return cpu_set(entry.value)
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
    tune = CpuTune(shares=_number(entries, "cpu.shares"), period=period, quota=quota)
    return tune if tune != CpuTune() else None


def _number(entries: Entries, name: str) -> int | None:
    entry = _last(entries, name)
    return None if entry is None else entries.as_number(entry, entry.value)


def _bandwidth(entries: Entries) -> tuple[int | None, int | None]:
    """How many microseconds of each period; the second version has both in one."""
    quota, period = _number(entries, "cpu.cfs_quota_us"), _number(entries, "cpu.cfs_period_us")
    both = _last(entries, "cpu.max")
    if both is not None:
        most, *rest = entries.words(both)
        quota = -1 if most == "max" else entries.as_number(both, most)
        period = entries.as_number(both, rest[0]) if rest else period
    return quota, period


# ---------------------------------------------------------------------------- block devices


def _blkiotune(entries: Entries) -> BlkioTune | None:
    """Devices are named by their numbers, in the order in which they first occur."""
    weight = _number(entries, "blkio.weight")
    said = sorted(
        (entry for name in DEVICES for entry in entries.take(f"lxc.cgroup.{name}")), key=lambda entry: entry.line
    )
    devices: dict[str, dict[str, Any]] = {}
    for entry in said:
        device, limit = (*entries.words(entry), "")[:2]
        field = DEVICES[entry.key.removeprefix("lxc.cgroup.")]
        devices.setdefault(device, {"line": entry.line})[field] = entries.as_number(entry, limit)
    for entry in entries.take("lxc.cgroup2.io.max"):
        _add_io_max(entries, entry, devices)
    found = tuple(_device(number, limits) for number, limits in devices.items())
    return BlkioTune(weight=weight, devices=found) if weight is not None or found else None


def _device(number: str, limits: dict[str, Any]) -> BlkioDevice:
    return BlkioDevice(path=f"/dev/block/{number}", **limits)


def _add_io_max(entries: Entries, entry: Entry, devices: dict[str, dict[str, Any]]) -> None:
    device, *limits = entries.words(entry)
    for limit in limits:
        name, _, value = limit.partition("=")
        if name not in _IO_MAX:
            raise entries.error("the limits of a device are rbps, wbps, riops and wiops", entry)
        if value != "max":
            found = devices.setdefault(device, {"line": entry.line})
            found[_IO_MAX[name]] = entries.as_number(entry, value)
