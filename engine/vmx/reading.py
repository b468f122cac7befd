"""A .vmx as a domain: what ``virsh domxml-from-native vmware-vmx`` does.

Sources: libvirt's "VMware ESX hypervisor driver" and "Domain XML format"; VMware's public lists of .vmx parameters.
What is so of all of VMware's machines is said as libvirt says it: a clock in UTC, a graphics card, what follows when
the guest stops.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from engine.conf.document import parse_document
from engine.conf.documents import format
from engine.conf.examining import check_document
from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.cpu import CpuTopology, GuestCpu
from engine.conf.kinds.domain.clock import UtcClock
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.memory import Memory, MemTune
from engine.conf.kinds.domain.os import HvmOs, HvmType, Smbios
from engine.conf.kinds.domain.tuning import CpuTune, Vcpu
from engine.conf.native.conversion import Conversion
from engine.conf.nodes.node import Node
from engine.conf.nodes.plan import plan_of
from engine.conf.spellings import canonical_set
from engine.errors import ConfigError, InvalidDocument
from engine.vmx.document import parse_vmx, unescaped, unspeakable
from engine.vmx.files import FileNames
from engine.vmx.reading_cards import interfaces
from engine.vmx.reading_display import filesystems, graphics, videos
from engine.vmx.reading_drives import controllers, disks
from engine.vmx.reading_ports import console, parallels, serials
from engine.vmx.settings import Settings
from engine.vmx.words import SHARES

__all__ = ["read_machine", "read_vmx"]

_CONFIG_VERSION = 8
_HARDWARE_VERSION = 4  # the oldest whose .vmx is of today's form
_MEMORY = 32  # MiB, if nothing is said
_NO_UUID = "00000000-0000-0000-0000-000000000000"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def read_vmx(
    text: str | bytes,
    *,
    source: str | None = None,
    files: FileNames | None = None,
    datacenter_path: str | None = None,
) -> Conversion:
    """The domain that a .vmx describes, and warnings of all that a domain can't say.

    Bytes are decoded as the text's own ``.encoding`` says.

    Args:
        source: the file it came from, for messages.
        files: where it is, and which datastores there are; without it, names of files are left as they are.
        datacenter_path: where the machine is in vCenter's inventory, which the .vmx does not know.

    Raises:
        ConfigError: it is no .vmx, or a value in it is none that its key can have.
    """
    settings = Settings(parse_vmx(text, source=source), source)
    definition = msgspec.structs.replace(
        read_machine(settings, files or FileNames()), source=source, datacenterpath=datacenter_path
    )
    _warn_of_refused(settings, definition)
    return Conversion(definition=definition, warnings=settings.warnings())


def read_machine(settings: Settings, files: FileNames) -> DomainDocument:
    """The domain by itself.

    Raises:
        ConfigError: as ``read_vmx``.
    """
    _versions(settings)
    return _domain(settings, _devices(settings, files))


def _warn_of_refused(settings: Settings, definition: DomainDocument) -> None:
    """What VMware allows, and no document of a domain, as some names; ``line`` of a node is its setting's."""
    try:
        check_document(parse_document(format(definition)), explain=False)
    except InvalidDocument as exc:
        reasons: dict[int, str] = {}
        for each in exc.problems:
            reasons.setdefault(_line(definition, each.xpath), each.reason)
        for line, reason in reasons.items():
            settings.warn_of_line(line, f"a domain with this can't be defined: {reason}")


def _line(node: Node, xpath: str) -> int:
    """That of the innermost node on the path that has one."""
    line = node.line
    for step in xpath.split("/")[2:]:
        tag, _, number = step.rstrip("]").partition("[")
        field = next((field for field in plan_of(type(node)).fields if field.tag == tag), None)
        value = getattr(node, field.name) if field is not None else None
        child = value[int(number or 1) - 1] if isinstance(value, tuple) else value
        if not isinstance(child, Node):
            break
        node, line = child, child.line or line
    return line


def _domain(settings: Settings, devices: Devices) -> DomainDocument:
    cpus, megabytes = _cpus(settings), _memory(settings)
    return DomainDocument(
        line=settings.line("displayName"),
        type_="vmware",
        name=_name(settings),
        uuid=settings.uuid("uuid.bios") or _NO_UUID,
        genid=_genid(settings),
        description=settings.text("annotation"),
        memory=Memory(value=megabytes * 1024, unit="KiB"),
        current_memory=ScaledInteger(value=_balloon(settings, megabytes) * 1024, unit="KiB"),
        memtune=_guarantee(settings, megabytes),
        vcpu=Vcpu(placement="static", cpuset=_affinity(settings), count=cpus),
        cputune=_shares(settings, cpus),
        os=_os(settings),
        cpu=_topology(settings, cpus),
        clock=UtcClock(offset="utc"),
        on_poweroff="destroy",
        on_reboot="restart",
        on_crash="destroy",
        devices=devices,
    )


# ---------------------------------------------------------------------------- what it is


