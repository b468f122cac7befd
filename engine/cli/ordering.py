"""``order``, ``plan``, ``up``, ``down``."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from engine.cli import arguments, output
from engine.cli.failures import Failed
from engine.cli.session import find, with_engine

if TYPE_CHECKING:
    from engine.core import Engine
    from engine.shutdown.graph import Kind, OrderGraph
    from engine.shutdown.report import Report

__all__ = ["down", "order", "plan", "up"]

log = logging.getLogger("engine.cli")


def _names(engine: Engine, names: tuple[str, ...]) -> list[str] | None:
    """UUIDs of those named, None: all. Raises NoSuchDomain, with a hint."""
    return [find(engine, name).uuid for name in names] or None


@click.command()
@arguments.some_domains
@arguments.as_json
@with_engine
async def order(engine: Engine, names: tuple[str, ...], as_json: bool) -> None:
    """Show the order that is declared.

    Who waits for whom, until when, and how each is stopped; from all sources: the domains' own XML and the policy.
    Fails when it makes no sense: a circle, a name that is not there.
    """
    chosen = {f"{domain.connection}#{domain.uuid}" for domain in (find(engine, name) for name in names)}
    graph = engine.order.graph()
    keys = [key for key in graph.sorted("up") if not chosen or key in chosen]
    if as_json:
        output.json([_declared(graph, key) for key in keys])
        return
    from engine.shutdown.words import gates_words, ladder_words

    rows = []
    for key in keys:
        held = graph.order(key)
        rows.append(
            (
                graph.member(key).name,
                _who(graph, graph.start_after(key)) or "-",
                gates_words(held.gates) or "it runs",
                _who(graph, graph.stop_after(key)) or "-",
                ladder_words(held.ladder),
            )
        )
    output.table(("Domain", "Starts after", "Ready when", "Stops after", "Stopped by"), rows)


def _who(graph: OrderGraph, waits: Any) -> str:
    words = ((graph.member(key).name, kind) for key, kind in waits.items())
    return ", ".join(sorted(f"{name} (requires)" if kind == "requires" else name for name, kind in words))


def _declared(graph: OrderGraph, key: str) -> dict[str, Any]:
    member, held = graph.member(key), graph.order(key)

    def waits(found: Any) -> list[dict[str, str]]:
        kinds: dict[str, Kind] = dict(found)
        told = [{"name": graph.member(other).name, "kind": kind} for other, kind in kinds.items()]
        return sorted(told, key=lambda wait: wait["name"])

    return {
        "name": member.name,
        "connection": member.connection,
        "starts_after": waits(graph.start_after(key)),
        "stops_after": waits(graph.stop_after(key)),
        "gates": held.gates,
        "ladder": held.ladder,
        "tags": held.tags,
        "on_stop_failure": held.on_stop_failure or "hold",
    }


@click.command()
@click.argument("direction", type=click.Choice(["down", "up"]), default="down")
@arguments.some_domains
@arguments.as_json
@click.option("--svg", metavar="FILE", type=click.Path(allow_dash=True), help="Draw it into FILE as well.")
@with_engine
async def plan(
    engine: Engine, direction: Literal["up", "down"], names: tuple[str, ...], as_json: bool, svg: str | None
) -> None:
    """Show what 'up' or 'down' would do now.

    In which order, how, and how long it can take. With domains named, what 'up' or 'down' of just these would do.
    """
    made = engine.plan(direction, _names(engine, names))
    if svg is not None:
        import anyio.to_thread

        await anyio.to_thread.run_sync(_write, svg, made.to_svg())
    if svg != "-":
        (output.json_text(made.to_json()) if as_json else output.data(str(made)))


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
async def up(engine: Engine, names: tuple[str, ...], resume: bool, autostart: bool, as_json: bool) -> None:
    """Start domains in order.

    Each when those it waits for are ready. Without a choice all that are defined; with domains named these, and
    what they require.
    """
    from engine.cli.progress import shown

    if names and resume:
        raise click.UsageError("--resume brings back what the last 'down' stopped: it takes no domains")
    chosen = _names(engine, names)
    async with shown(engine, quiet=as_json):
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
@arguments.as_json
@with_engine
async def down(engine: Engine, names: tuple[str, ...], deadline: float | None, drill: bool, as_json: bool) -> None:
    """Stop domains in order.

    Each when those that depend on it are gone. Without any named all that run; with domains named these, and what
    requires them. No guest is destroyed unless its ladder says so. Interrupted, it is gone on with by the next
    'down'.
    """
    from engine.cli.progress import shown

    chosen = _names(engine, names)
    if drill:
        found = await engine.drill(chosen)
        (output.json_text(found.to_json()) if as_json else output.data(str(found)))
        if not found.ok:
            raise Failed()
        return
    _tell_systemd(engine, chosen, deadline)
    async with shown(engine, quiet=as_json):
        report = await engine.down(chosen, deadline=deadline)
    _tell(report, as_json=as_json)


def _tell_systemd(engine: Engine, names: list[str] | None, deadline: float | None) -> None:
    """Where this is the stop of a service, it is given the time that the plan may take. Never raises."""
    from engine.systemd.notify import Notifier

    notifier = Notifier()
    if not notifier.active:
        return
    try:
        made = engine.order.stop_plan(names)
    except Exception:  # whatever is wrong with the plan, guests are stopped: if this ended, they would be killed
        log.exception("systemd was not told how long the stop may take")
        return
    notifier.status(f"stopping {len(made.steps)} domains in order, at most {made.seconds:g} s")
    notifier.extend_timeout((made.seconds if deadline is None else min(deadline, made.seconds)) + 10.0)


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
