"""Would the host's own shutdown keep the order? ``examine`` is pure: facts in, findings out; ``repair`` mends.

The facts about domains and the plan are plain data, because the graph is a floor beside this one; the facts about the
host come from ``gather``.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import anyio.to_thread
import msgspec

from engine.abc import ScopeInfo
from engine.errors import EngineError
from engine.systemd import install
from engine.systemd.scope import ENGINE_SERVICE, GUESTS_SERVICE, SHUTDOWN_TARGET, ScopeRequest, UnitOrder, order_units

if TYPE_CHECKING:
    from engine.systemd.machines import ScopeManager
    from engine.systemd.state import UnitState

__all__ = ["Diagnosis", "DomainFacts", "Finding", "HostFacts", "diagnosis", "examine", "gather", "repair"]

Severity = Literal["error", "warning", "info"]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is not as it should be.

    Attributes:
        severity: ``error`` a guest may be killed or stopped out of order; ``warning``; ``info``.
        code: names the check, for programs.
        subject: the domain, unit or setting it is about.
        what, why: sentences.
        fix: what the user can do; "" nothing is needed.
        fixable: ``repair`` can do it.
    """

    severity: Severity
    code: str
    subject: str
    what: str
    why: str
    fix: str = ""
    fixable: bool = False


class Diagnosis(msgspec.Struct, frozen=True, kw_only=True):
    """What ``doctor`` found.

    Attributes:
        ok: no guest may come to harm. findings: the gravest first. done: what was mended, or would be.
        stop_timeout: seconds that the stop of all guests is to be given.
    """

    ok: bool
    findings: list[Finding]
    done: list[str]
    stop_timeout: float


def diagnosis(findings: list[Finding], done: list[str], stop_timeout: float) -> Diagnosis:
    ok = all(each.severity != "error" for each in findings)
    return Diagnosis(ok=ok, findings=findings, done=done, stop_timeout=stop_timeout)


class DomainFacts(msgspec.Struct, frozen=True, kw_only=True):
    """One running domain, as the engine and its graph know it.

    Attributes:
        name: of the domain.
        request: the scope it should be in; None: it has no processes on this host (remote, in memory).
        unit: the scope it was put into, "" when there is none; reason: why there is none.
        unstoppable: why no step of its ladder can work, "" when one can.
    """

    name: str
    request: ScopeRequest | None = None
    unit: str = ""
    reason: str = ""
    unstoppable: str = ""

    @property
    def after(self) -> tuple[str, ...]:
        """Units of the domains that may stop only once this one is gone."""
        return self.request.after if self.request else ()


class HostFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What systemd says.

    Attributes:
        missing: why no service manager answers, "" when one does.
        scopes: the live scopes, by unit.
        service, target: the guests service and the target; None: not loaded at all.
        installed: text of the unit files found in ``folder``; expected: what they should be.
        folder: where units go.
        inhibit_delay: seconds logind waits for inhibitors.
        session_timeout: seconds the host gives to all services of this user; None: they are the host's own.
        user: it is about a user's own service manager.
    """

    missing: str = ""
    scopes: Mapping[str, UnitState] = {}
    service: UnitState | None = None
    target: UnitState | None = None
    installed: Mapping[str, str] = {}
    expected: Mapping[str, str] = {}
    folder: Path = install.SYSTEM_DIR
    inhibit_delay: float | None = None
    session_timeout: float | None = None
    user: bool = False


def examine(domains: Sequence[DomainFacts], host: HostFacts, *, worst_case: float) -> list[Finding]:
    """All findings, the gravest first; none: the host's shutdown will keep the order.

    Args:
        worst_case: seconds the plan ``down`` may take.
    """
    found = list(_ladders(domains))
    if host.missing:
        found.append(
            Finding(
                severity="warning" if domains else "info",
                code="no-systemd",
                subject="systemd",
                what=f"no systemd to hold the guests: {host.missing}",
                why="the host's shutdown knows nothing of the guests and may kill them",
                fix="run 'virengine down' before the host goes down",
            )
        )
    else:
        found += [*_units(host), *_budget(host, worst_case), *_scopes(domains, host)]
    rank = {"error": 0, "warning": 1, "info": 2}
    return sorted(found, key=lambda finding: rank[finding.severity])


def _ladders(domains: Iterable[DomainFacts]) -> Iterable[Finding]:
    for domain in domains:
        if domain.unstoppable:
            yield Finding(
                severity="error",
                code="no-ladder",
                subject=domain.name,
                what=f"no step of its ladder can stop '{domain.name}': {domain.unstoppable}",
                why="it will be killed when the host goes down",
                fix="give it a guest agent, or a <order:stop> with a step that works",
            )


def _units(host: HostFacts) -> Iterable[Finding]:
    expected = {name: _lines(text) for name, text in host.expected.items()}
    outdated = [name for name, text in host.installed.items() if _lines(text) != expected.get(name)]
    service = host.service
    if service is None:
        yield Finding(
            severity="error",
            code="no-service",
            subject=GUESTS_SERVICE,
            what=f"{GUESTS_SERVICE} is not installed",
            why="nothing runs the plan when the host goes down: systemd kills the guests",
            fix="virengine install-units, then: systemctl start " + GUESTS_SERVICE,
            fixable=True,
        )
        return
    if not service.active:
        yield Finding(
            severity="error",
            code="service-inactive",
            subject=GUESTS_SERVICE,
            what=f"{GUESTS_SERVICE} is {service.state}",
            why="only a service that is active is stopped, and its stop is what runs the plan",
            fix=f"systemctl start {GUESTS_SERVICE} (it starts no guest)",
            fixable=True,
        )
    elif host.target is None or not host.target.active or SHUTDOWN_TARGET not in service.after:
        yield Finding(
            severity="error",
            code="no-target",
            subject=SHUTDOWN_TARGET,
            what=f"{SHUTDOWN_TARGET} is not active, or {GUESTS_SERVICE} is not ordered after it",
            why="it is the fence between the guests service and the scopes",
            fix=f"virengine install-units, then: systemctl restart {GUESTS_SERVICE}",
        )
    if not service.enabled:
        yield Finding(
            severity="warning",
            code="service-disabled",
            subject=GUESTS_SERVICE,
            what=f"{GUESTS_SERVICE} is not enabled",
            why="it will not be there after the next boot",
            fix=f"systemctl enable {GUESTS_SERVICE}",
            fixable=True,
        )
    if outdated:
        yield Finding(
            severity="warning",
            code="units-outdated",
            subject=", ".join(outdated),
            what=f"not as this version would install it: {', '.join(outdated)} in {host.folder}",
            why="it may start another installation, or with other options",
            fix="virengine install-units",
            fixable=True,
        )


def _lines(unit: str) -> list[str]:
    """But for the time to stop, which follows the plan and is looked at by itself."""
    return [line for line in unit.splitlines() if not line.startswith("TimeoutStopSec=")]


def _budget(host: HostFacts, worst_case: float) -> Iterable[Finding]:
    allowed = host.service.stop_timeout if host.service else None
    if allowed is not None and worst_case > allowed:
        yield Finding(
            severity="error",
            code="budget",
            subject=GUESTS_SERVICE,
            what=f"the plan may take {worst_case:g} s, and {GUESTS_SERVICE} is given {allowed:g} s to stop",
            why="systemd ends the plan at that time, and kills what still runs",
            fix="virengine doctor --fix",
            fixable=True,
        )
    if host.session_timeout is not None and worst_case > host.session_timeout:
        yield Finding(
            severity="error",
            code="session-budget",
            subject="user@.service",
            what=f"the plan may take {worst_case:g} s, and the host gives all of your services "
            f"{host.session_timeout:g} s to stop",
            why="the host kills what still runs after that time",
            fix="systemctl edit user@.service, with a longer TimeoutStopSec in [Service]",
        )
    if host.inhibit_delay is not None and worst_case > host.inhibit_delay:
        yield _delay(host, worst_case)


def _delay(host: HostFacts, worst_case: float) -> Finding:
    """logind waits for the service only: nobody else takes an inhibitor."""
    what = f"logind waits {host.inhibit_delay:g} s for inhibitors (InhibitDelayMaxSec), the plan may take"
    if ENGINE_SERVICE not in host.installed:
        why = "the guests service holds the shutdown for as long as it needs: nothing depends on this"
        return Finding(severity="info", code="inhibit-delay", subject="logind", what=f"{what} longer", why=why)
    return Finding(
        severity="warning",
        code="inhibit-delay",
        subject="logind",
        what=f"{what} {worst_case:g} s",
        why="what is left of it then is done while the host stops everything else; and a host that sleeps may do so "
        "before guests are saved",
        fix="a longer InhibitDelayMaxSec in logind.conf" if host.user else "virengine doctor --fix",
        fixable=not host.user,
    )


def _scopes(domains: Sequence[DomainFacts], host: HostFacts) -> Iterable[Finding]:
    reverse = {domain.unit: domain.after for domain in domains if domain.unit}
    for domain in domains:
        scope = host.scopes.get(domain.unit)
        if domain.request is None:
            continue
        if scope is None or not scope.active:
            yield _homeless(domain)
            continue
        # an edge to a unit that does not live says nothing about this shutdown
        missing = [unit for unit in domain.after if unit in host.scopes and unit not in (*scope.after, domain.unit)]
        missing += [f"{SHUTDOWN_TARGET} (before)"] if SHUTDOWN_TARGET not in scope.before else []
        if missing:
            yield Finding(
                severity="error",
                code="scope-order",
                subject=domain.name,
                what=f"{domain.unit} is not ordered as the graph says: it lacks {', '.join(missing)}",
                why="without the guests service the host stops these in any order",
                fix="virengine doctor --fix",
                fixable=True,
            )
        against = [unit for unit in scope.after if domain.unit in reverse.get(unit, ())]
        if against:
            yield Finding(
                severity="warning",
                code="scope-reversed",
                subject=domain.name,
                what=f"{domain.unit} is still ordered after {', '.join(against)}: the graph has it the other way now",
                why="systemd can add an edge to a live unit, not take one away, and breaks a circle where it likes",
                fix=f"stop and start '{domain.name}' when that suits",
            )
        if scope.stop_timeout is not None and scope.stop_timeout < domain.request.stop_timeout:
            yield Finding(
                severity="warning",
                code="scope-timeout",
                subject=domain.name,
                what=f"{domain.unit} is given {scope.stop_timeout:g} s to stop, its ladder may take "
                f"{domain.request.stop_timeout:g} s",
                why="without the guests service the host kills it after that time",
                fix="virengine doctor --fix",
                fixable=True,
            )


def _homeless(domain: DomainFacts) -> Finding:
    reason = f": {domain.reason}" if domain.reason else f" ({domain.unit} is gone)" if domain.unit else ""
    return Finding(
        severity="error",
        code="no-scope",
        subject=domain.name,
        what=f"'{domain.name}' runs outside of any scope{reason}",
        why="systemd does not know that it must outlive the guests service",
        fix="virengine doctor --fix",
        fixable=True,
    )


async def gather(manager: ScopeManager, expected: Mapping[str, str], folder: Path) -> HostFacts:
    """Ask the host. Never raises for what is missing: the facts say so."""
    installed = await anyio.to_thread.run_sync(_read_units, folder, tuple(expected))
    try:
        scopes = {state.name: state for state in await manager.live_scopes()}
        service = await manager.unit_state(GUESTS_SERVICE)
        target = await manager.unit_state(SHUTDOWN_TARGET)
        delay = await manager.inhibit_delay()
        session = await manager.session_timeout()
    except EngineError as exc:
        return HostFacts(missing=str(exc), installed=installed, expected=expected, folder=folder)
    return HostFacts(
        scopes=scopes,
        service=service,
        target=target,
        installed=installed,
        expected=expected,
        folder=folder,
        inhibit_delay=delay,
        session_timeout=session,
        user=manager.user,
    )


def _read_units(folder: Path, names: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = (folder / name).read_text("utf-8", "replace")
        except OSError:
            continue
    return found


async def repair(
    findings: Sequence[Finding],
    domains: Sequence[DomainFacts],
    host: HostFacts,
    manager: ScopeManager,
    *,
    worst_case: float,
    create: Callable[[ScopeRequest], Awaitable[ScopeInfo]] | None = None,
    dry_run: bool = False,
) -> list[str]:
    """Mend what can be mended; what was done, a line each. Guests are neither started nor stopped by it.

    Args:
        create: puts a domain that runs outside of any scope into one; None: ``manager.create``.

    Raises:
        HostError: files can't be written. ScopeError, DBusError, ConnectionBroken: systemd does not do as asked.
    """
    codes = {finding.code for finding in findings if finding.fixable}
    done: list[str] = []
    if codes & {"no-service", "service-disabled", "units-outdated"} and host.expected:
        actions = await anyio.to_thread.run_sync(
            lambda: install.install_units(host.expected, host.folder, dry_run=dry_run)
        )
        done += [str(action) for action in actions if action.what != "keep"]
    if codes & {"no-service", "service-inactive"}:
        if not dry_run:
            await manager.reload()
            await manager.start_unit(GUESTS_SERVICE)
        done.append(f"start {GUESTS_SERVICE}")
    if "budget" in codes:
        action = await anyio.to_thread.run_sync(lambda: install.write_timeout(host.folder, worst_case, dry_run=dry_run))
        done.append(str(action))
    if "inhibit-delay" in codes:
        action = await anyio.to_thread.run_sync(lambda: install.write_delay(host.folder, worst_case, dry_run=dry_run))
        if not dry_run:
            await manager.reload_logind()
        done.append(str(action))
    crooked = {finding.subject for finding in findings if finding.code in ("scope-order", "scope-timeout")}
    orders = {
        domain.unit: UnitOrder(after=order_units(domain.request, domain.unit), stop_timeout=domain.request.stop_timeout)
        for domain in domains
        if domain.request and domain.name in crooked
    }
    if not dry_run and (orders or done):
        await manager.reorder(orders)
    done += [f"order {unit}" for unit in orders]
    homeless = {finding.subject for finding in findings if finding.code == "no-scope"}
    for domain in domains:
        if domain.request and domain.name in homeless:
            info = ScopeInfo() if dry_run else await (create or manager.create)(domain.request)
            done.append(f"scope for {domain.name}: {info.unit or info.reason or 'would be made'}")
    return done
