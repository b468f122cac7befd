"""Whoever cancels, and however: shields hold, threads are waited for, and the cancellation is told."""

from __future__ import annotations

import asyncio
import threading
from contextlib import AsyncExitStack

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from engine.util.cancellation import cancel_by_scope, task_group


async def twice(value: int) -> int:
    await anyio.lowlevel.checkpoint()
    if value < 0:
        raise ValueError("negative")
    return 2 * value


async def test_it_is_a_call() -> None:
    assert await cancel_by_scope(twice, 2) == 4
    with pytest.raises(ValueError, match="negative"):
        await cancel_by_scope(twice, -1)


async def test_a_scope_cancels_it() -> None:
    with anyio.move_on_after(0) as scope:
        await cancel_by_scope(anyio.sleep_forever)
    assert scope.cancelled_caught


class Shielded:
    """A function that can't be cancelled between its two events."""

    def __init__(self) -> None:
        self.begun = anyio.Event()
        self.go_on = threading.Event()
        self.done = False

    async def run(self, error: Exception | None = None) -> str:
        with anyio.CancelScope(shield=True):
            self.begun.set()
            await anyio.to_thread.run_sync(self.go_on.wait)
            await anyio.lowlevel.checkpoint()
            self.done = True
        if error is not None:
            raise error
        return "done"


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("times", [1, 3])
async def test_asyncios_cancel_waits_for_what_is_shielded(times: int) -> None:
    shielded = Shielded()
    task = asyncio.ensure_future(cancel_by_scope(shielded.run))
    await shielded.begun.wait()
    for _ in range(times):
        task.cancel()
        await anyio.lowlevel.checkpoint()
        assert not task.done()
    shielded.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert shielded.done


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_an_error_counts_more_than_asyncios_cancel() -> None:
    shielded = Shielded()
    task = asyncio.ensure_future(cancel_by_scope(shielded.run, OSError("no")))
    await shielded.begun.wait()
    task.cancel()
    shielded.go_on.set()
    with pytest.raises(OSError, match="no"):
        await task


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_asyncios_timeout_is_told_as_one() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await cancel_by_scope(anyio.sleep_forever)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(cancel_by_scope(anyio.sleep_forever), 0.01)


async def test_two_at_once_are_cancelled_by_themselves() -> None:
    results: list[int] = []

    async def one(value: int) -> None:
        results.append(await cancel_by_scope(twice, value))

    async with anyio.create_task_group() as tasks:
        for value in range(5):
            tasks.start_soon(one, value)
    assert sorted(results) == [0, 2, 4, 6, 8]


async def test_a_task_ends_that_has_a_group_in_a_stack_and_is_cancelled_while_that_is_closed() -> None:
    """With a group of anyio's own in the stack this never ends, on asyncio."""
    begun = anyio.Event()

    async def one() -> None:
        async with AsyncExitStack() as stack:
            tasks = await stack.enter_async_context(task_group())
            stack.callback(tasks.cancel_scope.cancel)
            stack.push_async_callback(anyio.sleep_forever)
            begun.set()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(one)
        await begun.wait()
        tasks.cancel_scope.cancel()


async def test_an_error_comes_out_of_the_group_as_of_anyios() -> None:
    with pytest.raises(ExceptionGroup) as caught:
        async with task_group():
            raise ValueError("of the body")
    assert [str(error) for error in caught.value.exceptions] == ["of the body"]
