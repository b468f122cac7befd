"""``webhooks``: whom a service tells of events, and how far that is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from engine.cli import arguments, output
from engine.cli.failures import Failed
from engine.cli.session import Session

if TYPE_CHECKING:
    from engine.server.client import RemoteEngine
    from engine.server.webhooks.hook import WebhookState

__all__ = ["webhooks"]

_STYLES = {"running": "green", "failing": "yellow", "disabled": "bold red"}


@click.command()
@click.option("--retry", "again", metavar="NAME", help="Try all that waits at once, and dead letters once more.")
@click.option("--dead", is_flag=True, help="The events that were given up, rather.")
@arguments.as_json
@click.pass_obj
def webhooks(session: Session, again: str | None, dead: bool, as_json: bool) -> None:
    """List whom a service tells of events, and how far that is.

    Its configuration file says whom. With --json all that is known, as an array.
    """

    async def ask(engine: RemoteEngine) -> None:
        if again is not None:
            found = [await engine.retry_webhook(again)]
        else:
            found = await engine.webhooks()
        if as_json:
            output.json(found)
        elif again is not None:
            output.say(f"Webhook '{again}' is tried again")
        elif dead:
            rows = [
                [state.name, each.id, each.type, each.domain or "-", str(each.tries), each.error]
                for state in found
                for each in state.dead_letters
            ]
            output.table(("Webhook", "Event", "Type", "Domain", "Tries", "Error"), rows)
        else:
            output.table(
                ("Name", "Receiver", "State", "Behind", "Told", "Dead", "Error"), map(_row, found), styles=_STYLES
            )

    if not session.run_served(ask):
        raise Failed("there is no service, and only a service tells others of events")


def _row(state: WebhookState) -> list[str]:
    error = state.reason or (state.last_error if state.state == "failing" else "")
    return [
        state.name,
        state.receiver,
        state.state,
        str(state.lag),
        str(state.delivered),
        str(state.dead),
        error or "-",
    ]
