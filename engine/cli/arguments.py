"""Arguments that many commands take, with completion of domain names."""

from __future__ import annotations

import math
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import click

from engine.cli.places import state_dirs

__all__ = [
    "as_json",
    "complete_domain",
    "days",
    "document",
    "domain",
    "domains",
    "read_document",
    "seconds",
    "some_domains",
]


#: more than that is no time that anybody means; a service takes no more either
_FOREVER = 1e9


class _Time(click.FloatRange):
    """A time that passes: infinity is told by leaving the option out, and "nan" is no time at all."""

    def __init__(self, unit: str, *, most: float | None = None) -> None:
        super().__init__(min=0, min_open=True, max=most)
        self._unit = unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"'{value}' is not a number of {self._unit}", param, ctx)
        if number >= _FOREVER:
            self.fail(f"that is too many {self._unit}: for ever is told by leaving the option out", param, ctx)
        return number


seconds = _Time("seconds")
#: as many as a calendar has years for
days = _Time("days", most=1e6)


def complete_domain(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of domains, from the names of files: no engine is opened, so this is quick and in nobody's way."""
    options = ctx.find_root().params
    names: set[str] = set()
    with suppress(OSError, RuntimeError):  # nothing is said in the middle of a line that is being typed
        folder = Path(options.get("state_dir") or state_dirs()[0]) / "domains"
        named = [folder / quote(uri, safe="") for uri in options.get("uris") or ()]
        for place in [place for place in named if place.is_dir()] or folder.iterdir():
            names |= {unquote(path.stem) for path in place.glob("*.xml")}
    taken: Any = ctx.params.get(param.name or "") or ()
    return [name for name in sorted(names) if name.startswith(incomplete) and name not in taken]


domain = click.argument("name", metavar="DOMAIN", shell_complete=complete_domain)
domains = click.argument("names", metavar="DOMAIN...", nargs=-1, required=True, shell_complete=complete_domain)
#: None named: all of them.
some_domains = click.argument("names", metavar="[DOMAIN]...", nargs=-1, shell_complete=complete_domain)

#: A file that ``read_document`` reads, which says itself what is wrong with it.
document = click.Path(allow_dash=True, readable=False)

as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def read_document(path: str) -> tuple[bytes, str]:
    """What is in a file, ``-`` being standard input, and what to call it in messages.

    Raises:
        ConfigError: it can't be read.
    """
    from engine.conf.document import LIMITS
    from engine.errors import ConfigError

    source = "standard input" if path == "-" else path
    if path == "-" and sys.stdin is None:
        raise ConfigError("it is closed", source=source)
    if not path:
        raise ConfigError("no such file or directory", source="''")
    try:
        # one byte more than a document may have: it is refused as too large then, and nothing endless is read
        if path == "-":
            return sys.stdin.buffer.read(LIMITS.size + 1), source
        with Path(path).open("rb") as file:
            return file.read(LIMITS.size + 1), source
    except OSError as exc:
        raise ConfigError((exc.strerror or str(exc)).lower(), source=source) from exc
