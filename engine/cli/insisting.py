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
    that has to be such that it may be begun anew. Meant are all connections: the service's, and without one those that
    were named and those of which something runs. One that can't be opened keeps no other from it; what is wrong with
    it is raised once the others are done.
    """
    from engine.errors import StateDirLocked

    known: dict[str, None] = {}
    while True:
        if await _through_service(session, work, known):
            return
        try:
            await _embedded(session, work, [*dict.fromkeys([*session.uris, *known, *await _running(session)])])
            return
        except StateDirLocked as exc:
            output.warning(f"{exc}: waiting for it")
            await _until_free(session.state_dir / "lock")


async def _embedded(session: Session, work: Callable[[AnyEngine], Awaitable[None]], uris: list[str]) -> None:
    from engine.errors import EngineError, StateDirLocked

    begun = False

    async def begin(engine: AnyEngine) -> None:
        nonlocal begun
        begun = True
        await work(engine)

    try:
        await session.embedded(begin, uris)
        return
    except StateDirLocked:
        raise
    except EngineError:
        if begun or len(uris) == 1:
            raise
    broken: dict[str, EngineError] = {}
    for uri in uris:
        try:
            await session.embedded(_nothing, [uri])
        except StateDirLocked:
            raise
        except EngineError as exc:
            output.warning(f"{exc}: going on with the other connections")
            broken[uri] = exc
    usable = [uri for uri in uris if uri not in broken]
    if usable:
        await session.embedded(work, usable)
    if broken:
        raise next(iter(broken.values()))


async def _nothing(engine: AnyEngine) -> None:
    pass


async def _running(session: Session) -> list[str]:
    """Connections of which the state directory says that something runs."""
    import anyio.to_thread

    from engine.errors import EngineError
    from engine.store import DiskStore

    try:
        seen = await anyio.to_thread.run_sync(DiskStore(session.state_dir, runtime=session.runtime_dir).peek)
    except (OSError, EngineError):
        return []  # opening it says what is wrong, in its own words
    return [status.connection for status in seen.statuses]


async def _through_service(
    session: Session, work: Callable[[AnyEngine], Awaitable[None]], known: dict[str, None]
) -> bool:
    """Whether it is done. It is tried again with the next service as long as there is one that takes it on.

    Adds its connections to ``known``.
    """
    begun = True
    while begun:
        begun = False
        try:
            async with session.served(every=True) as remote:
                if remote is None:
                    return False
                begun = True
                known |= dict.fromkeys(remote.connections)
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
