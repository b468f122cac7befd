"""The boot sector does what its parameters say, on QEMU alone."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.bare_qemu import BareQemu, bare_qemu
from support.guests import boot_sector

pytestmark = pytest.mark.qemu


def disk(image: Path, interface: str = "ide") -> list[str]:
    return ["-m", "4", "-drive", f"file={image},format=raw,if={interface}"]


def ended(qemu: BareQemu) -> tuple[str, int]:
    """How the guest ended, and the exit status of QEMU."""
    reason: str = qemu.event("SHUTDOWN")["data"]["reason"]
    return reason, qemu.wait()


@pytest.mark.parametrize(("machine", "interface"), [("pc", "ide"), ("pc", "virtio"), ("q35", "virtio")])
def test_the_button_powers_it_off(tmp_path: Path, machine: str, interface: str) -> None:
    with bare_qemu(*disk(boot_sector(tmp_path / "disk"), interface), machine=machine) as qemu:
        qemu.serial.expect("ready")
        qemu.qmp("system_powerdown")
        assert ended(qemu) == ("guest-shutdown", 0)
        assert qemu.serial.rest().split() == [b"ready", b"button", b"off"]


def test_it_takes_its_time_and_hears_the_button_meanwhile(tmp_path: Path) -> None:
    with bare_qemu(*disk(boot_sector(tmp_path / "disk", delay=0.5))) as qemu:
        qemu.serial.expect("ready")
        pressed = time.monotonic()
        qemu.qmp("system_powerdown")
        qemu.serial.expect("button")
        qemu.qmp("system_powerdown")
        assert ended(qemu) == ("guest-shutdown", 0)
        assert time.monotonic() - pressed >= 0.5
        assert qemu.serial.rest().split() == [b"ready", b"button", b"button", b"off"]


def test_it_ignores_as_many_presses_as_it_was_told(tmp_path: Path) -> None:
    with bare_qemu(*disk(boot_sector(tmp_path / "disk", ignore_button=2))) as qemu:
        qemu.serial.expect("ready")
        for _ in range(3):
            qemu.qmp("system_powerdown")
            qemu.serial.expect("button")
        assert ended(qemu) == ("guest-shutdown", 0)


def test_it_ignores_every_press(tmp_path: Path) -> None:
    image = boot_sector(tmp_path / "disk", ignore_button=True, exit_after=1.0, ending="reset")
    with bare_qemu(*disk(image), "-no-reboot") as qemu:
        qemu.serial.expect("ready")
        for _ in range(3):
            qemu.qmp("system_powerdown")
            qemu.serial.expect("button")
        assert ended(qemu) == ("guest-reset", 0), "it was its own time that ended it, not the button"
        assert b"off" not in qemu.serial.rest()


def test_a_press_before_it_is_ready_is_lost(tmp_path: Path) -> None:
    image = boot_sector(tmp_path / "disk", ready_after=0.4, exit_after=0.2)
    with bare_qemu(*disk(image)) as qemu:
        qemu.qmp("system_powerdown")
        assert ended(qemu) == ("guest-shutdown", 0)
        assert qemu.serial.rest().split() == [b"ready", b"off"]
        assert time.monotonic() - qemu.started >= 0.6


def test_a_crash_tells_the_panic_device(tmp_path: Path) -> None:
    image = boot_sector(tmp_path / "disk", crash=True)
    with bare_qemu(*disk(image), "-device", "pvpanic") as qemu:
        qemu.serial.expect("ready")
        qemu.qmp("system_powerdown")
        assert qemu.event("GUEST_PANICKED")["data"]["action"] == "poweroff"
        assert ended(qemu) == ("guest-panic", 0)


def test_a_crash_without_a_panic_device_is_a_reset(tmp_path: Path) -> None:
    with bare_qemu(*disk(boot_sector(tmp_path / "disk", exit_after=0.01, crash=True))) as qemu:
        qemu.serial.expect("ready")
        assert qemu.event("RESET")["data"]["reason"] == "guest-reset"
        qemu.serial.expect("ready")


def test_a_hung_guest_hears_no_button(tmp_path: Path) -> None:
    image = boot_sector(tmp_path / "disk", exit_after=0.01, ending="hang")
    with bare_qemu(*disk(image)) as qemu:
        qemu.serial.expect("ready")
        while not hung(qemu):
            pass
        qemu.qmp("system_powerdown")
        qemu.qmp("quit")
        assert ended(qemu) == ("host-qmp-quit", 0)
        assert b"button" not in qemu.serial.rest()


def hung(qemu: BareQemu) -> bool:
    """The processor halts with interrupts off."""
    registers: str = qemu.qmp("human-monitor-command", **{"command-line": "info registers"})
    flags = int(registers.split("EFL=", 1)[1].split()[0], 16)
    return not flags & 0x200 and "HLT=1" in registers


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    for wrong in ({"delay": 656.0}, {"delay": -1.0}, {"ignore_button": 256}, {"size": 511}):
        with pytest.raises(ValueError, match=r"not|holds no"):
            boot_sector(tmp_path / "disk", **wrong)
    assert not (tmp_path / "disk").exists()
