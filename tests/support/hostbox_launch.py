"""The launcher of a hostbox: it lays the root, starts systemd in it as PID 1, and takes the host with it when it goes.

Run by support.hostbox as a process of its own, with one JSON argument, on the standard library alone. It says on stdout
``laid`` (the root stands: files can be put), and after a ``go`` on stdin ``pid N``, ``ready`` (systemd has booted) and
``end HOW``. It then keeps the root readable until its stdin is closed. When its stdin is closed earlier, which is also
what happens when the tester dies, or when it is itself killed, the host is killed with all that runs on it.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tty
from pathlib import Path
from typing import NoReturn

SYSTEMD = "/lib/systemd/systemd"

CLONE = {"mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "pid": 0x20000000, "net": 0x40000000}
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC, REMOUNT, BIND, RECURSIVE, PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
DETACH = 2
SET_PARENT_DEATH_SIGNAL = 1

DEVICES = {"null": (1, 3), "zero": (1, 5), "full": (1, 7), "random": (1, 8), "urandom": (1, 9), "tty": (5, 0)}
DEVICES |= {"net/tun": (10, 200)}  # its devices are in the host's own network
OWN = ("dev", "proc", "run", "sys", "tmp")
"""The folders of / that a host has for itself."""

MASKED = (
    *(
        "systemd-udevd.service",
        "systemd-udevd-control.socket",
        "systemd-udevd-kernel.socket",
        "kmod-static-nodes.service",
    ),
    *(
        "systemd-udev-trigger.service",
        "systemd-udev-settle.service",
        "systemd-hwdb-update.service",
        "modprobe@.service",
    ),
    *("getty.target", "console-getty.service", "systemd-modules-load.service", "systemd-sysctl.service"),
    *(
        "systemd-binfmt.service",
        "proc-sys-fs-binfmt_misc.automount",
        "sys-kernel-config.mount",
        "sys-kernel-debug.mount",
    ),
    *("sys-kernel-tracing.mount", "sys-fs-fuse-connections.mount", "dev-hugepages.mount", "systemd-timesyncd.service"),
    *("systemd-networkd.service", "systemd-resolved.service", "systemd-remount-fs.service", "systemd-pstore.service"),
    *("systemd-random-seed.service", "systemd-repart.service"),
)
"""What would reach for the hardware, the kernel or the network, which are not this host's."""

libc = ctypes.CDLL(None, use_errno=True)


def main(work: Path, share: Path, cgroup: Path, readable: list[str], layers: str) -> None:
    call("unshare", CLONE["mnt"])
    mount("none", "/", "", RECURSIVE | PRIVATE)  # nothing that is mounted from here on shows outside
    root = lay(work, readable, layers)
    dress(root)
    bind(share, root / "host")
    say("laid")
    if sys.stdin.readline() != "go\n":
        return
    cgroup.mkdir()
    try:
        run(root, cgroup, share / "console.log")
    finally:
        for folder, _, _ in os.walk(cgroup, topdown=False):
            os.rmdir(folder)


# --- the root ---


def lay(work: Path, readable: list[str], layers: str) -> Path:
    """A root that looks like this machine's and takes any write without passing it on."""
    mount("hostbox", work, "tmpfs", 0, "mode=755")
    root = work / "root"
    root.mkdir()
    if layers == "overlay":
        for folder in ("upper", "work"):
            (work / folder).mkdir()
        mount("hostbox", root, "overlay", 0, f"lowerdir=/,upperdir={work / 'upper'},workdir={work / 'work'}")
    else:
        bind(root, root)  # pivot_root wants a mount point
        lay_binds(root)
    for name in OWN:
        (root / name).mkdir(exist_ok=True)
    for name in ("dev", "run", "tmp"):
        mount("hostbox", root / name, "tmpfs", NO_SUID, "mode=1777" if name == "tmp" else "mode=755")
    (root / "dev/net").mkdir()
    for name, (major, minor) in DEVICES.items():
        os.mknod(root / "dev" / name, stat.S_IFCHR | 0o666, os.makedev(major, minor))
        (root / "dev" / name).chmod(0o666)
    for name, target in {
        "ptmx": "pts/ptmx",
        "fd": "/proc/self/fd",
        "stdin": "fd/0",
        "stdout": "fd/1",
        "stderr": "fd/2",
    }.items():
        (root / "dev" / name).symlink_to(target)
    for name in ("pts", "shm"):
        (root / "dev" / name).mkdir()
    for path in readable:  # mounts of their own, or below a folder that the host has for itself
        bind(Path(path), root / path.lstrip("/"))
        read_only(root / path.lstrip("/"))
    return root


