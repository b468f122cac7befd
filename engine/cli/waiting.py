"""``wait``: until a domain is where a script wants it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import click

from engine.cli import arguments, output
from engine.cli.events import event_types_named
from engine.cli.failures import Failed
from engine.cli.session import facts_of, find, with_engine

if TYPE_CHECKING:
    from engine.cli.session import AnyDomain, AnyEngine
    from engine.events.types import Event

__all__ = ["wait"]

_STATES = ("running", "stopped", "ready")


@click.command()
@arguments.domain
@click.option(
    "--for",
    "wanted",
    metavar="WHAT",
    default="ready",
    show_default=True,
    help="running, stopped, ready, or the next event of a type, such as DomainReady or domain.stopped.",
)
@click.option("--timeout", type=arguments.seconds, metavar="SECONDS", help="Fail if it takes longer.")
@arguments.as_json
@with_engine
async def wait(engine: AnyEngine, name: str, wanted: str, timeout: float | None, as_json: bool) -> None:
    """Wait until a domain runs, is off, is ready, or until something happens to it.

    What is so already is not waited for; an event is always the next one. Fails when a gate was not passed in time.
    """
    import anyio

    from engine.errors import CommandTimeout, NoSuchDomain
    from engine.events.types import DomainEvent

    kinds = () if wanted in _STATES else event_types_named((wanted,), "--for")
    if not all(issubclass(kind, DomainEvent) for kind in kinds):
        raise click.BadParameter(f"'{wanted}' is never an event of a domain", param_hint="--for")
    domain = find(engine, name)
    with anyio.move_on_after(timeout):
        await _wait(engine, domain, wanted, kinds)
        if as_json:
            with contextlib.suppress(NoSuchDomain):
                await domain.refresh()
            output.json(facts_of(domain))
        return
    raise CommandTimeout(
        f"domain '{domain.name}' is {domain.state}, and not what is waited for ({wanted})", timeout or 0.0
    )


async def _wait(engine: AnyEngine, domain: AnyDomain, wanted: str, kinds: tuple[type[Event], ...]) -> None:
    from engine.events import types
    from engine.events.words import describe

    changes = (types.LifecycleEvent, types.DomainReady, types.DomainNotReady)
    async with engine.subscribe(*(kinds or changes), domain=domain.uuid) as events:
        while True:
            if not kinds and await _is_where(domain, wanted):
                return
            event = await anext(events)
            if kinds:
                return
            if wanted == "ready" and isinstance(event, types.DomainNotReady):
                raise Failed(f"domain '{domain.name}': {describe(event)}")


async def _is_where(domain: AnyDomain, wanted: str) -> bool:
    from engine.errors import NoSuchDomain

    try:
        await domain.refresh()
    except NoSuchDomain as exc:
        if wanted == "stopped":  # one that is not defined is gone with its run
            return True
        raise Failed(f"domain '{domain.name}' is not defined any more") from exc
    return _is(domain, wanted)


def _is(domain: AnyDomain, wanted: str) -> bool:
    if wanted == "running":
        return domain.state.value == "running"
    return domain.ready if wanted == "ready" else not domain.active
