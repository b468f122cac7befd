"""KVM is used only where it runs a guest; finding out takes no longer than it may."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine import HostError
from engine.drivers.qemu import kvm
from engine.drivers.qemu.kvm import KvmProbe


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "_known", {})
    monkeypatch.setattr(kvm, "_slow", {})
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


async def test_one_that_was_slow_is_asked_anew_before_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvm, "_SECONDS", 0.2)
    cache = tmp_path / "kvm.json"
    program = emulator(tmp_path, "exec sleep 60")
    for _ in range(2):
        with pytest.raises(HostError, match="did not come to its end"):
            await KvmProbe(cache).require(program)
    assert runs(tmp_path) == 1
    assert not cache.exists(), "a busy host is no reason to do without KVM until it boots anew"
    monkeypatch.setattr(kvm, "_ASK_AGAIN", 0.0)
    monkeypatch.setattr(kvm, "_slow", {})
    for _ in range(2):
        with pytest.raises(HostError):
            await KvmProbe(cache).require(program)
    assert runs(tmp_path) == 3


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
