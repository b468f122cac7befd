"""``list``, ``info``, ``domstate``, ``domuuid``, ``dumpxml``."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from engine.cli import arguments, output
from engine.cli.session import Session, find, with_engine

if TYPE_CHECKING:
    from engine.abc import DomainInfo
    from engine.cli.session import AnyDomain, AnyEngine
    from engine.conf import DomainDefinition
    from engine.glance import DomainView

__all__ = ["domstate", "domuuid", "dumpxml", "info", "list_domains"]

_MOMENT = 0.5  # seconds

_STYLES = {
    "running": "green",
    "paused": "yellow",
    "in shutdown": "yellow",
    "crashed": "bold red",
    "pmsuspended": "yellow",
    "shut off": "dim",
}


@click.command("list")
@click.option("--all", "everything", is_flag=True, help="Also the ones that do not run.")
@click.option("--inactive", is_flag=True, help="Only the ones that do not run.")
@click.option("--name", "only_name", is_flag=True, help="Print names, one a line, and nothing else.")
@click.option("--uuid", "only_uuid", is_flag=True, help="Print UUIDs, one a line, and nothing else.")
@click.option("--table", is_flag=True, help="Print a table, as is done anyway.")
@click.option("--state-running", is_flag=True, help="Only these, and other states that are named.")
@click.option("--state-paused", is_flag=True, help="The same.")
@click.option("--state-shutoff", is_flag=True, help="The same.")
@click.option("--state-other", is_flag=True, help="The same: crashed, for one.")
@click.option("--autostart/--no-autostart", default=None, help="Only those that (do not) start with the host.")
@click.option("--persistent/--transient", default=None, help="Only those that are (not) defined.")
@click.option("--with-managed-save/--without-managed-save", default=None, help="Only those that have one, or none.")
@arguments.as_json
@click.pass_obj
def list_domains(
    session: Session,
    /,
    everything: bool,
    inactive: bool,
    only_name: bool,
    only_uuid: bool,
    table: bool,
    as_json: bool,
    **only: bool | None,
) -> None:
    """List the domains that run.

    With --json all of them, as an array. Works beside a program that has the state directory open.
    """
    domains = session.glance()
    if domains is None:
        domains = _ask(session)
    states = {name for name in ("running", "paused", "shutoff", "other") if only[f"state_{name}"]}
    if inactive:
        domains = [domain for domain in domains if not domain.active]
    elif not (everything or as_json or states):
        domains = [domain for domain in domains if domain.active]
    domains = [domain for domain in domains if _wanted(domain, states, only)]
    if as_json:
        output.json([_facts(domain, domain.pid) for domain in domains])
    elif only_name or only_uuid:
        for domain in domains:
            output.data(" ".join([domain.uuid] * only_uuid + [domain.name] * only_name))
    else:
        from engine.glance import domain_table

        output.table(*domain_table(domains), styles=_STYLES)


def _wanted(domain: DomainView, states: set[str], only: dict[str, bool | None]) -> bool:
    state = domain.state.value.replace(" ", "")
    if states and state not in states and ("other" not in states or state in ("running", "paused", "shutoff")):
        return False
    facts = {"autostart": domain.autostart, "persistent": domain.persistent, "with_managed_save": domain.saved}
    return all(only[name] in (None, fact) for name, fact in facts.items())


def _ask(session: Session) -> list[DomainView]:
    """The domains as an engine finds them."""
    from engine.glance import by_activity, view_of

    views: list[DomainView] = []

    async def look(engine: AnyEngine) -> None:
        await _settle(engine.domains())
        for domain in engine.domains():
            views.append(view_of(domain, (await domain.info()).pid))

    session.run(look)
    return sorted(views, key=by_activity)


async def _settle(domains: Iterable[AnyDomain]) -> None:
    """A moment for what runs to pass its gates: no other engine may come that sees it through them."""
    import anyio

    from engine.errors import GateFailed
    from engine.lifecycle import State

    with anyio.move_on_after(_MOMENT):
        for domain in domains:
            if domain.state is State.RUNNING and not domain.ready:
                with contextlib.suppress(GateFailed):
                    await domain.wait_ready()


def _facts(domain: AnyDomain | DomainView, pid: int | None) -> dict[str, Any]:
    return {
        "name": domain.name,
        "uuid": domain.uuid,
        "connection": domain.connection,
        "state": domain.state.value,
        "reason": domain.reason,
        "ready": domain.ready,
        "persistent": domain.persistent,
        "autostart": domain.autostart,
        "pid": pid,
        "managed_save": domain.saved,
        "started": domain.started_at or None,
        "scope": domain.scope or None,
    }


@click.command()
@arguments.domain
@arguments.as_json
@with_engine
async def info(engine: AnyEngine, name: str, as_json: bool) -> None:
    """Show what a domain is and does."""
    domain = find(engine, name)
    await _settle([domain])
    used = await domain.info()
    definition = await _definition(domain)
    if as_json:
        output.json(
            {
                **_facts(domain, used.pid),
                "title": definition.title or None,
                "type": definition.type,
                "vcpus": definition.vcpus,
                "cpu_time": used.cpu_time,
                "max_memory": definition.memory,
                "memory": used.memory if used.memory is not None else definition.current_memory,
                "resident": used.resident,
                "console": str(used.console) if used.console else None,
                "log": str(used.log) if used.log else None,
            }
        )
        return
    from engine.util.printable import printable_line

    lines = _lines(domain, definition, used)
    output.data("\n".join(f"{label + ':':<16}{printable_line(value)}" for label, value in lines if value))


async def _definition(domain: AnyDomain) -> DomainDefinition:
    """As it runs."""
    from engine.domain import Domain

    return domain.live_definition if isinstance(domain, Domain) else await domain.definition()


def _lines(domain: AnyDomain, definition: DomainDefinition, used: DomainInfo) -> list[tuple[str, str]]:
    """The lines of ``virsh dominfo``, and what the engine knows beyond them."""
    memory = used.memory if used.memory is not None else definition.current_memory
    started = datetime.fromtimestamp(domain.started_at).astimezone() if domain.started_at else None
    return [
        ("Name", domain.name),
        ("UUID", domain.uuid),
        ("Title", definition.title),
        ("Connection", domain.connection),
        ("Type", definition.type),
        ("State", f"{domain.state} ({domain.reason})"),
        ("Ready", _yes(domain.ready)),
        ("Started", f"{started:%Y-%m-%d %H:%M:%S %z}" if started else ""),
        ("PID", str(used.pid or "")),
        ("CPU(s)", str(definition.vcpus)),
        ("CPU time", f"{used.cpu_time:.1f}s" if used.cpu_time is not None else ""),
        ("Max memory", f"{definition.memory} KiB"),
        ("Used memory", f"{memory} KiB"),
        ("Resident", f"{used.resident} KiB" if used.resident is not None else ""),
        ("Persistent", _yes(domain.persistent)),
        ("Autostart", "enable" if domain.autostart else "disable"),
        ("Managed save", _yes(domain.saved)),
        ("Scope", domain.scope),
        ("Console", str(used.console or "")),
        ("Log", str(used.log or "")),
    ]


def _yes(value: bool) -> str:
    return "yes" if value else "no"


@click.command()
@arguments.domain
@click.option("--reason", is_flag=True, help="And why it is in it.")
@arguments.as_json
@with_engine
async def domstate(engine: AnyEngine, name: str, reason: bool, as_json: bool) -> None:
    """Print the state of a domain."""
    domain = find(engine, name)
    if as_json:
        output.json({"state": domain.state.value, "reason": domain.reason})
        return
    output.data(f"{domain.state} ({domain.reason})" if reason else str(domain.state))


@click.command()
@arguments.domain
@arguments.as_json
@with_engine
async def domuuid(engine: AnyEngine, name: str, as_json: bool) -> None:
    """Print the UUID of a domain."""
    uuid = find(engine, name).uuid
    output.json({"uuid": uuid}) if as_json else output.data(uuid)


@click.command()
@arguments.domain
@click.option("--inactive", is_flag=True, help="The definition for the next start, also of a domain that runs.")
@with_engine
async def dumpxml(engine: AnyEngine, name: str, inactive: bool) -> None:
    """Print the XML of a domain."""
    text = find(engine, name).xml(inactive=inactive)
    output.raw(text if isinstance(text, str) else await text)
