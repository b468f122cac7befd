"""Documents by themselves: ``validate``, ``diff``, ``complete``, ``schema``, ``domxml-from-native`` and ``-to-native``.

No engine is opened.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from engine.cli import arguments, failures, output

if TYPE_CHECKING:
    from engine.conf.kinds.domain.document import DomainDocument
    from engine.errors import Problem

__all__ = ["complete", "diff", "from_native", "schema", "to_native", "validate"]

_QEMU = "qemu-argv"


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=arguments.document)
@click.option("--strict", is_flag=True, help="Take warnings for errors.")
@arguments.as_json
def validate(files: tuple[str, ...], strict: bool, as_json: bool) -> int:
    """Say all that is wrong with documents of any kind.

    One line for each problem, FILE:LINE: XPATH: REASON; the exit code is 1 if there is an error. Of a folder, all
    files that end in .xml are looked at; '-' is standard input.
    """
    failed = False
    told = []
    for file in _all_files(files):
        problems = _problems(file)
        failed = failed or any(strict or problem.severity == "error" for problem in problems)
        for problem in problems:
            if as_json:
                told.append({"file": os.fsencode(file).decode(errors="replace")} | _facts(problem))
            else:
                word = "warning: " if problem.severity == "warning" else ""
                output.data(f"{file}:{problem.line or 1}: {problem.xpath}: {word}{problem.reason}")
    if as_json:
        output.json(told)
    return 1 if failed else 0


def _all_files(names: Iterable[str]) -> Iterator[str]:
    for name in names:
        if name in ("", "-") or not Path(name).is_dir():
            yield name
            continue
        number = 0
        for path in _in_folder(name):
            number += 1
            yield path
        if not number:
            output.warning(f"{name}: there is no file here that ends in .xml")


def _in_folder(name: str) -> Iterator[str]:
    """What ends in .xml, and folders that can't be read."""
    unreadable: list[OSError] = []
    for folder, folders, files in os.walk(name, onerror=unreadable.append):
        folders.sort()
        yield from (os.path.join(folder, file) for file in sorted(files) if file.lower().endswith(".xml"))  # noqa: PTH118
    yield from (str(error.filename) for error in unreadable)


def _problems(file: str) -> list[Problem]:
    """What is wrong with it, and if it can't even be read, that."""
    from engine.conf.documents import validate as problems_of
    from engine.errors import ConfigError, Problem

    try:
        return problems_of(arguments.read_document(file)[0], references=True)
    except ConfigError as exc:
        return [Problem(line=exc.line or 1, xpath="/", reason=exc.reason)]


def _facts(problem: Problem) -> dict[str, object]:
    import msgspec

    facts: dict[str, object] = msgspec.to_builtins(problem)
    return facts


@click.command()
@click.argument("before", metavar="A", type=arguments.document)
@click.argument("after", metavar="B", type=arguments.document)
@click.option("--abi", is_flag=True, help="Only what a running guest would see change, so that it can't go on with B.")
@arguments.as_json
def diff(before: str, after: str, abi: bool, as_json: bool) -> int:
    """Say what differs between two documents, whatever their order and layout.

    The exit code is 0 if nothing does, 1 if something does, and 2 if they can't be compared.
    """
    from engine.conf.abi import abi_differences
    from engine.conf.documents import diff as differences
    from engine.conf.documents import parse
    from engine.errors import ConfigError

    try:
        texts = [arguments.read_document(file) for file in (before, after)]
        one, other = (parse(text, source=source, validate=False) for text, source in texts)
        found = abi_differences(one, other) if abi else differences(one, other)  # type: ignore[arg-type]
    except ConfigError as exc:
        failures.report(exc)
        return failures.USAGE
    if as_json:
        import msgspec

        output.json(msgspec.to_builtins(found))
    else:
        for difference in found:
            output.data(str(difference))
    return 1 if found else 0


@click.command()
@click.argument("kind")
def schema(kind: str) -> None:
    """Print the XML Schema of a kind of document, as editors take it.

    KIND is the name of its root element (domain, network, pool, volume, ...), or libvirt's for the kind (storagepool).
    """
    from engine.conf.document import suggest
    from engine.conf.kinds.registry import ALIASES, KINDS
    from engine.conf.schemas import schema_text

    known = (*KINDS, "order")
    kind = ALIASES.get(kind, kind)
    if kind not in known:
        raise click.UsageError(f"there is no kind '{kind}'{suggest(kind, known)}; there are {', '.join(sorted(known))}")
    output.raw(schema_text(kind).rstrip("\n"))


@click.command()
@click.argument("file", type=arguments.document)
@click.option("--seed", type=int, help="Make up UUIDs and MAC addresses from this number, always the same.")
def complete(file: str, seed: int | None) -> None:
    """Print a domain document with all that libvirt adds when it is defined.

    That is: controllers, addresses, models, the UUID, MAC addresses.
    """
    from engine.conf.defaults.capabilities import present_qemu
    from engine.conf.defaults.complete import complete as completed
    from engine.conf.documents import format

    output.raw(format(completed(_read_domain(file), present_qemu(), seed=seed, new=True)).rstrip("\n"))


@click.command()
@click.argument("native", metavar="FORMAT")
@click.argument("file", type=arguments.document)
def from_native(native: str, file: str) -> None:
    """Print the domain document of another tool's configuration.

    FORMAT is vmware-vmx, xen-xl, xen-xm or lxc-tools. What has no equivalent is told on standard error, with its line.
    What a .vmx names without a folder is in FILE's own: in a datastore, if that is below /vmfs/volumes.
    """
    from engine.conf.documents import format
    from engine.conf.native import from_native as converted

    text, source = arguments.read_document(file)
    folder = None if file == "-" else str(Path(file).absolute().parent)  # datastores are links
    conversion = converted(native, text, source=source, folder=folder)
    _warn(file, conversion.warnings)
    output.raw(format(conversion.definition).rstrip("\n"))


@click.command()
@click.argument("native", metavar="FORMAT")
@click.argument("file", type=arguments.document)
def to_native(native: str, file: str) -> None:
    """Print a domain document as another tool's configuration.

    FORMAT is vmware-vmx, xen-xl, xen-xm, or qemu-argv: the command line that the qemu driver would run. What has no
    equivalent is told on standard error, with its line.
    """
    from engine.conf.native import to_native as converted

    if native == _QEMU:
        output.raw(_qemu_argv(file).rstrip("\n"))
        return
    written = converted(native, _read_domain(file))
    _warn(file, written.warnings)
    output.raw(written.text.rstrip("\n"))


def _qemu_argv(file: str) -> str:
    from engine.abc import ConnectionURI
    from engine.conf import parse_domain
    from engine.registry import find_driver

    text, source = arguments.read_document(file)
    driver = find_driver(ConnectionURI.parse("qemu:///system"))
    return driver.to_native(parse_domain(text, source=source, validate=True))


def _read_domain(file: str) -> DomainDocument:
    from engine.conf.documents import parse
    from engine.conf.kinds.domain.document import DomainDocument
    from engine.errors import ConfigError

    text, source = arguments.read_document(file)
    definition = parse(text, source=source)
    if not isinstance(definition, DomainDocument):
        raise ConfigError(f"expected <domain>, found <{definition.kind}>", source=source, line=definition.line)
    return definition


def _warn(file: str, warnings: Iterable[Problem]) -> None:
    for problem in warnings:
        where = f"{file}:{problem.line}" if problem.line else file
        output.warning(f"{where}: {problem}")
