"""``save``, ``restore``, ``managedsave``: a guest's memory on disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.cli import arguments, output
from engine.cli.session import each, find, tell, with_engine

if TYPE_CHECKING:
    from engine.cli.session import AnyDomain, AnyEngine

__all__ = ["managedsave", "restore", "save"]


@click.command()
@arguments.domain
@click.argument("file", type=click.Path())
@arguments.as_json
@with_engine
async def save(engine: AnyEngine, name: str, file: str, as_json: bool) -> None:
    """Save the memory of a domain to FILE and stop it.

    'restore' brings it back.
    """
    import anyio

    from engine.errors import ConfigError

    domain = find(engine, name)
    target = anyio.Path(file)
    # the file is written beside and renamed: that would put it in the place of a device or a folder
    if await target.exists() and not await target.is_file():
        raise ConfigError("is no regular file: name one, or a new one", source=file)
    await domain.save(file)
    if as_json:
        tell([domain], as_json=True)
    else:
        output.say(f"Domain '{domain.name}' saved to {file}")


@click.command()
@click.argument("file", type=click.Path())
@click.option("--paused", is_flag=True, help="Leave the CPUs stopped.")
@arguments.as_json
@with_engine
async def restore(engine: AnyEngine, file: str, paused: bool, as_json: bool) -> None:
    """Bring back what 'save' wrote to FILE. The file is kept."""
    domain = await engine.restore(file, paused=paused)
    if as_json:
        tell([domain], as_json=True)
    else:
        output.say(f"Domain restored from {file}")


@click.command()
@arguments.domains
@arguments.as_json
@with_engine
async def managedsave(engine: AnyEngine, names: tuple[str, ...], as_json: bool) -> None:
    """Save domains where their next 'start' finds it."""

    async def one(domain: AnyDomain) -> None:
        await domain.managed_save()
        output.say(f"Domain '{domain.name}' state saved by virengine")

    await each(engine, names, one, as_json=as_json)
