"""How the guest's screen is shown. Source: "Graphical framebuffers" of libvirt's "Domain XML format"."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from engine.conf.kinds.domain.chardev import Clipboard, MouseMode
from engine.conf.kinds.values import (
    AbsFilePath,
    FilePath,
    HostName,
    OnOff,
    PortNumber,
    SecretText,
    UInt8,
    YesNo,
)
from engine.conf.nodes.node import Attr, Child, Node, at_most_one
from engine.conf.nodes.values import Pattern

__all__ = ["AudioRef", "Graphics", "GraphicsDevice", "Listen"]

#: Where a server listens: an IP address or a name.

_DAY = "(0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)|02-(0[1-9]|[12][0-9])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?|24:00:00(\.0+)?"
_ZONE = r"Z|[+\-](0[0-9]|1[0-3]):[0-5][0-9]|[+\-]14:00"
DateTime = Annotated[
    str,
    Pattern(
        "dateTime", f"-?([1-9][0-9]+)?[0-9]{{4}}-({_DAY})T({_TIME})({_ZONE})?", "a time such as 2030-01-31T12:00:00"
    ),
]


# ---------------------------------------------------------------------------- where servers listen


class AddressListen(Node):
    """An address of the host.

    Attributes:
        address: without one, as the hypervisor is configured.
    """

    type_: Literal["address"]
    address: HostName | None = None


class NetworkListen(Node):
    """The host's address in a virtual network.

    Attributes:
        network: its name.
        address: the one found, where the guest runs.
    """

    type_: Literal["network"]
    network: str
    address: HostName | None = None


class SocketListen(Node):
    """A Unix socket.

    Attributes:
        socket: its path; made up when it is left out.
    """

    type_: Literal["socket"]
    socket: AbsFilePath | None = None


class NoListen(Node):
    """Nowhere: clients are handed over by an open file."""

    type_: Literal["none"]


Listen: TypeAlias = AddressListen | NetworkListen | SocketListen | NoListen


# ---------------------------------------------------------------------------- what several have


class AudioRef(Node):
    """The audio backend that sound goes to; without one, the default.

    Attributes:
        id_: of an <audio>.
    """

    id_: UInt8


class GlSwitch(Node):
    """Whether OpenGL is used."""

    enable: YesNo


class Gl(GlSwitch):
    """Whether the host draws with OpenGL.

    Attributes:
        rendernode: the device it draws with; without one, the first there is.
    """

    rendernode: AbsFilePath | None = None


class GraphicsDevice(Node):
    """A way to show the guest's screen."""


class PasswordServer(GraphicsDevice):
    """A server with a password.

    Attributes:
        port: -1, as of old: any that is free.
        autoport: any port that is free is taken.
        listen: where; the same as the first <listen>'s address.
        passwd: in clear text; empty: nobody gets in.
        keymap: such as de.
        passwd_valid_to: when the password ends, in UTC.
        listens: where it listens.
    """

    port: PortNumber | None = None
    autoport: YesNo | None = None
    listen: HostName | None = None
    passwd: SecretText | None = None
    keymap: str | None = None
    passwd_valid_to: Annotated[DateTime | None, Attr("passwdValidTo")] = None
    listens: Annotated[tuple[Listen, ...], Child("listen")] = ()


# ---------------------------------------------------------------------------- servers


class VncGraphics(PasswordServer):
    """A VNC server.

    Attributes:
        websocket: a port for browsers; -1: any that is free.
        socket: a Unix socket, instead of a port; the same as the first <listen>'s socket.
        share_policy: allow-exclusive (taken without one): a client may ask to be the only one; force-shared: none may;
            ignore: whatever they ask, all are let in.
        power_control: clients may shut the guest down and reset it.
        connected: keep: clients stay connected when the password changes.
        audio: where sound for clients comes from.
    """

    type_: Literal["vnc"]
    websocket: PortNumber | None = None
    socket: AbsFilePath | None = None
    share_policy: Annotated[Literal["allow-exclusive", "force-shared", "ignore"] | None, Attr("sharePolicy")] = None
    power_control: Annotated[YesNo | None, Attr("powerControl")] = None
    connected: Literal["keep"] | None = None
    audio: AudioRef | None = None
    rules = tuple(
        at_most_one("socket", other)
        for other in ("port", "autoport", "websocket", "listen", "share_policy", "power_control")
    )


#: What a channel of SPICE needs: TLS (secure), no TLS, or either.
SpiceSecurity: TypeAlias = Literal["any", "secure", "insecure"]


