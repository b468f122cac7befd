"""A domain's limits as properties of its scope: ``<cputune>``, ``<memtune>``, ``<blkiotune>``.

Sources: libvirt's "Domain XML format" (CPU tuning, memory tuning, block I/O tuning), systemd.resource-control(5).
Numbers mean what they mean to libvirt on the unified cgroup hierarchy: ``shares`` and ``weight`` are taken as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from engine.conf.document import line_of
from engine.conf.units import to_kib
from engine.errors import ConfigError

if TYPE_CHECKING:
    from lxml.etree import _Element as Element

    from engine.conf import DomainDefinition

__all__ = ["NO_LIMITS", "DeviceLimit", "Limits", "parse_limits"]

_WEIGHT_MAX = 10_000  # of cpu.weight and io.weight
_NUMBER_MAX = (1 << 64) - 2  # the largest is "infinity" to systemd
_DEVICE_PROPERTIES = {
    "weight": "IODeviceWeight",
    "read_bytes_sec": "IOReadBandwidthMax",
    "write_bytes_sec": "IOWriteBandwidthMax",
    "read_iops_sec": "IOReadIOPSMax",
    "write_iops_sec": "IOWriteIOPSMax",
}


class DeviceLimit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Of one block device of the host; 0: none. Bytes and operations a second."""

    path: str
    weight: int = 0
    read_bytes_sec: int = 0
    write_bytes_sec: int = 0
    read_iops_sec: int = 0
    write_iops_sec: int = 0


class Limits(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the whole domain may use; 0: no limit.

    Attributes:
        cpu_weight, io_weight: 1 to 10000.
        cpu_quota: microseconds of CPU in one second, all CPUs together.
        memory_max, memory_high, memory_low, swap_max: bytes. ``swap_max`` None: no limit.
    """

    cpu_weight: int = 0
    cpu_quota: int = 0
    memory_max: int = 0
    memory_high: int = 0
    memory_low: int = 0
    swap_max: int | None = None
    io_weight: int = 0
    devices: tuple[DeviceLimit, ...] = ()

    def properties(self) -> list[tuple[str, str, Any]]:
        """Name, D-Bus signature and value of each unit property."""
        numbers = (
            ("CPUWeight", self.cpu_weight),
            ("CPUQuotaPerSecUSec", self.cpu_quota),
            ("MemoryMax", self.memory_max),
            ("MemoryHigh", self.memory_high),
            ("MemoryLow", self.memory_low),
            ("IOWeight", self.io_weight),
        )
        found: list[tuple[str, str, Any]] = [(name, "t", number) for name, number in numbers if number]
        if self.swap_max is not None:
            found.append(("MemorySwapMax", "t", self.swap_max))
        for field, name in _DEVICE_PROPERTIES.items():
            pairs = [(device.path, getattr(device, field)) for device in self.devices if getattr(device, field)]
            if pairs:
                found.append((name, "a(st)", pairs))
        return found


NO_LIMITS = Limits()


def parse_limits(definition: DomainDefinition) -> Limits:
    """The limits a domain document asks for.

    A scope limits the domain as a whole, so ``<quota>``, which is for each virtual CPU, is multiplied by their number
    (and ``<emulator_quota>`` added); ``<global_quota>`` goes first. ``<min_guarantee>`` becomes ``MemoryLow``.

    Raises:
        ConfigError: a value that is no number, with its line.
    """
    text = definition.text
    if not any(tag in text for tag in ("<cputune", "<memtune", "<blkiotune")):
        return NO_LIMITS
    root = definition.element()
    reader = _Reader(definition.source)
    cpu, memory, block = root.find("cputune"), root.find("memtune"), root.find("blkiotune")
    hard = reader.size(memory, "hard_limit")
    with_swap = reader.size(memory, "swap_hard_limit")
    return Limits(
        cpu_weight=min(reader.number(cpu, "shares"), _WEIGHT_MAX),
        cpu_quota=_quota(reader, cpu, definition.vcpus),
        memory_max=hard,
        memory_high=reader.size(memory, "soft_limit"),
        memory_low=reader.size(memory, "min_guarantee"),
        # libvirt counts memory and swap together, systemd swap alone
        swap_max=max(with_swap - hard, 0) if with_swap and hard else None,
        io_weight=min(reader.number(block, "weight"), _WEIGHT_MAX),
        devices=tuple(_device(reader, child) for child in block.findall("device")) if block is not None else (),
    )


def _quota(reader: _Reader, cpu: Element | None, vcpus: int) -> int:
    whole = reader.share(cpu, "global_quota", "global_period")
    if whole:
        return whole
    each = reader.share(cpu, "quota", "period")
    return each * vcpus + reader.share(cpu, "emulator_quota", "emulator_period") if each else 0


def _device(reader: _Reader, element: Element) -> DeviceLimit:
    path = (element.findtext("path") or "").strip()
    if not path:
        raise ConfigError("<device> in <blkiotune> lacks its <path>", source=reader.source, line=line_of(element))
    return DeviceLimit(path=path, **{field: reader.number(element, field) for field in _DEVICE_PROPERTIES})


class _Reader:
    """Reads numbers out of child elements; 0 where there is none."""

    def __init__(self, source: str | None) -> None:
        self.source = source

    def number(self, parent: Element | None, tag: str, *, least: int = 0) -> int:
        element = parent.find(tag) if parent is not None else None
        if element is None:
            return 0
        text = (element.text or "").strip()
        if not text.isascii() or not text.removeprefix("-").isdigit() or not least <= int(text) < 1 << 63:
            reason = f"<{tag}> '{text}' is not a number from {max(least, 0)}"
            raise ConfigError(reason, source=self.source, line=line_of(element))
        return int(text)

    def size(self, parent: Element | None, tag: str) -> int:
        """Bytes."""
        element = parent.find(tag) if parent is not None else None
        if element is None:
            return 0
        try:
            return min(to_kib(element.text or "", element.get("unit")) * 1024, _NUMBER_MAX)
        except ValueError as exc:
            raise ConfigError(f"<{tag}>: {exc}", source=self.source, line=line_of(element)) from exc

    def share(self, parent: Element | None, quota: str, period: str) -> int:
        """Microseconds a second; libvirt's period is 100000 where none is given, and a negative quota is no limit."""
        allowed = self.number(parent, quota, least=-(1 << 62))
        each_second = allowed * 1_000_000 // (self.number(parent, period) or 100_000)
        return min(max(each_second, 0), _NUMBER_MAX >> 16)