def _versions(settings: Settings) -> None:
    for key, least in (("config.version", _CONFIG_VERSION), ("virtualHW.version", _HARDWARE_VERSION)):
        found = settings.number(key)
        if found is None:
            raise ConfigError(f"it has no '{key}', so it is no .vmx", source=settings.source)
        if found < least or (key == "config.version" and found > least):
            settings.refuse(key, f"is not {least}{'' if key == 'config.version' else ' or more'}")


def _name(settings: Settings) -> str:
    """In names VMware writes ``/``, ``\\`` and ``%`` as ``%`` and their code."""
    name = settings.text("displayName")
    if not name:
        raise ConfigError("it has no 'displayName'", source=settings.source)
    name = unescaped(name, "%")
    if wrong := "has a control character" if _CONTROL.search(name) else unspeakable(name):
        settings.refuse("displayName", wrong)
    return name


def _genid(settings: Settings) -> str | None:
    """The two halves, which VMware has as signed numbers, one after the other, as libvirt takes them."""
    halves = [settings.number(key) or 0 for key in ("vm.genid", "vm.genidX")]
    if not any(halves):
        return None
    digits = "".join(f"{half % 2**64:016x}" for half in halves)
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def _os(settings: Settings) -> HvmOs:
    """Of the guest's system, a domain says only whether it is of 64 bits."""
    arch: Literal["x86_64", "i686"] = "x86_64" if settings.glance("guestOS").lower().endswith("-64") else "i686"
    firmware = settings.word("firmware")
    if firmware not in ("", "bios", "efi"):
        settings.warn("firmware", "it is taken for a BIOS")
    return HvmOs(
        firmware="efi" if firmware == "efi" else None,
        type_=HvmType(arch=arch, value="hvm"),
        smbios=Smbios(mode="host") if settings.flag("smbios.reflectHost") else None,
    )


# ---------------------------------------------------------------------------- memory


def _memory(settings: Settings) -> int:
    """In MiB."""
    size = settings.number("memsize")
    if size is None:
        return _MEMORY
    if size <= 0 or size % 4:
        settings.refuse("memsize", "is no multiple of 4")
    if size >= 2**32:
        settings.refuse("memsize", "is too much")
    return size


def _balloon(settings: Settings, megabytes: int) -> int:
    """What the guest may have of the host's memory."""
    most = settings.number("sched.mem.max")
    if most is not None and most > megabytes:
        settings.warn("sched.mem.max", "it is more than the machine has, which is taken")
    return megabytes if most is None or most < 0 else min(most, megabytes)


def _guarantee(settings: Settings, megabytes: int) -> MemTune | None:
    said = settings.number("sched.mem.minsize") or 0
    least = min(said, megabytes)
    if said > least:
        settings.warn("sched.mem.minsize", "it is more than the machine has, which is taken")
    if settings.number("sched.mem.min") not in (None, 0, least):
        settings.warn("sched.mem.min", "it is not the same as sched.mem.minsize, which is taken")
    return MemTune(min_guarantee=ScaledInteger(value=least * 1024, unit="KiB")) if least > 0 else None


# ---------------------------------------------------------------------------- CPUs


def _cpus(settings: Settings) -> int:
    count = settings.number("numvcpus")
    if count is not None and not 0 < count < 65536:
        settings.refuse("numvcpus", "is no number of CPUs")
    return count or 1


def _topology(settings: Settings, cpus: int) -> GuestCpu | None:
    cores = settings.number("cpuid.coresPerSocket") or 1
    if cores < 0 or cpus % cores:
        settings.refuse("cpuid.coresPerSocket", f"does not divide the {cpus} CPUs")
    if cores == 1:
        return None
    return GuestCpu(topology=CpuTopology(sockets=cpus // cores, dies=1, cores=cores, threads=1))


def _affinity(settings: Settings) -> str | None:
    word = settings.word("sched.cpu.affinity")
    if not word or word == "all":
        return None
    try:
        return canonical_set("" if set("-^") & set(word) else word)
    except ConfigError:
        settings.refuse("sched.cpu.affinity", "is no list of CPUs")


def _shares(settings: Settings, cpus: int) -> CpuTune | None:
    word = settings.word("sched.cpu.shares")
    if not word:
        return None
    if word in SHARES:
        return CpuTune(shares=SHARES[word] * cpus)
    number = settings.number("sched.cpu.shares")
    if number is None or not 0 <= number < 2**32:
        settings.refuse("sched.cpu.shares", "is no number of shares")
    return CpuTune(shares=number)


# ---------------------------------------------------------------------------- devices


def _devices(settings: Settings, files: FileNames) -> Devices:
    found = tuple(disks(settings, files))
    ports = tuple(serials(settings, files))
    return Devices(
        disks=found,
        controllers=tuple(controllers(settings, found)),
        filesystems=tuple(filesystems(settings)),
        interfaces=tuple(interfaces(settings)),
        serials=ports,
        parallels=tuple(parallels(settings, files)),
        consoles=tuple(console(port) for port in ports[:1]),
        graphics=tuple(graphics(settings)),
        videos=tuple(videos(settings)),
    )
