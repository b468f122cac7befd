"""Character devices: ``<serial>``, ``<parallel>``, ``<console>``, ``<channel>``, and where they lead on the host.

Source: "Consoles, serial, parallel & channel devices" of libvirt's "Domain XML format". Which attributes a source has
does not depend on the device's type in libvirt's own validation, so a source is one class here, whatever it is.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.domain.device import Acpi, Device, DeviceSecLabel
from engine.conf.kinds.values import AbsFilePath, OnOff, UnsignedInt, YesNo
from engine.conf.nodes.node import Child, Node

__all__ = [
    "Channel",
    "CharBackend",
    "CharDevice",
    "CharLog",
    "CharProtocol",
    "CharSource",
    "CharType",
    "Clipboard",
    "Console",
    "MouseMode",
    "Parallel",
    "Reconnect",
    "Serial",
    "SerialTarget",
    "UnixSocket",
]

#: Where a character device leads on the host:
#: pty, a terminal of its own; dev, a device; file and pipe, which are written to; unix, tcp and udp, sockets; vc, a
#: console on the guest's screen; stdio, the hypervisor's own output; null, nowhere; spicevmc and spiceport, a channel
#: of SPICE; dbus, of D-Bus; qemu-vdagent, QEMU's own agent for clipboard and mouse; nmdm, (bhyve) a null modem.
CharType: TypeAlias = Literal[
    "dev", "file", "pipe", "unix", "tcp", "udp", "null", "stdio", "vc", "pty", "spicevmc", "spiceport", "nmdm",
    "qemu-vdagent", "dbus",
]  # fmt: skip


class Reconnect(Node):
    """What a client does when its connection is lost.

    Attributes:
        enabled: it tries again.
        timeout: after how many seconds.
    """

    enabled: YesNo
    timeout: UnsignedInt | None = None


class UnixSocket(Node):
    """A Unix socket of the host.

    Attributes:
        mode: the hypervisor's: server: it waits for who connects; client: it connects to who waits.
        reconnect: for clients.
    """

    type_: Literal["unix"]
    path: AbsFilePath
    mode: Literal["server", "client"]
    reconnect: Reconnect | None = None


class Clipboard(Node):
    """The guest's clipboard.

    Attributes:
        copypaste: it is shared with the client.
    """

    copypaste: YesNo


class MouseMode(Node):
    """Who knows where the pointer is.

    Attributes:
        mode: client: it follows the client's pointer; server: the guest's moves as the client's mouse does.
    """

    mode: Literal["server", "client"]


class CharSource(Node):
    """What a character device is connected to; which attributes count depends on the device's type.

    Attributes:
        mode: (unix, tcp, udp) connect: to what there is; bind: it waits for who connects.
        path: (dev, file, pipe, pty, unix, dbus) the file, device or socket.
        host: (tcp, udp) a name or address.
        service: (tcp, udp) the port.
        channel: (spiceport, dbus) the channel's name.
        master: (nmdm) the hypervisor's end.
        slave: (nmdm) the other end.
        append: (file) it is not emptied when the guest starts.
        tls: (tcp) the connection is encrypted; without it, as the hypervisor is configured.
        reconnect: (unix, tcp) for mode connect.
        seclabels: how the file or socket is labelled, by security driver.
        clipboard, mouse: (qemu-vdagent) what the agent does.
    """

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
    clipboard: Clipboard | None = None
    mouse: MouseMode | None = None


class CharProtocol(Node):
    """What is spoken on a TCP connection.

    Attributes:
        type_: raw: nothing; telnets: telnet in TLS.
    """

    type_: Literal["raw", "telnet", "telnets", "tls"] | None = None


class CharLog(Node):
    """A file that all output of the device is written to as well.

    Attributes:
        append: it is not emptied when the guest starts.
    """

    file: AbsFilePath
    append: OnOff | None = None


class CharBackend(Node):
    """The host's side of something that is connected as a character device, and is none itself.

    Attributes:
        type_: where it leads.
        sources: what it is connected to; two for udp: one bound, one to send to.
        protocol: for tcp.
    """

    type_: CharType
    sources: Annotated[tuple[CharSource, ...], Child("source")] = ()
    protocol: CharProtocol | None = None
    log: CharLog | None = None


class CharDevice(Device):
    """A device that reads and writes a stream of characters.

    Attributes:
        type_: where it leads on the host.
        sources: what it is connected to; two for udp: one bound, one to send to.
        protocol: for tcp.
    """

    type_: CharType
    sources: Annotated[tuple[CharSource, ...], Child("source")] = ()
    protocol: CharProtocol | None = None
    log: CharLog | None = None


# ---------------------------------------------------------------------------- ports and consoles


class SerialModel(Node):
    """The very device that a port is.

    Attributes:
        name: spapr-vty for target spapr-vio-serial, pl011 and 16550a for system-serial, sclpconsole and sclplmconsole
            for sclp-serial, isa-debugcon for isa-debug; the others are called as their target's type.
    """

    name: Literal[
        "isa-serial", "usb-serial", "pci-serial", "spapr-vty", "pl011", "16550a", "sclpconsole", "sclplmconsole",
        "isa-debugcon",
    ]  # fmt: skip


class SerialTarget(Node):
    """How the guest sees a serial or parallel port, or a console.

    Attributes:
        type_: of a serial port, what it is plugged in to: isa-serial (x86), usb-serial, pci-serial, spapr-vio-serial
            (pseries), system-serial (ARM and RISC-V), sclp-serial (S/390), isa-debug (x86, what the firmware says).
            Of a console: serial, the first serial port once more; virtio; xen, lxc, openvz, of these hypervisors;
            sclp, sclplm, of S/390, for which serial ports with that model are better.
        port: its number, from 0.
        model: chosen by the type when it is left out.
    """

    type_: (
        Literal[
            "isa-serial", "usb-serial", "pci-serial", "spapr-vio-serial", "system-serial", "sclp-serial", "isa-debug",
            "serial", "virtio", "xen", "lxc", "openvz", "sclp", "sclplm", "uml",
        ]
        | None
    ) = None  # fmt: skip
    port: str | None = None
    model: SerialModel | None = None


class PortDevice(CharDevice):
    """A port of the guest that a terminal or another device can be connected to.

    Attributes:
        tty: the terminal's path, of type pty, where the guest runs.
    """

    tty: AbsFilePath | None = None
    target: SerialTarget | None = None
    acpi: Acpi | None = None


class Serial(PortDevice):
    """A serial port."""


class Parallel(PortDevice):
    """A parallel port."""


class TypedConsole(PortDevice):
    """A console of the guest: a device of its own, or the first serial port once more."""


class BareConsole(Node):
    """A console of which nothing is said, as Xen guests have.

    Attributes:
        tty: its terminal's path, where the guest runs.
    """

    tty: AbsFilePath | None = None


Console: TypeAlias = TypedConsole | BareConsole


# ---------------------------------------------------------------------------- channels


class GuestfwdTarget(Node):
    """What the guest sends over TCP to this address and port comes out of the channel."""

    type_: Literal["guestfwd"]
    address: str
    port: str


class VirtioTarget(Node):
    """A port of a virtio-serial controller.

    Attributes:
        name: what programs in the guest find it by, such as org.qemu.guest_agent.0 or com.redhat.spice.0.
        state: a program in the guest has it open; only libvirt says so.
    """

    type_: Literal["virtio"]
    name: str | None = None
    state: Literal["connected", "disconnected"] | None = None


class XenTarget(Node):
    """A channel of Xen.

    Attributes:
        name: what the guest finds it by.
    """

    type_: Literal["xen"]
    name: str | None = None


class Channel(CharDevice):
    """A channel between a program on the host and one in the guest."""

    target: GuestfwdTarget | VirtioTarget | XenTarget
