"""What the program's own options say, and the engine that a command works with."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeAlias

import click

from engine.cli import output, signals
from engine.cli.places import chosen_dirs, socket_of, state_dirs, system_socket

if TYPE_CHECKING:
    from anyio import CancelScope
    from anyio.abc import TaskStatus

    from engine.core import Engine
    from engine.domain import Domain
    from engine.glance import DomainView
    from engine.server.api.facts import DomainFacts
    from engine.server.client import RemoteDomain, RemoteEngine

    #: What a command works with: an engine of its own, or a service's.
    AnyEngine: TypeAlias = Engine | RemoteEngine
    AnyDomain: TypeAlias = Domain | RemoteDomain

__all__ = ["BACKENDS", "Interrupted", "Session", "each", "facts_of", "find", "tell", "with_engine"]

BACKENDS = ("asyncio", "trio")

P = ParamSpec("P")


class Interrupted(Exception):
    """A signal ended the command. ``number`` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Session:
    """One call of the program.

    Attributes:
        uris: connections, libvirt's default where none was named.
        state_dir, runtime_dir: as ``Engine`` takes them.
        service: the address of the one that is asked; None: of the one that has the state directory, if there is one.
    """

    def __init__(
        self,
        *,
        uris: Sequence[str],
        state_dir: str | os.PathLike[str] | None,
        backend: str,
        service: str | None = None,
    ) -> None:
        self._uris = tuple(uris)
        self.backend = backend
        if service is not None and not service.strip():  # as with the state directory
            raise click.BadParameter("it is empty", param_hint="--service")
        self._named = service
        self.service = self._named or (system_socket(self._uris) if state_dir is None else None)
        if state_dir is not None and not os.fspath(state_dir):  # a variable that was not set, most likely
            raise click.BadParameter("it is empty", param_hint="--state-dir")
        state, runtime = chosen_dirs(os.fspath(state_dir) if state_dir is not None else None)
        self.state_dir, self.runtime_dir = Path(state), Path(runtime) if runtime is not None else None

    @property
    def uris(self) -> tuple[str, ...]:
        """Raises click.BadParameter for what is no connection URI."""
        from engine.errors import ConfigError
        from engine.uri import ConnectionURI, default_uri

        uris = self._uris or (default_uri(),)
        try:
            return tuple(dict.fromkeys(str(ConnectionURI.parse(uri)) for uri in uris))
        except ConfigError as exc:
            raise click.BadParameter(str(exc), param_hint="--uri") from exc

    def glance(self) -> list[DomainView] | None:
        """The domains without an engine, also beside one; None: it takes one, or a service (``run``).

        Where no connection was named and an engine has the state directory open, those of all its connections.
        """
        from engine.glance import glance

        if self.service is not None:
            return None
        return glance(self.uris if self._uris else (), self.state_dir, runtime_dir=self.runtime_dir)

    def arguments(self) -> list[str]:
        """The program's own options that lead another call of it to the same engine, as a unit file can hold them.

        Raises:
            click.BadParameter: it can't.
        """
        if set(str(self.state_dir)) & set("\r\n"):
            raise click.BadParameter("a unit file can't hold a path with a line end", param_hint="--state-dir")
        uris = [text for uri in self.uris for text in ("--uri", uri)]
        return ["--state-dir", str(self.state_dir), *uris, "--backend", self.backend]

    @property
    def config(self) -> Path | None:
        """The service's configuration file, if there is one; another state directory is not what it is about."""
        if str(self.state_dir) != state_dirs()[0]:
            return None
        home = os.environ.get("XDG_CONFIG_HOME", "")
        base = Path(home) if home.startswith("/") else Path.home() / ".config"
        path = (Path("/etc") if os.geteuid() == 0 else base) / "virengine" / "virengine.toml"
        return path if path.exists() else None

    def only_here(self, what: str) -> None:
        """Raises click.UsageError: another service is to be asked, and ``what`` is about this host."""
        if self._named is not None:
            raise click.UsageError(f"{what} is about this host's state directory: it takes no --service")

    @property
    def socket(self) -> Path:
        """Where the service of this state directory listens, if there is one."""
        return Path(socket_of(str(self.state_dir), str(self.runtime_dir) if self.runtime_dir else None))

    def run(self, work: Callable[[AnyEngine], Awaitable[None]]) -> None:
        """Do ``work`` with the engine of the service that has the state directory, or else with one of our own.

        SIGINT and SIGTERM cancel the work; an engine of our own is closed in order, then Interrupted is raised.
        """
        _ = self.uris  # what is wrong with them is said before anything is done

        async def main() -> None:
            async with self.served() as remote:
                if remote is not None:
                    await work(remote)
                    return
            await self.embedded(work)

        self.run_plain(main)

    def run_served(self, work: Callable[[RemoteEngine], Awaitable[None]]) -> bool:
        """The same only where there is a service. Returns whether there is."""
        if self.service is None and not self.socket.exists():
            return False
        served = False

        async def main() -> None:
            nonlocal served
            async with self.served() as remote:
                if remote is not None:
                    served = True
                    await work(remote)

        self.run_plain(main)
        return served

    def run_own(self, work: Callable[[Engine], Awaitable[None]]) -> None:
        """The same, with an engine of our own in any case."""
        _ = self.uris
        self.run_plain(lambda: self.embedded(work))

    async def embedded(self, work: Callable[[Engine], Awaitable[None]], uris: Iterable[str] | None = None) -> None:
        """Do ``work`` with an engine of our own, in an event loop that runs; ``uris``: with these connections."""
        from engine.core import Engine

        engine = Engine(
            *(self.uris if uris is None else uris),
            state_dir=self.state_dir,
            runtime_dir=self.runtime_dir,
            on_close="leave",
            resume=False,
            quiet=True,
        )
        async with engine:
            await work(engine)

    @asynccontextmanager
    async def served(self, *, every: bool = False) -> AsyncIterator[RemoteEngine | None]:
        """The service's engine; None: there is no service. ``every``: with all its connections, whichever were named.

        Raises:
            ConnectionBroken: it does not answer. NoSuchConnection: it lacks one that was named.
        """
        if self.service is None and not os.path.exists(self.socket):  # noqa: PTH110, ASYNC240 - an error is none here
            yield None
            return
        from engine.errors import ConnectionBroken
        from engine.server.client import is_absent

        async with AsyncExitStack() as stack:
            remote: RemoteEngine | None = None
            try:
                remote = await stack.enter_async_context(self.connect())
            except ConnectionBroken as exc:
                if self.service is not None or not is_absent(exc):
                    raise
            if remote is not None and not every:
                self.choose(remote)
            yield remote

    def connect(self) -> AbstractAsyncContextManager[RemoteEngine]:
        """To the service. Raises what ``engine.server.client.connect`` raises."""
        from engine.server.client import connect

        return connect(self.service or self.socket, token=_token() if self.service is not None else None)

    def choose(self, remote: RemoteEngine) -> None:
        """Have to do only with the connections that were named. Raises NoSuchConnection."""
        if self._uris:
            remote.only(self.uris)

    def run_plain(self, work: Callable[[], Awaitable[None]]) -> None:
        """The same without an engine."""
        import anyio

        caught: list[int] = []
        failed: list[Exception] = []

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                await tasks.start(_cancel_on_signal, tasks.cancel_scope, caught, note)
                for stream in streams:
                    tasks.start_soon(stream.pump)
                try:
                    await work()
                except Exception as exc:  # noqa: BLE001 - it is raised below: through the task group it would be wrapped
                    failed.append(exc)
                tasks.cancel_scope.cancel()

        with output.beside_loop() as streams:
            with signals.noted(caught) as note, output.log_to_stderr():
                anyio.run(main, backend=self.backend)
            if caught:
                raise Interrupted(caught[0])
            output.finish()
        if failed:
            raise failed[0]


