"""Processes by pidfd."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import msgspec
import pytest

from engine.errors import HostError, MissingProgram
from engine.util.process import Identity, Process, boot_id, find_process, start_time


@pytest.fixture
def output() -> Iterator[int]:
    with tempfile.TemporaryFile() as file:
        yield file.fileno()


async def test_a_status(output: int) -> None:
    process = Process.spawn(["/bin/sh", "-c", "pwd; exit 7"], output=output)
    await process.wait()
    assert process.status == 7
    assert not Path(f"/proc/{process.pid}").exists(), "it was reaped"
    assert os.pread(output, 100, 0) == b"/\n"
    await process.wait()
    process.kill()  # of something that is gone: fine
    process.close()
    process.close()


async def test_a_signal_and_many_waiters(output: int) -> None:
    process = Process.spawn(["sleep", "60"], output=output)
    assert os.getsid(process.pid) == process.pid, "it has a session of its own"
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(process.wait)
            await anyio.wait_all_tasks_blocked()
            process.kill(signal.SIGTERM)
    assert process.status == -signal.SIGTERM
    process.close()


async def test_a_wait_can_be_cancelled(output: int) -> None:
    process = Process.spawn(["sleep", "60"], output=output)
    with anyio.move_on_after(0.02) as waiting:
        await process.wait()
    assert waiting.cancelled_caught
    process.kill()
    await process.wait()
    process.close()


async def test_it_inherits_what_it_is_given_and_nothing_else(output: int) -> None:
    read, write = os.pipe()
    other, other_write = os.pipe()
    program = f"import os; os.write({write}, b'here'); print(sorted(map(int, os.listdir('/proc/self/fd')))[:4])"
    process = Process.spawn([sys.executable, "-c", program], output=output, fds=[write])
    os.close(write)
    await process.wait()
    assert os.read(read, 10) == b"here"
    listed = os.pread(output, 100, 0).decode()
    assert str(other) not in listed.replace(str(write), "")
    for fd in (read, other, other_write):
        os.close(fd)
    process.close()


def test_what_can_not_be_run(output: int, tmp_path: Path) -> None:
    with pytest.raises(MissingProgram, match="/no/such is not installed"):
        Process.spawn(["/no/such"], output=output)
    (tmp_path / "text").write_text("x")
    with pytest.raises(HostError, match="permission denied"):
        Process.spawn([str(tmp_path / "text")], output=output)


async def test_attach(output: int) -> None:
    process = Process.spawn(["sleep", "60"], output=output)
    same = Process.attach(process.identity)
    assert same is not None
    with anyio.fail_after(20):
        while find_process("sleep", "60") is None:  # its command line is there a moment after it runs
            await anyio.sleep(0.005)
    assert find_process("sleep", "60", "no such word") is None
    identity = process.identity
    assert start_time(identity.pid) == identity.started
    for wrong in (
        msgspec.structs.replace(identity, started=identity.started + 1),
        msgspec.structs.replace(identity, boot="another"),
        Identity(pid=4_000_000, started=1, boot=boot_id()),
    ):
        assert Process.attach(wrong) is None
    process.kill()
    await same.wait()
    await process.wait()
    assert -signal.SIGKILL in (process.status, same.status)
    assert Process.attach(identity) is None
    process.close()
    same.close()


def test_a_name_with_parentheses_and_blanks_confuses_nobody(tmp_path: Path, output: int) -> None:
    program = tmp_path / "a) R 1 2 (b"
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    process = Process.spawn([str(program), "60"], output=output)
    assert process.identity.started == start_time(process.pid)
    assert process.identity.started > 0
    process.kill()
    anyio.run(process.wait)
    process.close()


def test_what_can_not_be_looked_at_is_not_taken_for_gone() -> None:
    """A guest that runs must not be given up because this process may open no more files."""
    identity = Identity(pid=os.getpid(), started=start_time(os.getpid()) or 0, boot=boot_id())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = [os.open("/dev/null", os.O_RDONLY)]
    while held[-1] < max(map(int, os.listdir("/proc/self/fd"))) - 1:  # the last one is the listing's own
        held.append(os.open("/dev/null", os.O_RDONLY))
    try:
        # none for the boot's id; one, which the process's descriptor takes from its start time
        for spare in (0, 1):
            resource.setrlimit(resource.RLIMIT_NOFILE, (held[-1] + 1 + spare, hard))
            with pytest.raises(HostError, match="too many open files"):
                Process.attach(identity)
        resource.setrlimit(resource.RLIMIT_NOFILE, (held[-1] + 1, hard))
        with pytest.raises(HostError, match="too many open files"):
            start_time(os.getpid())
        with pytest.raises(HostError, match="too many open files"):
            find_process("no such process")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in held:
            os.close(fd)
    attached = Process.attach(identity)
    assert attached is not None
    attached.close()
    assert Process.attach(msgspec.structs.replace(identity, started=identity.started + 1)) is None


def test_a_process_that_is_just_about_to_be_it_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """While it is exchanged for another program, a process has no command line."""
    from engine.util import process

    looks, arguments = [], process._arguments
    with subprocess.Popen(["sleep", "61"]) as child:
        try:

            def early(entry: str) -> list[bytes]:
                if entry == str(child.pid):
                    looks.append(entry)
                    if len(looks) < 4:
                        return []
                return arguments(entry)

            monkeypatch.setattr(process, "_arguments", early)
            found = find_process("sleep", "61")
            assert found is not None
            assert found.pid == child.pid
        finally:
            child.kill()
