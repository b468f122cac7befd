"""What of a domain a .vmx does not hold: all that is not in the tables of what it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from engine.conf.kinds.common import ScaledInteger
from engine.conf.kinds.cpu import CpuTopology, GuestCpu
from engine.conf.kinds.domain.chardev import CharProtocol, CharSource, PortDevice, SerialModel, SerialTarget
from engine.conf.kinds.domain.clock import UtcClock
from engine.conf.kinds.domain.controller import IdeController, PlainController, ScsiController
from engine.conf.kinds.domain.device import DriveAddress
from engine.conf.kinds.domain.devices import Devices
from engine.conf.kinds.domain.disk import BaseDisk, BlockDisk, DiskDriver, DiskTarget, FileDisk, Transient
from engine.conf.kinds.domain.document import DomainDocument
from engine.conf.kinds.domain.features import Apic, Features
from engine.conf.kinds.domain.filesystem import FilesystemTarget, MountFilesystem, MountSource
from engine.conf.kinds.domain.graphics import AddressListen, VncGraphics
from engine.conf.kinds.domain.interface import (
    BridgeInterface,
    BridgeSource,
    NullInterface,
    UserInterface,
    VdsInterface,
    VdsSource,
)
from engine.conf.kinds.domain.memory import MemTune
from engine.conf.kinds.domain.network_card import CardModel, InterfaceTarget, Mac, NetworkCard
from engine.conf.kinds.domain.os import BootDevice, HvmOs, HvmType, Smbios
from engine.conf.kinds.domain.storage import BlockSource, FileSource
from engine.conf.kinds.domain.tuning import CpuTune, Vcpu
from engine.conf.kinds.domain.video import EmulatedVideoModel, Video
from engine.conf.nodes.node import Attr, Body, Flag, Node
from engine.conf.nodes.plan import Field, plan_of
from engine.errors import Problem
from engine.vmx.output import Output

__all__ = ["uncarried"]

#: The fields of each node that a .vmx holds; of a node's children, what these say in turn.
_CARRIED: dict[type[Node], str] = {
    DomainDocument: "type_ name uuid genid description memory current_memory memtune vcpu cputune os cpu "
    "features devices",
    ScaledInteger: "value unit",
    MemTune: "min_guarantee",
    Vcpu: "cpuset count",
    CpuTune: "shares",
    GuestCpu: "topology",
    CpuTopology: "sockets dies cores threads",
    HvmOs: "firmware type_ smbios",
    Smbios: "mode",
    HvmType: "arch value",
    Devices: "disks controllers filesystems interfaces serials parallels consoles graphics videos inputs memballoon",
    BaseDisk: "driver target transient address",
    FileDisk: "type_ device source",
    BlockDisk: "type_ device source",
    DiskDriver: "name cache",
    DiskTarget: "dev bus",
    DriveAddress: "type_ controller bus target unit",
    FileSource: "file",
    BlockSource: "dev startup_policy",
    Transient: "",
    ScsiController: "type_ index model",
    PlainController: "type_ index",
    IdeController: "type_ index",
    MountFilesystem: "type_ source target readonly",
    MountSource: "dir",
    FilesystemTarget: "dir",
    NetworkCard: "mac model",
    BridgeInterface: "type_ source target",
    UserInterface: "type_",
    NullInterface: "type_",
    VdsInterface: "type_ source",
    BridgeSource: "bridge",
    VdsSource: "switchid portid portgroupid connectionid",
    InterfaceTarget: "dev",
    Mac: "address type_ check_",
    CardModel: "type_",
    PortDevice: "type_ sources protocol target",
    CharSource: "mode path host service",
    CharProtocol: "type_",
    SerialTarget: "port",
    VncGraphics: "type_ port autoport listen keymap passwd listens",
    AddressListen: "type_ address",
    Video: "model",
    EmulatedVideoModel: "type_ vram",
}
#: What is so of every machine of VMware's.
_IMPLIED: dict[tuple[type[Node], str], tuple[Any, ...]] = {
    (DomainDocument, "on_poweroff"): ("destroy",),
    (DomainDocument, "on_reboot"): ("restart",),
    (DomainDocument, "on_crash"): ("destroy",),
    (DomainDocument, "clock"): (UtcClock(offset="utc"),),
    (Vcpu, "placement"): ("static",),
    (HvmOs, "boots"): (BootDevice(dev="hd"),),
    (Features, "acpi"): (True,),
    (Features, "apic"): (Apic(),),
    (Features, "pae"): (True,),
    (GuestCpu, "mode"): ("custom",),
    (GuestCpu, "match"): ("exact",),
    (MountFilesystem, "accessmode"): ("passthrough",),
    (SerialTarget, "type_"): ("isa-serial", "serial"),
    (SerialTarget, "model"): (SerialModel(name="isa-serial"),),
    (EmulatedVideoModel, "heads"): (1,),
    (EmulatedVideoModel, "primary"): (True,),
}


def uncarried(definition: DomainDocument, output: Output) -> Iterator[Problem]:
    """A warning for each element and attribute that has no place in a .vmx."""
    yield from _of_node(definition, f"/{definition.kind}", output)


def _of_node(node: Node, at: str, output: Output) -> Iterator[Problem]:
    carried = _fields(type(node))
    for field in plan_of(type(node)).fields:
        value = getattr(node, field.name)
        if value is None or value == () or (value is False and field.place is Flag):
            continue
        for number, each in enumerate(value if field.many else (value,), 1):
            yield from _of_value(node, each, field, _place(at, field, number), field.name in carried, output)
    if node.other is not None:
        yield _problem(node, at, "what is not declared has no place in a .vmx")


def _of_value(node: Node, value: Any, field: Field, at: str, carried: bool, output: Output) -> Iterator[Problem]:
    if any(value == word for cls in type(node).__mro__ for word in _IMPLIED.get((cls, field.name), ())):
        return
    if not isinstance(value, Node):
        if not carried:
            yield _problem(node, at, "a .vmx has no place for it")
        return
    reason = output.skipped(value)
    if reason is None and not carried:
        reason = "a .vmx has no place for it"
    if reason:
        yield _problem(value, at, reason)
    elif reason is None:
        yield from _of_node(value, at, output)


def _fields(cls: type[Node]) -> set[str]:
    return {name for base in cls.__mro__ for name in _CARRIED.get(base, "").split()}


def _place(at: str, field: Field, number: int) -> str:
    tag = (field.tag or field.name).rpartition("}")[2]
    if field.place is Body:
        return at
    if field.place is Attr:
        return f"{at}/@{tag}"
    return f"{at}/{tag}[{number}]" if field.many else f"{at}/{tag}"


def _problem(node: Node, place: str, reason: str) -> Problem:
    return Problem(line=node.line, xpath=place, reason=reason, severity="warning")
