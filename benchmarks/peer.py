"""Asks the libvirt of this host (``libvirt_peer.py``), where there is one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

__all__ = ["ask_libvirt"]

PYTHON = "/usr/bin/python3"  # Debian's libvirt binding belongs to Debian's Python
SECONDS = 240


def ask_libvirt(folder: Path, work: str, **arguments: Any) -> tuple[dict[str, Any], str]:
    """What ``libvirt_peer.py`` measured, or nothing and why there is nothing.

    Args:
        folder: for a file of ours; work, arguments: see there.
    """
    if os.geteuid() != 0:
        return {}, "a libvirtd of its own needs root"
    for program in ("libvirtd", "unshare"):
        if shutil.which(program) is None and not Path("/usr/sbin", program).exists():
            return {}, f"there is no {program} here"
    if not Path(PYTHON).exists() or subprocess.run([PYTHON, "-c", "import libvirt"], capture_output=True).returncode:
        return {}, "there is no python3-libvirt here"
    request = folder / "request.json"
    request.write_text(json.dumps({"work": work, **arguments}))
    script = str(Path(__file__).with_name("libvirt_peer.py"))
    try:
        ended = subprocess.run(
            ["unshare", "--pid", "--kill-child", "--mount-proc", PYTHON, script, str(request)],
            capture_output=True,
            text=True,
            timeout=SECONDS,
            env={**os.environ, "PATH": os.environ.get("PATH", "") + ":/usr/sbin:/sbin"},
        )
    except subprocess.TimeoutExpired:
        return {}, f"libvirtd did not come to an end within {SECONDS} s"
    if ended.returncode:
        return {}, f"libvirt failed: {(ended.stderr.strip().splitlines() or ['no word'])[-1]}"
    result: dict[str, Any] = json.loads(ended.stdout)
    return result, ""
