"""Journal and subscriptions under any sequence of publishing, reading, cancelling, closing and killing.

The model is the list of what was published. Whatever happens, a reader's stream has to fit it: each wanted event once
and in order, or counted by the gap at its place; what a durable reader got is on disk; no id ever names two facts.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import anyio
import anyio.from_thread
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from support.events import check_stream, kept, numbers, start

from engine.errors import ResyncRequired, StoreError, SubscriptionLagged
from engine.events.bus import Bus
from engine.events.journal import Journal, MemoryJournal, event_id
from engine.events.journal_file import JournalFile
from engine.events.journal_sqlite import SqliteJournal
from engine.events.subscription import Policy, Subscription
from engine.events.types import DomainStarted, Event, Gap

DOMAINS = ("web", "db", "app")  # every reader wants web


class Reader:
    """A subscription and all it gave."""

    def __init__(self, subscription: Subscription, options: dict[str, Any], begin: int) -> None:
        self.subscription = subscription
        self.options = options
        self.begin = begin
        self.received: list[Event] = []

    def wants(self, event: Event) -> bool:
        domain = self.options["domain"]
        return domain is None or (isinstance(event, DomainStarted) and event.domain in domain)

    def __repr__(self) -> str:
        return f"Reader({self.options}, from {self.begin}: {numbers(self.received)})"


class JournalMachine(RuleBasedStateMachine):
    backend: ClassVar[str]

    # ------------------------------------------------------------------------ setting up

    @initialize(on_disk=st.booleans(), keep=st.sampled_from([6, 15, 1000]))
    def begin(self, on_disk: bool, keep: int) -> None:
        self.stack = ExitStack()
        self.portal = self.stack.enter_context(anyio.from_thread.start_blocking_portal(self.backend))
        self.folder = Path(self.stack.enter_context(tempfile.TemporaryDirectory()))
        self.path = self.folder / "journal.db"
        self.on_disk, self.keep = on_disk, keep
        self.published: list[Event] = []
        self.facts: dict[str, Event] = {}
        self.readers: list[Reader] = []
        self.open()

    def open(self) -> None:
        self.journal: Journal = (
            SqliteJournal(self.path, "host", keep_count=self.keep, recent=3)
            if self.on_disk
            else MemoryJournal("host", keep=self.keep)
        )
        self.journal_context = ExitStack()
        self.journal_context.enter_context(self.portal.wrap_async_context_manager(self.journal))
        self.bus = Bus(self.journal)
        self.learn(self.portal.call(kept, self.journal, self.journal.oldest - 1))

    def learn(self, events: list[Event]) -> None:
        """These are facts: they were published, or an earlier journal kept them."""
        for event in events:
            assert self.facts.setdefault(event_id(event), event) == event, "one id, two facts"
        known = {event.sequence for event in self.published}
        self.published += [event for event in events if event.sequence not in known]

    def teardown(self) -> None:
        if not hasattr(self, "stack"):
            return
        try:
            self.close_clean()
        finally:
            self.journal_context.close()
            self.stack.close()

    # ------------------------------------------------------------------------ what may happen

    @rule(domains=st.lists(st.sampled_from(DOMAINS), min_size=1, max_size=12))
    def publish(self, domains: list[str]) -> None:
        self.learn(self.portal.call(start, self.bus, *domains))

    @precondition(lambda self: len(self.readers) < 6)
    @rule(
        domain=st.sampled_from([None, "web", ("web", "app")]),
        bound=st.integers(1, 5),
        policy=st.sampled_from(["block", "drop_oldest", "coalesce", "disconnect"]),
        durable=st.booleans(),
        back=st.none() | st.integers(0, 20),
        by_event=st.booleans(),
    )
    def subscribe(
        self, domain: Any, bound: int, policy: Policy, durable: bool, back: int | None, by_event: bool
    ) -> None:
        since: Any = None
        begin = self.journal.newest
        if back is not None:
            since = begin = max(0, self.journal.newest - back)
            if by_event and (event := next((e for e in self.published if e.sequence == begin), None)):
                since = event
        options = {"domain": domain, "bound": bound, "policy": policy, "durable": durable}
        self.portal.call(self.open_subscription, self.bus.subscribe(since=since, **options), options, begin)

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), count=st.integers(1, 4), batched=st.booleans())
    def read_some(self, data: st.DataObject, count: int, batched: bool) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        self.learn(self.portal.call(start, self.bus, "web"))  # so that there is something to read
        self.portal.call(self.read, reader, self.journal.newest, count, batched)

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def read_all(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        self.learn(self.portal.call(start, self.bus, "web"))
        self.portal.call(self.read, reader, self.journal.newest, 10**6, True)
        if reader in self.readers:
            assert reader.received[-1].sequence == self.journal.newest

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def cancelled_read(self, data: st.DataObject) -> None:
        self.portal.call(self.read_cancelled, data.draw(st.sampled_from(self.readers)))

    @precondition(lambda self: self.readers)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        reader = data.draw(st.sampled_from(self.readers))
        self.readers.remove(reader)
        self.portal.call(reader.subscription.aclose)

    @rule()
    def flush(self) -> None:
        self.portal.call(self.journal.flush)
        assert self.journal.stable == self.journal.newest

    @precondition(lambda self: self.on_disk)
    @rule()
    def reopen(self) -> None:
        epoch, newest = self.journal.epoch, self.journal.newest
        self.close_clean()
        self.open()
        assert (self.journal.epoch, self.journal.newest) == (epoch, newest)

    @precondition(lambda self: self.on_disk)
    @rule(flush=st.booleans(), unsaved=st.integers(0, 5))
    def kill(self, flush: bool, unsaved: int) -> None:
        """Leave the files as they are at a moment when some events are not on disk, and go on with those."""
        if flush:
            self.portal.call(self.journal.flush)
        copy = self.folder / f"killed-{random.randrange(10**12)}" / "journal.db"
        lost, stable = self.portal.call(self.copy_files, copy, unsaved)
        self.learn(lost)
        for reader in self.readers:
            self.check(reader)
            if reader.options["durable"]:
                assert all(event.sequence <= stable for event in reader.received)
        self.readers.clear()
        epoch = self.journal.epoch
        self.journal_context.close()
        self.path = copy
        self.published = [event for event in self.published if event.sequence <= stable]
        self.open()
        assert self.journal.epoch != epoch
        assert self.journal.newest == stable + 1

    @precondition(lambda self: self.on_disk)
    @rule(told=st.integers(0, 5))
    def refuse(self, told: int) -> None:
        """Go on after an engine whose events the disk never took."""
        self.close_clean()
        epoch, newest = self.journal.epoch, self.journal.newest
        with mock.patch.object(JournalFile, "open", side_effect=StoreError(str(self.path), "disk full")):
            self.open()
            refused = self.journal.epoch
            self.learn(self.portal.call(start, self.bus, *["web"] * told))
            self.journal_context.close()
        self.published = [event for event in self.published if event.sequence <= newest]
        self.open()
        assert self.journal.epoch not in {epoch, refused}
        assert self.journal.newest == newest + 1

    # ------------------------------------------------------------------------ how it is done

    async def open_subscription(self, subscription: Subscription, options: dict[str, Any], begin: int) -> None:
        try:
            await subscription.__aenter__()
        except ResyncRequired as exc:
            assert begin < self.journal.oldest - 1
            assert exc.oldest == self.journal.oldest
        else:
            assert begin >= self.journal.oldest - 1
            self.readers.append(Reader(subscription, options, begin))

    async def read(self, reader: Reader, until: int, count: int, batched: bool) -> None:
        batches = reader.subscription.batches(count)
        with anyio.fail_after(20):
            while count > 0 and not (reader.received and reader.received[-1].sequence >= until):
                try:
                    events = await anext(batches) if batched else [await anext(reader.subscription)]
                except SubscriptionLagged as exc:
                    self.check_lagged(reader, exc)
                    return
                reader.received += events
                count -= len(events)
        self.check(reader)

    async def read_cancelled(self, reader: Reader) -> None:
        with anyio.CancelScope() as scope:
            scope.cancel()
            try:
                reader.received.append(await anext(reader.subscription))
            except SubscriptionLagged as exc:
                self.check_lagged(reader, exc)

    async def copy_files(self, copy: Path, unsaved: int) -> tuple[list[Event], int]:
        assert isinstance(self.journal, SqliteJournal)
        while not self.journal._idle:  # not in the middle of a commit: for that there is a test with a real kill
            await self.journal.flush()
            await anyio.wait_all_tasks_blocked()
        lost = start(self.bus, *["web"] * unsaved)
        copy.parent.mkdir()
        for suffix in ("", "-wal"):
            if (source := Path(f"{self.path}{suffix}")).exists():
                shutil.copy(source, f"{copy}{suffix}")
        return lost, self.journal.stable

    def close_clean(self) -> None:
        self.portal.call(self.bus.aclose)
        for reader in list(self.readers):
            self.portal.call(self.read_to_end, reader)
        self.readers.clear()
        self.journal_context.close()

    async def read_to_end(self, reader: Reader) -> None:
        with anyio.fail_after(20):
            try:
                async for event in reader.subscription:
                    reader.received.append(event)
            except SubscriptionLagged as exc:
                self.check_lagged(reader, exc)
            else:
                self.check(reader, self.journal.newest)

    def check(self, reader: Reader, end: int | None = None) -> None:
        if end is None:
            end = reader.received[-1].sequence if reader.received else reader.begin
        check_stream(self.published, reader.wants, reader.begin, reader.received, end)
        if reader.options["policy"] == "block":
            for event in reader.received:
                assert not isinstance(event, Gap) or event.sequence < self.journal.oldest, "it was still kept"

    def check_lagged(self, reader: Reader, error: SubscriptionLagged) -> None:
        self.readers.remove(reader)
        self.check(reader)
        assert reader.options["policy"] == "disconnect"
        assert error.last == reader.received[-1].sequence
        delivered = self.journal.stable if self.on_disk and reader.options["durable"] else self.journal.newest
        missed = [e for e in self.published if error.last < e.sequence <= delivered and reader.wants(e)]
        assert error.missed == len(missed)

    @invariant()
    def bounded(self) -> None:
        for reader in getattr(self, "readers", ()):
            gaps = 3  # what tells of losses has a place of its own
            assert len(reader.subscription._queue) <= reader.options["bound"] + gaps

    @invariant()
    def numbered_without_holes(self) -> None:
        if published := getattr(self, "published", None):
            assert numbers(published) == list(range(published[0].sequence, published[0].sequence + len(published)))


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_journal_and_subscriptions(backend: str) -> None:
    machine = type("Machine", (JournalMachine,), {"backend": backend})
    JournalMachine.backend = backend
    case = machine.TestCase
    case.settings = settings(
        max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
    )
    case().runTest()
