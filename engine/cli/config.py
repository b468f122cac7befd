"""``config``: the service's configuration file."""

from __future__ import annotations

import grp
import pwd
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli import output
from engine.cli.session import Session

if TYPE_CHECKING:
    from engine.server.settings import Settings

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
    from engine.server.webhooks.settings import read_secret, trust_of

    path = path or session.config
    if path is None:
        output.say("There is no configuration file: all is as it is without one")
        return
    settings = read_settings(path)
    settings.tls_context()
    for webhook in settings.webhook:
        read_secret(webhook)
        trust_of(webhook)
    for name in _unknown(settings):
        output.warning(f"{path}: there is no {name.replace(':', ' ', 1)} on this host")
    output.say(f"{path} is right")


def _unknown(settings: Settings) -> Iterator[str]:
    for name in dict.fromkeys(name for names in settings.access.rules.values() for name in names):
        kind, _, who = name.partition(":")
        try:
            if kind == "user":
                pwd.getpwnam(who)
            elif kind == "group":
                grp.getgrnam(who)
        except KeyError:
            yield name
