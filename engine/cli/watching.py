"""Where ``watch`` has it from: a service, or what is kept on disk."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from engine.conf.policy import Policy, parse_policy
from engine.errors import ConnectionBroken, EngineError, StateDirLocked, StoreError
from engine.events.journal_file import NoJournal, open_reader
from engine.ordering import member_of
from engine.shutdown.graph import Declarations
from engine.shutdown.plan import Plan, make_plan
from engine.store import DiskStore
from engine.util.inotify import Watcher

if TYPE_CHECKING:
    from engine.cli.board import Board, Key
    from engine.cli.session import AnyEngine, Session
    from engine.server.client import RemoteEngine

__all__ = ["from_disk", "from_service"]

_FIRST, _LONGEST, _ORDER = 0.05, 1.0, 1.0  # seconds
_PAGE = 1024


async def from_service(session: Session, board: Board, changed: Callable[[], None]) -> None:
    """For ever: when the service goes, the next one is waited for, and tells how things are then."""
    pause = _FIRST
    while True:
        with contextlib.suppress(ConnectionBroken):
            async with session.connect() as engine:
                session.choose(engine)
                pause, board.note = _FIRST, ""
                await _follow(engine, board, changed)
        board.note = "the service is away: waiting for it"
        changed()
        await anyio.sleep(pause)
        pause = min(pause * 2, _LONGEST)


async def _follow(engine: RemoteEngine, board: Board, changed: Callable[[], None]) -> None:
    """Raises ConnectionBroken."""
    order = _Order(engine, board, changed)
    broken: ConnectionBroken | None = None
    async with engine.subscribe(snapshot=True, policy="block") as events, anyio.create_task_group() as tasks:
        tasks.start_soon(order.keep)
        try:
            async for event in events:
                if _is_ours(engine, event) and board.take(event):
                    order.ask()
                changed()
        except ConnectionBroken as exc:
            broken = exc
        tasks.cancel_scope.cancel()
    if broken is not None:
        raise broken


def _is_ours(engine: RemoteEngine, event: object) -> bool:
    """It is of no connection, or of one that was asked for."""
    return getattr(event, "connection", None) in (None, *engine.connections)


class _Order:
    """Asks for the plan when it may be another one."""

    def __init__(self, engine: RemoteEngine, board: Board, changed: Callable[[], None]) -> None:
        self._engine, self._board, self._changed = engine, board, changed
        self._asked = anyio.Event()

    def ask(self) -> None:
        self._asked.set()

    async def keep(self) -> None:
        while True:
            await self._asked.wait()
            self._asked = anyio.Event()
            with contextlib.suppress(EngineError):  # the order makes no sense: 'plan' says why
                self._board.waves = _waves(await self._engine.plan("down" if self._board.direction == "down" else "up"))
                self._changed()
            await anyio.sleep(_ORDER)


def _waves(plan: Plan) -> dict[Key, int]:
    return {(step.connection, step.key.rpartition("#")[2]): step.wave for step in plan.steps}


# ---------------------------------------------------------------------------- beside whoever has the state directory


async def from_disk(session: Session, board: Board, changed: Callable[[], None]) -> None:
    """For ever: whenever something is written into the journal.

    Raises:
        StoreError: there is no such state directory. HostError: it can't be watched.
    """
    path = session.state_dir / "journal.db"
    # sqlite writes here first, and makes the file when it is opened
    log = path.with_name(f"{path.name}-wal")
    cursor: int | None = None
    if not session.state_dir.is_dir():
        raise StoreError(str(session.state_dir), "there is no such state directory")
    async with Watcher() as watcher:
        with watcher.watch(log) as changes:
            while True:
                await _look(session, board)
                cursor = await anyio.to_thread.run_sync(partial(_read, session, board, cursor))
                changed()
                await changes.wait()


async def _look(session: Session, board: Board) -> None:
    """How all domains are; where only an engine can tell, one is opened for a moment, as ``list`` does."""
    views = await anyio.to_thread.run_sync(session.glance)
    if views is None:
        with contextlib.suppress(StateDirLocked):
            await session.embedded(_nothing)
        views = await anyio.to_thread.run_sync(session.glance)
    if views is not None:
        board.replace(views)
    with contextlib.suppress(OSError, EngineError):
        board.waves = await anyio.to_thread.run_sync(_declared_waves, session)


async def _nothing(engine: AnyEngine) -> None:
    """What happened meanwhile is told when it is opened."""


def _declared_waves(session: Session) -> dict[Key, int]:
    """Of a start of all that is defined. Raises OrderError."""
    policy = session.state_dir / "order.toml"
    declared = Declarations(parse_policy(policy.read_text()) if policy.is_file() else Policy())
    for stored in DiskStore(session.state_dir, runtime=session.runtime_dir).peek().stored:
        declared.put(member_of(stored.definition, stored.connection))
    return _waves(make_plan(declared.graph(), "up", {}))


def _read(session: Session, board: Board, cursor: int | None) -> int | None:
    """Take in what the journal has after the number; the last one. At first only where it ends."""
    try:
        with open_reader(session.state_dir / "journal.db") as reader:
            if cursor is None or cursor > reader.newest:
                return reader.newest
            while batch := reader.read(cursor, _PAGE):
                for event in batch:
                    board.take(event)
                cursor = batch[-1].sequence
    except NoJournal:
        return 0
    return cursor
