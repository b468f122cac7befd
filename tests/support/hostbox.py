"""A whole host in a box: a real systemd as PID 1, with D-Bus, machined and logind, that can really be powered off.

    async with Hostbox.boot(tmp_path) as box:
        box.put("/etc/systemd/system/it.service", UNIT)
        await box.run(["systemctl", "daemon-reload"])
        await box.run(["systemctl", "start", "it.service"])
        assert await box.poweroff() == "poweroff"
        assert "it stopped" in await box.journal("--unit", "it.service")
        assert (box.share / "it.log").read_text() == "bye\\n"

The box sees this machine's programs and files, the project and its environment at their own paths, and may write
anywhere: nothing it writes leaves it, except in /host, which is ``box.share`` outside. It has PID, mount, cgroup, UTS,
IPC and network namespaces of its own, no network but ``lo`` and what it makes itself, no devices but null, zero, full,
random, tty, terminals and taps (no /dev/kvm). It dies with the test, whichever way that ends. It takes root, and a
cgroup2 mount to write to. The controllers (cpu, memory, io) are there only if the machine runs them in cgroup2: where
they are bound to cgroup v1 a unit keeps its limits as properties, and the kernel doesn't enforce them.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Literal

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from support.cache import TESTS, cache_dir

LAUNCHER = Path(__file__).with_name("hostbox_launch.py")
PATH = f"{sys.prefix}/bin:/usr/sbin:/usr/bin:/sbin:/bin"
TIMEOUT = 60.0
"""Seconds that a boot, a command or a power-off may take."""

NAMESPACES = {"mount": "mnt", "pid": "pid", "cgroup": "cgroup", "uts": "uts", "ipc": "ipc", "net": "net"}

Layers = Literal["overlay", "binds"]


class HostboxError(RuntimeError):
    """The host did not boot, or a command in it failed; the message holds what they said."""


class Hostbox:
    """A host that is booting, up or down. ``pid`` is its PID 1, seen from outside."""

    def __init__(self, launcher: Process, work: Path, share: Path, cgroup: Path) -> None:
        assert launcher.stdin and launcher.stdout
        self.share = share
        self.cgroup = cgroup
        self.pid = 0
        self.ended: str | None = None
        self._stdin = launcher.stdin
        self._fd = -1
        self._host = Path("/nonexistent")
        self._words = BufferedByteReceiveStream(launcher.stdout)
        self._laid = Path(f"/proc/{launcher.pid}/root{work}/root")

    @classmethod
    @asynccontextmanager
    async def boot(
        cls,
        folder: Path,
        *,
        files: Mapping[str, str | bytes] | None = None,
        layers: Layers | None = None,
    ) -> AsyncIterator[Hostbox]:
        """Boots a host and powers nothing off when left: what still runs in it then is killed with it.

        folder: a folder of the test's own, in which the host finds ``share`` and the launcher its mount point.
        files: what to put in place before systemd starts, by path in the host.
        layers: how the root is made; None is an overlay if the kernel has it, else bind mounts.

        Raises HostboxError, with the end of the console, if it does not come up within TIMEOUT.
        """
        share, work = folder / "share", folder / "root"
        share.mkdir(exist_ok=True)
        work.mkdir(exist_ok=True)
        cgroup = cgroup_mount() / f"virengine-hostbox-{os.getpid()}-{os.urandom(4).hex()}"
        spec = {"work": work, "share": share, "cgroup": cgroup, "readable": _hidden(), "layers": layers or _layers()}
        command = [sys.executable, "-I", os.fspath(LAUNCHER), json.dumps(spec, default=os.fspath)]
        async with await anyio.open_process(command, stderr=None, start_new_session=True) as launcher:
            box = cls(launcher, work, share, cgroup)
            try:
                try:
                    with anyio.fail_after(TIMEOUT):
                        await box._start(files or {})
                except TimeoutError as late:
                    raise HostboxError(f"not up within {TIMEOUT} s; the console says\n{box.console()}") from late
                yield box
            finally:
                with anyio.CancelScope(shield=True):
                    await box._stdin.aclose()  # the launcher kills what is left, tidies up and goes
                    await launcher.wait()
                    if box._fd >= 0:
                        os.close(box._fd)

    async def _start(self, files: Mapping[str, str | bytes]) -> None:
        await self._expect("laid")
        for path, content in files.items():
            self.put(path, content)
        await self._stdin.send(b"go\n")
        self.pid = int(await self._expect("pid"))
        # a descriptor stays this process's; a number may become another's, and a command run on this machine itself
        self._fd = os.open(f"/proc/{self.pid}", os.O_RDONLY | os.O_DIRECTORY)
        self._host = Path(f"/proc/{os.getpid()}/fd/{self._fd}")
        await self._expect("ready")

    async def run(
        self,
        command: Sequence[str | os.PathLike[str]],
        *,
        check: bool = True,
        input: str = "",
        env: Mapping[str, str] | None = None,
        cwd: str = "/",
        timeout: float = TIMEOUT,
    ) -> subprocess.CompletedProcess[str]:
        """Runs a command as root in the host, as if from a console: in no unit but init.scope. Its PATH begins with the
        project's environment. With ``check``, raises HostboxError with its output if it fails.

        What it leaves running stays, and must not keep its output open. If the wait for it is cancelled, or takes
        ``timeout`` seconds, the command is killed.
        """
        words = [os.fspath(word) for word in command]
        variables = {"PATH": PATH, "HOME": "/root", "LANG": "C.UTF-8", **(env or {})}
        clean = ["env", "-i", f"--chdir={cwd}", *(f"{name}={value}" for name, value in variables.items())]
        inside = ["setpriv", "--pdeathsig", "KILL", *clean, *words]
        enter = ["nsenter", *(f"--{name}={self._host}/ns/{file}" for name, file in NAMESPACES.items())]
        enter += [f"--root={self._host}/root", "--", *inside]
        join = f'echo $$ > {self.cgroup}/init.scope/cgroup.procs && exec "$@"'
        with anyio.fail_after(timeout):
            done = await anyio.run_process(["sh", "-c", join, "sh", *enter], input=input.encode(), check=False)
        out, err = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
        if check and done.returncode:
            raise HostboxError(f"{words} ended with {done.returncode}:\n{out}{err}")
        return subprocess.CompletedProcess(words, done.returncode, out, err)

    async def poweroff(self, timeout: float = TIMEOUT) -> str:
        """Powers the host off as its administrator would, waits for its end and returns how it ended: ``poweroff``."""
        with anyio.fail_after(timeout):
            asked = await self.run(["systemctl", "poweroff"], check=False, timeout=timeout)
            if asked.returncode > 0:  # what it asked for may kill the command itself: that is no failure
                raise HostboxError(f"systemctl poweroff ended with {asked.returncode}: {asked.stderr}")
            return await self.wait()

    async def wait(self) -> str:
        """Waits for the end of the host: ``poweroff`` (also halt), ``reboot``, ``killed``, or how else PID 1 died."""
        if self.ended is None:
            self.ended = await self._expect("end")
        return self.ended

    def kill(self) -> None:
        """Pulls the plug."""
        signal.pidfd_send_signal(self._fd, signal.SIGKILL)

    def path(self, path: str | os.PathLike[str]) -> Path:
        """Where the outside finds a path of the host: as its PID 1 sees it, and, once it is down, as its disk holds it.

        What lay in /run, /tmp, /dev and /proc is as far away then as on any host that is off.
        """
        up = self.pid and self.ended is None
        return _within(self._host / "root" if up else self._laid, os.fspath(path))

    def put(self, path: str | os.PathLike[str], content: str | bytes) -> None:
        """Writes a file in the host, with the folders it takes, in the place of what is there (also of a link).

        A script (what begins with ``#!``) can be executed.
        """
        code = content.encode() if isinstance(content, str) else content
        folder, name = os.path.split(path)
        target = self.path(folder) / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_symlink():
            target.unlink()
        target.write_bytes(code)
        target.chmod(0o755 if code.startswith(b"#!") else 0o644)

    def read(self, path: str | os.PathLike[str]) -> str:
        """The text of a file of the host, up or down."""
        return self.path(path).read_text(errors="replace")

    def console(self) -> str:
        """What systemd and the host's programs wrote to /dev/console."""
        return (self.share / "console.log").read_text(errors="replace")

    async def journal(self, *options: str) -> str:
        """What journalctl prints of the host's journal, whether it is up or down; see journalctl(1) for the options."""
        command = ["journalctl", "--no-pager", "--quiet", f"--directory={self.path('/var/log/journal')}", *options]
        return (await anyio.run_process(command)).stdout.decode(errors="replace")

    async def _expect(self, word: str) -> str:
        """The rest of the launcher's next line, which must begin with the word."""
        try:
            line = (await self._words.receive_until(b"\n", 4096)).decode()
        except (anyio.IncompleteRead, anyio.EndOfStream):
            line = "the launcher ended"
        said, _, rest = line.partition(" ")
        if said != word:
            raise HostboxError(f"{line!r} instead of {word!r}; the console says\n{self.console()}")
        return rest


@cache
def unavailable() -> str | None:
    """Why no host can be booted here, or None."""
    if os.geteuid() != 0:
        return "a hostbox takes root"
    wanted = {"systemd": "/lib/systemd/systemd", "systemd-container": "/lib/systemd/systemd-machined"}
    wanted |= {"dbus": "/usr/bin/dbus-daemon", "util-linux": "/usr/bin/nsenter"}
    if missing := [package for package, program in wanted.items() if not Path(program).exists()]:
        return f"a hostbox takes {' and '.join(missing)}: apt-get install {' '.join(missing)}"
    try:
        probe = cgroup_mount() / f"virengine-probe-{os.getpid()}"
        probe.mkdir()
        probe.rmdir()
    except (HostboxError, OSError) as why:
        return f"a hostbox takes a cgroup2 mount that it may write to: {why}"
    namespaces = ["unshare", "--mount", "--pid", "--fork", "--cgroup", "--uts", "--ipc", "--net", "true"]
    probed = subprocess.run(namespaces, capture_output=True, text=True, check=False)
    return f"a hostbox takes namespaces: {probed.stderr.strip()}" if probed.returncode else None


def cgroup_mount() -> Path:
    """Where cgroup2 is mounted: in /sys/fs/cgroup, or beside the controllers of version 1."""
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = line.partition(" - ")
        if kind.startswith("cgroup2 "):
            return Path(fields.split()[4])
    raise HostboxError("cgroup2 is not mounted")


def _within(root: Path, path: str) -> Path:
    """A path as a process with that root would find it: a link in it must not lead to this machine's files."""
    found, todo = root, path.split("/")[::-1]
    while todo:
        name = todo.pop()
        if name in ("", "."):
            continue
        if name == "..":
            found = root if found == root else found.parent
        elif (found / name).is_symlink():
            link = os.readlink(found / name)
            found = root if link.startswith("/") else found
            todo += link.split("/")[::-1]
        else:
            found /= name
    return found


def _hidden() -> list[str]:
    """What a host needs of this machine and would not see: what lies on another file system than / or in a folder that
    the host has for itself."""
    needed = {str(TESTS.parent), sys.prefix, sys.base_prefix, str(cache_dir())}
    root = Path("/").stat().st_dev
    own = ("/tmp/", "/run/", "/dev/")
    return sorted(path for path in needed if Path(path).stat().st_dev != root or path.startswith(own))


def _layers() -> Layers:
    known = Path("/proc/filesystems").read_text().split()
    if "overlay" not in known and shutil.which("modprobe"):
        subprocess.run(["modprobe", "--quiet", "overlay"], check=False)
        known = Path("/proc/filesystems").read_text().split()
    return "overlay" if "overlay" in known else "binds"
