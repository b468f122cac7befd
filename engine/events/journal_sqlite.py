"""The journal on disk: group commit by one writer, the newest events in memory as well.

Brings sqlite3 with it: import this module where a journal on disk is really wanted.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar, Self, TypeVar

import anyio
import anyio.abc
import anyio.to_thread

from engine.errors import ConfigError, StoreError
from engine.events.journal import Journal, now
from engine.events.journal_file import JournalDamaged, JournalFile, NoDescriptors, Stored
from engine.events.types import Event
from engine.util.cancellation import cancel_by_scope

__all__ = ["SqliteJournal"]

log = logging.getLogger("engine.events")

T = TypeVar("T")

_BATCH = 4096  # events in one transaction: bounds how long a commit takes
_FIRST_RETRY, _LAST_RETRY = 0.05, 5.0  # seconds
_AGE_CHECK = 60.0  # seconds between looks at the age of the oldest events


class SqliteJournal(Journal):
    """Keeps events in an sqlite file (WAL, ``synchronous=FULL``), to be opened with ``async with``.

    ``append`` only puts the event into memory; a task takes what has gathered there to the disk, one transaction and
    one fsync for all of it (group commit), in a thread. An event counts as stable then.

    Where the disk refuses (full, read-only, broken), ``error`` says so, the task tries again (after 0.05 s, then ever
    later, at last every 5 s), and events gather in memory: numbering, and delivery to readers that are not ``durable``,
    go on. When more than ``backlog`` gather, the oldest of them are given up (``lost`` counts them); every reader that
    should have had them reads a ``Gap``, and so does who replays that stretch later.

    What it could not take until it was closed, or the process ended, the next one tells of as of an unclean stop.

    A file that is corrupt, or of another version, is set aside as ``NAME.corrupt-N`` (the newest three of those are
    kept) and a new epoch begins; one that
    proves corrupt while in use is replaced by one that begins with the events in memory, in the same epoch. No file is
    set aside before something could be written to it: where a new one is refused, too, ``error`` says so.

    Raises, from ``async with``: StoreError, where this process may open no more files.

    Args:
        path: the file. host: the name events carry; None: this host's.
        keep_count: how many events at least are kept; a tenth more may be. None: no limit.
        keep_age: seconds after which an event may go, from when it was written, which may be long after it happened;
            looked at once a minute while events come. None: no limit.
        recent: how many of the newest events stay in memory, for readers that are a little behind.
        backlog: how many events that are not on disk yet stay in memory at most.
    """

    durable: ClassVar[bool] = True

    def __init__(
        self,
        path: str | os.PathLike[str],
        host: str | None = None,
        *,
        keep_count: int | None = 100_000,
        keep_age: float | None = None,
        recent: int = 1024,
        backlog: int = 100_000,
    ) -> None:
        if min(recent, backlog, keep_count if keep_count is not None else 1) < 1:
            raise ConfigError("a journal keeps at least one event")
        super().__init__(host, keep=recent)
        self.path = Path(path)
        self.lost = 0
        self._keep_count = keep_count
        self._keep_age = keep_age
        self._backlog = max(recent, backlog)
        self._stable = 0  # what durable readers were given
        self._written = 0  # what is in the file: the same, except after the file was replaced
        self._file = JournalFile(self.path)
        # which file is wanted, counting up, and which is at the path: while they differ, the next write sets it aside
        self._wanted = self._files = 0
        self._begun_anew = False  # and nothing has been written since
        self._age_checked = 0.0
        self._tasks: anyio.abc.TaskGroup | None = None
        self._closing = False
        self._idle = False  # the writer waits for an event
        self._wake: anyio.Event
        self._urgent: anyio.Event
        self._attempted: anyio.Event

    async def __aenter__(self) -> Self:
        self._limiter = anyio.CapacityLimiter(1)
        self._wake, self._urgent, self._attempted = anyio.Event(), anyio.Event(), anyio.Event()
        try:
            # asyncio's own cancellation would not wait for the thread, and the file be closed under its hands
            await cancel_by_scope(self._in_thread, self._open)
            tasks = anyio.create_task_group()
            await tasks.__aenter__()
        except BaseException:
            self._file.close()
            raise
        self._tasks = tasks
        tasks.start_soon(self._write, name="journal writer")
        return self

    @property
    def stable(self) -> int:
        """The newest number on disk."""
        return self._stable

    def append(self, event: Event) -> None:
        """Take in an event whose ``sequence`` is ``newest + 1``. Returns at once, never fails."""
        super().append(event)
        if self._idle:
            self._idle = False
            self._wake.set()

    async def read(self, since: int, limit: int) -> Sequence[Event]:
        """See ``Journal.read``; what is not in memory any more is read from the disk, in a thread."""
        if since >= self.newest:
            return ()
        if self._ring and since + 1 >= self._ring[0].sequence:
            return self._recent(since, limit)
        wanted = self._wanted
        try:
            # not by the writer's limiter: a commit must not hold up a reader
            events = await anyio.to_thread.run_sync(self._file.read, since, limit)
        except JournalDamaged as exc:
            if self._tasks is None:
                raise
            if wanted == self._wanted and not self._begun_anew:
                self._replace_file(exc)
            while self._files != self._wanted and self._tasks is not None:
                attempted = self._attempted
                self._hurry()
                await attempted.wait()
                if self.error is not None:
                    break
            return self._recent(since, limit)
        return events or self._recent(since, limit)

    async def flush(self) -> None:
        """Return once all that was appended is on disk, or an attempt has failed (``error`` says why)."""
        target = self.newest
        while self._stable < target and self._tasks is not None:
            attempted = self._attempted
            self._hurry()
            await attempted.wait()
            if self.error is not None:
                return

    async def aclose(self) -> None:
        """Put on disk what can be put there now, and close the file. Called by the task that opened the journal."""
        tasks, self._tasks = self._tasks, None
        if tasks is None:
            return
        self._closing = True
        self._hurry()
        tasks.cancel_scope.shield = True  # an engine that was cancelled still writes its last events
        await tasks.__aexit__(None, None, None)

    # ------------------------------------------------------------------------ the writer's task

    async def _write(self) -> None:
        with anyio.CancelScope(shield=True):  # it ends with aclose only
            delay = _FIRST_RETRY
            while True:
                try:
                    if self._written < self.newest or self._files != self._wanted:
                        await self._write_batch()
                        await self._forget_old()
                        delay = _FIRST_RETRY
                    elif self._closing:
                        break
                    else:
                        await self._next_event()
                except StoreError as exc:
                    self._failed(exc)
                    if self._closing:
                        break
                    await self._pause(delay)
                    delay = min(delay * 2, _LAST_RETRY)
            try:
                await self._in_thread(self._close)
            except StoreError as exc:
                self._failed(exc)

    async def _write_batch(self) -> None:
        wanted, batch = self._wanted, self._batch()
        try:
            await self._in_thread(self._commit, wanted, batch, tuple(self._epochs))
        except JournalDamaged as exc:
            if wanted == self._wanted:
                if self._begun_anew:
                    raise  # an empty file was refused already: another one would be no better
                self._replace_file(exc)
            wanted, batch = self._wanted, self._batch()
            await self._in_thread(self._commit, wanted, batch, tuple(self._epochs))
        if wanted != self._wanted:
            return  # a reader met damage meanwhile: the file that was just written is not the one to rely on
        self._written = batch[-1].sequence if batch else self.newest
        self._begun_anew = False
        if self.error is not None:
            log.info("%s: the journal is written again", self.path)
        self.error = None
        if self._written > self._stable:
            fresh = [event for event in batch if event.sequence > self._stable]
            self._stable = self._written
            self._shrink()
            if self.on_stable is not None:
                self.on_stable(fresh)
        self._tell_attempt()

    async def _forget_old(self) -> None:
        """Delete what is beyond the limits, after every reader that still needs it has been told."""
        up_to = await self._expired()
        if up_to < self.oldest:
            return
        last, self.oldest = self.oldest - 1, up_to + 1  # from here on nobody new can ask for it
        while last < up_to and any(laggard.needs(up_to) for laggard in self.laggards):
            doomed = await self._in_thread(self._file.read, last, _BATCH, up_to)
            if not doomed:
                break
            self._drop(doomed)
            last = doomed[-1].sequence
        await self._in_thread(self._file.forget, up_to)
        while len(self._epochs) > 1 and self._epochs[1][1] < self.oldest:
            del self._epochs[0]

    async def _expired(self) -> int:
        """The newest number that need not be kept; the newest event is, as it holds the place."""
        up_to = 0
        # a tenth at a time: deleting has its price for each transaction
        if self._keep_count is not None and self._written - self.oldest >= self._keep_count + self._keep_count // 10:
            up_to = self._written - self._keep_count
        if self._keep_age is not None and now() - self._age_checked >= min(_AGE_CHECK, self._keep_age / 10):
            self._age_checked = now()
            up_to = max(up_to, await self._in_thread(self._file.expired, now() - self._keep_age))
        return min(up_to, self._written - 1)

    async def _next_event(self) -> None:
        self._wake = anyio.Event()
        self._idle = True
        await self._wake.wait()

    async def _pause(self, seconds: float) -> None:
        """Nothing tells when a disk has room again, so the next attempt is a matter of time, or of who can't wait."""
        self._urgent = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._urgent.wait()

    def _hurry(self) -> None:
        self._idle = False
        self._wake.set()
        self._urgent.set()

    def _failed(self, error: StoreError) -> None:
        if self.error is None or self.error.reason != error.reason:
            log.warning("the journal can't be written, events stay in memory for now: %s", error)
        self.error = error
        self._tell_attempt()

    def _tell_attempt(self) -> None:
        self._attempted.set()
        self._attempted = anyio.Event()

    # ------------------------------------------------------------------------ memory and file

    def _batch(self) -> list[Event]:
        """The oldest events that are not in the file."""
        start = max(0, self._written + 1 - self._ring[0].sequence) if self._ring else 0
        return list(islice(self._ring, start, start + _BATCH))

    def _shrink(self) -> None:
        """Keep the newest in memory, and what is not on disk, but not without limit."""
        ring = self._ring
        while len(ring) > self._keep and ring[0].sequence <= min(self._stable, self._written):
            ring.popleft()
        if len(ring) > self._backlog:
            event = ring.popleft()
            self.lost += 1
            if event.sequence == self.oldest:
                self.oldest += 1
            self._drop([event])

    def _replace_file(self, damage: StoreError) -> None:
        """Give the file up; the next write begins a new one with all that is in memory."""
        log.warning("the journal is damaged and begun anew: %s", damage)
        self._wanted += 1
        self._begun_anew = True
        self._written = 0
        self.oldest = self._ring[0].sequence if self._ring else self.newest + 1

    async def _in_thread(self, function: Callable[..., T], *args: object) -> T:
        return await anyio.to_thread.run_sync(function, *args, limiter=self._limiter)

    # these run in the thread, one at a time

    def _open(self) -> None:
        file, reason = self._file, "new"
        try:
            try:
                stored = file.open()
            except JournalDamaged as exc:
                reason = "corrupt"
                log.warning("the journal is set aside as %s: %s", file.set_aside(), exc)
                self._begun_anew = True
                stored = file.open()
        except StoreError as exc:
            known = file.peek()
            if known is None and isinstance(exc, NoDescriptors):
                raise  # which number comes next is not known, and a whole journal would be set aside
            log.warning("the journal can't be opened, events stay in memory for now: %s", exc)
            self.error = exc
            stored = known or Stored()
            file.mark_hole()
            if known is None and os.path.lexists(self.path):
                reason = "corrupt"  # as far as can be told; the first write will tell
                if not self.path.is_file():
                    self._wanted += 1
                    self._begun_anew = True
        self.newest = self._stable = self._written = stored.newest
        self.oldest = stored.oldest
        self._epochs = list(stored.epochs)
        if stored.clean and self.error is None:
            self.epoch = stored.epochs[-1][0]
        else:
            self.begin("unclean" if stored.newest else reason)

    def _commit(self, wanted: int, batch: Sequence[Event], epochs: Sequence[tuple[str, int]]) -> None:
        if self._files != wanted:
            if os.path.lexists(self.path):
                log.warning("the old journal is set aside as %s", self._file.set_aside())
            self._files = wanted
        if not self._file.is_open:
            found = self._file.open()
            if found.newest and found.newest >= (batch[0].sequence if batch else self.newest):
                raise JournalDamaged(str(self.path), "what is in it was not known when events were numbered")
        self._file.append(batch, epochs)

    def _close(self) -> None:
        complete = self._written == self.newest and self._files == self._wanted
        self._file.close(self.newest if complete else None)
