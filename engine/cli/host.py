"""``doctor``, ``install-units``: the host's own shutdown keeps the order, too."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli import arguments, output
from engine.cli.failures import Failed
from engine.cli.session import Session

if TYPE_CHECKING:
    from engine.cli.session import AnyEngine
    from engine.systemd.doctor import Diagnosis

__all__ = ["doctor", "install_units"]

_user = click.option(
    "--user/--system",
    default=os.geteuid() != 0,
    help="The user's own service manager, or the host's.  [default: the host's for root]",
)


def _units(session: Session, *, user: bool, service: bool, timeout: float | None = None) -> dict[str, str]:
    from engine.systemd import install

    return install.render_units(
        [*install.engine_command(), *session.arguments()],
        start=("up", "--resume", "--autostart"),
        state_dir=session.state_dir,
        socket=session.socket if service else None,
        timeout=timeout or install.DEFAULT_TIMEOUT,
        user=user,
    )


def _can_serve() -> bool:
    """What a service takes is installed."""
    from importlib.util import find_spec

    return all(find_spec(name) for name in ("starlette", "hypercorn", "httpx2"))


@click.command()
@click.option("--fix", is_flag=True, help="Mend what can be mended. Guests are neither started nor stopped by it.")
@click.option("--dry-run", is_flag=True, help="With --fix: only say what would be done.")
@arguments.as_json
@click.pass_obj
def doctor(session: Session, fix: bool, dry_run: bool, as_json: bool) -> None:
    """Examine whether the host's shutdown keeps the order.

    Is every live scope ordered as the graph says, do the units stand, does the plan fit the time they are given, can
    every guest be stopped? Fails when a guest may come to harm.
    """
    from engine.systemd import install

    user = os.geteuid() != 0
    folder = install.units_dir(user=user)
    told: list[Diagnosis] = []

    async def work(engine: AnyEngine) -> None:
        from engine.core import Engine
        from engine.systemd.doctor import diagnosis

        if not isinstance(engine, Engine):
            told.append(await engine.doctor(fix=fix, dry_run=dry_run))
            return
        service = install.wants_service(folder, able=_can_serve())
        timeout = engine.order.stop_timeout()
        units = _units(session, user=user, service=service, timeout=timeout)
        findings, done = await engine.doctor(units=units, folder=folder, fix=fix, dry_run=dry_run)
        if done and not dry_run:
            findings, _ = await engine.doctor(units=units, folder=folder)
        told.append(diagnosis(findings, done, timeout))

    session.run(work)
    _show(told[0], dry_run=dry_run, as_json=as_json)
    if not told[0].ok:
        raise Failed()


def _show(told: Diagnosis, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        output.json(told)
        return
    for line in told.done:
        output.say(f"{'would ' if dry_run else ''}{line}")
    for finding in told.findings:
        output.data(f"{finding.severity}: {finding.what}")
        output.data(f"  why: {finding.why}")
        if finding.fix:
            output.data(f"  do:  {finding.fix}")
    if not told.findings:
        output.data("All is well: the host's shutdown stops every guest in order.")


@click.command("install-units")
@_user
@click.option(
    "--dir", "folder", type=click.Path(file_okay=False), metavar="DIR", help="Where to put them, if not where usual."
)
@click.option(
    "--service/--no-service",
    default=None,
    help="virengine.service, too, which everybody else asks.  [default: if 'virengine[server]' is installed]",
)
@click.option("--now", is_flag=True, help="Start them as well: only a service that is up can stop guests.")
@click.option("--uninstall", is_flag=True, help="Take them away again.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.pass_obj
def install_units(
    session: Session,
    user: bool,
    folder: str | None,
    service: bool | None,
    now: bool,
    uninstall: bool,
    dry_run: bool,
) -> None:
    """Put the systemd units in place.

    virengine-guests.service stops guests in order when the host goes down: it runs 'virengine down', with the same
    --uri and --state-dir as given here, before the host touches any guest. After the host booted
    virengine-autostart.service starts what was stopped then, and what is marked for autostart. virengine.service is
    'virengine serve', with virengine.socket, where it is asked.
    """
    from engine.systemd import install

    session.only_here("'install-units'")
    session.arguments()  # what can't be written is refused before anything is done
    target = Path(folder).absolute() if folder else install.units_dir(user=user)
    wanted = _can_serve() if service is None else service
    if uninstall:
        actions = install.uninstall_units(target, dry_run=dry_run)
    else:
        units = _units(session, user=user, service=wanted, timeout=_worst_case(session))
        actions = install.install_units(units, target, dry_run=dry_run)
    if not user and not folder:
        actions += install.install_polkit(remove=uninstall or not wanted, dry_run=dry_run)
    for action in actions:
        output.say(f"{'would ' if dry_run else ''}{action}")
    started = [] if uninstall else install.started_units(service=wanted)
    if not dry_run and not folder:
        session.run_plain(lambda: _tell_systemd(started, user=user, now=now))
    elif now:
        output.warning("the service was not started: --now is for units that were really put where systemd looks")


def _worst_case(session: Session) -> float | None:
    """None, with a warning, where the plan can't be made now: 'doctor --fix' mends the time later."""
    from engine.errors import EngineError

    seconds: list[float] = []

    async def work(engine: AnyEngine) -> None:
        from engine.core import Engine

        if isinstance(engine, Engine):
            seconds.append(engine.order.stop_timeout())
        else:
            seconds.append((await engine.doctor()).stop_timeout)

    try:
        session.run(work)
    except EngineError as exc:
        output.warning(f"the units get the default time to stop guests ('virengine doctor --fix' mends it): {exc}")
    return seconds[0] if seconds else None


async def _tell_systemd(units: list[str], *, user: bool, now: bool) -> None:
    from engine.errors import EngineError
    from engine.systemd.machines import ScopeManager

    async with ScopeManager(user=user) as manager:
        try:
            await manager.reload()
        except EngineError as exc:
            if now and units:
                raise
            output.warning(f"systemd was not told of them: {exc}")
            return
        for unit in units if now else ():
            await manager.start_unit(unit)
            output.say(f"{unit} is started")
    if units and not now:
        output.say(f"then: systemctl {'--user ' if user else ''}start {' '.join(units)}")
