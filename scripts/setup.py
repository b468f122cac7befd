#!/usr/bin/env python3
"""Sets up all that a make target needs, and nothing twice: `setup.py demo|test|pure|check|bench|docs|all`.

Runs on any Python 3.11 or later with nothing installed. What it can't do it says once, with the command that would, and
goes on: only a virtual environment that can't be made ends it. It starts no service and installs no kernel.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = Path(os.environ.get("VIRENGINE_VENV") or ROOT / ".venv").absolute()
CACHE = Path(os.environ.get("VIRENGINE_CACHE") or ROOT / ".cache").absolute()
OLDEST = (3, 11)

RUN_GUESTS = ("qemu-system-x86", "qemu-utils", "binutils")
BROWSER = ("chromium",)
BOOT_HOSTS = ("systemd", "systemd-container", "dbus", "procps", "swtpm", "swtpm-tools", "polkitd")
COMPARE = ("python3-libvirt", "libvirt-daemon", "libvirt-daemon-driver-qemu", "libvirt-clients")
LINUX_GUEST = ("linux-image-cloud-amd64", "busybox-static", "qemu-guest-agent")


@dataclass(frozen=True)
class Needs:
    """What a target needs: sets of pinned packages, Debian packages to install, Debian packages only to fetch."""

    pins: tuple[str, ...]
    install: tuple[str, ...] = ()
    fetch: tuple[str, ...] = ()


TARGETS = {
    "demo": Needs(("build", "runtime"), RUN_GUESTS),
    "test": Needs(("build", "test"), RUN_GUESTS + BOOT_HOSTS + BROWSER, LINUX_GUEST),
    "pure": Needs(("build", "test")),
    "check": Needs(("build", "check")),
    "bench": Needs(("build", "runtime"), RUN_GUESTS + COMPARE),
    "docs": Needs(("build", "runtime")),
    "all": Needs(("build", "check"), RUN_GUESTS + BOOT_HOSTS + BROWSER + COMPARE, LINUX_GUEST),
}


class SetupError(Exception):
    """Set-up can't go on; the message says what to do."""


def say(text: str) -> None:
    sys.stderr.write(f"set-up: {text}\n")


def main(target: str) -> None:
    needs = TARGETS[target]
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two targets at once: the second finds the work done
        install((*needs.install, *venv_package()))
        fetch(needs.fetch)
        make_venv()
        add_packages(needs.pins)


# --- Debian packages ---


def install(packages: Iterable[str]) -> None:
    missing = absent(packages)
    if not missing:
        return
    line = f"apt-get install --no-install-recommends {' '.join(missing)}"
    if shutil.which("apt-get") is None:
        say(f"missing, and there is no apt here to get it: {', '.join(missing)}; what needs it is left out")
    elif os.geteuid() != 0:
        say(f"missing: {', '.join(missing)}; what needs it is left out until root runs\n    {line}")
    else:
        say(f"installing {', '.join(missing)}")
        if not apt("install", "--yes", "--no-install-recommends", *missing):
            say(f"not all of it could be installed; what needs it is left out until this works:\n    {line}")


def fetch(packages: Iterable[str]) -> None:
    """Keeps a .deb of each package in the cache, without installing it: the tests take their guests from them."""
    folder = CACHE / "debs"
    folder.mkdir(exist_ok=True)
    missing = [package for package in packages if not list(folder.glob(f"{real_stem(package)}*.deb"))]
    if not missing:
        return
    if shutil.which("apt-get") is None:
        say(f"no apt here to fetch {', '.join(missing)}; Linux guests are left out")
        return
    say(f"fetching {', '.join(missing)}")
    names = [real_name(package) for package in missing]
    if not apt("download", *names, cwd=folder):
        say(f"could not fetch {', '.join(missing)}; Linux guests are left out until `apt-get update` has been run")


def absent(packages: Iterable[str]) -> list[str]:
    wanted = list(packages)
    if not wanted or shutil.which("dpkg-query") is None:
        return wanted
    query = ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\\n", *wanted]
    known = subprocess.run(query, capture_output=True, text=True, check=False).stdout
    here = {line.removesuffix(" installed") for line in known.splitlines() if line.endswith(" installed")}
    return [package for package in wanted if package not in here]


