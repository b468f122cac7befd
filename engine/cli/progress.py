"""What is happening while ``up`` or ``down`` works: a live table on a terminal, a line an event elsewhere."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from engine.cli import output
from engine.cli.words import clock, describe, subject
from engine.events import types

if TYPE_CHECKING:
    from rich.table import Table

    from engine.core import Engine

__all__ = ["Progress", "shown"]

# what a watcher wants to know; the rest is in the journal
_WANTED = (
    types.LifecycleEvent,
    types.DomainReady,
    types.DomainNotReady,
    types.DomainStopTried,
    types.DomainStopFailed,
    types.CommandFailed,
    types.PlanStarted,
    types.PlanFinished,
)


@asynccontextmanager
async def shown(engine: Engine, *, quiet: bool) -> AsyncIterator[None]:
    """Show what happens to domains until the plan that is run meanwhile has finished."""
    if quiet:
        yield
        return
    import anyio

    # "block": a terminal that is slow (or stopped with Ctrl-S) loses nothing and slows nobody
    async with (
        engine.subscribe(*_WANTED, policy="block") as events,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(_live if output.fancy() else _lines, events)
        yield


async def _lines(events: AsyncIterator[types.Event]) -> None:
    async for event in events:
        if isinstance(event, types.PlanFinished):
            return
        if isinstance(event, types.PlanStarted) and not event.domains:
            continue
        output.say(f"{clock(event, date=False)}  {subject(event)}  {describe(event)}")


async def _live(events: AsyncIterator[types.Event]) -> None:
    from rich.console import Console
    from rich.live import Live

    progress = Progress()
    # rich draws in a thread of its own: a terminal that blocks does not block the event loop
    with Live(get_renderable=progress.table, console=Console(), transient=True, refresh_per_second=8):
        async for event in events:
            progress.take(event)
            if isinstance(event, types.PlanFinished):
                return


class _Row:
    __slots__ = ("began", "ended", "style", "what")

    def __init__(self) -> None:
        self.what = "waiting"
        self.style = "dim"
        self.began: float | None = None
        self.ended: float | None = None


class Progress:
    """The live table: a row a domain of the plan."""

    def __init__(self) -> None:
        self._title = ""
        self._down = True
        self._rows: dict[str, _Row] = {}

    def take(self, event: types.Event) -> None:
        """Take in what happened."""
        if isinstance(event, types.PlanStarted):
            self._down = event.direction == "down"
            self._title = describe(event).partition(":")[0]
            self._rows = {name: _Row() for name in event.domains}
        elif isinstance(event, types.DomainEvent) and (row := self._rows.get(event.domain)) is not None:
            row.what = describe(event)
            row.began = row.began or event.time
            done = types.DomainStopped if self._down else types.DomainReady
            failed = (types.DomainStopFailed, types.CommandFailed, types.DomainNotReady)
            if isinstance(event, (done, *failed)):
                row.ended = event.time
            row.style = "green" if isinstance(event, done) else "bold red" if isinstance(event, failed) else "yellow"

    def table(self) -> Table:
        """As it is now."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table("Domain", "What", "Time", box=SIMPLE_HEAD, pad_edge=False, title=self._title or None)
        now = time.time()
        for name, row in self._rows.items():
            seconds = "" if row.began is None else f"{max(0.0, (row.ended or now) - row.began):.1f} s"
            table.add_row(name, Text(row.what, style=row.style), Text(seconds, justify="right"))
        return table
