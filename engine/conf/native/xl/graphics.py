"""The screens of Xen's guests: VNC, SDL and SPICE, and back.

Source: xl.cfg(5), "Emulated VGA Graphics Device", "Spice Graphics Support" and ``vfb``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from engine.conf.kinds.domain.chardev import Clipboard, MouseMode
from engine.conf.kinds.domain.graphics import (
    AddressListen,
    Graphics,
    PasswordServer,
    SdlGraphics,
    SpiceGraphics,
    SpiceImage,
    SpiceStreaming,
    VncGraphics,
)
from engine.conf.kinds.domain.video import EmulatedVideoModel, QxlVideoModel, Video
from engine.conf.native.xl.keys import Keys, Spec
from engine.conf.native.xl.text import Item, Setting, options_text

__all__ = ["read_graphics", "read_videos", "screen_settings", "spice_settings", "vfb_texts", "video_settings"]

FIRST_PORT = 5900
#: Cards by what xl calls them, and the memory they have, in KiB.
CARDS = {"cirrus": "cirrus", "stdvga": "vga", "qxl": "qxl"}
MEMORY = {"cirrus": 8192, "vga": 16384, "qxl": 131072, "xen": 4096}
Get = Callable[[str], Any]
Option = tuple[str, int | str]


# ---------------------------------------------------------------------------- reading


def read_graphics(keys: Keys, hvm: bool) -> Iterator[Graphics]:
    """What a guest has; one that knows Xen has framebuffers (vfb), or what xl makes them of."""
    framebuffers = [*_framebuffers(keys)]
    yield from framebuffers
    get = _getter(keys)
    vnc, sdl = keys.flag("vnc"), keys.flag("sdl")
    if vnc and sdl:
        keys.loses("sdl", "vnc")
    if framebuffers and not hvm:
        for key in ("vnc", "sdl"):
            if keys.flag(key):
                keys.loses(key, "vfb")
    elif vnc:
        yield _vnc(keys, get, keys.line("vnc"))
    elif sdl:
        yield _sdl(get, keys.line("sdl"))
    if hvm and keys.flag("spice"):
        yield _spice(keys)


def _getter(keys: Keys) -> Get:
    def get(name: str) -> Any:
        return keys.number(name) if name in ("vncunused", "vncdisplay") else keys.string(name)

    return get


def _framebuffers(keys: Keys) -> Iterator[Graphics]:
    for number, item in enumerate(keys.strings("vfb"), 1):
        spec = Spec(keys, f"vfb[{number}]", item)
        kind = spec.take("type")
        vnc, sdl = spec.number("vnc"), spec.number("sdl")
        get = _spec_getter(spec)
        chosen = kind or ("sdl" if sdl and not vnc else "vnc" if vnc != 0 else None)
        for name, wanted in (("vnc", vnc), ("sdl", sdl)):
            if wanted is not None and bool(wanted) != (name == chosen):
                spec.warn(name, "a framebuffer has one screen, of the 'type' or else VNC")
        if chosen == "sdl":
            yield _sdl(get, item.line)
        elif chosen == "vnc":
            yield _vnc(keys, get, item.line, f"vfb[{number}]/")
        elif chosen:
            spec.warn("type")
        spec.finish()


def _spec_getter(spec: Spec) -> Get:
    def get(name: str) -> Any:
        return spec.number(name) if name in ("vncunused", "vncdisplay") else spec.take(name)

    return get


def _vnc(keys: Keys, get: Get, line: int, place: str = "") -> VncGraphics:
    def warn(name: str, reason: str) -> None:
        keys.warn(place + name, keys.line(place + name) or line, reason)

    listen, display = _listen_display(get("vnclisten") or "")
    number = get("vncdisplay")
    if number is not None and display:
        warn("vnclisten", "the display after the address has no effect with 'vncdisplay'")
    elif display:
        number = keys.as_number(Item(display, line), "the display of 'vnclisten'")
    auto = get("vncunused") != 0
    if auto and number is not None:
        warn("vncdisplay", "any display that is free is taken, since 'vncunused' is not 0")
    return VncGraphics(
        type_="vnc",
        port=-1 if auto else FIRST_PORT + (number or 0),
        autoport=auto,
        passwd=get("vncpasswd"),
        keymap=get("keymap"),
        line=line,
        **_listening(listen),
    )


def _listen_display(text: str) -> tuple[str, str]:
    """The address and the display after it, if there is one; the colons of IPv6 are no such."""
    address, colon, display = text.rpartition(":")
    return (address, display) if colon and ":" not in address.strip("[]") else (text, "")


def _listening(address: str | None) -> dict[str, Any]:
    address = address or None
    return {"listen": address, "listens": (AddressListen(type_="address", address=address),)}


def _sdl(get: Get, line: int) -> SdlGraphics:
    return SdlGraphics(type_="sdl", display=get("display"), xauth=get("xauthority"), line=line)


def _spice(keys: Keys) -> SpiceGraphics:
    port, tls_port = keys.number("spiceport"), keys.number("spicetls_port")
    open_to_all = keys.flag("spicedisable_ticketing")
    password = keys.string("spicepasswd")
    if open_to_all is False and not password:
        reason = "without 'spicepasswd' all can connect"
        keys.warn("spicedisable_ticketing", keys.line("spicedisable_ticketing"), reason)
    if open_to_all and password:
        keys.warn("spicepasswd", keys.line("spicepasswd"), "it has no effect with 'spicedisable_ticketing'")
    image, streaming = keys.string("spice_image_compression"), keys.string("spice_streaming_video")
    choices: dict[str, Any] = {
        "image": SpiceImage(compression=image) if image else None,  # type: ignore[arg-type]  # it is checked later
        "streaming": SpiceStreaming(mode=streaming) if streaming else None,  # type: ignore[arg-type]
    }
    return SpiceGraphics(
        type_="spice",
        port=port,
        tls_port=tls_port,
        autoport=not port and not tls_port,
        passwd=None if open_to_all else password,
        line=keys.line("spice"),
        **_agent(keys),
        **choices,
        **_listening(keys.string("spicehost")),
    )


def _agent(keys: Keys) -> dict[str, Any]:
    """What the agent in the guest is used for; Xen does not share the clipboard unless told to, libvirt does."""
    mouse, clipboard = keys.flag("spiceagent_mouse"), keys.flag("spice_clipboard_sharing", False)
    agent = keys.flag("spicevdagent")
    if agent is not None and agent != bool(mouse or clipboard):
        reason = "in a definition there is an agent if it has the pointer or the clipboard"
        keys.warn("spicevdagent", keys.line("spicevdagent"), reason)
    return {
        "mouse": None if mouse is None else MouseMode(mode="client" if mouse else "server"),
        "clipboard": Clipboard(copypaste=clipboard or False),
    }


def read_videos(keys: Keys, hvm: bool, graphics: Sequence[Graphics]) -> tuple[Video, ...]:
    """The card of a guest: of one that knows Xen, Xen's own; none without a screen, unless one is chosen."""
    if not hvm:
        return (Video(model=_card("xen", MEMORY["xen"])),) if graphics else ()
    chosen, standard = keys.string("vga"), keys.flag("stdvga")
    memory = keys.number("videoram") or 0
    if memory < 0:
        raise keys.error("'videoram' is a number of megabytes", keys.line("videoram"))
    name = CARDS.get(chosen or "", "vga" if standard else "cirrus")
    if chosen and standard is not None and standard != (name == "vga" and chosen != "none"):
        keys.loses("stdvga", "vga")
    if chosen == "none" or not (graphics or chosen or standard):
        if memory:
            keys.warn("videoram", keys.line("videoram"), "there is no card that has it")
        return ()
    if chosen and chosen not in CARDS:
        keys.warn("vga", keys.line("vga"), "this card is not known")
    return (Video(model=_card(name, memory * 1024 or MEMORY[name]), line=keys.line("vga")),)


