"""``serve``: the engine as a service."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from engine.cli import output
from engine.cli.failures import Failed
from engine.cli.session import Interrupted, Session

if TYPE_CHECKING:
    from engine.core import Engine
    from engine.server.peers import Role

__all__ = ["serve"]

# so that everybody can ask who has a role; else only who may do everything anyway
_OPEN, _CLOSED = 0o666, 0o600


@click.command()
@click.option(
    "--listen",
    "addresses",
    multiple=True,
    metavar="ADDRESS",
    help="Where: unix:PATH or tcp:HOST:PORT; several may be given.  [default: api.sock in the run-time directory]",
)
@click.option("--viewer", "viewers", multiple=True, metavar="WHO", help="Who may look: user:NAME or group:NAME.")
@click.option("--operator", "operators", multiple=True, metavar="WHO", help="Who may start and stop domains, too.")
@click.option("--admin", "admins", multiple=True, metavar="WHO", help="Who may do everything, as root may anyway.")
@click.pass_obj
def serve(
    session: Session,
    addresses: tuple[str, ...],
    viewers: tuple[str, ...],
    operators: tuple[str, ...],
    admins: tuple[str, ...],
) -> int:
    """Run as a service, with an HTTP API.

    Until SIGINT or SIGTERM; guests are left as they are. It can be started by systemd (Type=notify, and with sockets
    that systemd listens at).
    """
    try:
        from engine.server.access import Access
        from engine.server.listeners import listen, parse_address, passed_sockets
        from engine.server.serving import serve as serve_engine
    except ModuleNotFoundError as exc:
        raise Failed(f"{exc.name} is not installed: install 'virengine[server]'") from exc
    from engine.systemd.notify import Notifier

    rules: dict[Role, tuple[str, ...]] = {"viewer": viewers, "operator": operators, "admin": admins}
    for who in (name for names in rules.values() for name in names):
        if who.partition(":")[0] not in ("user", "group") or not who.partition(":")[2]:
            raise click.UsageError(f"'{who}' is neither user:NAME nor group:NAME")
    wanted = [parse_address(address) for address in addresses]
    passed = passed_sockets()
    if not wanted and not passed:
        wanted = [parse_address(f"unix:{session.socket}")]
    mode = _OPEN if any(rules.values()) else _CLOSED
    notifier = Notifier()

    async def work(engine: Engine) -> None:
        with ExitStack() as stack:
            sockets = [stack.enter_context(sock) for sock in passed]
            sockets += [stack.enter_context(listen(address, mode=mode)) for address in wanted]
            where = ", ".join(map(str, wanted)) or "the sockets that systemd passed"
            output.say(f"Listening at {where}")
            notifier.ready(f"{len(engine.domains())} domains, at {where}")
            try:
                await serve_engine(engine, sockets, access=Access(rules), audit=session.state_dir / "audit.log")
            finally:
                notifier.stopping()

    try:
        session.run_own(work)
    except Interrupted:
        return 0
    return 0
