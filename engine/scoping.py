"""The scopes of an engine's domains: they are ordered as the graph says, and stay so; and what ``doctor`` finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import anyio

from engine.abc import ScopeInfo
from engine.domain import Domain
from engine.errors import EngineError
from engine.lifecycle import Command, allowed
from engine.shutdown.graph import Declarations

if TYPE_CHECKING:
    from engine.systemd.doctor import DomainFacts, Finding
    from engine.systemd.machines import ScopeManager
    from engine.systemd.scope import ScopeRequest, UnitOrder

__all__ = ["Scoping", "key_of", "refuses"]

#: How long closing waits for live scopes to be ordered anew.
_MEND_SECONDS = 10.0
_COMMANDS = {
    "agent": Command.SHUTDOWN,
    "acpi": Command.SHUTDOWN,
    "save": Command.MANAGED_SAVE,
    "destroy": Command.DESTROY,
}


class Owner(Protocol):
    """What scopes need of the engine."""

    def start_soon(self, function: Any, *args: object, name: str) -> bool: ...


def key_of(domain: Domain) -> str:
    """Names a domain in the graph: a UUID alone may be there twice, at two connections."""
    return f"{domain.connection}#{domain.uuid}"


def refuses(domain: Domain, method: str) -> str:
    """Why a stop method can't work on a domain now, or ""."""
    if method not in domain.driver.stop_methods:
        return "its driver has no such method"
    if _COMMANDS[method] not in allowed(domain.state):
        return f"it is {domain.state}"
    if method == "save" and not domain.persistent:
        return "it is transient"
    return ""


