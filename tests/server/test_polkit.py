"""polkit itself, on a bus of its own, with rules of its own."""

from __future__ import annotations

import contextlib
import os
import pwd
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from engine.server.access.peers import Peer, process_started
from engine.server.access.polkit import Polkit
from engine.server.access.roles import Access
from engine.util.dbus import open_bus

pytestmark = [pytest.mark.anyio, pytest.mark.systemd]

BUS = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/>
<allow eavesdrop="true"/><allow own="*"/><allow user="*"/></policy></busconfig>
"""
RULE = """polkit.addRule(function(action, subject) {
    if (action.id == "org.virengine.operator" && subject.user == "nobody") return polkit.Result.YES;
});
"""
ACTIONS = Path(__file__).parents[2] / "engine" / "systemd" / "units" / "org.virengine.policy"
# polkit reads its files at places that can't be told it: it gets a view of its own of these
PRIVATE = """mount --make-rprivate / && mount --bind "$1/actions" /usr/share/polkit-1/actions \
    && mount --bind "$1/rules" /etc/polkit-1/rules.d && exec /usr/lib/polkit-1/polkitd --no-debug"""


@pytest.fixture
async def authority(anyio_backend: Any) -> AsyncIterator[str]:
    """The address of a bus where polkit is."""
    async with anyio.TemporaryDirectory(prefix="polkit") as name:  # others must come there
        folder = Path(name)
        for part, file, text in (("actions", ACTIONS.name, ACTIONS.read_text()), ("rules", "50.rules", RULE)):
            (folder / part).mkdir()
            (folder / part / file).write_text(text)
            (folder / part).chmod(0o755)
        folder.chmod(0o755)
        (folder / "bus.conf").write_text(BUS.format(path=folder / "bus"))
        command = ["dbus-daemon", f"--config-file={folder}/bus.conf", "--nofork", "--nopidfile", "--print-address"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as daemon:
            assert daemon.stdout is not None
            address = daemon.stdout.readline().strip()
            polkit = subprocess.Popen(
                ["unshare", "--mount", "sh", "-c", PRIVATE, "sh", str(folder)],
                env={**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": address},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            try:
                await _appeared(address, "org.freedesktop.PolicyKit1")
                yield address
            finally:
                for process in (polkit, daemon):
                    process.kill()
                    process.wait(10)


async def _appeared(address: str, name: str) -> None:
    async with open_bus(address) as bus, bus.watch_name(name) as watch:
        with anyio.fail_after(20):
            while watch.owner is None:
                await anext(watch)


@contextlib.contextmanager
def _somebody(user: str) -> Iterator[Peer]:
    found = pwd.getpwnam(user)
    with subprocess.Popen(["sleep", "60"], user=found.pw_uid, group=found.pw_gid, extra_groups=[]) as process:
        try:
            started = process_started(process.pid)
            yield Peer(name=f"user:{user}", uid=found.pw_uid, gid=found.pw_gid, pid=process.pid, started=started)
        finally:
            process.kill()


async def test_a_user_has_the_role_that_polkit_allows(authority: str) -> None:
    async with Polkit(authority) as polkit:
        access = Access({"viewer": ["user:bin"]}, others=polkit)
        for user, role in (("nobody", "operator"), ("bin", "viewer"), ("daemon", None)):
            with _somebody(user) as peer:
                assert await access.role_of(peer) == role


async def test_without_polkit_nobody_has_one() -> None:
    with _somebody("nobody") as peer:
        async with Polkit("unix:path=/nowhere") as polkit:
            assert await polkit.role_of(peer) is None