def _token() -> str | None:
    """Never on the command line, which everybody on the host can read. Raises ConfigError: its file can't be read."""
    if token := os.environ.get("VIRENGINE_TOKEN"):
        return token
    if not (file := os.environ.get("VIRENGINE_TOKEN_FILE")):
        return None
    from engine.errors import ConfigError

    try:
        return Path(file).read_text(encoding="ascii").strip()
    except OSError as exc:
        raise ConfigError(f"the token can't be read: {(exc.strerror or str(exc)).lower()}", source=file) from exc
    except UnicodeDecodeError as exc:
        raise ConfigError("there is no token in it", source=file) from exc


async def _cancel_on_signal(
    scope: CancelScope, caught: list[int], note: Callable[[], None], *, task_status: TaskStatus[None]
) -> None:
    import anyio

    try:
        with anyio.open_signal_receiver(*signals.SIGNALS) as received:
            task_status.started()
            if not caught:  # before there was an event loop
                caught.append(await anext(received))
        scope.cancel()
        signals.end_at_once()  # whoever presses Ctrl-C again means it
    finally:
        if not caught:
            note()


def with_engine(command: Callable[Concatenate[AnyEngine, P], Awaitable[None]]) -> Callable[P, None]:
    """Make a command of a coroutine function that takes an open engine first."""

    @functools.wraps(command)
    def call(*args: P.args, **options: P.kwargs) -> None:
        session = click.get_current_context().find_object(Session)
        assert session is not None
        session.run(lambda engine: command(engine, *args, **options))

    return call


