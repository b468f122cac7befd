#!/usr/bin/env python3
"""libvirt's published test data, fetched from Debian and unpacked outside of the repository.

Nothing of it is ours, and nothing of it is kept here. What the definitions are developed against is the half of the
documents whose base name has an even CRC-32; the other half is for acceptance, and is neither unpacked nor read. Base
names with several dots (``a.x86_64-latest.xml``) must be even with all their extensions cut off and with only the last.

``corpus.py`` prints the folder.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from functools import cache
from pathlib import Path, PurePosixPath

VERSION = "9.0.0"
_ORIG = f"libvirt_{VERSION}.orig.tar.xz"
_SHA256 = "deca5cff1b7baac297bca9663907c61f71a47183371dc7ac019c107806d5435a"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
#: Folders below the source's root that are unpacked, the held back half of ``tests`` apart.
_WANTED = ("docs/format", "src/conf/schemas/", "tests/")
_KINDS = {".xml", ".vmx", ".cfg", ".config", ".conf", ".fstab", ".args", ".sxpr", ".rng", ".rst", ".json", ".err"}


class CorpusUnavailable(RuntimeError):
    """It can't be fetched here; the message says why."""


def even(name: str) -> bool:
    """Whether a file of that name is in the half to develop against."""
    base = PurePosixPath(name).name
    return all(zlib.crc32(stem.encode()) % 2 == 0 for stem in (base.partition(".")[0], PurePosixPath(base).stem))


@cache
def corpus() -> Path:
    """The root of the unpacked source; fetched and unpacked where that was not done yet.

    Raises:
        CorpusUnavailable: no apt, no network.
    """
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "virengine" / "interop"
    home.mkdir(parents=True, exist_ok=True)
    unpacked = home / f"libvirt-{VERSION}"
    if not unpacked.is_dir():
        archive = home / _ORIG
        if not archive.is_file() or _digest(archive) != _SHA256:
            _fetch(home)
        with tempfile.TemporaryDirectory(dir=home, prefix=".unpacking-") as work:
            _unpack(archive, Path(work))
            (Path(work) / f"libvirt-{VERSION}").rename(unpacked)
    return unpacked


def _fetch(home: Path) -> None:
    """Have apt fetch the source package, with lists of its own: the machine's stay as they are."""
    if shutil.which("apt-get") is None:
        raise CorpusUnavailable("libvirt's source package is fetched with apt-get, which is not here")
    with tempfile.TemporaryDirectory(dir=home, prefix=".fetching-") as work:
        folder = Path(work)
        (folder / "lists" / "partial").mkdir(parents=True)
        (folder / "sources.list").write_text(_sources(folder))
        own = {"Dir::Etc::SourceList": folder / "sources.list", "Dir::Etc::SourceParts": "/dev/null"}
        own |= {"Dir::State::Lists": folder / "lists", "Dir::Cache": folder, "APT::Sandbox::User": "root"}
        options = [word for name, value in own.items() for word in ("-o", f"{name}={value}")]
        _apt(folder, *options, "update")
        _apt(folder, *options, "source", "--download-only", "libvirt")
        if not (folder / _ORIG).is_file() or _digest(folder / _ORIG) != _SHA256:
            raise CorpusUnavailable(f"this Debian's libvirt is not {VERSION}: there is no {_ORIG} of it")
        (folder / _ORIG).replace(home / _ORIG)


def _sources(folder: Path) -> str:
    """Source packages from wherever this machine has Debian's packages from."""
    targets = "$(CREATED_BY)|$(ORIGIN)|$(COMPONENT)|$(REPO_URI)|$(RELEASE)"
    lines = {tuple(line.split("|")) for line in _apt(folder, "indextargets", "--format", targets).splitlines()}
    found = sorted(where for by, origin, part, *where in lines if (by, origin, part) == ("Packages", "Debian", "main"))
    if not found:
        raise CorpusUnavailable("apt has no packages of Debian's here; apt-get update may be needed")
    signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    return "".join(f"deb-src {signed}{uri} {release} main\n" for uri, release in found)


def _apt(folder: Path, *words: str) -> str:
    try:
        done = subprocess.run(["apt-get", *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    except subprocess.TimeoutExpired as exc:
        raise CorpusUnavailable("apt-get took longer than two minutes") from exc
    if done.returncode:
        raise CorpusUnavailable(f"apt-get failed: {' '.join(done.stderr.strip().splitlines()[-1:])}")
    return done.stdout


def _digest(file: Path) -> str:
    with file.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def _unpack(archive: Path, target: Path) -> None:
    """Links are replaced by what they lead to, where that is in the same half."""
    links: dict[Path, Path] = {}
    with tarfile.open(archive) as tar:
        for member in tar:  # in its own order: to go back in it would mean to unpack it anew
            inside = member.name.partition("/")[2]
            held_back = inside.startswith("tests/") and not even(member.name)
            if held_back or not inside.startswith(_WANTED) or PurePosixPath(inside).suffix not in _KINDS:
                continue
            file = target / member.name
            file.parent.mkdir(parents=True, exist_ok=True)
            if member.issym():
                links[file] = Path(os.path.normpath(file.parent / member.linkname))
            elif (content := tar.extractfile(member)) is not None:
                file.write_bytes(content.read())
    for file, other in links.items():
        while other in links:
            other = links[other]
        if other.is_file():
            shutil.copyfile(other, file)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{corpus()}\n")
    except CorpusUnavailable as exc:
        sys.exit(str(exc))
