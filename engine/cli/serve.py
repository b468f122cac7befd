"""``serve``: the engine as a service."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import click

from engine.cli import output
from engine.cli.session import BACKENDS, Interrupted, Session

__all__ = ["serve"]


@click.command()
@click.option("--backend", type=click.Choice(BACKENDS), help="As the option of that name before the command.")
@click.option(
    "--listen",
    "addresses",
    multiple=True,
    metavar="ADDRESS",
    help="Where, beside api.sock in the run-time directory: unix:PATH, tcp:HOST:PORT or tls:HOST:PORT.",
)
@click.option("--viewer", "viewers", multiple=True, metavar="WHO", help="Who may look: user:NAME or group:NAME.")
@click.option("--operator", "operators", multiple=True, metavar="WHO", help="Who may start and stop domains, too.")
@click.option("--admin", "admins", multiple=True, metavar="WHO", help="Who may do everything, as root may anyway.")
@click.option(
    "--config",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The configuration file.  [default: virengine.toml in /etc/virengine or ~/.config/virengine, if it is there]",
)
@click.pass_obj
def serve(
    session: Session,
    backend: str | None,
    addresses: tuple[str, ...],
    viewers: tuple[str, ...],
    operators: tuple[str, ...],
    admins: tuple[str, ...],
    path: Path | None,
) -> int:
    """Run as a service, with an HTTP API.

    Until SIGINT or SIGTERM; guests are left as they are. SIGHUP has it read its configuration file again. It can be
    started by systemd (Type=notify, and with sockets that systemd listens at).
    """
    session.only_here("'serve'")
    session.backend = backend or session.backend
    from engine.server.daemon import Daemon
    from engine.server.listeners import parse_address
    from engine.server.settings import Settings, check_who, read_settings

    _check("--listen", addresses, parse_address)
    for role, names in (("--viewer", viewers), ("--operator", operators), ("--admin", admins)):
        _check(role, names, check_who)

    def settings() -> Settings:
        read = read_settings(path) if path is not None else Settings()
        return read.with_more(listen=addresses, viewer=viewers, operator=operators, admin=admins)

    path = path or session.config
    daemon = Daemon(settings, state_dir=session.state_dir, socket=session.socket, say=output.say)
    try:
        session.run_own(daemon.run)
    except Interrupted:
        return 0
    return 0


def _check(option: str, values: tuple[str, ...], check: Callable[[str], object]) -> None:
    """Raises click.BadParameter: one of them is none."""
    from engine.errors import ConfigError

    for value in values:
        try:
            check(value)
        except ConfigError as exc:
            raise click.BadParameter(str(exc), param_hint=option) from exc
