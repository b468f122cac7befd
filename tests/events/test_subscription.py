"""What one reader gets, under each policy, and what the others don't notice of it."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from support.events import check_stream, facts, numbers, read_available, read_until, start

from engine.errors import Busy, ConfigError, EngineClosed, EventError, ResyncRequired, SubscriptionLagged
from engine.events.bus import Bus
from engine.events.journal import MemoryJournal, event_id
from engine.events.types import (
    ConnectionOpened,
    DomainReady,
    DomainSnapshot,
    DomainStarted,
    DomainStopped,
    Event,
    Gap,
    JournalBegun,
    SnapshotComplete,
)
from engine.lifecycle import State

# the journal's own JournalBegun is number 1, so what a test publishes begins at 2


async def test_events_come_in_order_from_the_opening_on() -> None:
    async with Bus() as bus:
        start(bus, "early")
        async with bus.subscribe() as events:
            published = start(bus, "a", "b", "c")
            assert await read_until(events, 5) == published
            published = start(bus, "d")
            assert await read_until(events, 6) == published


async def test_a_sleeping_reader_is_woken() -> None:
    async with Bus() as bus, anyio.create_task_group() as tasks:
        got: list[Event] = []

        async def read(*, task_status: anyio.abc.TaskStatus[None]) -> None:
            async with bus.subscribe(DomainStarted) as events:
                task_status.started()
                got.append(await anext(events))

        await tasks.start(read)
        await anyio.wait_all_tasks_blocked()
        bus.publish(ConnectionOpened, connection="test:///default")
        await anyio.wait_all_tasks_blocked()
        assert got == []
        published = start(bus, "web")
        await anyio.wait_all_tasks_blocked()
        assert got == published


async def test_batches_hold_what_is_there() -> None:
    async with Bus() as bus, bus.subscribe() as events:
        start(bus, *"abcdefg")
        batches = events.batches(3)
        assert [numbers(await anext(batches)) for _ in range(3)] == [[2, 3, 4], [5, 6, 7], [8]]
        with pytest.raises(ConfigError):
            events.batches(0)


# ---------------------------------------------------------------------------- policies


async def test_drop_oldest_keeps_the_newest_and_counts_the_rest() -> None:
    async with Bus() as bus, bus.subscribe(bound=3) as events:
        start(bus, *"abcdefg")
        assert numbers(await read_until(events, 8)) == [-4, 6, 7, 8]
        start(bus, "h")
        assert numbers(await read_until(events, 9)) == [9]


async def test_drop_oldest_tells_the_gap_before_a_batch_of_one() -> None:
    async with Bus() as bus, bus.subscribe(bound=2) as events:
        start(bus, *"abcd")
        batches = events.batches(1)
        gap = (await anext(batches))[0]
        assert isinstance(gap, Gap)
        assert (gap.missed, gap.sequence) == (2, 3)
        start(bus, "e")  # one more is lost while the reader is at it
        assert numbers(await read_until(events, 6)) == [-1, 5, 6]


async def test_only_wanted_events_fill_the_queue_and_count_as_missed() -> None:
    async with Bus() as bus, bus.subscribe(domain="web", bound=2) as events:
        start(bus, "web", "db", "web", "db", "web", "db", "web")
        gap, *rest = await read_until(events, 8)
        assert isinstance(gap, Gap)
        assert (gap.missed, gap.sequence) == (2, 4)
        assert numbers(rest) == [6, 8]


async def test_block_loses_nothing_that_the_journal_keeps() -> None:
    async with Bus() as bus, bus.subscribe(bound=2, policy="block") as events:
        published = start(bus, *"abcdefghij")
        assert await read_until(events, 11) == published
        # caught up: it is live again
        published = start(bus, "k")
        assert await read_until(events, 12) == published


async def test_block_goes_on_with_a_filter_and_while_more_comes() -> None:
    async with Bus() as bus, bus.subscribe(domain="web", bound=2, policy="block") as events:
        published: list[Event] = []
        got: list[Event] = []
        for _ in range(20):
            published += start(bus, "web", "db", "web", "web")
            got.append(await anext(events))
        got += await read_available(events)
        check_stream(published, lambda event: event in published and event.domain == "web", 0, got, 999)  # type: ignore[attr-defined]
        assert not any(isinstance(event, Gap) for event in got)


async def test_block_reads_a_gap_for_what_the_journal_dropped() -> None:
    async with Bus(MemoryJournal(keep=4)) as bus, bus.subscribe(domain="web", bound=2, policy="block") as events:
        published = start(bus, *["web", "db"] * 10)
        got = await read_available(events)
        # two in the queue; then web at 6..16 is no longer kept, 18 and 20 are
        assert numbers(got) == [2, 4, -6, 18, 20]
        assert got[2].sequence == 16
        assert len(published) == 20


async def test_block_does_not_hold_up_the_publisher_or_the_others() -> None:
    async with Bus() as bus, bus.subscribe(bound=1, policy="block") as stalled, bus.subscribe() as other:
        published = start(bus, *"abc" * 100)
        assert await read_until(other, 301) == published
        assert numbers(await read_until(stalled, 301)) == list(range(2, 302))


async def test_disconnect_ends_after_what_was_queued() -> None:
    async with Bus() as bus, bus.subscribe(bound=3, policy="disconnect") as events:
        start(bus, *"abcdefg")
        got = [await anext(events) for _ in range(3)]
        assert numbers(got) == [2, 3, 4]
        with pytest.raises(SubscriptionLagged) as error:
            await anext(events)
        assert (error.value.missed, error.value.last) == (4, 4)
        start(bus, "h")
        with pytest.raises(StopAsyncIteration):
            await anext(events)
        # what the error says is enough to go on
        async with bus.subscribe(since=error.value.last) as again:
            assert numbers(await read_until(again, 9)) == [5, 6, 7, 8, 9]


async def test_coalesce_keeps_the_newest_of_each_domain_and_type() -> None:
    async with Bus() as bus, bus.subscribe(bound=4, policy="coalesce") as events:
        start(bus, "a", "b", "a", "c")  # 2 3 4 5: full, and nothing lost yet
        assert numbers(await read_available(events)) == [2, 3, 4, 5]
        start(bus, "a", "b", "a", "c")  # 6 7 8 9
        start(bus, "b")  # 10: 6 goes for 8, 7 goes for 10
        assert numbers(await read_available(events)) == [-2, 8, 9, 10]
        start(bus, "a")
        assert numbers(await read_until(events, 11)) == [11]


async def test_coalesce_tells_types_apart() -> None:
    async with Bus() as bus, bus.subscribe(bound=2, policy="coalesce") as events:
        for _ in range(3):
            start(bus, "a")
            bus.publish(DomainStopped, **{**facts("a"), "detail": "destroyed", "state": State.SHUTOFF})
        got = await read_available(events)
        assert numbers(got) == [-4, 6, 7]
        assert [type(event) for event in got[1:]] == [DomainStarted, DomainStopped]


async def test_coalesce_is_bounded_when_all_are_different() -> None:
    async with Bus() as bus, bus.subscribe(bound=3, policy="coalesce") as events:
        start(bus, *"abcdefg")
        assert numbers(await read_available(events)) == [-4, 6, 7, 8]


async def test_coalesce_puts_each_gap_in_its_place_even_one_by_one() -> None:
    async with Bus() as bus, bus.subscribe(bound=3, policy="coalesce") as events:
        start(bus, "a", "b", "c", "b", "d")  # 2 3 4 5 6: 3 goes for 5; then a makes room for d
        first = await anext(events)
        assert isinstance(first, Gap)
        assert (first.missed, first.sequence) == (2, 3)
        assert (await anext(events)).sequence == 4
        start(bus, "b")  # 7 takes the place of 5
        assert numbers(await read_available(events, 1)) == [-1, 6, 7]


async def test_one_reader_s_loss_is_no_other_s() -> None:
    async with Bus() as bus, bus.subscribe(bound=1) as small, bus.subscribe() as large:
        start(bus, *"abc")
        assert numbers(await read_until(small, 4)) == [-2, 4]
        assert numbers(await read_until(large, 4)) == [2, 3, 4]


# ---------------------------------------------------------------------------- since, snapshot


@pytest.mark.parametrize("policy", ["block", "drop_oldest", "coalesce", "disconnect"])
async def test_since_replays_and_goes_on_live(policy: Any) -> None:
    async with Bus() as bus:
        start(bus, *"abcdef")
        async with bus.subscribe(since=3, bound=2, policy=policy) as events:
            assert numbers([await anext(events) for _ in range(3)]) == [4, 5, 6]
            start(bus, *"ghi")  # it is still behind: the journal has these as well
            assert numbers(await read_until(events, 10)) == [7, 8, 9, 10]
            start(bus, "j")
            assert numbers(await read_until(events, 11)) == [11]


async def test_since_zero_begins_with_the_journal() -> None:
    async with Bus() as bus:
        start(bus, "a")
        async with bus.subscribe(since=0) as events:
            got = await read_until(events, 2)
            assert [type(event) for event in got] == [JournalBegun, DomainStarted]


async def test_since_the_newest_is_live_at_once() -> None:
    async with Bus() as bus:
        published = start(bus, "a")
        for since in (2, published[0], event_id(published[0])):
            async with bus.subscribe(since=since) as events:
                assert await read_available(events) == []


async def test_since_needs_what_is_kept() -> None:
    async with Bus(MemoryJournal(keep=3)) as bus:
        start(bus, *"abcde")  # 2..6, kept: 4 5 6
        for since, oldest in ((0, 4), (2, 4), (7, 4), ("gone/3", 4)):
            with pytest.raises(ResyncRequired) as error:
                async with bus.subscribe(since=since):
                    pass
            assert error.value.oldest == oldest
        async with bus.subscribe(since=3) as events:
            assert numbers(await read_available(events)) == [4, 5, 6]


@pytest.mark.parametrize("since", ["", "x", "/3", "e/", "e/-1", "e/x", "e/\u0663", 1.5, b"1"])
async def test_since_that_is_no_number_or_id_is_refused(since: object) -> None:
    async with Bus() as bus:
        with pytest.raises(ConfigError):
            async with bus.subscribe(since=since):  # type: ignore[arg-type]
                pass


async def test_a_replay_reads_a_gap_for_what_is_dropped_meanwhile() -> None:
    async with Bus(MemoryJournal(keep=6)) as bus:
        start(bus, *"abcde")  # 2..6
        async with bus.subscribe(since=1, bound=2) as events:
            assert (await anext(events)).sequence == 2
            start(bus, *"fghij")  # 7..11, kept: 6..11
            assert numbers(await read_until(events, 11)) == [3, -2, 6, 7, 8, 9, 10, 11]


def snapshot_of(*names: str) -> list[dict[str, Any]]:
    return [{**facts(name), "persistent": True, "autostart": False, "ready": True} for name in names]


async def test_snapshot_then_exactly_what_follows() -> None:
    async with Bus(snapshot_source=lambda: snapshot_of("web", "db")) as bus:
        start(bus, "web", "db")
        async with bus.subscribe(snapshot=True, bound=1) as events:
            start(bus, "app")
            web, db, complete, app = [await anext(events) for _ in range(4)]
            assert isinstance(web, DomainSnapshot)
            assert isinstance(db, DomainSnapshot)
            assert (web.domain, db.domain) == ("web", "db")
            assert isinstance(complete, SnapshotComplete)
            assert (complete.count, complete.sequence, web.sequence) == (2, 3, 3)
            assert (app.sequence, type(app)) == (4, DomainStarted)


async def test_snapshot_covers_the_reader_s_domains_whatever_types_it_wants() -> None:
    async with (
        Bus(snapshot_source=lambda: snapshot_of("web", "db")) as bus,
        bus.subscribe(DomainReady, domain="db", snapshot=True) as events,
    ):
        first, complete = [await anext(events) for _ in range(2)]
        assert isinstance(first, DomainSnapshot)
        assert first.domain == "db"
        assert isinstance(complete, SnapshotComplete)
        assert complete.count == 1


async def test_snapshot_of_an_empty_engine_and_in_batches() -> None:
    async with Bus() as bus, bus.subscribe(snapshot=True) as events:
        start(bus, "a")
        batches = events.batches()
        assert [type(event) for event in await anext(batches)] == [SnapshotComplete]
        assert numbers(await anext(batches)) == [2]


async def test_snapshot_and_since_exclude_each_other() -> None:
    async with Bus() as bus:
        with pytest.raises(ConfigError):
            bus.subscribe(since=0, snapshot=True)


# ---------------------------------------------------------------------------- errors, ends, cancellation


async def test_a_predicate_that_raises_ends_its_own_subscription_only() -> None:
    def predicate(event: Event) -> bool:
        if event.sequence == 4:
            raise ZeroDivisionError("the reader's own")
        return True

    async with Bus() as bus, bus.subscribe(predicate=predicate) as broken, bus.subscribe() as other:
        published = start(bus, *"abcd")
        assert [await anext(broken), await anext(broken)] == published[:2]
        with pytest.raises(ZeroDivisionError, match="the reader's own"):
            await anext(broken)
        with pytest.raises(StopAsyncIteration):
            await anext(broken)
        assert await read_until(other, 5) == published


async def test_a_predicate_that_raises_in_a_replay_ends_there() -> None:
    async with Bus() as bus:
        published = start(bus, *"abcd")
        async with bus.subscribe(predicate=lambda event: 1 / (4 - event.sequence), since=1) as events:
            assert [await anext(events), await anext(events)] == published[:2]
            with pytest.raises(ZeroDivisionError):
                await anext(events)


async def test_a_sleeping_reader_learns_of_its_predicate_s_error() -> None:
    async with (
        Bus() as bus,
        bus.subscribe(predicate=lambda event: event.nonsense) as events,
        anyio.create_task_group() as tasks,
    ):

        async def read() -> None:
            with pytest.raises(AttributeError):
                await anext(events)

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        start(bus, "a")


@pytest.mark.parametrize("policy", ["block", "drop_oldest", "coalesce", "disconnect"])
async def test_closing_the_bus_ends_iteration_after_what_was_published(policy: Any) -> None:
    async with Bus() as bus, bus.subscribe(policy=policy) as events, bus.subscribe(bound=1, policy="block") as behind:
        published = start(bus, *"abc")
        await bus.aclose()
        await bus.aclose()
        assert [event async for event in events] == published
        assert [event async for event in events] == []
        assert [event async for event in behind] == published
        assert bus.publish(DomainStarted, **facts()).sequence == 0
        assert bus.journal.newest == 4
        with pytest.raises(EngineClosed):
            async with bus.subscribe():
                pass


async def test_closing_the_bus_wakes_sleeping_readers() -> None:
    async with Bus() as bus, bus.subscribe() as events, anyio.create_task_group() as tasks:
        got: list[list[Event]] = []

        async def read() -> None:
            got.append([event async for event in events])

        tasks.start_soon(read)
        await anyio.wait_all_tasks_blocked()
        await bus.aclose()
        await anyio.wait_all_tasks_blocked()
        assert got == [[]]


async def test_a_cancelled_read_takes_nothing() -> None:
    async with Bus() as bus, bus.subscribe() as events:
        published: list[Event] = []
        got: list[Event] = []
        for round_ in range(50):
            async with anyio.create_task_group() as tasks:

                async def read() -> None:
                    got.append(await anext(events))

                tasks.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                published += start(bus, *"ab")
                if round_ % 2:
                    tasks.cancel_scope.cancel()  # it is awake already, and has not run yet
        got += await read_available(events)
        assert got == published


async def test_a_read_that_catches_up_is_cancelled_without_loss() -> None:
    async with Bus() as bus, bus.subscribe(bound=2, policy="block") as events:
        published = start(bus, *"abcdefgh")
        got: list[Event] = []
        while len(got) < len(published):
            with anyio.CancelScope() as scope:
                scope.cancel()
                got.append(await anext(events))
            if scope.cancelled_caught:
                got.append(await anext(events))
        assert got == published


async def test_aclose_twice_and_from_another_task() -> None:
    async with Bus() as bus:
        subscription = bus.subscribe()
        async with subscription as events, anyio.create_task_group() as tasks:
            ended = anyio.Event()

            async def read() -> None:
                assert [event async for event in events] == []
                ended.set()

            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
            await subscription.aclose()
            await subscription.aclose()
            with anyio.fail_after(5):
                await ended.wait()
            start(bus, "late")
            assert [event async for event in events] == []
        with pytest.raises(EventError):
            await subscription.__aenter__()


async def test_a_closed_subscription_costs_the_bus_nothing() -> None:
    async with Bus(MemoryJournal(keep=10)) as bus:
        for policy in ("block", "drop_oldest", "coalesce", "disconnect"):
            async with bus.subscribe(bound=1, policy=policy):  # type: ignore[arg-type]
                start(bus, *"abc")
        assert not bus._subscriptions
        assert not any(bus._routes.values())
        assert not bus.journal.laggards


async def test_two_tasks_can_t_read_one_subscription() -> None:
    async with Bus() as bus, bus.subscribe() as events, anyio.create_task_group() as tasks:
        tasks.start_soon(anext, events)
        await anyio.wait_all_tasks_blocked()
        with pytest.raises(Busy):
            await anext(events)
        start(bus, "a")


async def test_reading_before_opening_is_refused() -> None:
    async with Bus() as bus:
        with pytest.raises(EventError):
            await anext(bus.subscribe())


@pytest.mark.parametrize("wrong", [{"bound": 0}, {"policy": "drop_newest"}])
async def test_wrong_options_are_refused(wrong: dict[str, Any]) -> None:
    async with Bus() as bus:
        with pytest.raises(ConfigError):
            bus.subscribe(**wrong)