def _card(name: str, vram: int) -> EmulatedVideoModel | QxlVideoModel:
    if name == "qxl":
        return QxlVideoModel(type_="qxl", vram=vram, heads=1, primary=True)
    known: Any = name
    return EmulatedVideoModel(type_=known, vram=vram, heads=1, primary=True)


# ---------------------------------------------------------------------------- writing


def screen_settings(graphics: Sequence[Graphics]) -> list[Setting]:
    """Of a guest with an emulated card."""
    for each in graphics:
        if isinstance(each, SdlGraphics):
            return [("sdl", 1), ("vnc", 0), *_sdl_options(each)]
        if isinstance(each, VncGraphics):
            return [("sdl", 0), ("vnc", 1), *_vnc_options(each)]
    return [("sdl", 0), ("vnc", 0)]


def vfb_texts(graphics: Sequence[Graphics]) -> list[str]:
    """Of a guest that knows Xen."""
    texts = []
    for each in graphics:
        if isinstance(each, SdlGraphics):
            texts.append(options_text([("type", "sdl"), *_sdl_options(each)]))
        elif isinstance(each, VncGraphics):
            texts.append(options_text([("type", "vnc"), *_vnc_options(each)]))
    return texts


def _vnc_options(graphics: VncGraphics) -> list[Option]:
    options: list[Option] = []
    port = graphics.port
    if graphics.autoport or port is None or port < FIRST_PORT:
        options.append(("vncunused", 1))
    else:
        options += [("vncunused", 0), ("vncdisplay", port - FIRST_PORT)]
    named = {"vnclisten": _listen_address(graphics), "vncpasswd": graphics.passwd, "keymap": graphics.keymap}
    return [*options, *((name, value) for name, value in named.items() if value)]


