"""Processes that outlive the engine: spawned without a shell and without pipes, watched and reaped by pidfd.

A process is named by ``Identity``: its PID alone may belong to another one tomorrow. Sources: pidfd_open(2), waitid(2),
proc(5) (``/proc/PID/stat``, field 22; ``/proc/sys/kernel/random/boot_id``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import anyio
import msgspec

from engine.errors import HostError, MissingProgram

__all__ = ["Identity", "Process", "boot_id", "find_process", "start_time"]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """One process, for ever.

    Attributes:
        pid: its number.
        started: clock ticks from the host's boot to its start.
        boot: the host's boot it belongs to.
    """

    pid: int
    started: int
    boot: str


# seconds: execve(2) has given up what its caller had open, locks too, a moment before the new command line can be seen
_BECOMES = 0.2

# our trouble, not the process's: whether it is there can't be told then, and a guest that runs must not be given up
_SHORT = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOMEM})


def _not_there(exc: OSError) -> None:
    """Return if the error says that there is no such process; raise HostError if it says nothing about it."""
    if exc.errno in _SHORT:
        raise HostError(f"processes can't be looked at: {(exc.strerror or str(exc)).lower()}") from exc


def boot_id() -> str:
    """Names the host's current boot. Raises HostError: no file can be opened."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError as exc:
        raise HostError(f"{exc.filename}: {(exc.strerror or str(exc)).lower()}") from exc


def start_time(pid: int) -> int | None:
    """Clock ticks from the host's boot to the start of ``pid``; None: there is no such process.

    Raises:
        HostError: it can't be told, as no file can be opened.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError as exc:
        _not_there(exc)
        return None
    # the name, in parentheses, may hold anything: the fields are counted from its end
    return int(text.rpartition(b")")[2].split()[19])


def find_process(*words: str) -> Identity | None:
    """The process (zombies apart) whose command line holds all ``words`` as arguments. Blocking: reads ``/proc``.

    Raises:
        HostError: it can't be told, as no file can be opened.
    """
    wanted = {word.encode() for word in words}
    try:
        entries = os.listdir("/proc")  # noqa: PTH208 - only the names
    except OSError as exc:
        _not_there(exc)
        return None
    left, until = [entry for entry in entries if entry.isdigit()], time.monotonic() + _BECOMES
    while left:
        early = []
        for entry in left:
            arguments = _arguments(entry)
            if wanted <= set(arguments) and (started := start_time(int(entry))) is not None:
                return Identity(pid=int(entry), started=started, boot=boot_id())
            if not arguments and _runs_a_program(entry):
                early.append(entry)
        left = early if time.monotonic() < until else []
        if left:
            time.sleep(0.002)  # nothing tells of it
    return None


def _arguments(entry: str) -> list[bytes]:
    try:
        found = Path(f"/proc/{entry}/cmdline").read_bytes()
    except OSError as exc:
        _not_there(exc)
        return []
    return found.split(b"\0") if found else []


def _runs_a_program(entry: str) -> bool:
    """Which a kernel thread and a zombie do not: without a command line it is just about to become another program."""
    try:
        os.readlink(f"/proc/{entry}/exe")  # noqa: PTH115 - the name alone is of no interest
    except OSError as exc:
        _not_there(exc)
        return False
    return True


class Process:
    """A process on this host. Close it when it is no longer watched; that never ends the process.

    Attributes:
        identity: which one it is.
        status: its exit status once it has ended and was this program's child: negative is a signal. Else None.
    """

    def __init__(self, identity: Identity, pidfd: int) -> None:
        self.identity = identity
        self.status: int | None = None
        self._pidfd = pidfd
        self._watched = False
        self._ended = False

    @property
    def pid(self) -> int:
        return self.identity.pid

    @property
    def ended(self) -> bool:
        """``wait`` has seen its end."""
        return self._ended

    @classmethod
    def spawn(
        cls, argv: Sequence[str], *, output: int, fds: Sequence[int] = (), env: Mapping[str, str] | None = None
    ) -> Process:
        """Start ``argv`` in a session of its own, in the folder ``/``. Blocking (a millisecond): call it in a thread.

        Args:
            output: descriptor for stdout and stderr; fds: descriptors it inherits under their own numbers.

        Raises:
            MissingProgram, HostError: it can't be run.
        """
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                pass_fds=fds,
                cwd="/",
                env=dict(env) if env is not None else None,
                start_new_session=True,
            )
        except FileNotFoundError as exc:
            raise MissingProgram(argv[0]) from exc
        except OSError as exc:
            raise HostError(f"{argv[0]} can't be run: {(exc.strerror or str(exc)).lower()}") from exc
        # reaped by pidfd below: neither its destructor nor subprocess's list of zombies is to touch it
        child.returncode = 0
        try:
            identity = Identity(pid=child.pid, started=start_time(child.pid) or 0, boot=boot_id())
            return cls(identity, os.pidfd_open(child.pid))
        except (OSError, HostError) as exc:
            os.kill(child.pid, signal.SIGKILL)
            os.waitpid(child.pid, 0)
            reason = (exc.strerror or str(exc)).lower() if isinstance(exc, OSError) else str(exc)
            raise HostError(f"{argv[0]} can't be watched: {reason}") from exc

    @classmethod
    def attach(cls, identity: Identity) -> Process | None:
        """The running process ``identity`` names; None: it is gone.

        Raises:
            HostError: it can't be told, as no file can be opened.
        """
        if identity.boot != boot_id():
            return None
        try:
            pidfd = os.pidfd_open(identity.pid)
        except OSError as exc:
            _not_there(exc)
            return None
        try:
            # in this order: what the descriptor holds can't be replaced by a process that started later
            same = start_time(identity.pid) == identity.started
        except HostError:
            os.close(pidfd)
            raise
        if not same:
            os.close(pidfd)
            return None
        return cls(identity, pidfd)

    async def wait(self) -> None:
        """Return when it has ended, and has been reaped if it was a child. Any number of tasks may wait."""
        if self._pidfd < 0 or self._ended:
            return
        if self._watched:  # only one task may wait for a descriptor
            own = os.dup(self._pidfd)
            try:
                await anyio.wait_readable(own)
            finally:
                os.close(own)
        else:
            self._watched = True
            try:
                await anyio.wait_readable(self._pidfd)
            finally:
                self._watched = False
        self._reap()

    def _reap(self) -> None:
        if self._ended or self._pidfd < 0:
            return  # another task was first
        self._ended = True
        with contextlib.suppress(ChildProcessError):  # adopted, or reaped already
            ended = os.waitid(os.P_PIDFD, self._pidfd, os.WEXITED | os.WNOHANG)
            if ended is not None:
                self.status = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal; fine when it is gone."""
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, number)

    def close(self) -> None:
        """Watch it no longer."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
