"""One webhook: reads the journal, tells its receiver, and knows how far that is."""

from __future__ import annotations

import logging
import random
import time
from functools import partial
from pathlib import Path
from typing import Literal

import anyio
import anyio.to_thread
import msgspec
from anyio.abc import TaskGroup

from engine.core import Engine
from engine.errors import EngineClosed, ResyncRequired, StoreError
from engine.events.encoding import type_name
from engine.events.journal import event_id, now, parse_since
from engine.events.types import Event, Gap
from engine.server.webhooks.cursor import Cursor, DeadLetter, load, save
from engine.server.webhooks.lanes import Lane, Lanes, lane_of
from engine.server.webhooks.sending import Outcome, Sender
from engine.server.webhooks.settings import Webhook, check, filter_of, origin_of, read_ca, read_secret, trust_of

__all__ = ["Hook", "WebhookState"]

log = logging.getLogger(__name__)

# events: held in memory; read of the journal at once, and taken of that. dead letters that are remembered
_HELD, _PAGE, _AT_ONCE, _DEAD = 1000, 256, 16, 1000
# seconds: between two tries the first and the longest; between two writes of the cursor; until the journal is read anew
_FIRST, _LONGEST = 1.0, 600.0
_WRITES = 1.0
_UNREADABLE = 5.0
# seconds in which nothing is taken, after which a domain that fails gives its room to others
_STALLED = 30.0


class WebhookState(msgspec.Struct, frozen=True, kw_only=True):
    """How a webhook is.

    Attributes:
        receiver: who it is; the rest of the URL is told to nobody. reason: why it tells nothing any more.
        position: id of the last event that was taken in.
        lag: events after the first that was not told, at most; lag_seconds: how old that is.
        waiting: domains of which something waits; failing: of which something was refused.
        delivered, failures: since the service began.
        gaps, missed: how often events were no longer kept that were to be told, and how many at most.
        last_delivery, last_failure: seconds since 1970. last_error: what that came to.
        dead: how many dead letters there are, with those forgotten (``dropped``); dead_letters: the newest.
    """

    name: str
    receiver: str
    state: Literal["running", "failing", "disabled"]
    reason: str
    position: str
    lag: int
    lag_seconds: float
    waiting: int
    failing: int
    delivered: int
    failures: int
    gaps: int
    missed: int
    last_delivery: float | None
    last_failure: float | None
    last_error: str
    dead: int
    dropped: int
    dead_letters: list[DeadLetter]


