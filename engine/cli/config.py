"""``config``: the service's configuration file."""

from __future__ import annotations

from pathlib import Path

import click

from engine.cli import output
from engine.cli.session import Session

__all__ = ["config"]


@click.group()
def config() -> None:
    """The service's configuration file."""


@config.command()
@click.argument("path", metavar="[FILE]", required=False, type=click.Path(path_type=Path))
@click.pass_obj
def check(session: Session, path: Path | None) -> None:
    """Whether a configuration file is right, and what it names is there.

    Without FILE the one that 'serve' would read. A file that is wrong is told of with the line; users and groups that
    are not known on this host are only warned of.
    """
    from engine.server.settings import read_settings

    path = path or session.config
    if path is None:
        output.say("There is no configuration file: all is as it is without one")
        return
    settings = read_settings(path, files=True)
    for name in settings.unknown_names():
        output.warning(f"{path}: there is no {name.replace(':', ' ', 1)} on this host")
    output.say(f"{path} is right")
