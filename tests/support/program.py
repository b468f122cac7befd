"""The program as a process of its own, and the service that it is."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx2

PROGRAM = (sys.executable, "-m", "engine")


@contextlib.contextmanager
def service(folder: Path, backend: str, *, uri: str = "") -> Iterator[None]:
    """From when it listens on, with the test driver; it has to end in order."""
    command = [*PROGRAM, "--uri", uri or f"test://{folder}/node.xml", "--state-dir", str(folder / "state"), "serve"]
    env = {**os.environ, "VIRENGINE_BACKEND": backend}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().startswith("Listening at ")
            yield
        finally:
            process.terminate()
            assert process.wait(20) == 0


def client(folder: Path) -> httpx2.Client:
    transport = httpx2.HTTPTransport(uds=str(folder / "state" / "api.sock"))
    return httpx2.Client(transport=transport, base_url="http://virengine")


def printed(command: Sequence[str], *words: str) -> str:
    """What a command prints that has to succeed."""
    return subprocess.run([*command, *words], capture_output=True, text=True, timeout=60, check=True).stdout
