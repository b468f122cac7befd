"""From a command line to a process: what must be on the host before QEMU runs, and the start itself. Blocking."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from engine.conf import DomainDefinition
from engine.conf.devices import MachineDefinition
from engine.drivers.qemu.command import Command, Plan, build
from engine.drivers.qemu.diary import Diary
from engine.drivers.qemu.options import Places
from engine.drivers.qemu.tap import close_taps, open_taps
from engine.errors import HostError, MissingProgram
from engine.util.process import Process

__all__ = ["Launched", "Log", "console_log", "find_emulator", "launch", "monitor_path"]

_KEPT = ("PATH", "HOME", "TMPDIR", "XDG_RUNTIME_DIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")


class Launched(msgspec.Struct, kw_only=True):
    """A QEMU that was started a moment ago.

    Attributes:
        command: what it was started with.
        process: QEMU; tpm: the swtpm beside it.
        interfaces: the host's indexes of its tap devices.
        console_offset: where in its console's file this run begins.
        keep: a descriptor to close once QEMU speaks.
    """

    command: Command
    process: Process
    tpm: Process | None
    interfaces: list[int]
    console_offset: int
    keep: int

    def release(self) -> None:
        if self.keep >= 0:
            os.close(self.keep)
            self.keep = -1

    def undo(self) -> None:
        """Nobody wants it any more. Blocking for the moment a process takes to die."""
        self.release()
        for process in (self.process, self.tpm):
            if process is not None:
                _end(process)


class Log:
    """The file with QEMU's own words; ``tail`` is what was added since it was opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._begin = 0

    def open(self, header: str) -> int:
        """A descriptor to append with. Raises OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(fd, header.encode())
            self._begin = os.fstat(fd).st_size
        except BaseException:
            os.close(fd)
            raise
        return fd

    def tail(self) -> str:
        """QEMU's last words, in one line, without its time stamps and its own name."""
        try:
            with self.path.open("rb") as file:
                file.seek(max(self._begin, file.seek(0, os.SEEK_END) - 4096))
                text = file.read(4096).decode(errors="replace")
        except OSError:
            return ""
        lines = []
        for line in text.splitlines():
            stamp, _, rest = line.partition(" ")
            line = rest if stamp.endswith("Z") and stamp[:4].isdigit() else line
            program, colon, rest = line.partition(": ")
            lines.append(rest if colon and "qemu" in program and " " not in program else line)
        # QEMU's report of each pty is no complaint
        told = [line.strip() for line in lines if line.strip() and not line.startswith("char device redirected")]
        return "; ".join(told[-5:])


def find_emulator(name: str) -> str:
    """The path of the emulator.

    Raises:
        MissingProgram: it is not there.
    """
    path = shutil.which(name)
    if path is None:
        hint = "install qemu-system-x86 (Debian), qemu-kvm (Fedora), or correct <emulator>"
        raise MissingProgram(name, hint)
    return path


def monitor_path(runtime: Path) -> Path:
    return runtime / "qmp.sock"


