"""``<redirdev>``, ``<redirfilter>``: USB devices of a client. Source: libvirt's "Domain XML format".

The guest's user has them at the machine from which the guest's screen is looked at.
"""

from __future__ import annotations

from typing import Annotated, Literal

from engine.conf.kinds.domain.chardev import CharDevice
from engine.conf.kinds.domain.device import Boot, UsbId
from engine.conf.kinds.values import YesNo
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


class RedirDev(CharDevice):
    """A socket that a client can plug a USB device into.

    Attributes:
        bus: always usb.
        type_: how the client is reached: mostly spicevmc or tcp.
        boot: in which order the guest is booted from it.
    """

    bus: Literal["usb"]
    boot: Boot | None = None


class UsbFilterRule(Node):
    """Which devices a rule is about, and whether they may be plugged in; -1: any.

    Attributes:
        class_: of the device, such as 0x08 for storage.
        vendor, product: its IDs.
        version: of the device, not of USB.
        allow: whether it may be plugged in.
    """

    class_: UsbClass | AnyUsbId | None = None
    vendor: UsbId | AnyUsbId | None = None
    product: UsbId | AnyUsbId | None = None
    version: UsbVersion | None = None
    allow: YesNo


class RedirFilter(Node):
    """Which devices a client may plug in: the first rule that fits a device says."""

    usbdevs: Annotated[tuple[UsbFilterRule, ...], Child("usbdev")] = ()
