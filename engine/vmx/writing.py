"""A domain as a .vmx: what ``virsh domxml-to-native vmware-vmx`` does.

Sources: libvirt's "VMware ESX hypervisor driver" and "Domain XML format"; VMware's public lists of .vmx parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.os import HvmOs
from engine.conf.kinds.domain.tuning import Vcpu
from engine.conf.native.conversion import NativeText
from engine.conf.spellings import mask_of_set, threads_of_mask
from engine.errors import ConfigError, UnsupportedConfig
from engine.vmx.document import parse_vmx
from engine.vmx.files import FileNames
from engine.vmx.implied import numbered, whole_machine
from engine.vmx.output import Output
from engine.vmx.reading import read_machine
from engine.vmx.settings import Settings
from engine.vmx.uncarried import uncarried
from engine.vmx.words import SHARES, uuid_text
from engine.vmx.writing_cards import put_interfaces
from engine.vmx.writing_display import put_filesystems, put_graphics, put_videos
from engine.vmx.writing_drives import put_drives
from engine.vmx.writing_ports import put_ports

__all__ = ["write_vmx"]

_ARCHES = {None: "other", "i686": "other", "x86_64": "other-64"}
_IN_NAMES = re.compile(r"[%/\\]")
_PCI_EXPRESS = 7  # the first version of the hardware that has PCI Express ports, and VMCI


def write_vmx(
    definition: DomainDocument,
    *,
    hardware_version: int = 4,
    files: FileNames | None = None,
    adapters: Mapping[str, str] | None = None,
) -> NativeText:
    """The .vmx of a domain, and warnings of all that it can't say.

    Args:
        hardware_version: of the machine: 4 for ESX 3, 7 for ESX 4, 8 for 5.0, and so on; what it can have depends on
            it, and later versions of VMware's products have the earlier machines too.
        files: how files are called; without it, ``[datastore] file`` is below ``/vmfs/volumes``.
        adapters: by the name of a disk's file, the SCSI controller that its image was made for (``ddb.adapterType``),
            for controllers of model ``auto``.

    Raises:
        UnsupportedConfig: it is no domain of VMware's, or there can be no such machine.
    """
    output, files, adapters = Output(definition.source), files or FileNames(), adapters or {}
    devices = numbered(definition.devices or Devices())
    definition = msgspec.structs.replace(definition, devices=devices)
    _put_identity(output, definition, hardware_version)
    _put_memory(output, definition)
    _put_cpus(output, definition)
    put_graphics(output, devices.graphics)
    controllers = put_drives(output, devices, files, adapters)
    put_filesystems(output, devices.filesystems)
    put_interfaces(output, devices.interfaces)
    put_videos(output, devices.videos)
    put_ports(output, devices, files)
    _put_board(output, definition, hardware_version, any(each.type_ == "scsi" for each in controllers))
    machine = whole_machine(_read_back(output.text, definition.source), controllers)
    warnings = sorted([*output.warnings, *uncarried(definition, machine, output)], key=lambda problem: problem.line)
    return NativeText(text=output.text, warnings=tuple(warnings))


def _read_back(text: str, source: str | None) -> DomainDocument:
    try:
        return read_machine(Settings(parse_vmx(text)), FileNames())
    except ConfigError as exc:  # its line is one of the text
        raise UnsupportedConfig("<domain>", f"VMware has no such machine: {exc.reason}", source=source) from exc


# ---------------------------------------------------------------------------- what it is


def _put_identity(output: Output, definition: DomainDocument, hardware_version: int) -> None:
    output.put(".encoding", "UTF-8")
    output.put("config.version", 8)
    output.put("virtualHW.version", hardware_version)
    output.put("guestOS", _guest_os(definition))
    _put_smbios(output, definition)
    if definition.uuid is not None and definition.uuid.strip("0-"):
        output.put("uuid.bios", uuid_text(definition.uuid))
    else:
        output.put("uuid.action", "create")
    name = _IN_NAMES.sub(lambda match: f"%{ord(match[0]):02x}", definition.name)
    output.put("displayName", name)
    if definition.description is not None:
        output.put("annotation", definition.description)


def _guest_os(definition: DomainDocument) -> str:
    if definition.type_ != "vmware":
        what = f"<domain type='{definition.type_}'>"
        raise UnsupportedConfig(what, "only of domains of type='vmware' there is a .vmx", source=definition.source)
    if not isinstance(definition.os, HvmOs):
        raise UnsupportedConfig("<os>", "VMware's machines are of type hvm", source=definition.source)
    arch = definition.os.type_.arch
    if arch not in _ARCHES:
        what = f"<type arch='{arch}'>"
        raise UnsupportedConfig(what, "VMware's machines are i686 or x86_64", source=definition.source)
    return _ARCHES[arch]


def _put_smbios(output: Output, definition: DomainDocument) -> None:
    smbios = definition.os.smbios if isinstance(definition.os, HvmOs) else None
    if smbios is None:
        return
    if smbios.mode == "host":
        output.put("smbios.reflectHost", True)
    elif smbios.mode != "emulate":
        output.skip(smbios, "VMware's SMBIOS tables are its own or the host's, so it is left out")


def _put_board(output: Output, definition: DomainDocument, hardware_version: int, has_scsi: bool) -> None:
    if hardware_version >= _PCI_EXPRESS:
        if has_scsi:
            _put_bridges(output)
        output.put("vmci0.present", True)
    if isinstance(definition.os, HvmOs) and definition.os.firmware == "efi":
        output.put("firmware", "efi")
    genid = (definition.genid or "").replace("-", "").strip()
    if genid:
        for key, digits in (("vm.genid", genid[:16]), ("vm.genidX", genid[16:])):
            number = int(digits, 16)
            output.put(key, number - 2**64 if number >= 2**63 else number)


def _put_bridges(output: Output) -> None:
    """As VMware makes them for a machine with PCI devices."""
    output.put("pciBridge0.present", True)
    for number in range(4, 8):
        output.put(f"pciBridge{number}.present", True)
        output.put(f"pciBridge{number}.virtualDev", "pcieRootPort")
        output.put(f"pciBridge{number}.functions", 8)


# ---------------------------------------------------------------------------- memory and CPUs


def _put_memory(output: Output, definition: DomainDocument) -> None:
    """Memory is a multiple of 4 MiB; a guest that is to have less, has a limit."""
    if definition.memory is None:
        raise ConfigError("the domain does not say how much <memory> it has", source=definition.source)
    wanted = _kib(definition, definition.memory)
    size = -(-wanted // 4096) * 4096
    current = wanted if definition.current_memory is None else _kib(definition, definition.current_memory)
    output.put("memsize", size // 1024)
    if current < size:
        output.put("sched.mem.max", -(-current // 1024))
    least = definition.memtune.min_guarantee if definition.memtune is not None else None
    if least is not None and _kib(definition, least):
        output.put("sched.mem.minsize", -(-_kib(definition, least) // 1024))


def _kib(definition: DomainDocument, size: ScaledInteger) -> int:
    try:
        return -(-size.bytes() // 1024)
    except ValueError as exc:
        raise ConfigError(str(exc), source=definition.source, line=size.line or None) from None


def _put_cpus(output: Output, definition: DomainDocument) -> None:
    count = int(definition.vcpu.count) if definition.vcpu is not None else 1
    output.put("numvcpus", count)
    _put_topology(output, definition, count)
    if definition.vcpu is not None and definition.vcpu.cpuset is not None:
        output.put("sched.cpu.affinity", ",".join(map(str, _cpus(output, definition.vcpu, definition.vcpu.cpuset))))
    shares = definition.cputune.shares if definition.cputune is not None else None
    if shares is not None:
        words = {each * count: word for word, each in SHARES.items()}
        output.put("sched.cpu.shares", words.get(int(shares), str(int(shares))))


def _put_topology(output: Output, definition: DomainDocument, count: int) -> None:
    topology = definition.cpu.topology if definition.cpu is not None else None
    if topology is None:
        return
    reason = ""
    if topology.threads != 1 or topology.dies not in (None, 1):
        reason = "VMware's CPUs have sockets and cores only"
    elif topology.sockets * topology.cores != count:
        reason = f"its sockets and cores are not the {count} CPUs"
    if reason:
        raise UnsupportedConfig("<topology>", reason, source=definition.source, line=topology.line or None)
    output.put("cpuid.coresPerSocket", int(topology.cores))


def _cpus(output: Output, vcpu: Vcpu, cpuset: str) -> list[int]:
    """The CPUs of a set such as ``0-3,^2``."""
    try:
        return threads_of_mask(mask_of_set(cpuset))
    except ConfigError as exc:
        output.refuse(vcpu, "<vcpu cpuset>", exc.reason)
