"""``operations``: what a service carries out, for whomever."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from engine.cli import arguments, output
from engine.cli.failures import Failed
from engine.cli.session import Session

if TYPE_CHECKING:
    from engine.server.client import RemoteEngine
    from engine.server.operations import Operation

__all__ = ["operations"]

_STYLES = {"running": "yellow", "done": "green", "failed": "bold red", "cancelled": "dim"}


@click.command()
@click.option("--all", "everything", is_flag=True, help="Also those that have ended of late.")
@click.option("--cancel", "cancelled", metavar="ID", help="End one; what it has done so far stays done.")
@arguments.as_json
@click.pass_obj
def operations(session: Session, everything: bool, cancelled: str | None, as_json: bool) -> None:
    """List what a service is carrying out.

    'up', 'down' and what others asked for: it goes on when those who asked do not look on any more. With --json all
    that is known, as an array.
    """

    async def ask(engine: RemoteEngine) -> None:
        if cancelled is not None:
            operation = await engine.cancel(cancelled)
            if as_json:
                output.json(operation)
            elif operation.state == "running":
                output.say(f"Operation {operation.id} ({operation.what}) is being cancelled")
            else:
                output.say(f"Operation {operation.id} ({operation.what}) has ended already: {operation.state}")
            return
        found = await engine.operations()
        if as_json:
            output.json(found)
            return
        rows = [_row(each) for each in found if everything or each.state == "running"]
        output.table(("ID", "What", "State", "Progress", "Begun", "By"), rows, styles=_STYLES)

    if not session.run_served(ask):
        raise Failed("there is no service: what a command does without one ends with it")


def _row(operation: Operation) -> list[str]:
    told = operation.progress
    progress = "-"
    if told is not None and told.total:
        progress = f"{told.done} of {told.total}" + (f", {told.failed} failed" if told.failed else "")
    what = f"{operation.what} {operation.domain or ''}".rstrip()
    begun = datetime.fromtimestamp(operation.begun).astimezone()
    return [operation.id, what, operation.state, progress, f"{begun:%Y-%m-%d %H:%M:%S}", operation.by]