def lay_binds(root: Path) -> None:
    """Where there is no overlay: the machine's folders read-only, a copy of its /etc, and a /var of its own."""
    for entry in os.scandir("/"):
        if entry.is_symlink():
            (root / entry.name).symlink_to(os.readlink(entry.path))
        elif entry.name == "etc":
            subprocess.run(["cp", "-a", "/etc", root / "etc"], check=True)
        elif entry.is_dir() and entry.name not in (*OWN, "var", "host", "lost+found"):
            bind(Path(entry.path), root / entry.name)
            read_only(root / entry.name)
    for name in ("cache", "lib", "log", "spool", "tmp"):
        (root / "var" / name).mkdir(parents=True)
    (root / "var" / "run").symlink_to("/run")


def dress(root: Path) -> None:
    """Makes it another host than this machine: its own name and journal, and none of the machine's services."""
    etc = root / "etc"
    units, generators = etc / "systemd" / "system", etc / "systemd" / "system-generators"
    for folder in (units, generators, root / "var" / "log" / "journal"):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    (units / "default.target").symlink_to("/lib/systemd/system/multi-user.target")
    found = [
        entry.name
        for place in ("/lib", "/usr/local/lib")
        for entry in Path(place, "systemd/system-generators").glob("*")
    ]
    for masked in [*(units / name for name in MASKED), *(generators / name for name in found)]:
        masked.symlink_to("/dev/null")
    texts = {
        "etc/hostname": "hostbox\n",
        "etc/machine-id": os.urandom(16).hex() + "\n",
        "etc/fstab": "",
        "etc/systemd/journald.conf.d/hostbox.conf": "[Journal]\nStorage=persistent\nRateLimitBurst=0\n",
        # what lies on / on a real host is a mount here, and like / it is there to the end of a power-off
        "etc/systemd/system/mount.d/stays.conf": "[Unit]\nDefaultDependencies=no\n",
    }
    for path, text in texts.items():
        target = root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_text(text)
    for updated in ("etc/.updated", "var/.updated"):  # nothing here is newer: spares the rebuilding of caches
        (root / updated).touch()
    (root / "host").mkdir(exist_ok=True)
    (root / "run" / "host").mkdir()


# --- the host ---


def run(root: Path, cgroup: Path, console: Path) -> None:
    """Runs the host to its end, and waits to be let go."""
    master, slave = os.openpty()  # the slave stays open here, so that the master never reads a hang-up
    tty.setraw(slave)
    (root / "dev" / "console").touch()
    bind(Path(os.ttyname(slave)), root / "dev" / "console")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify, console.open("wb", buffering=0) as log:
        os.chdir(root / "run" / "host")  # the path of a socket may not be long
        notify.bind("notify")
        os.chdir("/")
        call("unshare", CLONE["pid"])
        child = os.fork()
        if child == 0:
            become(root, cgroup)
        say(f"pid {child}")
        say(f"end {watch(child, notify, master, log.fileno())}")
    sys.stdin.read()


