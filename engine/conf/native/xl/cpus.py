"""The CPUs of Xen's guests: how many, where they run, what they can, and which memory is near them; and back.

Source: xl.cfg(5), "CPU Allocation", ``vnuma``, ``nestedhvm`` and ``cpuid``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from engine.conf.kinds.cpu import CpuFeature, GuestCpu, Numa, NumaCell, NumaDistances, NumaSibling
from engine.conf.kinds.domain.tuning import CpuTune, Vcpu, VcpuPin
from engine.conf.native.xl.keys import AGAIN, Keys
from engine.conf.native.xl.text import Item, Setting, Value
from engine.conf.spellings import canonical_set
from engine.conf.units import to_bytes
from engine.errors import ConfigError

__all__ = ["cpu_settings", "cpuid_settings", "read_cpu", "read_pins", "read_vcpu", "vcpu_settings", "vnuma_settings"]

#: Features by what libvirt and Xen call them, where these differ.
FEATURES = {
    "clflush": "clfsh", "cmp_legacy": "cmplegacy", "cr8legacy": "altmovcr8", "cx16": "cmpxchg16", "cx8": "cmpxchg8",
    "cid": "cntxid", "ds_cpl": "dscpl", "fxsr_opt": "ffxsr", "ht": "htt", "lahf_lm": "lahfsahf",
    "nodeid_msr": "nodeid", "pclmuldq": "pclmulqdq", "pdpe1gb": "page1gb", "pn": "psn", "pni": "sse3",
    "sep": "sysenter", "spec-ctrl": "ibrsb",
}  # fmt: skip
_NAMES = {theirs: ours for ours, theirs in FEATURES.items()}
#: Keys of ``cpuid`` that are no features.
NUMBERS = frozenset((
    "apicidsize", "brandid", "clflush", "family", "localapicid", "maxleaf", "maxhvleaf", "model", "nc", "proccount",
    "procpkg", "stepping",
))  # fmt: skip
Policy = Literal["force", "require", "optional", "disable", "forbid"]
_POLICIES: dict[str, Policy] = {"1": "force", "0": "disable", "x": "optional", "k": "optional", "s": "optional"}
_BITS: dict[str, str] = {"force": "1", "require": "1", "optional": "x", "disable": "0", "forbid": "0"}
#: What CPUs call their help for hypervisors.
VIRTUALIZATION = ("vmx", "svm")
_SELF, _OTHERS = 10, 20
_MOST_CELLS = 256


# ---------------------------------------------------------------------------- how many, and where


def read_vcpu(keys: Keys) -> Vcpu:
    count = keys.number("vcpus")
    most = keys.number("maxvcpus")
    line = keys.line("maxvcpus") or keys.line("vcpus")
    count = most or 1 if count is None else count
    if most is not None and count > most:
        raise keys.error("'vcpus' can't be more than 'maxvcpus'", keys.line("vcpus") or line)
    cpuset = _cpuset(keys, keys.item("cpus"))
    most = max(most or 0, count)
    return Vcpu(placement="static", cpuset=cpuset, current=count if count < most else None, count=most, line=line)


def _cpuset(keys: Keys, item: Item | None) -> str | None:
    """None: they run anywhere, or each by itself."""
    if item is None or isinstance(item.value, tuple):
        return None
    text = str(item.value)
    if "node" in text or (text.startswith("all") and text != "all"):
        keys.warn("cpus", item.line, "a definition names CPUs by their numbers only")
        return None
    return None if text in ("all", "") else _set(keys, text, item)


def _set(keys: Keys, text: str, item: Item) -> str | None:
    try:
        return canonical_set(text)
    except ConfigError as exc:
        raise keys.error(exc.reason, item.line) from exc


def read_pins(keys: Keys) -> CpuTune | None:
    """Where each CPU runs by itself."""
    item = keys.item("cpus")
    if item is None or not isinstance(item.value, tuple):
        return None
    pins = []
    for number, each in enumerate(item.value):
        if isinstance(each.value, tuple):
            raise keys.error("'cpus' is a set of CPUs, or one for each of the guest's", each.line)
        cpuset = _cpuset(keys, each)
        if cpuset is not None:
            pins.append(VcpuPin(vcpu=number, cpuset=cpuset, line=each.line))
    return CpuTune(vcpupins=tuple(pins)) if pins else None


def vcpu_settings(vcpu: Vcpu | None, tune: CpuTune | None) -> list[Setting]:
    most = vcpu.count if vcpu else 1
    count = (vcpu.current if vcpu else None) or most
    settings: list[Setting] = [("maxvcpus", int(most))] if count != most else []
    settings.append(("vcpus", int(count)))
    if tune and tune.vcpupins:
        pins = {int(pin.vcpu): pin.cpuset for pin in tune.vcpupins}
        settings.append(("cpus", [pins.get(number, "all") for number in range(int(most))]))
    elif vcpu and vcpu.cpuset:
        settings.append(("cpus", vcpu.cpuset))
    return settings


# ---------------------------------------------------------------------------- what they can


def read_cpu(keys: Keys, pv: bool, virtualization: str) -> GuestCpu | None:
    """None: nothing is said of it."""
    features: dict[str, CpuFeature] = {}
    for feature in _features(keys):
        if feature.name in features:
            keys.warn(f"cpuid/{FEATURES.get(feature.name, feature.name)}", feature.line, AGAIN)
        features[feature.name] = feature
    nested = None if pv else keys.flag("nestedhvm")
    if nested is False and virtualization in features:
        keys.loses("nestedhvm", "cpuid")
    elif nested is False:
        off = CpuFeature(policy="disable", name=virtualization, line=keys.line("nestedhvm"))
        features = {virtualization: off, **features}
    cells = tuple(_cells(keys))
    if nested is None and not features and not cells:
        return None
    mode: Any = "host-passthrough" if nested is not None or features else None
    numa = Numa(cells=cells, line=keys.line("vnuma")) if cells else None
    return GuestCpu(mode=mode, features=tuple(features.values()), numa=numa)


def _features(keys: Keys) -> Iterator[CpuFeature]:
    item = keys.item("cpuid")
    if item is None:
        return
    first, *pairs = str(item.value).split(",") if isinstance(item.value, str) else [""]
    if first.strip() != "host":
        keys.warn("cpuid", item.line, "only what begins with 'host' can be said in a definition")
    for pair in pairs:
        name, _, bit = pair.strip().partition("=")
        policy = _POLICIES.get(bit)
        if name in NUMBERS or policy is None:
            keys.warn(f"cpuid/{name}", item.line)
        else:
            yield CpuFeature(policy=policy, name=_NAMES.get(name, name), line=item.line)


def cpu_settings(cpu: GuestCpu | None) -> list[Setting]:
    """Whether there can be hypervisors in the guest: not if their help is switched off."""
    if cpu is None or cpu.mode != "host-passthrough":
        return []
    off = {feature.name for feature in cpu.features if feature.policy in ("disable", "forbid")}
    return [("nestedhvm", int(off.isdisjoint(VIRTUALIZATION)))]


def cpuid_settings(cpu: GuestCpu | None) -> list[Setting]:
    """All features but those that 'nestedhvm' is for."""
    if cpu is None or cpu.mode != "host-passthrough":
        return []
    told = [each for each in cpu.features if each.name not in VIRTUALIZATION]
    bits = [f"{FEATURES.get(each.name, each.name)}={_BITS[each.policy]}" for each in told]
    return [("cpuid", ",".join(["host", *bits]))] if bits else []


# ---------------------------------------------------------------------------- NUMA


def _cells(keys: Keys) -> Iterator[NumaCell]:
    item = keys.item("vnuma")
    if item is None:
        return
    if not isinstance(item.value, tuple):
        raise keys.error("'vnuma' is a list of nodes", item.line)
    for number, node in enumerate(item.value):
        options: dict[str, str] = {}
        for each in node.value if isinstance(node.value, tuple) else ():
            name, _, value = str(each.value).partition("=")
            if name.strip() in options:
                keys.warn(f"vnuma[{number + 1}]/{name.strip()}", each.line, AGAIN)
            options[name.strip()] = value.strip()
        yield _cell(keys, number, options, node)


def _cell(keys: Keys, number: int, options: dict[str, str], item: Item) -> NumaCell:
    place = f"vnuma[{number + 1}]"
    if "size" not in options:
        raise keys.error(f"{place} needs a 'size'", item.line)
    size = keys.as_number(Item(options.pop("size"), item.line), f"'size' of {place}")
    cpus, distances = options.pop("vcpus", ""), options.pop("vdistances", "")
    if options.pop("pnode", str(number)) != str(number):
        keys.warn(f"{place}/pnode", item.line)
    for name in options:
        keys.warn(f"{place}/{name}", item.line)
    siblings = tuple(
        NumaSibling(id_=other, value=keys.as_number(Item(value, item.line), f"a distance of {place}"))
        for other, value in enumerate(distances.split(",") if distances else ())
    )
    return NumaCell(
        id_=number,
        cpus=_set(keys, cpus, item) if cpus else None,
        memory=size * 1024,
        unit="KiB",
        distances=NumaDistances(siblings=siblings) if siblings else None,
        line=item.line,
    )


def vnuma_settings(cpu: GuestCpu | None) -> list[Setting]:
    """A distance that is not said is that of the way back, or as libvirt takes it."""
    cells = cpu.numa.cells if cpu and cpu.numa else ()
    if not cells:
        return []
    if len(cells) > _MOST_CELLS:
        raise ConfigError(f"Xen's guests have at most {_MOST_CELLS} NUMA nodes", line=cells[_MOST_CELLS].line)
    said = [_distances(cell) for cell in cells]
    nodes: list[Value] = []
    for number, cell in enumerate(cells):
        known = (said[number].get(other, said[other].get(number)) for other in range(len(cells)))
        row = [far or (_SELF if other == number else _OTHERS) for other, far in enumerate(known)]
        megabytes = to_bytes(int(cell.memory), cell.unit or "KiB") // 1024**2
        node = [f"pnode={number}", f"size={megabytes}"] + ([f"vcpus={canonical_set(cell.cpus)}"] if cell.cpus else [])
        nodes.append([*node, f"vdistances={','.join(map(str, row))}"])
    return [("vnuma", nodes)]


def _distances(cell: NumaCell) -> dict[int, int]:
    return {int(each.id_): int(each.value) for each in cell.distances.siblings} if cell.distances else {}
