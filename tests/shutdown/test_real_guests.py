"""Order with real QEMU guests: their serial lines say what was done to them, and when."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest
from support.qemu_domains import boot_sector_domain, said, serial

from engine import DomainReady, DomainStarted, DomainStopped, DomainStopTried, Engine, Event

pytestmark = pytest.mark.qemu

PATIENCE = 100.0
READY = "<order:ready gate='serial' pattern='^ready$' timeout='60'/>"
LADDER = """<order:stop><order:try method='acpi' timeout='{acpi}' repeat='{repeat}'/>
<order:try method='save' timeout='60'/></order:stop>"""


def order(*after: str, acpi: float = 30.0, repeat: float = 0.0) -> str:
    edges = "".join(f"<order:requires domain='{name}'/>" for name in after)
    ladder = LADDER.format(acpi=acpi, repeat=repeat)
    return f"<order:order xmlns:order='urn:virengine:order:1'>{edges}{READY}{ladder}</order:order>"


async def test_a_stack_of_real_guests_comes_up_when_ready_and_goes_down_in_order(tmp_path: Path) -> None:
    """db takes 0.3 s to be ready and to power off; app hears the second press only; lb never, and is saved."""
    guests = {
        "db": {"metadata": order(), "delay": 0.3, "ready_after": 0.3},
        "app": {"metadata": order("db", repeat=0.4), "ignore_button": 1},
        "lb": {"metadata": order("app", acpi=0.5), "ignore_button": True},
    }
    with anyio.fail_after(PATIENCE):
        async with Engine("qemu:///session", on_close="leave", systemd=False) as engine:
            for name, facts in guests.items():
                await engine.define(boot_sector_domain(name, tmp_path, **facts))  # type: ignore[arg-type]
            async with engine.subscribe(DomainReady, DomainStarted, DomainStopped, DomainStopTried) as events:
                seen: list[Event] = []
                try:
                    up = await engine.up()
                    assert up.ok, str(up)
                    assert [said(name, tmp_path) for name in guests] == [["ready"]] * 3
                    down = await engine.down()
                finally:
                    with anyio.CancelScope(shield=True):
                        for domain in engine.domains():
                            if domain.active:
                                await domain.destroy()
                async for event in events:
                    seen.append(event)
                    if isinstance(event, DomainStopped) and event.domain == "db":
                        break
            assert down.ok, str(down)
            assert {name: down[name].outcome for name in guests} == {"db": "stopped", "app": "stopped", "lb": "saved"}
            assert said("db", tmp_path) == ["ready", "button", "off"]
            assert said("app", tmp_path) == ["ready", "button", "button", "off"]
            assert said("lb", tmp_path) == ["ready", "button"]
            told = [(type(event).__name__, event.domain) for event in seen if not isinstance(event, DomainStopTried)]
            assert told == [
                ("DomainStarted", "db"),
                ("DomainReady", "db"),
                ("DomainStarted", "app"),
                ("DomainReady", "app"),
                ("DomainStarted", "lb"),
                ("DomainReady", "lb"),
                ("DomainStopped", "lb"),
                ("DomainStopped", "app"),
                ("DomainStopped", "db"),
            ]
            stopped = {event.domain: event.sequence for event in seen if isinstance(event, DomainStopped)}
            tried = {event.domain: event.sequence for event in reversed(seen) if isinstance(event, DomainStopTried)}
            assert stopped["lb"] < tried["app"]
            assert stopped["app"] < tried["db"]


async def test_the_serial_gate_reads_a_pty(tmp_path: Path) -> None:
    """QEMU looks once a second whether somebody has the pty open, so the guest speaks after that only."""
    xml = boot_sector_domain("web", tmp_path, metadata=order(), ready_after=2.5)
    xml = xml.replace(
        f"<serial type='file'><source path='{serial('web', tmp_path)}'/></serial>", "<serial type='pty'/>"
    )
    assert "type='pty'" in xml
    with anyio.fail_after(PATIENCE):
        async with Engine("qemu:///session", on_close="leave", systemd=False) as engine:
            web = await engine.define(xml)
            try:
                await web.start()
                assert not web.ready
                await web.wait_ready()
            finally:
                with anyio.CancelScope(shield=True):
                    if web.active:
                        await web.destroy()
