"""The doctor's judgement: facts in, findings out."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from engine.systemd import install
from engine.systemd.doctor import DomainFacts, Finding, HostFacts, examine, gather, repair
from engine.systemd.machines import ScopeManager
from engine.systemd.scope import GUESTS_SERVICE, SHUTDOWN_TARGET, ScopeRequest
from engine.systemd.state import UnitState

UNITS = install.render_units(["/bin/true"])
WEB, DB = "machine-qemu\\x2dweb.scope", "machine-qemu\\x2ddb.scope"


def scope(name: str, *after: str, stop_timeout: float = 90.0) -> UnitState:
    return UnitState(
        name=name, state="active", after=("machine.slice", *after), before=(SHUTDOWN_TARGET,), stop_timeout=stop_timeout
    )


def domain(name: str, unit: str, *after: str, **facts: object) -> DomainFacts:
    request = ScopeRequest(
        domain=name, uuid="0" * 32, connection="qemu:///system", leader=1, after=after, stop_timeout=60.0
    )
    return DomainFacts(**{"name": name, "unit": unit, "request": request, **facts})  # type: ignore[arg-type]


SERVICE = UnitState(name=GUESTS_SERVICE, state="active", after=(SHUTDOWN_TARGET,), stop_timeout=300.0, enabled=True)
HEALTHY = HostFacts(
    scopes={WEB: scope(WEB, DB), DB: scope(DB)},
    service=SERVICE,
    target=UnitState(name=SHUTDOWN_TARGET, state="active"),
    installed=UNITS,
    expected=UNITS,
    inhibit_delay=5.0,
)
DOMAINS = [domain("web", WEB, DB), domain("db", DB)]


def change(**facts: object) -> HostFacts:
    return msgspec.structs.replace(HEALTHY, **facts)


def codes(findings: list[Finding], *, info: bool = False) -> set[str]:
    return {finding.code for finding in findings if info or finding.severity != "info"}


def test_a_healthy_host_has_no_findings() -> None:
    findings = examine(DOMAINS, HEALTHY, worst_case=300)
    assert codes(findings) == set()
    assert codes(findings, info=True) == {"inhibit-delay"}
    assert examine(DOMAINS, HEALTHY, worst_case=4) == []


def test_logind_has_to_wait_where_there_is_a_service_that_makes_it_wait() -> None:
    units = install.render_units(["/bin/true"], socket=Path("/run/virengine/api.sock"))
    served = change(installed=units, expected=units)
    (finding,) = examine(DOMAINS, served, worst_case=300)
    assert (finding.severity, finding.code, finding.fixable) == ("warning", "inhibit-delay", True)
    (finding,) = examine(DOMAINS, msgspec.structs.replace(served, user=True), worst_case=300)
    assert not finding.fixable  # it is not the user's to say
    assert examine(DOMAINS, msgspec.structs.replace(served, inhibit_delay=300.0), worst_case=300) == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (change(service=None), {"no-service"}),
        (change(service=msgspec.structs.replace(SERVICE, state="failed")), {"service-inactive"}),
        (change(service=msgspec.structs.replace(SERVICE, enabled=False)), {"service-disabled"}),
        (change(service=msgspec.structs.replace(SERVICE, after=())), {"no-target"}),
        (change(target=None), {"no-target"}),
        (change(target=UnitState(name=SHUTDOWN_TARGET, state="inactive")), {"no-target"}),
        (change(installed={**UNITS, GUESTS_SERVICE: "old"}), {"units-outdated"}),
        (change(installed=install.render_units(["/bin/true"], timeout=999)), set()),
        (change(service=msgspec.structs.replace(SERVICE, stop_timeout=299.0)), {"budget"}),
        (change(service=msgspec.structs.replace(SERVICE, stop_timeout=float("inf"))), set()),
        (change(scopes={WEB: scope(WEB), DB: scope(DB)}), {"scope-order"}),
        (change(scopes={WEB: scope(WEB, DB), DB: scope(DB, WEB)}), {"scope-reversed"}),
        (change(scopes={WEB: scope(WEB, DB), DB: scope(DB, stop_timeout=59.0)}), {"scope-timeout"}),
        (change(scopes={DB: scope(DB)}), {"no-scope"}),
        (change(missing="no systemd on this host"), {"no-systemd"}),
        (change(session_timeout=299.0), {"session-budget"}),
        (change(session_timeout=300.0), set()),
        (
            change(scopes={WEB: msgspec.structs.replace(scope(WEB, DB), before=()), DB: scope(DB)}),
            {"scope-order"},
        ),
    ],
)
def test_each_ill_has_its_finding(host: HostFacts, expected: set[str]) -> None:
    findings = examine(DOMAINS, host, worst_case=300)
    assert codes(findings) == expected
    for finding in findings:
        assert finding.what
        assert finding.why
        assert finding.fix or finding.severity == "info"


def test_a_domain_that_no_ladder_stops_is_told_even_without_systemd() -> None:
    stubborn = domain("web", WEB, DB, unstoppable="it has no agent, and ACPI is off")
    assert codes(examine([stubborn, DOMAINS[1]], HEALTHY, worst_case=1)) == {"no-ladder"}
    findings = examine([stubborn], HostFacts(missing="none"), worst_case=1)
    assert [finding.severity for finding in findings] == ["error", "warning"]


def test_without_guests_a_host_without_systemd_is_no_ill() -> None:
    assert [finding.severity for finding in examine([], HostFacts(missing="none"), worst_case=0)] == ["info"]


def test_domains_without_processes_here_need_no_scope() -> None:
    assert examine([DomainFacts(name="remote")], HEALTHY, worst_case=0) == []


def test_an_edge_to_a_unit_that_does_not_live_is_not_missed() -> None:
    web = domain("web", WEB, "machine-qemu\\x2dcache.scope")
    assert codes(examine([web], HEALTHY, worst_case=0)) == set()


async def test_gather_and_repair_where_no_systemd_runs(tmp_path: Path) -> None:
    folder = tmp_path / "units"
    install.install_units(UNITS, folder)
    async with ScopeManager(runtime_dir=tmp_path / "nowhere") as scopes:
        host = await gather(scopes, UNITS, folder)
        assert "nowhere" in host.missing
        assert host.installed == UNITS
        findings = examine(DOMAINS, host, worst_case=10)
        assert codes(findings) == {"no-systemd"}
        assert await repair(findings, DOMAINS, host, scopes, worst_case=10) == []
