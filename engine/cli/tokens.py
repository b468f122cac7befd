"""``token``: secrets for those who come to the service over TCP."""

from __future__ import annotations

import time
from datetime import datetime
from typing import TYPE_CHECKING

import click

from engine.cli import arguments, output
from engine.cli.session import Session

if TYPE_CHECKING:
    from engine.server.access.tokens import Token, TokenFile

__all__ = ["token"]

_DAY = 24 * 3600.0
_DAYS = 90.0


@click.group()
def token() -> None:
    """Tokens for those who come to the service over TCP.

    A service that runs takes them at once. What is kept of one tells nobody what it is.
    """


@token.command()
@click.argument("name")
@click.option("--role", type=click.Choice(("viewer", "operator", "admin")), required=True, help="What it is good for.")
@click.option("--domain", "domains", multiple=True, metavar="PATTERN", help="Only for these domains.  [default: all]")
@click.option("--days", type=arguments.days, help="How long it is good.  [default: 90]")
@click.option("--forever", is_flag=True, help="It never expires.")
@click.pass_obj
def add(session: Session, name: str, role: str, domains: tuple[str, ...], days: float | None, forever: bool) -> None:
    """Make a token, and print it: it is told only now."""
    if forever and days is not None:
        raise click.UsageError("--days and --forever exclude each other")
    expires = None if forever else time.time() + (_DAYS if days is None else days) * _DAY
    output.data(_file(session).add(name, role, domains=domains, expires=expires))  # type: ignore[arg-type]


@token.command("list")
@arguments.as_json
@click.pass_obj
def list_tokens(session: Session, as_json: bool) -> None:
    """The tokens that there are, and what each is good for."""
    tokens = _file(session).list()
    if as_json:
        output.json([_facts(each) for each in tokens])
        return
    rows = [(each.name, each.role, ", ".join(each.domains) or "all", _until(each)) for each in tokens]
    output.table(("Name", "Role", "Domains", "Until"), rows)


def _facts(token: Token) -> dict[str, object]:
    return {
        "name": token.name,
        "role": token.role,
        "domains": list(token.domains),
        "created": token.created,
        "expires": token.expires,
    }


def _until(token: Token) -> str:
    if token.expires is None:
        return "for ever"
    at = datetime.fromtimestamp(token.expires).isoformat(sep=" ", timespec="minutes")
    return f"{at} (expired)" if token.expired else at


@token.command()
@click.argument("name")
@click.pass_obj
def remove(session: Session, name: str) -> None:
    """Whoever has the token is nobody from now on."""
    _file(session).remove(name)
    output.say(f"Token '{name}' is removed")


def _file(session: Session) -> TokenFile:
    from engine.server.access.tokens import TOKENS, TokenFile

    session.only_here("'token'")
    return TokenFile(session.state_dir / TOKENS)
