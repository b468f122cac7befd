"""What a service manager is told of a service: that it is up, how it fares, that it does not hang, that it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from engine.core import Engine
from engine.events.types import LifecycleEvent
from engine.systemd.notify import Notifier

__all__ = ["supervised"]

# seconds for which the next line of status is held back: a host that starts hundreds of guests tells of it in a few
_PAUSE = 1.0


@asynccontextmanager
async def supervised(engine: Engine, notifier: Notifier) -> AsyncIterator[None]:
    """From here on the service is up, until the body ends."""
    if not notifier.active:
        yield
        return
    async with (
        engine.subscribe(LifecycleEvent, bound=1, policy="coalesce") as changes,
        anyio.create_task_group() as tasks,
    ):
        if notifier.watchdog is not None:
            tasks.start_soon(_beat, notifier, notifier.watchdog / 2)  # as sd_watchdog_enabled(3) has it
        said = _status(engine)
        notifier.ready(said)

        async def follow() -> None:
            nonlocal said
            async for _ in changes:  # also of what there was no room for: a Gap
                await anyio.sleep(_PAUSE)
                if (now := _status(engine)) != said:
                    notifier.status(now)
                    said = now

        tasks.start_soon(follow)
        try:
            yield
        finally:
            notifier.stopping()
            tasks.cancel_scope.cancel()


async def _beat(notifier: Notifier, seconds: float) -> None:
    """As a task of the loop that does all the work: what hangs does not beat."""
    while True:
        notifier.alive()
        await anyio.sleep(seconds)


def _status(engine: Engine) -> str:
    domains = engine.domains()
    return f"{len(domains)} domains, {sum(domain.active for domain in domains)} running"
