"""A Linux guest with a real agent."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from support.guests import linux_guest
from support.qemu_domains import boot_sector_domain, said, serial, wait_said

from engine import (
    AgentConnected,
    AgentDisconnected,
    AgentError,
    Domain,
    DomainEvent,
    DomainRebooted,
    DomainStopped,
    Engine,
    State,
)

pytestmark = [pytest.mark.qemu, pytest.mark.linux_guest]

CHANNEL = "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"


def document(folder: Path, *, devices: str = CHANNEL, **parameters: object) -> str:
    guest = linux_guest(**parameters)  # type: ignore[arg-type]
    return f"""<domain type='qemu'><name>web</name><memory unit='MiB'>96</memory>
<os><type machine='pc'>hvm</type><kernel>{guest.kernel}</kernel><initrd>{guest.initrd}</initrd>
<cmdline>{guest.cmdline}</cmdline></os><features><acpi/></features>
<devices><serial type='file'><source path='{serial("web", folder)}'/></serial>{devices}</devices></domain>"""


@asynccontextmanager
async def running(folder: Path, text: str, state_dir: Path | None = None) -> AsyncIterator[tuple[Engine, Domain]]:
    with anyio.fail_after(100):
        async with Engine("qemu:///session", state_dir=state_dir, systemd=False, on_close="leave") as engine:
            web = await engine.define(text)
            try:
                await web.start()
                yield engine, web
            finally:
                if state_dir is None:
                    with anyio.CancelScope(shield=True):
                        if web.active:
                            await web.destroy()


async def test_a_life_with_an_agent(tmp_path: Path) -> None:
    """One guest, as a Linux takes its time: its agent is waited for, its port leads in, it is taken over, it reboots,
    and it is powered off."""
    state = tmp_path / "state"
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        port = reserved.getsockname()[1]
    card = f"""<interface type='user'><model type='virtio'/><portForward proto='tcp' address='127.0.0.1'>
<range start='{port}' to='8080'/></portForward></interface>"""

    def ask() -> bytes:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30) as answer:
            body: bytes = answer.read()
            return body

    text = document(tmp_path, devices=CHANNEL + card, http=8080, ignore_button=True)
    async with running(tmp_path, text, state) as (engine, web):
        await web.wait_agent()
        await web.wait_agent()
        await wait_said(web, tmp_path)
        assert await anyio.to_thread.run_sync(ask) == b"ready\n"
    with anyio.fail_after(100):
        async with Engine("qemu:///session", state_dir=state, systemd=False, on_close="leave") as engine:
            web = engine.domain("web")
            try:
                await web.wait_agent()
                async with engine.subscribe(DomainEvent, domain="web") as events:
                    await web.reboot(method="agent")
                    seen: list[type[DomainEvent]] = []
                    async for event in events:
                        seen.append(type(event))
                        if seen[-1] is AgentConnected:
                            break
                    assert [each for each in seen if each in (AgentDisconnected, DomainRebooted)]
                    await web.wait_agent()
                    assert web.state is State.RUNNING
                    await web.shutdown()  # by the agent, since it is there: the button is ignored
                    async for event in events:
                        if isinstance(event, DomainStopped):
                            assert event.detail == "shutdown"
                            break
                assert "agent" in said("web", tmp_path)
                assert "button" not in said("web", tmp_path)
            finally:
                with anyio.CancelScope(shield=True):
                    if web.active:
                        await web.destroy()


async def test_a_domain_without_a_channel_has_no_agent(tmp_path: Path) -> None:
    async with running(tmp_path, boot_sector_domain("web", tmp_path)) as (_, web):
        with pytest.raises(AgentError, match="has no guest agent channel"):
            await web.wait_agent()
        with pytest.raises(AgentError, match="has no guest agent channel"):
            await web.shutdown(method="agent")


async def test_waiting_for_an_agent_ends_with_the_guest(tmp_path: Path) -> None:
    text = boot_sector_domain("web", tmp_path, devices=CHANNEL, exit_after=0.3)
    async with running(tmp_path, text) as (_, web):
        with pytest.raises(AgentError):
            await web.wait_agent()
