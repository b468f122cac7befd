"""What is remembered of a running QEMU, and what ``/proc`` says of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from engine.abc import JSON
from engine.drivers.qemu.launch import Launched
from engine.util.process import Identity

__all__ = ["identity_of", "process_facts", "usage"]


def process_facts(launched: Launched) -> dict[str, JSON]:
    """What ``adopt`` finds the processes again by, and where this run's console begins."""
    facts: dict[str, JSON] = {"process": msgspec.to_builtins(launched.process.identity)}
    if launched.console_offset:
        facts["console_offset"] = launched.console_offset
    if launched.tpm is not None:
        facts["tpm"] = msgspec.to_builtins(launched.tpm.identity)
    return facts


def identity_of(facts: Mapping[str, Any], name: str) -> Identity | None:
    """The process ``name`` that the facts tell of."""
    try:
        return msgspec.convert(facts[name], Identity)
    except (KeyError, msgspec.ValidationError):
        return None


def usage(pid: int) -> tuple[float | None, int | None]:
    """Seconds of CPU and KiB of memory (proc(5): ``stat`` fields 14 and 15, ``statm`` field 2)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        statm = Path(f"/proc/{pid}/statm").read_bytes().split()
    except OSError:
        return None, None
    ticks = int(stat[11]) + int(stat[12])
    return ticks / os.sysconf("SC_CLK_TCK"), int(statm[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
