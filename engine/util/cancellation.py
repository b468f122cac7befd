"""Cancellation that everything under way can rely on, whoever cancels.

anyio's shields, and its promise that a call in a thread is waited for, hold against anyio's scopes. asyncio's own
``Task.cancel`` (``asyncio.timeout``, ``wait_for``, ``TaskGroup``) breaks through both: it raises wherever a task waits.
Source: anyio's documentation, "Cancellation and timeouts", on differences to asyncio's edge cancellation.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

import anyio
import sniffio
from anyio.abc import TaskGroup

if TYPE_CHECKING:
    import asyncio

__all__ = ["cancel_by_scope", "task_group"]

T = TypeVar("T")
A = TypeVarTuple("A")


async def cancel_by_scope(function: Callable[[*A], Awaitable[T]], *args: *A) -> T:
    """``await function(*args)``, to which every cancellation of the caller comes as that of an anyio scope.

    So its shields hold and its threads are waited for. Where it ends all the same, its error is raised, or, if it has
    none, the cancellation goes on: the caller is told that it was cancelled although all is done.
    """
    if sniffio.current_async_library() != "asyncio":
        return await function(*args)
    import asyncio

    scope = anyio.CancelScope()
    # Not in a task group: its life lies within this call, and a group would give way to ``Task.cancel`` as well.
    task = asyncio.get_running_loop().create_task(_within(scope, function, args))
    try:
        await asyncio.wait((task,))
    except asyncio.CancelledError:
        scope.cancel()
        await _end(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            raise error from None
        raise
    return task.result()


@asynccontextmanager
async def task_group() -> AsyncIterator[TaskGroup]:
    """A task group for an ``AsyncExitStack``.

    anyio's own raises the error that it is given once more, and of an error that is raised instead of itself the stack
    makes its own context: a circle, in which anyio looks for the end for ever when the stack was a task's.
    """
    async with anyio.create_task_group() as tasks:
        yield tasks


async def _within(scope: anyio.CancelScope, function: Callable[..., Awaitable[T]], args: tuple[object, ...]) -> T:
    import asyncio

    with scope:
        return await function(*args)
    raise asyncio.CancelledError  # the scope swallowed it


async def _end(task: asyncio.Task[T]) -> None:
    """Wait for it, however often this is cancelled."""
    import asyncio

    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                continue  # once more: the cancellation that is raised at the end stands for all of them