def watch(child: int, notify: socket.socket, master: int, log: int) -> str:
    """Copies the console and waits for the host to end, or ends it when the tester has gone; returns how it ended."""
    ended, tester, ready = os.pidfd_open(child), sys.stdin.fileno(), False
    while True:
        readable, _, _ = select.select([ended, tester, notify, master], [], [])
        if master in readable:
            os.write(log, os.read(master, 65536))
        elif ended in readable:
            return how(os.waitpid(child, 0)[1])
        elif notify in readable:
            if b"READY=1" in notify.recv(4096).split(b"\n") and not ready:
                ready = True
                say("ready")
        elif not os.read(tester, 1):
            os.kill(child, signal.SIGKILL)
            return how(os.waitpid(child, 0)[1])


def how(status: int) -> str:
    """reboot(2) in a PID namespace ends its PID 1 by a signal, which says what was asked for (pid_namespaces(7))."""
    if os.WIFEXITED(status):
        return f"exited {os.WEXITSTATUS(status)}"
    asked = {signal.SIGINT: "poweroff", signal.SIGHUP: "reboot", signal.SIGKILL: "killed"}
    return asked.get(signal.Signals(os.WTERMSIG(status)), f"signal {os.WTERMSIG(status)}")


def become(root: Path, cgroup: Path) -> NoReturn:
    """Goes on as the host's PID 1; it is already in its own PID namespace."""
    try:
        call("prctl", SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        (cgroup / "cgroup.procs").write_text("0")
        call("unshare", CLONE["mnt"] | CLONE["cgroup"] | CLONE["uts"] | CLONE["ipc"] | CLONE["net"])
        mount("proc", root / "proc", "proc", NO_SUID | NO_DEV | NO_EXEC)
        kernel = [path for name in ("sysrq-trigger", "sys", "sys/net") if (path := root / "proc" / name).exists()]
        for path in kernel:
            bind(path, path)
        for path in kernel[:-1]:  # the kernel is the machine's; of it, only the network is the host's own
            read_only(path)
        mount("sysfs", root / "sys", "sysfs", READ_ONLY | NO_SUID | NO_DEV | NO_EXEC)
        mount("cgroup2", root / "sys/fs/cgroup", "cgroup2", NO_SUID | NO_DEV | NO_EXEC)
        mount("devpts", root / "dev/pts", "devpts", NO_SUID | NO_EXEC, "newinstance,ptmxmode=0666,mode=620,gid=5")
        mount("hostbox", root / "dev/shm", "tmpfs", NO_SUID | NO_DEV, "mode=1777")
        socket.sethostname("hostbox")
        os.chdir(root)
        call("pivot_root", b".", b".")  # the old root lies on the new one, and goes
        call("umount2", b".", DETACH)
        os.chdir("/")
        os.setsid()
        console = os.open("/dev/console", os.O_RDWR | os.O_NOCTTY)
        for standard in range(3):
            os.dup2(console, standard)
        os.closerange(3, 4096)
        env = {"container": "other", "NOTIFY_SOCKET": "/run/host/notify", "LANG": "C.UTF-8"}
        os.execve(SYSTEMD, [SYSTEMD, "--log-target=journal-or-kmsg"], env)
    except OSError as error:
        os.write(2, f"hostbox: {error}\n".encode())
    finally:
        os._exit(1)  # whatever it was: this process may not go on as the launcher


# --- system calls ---


def call(name: str, *arguments: object) -> None:
    if getattr(libc, name)(*arguments) != 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{name}{arguments}: {os.strerror(errno)}")


def mount(source: str | Path, target: str | Path, kind: str, flags: int, data: str = "") -> None:
    words = [os.fspath(word).encode() for word in (source, target, kind)]
    call("mount", *words, ctypes.c_ulong(flags), data.encode())


def bind(source: Path, target: Path) -> None:
    """Shows ``source`` at ``target`` too, which is made if it is not there."""
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.mkdir() if source.is_dir() else target.touch()
    mount(source, target, "", BIND)


def read_only(target: Path) -> None:
    mount("none", target, "", BIND | REMOUNT | READ_ONLY)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    main(Path(asked["work"]), Path(asked["share"]), Path(asked["cgroup"]), asked["readable"], asked["layers"])
