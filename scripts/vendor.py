#!/usr/bin/env python3
"""Brings what the web page uses of others into engine/server/web/vendor: `vendor.py`, or `vendor.py --check`.

Each is a release of the npm registry that this machine is set up for, held to its published hash. What is brought is
committed, with its licence, so that neither a build nor an installation needs npm; `--check` only tells whether what
is there is what was brought.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "engine" / "server" / "web" / "vendor"
MANIFEST = VENDOR / "manifest.json"

#: Of each release the hash that its registry has, and which of its files are wanted, by folder of ours.
PACKAGES = {
    "@xterm/xterm@6.0.0": ("xterm", ("LICENSE", "css/xterm.css", "lib/xterm.mjs")),
    "@xterm/addon-fit@0.11.0": ("xterm-fit", ("LICENSE", "lib/addon-fit.mjs")),
    "@novnc/novnc@1.7.0": ("novnc", ("LICENSE.txt", "AUTHORS", "core/", "vendor/pako/")),
}


def main(check: bool) -> int:
    if check:
        wrong = list(differences())
        for line in wrong:
            sys.stderr.write(f"{line}\n")
        return 1 if wrong else 0
    known = json.loads(MANIFEST.read_text())["integrity"] if MANIFEST.exists() else {}
    integrity, files = {}, {}
    for package, (folder, wanted) in PACKAGES.items():
        data = fetched(package)
        integrity[package] = f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"
        if known.get(package, integrity[package]) != integrity[package]:
            raise SystemExit(f"{package} is not what it was: {integrity[package]}")
        for name, content in members(data, wanted):
            path = VENDOR / folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            files[f"{folder}/{name}"] = hashlib.sha256(content).hexdigest()
    MANIFEST.write_text(json.dumps({"integrity": integrity, "files": dict(sorted(files.items()))}, indent=2) + "\n")
    return 0


def fetched(package: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        told = subprocess.run(
            ["npm", "pack", "--json", "--ignore-scripts", package], cwd=folder, capture_output=True, check=True
        )
        (release,) = json.loads(told.stdout)
        data: bytes = (Path(folder) / release["filename"]).read_bytes()
    found = f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode()}"
    if found != release["integrity"]:
        raise SystemExit(f"{package} is not what its registry says: {found}")
    return data


def members(data: bytes, wanted: tuple[str, ...]) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        for member in archive:
            name = member.name.partition("/")[2]
            if member.isfile() and any(
                name == each or (each.endswith("/") and name.startswith(each)) for each in wanted
            ):
                content = archive.extractfile(member)
                assert content is not None
                yield name, content.read()


def differences() -> Iterator[str]:
    """What is not as it was brought."""
    known = json.loads(MANIFEST.read_text())["files"]
    there = {str(path.relative_to(VENDOR)) for path in VENDOR.rglob("*") if path.is_file() and path != MANIFEST}
    for name in sorted(there ^ set(known)):
        yield f"{name}: {'nobody brought it' if name in there else 'it is missing'}"
    for name in sorted(there & set(known)):
        if hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() != known[name]:
            yield f"{name}: it was changed"


if __name__ == "__main__":
    raise SystemExit(main("--check" in sys.argv[1:]))
