"""Our program as a process of its own."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

__all__ = ["wait_handling"]


def wait_handling(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> None:
    """Return once signals come to the program, and no longer to Python that has just begun; or once it has ended."""
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = next((line.split()[1] for line in status.splitlines() if line.startswith("SigCgt:")), "0")
        if int(caught, 16) >> (signal.SIGTERM - 1) & 1:
            return
