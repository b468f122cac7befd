"""Does KVM really run a guest here? Opening ``/dev/kvm`` proves nothing: on some hosts it opens and guests hang.

So a guest is booted: the usual firmware, then a boot sector that writes one byte to a port, which ends QEMU
(``isa-debug-exit``: with status ``value * 2 + 1``). The firmware is what takes time, and what hangs: a handful of
instructions alone can work on a host where no system ever comes up. A good KVM takes a third of a second.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec

from engine.errors import HostError
from engine.util.files import write_atomic
from engine.util.process import Process, boot_id

__all__ = ["KvmProbe"]

_DEVICE = "/dev/kvm"
_ACCELERATOR = "kvm"
_SECONDS = 2.0
_ASK_AGAIN = 60.0
_VALUE = 0x2A
_clock = time.monotonic
# mov al, 0x2a; out 0xf4, al; hlt; jmp to hlt
_CODE = bytes([0xB0, _VALUE, 0xE6, 0xF4, 0xF4, 0xEB, 0xFD])
_DISK = (_CODE.ljust(510, b"\0") + b"\x55\xaa").ljust(1 << 20, b"\0")


class _Verdict(msgspec.Struct):
    boot: str
    emulator: str
    modified: int
    problem: str


# what was found is true until the host boots anew or the emulator changes
_known: dict[tuple[str, int], str] = {}
# what a busy host may be the reason for, and until when it is not asked anew: not in an event loop's time, which means
# nothing to the next loop
_doubtful: dict[tuple[str, int], tuple[float, str]] = {}


class KvmProbe:
    """Asks once for each emulator; ``cache`` is a file that remembers it across engines, or None."""

    def __init__(self, cache: Path | None) -> None:
        self._cache = cache
        self._lock = anyio.Lock()

    async def require(self, emulator: str) -> None:
        """Return when KVM runs guests. Takes two seconds at the most; what is sure is found out once.

        Raises:
            HostError: it does not; the sentence says why and what to do. Or it can't be tried just now.
        """
        async with self._lock:
            problem = await self._problem(emulator)
        if problem:
            raise HostError(f"KVM can't run guests on this host: {problem}; <domain type='qemu'> runs without it")

    async def _problem(self, emulator: str) -> str:
        problem, modified = await anyio.to_thread.run_sync(_look, emulator)
        if problem:
            return problem
        key = (emulator, modified)
        until, doubt = _doubtful.get(key, (0.0, ""))
        if _clock() < until:
            return doubt
        if key not in _known:
            found = await anyio.to_thread.run_sync(self._load, emulator, modified)
            if found is None:
                found, definite = await _probe(emulator)
                if not definite:
                    _doubtful[key] = (_clock() + _ASK_AGAIN, found)
                    return found
                await anyio.to_thread.run_sync(self._save, emulator, modified, found)
            _known[key] = found
        return _known[key]

    def _load(self, emulator: str, modified: int) -> str | None:
        if self._cache is None:
            return None
        try:
            verdict = msgspec.json.decode(self._cache.read_bytes(), type=_Verdict)
        except (OSError, msgspec.DecodeError):
            return None
        same = (verdict.boot, verdict.emulator, verdict.modified) == (boot_id(), emulator, modified)
        return verdict.problem if same else None

    def _save(self, emulator: str, modified: int, problem: str) -> None:
        if self._cache is None:
            return
        verdict = _Verdict(boot_id(), emulator, modified, problem)
        with contextlib.suppress(OSError):  # it is only asked again next time
            write_atomic(self._cache, msgspec.json.encode(verdict))


def _look(emulator: str) -> tuple[str, int]:
    """What is wrong already, or "", and when the emulator was changed. Asked each time: a module may have been loaded.

    Raises:
        HostError: the emulator is gone.
    """
    if not os.access(_DEVICE, os.F_OK):
        return f"there is no {_DEVICE}", 0
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return f"no permission to use {_DEVICE}", 0
    try:
        return "", Path(emulator).stat().st_mtime_ns
    except OSError as exc:
        raise HostError(f"{emulator}: {(exc.strerror or str(exc)).lower()}") from exc


async def _probe(emulator: str) -> tuple[str, bool]:
    """What is wrong with KVM ("": nothing), and whether that is sure: QEMU came to an end of its own.

    Raises:
        HostError: it can't be tried.
    """
    with contextlib.ExitStack() as undo:
        disk, output = _memory(undo), _memory(undo)
        os.write(disk, _DISK)
        argv = [emulator, "-nodefaults", "-no-user-config", "-display", "none", "-m", "4M"]
        argv += ["-machine", f"pc,accel={_ACCELERATOR}"]
        argv += ["-drive", f"if=ide,format=raw,file=/proc/self/fd/{disk}"]
        argv += ["-device", "isa-debug-exit,iobase=0xf4,iosize=1"]
        process = await anyio.to_thread.run_sync(lambda: Process.spawn(argv, output=output, fds=[disk]))
        undo.callback(process.close)
        try:
            with anyio.move_on_after(_SECONDS):
                await process.wait()
            status = process.status
        finally:
            process.kill()
            # what hangs in the kernel is not waited for, here or at the engine's end
            with anyio.move_on_after(1.0, shield=True):
                await process.wait()
        if status is None:
            return f"a trial guest did not come to its end within {_SECONDS:g} s", False
        if status == _VALUE * 2 + 1:
            return "", True
        words = os.pread(output, 4096, 0).decode(errors="replace").strip().splitlines()
        return words[-1] if words else f"a trial guest ended with status {status}", status >= 0


def _memory(undo: contextlib.ExitStack) -> int:
    """A file without a name."""
    try:
        fd = os.memfd_create("virengine-probe", os.MFD_CLOEXEC)
    except OSError as exc:
        raise HostError(f"no trial guest can be started: {(exc.strerror or str(exc)).lower()}") from exc
    undo.callback(os.close, fd)
    return fd
