"""What is happening while ``up`` or ``down`` works: a live table on a terminal, a line an event elsewhere."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from typing import TYPE_CHECKING

from engine.cli import output
from engine.events import types
from engine.events.words import clock, describe, subject
from engine.shutdown.progress import WATCHED, DomainProgress, Follower
from engine.util.printable import printable_line

if TYPE_CHECKING:
    from rich.table import Table

    from engine.cli.session import AnyEngine

__all__ = ["STYLES", "Progress", "going_on", "shown", "taken"]

# how many events a reader may be behind; one that is slower than that reads what it missed in the journal
_BOUND = 8192
_FRAME = 1 / 8  # seconds
STYLES = {"waiting": "dim", "under way": "yellow", "done": "green", "failed": "bold red"}


@asynccontextmanager
async def shown(engine: AnyEngine, *, quiet: bool) -> AsyncIterator[None]:
    """Show what happens to domains while the plan is run that begins and ends in the body."""
    if quiet:
        yield
        return
    import anyio

    async with engine.subscribe(*WATCHED, bound=_BOUND) as events:
        lines = _Lines()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_live if output.fancy() else lines.follow, events)
            yield
            tasks.cancel_scope.cancel()
        if not output.fancy():
            await lines.follow(events, patient=False)


@asynccontextmanager
async def going_on(engine: AnyEngine) -> AsyncIterator[None]:
    """Say, where the body is cut short, that a service goes on with what it was asked for."""
    import anyio

    from engine.core import Engine

    try:
        yield
    except anyio.get_cancelled_exc_class():
        operation = None if isinstance(engine, Engine) else engine.operation
        if operation is not None and operation.state == "running":
            output.warning(
                f"the service goes on with it: 'virengine operations' shows how far it is, "
                f"'virengine operations --cancel {operation.id}' ends it"
            )
        raise


class _Lines:
    """A line an event."""

    def __init__(self) -> None:
        self._finished = False

    async def follow(self, events: AsyncIterator[types.Event], *, patient: bool = True) -> None:
        """Until the plan has finished. ``patient``: events wait, and get lost in the end, where the reader is slow."""
        while not self._finished:
            event = await anext(events)
            self._finished = isinstance(event, types.PlanFinished)
            if not (self._finished or (isinstance(event, types.PlanStarted) and not event.domains)):
                output.say(printable_line(f"{clock(event, date=False)}  {subject(event)}  {describe(event)}"))
            if patient:
                await output.drained()


async def _live(events: AsyncIterator[types.Event]) -> None:
    """A table drawn in place, for ever: the next one when the terminal has taken this one."""
    import anyio
    from rich.console import Console
    from rich.live import Live

    progress = Progress()
    canvas = StringIO()

    async def follow() -> None:
        async for event in events:
            progress.take(event)

    def draw() -> None:
        output.draw(canvas.getvalue())
        canvas.seek(0)
        canvas.truncate()

    console = Console(file=canvas, force_terminal=True)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        try:
            with Live(
                get_renderable=progress.table,
                console=console,
                transient=True,
                auto_refresh=False,
                redirect_stdout=False,
            ) as live:
                while True:
                    live.refresh()
                    draw()
                    await output.drained()
                    await anyio.sleep(_FRAME)
        finally:
            draw()  # the cursor is given back


class Progress(Follower):
    """The live table: a row a domain of the plan."""

    def table(self) -> Table:
        """As it is now."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        told = self.progress
        title = f"{told.direction} {'goes on' if told.resumed else 'begins'}" if told.direction else None
        table = Table("Domain", "What", "Time", box=SIMPLE_HEAD, pad_edge=False, title=title)
        for domain in told.domains:
            what = Text(printable_line(domain.what), style=STYLES[domain.step])
            table.add_row(Text(printable_line(domain.name)), what, Text(taken(domain), justify="right"))
        return table


def taken(domain: DomainProgress) -> str:
    """How long it took, or has taken so far, in words."""
    if domain.began is None:
        return ""
    return f"{max(0.0, (domain.ended or time.time()) - domain.began):.1f} s"