def real_stem(package: str) -> str:
    """How the file names of a package begin; a kernel's metapackage stands for the kernel of the day."""
    return "linux-image-" if package.startswith("linux-image-") else f"{package}_"


def real_name(package: str) -> str:
    """The package that holds the files: the one a metapackage depends on."""
    if not package.startswith("linux-image-"):
        return package
    query = ["apt-cache", "depends", "--important", package]
    for _ in range(2):
        answer = subprocess.run(query, capture_output=True, text=True, check=False).stdout.split()
        for word in answer:
            if word.startswith("linux-image-") and word != package:
                return word
        apt("update")
    return package


def apt(*arguments: str, cwd: Path | None = None) -> bool:
    """Runs apt-get; when it fails, once more after an update, because a fresh or old system's lists know too little."""
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}  # RUNLEVEL=1: invoke-rc.d starts nothing
    options = ["-q", "-o", "DPkg::Lock::Timeout=300", "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-confold"]
    if os.geteuid() == 0 and cwd is not None:
        options += ["-o", "APT::Sandbox::User=root"]  # apt's own user may not be able to write to the cache

    def run(*words: str) -> bool:
        command = ["apt-get", *options, *words]
        done = subprocess.run(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        return done.returncode == 0

    if arguments[0] == "update" or run(*arguments):
        return arguments[0] != "update" or (os.geteuid() == 0 and run("update"))
    return os.geteuid() == 0 and run("update") and run(*arguments)


# --- Python packages ---


def venv_stands() -> bool:
    return (VENV / "bin" / "python").exists()  # follows the link: an environment whose Python has gone is made anew


def venv_package() -> tuple[str, ...]:
    """What a virtual environment takes that is not here: Debian keeps ensurepip apart from its Python."""
    if venv_stands() or importlib.util.find_spec("ensurepip"):
        return ()
    return (f"python{sys.version_info.major}.{sys.version_info.minor}-venv",)


def make_venv() -> None:
    if venv_stands():
        return
    say(f"making {VENV.name} with Python {sys.version.split()[0]}")
    made = subprocess.run([sys.executable, "-m", "venv", "--clear", VENV], capture_output=True, text=True, check=False)
    if made.returncode:
        shutil.rmtree(VENV, ignore_errors=True)
        why = "its venv package is missing" if venv_package() else (made.stderr or made.stdout).strip()
        raise SetupError(f"{sys.executable} can't make a virtual environment: {why}")


def add_packages(pins: tuple[str, ...]) -> None:
    """Brings the pinned packages and, editable, the project itself into the environment."""
    files = [ROOT / "requirements" / f"{name}.txt" for name in pins]
    project = [ROOT / "pyproject.toml", VENV / "pyvenv.cfg", Path(__file__)]
    state = hashlib.sha256(b"\0".join(file.read_bytes() for file in [*files, *project])).hexdigest()
    stamp = VENV / f".setup-{'-'.join(pins)}"
    if stamp.exists() and stamp.read_text() == state:
        return
    say(f"installing the pinned packages of {', '.join(f'requirements/{file.name}' for file in files)}")
    pip("--require-hashes", *(word for file in files for word in ("-r", os.fspath(file))))
    pip("--no-deps", "--no-build-isolation", "--editable", os.fspath(ROOT))
    stamp.write_text(state)


def pip(*arguments: str) -> None:
    python = os.fspath(VENV / "bin" / "python")
    command = [python, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *arguments]
    done = subprocess.run(command, stdout=sys.stderr, check=False)
    if done.returncode:
        raise SetupError("the Python packages could not be installed; the lines above say why")


if __name__ == "__main__":
    if sys.version_info < OLDEST:
        sys.exit(f"set-up: Python {sys.version.split()[0]} is too old: this needs 3.11 or later (make PYTHON=...)")
    if len(sys.argv) != 2 or sys.argv[1] not in TARGETS:
        sys.exit(f"usage: setup.py {'|'.join(TARGETS)}")
    try:
        main(sys.argv[1])
    except SetupError as error:
        sys.exit(f"set-up: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
