"""The engine as a hardened service of a host with guests: it comes and goes, and guests stay; the host goes, and guests
are stopped in order, with the service, without it, and when it dies in their midst.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from support.vm_host import Host, host

from engine.systemd.scope import ENGINE_SERVICE

pytestmark = [pytest.mark.systemd, pytest.mark.qemu, pytest.mark.timeout(180)]

GUESTS: dict[str, tuple[float, tuple[str, ...]]] = {
    "db": (0.5, ()),
    "cache": (0.5, ()),
    "app1": (0.5, ("db", "cache")),
    "app2": (0.6, ("db", "cache")),
    "app3": (0.7, ("db",)),
    "web1": (0.5, ("app1", "app2")),
    "web2": (0.6, ("app2", "app3")),
    "lb": (0.5, ("web1", "web2")),
    "mail": (0.8, ("db",)),
    "batch": (1.0, ()),
}


@pytest.fixture
def anyio_backend() -> str:
    """One backend: what is tried here is the host."""
    return "asyncio"


async def pids(stack: Host) -> dict[str, str]:
    """The process of each guest, as the host has it."""
    found = await stack.box.run(["pgrep", "--list-full", "qemu-system"])
    return {
        name: line.split()[0] for line in found.stdout.splitlines() for name in GUESTS if f"/host/{name}.img" in line
    }


async def main_pid(stack: Host) -> str:
    return (await stack.box.run(["systemctl", "show", "--value", "--property=MainPID", ENGINE_SERVICE])).stdout.strip()


async def test_guests_outlive_the_service(tmp_path: Path) -> None:
    async with host(tmp_path, GUESTS) as stack:
        await stack.install_units("--service")
        await stack.virengine("up")
        assert len(await pids(stack)) == len(GUESTS)
        print((await stack.box.run(["systemctl", "status", ENGINE_SERVICE])).stdout)
        print(await stack.box.journal("--unit", ENGINE_SERVICE))
        pid = (await pids(stack))["db"]
        print((await stack.box.run(["cat", f"/proc/{pid}/status", f"/proc/{pid}/cgroup"])).stdout)
        assert 0
