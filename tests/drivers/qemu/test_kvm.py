"""KVM is used only where it runs a guest; finding out takes no longer than it may."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import anyio
import pytest

from engine import HostError
from engine.drivers.qemu import kvm
from engine.drivers.qemu.kvm import KvmProbe


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "_known", {})
    monkeypatch.setattr(kvm, "_doubtful", {})
    monkeypatch.setattr(kvm, "_DEVICE", "/dev/null")  # there, and ours to use


def emulator(folder: Path, body: str) -> str:
    path = folder / "emulator"
    path.write_text(f"#!/bin/sh\necho run >> {folder}/runs\n{body}\n")
    path.chmod(0o755)
    return str(path)


def runs(folder: Path) -> int:
    return len((folder / "runs").read_text().splitlines())


async def test_a_guest_that_comes_to_its_end_is_the_proof(tmp_path: Path) -> None:
    await KvmProbe(None).require(emulator(tmp_path, "exit 85"))
    await KvmProbe(None).require(str(tmp_path / "emulator"))
    assert runs(tmp_path) == 1, "it is asked once"


async def test_a_guest_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "_SECONDS", 0.2)
    begin = time.monotonic()
    with pytest.raises(HostError, match=r"did not come to its end within 0.2 s; <domain type='qemu'>"):
        await KvmProbe(None).require(emulator(tmp_path, "exec sleep 60"))
    assert time.monotonic() - begin < 30


@pytest.mark.parametrize("body", ["exec sleep 60", "kill -9 $$"])
async def test_what_a_busy_host_may_have_done_is_asked_anew_before_long(
    body: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(kvm, "_SECONDS", 5.0 if "kill" in body else 0.2)
    monkeypatch.setattr(kvm, "_clock", lambda: now)
    cache = tmp_path / "kvm.json"
    program = emulator(tmp_path, body)

    async def ask() -> int:
        with pytest.raises(HostError, match="trial guest"):
            await KvmProbe(cache).require(program)
        return runs(tmp_path)

    assert [await ask(), await ask()] == [1, 1]
    assert not cache.exists(), "a busy host is no reason to do without KVM until it boots anew"
    now += 59
    assert await ask() == 1
    now += 2
    assert [await ask(), await ask()] == [2, 2]


def test_a_doubt_lasts_no_longer_in_the_next_loop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each loop has a clock of its own, and trio's begins anywhere."""
    monkeypatch.setattr(kvm, "_ASK_AGAIN", 0.0)
    program = emulator(tmp_path, "kill -9 $$")

    async def ask() -> None:
        with pytest.raises(HostError, match="ended with status -9"):
            await KvmProbe(None).require(program)

    for number in range(1, 9):
        anyio.run(ask, backend="trio")
        assert runs(tmp_path) == number


async def test_what_could_not_be_tried_is_no_verdict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "kvm.json"
    program = emulator(tmp_path, "exit 85")
    with monkeypatch.context() as patched, pytest.raises(HostError, match="can't be run"):
        patched.setattr(kvm.Process, "spawn", refuse)
        await KvmProbe(cache).require(program)
    await KvmProbe(cache).require(program)


def refuse(*arguments: object, **options: object) -> None:
    raise HostError("emulator can't be run: too many open files")


async def test_no_descriptor_is_left_where_there_are_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = os.memfd_create

    def memfd_create(name: str, flags: int) -> int:
        if made:
            raise OSError(errno.EMFILE, "Too many open files")
        made.append(original(name, flags))
        return made[0]

    monkeypatch.setattr(os, "memfd_create", memfd_create)
    with pytest.raises(HostError, match="no trial guest can be started: too many open files"):
        await KvmProbe(None).require(emulator(tmp_path, "exit 85"))
    left = Path(f"/proc/self/fd/{made[0]}")
    assert not (left.is_symlink() and "probe" in str(left.readlink()))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("echo 'failed to initialize kvm: No such device' >&2; exit 1", "failed to initialize kvm: No such device"),
        ("exit 0", "ended with status 0"),
        ("kill -9 $$", "ended with status -9"),
    ],
)
async def test_a_guest_that_fails(tmp_path: Path, body: str, reason: str) -> None:
    with pytest.raises(HostError, match=reason):
        await KvmProbe(None).require(emulator(tmp_path, body))


async def test_what_was_found_is_kept_until_the_next_boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "kvm.json"
    program = emulator(tmp_path, "exit 1")
    for _ in range(2):
        monkeypatch.setattr(kvm, "_known", {})
        with pytest.raises(HostError):
            await KvmProbe(cache).require(program)
    assert runs(tmp_path) == 1
    monkeypatch.setattr(kvm, "_known", {})
    monkeypatch.setattr(kvm, "boot_id", lambda: "the next")
    with pytest.raises(HostError):
        await KvmProbe(cache).require(program)
    assert runs(tmp_path) == 2
    cache.write_text("nonsense")
    monkeypatch.setattr(kvm, "_known", {})
    with pytest.raises(HostError):
        await KvmProbe(cache).require(program)
    assert runs(tmp_path) == 3


async def test_no_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "_DEVICE", str(tmp_path / "kvm"))
    with pytest.raises(HostError, match=r"there is no .*kvm"):
        await KvmProbe(None).require("/bin/true")


@pytest.mark.qemu
async def test_the_trial_guest_is_a_guest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under TCG, where it must work: the boot sector ends QEMU as it is meant to."""
    monkeypatch.setattr(kvm, "_ACCELERATOR", "tcg")
    monkeypatch.setattr(kvm, "_SECONDS", 30.0)
    await KvmProbe(None).require("/usr/bin/qemu-system-x86_64")
