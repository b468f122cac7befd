"""``events``: asks the service, or reads the journal beside whoever holds it, and never stands in its way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias

import click

from engine.cli import arguments, output
from engine.cli.session import Session

if TYPE_CHECKING:
    from engine.events.filters import EventFilter
    from engine.events.journal_file import JournalReader
    from engine.events.types import Event
    from engine.server.client import RemoteEngine

__all__ = ["event_types_named", "events"]

Show: TypeAlias = "Callable[[Iterable[Event]], None]"
_BATCH = 1024


def _event_types(ctx: click.Context, param: click.Parameter, names: tuple[str, ...]) -> tuple[type[Event], ...]:
    return event_types_named(names, "--type")


def event_types_named(names: tuple[str, ...], option: str) -> tuple[type[Event], ...]:
    """Each a class (``DomainStarted``, ``LifecycleEvent``) or a CloudEvents type, whole or its end.

    Raises:
        click.BadParameter: there is none of that name.
    """
    from engine.conf.document import suggest
    from engine.events.encoding import types_by_name
    from engine.events.types import event_types

    if not names:
        return ()
    known = types_by_name()
    for name in names:
        if name.lower() not in known:
            near = suggest(name, tuple(event_types()))
            raise click.BadParameter(f"there is no event type '{name}'{near}", param_hint=option)
    return tuple(known[name.lower()] for name in names)


@click.command()
@click.option("--since", metavar="N", help="Only events after this number, or this id (EPOCH/N).")
@click.option("--follow", "-f", is_flag=True, help="Print new events as they come, until Ctrl-C.")
@click.option("--type", "kinds", multiple=True, metavar="TYPE", callback=_event_types, help="Only this type of event.")
@click.option(
    "--domain",
    "domains",
    multiple=True,
    metavar="DOMAIN",
    shell_complete=arguments.complete_domain,
    help="Only events of this domain: name, UUID or pattern (web*).",
)
@click.option("--json", "as_json", is_flag=True, help="Print CloudEvents, one a line.")
@click.pass_obj
def events(
    session: Session,
    since: str | None,
    follow: bool,
    kinds: tuple[type[Event], ...],
    domains: tuple[str, ...],
    as_json: bool,
) -> None:
    """Print what happened: the events in the journal.

    All that are kept, or those since a number. --follow without --since begins with the next event. --type takes a
    class like DomainStarted or LifecycleEvent, or a CloudEvents type like domain.started. --type and --domain may
    be given several times.

    The journal is only read: it does not matter who holds the state directory. What a guest does by itself gets
    into it while an engine runs, or when the next one looks. --follow goes on when a service is started anew.
    """
    from engine.events.filters import EventFilter

    wanted = EventFilter(*kinds, domain=domains or None)
    show = _show_json if as_json else _show

    async def ask(engine: RemoteEngine) -> None:
        if follow:
            await _follow_service(engine, _checked(since) or "", kinds, domains, show)
            return
        async for page in engine.past(*kinds, domain=domains, since=_checked(since) or ""):
            show(page)
            await output.taken()

    if session.run_served(ask):
        return
    path = session.state_dir / "journal.db"
    if follow:
        from engine.cli.follow import follow as follow_journal

        follow_journal(
            path,
            lambda reader: reader.newest if since is None else _begin(reader, since),
            lambda reader, cursor: _print(reader, cursor, wanted, show),
        )
    from engine.events.journal_file import open_reader

    with open_reader(path) as reader:
        _print(reader, _begin(reader, since), wanted, show)


async def _follow_service(
    engine: RemoteEngine, since: str, kinds: tuple[type[Event], ...], domains: tuple[str, ...], show: Show
) -> None:
    async with engine.subscribe(*kinds, domain=domains, policy="block", since=since, lasting=True) as found:
        async for event in found:
            show([event])
            await output.taken()


def _checked(since: str | None) -> str | None:
    """Raises click.BadParameter: not a number or an id."""
    from engine.errors import ConfigError
    from engine.events.journal import parse_since

    try:
        if since is not None:
            parse_since(since)
    except ConfigError as exc:
        raise click.BadParameter(str(exc), param_hint="--since") from exc
    return since


def _begin(reader: JournalReader, since: str | None) -> int:
    """The number to go on after; None: from the oldest that is kept.

    Raises:
        click.BadParameter: not a number or an id. ResyncRequired: it is no longer kept, or there was no such event.
    """
    from engine.errors import ResyncRequired
    from engine.events.journal import parse_since

    if since is None:
        return 0
    epoch, number = parse_since(_checked(since) or "")
    first, last = 1, reader.newest
    if epoch is not None:
        bounds = [start for _, start in reader.epochs] + [reader.newest + 1]
        names = [name for name, _ in reader.epochs]
        if epoch not in names:
            raise ResyncRequired(number, reader.oldest)
        first, last = bounds[names.index(epoch)], bounds[names.index(epoch) + 1] - 1
    if not max(first, reader.oldest) - 1 <= number <= last:
        raise ResyncRequired(number, reader.oldest)
    return number


def _print(reader: JournalReader, cursor: int, wanted: EventFilter, show: Show) -> int:
    """Print all there is after ``cursor``; the number of the last one."""
    while batch := reader.read(cursor, _BATCH):
        show(event for event in batch if wanted(event))
        cursor = batch[-1].sequence
    return cursor


def _show(events: Iterable[Event]) -> None:
    from engine.events.words import clock, describe, subject
    from engine.util.printable import printable_line

    for event in events:
        line = f"{clock(event)}  {event.sequence:>6}  {subject(event)}  {describe(event)}"
        output.data(printable_line(line))


def _show_json(events: Iterable[Event]) -> None:
    import msgspec

    from engine.events.encoding import to_cloudevent

    for event in events:
        output.json_text(msgspec.json.encode(to_cloudevent(event)).decode())
