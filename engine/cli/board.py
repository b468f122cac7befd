"""What ``watch`` shows: the domains as they are, the plan that is carried out, and what happened last."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from io import StringIO
from typing import TYPE_CHECKING

from engine.cli.progress import STYLES, taken
from engine.events import types
from engine.events.words import clock, describe, subject
from engine.lifecycle import ACTIVE, State
from engine.shutdown.progress import DomainProgress, Follower
from engine.util.printable import printable_line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from engine.glance import DomainView

__all__ = ["Board", "Row"]

_KEPT = 200  # events: more than the lines of any terminal
_COLOURS = {"running": "green", "paused": "yellow", "in shutdown": "yellow", "crashed": "bold red", "shut off": "dim"}
_NO_STATE = "no state"
Key = tuple[str, str]


class Row:
    """One domain."""

    __slots__ = ("connection", "name", "ready", "state")

    def __init__(self, name: str, connection: str, state: str, ready: bool) -> None:
        self.name, self.connection, self.state, self.ready = name, connection, state, ready

    @property
    def active(self) -> bool:
        return State(self.state) in ACTIVE


class Board:
    """Takes in events and draws itself.

    Args:
        where: what is watched, for the end of the first line.

    Attributes:
        waves: of the domains in a plan, by connection and UUID. note: what a person should know, "" nothing.
    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._rows: dict[Key, Row] = {}
        self._fresh: dict[Key, Row] | None = None
        self._events: deque[types.Event] = deque(maxlen=_KEPT)
        self._plan = Follower()
        self.waves: Mapping[Key, int] = {}
        self.note = ""

    @property
    def moves(self) -> bool:
        """It shows times that go on."""
        return self._plan.running

    @property
    def direction(self) -> str:
        """Of the plan that is carried out; ``up`` while there is none."""
        return self._plan.progress.direction if self._plan.running else "up"

    def take(self, event: types.Event) -> bool:
        """Take in what happened. Returns whether it may have changed the order of things."""
        match event:
            case types.DomainSnapshot():
                self._fresh = {} if self._fresh is None else self._fresh
                self._fresh[event.connection, event.uuid] = _row(event, event.ready)
            case types.SnapshotComplete():
                self._rows, self._fresh = self._fresh or {}, None
                return True
            case _:
                self._note(event)
        return isinstance(event, types.DomainDefined | types.DomainUndefined | types.PlanStarted | types.PlanFinished)

    def _note(self, event: types.Event) -> None:
        self._events.append(event)
        self._plan.take(event)
        if not isinstance(event, types.DomainEvent):
            return
        key = event.connection, event.uuid
        row = self._rows.get(key)
        if isinstance(event, types.LifecycleEvent):
            if event.state.value == _NO_STATE:
                self._rows.pop(key, None)
            else:
                begins = isinstance(event, types.DomainStarted | types.DomainStopped)
                self._rows[key] = _row(event, row.ready if row is not None and not begins else False)
        elif row is not None and isinstance(event, types.DomainReady | types.DomainNotReady):
            row.ready = isinstance(event, types.DomainReady)

    def replace(self, views: Iterable[DomainView]) -> None:
        """These are all domains, as they are."""
        self._rows = {
            (view.connection, view.uuid): Row(view.name, view.connection, view.state.value, view.ready)
            for view in views
        }

    # ------------------------------------------------------------------ drawing

    def draw(self, width: int, height: int) -> str:
        """All of it, no larger than that, with what a terminal is to obey."""
        from rich.console import Console

        canvas = StringIO()
        console = Console(file=canvas, force_terminal=True, width=width, height=height, color_system="standard")
        console.print(self._all(width, height))
        return "\n".join(canvas.getvalue().split("\n")[: height - 1])

    def _all(self, width: int, height: int) -> RenderableType:
        from rich.console import Group
        from rich.text import Text

        events = max(2, (height - 5) // 3)
        room = max(1, height - events - 6)
        told = [self._line(event, width) for event in [*self._events][-events:]]
        return Group(self._title(width), self._table(room), Text(""), *told, Text("q ends this", style="dim"))

    def _title(self, width: int) -> RenderableType:
        from rich.text import Text

        running = sum(row.active for row in self._rows.values())
        parts = [f"{len(self._rows)} domains, {running} running"]
        plan = self._plan.progress
        if plan.direction:
            failed = f", {plan.failed} failed" if plan.failed else ""
            end = "" if self._plan.running else " (ended)"
            parts.append(f"{plan.direction}: {plan.done} of {plan.total} done{failed}{end}")
        title = Text(
            "  ".join(map(printable_line, [*parts, self._where])), style="bold", no_wrap=True, overflow="ellipsis"
        )
        if self.note:
            title = Text.assemble((printable_line(self.note), "bold yellow"), "  ", title, no_wrap=True)
        title.truncate(width, overflow="ellipsis")
        return title

    def _table(self, room: int) -> Table:
        from rich.box import SIMPLE_HEAD
        from rich.table import Table
        from rich.text import Text

        several = len({row.connection for row in self._rows.values()}) > 1
        columns = ["Domain", "State", "Ready", "Wave", "Plan", "Time", *(["Connection"] if several else [])]
        table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
        steps = {(step.connection, step.name): step for step in self._plan.progress.domains}
        shown = sorted(self._rows.items(), key=lambda item: self._rank(item, steps))
        for key, row in shown[: room if len(shown) <= room else room - 1]:
            step = steps.get((row.connection, row.name)) or steps.get(("", row.name))
            cells = [
                _text(row.name),
                _text(row.state, _COLOURS.get(row.state, "")),
                _text("yes" if row.ready else "no" if row.active else "-"),
                _text(str(self.waves.get(key, "-"))),
                _text(step.what, STYLES[step.step]) if step is not None else Text(""),
                _text(taken(step)) if step is not None else Text(""),
            ]
            table.add_row(*cells, *([_text(row.connection)] if several else []))
        if len(shown) > room:
            table.add_row(Text(f"… and {len(shown) - room + 1} more", style="dim"))
        return table

    def _rank(self, item: tuple[Key, Row], steps: Mapping[tuple[str, str], DomainProgress]) -> tuple[object, ...]:
        """What is being done comes first, then what runs; in the order of the plan."""
        key, row = item
        step = steps.get((row.connection, row.name))
        busy = self._plan.running and step is not None and step.step in ("under way", "failed")
        return not busy, not row.active, self.waves.get(key, 0), row.name, row.connection

    def _line(self, event: types.Event, width: int) -> RenderableType:
        line = _text(f"{clock(event, date=False)}  {subject(event)}  {describe(event)}")
        line.truncate(width, overflow="ellipsis")
        return line


def _row(event: types.LifecycleEvent, ready: bool) -> Row:
    return Row(event.domain, event.connection, event.state.value, ready)


def _text(text: str, style: str = "") -> Text:
    from rich.text import Text

    return Text(printable_line(text), style=style, no_wrap=True, overflow="ellipsis")
