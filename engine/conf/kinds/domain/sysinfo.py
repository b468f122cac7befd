"""``<sysinfo>``: what firmware tells of the machine. Source: libvirt's "Domain XML format", SMBIOS."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal, TypeAlias

from engine.conf.nodes.node import Body, Child, Node, Text

__all__ = [
    "BaseBoardInfo",
    "BiosInfo",
    "ChassisInfo",
    "FirmwareConfig",
    "FirmwareConfigEntry",
    "OemStrings",
    "SmbiosInfo",
    "SysInfo",
    "SystemInfo",
]


class BiosEntry(Node):
    """One thing of the BIOS.

    Attributes:
        name: date: as mm/dd/yyyy; release: major and minor version with a dot between them.
    """

    known_by = ("name",)
    name: Literal["vendor", "version", "date", "release"]
    value: Annotated[str, Body]


class BiosInfo(Node):
    """The BIOS, SMBIOS' block 0."""

    entries: Annotated[tuple[BiosEntry, ...], Child("entry")]


class SystemEntry(Node):
    """One thing of the machine.

    Attributes:
        name: uuid: the same as the domain's; sku: the number of its configuration.
    """

    known_by = ("name",)
    name: Literal["manufacturer", "product", "version", "serial", "uuid", "sku", "family"]
    value: Annotated[str, Body]


class SystemInfo(Node):
    """The machine, SMBIOS' block 1."""

    entries: Annotated[tuple[SystemEntry, ...], Child("entry")]


class BaseBoardEntry(Node):
    """One thing of a board.

    Attributes:
        name: asset: its number in an inventory; location: where in the chassis it is.
    """

    known_by = ("name",)
    name: Literal["manufacturer", "product", "version", "serial", "asset", "location"]
    value: Annotated[str, Body]


class BaseBoardInfo(Node):
    """A board, SMBIOS' block 2."""

    entries: Annotated[tuple[BaseBoardEntry, ...], Child("entry")]


class ChassisEntry(Node):
    """One thing of the chassis.

    Attributes:
        name: asset: its number in an inventory; sku: the number of its configuration.
    """

    known_by = ("name",)
    name: Literal["manufacturer", "version", "serial", "asset", "sku"]
    value: Annotated[str, Body]


class ChassisInfo(Node):
    """The chassis, SMBIOS' block 3. Since 4.1.0."""

    entries: Annotated[tuple[ChassisEntry, ...], Child("entry")]


class OemStrings(Node):
    """Any texts, SMBIOS' block 11, best each with the name of the program that it is for before it. Since 4.1.0."""

    entries: Annotated[tuple[str, ...], Text("entry")]


class SmbiosInfo(Node):
    """What the guest finds in its SMBIOS tables, if its ``<os>`` has ``<smbios mode='sysinfo'/>``."""

    known_by = ("type_",)
    type_: Literal["smbios"]
    bios: BiosInfo | None = None
    system: SystemInfo | None = None
    base_boards: Annotated[tuple[BaseBoardInfo, ...], Child("baseBoard")] = ()
    chassis: ChassisInfo | None = None
    oem_strings: Annotated[OemStrings | None, Child("oemStrings")] = None


class FirmwareConfigEntry(Node):
    """A blob.

    Attributes:
        name: begins with ``opt/``, best followed by a domain name backwards.
        file: where its value is; else it is the text.
    """

    known_by = ("name",)
    name: str
    file: str | None = None
    value: Annotated[str | None, Body] = None

    def check(self) -> Iterator[str]:
        if self.file is not None and self.value is not None:
            yield "with 'file' it may hold no text"


class FirmwareConfig(Node):
    """Blobs for the firmware, and for a guest that looks for them; there are only a few slots. Since 6.5.0."""

    known_by = ("type_",)
    type_: Literal["fwcfg"]
    entries: Annotated[tuple[FirmwareConfigEntry, ...], Child("entry")] = ()


SysInfo: TypeAlias = SmbiosInfo | FirmwareConfig
