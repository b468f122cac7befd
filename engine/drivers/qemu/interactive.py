"""What people do with a running guest: sit at its consoles, see its screen. Source: QEMU's QMP reference manual."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import socket
import stat
from pathlib import Path

import anyio
import anyio.to_thread
from anyio.abc import ByteStream

from engine.abc import Display, Screenshot
from engine.drivers.qemu.characters import Terminal
from engine.drivers.qemu.guest import UNDO, Guest
from engine.drivers.qemu.peripherals import display_socket
from engine.drivers.qemu.qmp.connection import QmpError
from engine.errors import DriverError, EngineError, HostError, OperationInvalid
from engine.util.terminal import TerminalStream
from engine.util.unix import UnixStream, connect_unix

__all__ = ["displays", "open_console", "open_graphics", "pty_of", "screenshot", "terminal_of"]

# of what QEMU makes; and bytes of one picture: 8K in four colours of 16 bits
_PTY = re.compile(r"/dev/pts/[0-9]+")
_LARGEST = 7680 * 4320 * 8
# seconds that a program which listens for us, QEMU itself, may take to let us in
_CONNECTS = 5.0


def terminal_of(guest: Guest, device: str) -> Terminal:
    """The one of that name, "" being the first; ``console0`` is the first serial line under another name.

    Raises:
        OperationInvalid: there is none.
    """
    found = guest.characters.terminals
    if not found:
        raise OperationInvalid(f"domain '{guest.domain.name}' has no console")
    if device in ("", "console0"):
        return found[0]
    for terminal in found:
        if terminal.name == device:
            return terminal
    names = ", ".join(terminal.name for terminal in found)
    raise OperationInvalid(f"domain '{guest.domain.name}' has no console '{device}': it has {names}")


async def open_console(guest: Guest, name: str) -> ByteStream:
    terminal = terminal_of(guest, name)
    try:
        if terminal.kind == "unix" and not terminal.connects:
            return await connect_unix(terminal.path, _CONNECTS, what=f"QEMU's end of {name}")
        if terminal.kind == "pty":
            path = await pty_of(guest, terminal.chardev)
            if not _PTY.fullmatch(path):  # the same: it must not have us write to any file
                raise DriverError(f"QEMU has no terminal for {name} of domain '{guest.domain.name}'")
            return TerminalStream.open(path)
    except OSError as exc:
        raise HostError(f"{name} of domain '{guest.domain.name}': {(exc.strerror or str(exc)).lower()}") from exc
    kind = "unix, to somebody else" if terminal.connects else terminal.kind
    raise OperationInvalid(
        f"nobody can sit at {name} of domain '{guest.domain.name}', which is of type {kind}: pty and unix are for that"
    )


async def pty_of(guest: Guest, chardev: str) -> str:
    """Path of the terminal that QEMU has made for it; "": none."""
    for device in await guest.execute("query-chardev", timeout=2.0):
        if device.get("label") == chardev:
            return str(device.get("filename", "")).removeprefix("pty:")
    return ""


async def displays(guest: Guest) -> tuple[Display, ...]:
    """Those that listen somewhere; none where QEMU does not tell."""
    found: list[Display] = []
    for index, graphics in enumerate(guest.machine.devices.graphics):
        kind = graphics.listens[0].type if graphics.listens else "socket" if graphics.socket else "address"
        if kind == "socket":
            path = display_socket(graphics, index, str(guest.domain.runtime_dir))
            found.append(Display(scheme=graphics.type, place=path))
        elif kind == "address":
            with contextlib.suppress(EngineError, KeyError, ValueError):
                told = await guest.execute("query-vnc", timeout=2.0)
                found.append(Display(scheme="vnc", place=str(told["host"]), port=int(told["service"])))
    return tuple(found)


async def open_graphics(guest: Guest) -> ByteStream:
    """QEMU is handed a socket: so its display may listen anywhere, or nowhere, and ask others for a password."""
    if not any(graphics.type == "vnc" for graphics in guest.machine.devices.graphics):
        # QEMU would say nothing, and do nothing
        raise OperationInvalid(f"domain '{guest.domain.name}' has no VNC display")
    ours, theirs = socket.socketpair()
    name = f"display-{secrets.token_hex(4)}"
    try:
        ours.setblocking(False)
        with theirs:
            await guest.execute("getfd", {"fdname": name}, fd=theirs.fileno())
        try:
            await guest.execute("add_client", {"protocol": "vnc", "fdname": name, "skipauth": True})
        except BaseException:
            with anyio.move_on_after(UNDO, shield=True), contextlib.suppress(EngineError):
                await guest.execute("closefd", {"fdname": name})
            raise
    except QmpError as exc:
        ours.close()
        raise DriverError(f"the display of domain '{guest.domain.name}' can't be had: {exc.description}") from exc
    except BaseException:
        ours.close()
        raise
    return UnixStream(ours)


async def screenshot(guest: Guest) -> Screenshot:
    path = guest.domain.runtime_dir / f"screen-{secrets.token_hex(4)}"
    try:
        return await _taken(guest, path)
    except QmpError as exc:
        raise OperationInvalid(f"there is no picture of domain '{guest.domain.name}': {exc.description}") from exc
    finally:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(_remove, path)


async def _taken(guest: Guest, path: Path) -> Screenshot:
    media_type = "image/png"
    try:
        await guest.execute("screendump", {"filename": str(path), "format": "png"})
    except QmpError as exc:
        if "format" not in exc.description:
            raise
        media_type = "image/x-portable-pixmap"  # all that QEMU before 7.1 makes
        await guest.execute("screendump", {"filename": str(path)})
    try:
        return Screenshot(data=await anyio.to_thread.run_sync(_read_picture, path), media_type=media_type)
    except OSError as exc:
        raise HostError(f"{path}: {(exc.strerror or str(exc)).lower()}") from exc


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):  # none was made, or no file
        path.unlink()


def _read_picture(path: Path) -> bytes:
    """What QEMU has written there; a QEMU that its guest has taken over must not have us read what it can't."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # noqa: PTH123
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1 or status.st_size > _LARGEST:
            raise OSError(errno.EINVAL, "this is no picture")
        return file.read(_LARGEST)