def launch(
    definition: DomainDefinition,
    machine: MachineDefinition,
    plan: Plan,
    *,
    emulator: str,
    runtime: Path,
    log: Log,
    tpm_state: Path,
    incoming: bool,
) -> Launched:
    """Make sockets, tap devices and TPM, and start QEMU, its CPUs stopped.

    Args:
        tpm_state: the folder for the TPM's state; incoming: it will be told to read a saved state.

    Raises:
        HostError, MissingProgram: nothing is left then.
    """
    try:
        with contextlib.ExitStack() as undo, _closing() as ours:
            monitor = _listen(monitor_path(runtime), ours)
            keep = Diary(runtime).prepare()
            undo.callback(os.close, keep)
            taps, indexes = open_taps(plan.taps, _macs(machine, plan))
            undo.callback(close_taps, taps)
            tpm, tpm_fd = _start_tpm(plan.tpm, tpm_state, log, ours) if plan.tpm else (None, -1)
            if tpm is not None:
                undo.callback(_end, tpm)
            places = Places(
                emulator=emulator,
                runtime=str(runtime),
                console_log=console_log(definition, log.path),
                monitor=monitor,
                tpm=max(tpm_fd, 0),
                taps=taps,
            )
            command = build(definition, places, machine=machine)
            argv = command.argv + (["-incoming", "defer"] if incoming else [])
            when = time.strftime("%Y-%m-%d %H:%M:%S+0000", time.gmtime())
            output = log.open(f"{when}: starting {shlex.join(argv)}\n")
            ours.append(output)
            offset = _console_offset(command)
            fds = [monitor, *taps.values(), *([tpm_fd] if tpm_fd >= 0 else [])]
            process = Process.spawn(argv, output=output, fds=fds, env=_environment())
            close_taps(taps)
            undo.pop_all()
            return Launched(
                command=command, process=process, tpm=tpm, interfaces=indexes, console_offset=offset, keep=keep
            )
    except OSError as exc:
        where = f"{exc.filename}: " if exc.filename else ""
        raise HostError(f"{where}{(exc.strerror or str(exc)).lower()}") from exc


@contextlib.contextmanager
def _closing() -> Iterator[list[int]]:
    """Descriptors that QEMU inherits, and that are not ours any more afterwards."""
    fds: list[int] = []
    try:
        yield fds
    finally:
        for fd in fds:
            os.close(fd)


def _listen(path: Path, ours: list[int]) -> int:
    """A socket QEMU will accept on. It listens already: connecting to it never has to be tried again."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    ours.append(fd := listener.detach())
    with socket.socket(fileno=os.dup(fd)) as duplicate:
        duplicate.bind(str(path))
        path.chmod(0o600)
        duplicate.listen(8)  # QEMU makes that 1 when it takes it over
    return fd


def _macs(machine: MachineDefinition, plan: Plan) -> list[str]:
    """The MAC of each card that has a tap device."""
    given = [machine.devices.interfaces[tap.index].mac for tap in plan.taps]
    return [mac.address if mac else "52:54:00:00:00:00" for mac in given]


def console_log(definition: DomainDefinition, log: Path) -> str:
    """Where the console is written down, beside the log; "": nowhere. What a gate watches from its start on must be: a
    pty forgets what nobody reads."""
    if any(gate.kind == "serial" for gate in definition.order.gates):
        return str(log.with_name(f"{log.stem}.console.log"))
    return ""


def _console_offset(command: Command) -> int:
    """Bytes that an earlier run left in the console's file."""
    characters = command.characters
    if not (characters.console and characters.appended):
        return 0
    try:
        return Path(characters.console).stat().st_size
    except FileNotFoundError:
        return 0


def _environment() -> dict[str, str]:
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return {"PATH": os.defpath, **kept, "LC_ALL": "C"}


def _start_tpm(version: str, state: Path, log: Log, ours: list[int]) -> tuple[Process, int]:
    """swtpm, and QEMU's end of its control channel. It ends by itself when QEMU closes that."""
    program = shutil.which("swtpm")
    if program is None:
        raise MissingProgram("swtpm", "<tpm> needs it")
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    its, qemus = socket.socketpair()
    ours += [its_fd := its.detach(), qemus_fd := qemus.detach()]
    # by a descriptor: its options have no way to say a path with a comma
    ours.append(folder := os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    kept = f"dir=/proc/self/fd/{folder},mode=0600"
    argv = [program, "socket", "--tpmstate", kept, "--ctrl", f"type=unixio,clientfd={its_fd}"]
    argv += ["--terminate", "--flags", "startup-clear"] if version == "1.2" else ["--tpm2", "--terminate"]
    output = log.open("")
    ours.append(output)
    return Process.spawn(argv, output=output, fds=[its_fd, folder], env=_environment()), qemus_fd


def _end(process: Process) -> None:
    process.kill()
    with contextlib.suppress(ChildProcessError):
        os.waitpid(process.pid, 0)
    process.close()
