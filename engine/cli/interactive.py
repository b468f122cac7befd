"""``console``, ``screenshot``, ``vncdisplay``, ``domdisplay``, ``qemu-agent-command``: what people do with a guest."""

from __future__ import annotations

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from engine.cli import arguments, output
from engine.cli.failures import Failed
from engine.cli.session import find, with_engine

if TYPE_CHECKING:
    from anyio.abc import ByteStream

    from engine.abc import Display
    from engine.cli.session import AnyEngine
    from engine.cli.terminal import Keyboard

__all__ = ["agent_command", "console", "domdisplay", "screenshot", "vncdisplay"]

_ESCAPE = b"\x1d"  # Ctrl-], as telnet and virsh have it
_ENDINGS = {"image/png": "png", "image/x-portable-pixmap": "ppm"}


@click.command()
@arguments.domain
@click.option("--devname", "device", default="", metavar="NAME", help="Which, as serial1.  [default: the first]")
@click.option("--force", is_flag=True, help="Whoever is at it already has to go.")
@with_engine
async def console(engine: AnyEngine, name: str, device: str, force: bool) -> None:
    """Sit at the console of a domain. Ctrl-] ends it."""
    from engine.cli.terminal import Keyboard

    domain = find(engine, name)
    async with domain.open_console(device, force=force) as stream:
        with Keyboard() as keyboard:
            output.say(f"Connected to domain '{domain.name}'; the escape is Ctrl-]")
            await output.drained()
            await keyboard.show(b"\r")  # nobody makes of a line's end its begin any more
            left = await _talk(keyboard, stream)
        output.say("")
        if not left and (why := "somebody else has taken it over" if stream.taken else stream.broken):
            raise Failed(f"the console has ended: {why}")


async def _talk(keyboard: Keyboard, stream: ByteStream) -> bool:
    """Until one of both ends it; whether the person did."""
    import anyio

    left = False

    async def typed() -> None:
        nonlocal left
        async for data in keyboard:
            text, escape, _ = data.partition(_ESCAPE)
            with contextlib.suppress(anyio.BrokenResourceError):  # it has ended, as whoever reads is about to be told
                await stream.send(text)
            if escape:
                break
        left = True
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(typed)
        with contextlib.suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            while True:
                await keyboard.show(await stream.receive())
        tasks.cancel_scope.cancel()
    return left


@click.command()
@arguments.domain
@click.argument(
    "path", metavar="[FILE]", required=False, type=click.Path(dir_okay=False, allow_dash=True, path_type=Path)
)
@arguments.as_json
@with_engine
async def screenshot(engine: AnyEngine, name: str, path: Path | None, as_json: bool) -> None:
    """Write what the screen of a domain shows to a file.

    By default to one that is named after the domain and the time; with - to standard output.
    """
    from datetime import datetime

    import anyio.to_thread

    from engine.util.files import write_atomic

    to_output = path == Path("-")
    if to_output and as_json:
        raise click.UsageError("--json tells where the picture is: it takes a FILE")
    if to_output and sys.stdout.isatty():
        raise click.UsageError("a terminal shows no picture: name a FILE, or a pipe")
    domain = find(engine, name)
    found = await domain.screenshot()
    if to_output:
        return output.raw_bytes(found.data)
    stem, ending = domain.name.replace("/", "-"), _ENDINGS.get(found.media_type, "img")
    path = path or Path(f"{stem}-{datetime.now().astimezone():%Y-%m-%d-%H.%M.%S}.{ending}")
    await anyio.to_thread.run_sync(write_atomic, path.absolute(), found.data)
    if as_json:
        output.json({"path": str(path), "media_type": found.media_type})
    else:
        output.say(f"The screen of domain '{domain.name}' is in {path} ({found.media_type})")
    return None


@click.command()
@arguments.domain
@with_engine
async def vncdisplay(engine: AnyEngine, name: str) -> None:
    """Print where the VNC display of a domain is, as HOST:NUMBER."""
    found = [each for each in await _displays(engine, name) if each.scheme == "vnc"]
    if not found:
        raise Failed(f"domain '{name}' has no VNC display that listens anywhere")
    output.data(f"{found[0].place}:{found[0].port - 5900}" if found[0].port else found[0].place)


@click.command()
@arguments.domain
@click.option("--type", "kind", type=click.Choice(("vnc", "spice")), help="Only one of this type.")
@click.option("--all", "everything", is_flag=True, help="All of them.")
@arguments.as_json
@with_engine
async def domdisplay(engine: AnyEngine, name: str, kind: str | None, everything: bool, as_json: bool) -> None:
    """Print the URI of a display of a domain.

    With --json all of them, as an array.
    """
    found = [each for each in await _displays(engine, name) if kind in (None, each.scheme)]
    if as_json:
        return output.json(found)
    if not found:
        raise Failed(f"domain '{name}' has no display that listens anywhere")
    for each in found if everything else found[:1]:
        where = f"://{each.place}:{each.port}" if each.port else f"+unix://{each.place}"
        output.data(f"{each.scheme}{where}")
    return None


async def _displays(engine: AnyEngine, name: str) -> tuple[Display, ...]:
    return (await find(engine, name).info()).displays


@click.command("qemu-agent-command")
@arguments.domain
@click.argument("command", metavar="JSON")
@click.option("--timeout", type=arguments.seconds, default=30.0, show_default=True, help="Seconds that it may take.")
@click.option("--pretty", is_flag=True, help="Print the answer over several lines.")
@with_engine
async def agent_command(engine: AnyEngine, name: str, command: str, timeout: float, pretty: bool) -> None:
    """Give the guest agent a command of its own.

    JSON is such as '{"execute": "guest-get-osinfo"}', with "arguments" where there are some; so is the answer.
    """
    asked = _asked(command)
    value = await find(engine, name).agent_command(asked["execute"], asked.get("arguments"), timeout=timeout)
    output.data(json.dumps({"return": value}, indent=2 if pretty else None))


def _asked(text: str) -> dict[str, Any]:
    try:
        asked = json.loads(text)
    except ValueError as exc:
        raise click.BadParameter(f"not well-formed JSON: {exc}", param_hint="JSON") from exc
    if not isinstance(asked, dict) or not isinstance(asked.get("execute"), str):
        raise click.BadParameter('an object with "execute" is wanted', param_hint="JSON")
    if not isinstance(asked.get("arguments", {}), dict) or set(asked) - {"execute", "arguments"}:
        raise click.BadParameter('beside "execute" there may be "arguments", an object', param_hint="JSON")
    return asked
