"""What QEMU wrote down says how its guest ended."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from engine.drivers.qemu.diary import Diary


def write(folder: Path, *events: tuple[str, dict[str, object]], junk: bytes = b"") -> Diary:
    lines = b"".join(json.dumps({"event": name, "data": data}).encode() + b"\r\n" for name, data in events)
    (folder / "events.out").write_bytes(b'{"QMP": {}}\r\n{"return": {}}\r\n' + lines + junk)
    return Diary(folder)


SHUTDOWN = ("SHUTDOWN", {"guest": True, "reason": "guest-shutdown"})
PANIC = ("GUEST_PANICKED", {"action": "poweroff"})


@pytest.mark.parametrize(
    ("events", "cause"),
    [
        ([], ""),
        ([("RESUME", {})], ""),
        ([("RESUME", {}), SHUTDOWN], "shutdown"),
        ([PANIC, ("SHUTDOWN", {"reason": "guest-panic"})], "crashed"),
        ([("SHUTDOWN", {"reason": "guest-panic"})], "crashed"),
        ([PANIC, SHUTDOWN], "crashed"),
        ([SHUTDOWN, ("STOP", {}), ("RESET", {}), ("RESUME", {})], ""),
        ([SHUTDOWN, ("RESET", {}), ("RESUME", {}), SHUTDOWN], "shutdown"),
    ],
)
def test_an_ending(events: list[tuple[str, dict[str, object]]], cause: str, tmp_path: Path) -> None:
    assert write(tmp_path, *events).ending().cause == cause


def test_a_file_that_is_damaged_or_gone_says_what_it_can(tmp_path: Path) -> None:
    assert Diary(tmp_path).ending().cause == ""
    assert write(tmp_path, SHUTDOWN, junk=b'{"event": "RES').ending().cause == "shutdown"
    assert write(tmp_path, SHUTDOWN, junk=os.urandom(100)).ending().cause in ("shutdown", "crashed")
    (tmp_path / "events.out").write_bytes(b"\0" * 100_000 + b'{"event": "SHUTDOWN"}\n')
    assert Diary(tmp_path).ending().cause == "shutdown"


def test_only_the_tail_of_a_long_file_is_read(tmp_path: Path) -> None:
    diary = write(tmp_path, *[("RTC_CHANGE", {"offset": 1})] * 5000, SHUTDOWN)
    assert (tmp_path / "events.out").stat().st_size > 200_000
    assert diary.ending().cause == "shutdown"


def test_a_file_that_is_trimmed_goes_on_at_its_offset(tmp_path: Path) -> None:
    diary = Diary(tmp_path)
    os.close(diary.prepare())
    with (tmp_path / "events.out").open("r+b", buffering=0) as qemu:
        qemu.write(b'{"event": "RTC_CHANGE"}\r\n' * 4096)
        assert [number for number in range(1, 4097) if diary.count()] == [4096]
        diary.trim()
        assert (tmp_path / "events.out").stat().st_size == 0
        qemu.write(b'{"event": "SHUTDOWN"}\r\n')
    assert diary.ending().cause == "shutdown"
    assert (tmp_path / "events.out").stat().st_blocks * 512 < 65536, "the rest is a hole"


def test_the_input_holds_the_negotiation(tmp_path: Path) -> None:
    fd = Diary(tmp_path).prepare()
    assert stat.S_ISFIFO((tmp_path / "events.in").stat().st_mode)
    qemus = os.open(tmp_path / "events.in", os.O_RDWR | os.O_NONBLOCK)
    os.close(fd)
    assert json.loads(os.read(qemus, 1000)) == {"execute": "qmp_capabilities"}
    os.close(qemus)
    os.close(Diary(tmp_path).prepare())  # what an earlier run left is no hindrance
