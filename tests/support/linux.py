"""The Linux guest: Debian's cloud kernel and an initramfs of busybox, the modules it needs and the guest agent.

All of it comes out of the .deb files that set-up keeps in the cache; none of them is installed.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from support.cache import TESTS, GuestUnavailable, cache_dir, made

INIT = TESTS / "guests" / "init.sh"
SHUTDOWN = TESTS / "guests" / "shutdown.sh"

MODULES = ("button", "evdev", "virtio_pci", "virtio_console", "virtio_blk", "virtio_net", "virtio_rng")
APPLETS = ("acpid", "cat", "halt", "httpd", "ifconfig", "insmod", "mkdir", "mount", "poweroff", "reboot", "sh", "sleep")
CONSOLE = "console=ttyS0 quiet panic=-1 reboot=t no_timer_check mitigations=off cryptomgr.notests nokaslr"


class LinuxGuest(NamedTuple):
    """The files to boot and the command line to boot them with."""

    kernel: Path
    initrd: Path
    cmdline: str


def linux_guest(*, delay: float = 0.0, ignore_button: bool = False, http: int | None = None) -> LinuxGuest:
    """A Linux guest that says lines on COM1: ``ready``, ``button`` or ``agent`` when asked to stop, then
    ``off``, ``reboot`` or ``halt`` as it does it (and, like any Linux, some lines of its kernel).

    Give it 96 MiB of memory or more. Its agent answers on the virtio-serial port org.qemu.guest_agent.0, if it has one.

    delay: seconds between being asked and being off; a second request meanwhile changes nothing.
    ignore_button: says ``button`` and does nothing more; the agent still stops it.
    http: the TCP port of a page ``/`` on 10.0.2.15, for a virtio network card on QEMU's user network.

    Raises GuestUnavailable with what is missing and how to get it.
    """
    words = [CONSOLE, f"virengine.delay={delay:g}"]
    words += ["virengine.ignore"] if ignore_button else []
    words += [f"virengine.http={http}"] if http is not None else []
    return LinuxGuest(*_built(), " ".join(words))


def linux_guest_unavailable() -> str | None:
    """Why there can be no Linux guest here, or None."""
    try:
        _built()
    except GuestUnavailable as why:
        return str(why)
    return None


@cache
def _built() -> tuple[Path, Path]:
    """The kernel and the initramfs, built once for each set of packages and sources."""
    kernel_deb, busybox_deb, agent_deb = (
        _deb(stem) for stem in ("linux-image-", "busybox-static_", "qemu-guest-agent_")
    )
    state = hashlib.sha256()
    for source in (INIT, SHUTDOWN, Path(__file__)):
        state.update(source.read_bytes())
    state.update("".join(deb.name for deb in (kernel_deb, busybox_deb, agent_deb)).encode())
    kernel, initrd = (cache_dir() / f"linux-{state.hexdigest()[:16]}.{kind}" for kind in ("vmlinuz", "initrd"))
    if not (kernel.exists() and initrd.exists()):
        packed = _unpacked(kernel_deb, lambda path: path.startswith("boot/vmlinuz") or path.endswith(".ko"))
        files = {
            "init": INIT.read_bytes(),
            "sbin/shutdown": SHUTDOWN.read_bytes(),
            "bin/busybox": _unpacked(busybox_deb, lambda path: path == "bin/busybox")["bin/busybox"],
            "www/index.html": b"ready\n",
            **_modules({PurePosixPath(path).stem: code for path, code in packed.items() if path.endswith(".ko")}),
            **_program(
                _unpacked(agent_deb, lambda path: path == "usr/sbin/qemu-ga")["usr/sbin/qemu-ga"], "bin/qemu-ga"
            ),
        }
        with made(initrd) as work:
            (work / "made").write_bytes(_archive(files))
        with made(kernel) as work:
            (work / "made").write_bytes(next(code for path, code in packed.items() if path.startswith("boot/vmlinuz")))
    return kernel, initrd


def _deb(stem: str) -> Path:
    found = sorted((cache_dir() / "debs").glob(f"{stem}*.deb"))
    if not found:
        raise GuestUnavailable(f"{stem.rstrip('_-')} has not been fetched: make setup, on a Debian with apt")
    if shutil.which("dpkg-deb") is None:
        raise GuestUnavailable("no dpkg-deb here to unpack a Linux guest: install dpkg")
    return found[-1]


def _unpacked(deb: Path, wanted: Callable[[str], bool]) -> dict[str, bytes]:
    """The regular files of a package whose path, without the leading ./, is wanted."""
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", deb], stdout=subprocess.PIPE) as unpacking:
        assert unpacking.stdout is not None
        with tarfile.open(fileobj=unpacking.stdout, mode="r|") as archive:
            return {path: content for path, content in _regular(archive) if wanted(path)}


def _regular(archive: tarfile.TarFile) -> Iterator[tuple[str, bytes]]:
    for member in archive:
        if member.isfile() and (content := archive.extractfile(member)) is not None:
            yield member.name.removeprefix("./"), content.read()


def _modules(known: dict[str, bytes]) -> dict[str, bytes]:
    """MODULES and all they depend on, with the order to load them in. Names count with ``-`` as ``_``."""
    known = {name.replace("-", "_"): code for name, code in known.items()}
    order: list[str] = []

    def add(name: str) -> None:
        if name in order:
            return
        found = re.search(rb"\0depends=([^\0]*)\0", known[name])
        for dependency in found[1].decode().split(",") if found else []:
            if dependency:
                add(dependency.replace("-", "_"))
        order.append(name)

    for name in MODULES:
        add(name)
    return {f"modules/{name}.ko": known[name] for name in order} | {"modules/order": "\n".join(order).encode()}


def _program(code: bytes, path: str) -> dict[str, bytes]:
    """A program with the shared libraries it asks for, where it looks for them; this host lends the libraries."""
    with made(cache_dir() / "qemu-ga") as work:
        (work / "made").write_bytes(code)
        (work / "made").chmod(0o755)
        needed = subprocess.run(["ldd", work / "made"], capture_output=True, text=True, check=True).stdout
    if missing := re.findall(r"(\S+) => not found", needed):
        raise GuestUnavailable(
            f"the guest agent needs {', '.join(missing)}: apt-get install qemu-system-x86 libglib2.0-0"
        )
    return {path: code} | {library[1:]: Path(library).read_bytes() for library in re.findall(r"(/\S+) \(0x", needed)}


def _archive(files: dict[str, bytes]) -> bytes:
    """A newc cpio archive (Documentation/driver-api/early-userspace/buffer-format.rst of the kernel)."""
    nodes: dict[str, tuple[int, bytes, tuple[int, int]]] = {}
    folders = ("dev", "proc", "sys", "run", "sbin", "bin", "etc/acpi/PWRF")
    for folder in (*folders, *(str(PurePosixPath(file).parent) for file in files)):
        for parent in reversed([PurePosixPath(folder), *PurePosixPath(folder).parents]):
            nodes[str(parent)] = (stat.S_IFDIR | 0o755, b"", (0, 0))
    nodes.pop(".")
    nodes["dev/console"] = (stat.S_IFCHR | 0o600, b"", (5, 1))
    for path, content in files.items():
        nodes[path] = (stat.S_IFREG | 0o755, content, (0, 0))
    for applet in APPLETS:
        nodes[f"bin/{applet}"] = (stat.S_IFLNK | 0o777, b"busybox", (0, 0))
    nodes["etc/acpi/PWRF/00000080"] = (stat.S_IFLNK | 0o777, b"/sbin/shutdown", (0, 0))

    archive = bytearray()
    for inode, (path, (mode, content, device)) in enumerate([*nodes.items(), ("TRAILER!!!", (0, b"", (0, 0)))], 1):
        name = path.encode() + b"\0"
        numbers = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name), 0)
        archive += b"070701" + b"".join(b"%08x" % number for number in numbers) + name
        archive += bytes(-len(archive) % 4) + content
        archive += bytes(-len(archive) % 4)
    return bytes(archive)