class Scoping:
    """Puts domains into scopes, and keeps those ordered as what is declared.

    Args:
        declared, domains: kept up to date by whoever made this; domains by ``key_of``.
        systemd: False: there are no scopes; service: scopes are ordered after it, "": after none.
    """

    def __init__(
        self, owner: Owner, declared: Declarations, domains: Mapping[str, Domain], *, systemd: bool, service: str = ""
    ) -> None:
        self._owner = owner
        self._declared = declared
        self._domains = domains
        self._systemd = systemd
        self._service = service
        self._told: dict[str, tuple[str, ...]] = {}  # the After= each live scope was given, by key
        self._one_mend = anyio.Lock()
        self._mend_is_due = False
        self._mending = 0
        self._mended = anyio.Event()
        self._stack = AsyncExitStack()
        self.scopes: ScopeManager | None = None

    async def __aenter__(self) -> Self:
        if self._systemd:
            from engine.systemd.machines import ScopeManager

            self.scopes = await self._stack.enter_async_context(ScopeManager(engine_unit=self._service))
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            # a change made just before the end still reaches the live scopes
            with anyio.move_on_after(_MEND_SECONDS):
                while self._mending:
                    await self._mended.wait()
        finally:
            await self._stack.aclose()

    def forgotten(self, key: str) -> None:
        """A domain is no more."""
        self._told.pop(key, None)

    async def create(self, domain: Domain, leader: int, interfaces: Sequence[int]) -> ScopeInfo:
        """Put a domain's processes into a scope that is ordered as the graph says."""
        if self.scopes is None:
            return ScopeInfo(reason="scopes are turned off")
        request = self._request(domain, leader, tuple(interfaces))
        info = await self.scopes.create(request)
        if info.unit:
            self._told[key_of(domain)] = request.after
        return info

    def _request(self, domain: Domain, leader: int, interfaces: tuple[int, ...] = ()) -> ScopeRequest:
        from engine.systemd.limits import parse_limits
        from engine.systemd.scope import ScopeRequest

        definition = domain.live_definition
        return ScopeRequest(
            domain=domain.name,
            uuid=domain.uuid,
            connection=domain.connection,
            leader=leader,
            after=self._scopes_after(domain),
            before=self._scopes_before(domain),
            partition=definition.partition,
            # Its own part of the plan, not the length of the whole: systemd counts from the moment it stops this very
            # scope, and that comes only when those that are ordered after it are gone. The length of the whole is what
            # the service gets that runs ``down``.
            stop_timeout=self._declared.stop_seconds(key_of(domain)),
            limits=parse_limits(definition),
            interfaces=interfaces,
        )

    def _scopes_after(self, domain: Domain) -> tuple[str, ...]:
        from engine.systemd.scope import scope_units

        units: list[str] = []
        for key in self._declared.scopes_after(key_of(domain)):
            other = self._domains[key]
            units += (other.scope,) if other.scope else scope_units(other.connection, other.name, other.uuid)
        return tuple(units)

    def _scopes_before(self, domain: Domain) -> tuple[str, ...]:
        """Of one that is started again while others are ordered after it: its name may be another than they know."""
        others = (self._domains[key] for key in self._declared.scopes_before(key_of(domain)))
        return tuple(other.scope for other in others if other.scope)

    def mend(self) -> None:
        """The order may have changed: live scopes have to follow. Many calls in a row cost little more than one."""
        if self.scopes is not None and not self._mend_is_due:
            # an engine that closes mends nothing any more: then there is nothing to wait for either
            self._mend_is_due = self._owner.start_soon(self._mend, name="the order of live scopes")
            self._mending += self._mend_is_due

    async def _mend(self) -> None:
        try:
            async with self._one_mend:
                self._mend_is_due = False  # what changes from now on is for the next
                await self._reorder()
        finally:
            self._mending -= 1
            if not self._mending:
                self._mended.set()
                self._mended = anyio.Event()

    async def _reorder(self) -> None:
        from engine.systemd.scope import UnitOrder, order_units

        assert self.scopes is not None
        orders: dict[str, UnitOrder] = {}
        told: dict[str, tuple[str, ...]] = {}
        for key, domain in self._domains.items():
            if domain.scope and (after := self._scopes_after(domain)) != self._told.get(key):
                request = self._request(domain, 0)
                told[key] = after
                orders[domain.scope] = UnitOrder(
                    after=order_units(request, domain.scope), stop_timeout=request.stop_timeout
                )
        if orders:
            await self.scopes.reorder(orders)
            self._told.update(told)

    def stopped(self, domain: Domain, unit: str) -> None:
        """A domain has stopped; ``unit`` held it."""
        self._told.pop(key_of(domain), None)
        if self.scopes is not None and unit:
            self._owner.start_soon(self.scopes.forget, unit, name=f"the scope of {domain.name}")

    # ------------------------------------------------------------------ doctor

    async def doctor(
        self, *, units: Mapping[str, str], folder: Path, worst_case: float, fix: bool = False, dry_run: bool = False
    ) -> tuple[list[Finding], list[str]]:
        """See ``Engine.doctor``.

        Args:
            worst_case: seconds it may take to stop everything.
        """
        from engine.systemd import doctor
        from engine.systemd.machines import ScopeManager

        async with AsyncExitStack() as stack:
            manager = self.scopes if self.scopes is not None else await stack.enter_async_context(ScopeManager())
            domains = [await self._facts(domain) for domain in self._domains.values() if domain.active]
            host = await doctor.gather(manager, units, folder)
            findings = doctor.examine(domains, host, worst_case=worst_case)
            done: list[str] = []
            if fix:

                async def create(request: ScopeRequest) -> ScopeInfo:
                    info = await manager.create(request)
                    if info.unit:
                        domain = self._domains[f"{request.connection}#{request.uuid}"]
                        domain.scope = info.unit
                        await domain.save_status()
                    return info

                done = await doctor.repair(
                    findings, domains, host, manager, worst_case=worst_case, create=create, dry_run=dry_run
                )
            return findings, done

    async def _facts(self, domain: Domain) -> DomainFacts:
        from engine.systemd.doctor import DomainFacts

        refused = [refuses(domain, step.method) for step in self._declared.order(key_of(domain)).ladder]
        try:
            pid = (await domain.info()).pid
        except EngineError:
            pid = None
        return DomainFacts(
            name=domain.name,
            request=self._request(domain, pid) if pid is not None else None,
            unit=domain.scope,
            reason="" if domain.scope else "it was started without one",
            unstoppable="; ".join(dict.fromkeys(refused)) if refused and all(refused) else "",
        )