def _sdl_options(graphics: SdlGraphics) -> list[Option]:
    named = {"display": graphics.display, "xauthority": graphics.xauth}
    return [(name, value) for name, value in named.items() if value]


def _listen_address(graphics: PasswordServer) -> str | None:
    for listen in graphics.listens:
        if isinstance(listen, AddressListen) and listen.address:
            return listen.address
    return graphics.listen


def spice_settings(graphics: Sequence[Graphics]) -> list[Setting]:
    """Of the first SPICE server, if there is one."""
    spice = next((each for each in graphics if isinstance(each, SpiceGraphics)), None)
    if spice is None:
        return []
    settings: list[tuple[str, int | str | None]] = [("spice", 1), ("spicehost", _listen_address(spice))]
    settings += [(name, port) for name, port in _spice_ports(spice) if port and port > 0]
    settings += [("spicedisable_ticketing", 0 if spice.passwd else 1), ("spicepasswd", spice.passwd)]
    settings += _agent_settings(spice)
    settings.append(("spice_image_compression", spice.image.compression if spice.image else None))
    settings.append(("spice_streaming_video", spice.streaming.mode if spice.streaming else None))
    return [(name, value) for name, value in settings if value is not None]


def _spice_ports(spice: SpiceGraphics) -> list[tuple[str, int | None]]:
    return [("spiceport", spice.port), ("spicetls_port", spice.tls_port)]


def _agent_settings(spice: SpiceGraphics) -> list[tuple[str, int | str | None]]:
    """The pointer and the clipboard need the agent."""
    client = spice.mouse.mode == "client" if spice.mouse else None
    shared = spice.clipboard.copypaste if spice.clipboard else None
    settings: list[tuple[str, int | str | None]] = []
    if client is not None:
        settings.append(("spiceagent_mouse", int(client)))
    if client or shared:
        settings.append(("spicevdagent", 1))
    if shared is not None:
        settings.append(("spice_clipboard_sharing", int(shared)))
    return settings


def video_settings(videos: Sequence[Video]) -> list[Setting]:
    """Of an emulated card that is not the one a guest gets by itself."""
    model = videos[0].model if videos else None
    name = next((name for name, type_ in CARDS.items() if model and type_ == model.type_), None)
    if model is None or name is None:
        return []
    settings: list[Setting] = [("vga", name)] if name != "cirrus" else []
    if model.vram and model.vram != MEMORY[model.type_] and model.vram % 1024 == 0:
        settings.append(("videoram", model.vram // 1024))
    return settings
