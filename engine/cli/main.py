"""``virengine``: the program. One module a command group, imported when one of its commands is called.

Exit codes: 0 done, 1 failed, 2 usage, 3 no such domain, 4 not possible in this state, 5 busy (another engine holds the
state directory), 130 Ctrl-C, 143 SIGTERM, 141 the reader of our output went away.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

import click

from engine.cli import failures, output
from engine.cli.session import BACKENDS, Session

__all__ = ["cli", "run"]

# Where each command is: module:object. Also the order and the headings of the help.
_SECTIONS = {
    "Domains": {
        "define": "definitions:define",
        "undefine": "definitions:undefine",
        "start": "power:start",
        "shutdown": "power:shutdown",
        "reboot": "power:reboot",
        "reset": "power:reset",
        "suspend": "power:suspend",
        "resume": "power:resume",
        "destroy": "power:destroy",
        "save": "saving:save",
        "restore": "saving:restore",
        "managedsave": "saving:managedsave",
        "autostart": "definitions:autostart",
    },
    "Looking": {
        "list": "looking:list_domains",
        "info": "looking:info",
        "domstate": "looking:domstate",
        "domuuid": "looking:domuuid",
        "dumpxml": "looking:dumpxml",
        "console": "interactive:console",
        "screenshot": "interactive:screenshot",
        "vncdisplay": "interactive:vncdisplay",
        "domdisplay": "interactive:domdisplay",
        "qemu-agent-command": "interactive:agent_command",
        "events": "events:events",
        "wait": "waiting:wait",
        "watch": "watch:watch",
    },
    "Order": {
        "order": "ordering:order",
        "plan": "ordering:plan",
        "up": "ordering:up",
        "down": "ordering:down",
        "operations": "operations:operations",
    },
    "Documents": {
        "validate": "documents:validate",
        "diff": "documents:diff",
        "complete": "documents:complete",
        "domxml-from-native": "documents:from_native",
        "domxml-to-native": "documents:to_native",
        "schema": "documents:schema",
    },
    "Host": {
        "serve": "serve:serve",
        "config": "config:config",
        "token": "tokens:token",
        "webhooks": "webhooks:webhooks",
        "doctor": "host:doctor",
        "install-units": "host:install_units",
        "completion": "completion:completion",
    },
}
_COMMANDS = {name: target for section in _SECTIONS.values() for name, target in section.items()}
# what virsh calls it, where that differs
_ALIASES = {"dominfo": "info"}


class Program(click.Group):
    """Finds commands without importing all of them, and turns whatever goes wrong into a sentence and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target = _COMMANDS.get(_ALIASES.get(cmd_name, cmd_name))
        if target is None:
            return None
        module, _, name = target.partition(":")
        command = getattr(import_module(f"engine.cli.{module}"), name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            from engine.conf.document import suggest

            ctx.fail(f"there is no command '{args[0]}'{suggest(args[0], tuple(_COMMANDS))}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in _SECTIONS.items():
            rows = []
            for name in section:
                command = self.get_command(ctx, name)
                assert command is not None
                rows.append((name, command.get_short_help_str(limit=formatter.width)))
            with formatter.section(title):
                formatter.write_dl(rows, col_max=16)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        if not standalone_mode:
            return super().main(args, prog_name, complete_var, standalone_mode=False, **extra)
        return self._main(args, complete_var, extra)

    def _main(self, args: Sequence[str] | None, complete_var: str | None, extra: dict[str, Any]) -> NoReturn:
        try:
            # ``Exit`` (of --help and the like) comes back as a code, everything else as it was raised
            code = super().main(args, "virengine", complete_var, standalone_mode=False, **extra)
            output.flush()
        except BaseException as exc:  # noqa: BLE001 - the one boundary: no traceback reaches a user
            code = failures.report(exc)
        sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 no such domain, 4 not possible in this state, 5 busy.",
)
@click.option(
    "--uri",
    "--connect",
    "-c",
    "uris",
    multiple=True,
    metavar="URI",
    envvar=["VIRENGINE_URI", "LIBVIRT_DEFAULT_URI"],
    help="Connection, e.g. qemu:///system or test:///default; several may be given.  "
    "[default: qemu:///system for root, qemu:///session for everybody else]",
)
@click.option(
    "--state-dir",
    metavar="DIR",
    envvar="VIRENGINE_STATE_DIR",
    help="Where definitions, state and events are kept.  "
    "[default: /var/lib/virengine for root, $XDG_STATE_HOME/virengine for everybody else]",
)
@click.option(
    "--service",
    metavar="ADDRESS",
    envvar="VIRENGINE_SERVICE",
    help="Ask this service: https://HOST:PORT, or a socket's path. Its token is in $VIRENGINE_TOKEN, or in the file "
    "that $VIRENGINE_TOKEN_FILE names.  [default: the one that has the state directory, if there is one]",
)
@click.option(
    "--backend",
    type=click.Choice(BACKENDS),
    default=BACKENDS[0],
    show_default=True,
    envvar="VIRENGINE_BACKEND",
    help="The event loop to run on.",
)
@click.option("--quiet", "-q", is_flag=True, help="Print only what was asked for, and errors.")
@click.version_option(package_name="virengine", prog_name="virengine", message="%(prog)s %(version)s")
@click.pass_context
def cli(
    ctx: click.Context,
    uris: tuple[str, ...],
    state_dir: str | None,
    service: str | None,
    backend: str,
    quiet: bool,
) -> None:
    """Run virtual machines, and start and stop them in order.

    'virengine COMMAND --help' tells more about a command.
    """
    ctx.obj = Session(uris=uris, state_dir=state_dir, backend=backend, service=service)
    output.begin(quiet=quiet)


def run() -> NoReturn:
    """The entry point: run the program with this process's arguments and exit."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed by whoever started us
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115 - as long as we live
    cli.main()
    raise AssertionError("main() exits")


if __name__ == "__main__":
    run()
