"""``<redirdev>``, ``<redirfilter>``: USB devices of a client. Source: libvirt's "Domain XML format".

The guest's user has them at the machine from which the guest's screen is looked at.
"""

from __future__ import annotations

from typing import Annotated, Literal

from engine.conf.kinds.domain.device import Boot, Device, DeviceSecLabel
from engine.conf.kinds.domain.hostdev import UsbId
from engine.conf.kinds.domain.storage import Reconnect
from engine.conf.kinds.values import AbsFilePath, OnOff, YesNo
from engine.conf.nodes.node import Child, Node
from engine.conf.nodes.values import Number, Pattern

__all__ = ["RedirDev", "RedirFilter"]

UsbClass = Annotated[
    int,
    Number(
        "usbClass",
        0,
        0xFF,
        pattern="(0x)?[0-9a-fA-F]{1,2}",
        plain="0|[1-9][0-9]?",
        as_hex=2,
        what="a USB class such as 0x08",
    ),
]
AnyUsbId = Annotated[int, Number("anyUsbId", -1, -1, plain="-1", what="-1 for any")]
UsbVersion = Annotated[str, Pattern("usbVersion", "[0-9]{1,2}.[0-9]{1,2}|-1", "a version such as 2.56, or -1 for any")]


class CharClipboard(Node):
    copypaste: YesNo


class CharMouse(Node):
    mode: Literal["server", "client"]


class CharSource(Node):
    mode: str | None = None
    path: str | None = None
    host: str | None = None
    service: str | None = None
    channel: str | None = None
    master: str | None = None
    slave: str | None = None
    append: OnOff | None = None
    tls: YesNo | None = None
    reconnect: Reconnect | None = None
    seclabels: Annotated[tuple[DeviceSecLabel, ...], Child("seclabel")] = ()
    clipboard: CharClipboard | None = None
    mouse: CharMouse | None = None


class CharProtocol(Node):
    type_: Literal["raw", "telnet", "telnets", "tls"] | None = None


class CharLog(Node):
    file: AbsFilePath
    append: OnOff | None = None


class RedirDev(Device):
    """A socket that a client can plug a USB device into.

    Attributes:
        bus: always usb.
        type_: how the client's side is reached, as for serial ports: mostly spicevmc or tcp.
        sources: where.
        boot: in which order the guest is booted from it.
    """

    bus: Literal["usb"]
    type_: Literal[
        "dev", "file", "pipe", "unix", "tcp", "udp", "null", "stdio", "vc", "pty", "spicevmc", "spiceport", "nmdm",
        "qemu-vdagent", "dbus",
    ]  # fmt: skip
    sources: Annotated[tuple[CharSource, ...], Child("source")] = ()
    protocol: CharProtocol | None = None
    log: CharLog | None = None
    boot: Boot | None = None


class UsbFilterRule(Node):
    """Which devices a rule is about, and whether they may be plugged in; -1: any.

    Attributes:
        class_: of the device, such as 0x08 for storage.
        vendor, product: its IDs; version: of the device, not of USB.
        allow: whether it may be plugged in.
    """

    class_: UsbClass | AnyUsbId | None = None
    vendor: UsbId | AnyUsbId | None = None
    product: UsbId | AnyUsbId | None = None
    version: UsbVersion | None = None
    allow: YesNo


class RedirFilter(Node):
    """Which devices a client may plug in: the first rule that fits a device says.

    Attributes:
        rules_: in order.
    """

    usbdevs: Annotated[tuple[UsbFilterRule, ...], Child("usbdev")] = ()