class SpiceChannel(Node):
    """What one channel needs, if not what the server's default mode says."""

    name: Literal["main", "display", "inputs", "cursor", "playback", "record", "smartcard", "usbredir"]
    mode: SpiceSecurity


class SpiceImage(Node):
    """How images are compressed."""

    compression: Literal["auto_glz", "auto_lz", "quic", "glz", "lz", "off"]


class WanCompression(Node):
    """Whether images are compressed further, for slow networks."""

    compression: Literal["auto", "never", "always"]


class SpicePlayback(Node):
    """Whether sound is compressed."""

    compression: OnOff


class SpiceStreaming(Node):
    """Whether parts of the screen that change fast are sent as video: those that look like it, all, or none."""

    mode: Literal["filter", "all", "off"]


class FileTransfer(Node):
    """Whether clients may send files to the guest; they may, when it is left out."""

    enable: YesNo


class SpiceGraphics(PasswordServer):
    """A SPICE server.

    Attributes:
        tls_port: the port for TLS; -1: any that is free.
        connected: what becomes of clients when the password changes.
        default_mode: what channels need; any: TLS if there is a port for it.
        channels: what single channels need.
        jpeg, zlib: whether images are compressed further, with loss or without.
        clipboard: shared, when it is left out.
        mouse: by whom it is moved.
        gl: only for clients on the host.
    """

    type_: Literal["spice"]
    tls_port: Annotated[PortNumber | None, Attr("tlsPort")] = None
    connected: Literal["fail", "disconnect", "keep"] | None = None
    default_mode: Annotated[SpiceSecurity | None, Attr("defaultMode")] = None
    channels: Annotated[tuple[SpiceChannel, ...], Child("channel")] = ()
    image: SpiceImage | None = None
    jpeg: WanCompression | None = None
    zlib: WanCompression | None = None
    playback: SpicePlayback | None = None
    streaming: SpiceStreaming | None = None
    clipboard: Clipboard | None = None
    mouse: MouseMode | None = None
    filetransfer: FileTransfer | None = None
    gl: Gl | None = None


class RdpGraphics(GraphicsDevice):
    """(VirtualBox) An RDP server.

    Attributes:
        port: -1, as of old: any that is free.
        autoport: any port that is free is taken.
        replace_user: a new client takes the place of one that is there.
        multi_user: several clients can be there.
        listen: where; the same as the first <listen>'s address.
        listens: where it listens.
    """

    type_: Literal["rdp"]
    port: PortNumber | None = None
    autoport: YesNo | None = None
    replace_user: Annotated[YesNo | None, Attr("replaceUser")] = None
    multi_user: Annotated[YesNo | None, Attr("multiUser")] = None
    listen: HostName | None = None
    listens: Annotated[tuple[Listen, ...], Child("listen")] = ()


class DbusGraphics(GraphicsDevice):
    """The screen on D-Bus; without an address, on a bus of its own.

    Attributes:
        address: of the bus.
        p2p: clients are handed over by an open file, and there is no bus.
        audio: where sound for clients comes from.
    """

    type_: Literal["dbus"]
    address: FilePath | None = None
    p2p: YesNo | None = None
    gl: Gl | None = None
    audio: AudioRef | None = None
    rules = (at_most_one("address", "p2p"),)


# ---------------------------------------------------------------------------- on the host


class SdlGraphics(GraphicsDevice):
    """A window on the host.

    Attributes:
        display: of X11, such as :0.0.
        xauth: the file with what is needed to open it.
    """

    type_: Literal["sdl"]
    display: str | None = None
    xauth: str | None = None
    fullscreen: YesNo | None = None
    gl: GlSwitch | None = None


class DesktopGraphics(GraphicsDevice):
    """(VirtualBox) A window of its viewer on the host.

    Attributes:
        display: of X11, such as :0.0.
    """

    type_: Literal["desktop"]
    display: str | None = None
    fullscreen: YesNo | None = None


class RenderNode(Node):
    """What draws.

    Attributes:
        rendernode: a device of the host; without one, the first there is.
    """

    rendernode: AbsFilePath | None = None


class EglHeadlessGraphics(GraphicsDevice):
    """OpenGL on the host, shown nowhere: for a VNC or SPICE server beside it."""

    type_: Literal["egl-headless"]
    gl: RenderNode | None = None


Graphics: TypeAlias = (
    VncGraphics | SpiceGraphics | RdpGraphics | DbusGraphics | SdlGraphics | DesktopGraphics | EglHeadlessGraphics
)
