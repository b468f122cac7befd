"""Work that is done by whoever has the domains, and gone on with by the next one, should that go away in its midst."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli import output

if TYPE_CHECKING:
    from engine.cli.session import AnyEngine, Session

__all__ = ["insist"]

# seconds until the service is asked again while somebody else has the state directory
_PATIENCE = 5


async def insist(session: Session, work: Callable[[AnyEngine], Awaitable[None]]) -> None:
    """Do ``work`` through the service, or without one as soon as nobody else has the state directory.

    A service that dies, ends or hangs in its midst is no reason to give up: only what the work itself raises is, and
    that has to be such that it may be begun anew. All connections that the service has are meant.
    """
    from engine.errors import StateDirLocked

    while True:
        if await _through_service(session, work):
            return
        try:
            await session.embedded(work)
            return
        except StateDirLocked as exc:
            output.warning(f"{exc}: waiting for it")
            await _until_free(session.state_dir / "lock")


async def _through_service(session: Session, work: Callable[[AnyEngine], Awaitable[None]]) -> bool:
    """Whether it is done. It is tried again with the next service as long as there is one that takes it on."""
    begun = True
    while begun:
        begun = False
        try:
            async with session.served(every=True) as remote:
                if remote is None:
                    return False
                begun = True
                await work(remote)
                return True
        except Exception as exc:
            # one that can't even be asked what there is may be ending, or broken: all the same
            if begun and not all(map(_is_gone, _leaves(exc))):
                raise
            output.warning(f"{next(_leaves(exc))}: going on without it")
    return False


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    if isinstance(exc, BaseExceptionGroup):
        for inner in exc.exceptions:
            yield from _leaves(inner)
    else:
        yield exc


def _is_gone(exc: BaseException) -> bool:
    """It tells that the service went away, and nothing of the work."""
    import anyio

    from engine.errors import ConnectionBroken, EngineClosed

    gone = (ConnectionBroken, EngineClosed, ConnectionError, anyio.BrokenResourceError, anyio.EndOfStream)
    return isinstance(exc, (*gone, anyio.IncompleteRead, FileNotFoundError))


async def _until_free(lock: Path) -> None:
    """Until nobody has it, or for some seconds: a service may come up meanwhile. By flock(1), which can be ended."""
    import anyio

    await anyio.run_process(["flock", "--wait", str(_PATIENCE), str(lock), "true"], check=False)