class Hook:
    """Tells a receiver what happens, at least once, in order for each domain.

    Args:
        path: of its cursor; None: in memory.
    """

    def __init__(self, engine: Engine, settings: Webhook, path: Path | None) -> None:
        self.settings = settings
        self._engine, self._path = engine, path
        self._filter = filter_of(settings)
        self._lanes = Lanes(_HELD)
        self._cursor = Cursor()
        self._reached = 0  # the number in the cursor's position
        self._missed_to = 0  # the newest of which it is known that it is not kept
        self._limit = anyio.CapacityLimiter(settings.at_once)
        self._moved, self._dirty, self._again = anyio.Event(), anyio.Event(), anyio.Event()
        self._sleeping_until = 0.0  # the receiver asked for it
        self._round: anyio.CancelScope | None = None
        self._tasks: TaskGroup
        self._secret, self._ca = b"", b""
        self._sender: Sender
        self._delivered = self._failures = 0
        self._last_delivery: float | None = None
        self._last_failure: float | None = None
        self._last_error = ""
        self._unwritten = False

    async def prepare(self) -> None:
        """Read what is needed. Raises ConfigError."""
        check(self.settings)
        self._secret = await anyio.to_thread.run_sync(read_secret, self.settings)
        self._ca = await anyio.to_thread.run_sync(read_ca, self.settings)
        trust = await anyio.to_thread.run_sync(trust_of, self.settings, self._ca)
        self._sender = Sender(self.settings, self._secret, trust)
        kept = await anyio.to_thread.run_sync(load, self._path)
        journal = self._engine.bus.journal
        self._cursor = kept or Cursor(position=f"{journal.epoch}/{journal.stable}")
        for key, done in self._cursor.lanes.items():
            self._lanes.by_key[key] = Lane(key, done, now())
        self._lanes.restart()

    def is_like(self, other: Hook) -> bool:
        """Both are prepared, and would tell the same in the same way."""
        mine, its = (self.settings, self._secret, self._ca), (other.settings, other._secret, other._ca)
        return mine == its

    async def run(self) -> None:
        """After ``prepare``, until it is cancelled."""
        async with self._sender, anyio.create_task_group() as tasks:
            try:
                tasks.start_soon(self._keep)
                tasks.start_soon(self._revive)
                self._touch()
                while True:
                    again = self._again
                    if not self._cursor.disabled:
                        with anyio.CancelScope() as self._round:
                            await self._one_round()
                        self._lanes.restart()
                    await again.wait()
            finally:
                with anyio.CancelScope(shield=True):
                    await self._write()

    async def _one_round(self) -> None:
        async with anyio.create_task_group() as self._tasks:
            for lane in [*self._lanes.by_key.values()]:
                self._tasks.start_soon(self._work, lane)
            while True:
                try:
                    return await self._read()
                except StoreError as exc:
                    log.warning("webhook '%s': %s", self.settings.name, exc)
                    await anyio.sleep(_UNREADABLE)
                except EngineClosed:
                    return None

    # ------------------------------------------------------------------ reading

    async def _read(self) -> None:
        """Take in all that happens, until the engine is closed. What the filter leaves out moves the position, too."""
        subscription = self._engine.subscribe(policy="block", durable=True, since=self._since())
        async with subscription as events:
            async for event in events:
                await self._take(event)

    def _since(self) -> str | int:
        """Where to go on. What the journal has lost since is told of."""
        journal = self._engine.bus.journal
        try:
            self._reached = journal.resolve(self._cursor.position or journal.oldest - 1)
        except ResyncRequired as exc:
            self._miss(exc.since)
            self._reached = exc.oldest - 1
            self._cursor.position = f"{journal.epoch}/{self._reached}"
            return self._reached
        return self._cursor.position or self._reached

    async def _take(self, event: Event) -> None:
        if isinstance(event, Gap):
            self._miss(self._reached)
        elif self._filter(event):
            await self._room()
            lane = self._lane(lane_of(event), event)
            if not lane.behind:
                self._lanes.put(lane, event)
        self._reached = event.sequence
        self._cursor.position = event_id(event)
        self._touch()

    async def _room(self) -> None:
        """Wait until there is some."""
        told = self._last_delivery or 0.0
        while self._lanes.full and not self._lanes.shed(told):
            with anyio.move_on_after(_STALLED) as stalled:
                await self._moved.wait()
            if stalled.cancelled_caught:
                self._lanes.shed(told, anyhow=True)
            told = self._last_delivery or 0.0

    def _lane(self, key: str, event: Event) -> Lane:
        """That of which ``event`` is the next."""
        lane = self._lanes.by_key.get(key)
        if lane is None:
            lane = self._lanes.by_key[key] = Lane(key, event.sequence - 1, event.time)
            self._tasks.start_soon(self._work, lane)
        return lane

    def _miss(self, after: int) -> None:
        """What came after that number is no longer kept as far as the oldest: that is counted, and told, once."""
        journal = self._engine.bus.journal
        last = journal.oldest - 1
        missed = last - max(after, self._missed_to)
        self._missed_to = max(last, self._missed_to)
        if missed <= 0:
            return
        self._cursor.gaps += 1
        self._cursor.missed += missed
        log.warning("webhook '%s': up to %d events were not told and are no longer kept", self.settings.name, missed)
        gap = Gap(host=journal.host, epoch=journal.epoch, sequence=last, time=now(), missed=missed)
        self._lanes.put(self._lane("", gap), gap)

    async def _catch_up(self, lane: Lane) -> None:
        """Move what the lane lacks from the journal to its empty queue."""
        journal = self._engine.bus.journal
        if lane.read + 1 < journal.oldest:
            self._miss(lane.read)
            lane.read = journal.oldest - 1
        found = await journal.read(lane.read, _PAGE)
        for event in found:
            if event.sequence > self._reached or len(lane.queue) >= _AT_ONCE:
                break
            lane.read = event.sequence
            if lane_of(event) == lane.key and self._filter(event):
                self._lanes.put(lane, event)
                lane.since = lane.queue[0].time
        lane.behind = bool(found) and lane.read < self._reached

    # ------------------------------------------------------------------ telling

    async def _work(self, lane: Lane) -> None:
        """Tell all of a lane, one after the other."""
        while lane.queue or lane.behind:
            if lane.queue:
                await self._tell(lane)
                self._lanes.settle(lane)
                self._move()
            else:
                try:
                    await self._catch_up(lane)
                except StoreError as exc:
                    log.warning("webhook '%s': %s", self.settings.name, exc)
                    await anyio.sleep(_UNREADABLE)
            self._touch()
        del self._lanes.by_key[lane.key]

    async def _tell(self, lane: Lane) -> None:
        """Tell the first, until it is taken or given up."""
        event = lane.queue[0]
        while True:
            again = self._again
            await self._let_be()
            outcome = await self._send(event)
            if not outcome.error:
                return None
            lane.tries, lane.failed = lane.tries + 1, time.time()
            if outcome.gone:
                self._disable("the receiver wants no more: it answered 410 Gone")
                await anyio.sleep_forever()
            if lane.tries >= self.settings.tries or now() - event.time > self.settings.oldest:
                return self._bury(event, lane.tries, outcome.error)
            with anyio.move_on_after(_pause(lane.tries)):
                await again.wait()

    async def _let_be(self) -> None:
        """For as long as the receiver has asked for it."""
        while (left := self._sleeping_until - anyio.current_time()) > 0:
            with anyio.move_on_after(left):
                await self._again.wait()

    async def _send(self, event: Event) -> Outcome:
        async with self._limit:
            outcome = await self._sender.send(event)
        if not outcome.error:
            self._delivered += 1
            self._last_delivery = time.time()
            self._move()
        else:
            self._failures += 1
            self._last_failure, self._last_error = time.time(), outcome.error
            log.info("webhook '%s': event %s: %s", self.settings.name, event_id(event), outcome.error)
            if outcome.pause:
                self._sleeping_until = max(self._sleeping_until, anyio.current_time() + outcome.pause)
        self._touch()
        return outcome

    def _bury(self, event: Event, tries: int, error: str) -> None:
        letter = DeadLetter(
            id=event_id(event),
            type=type_name(type(event)),
            domain=getattr(event, "domain", ""),
            tries=tries,
            error=error,
            died=now(),
        )
        log.warning("webhook '%s': event %s is given up: %s", self.settings.name, letter.id, error)
        self._cursor.dead.append(letter)
        if len(self._cursor.dead) > _DEAD:
            del self._cursor.dead[0]
            self._cursor.dropped += 1

    def _disable(self, reason: str) -> None:
        log.warning("webhook '%s' is disabled: %s", self.settings.name, reason)
        self._cursor.disabled = reason
        self._touch()
        if self._round is not None:
            self._round.cancel()

    # ------------------------------------------------------------------ trying again

    def retry(self) -> None:
        """Try all at once, the dead letters, too; one that was disabled tells again."""
        self._cursor.disabled, self._sleeping_until = "", 0.0
        self._again.set()
        self._again = anyio.Event()
        self._touch()

    async def _revive(self) -> None:
        again = self._again
        while True:
            await again.wait()
            again = self._again
            await self._retry_dead()

    async def _retry_dead(self) -> None:
        """Try each dead letter once more, in their order."""
        for letter in [*self._cursor.dead]:
            try:
                event = await self._find(letter)
            except StoreError as exc:
                log.warning("webhook '%s': dead letters stay as they are: %s", self.settings.name, exc)
                return
            outcome = await self._send(event) if event is not None else Outcome()
            self._cursor.missed += event is None
            if letter in self._cursor.dead:  # else it was forgotten meanwhile, because of younger ones
                place = self._cursor.dead.index(letter)
                tried = msgspec.structs.replace(letter, tries=letter.tries + 1, error=outcome.error, died=now())
                self._cursor.dead[place : place + 1] = [tried] if outcome.error else []
            self._touch()

    async def _find(self, letter: DeadLetter) -> Event | None:
        """None: it is no longer kept. Raises StoreError: it can't be read."""
        _, number = parse_since(letter.id)
        found = await self._engine.bus.journal.read(number - 1, 1)
        return found[0] if found and event_id(found[0]) == letter.id else None

    # ------------------------------------------------------------------ how it is

    def _touch(self) -> None:
        self._dirty.set()

    def _move(self) -> None:
        """Something was taken, or given up."""
        self._moved.set()
        self._moved = anyio.Event()

    async def _keep(self) -> None:
        """Write down how far it is whenever that changed. What is told twice after a crash is what came since."""
        while True:
            await self._dirty.wait()
            self._dirty = anyio.Event()
            await self._write()
            await anyio.sleep(_WRITES)

    async def _write(self) -> None:
        if self._path is None:
            return
        self._cursor.lanes = {key: lane.done for key, lane in self._lanes.by_key.items()}
        try:
            await anyio.to_thread.run_sync(partial(save, self._path, msgspec.json.encode(self._cursor)))
            self._unwritten = False
        except OSError as exc:
            if not self._unwritten:  # said once, and not each second
                log.error("%s: how far a webhook is can't be written down: %s", self._path, exc.strerror)
            self._unwritten = True

    @property
    def state(self) -> WebhookState:
        lanes, cursor = self._lanes.by_key.values(), self._cursor
        newest = self._engine.bus.journal.newest
        failing = sum(1 for lane in lanes if lane.tries)
        return WebhookState(
            name=self.settings.name,
            receiver=origin_of(self.settings),
            state="disabled" if cursor.disabled else "failing" if failing else "running",
            reason=cursor.disabled,
            position=cursor.position,
            lag=newest - min((lane.done for lane in lanes), default=self._reached),
            lag_seconds=max((max(0.0, now() - lane.since) for lane in lanes), default=0.0),
            waiting=len(lanes),
            failing=failing,
            delivered=self._delivered,
            failures=self._failures,
            gaps=cursor.gaps,
            missed=cursor.missed,
            last_delivery=self._last_delivery,
            last_failure=self._last_failure,
            last_error=self._last_error,
            dead=len(cursor.dead) + cursor.dropped,
            dropped=cursor.dropped,
            dead_letters=[*cursor.dead],
        )


def _pause(tries: int) -> float:
    """Seconds: twice as long each time, and not the same for all."""
    longest = min(_FIRST * 2.0 ** (tries - 1), _LONGEST)
    return random.uniform(longest / 2, longest)  # noqa: S311 - no secret
