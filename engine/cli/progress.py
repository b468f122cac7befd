"""What is happening while ``up`` or ``down`` works: a live table on a terminal, a line an event elsewhere."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from io import StringIO
from typing import TYPE_CHECKING

from engine.cli import output
from engine.cli.printable import printable_line
from engine.cli.words import clock, describe, subject
from engine.events import types

if TYPE_CHECKING:
    from rich.table import Table

    from engine.cli.session import AnyEngine

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


# how many events a reader may be behind; one that is slower than that reads what it missed in the journal
_BOUND = 8192
_FRAME = 1 / 8  # seconds


@asynccontextmanager
async def shown(engine: AnyEngine, *, quiet: bool) -> AsyncIterator[None]:
    """Show what happens to domains while the plan is run that begins and ends in the body."""
    if quiet:
        yield
        return
    import anyio

    async with engine.subscribe(*_WANTED, bound=_BOUND) as events:
        lines = _Lines()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_live if output.fancy() else lines.follow, events)
            yield
            tasks.cancel_scope.cancel()
        if not output.fancy():
            await lines.follow(events, patient=False)


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


class _Row:
    __slots__ = ("began", "ended", "name", "style", "what")

    def __init__(self, name: str) -> None:
        self.name = name
        self.what = "waiting"
        self.style = "dim"
        self.began: float | None = None
        self.ended: float | None = None


class Progress:
    """The live table: a row a domain of the plan."""

    def __init__(self) -> None:
        self._title = ""
        self._down = True
        self._rows: list[_Row] = []
        # plans name domains only by their names, which several connections may have: the first event takes a row
        self._free: dict[str, list[_Row]] = {}
        self._taken: dict[tuple[str, str], _Row] = {}

    def take(self, event: types.Event) -> None:
        """Take in what happened."""
        if isinstance(event, types.PlanStarted):
            self._down = event.direction == "down"
            self._title = describe(event).partition(":")[0]
            self._rows = [_Row(name) for name in event.domains]
            self._free, self._taken = {}, {}
            for free in reversed(self._rows):
                self._free.setdefault(free.name, []).append(free)
        elif isinstance(event, types.DomainEvent) and (row := self._row(event)) is not None:
            row.what = describe(event)
            row.began = row.began or event.time
            done = types.DomainStopped if self._down else types.DomainReady
            failed = (types.DomainStopFailed, types.CommandFailed, types.DomainNotReady)
            if isinstance(event, (done, *failed)):
                row.ended = event.time
            row.style = "green" if isinstance(event, done) else "bold red" if isinstance(event, failed) else "yellow"

    def _row(self, event: types.DomainEvent) -> _Row | None:
        key = (event.connection, event.uuid)
        if key not in self._taken and (free := self._free.get(event.domain)):
            self._taken[key] = free.pop()
        return self._taken.get(key)

    def table(self) -> Table:
        """As it is now."""
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        table = Table("Domain", "What", "Time", box=SIMPLE_HEAD, pad_edge=False, title=self._title or None)
        now = time.time()
        for row in self._rows:
            seconds = "" if row.began is None else f"{max(0.0, (row.ended or now) - row.began):.1f} s"
            what = Text(printable_line(row.what), style=row.style)
            table.add_row(Text(printable_line(row.name)), what, Text(seconds, justify="right"))
        return table
