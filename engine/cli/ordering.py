"""``order``, ``plan``, ``up``, ``down``."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from engine.cli import arguments, output
from engine.cli.failures import Failed
from engine.cli.session import Session, find, with_engine

if TYPE_CHECKING:
    from engine.cli.session import AnyEngine
    from engine.server.api.declared import Declared, Wait
    from engine.shutdown.plan import Plan
    from engine.shutdown.report import Report

__all__ = ["down", "order", "plan", "up"]

log = logging.getLogger("engine.cli")


def _names(engine: AnyEngine, names: tuple[str, ...]) -> list[str] | None:
    """UUIDs of those named, None: all. Raises NoSuchDomain, with a hint."""
    return [find(engine, name).uuid for name in names] or None


@click.command()
@arguments.some_domains
@arguments.as_json
@with_engine
async def order(engine: AnyEngine, names: tuple[str, ...], as_json: bool) -> None:
    """Show the order that is declared.

    Who waits for whom, until when, and how each is stopped; from all sources: the domains' own XML and the policy.
    Fails when it makes no sense: a circle, a name that is not there.
    """
    chosen = {f"{domain.connection}#{domain.uuid}" for domain in (find(engine, name) for name in names)}
    found = [each for each in await _declared(engine) if not chosen or each.key in chosen]
    if as_json:
        output.json(found)
        return
    from engine.shutdown.words import gates_words, ladder_words

    rows = [
        (
            each.name,
            _who(each.starts_after) or "-",
            gates_words(each.gates) or "it runs",
            _who(each.stops_after) or "-",
            ladder_words(each.ladder),
        )
        for each in found
    ]
    output.table(("Domain", "Starts after", "Ready when", "Stops after", "Stopped by"), rows)


async def _declared(engine: AnyEngine) -> list[Declared]:
    from engine.core import Engine
    from engine.server.api.declared import declared_order

    return declared_order(engine) if isinstance(engine, Engine) else await engine.declared_order()


def _who(waits: Iterable[Wait]) -> str:
    return ", ".join(sorted(f"{each.name} (requires)" if each.kind == "requires" else each.name for each in waits))


@click.command()
@click.argument("direction", type=click.Choice(["down", "up"]), default="down")
@arguments.some_domains
@arguments.as_json
@click.option("--svg", metavar="FILE", type=click.Path(allow_dash=True), help="Draw it into FILE as well.")
@with_engine
async def plan(
    engine: AnyEngine, direction: Literal["up", "down"], names: tuple[str, ...], as_json: bool, svg: str | None
) -> None:
    """Show what 'up' or 'down' would do now.

    In which order, how, and how long it can take. With domains named, what 'up' or 'down' of just these would do.
    """
    made = await _plan(engine, direction, _names(engine, names))
    if svg is not None:
        import anyio.to_thread

        await anyio.to_thread.run_sync(_write, svg, made.to_svg())
    if svg != "-":
        (output.json_text(made.to_json()) if as_json else output.data(str(made)))


async def _plan(engine: AnyEngine, direction: Literal["up", "down"], names: list[str] | None) -> Plan:
    made = engine.plan(direction, names)
    return await made if inspect.isawaitable(made) else made


def _write(file: str, text: str) -> None:
    """Raises HostError."""
    from engine.errors import HostError
    from engine.util.files import write_atomic

    if file == "-":
        output.raw(text)
        return
    path = Path(file).absolute()
    try:
        if path.exists() and not path.is_file():  # a device or pipe is written to, not put aside
            path.write_text(text, "utf-8")
        else:
            write_atomic(path, text.encode(), mode=0o644)
    except OSError as exc:
        raise HostError(f"{file}: {(exc.strerror or str(exc)).lower()}") from exc


@click.command()
@arguments.some_domains
@click.option("--resume", is_flag=True, help="Just those that the last 'down' stopped.")
@click.option("--autostart", is_flag=True, help="Those that are to start with the host.")
@arguments.as_json
@with_engine
async def up(engine: AnyEngine, names: tuple[str, ...], resume: bool, autostart: bool, as_json: bool) -> None:
    """Start domains in order.

    Each when those it waits for are ready. Without a choice all that are defined; with domains named these, and
    what they require.
    """
    from engine.cli.progress import going_on, shown

    if names and resume:
        raise click.UsageError("--resume brings back what the last 'down' stopped: it takes no domains")
    chosen = _names(engine, names)
    async with going_on(engine), shown(engine, quiet=as_json):
        report = await engine.up(chosen, resume=resume, autostart=autostart)
    _tell(report, as_json=as_json)


@click.command()
@arguments.some_domains
@click.option(
    "--deadline",
    type=arguments.seconds,
    metavar="SECONDS",
    help="Be done by then: as it nears, the last step of each ladder is taken.",
)
@click.option("--drill", is_flag=True, help="Only check on the live guests that it would work; change nothing.")
@click.option(
    "--insist",
    is_flag=True,
    help="Go on whatever becomes of a service, and once nobody else has the state directory; with all connections of "
    "which something runs. For host shutdown.",
)
@arguments.as_json
@click.pass_obj
def down(
    session: Session, names: tuple[str, ...], deadline: float | None, drill: bool, insist: bool, as_json: bool
) -> None:
    """Stop domains in order.

    Each when those that depend on it are gone. Without any named all that run; with domains named these, and what
    requires them. No guest is destroyed unless its ladder says so. Interrupted, it is gone on with by the next
    'down'.
    """

    async def work(engine: AnyEngine) -> None:
        chosen = _names(engine, names)
        await (_drill(engine, chosen, as_json) if drill else _down(engine, chosen, deadline, as_json))

    if insist:
        session.only_here("'down --insist'")
        from engine.cli.insisting import insist as insist_on

        session.run_plain(lambda: insist_on(session, work))
    else:
        session.run(work)


async def _drill(engine: AnyEngine, names: list[str] | None, as_json: bool) -> None:
    found = await engine.drill(names)
    (output.json_text(found.to_json()) if as_json else output.data(str(found)))
    if not found.ok:
        raise Failed()


async def _down(engine: AnyEngine, names: list[str] | None, deadline: float | None, as_json: bool) -> None:
    from engine.cli.progress import going_on, shown

    await _tell_systemd(engine, names, deadline)
    async with going_on(engine), shown(engine, quiet=as_json):
        report = await engine.down(names, deadline=deadline)
    _tell(report, as_json=as_json)


async def _tell_systemd(engine: AnyEngine, names: list[str] | None, deadline: float | None) -> None:
    """Where this is the stop of a service, it is given the time that the plan may take. Never raises."""
    from engine.systemd.notify import Notifier

    notifier = Notifier()
    if not notifier.active:
        return
    try:
        made = await _stop_plan(engine, names)
    except Exception:  # whatever is wrong with the plan, guests are stopped: if this ended, they would be killed
        log.exception("systemd was not told how long the stop may take")
        return
    notifier.status(f"stopping {len(made.steps)} domains in order, at most {made.seconds:g} s")
    notifier.extend_timeout((made.seconds if deadline is None else min(deadline, made.seconds)) + 10.0)


async def _stop_plan(engine: AnyEngine, names: list[str] | None) -> Plan:
    """Which there is whatever is declared."""
    from engine.core import Engine

    return (
        engine.order.stop_plan(names) if isinstance(engine, Engine) else await engine.plan("down", names, lenient=True)
    )


def _tell(report: Report, *, as_json: bool) -> None:
    """Print how it went. Raises Failed when not all did."""
    if as_json:
        output.json_text(report.to_json())
    elif not report.entries:
        output.say("Nothing to stop." if report.direction == "down" else "Nothing to start.")
    else:
        output.say(str(report))
    if not report.ok:
        what = "stop" if report.direction == "down" else "start"
        raise Failed(f"{', '.join(report.failed)} did not {what} as it should")