def find(engine: AnyEngine, key: str) -> AnyDomain:
    """The domain with this name or UUID, or ``URI#name`` where several connections have one of that name.

    Raises:
        NoSuchDomain: it says what the user may have meant. click.BadParameter: there are several.
    """
    from engine.errors import ConfigError, NoSuchDomain

    # a URI may hold a '#', a name may: whatever is left of one and is a connection, is meant so
    places = [uri for uri in engine.connections if key.startswith(f"{uri}#")]
    name = key.removeprefix(f"{places[0]}#") if places else key
    try:
        return engine.domain(name, connection=places[0] if places else None)
    except ConfigError as exc:
        several = [uri for uri in engine.connections if _has(engine, uri, name)]
        ways = " or ".join(f"'{uri}#{name}'" for uri in several)
        raise click.BadParameter(f"there are several domains '{name}': say {ways}", param_hint="DOMAIN") from exc
    except NoSuchDomain as exc:
        from engine.conf.document import suggest

        names = tuple(domain.name for domain in engine.domains())
        where = " and ".join(engine.connections)
        near = suggest(name, names)
        hint = f"at {where}{near}" if names else f"at {where}: none is defined there (virengine define FILE)"
        raise NoSuchDomain(name, hint if near or not names else f"{hint} ('virengine list --all' shows them)") from exc


def _has(engine: AnyEngine, uri: str, key: str) -> bool:
    from engine.util.uuids import as_uuid

    return any(key == domain.name or as_uuid(key) == domain.uuid for domain in engine.domains(connection=uri))


async def each(
    engine: AnyEngine, names: Sequence[str], action: Callable[[AnyDomain], Awaitable[None]], *, as_json: bool = False
) -> None:
    """Do ``action`` for all the named domains at once; one that fails keeps no other from it.

    Args:
        as_json: print how those are for which it is done, and nothing else.

    Raises:
        NoSuchDomain: before anything is done. ExceptionGroup: of the EngineErrors, when several failed.
    """
    from engine.errors import EngineError

    domains = list(dict.fromkeys(find(engine, name) for name in names))
    if as_json:
        output.begin(quiet=True)
    if len(domains) == 1:
        await action(domains[0])
        return tell(domains, as_json=as_json)

    import anyio

    errors: dict[AnyDomain, EngineError] = {}

    async def one(domain: AnyDomain) -> None:
        try:
            await action(domain)
        except EngineError as exc:
            errors[domain] = exc

    async with anyio.create_task_group() as tasks:
        for domain in domains:
            tasks.start_soon(one, domain)
    tell([domain for domain in domains if domain not in errors], as_json=as_json)
    if errors:
        raise ExceptionGroup("some failed", [errors[domain] for domain in domains if domain in errors])
    return None


def tell(domains: Iterable[AnyDomain], *, as_json: bool) -> None:
    """Print how they are, if that is wanted."""
    if as_json:
        output.json([facts_of(domain) for domain in domains])


def facts_of(domain: AnyDomain) -> DomainFacts:
    """What is told of a domain, as JSON; not the process, which takes asking for."""
    from engine.server.api.facts import domain_facts

    return domain.facts if hasattr(domain, "facts") else domain_facts(domain)
