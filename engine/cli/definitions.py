"""``define``, ``undefine``, ``autostart``: what is kept of a domain while it does not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.cli import arguments, output
from engine.cli.session import Session, each, tell, with_engine

if TYPE_CHECKING:
    from engine.cli.session import AnyDomain, AnyEngine

__all__ = ["autostart", "define", "undefine"]


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=arguments.document)
@click.option(
    "--validate/--no-validate", default=True, help="Hold the documents to libvirt's schema, or only to what is needed."
)
@arguments.as_json
@click.pass_obj
def define(session: Session, files: tuple[str, ...], validate: bool, as_json: bool) -> None:
    """Define domains from XML files, or redefine them.

    '-' reads standard input. A domain that runs goes on with the definition it was started with.
    """
    # all are read before anything is done, and before the state directory is taken
    documents = [arguments.read_document(file) for file in files]

    async def work(engine: AnyEngine) -> None:
        done = []
        for xml, source in documents:
            domain = await engine.define(xml, source=source, validate=validate)
            done.append(domain)
            if not as_json:
                output.say(f"Domain '{domain.name}' defined from {source}")
        tell(done, as_json=as_json)

    session.run(work)


@click.command()
@arguments.domains
@click.option("--managed-save", is_flag=True, help="Discard its managed save, too.")
@arguments.as_json
@with_engine
async def undefine(engine: AnyEngine, names: tuple[str, ...], managed_save: bool, as_json: bool) -> None:
    """Forget the definition of domains.

    A domain that runs goes on running, and is gone when it stops.
    """

    async def one(domain: AnyDomain) -> None:
        await domain.undefine(managed_save=managed_save)
        output.say(f"Domain '{domain.name}' has been undefined")

    await each(engine, names, one, as_json=as_json)


@click.command()
@arguments.domains
@click.option("--disable", is_flag=True, help="Do not start them with the host.")
@arguments.as_json
@with_engine
async def autostart(engine: AnyEngine, names: tuple[str, ...], disable: bool, as_json: bool) -> None:
    """Start domains with the host, or no longer."""

    async def one(domain: AnyDomain) -> None:
        await domain.set_autostart(not disable)
        output.say(f"Domain '{domain.name}' {'unmarked' if disable else 'marked'} as autostarted")

    await each(engine, names, one, as_json=as_json)
